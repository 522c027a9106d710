"""`python -m hyperstudy_source.standin [--port N]`: serve the demo study until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import threading

from hyperstudy_source.standin import DEMO_KEY, StandIn, demo_study


def main(arguments: list[str] | None = None, until: threading.Event | None = None) -> int:
    """Serve the demo study, print how to reach it, and wait for Ctrl-C (or the event)."""
    parser = argparse.ArgumentParser(prog="python -m hyperstudy_source.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    options = parser.parse_args(arguments)
    with StandIn(demo_study(), port=options.port) as api, contextlib.suppress(KeyboardInterrupt):
        print(f"Serving the demo study on {api.base_url} until Ctrl-C. Point a client at it with")
        print(f"export HYPERSTUDY_API_KEY={DEMO_KEY}")
        print(f"export HYPERSTUDY_BASE_URL={api.base_url}", flush=True)
        (until or threading.Event()).wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
