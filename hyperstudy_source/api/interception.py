"""Answers that are not the API's own, but of a proxy, a firewall or a login page before it, or of another host.

The API refuses with an envelope. A page with a refusal says nothing of the key, nor of what it may read.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests

from hyperstudy_source.api.redaction import bare_link, without_secrets
from hyperstudy_source.api.transport import proxy_advice

_NEVER_THE_API = frozenset({HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED})
"""Statuses with which a proxy or a network asks who is there; no API sends them."""
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype html|html|head|title|body|meta|script|center|h1)\b",
                   re.IGNORECASE | re.DOTALL)
"""How a page begins, whatever its content type."""
LONGEST_KIND = 60
"""Characters of a content type that an error repeats."""


def is_foreign(response: requests.Response, body: Any) -> bool:
    """Whether a refusal is not the API's own. `body`: what it holds as JSON, if it does.

    What passes by itself (408, 429, 5xx) is waited for, whoever sends it.
    """
    status = response.status_code
    if status in _NEVER_THE_API:
        return True
    return 400 <= status < 500 and status not in _PASSING and not isinstance(body, dict) and is_page(response)


def is_page(response: requests.Response) -> bool:
    """Whether an answer is a page for people, by its content type or its beginning."""
    return kind_of(response).lower() in _PAGE_TYPES or bool(_PAGE.match(response.content[:2048]))


def intercepted(response: requests.Response, path: str) -> str:
    """What happened and what to do, for people."""
    host, status = urlsplit(response.url).hostname, response.status_code
    what = (f"Not the API answered for {path}, but something before it: from {host} came {status} with "
            f"{len(response.content)} bytes of {kind_of(response)}.")
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"{what} A proxy wants to know who asks. {proxy_advice(response.url)}"
    base = base_of(response, path)
    return (f"{what} A proxy, a firewall or the login page of the network stands in between, or base_url ({base}) is "
            "wrong; it says nothing of the key. Open that address in a browser of this machine, ask your IT to let it "
            "through, check HTTPS_PROXY, NO_PROXY and base_url, then run again.")


def kind_of(response: requests.Response) -> str:
    """The content type of an answer, for people."""
    kind = without_secrets(response.headers.get("Content-Type", "").split(";")[0].strip())
    return kind[:LONGEST_KIND] or "unknown type"


def base_of(response: requests.Response, path: str) -> str:
    """The base URL that an answer came from."""
    return bare_link(response.url).removesuffix(f"/{path.lstrip('/')}")
