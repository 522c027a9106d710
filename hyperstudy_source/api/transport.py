"""The way to a host: straight to this machine, to any other as `requests` finds it in the environment.

What stands in the way, be it a proxy that refuses or a certificate that is not trusted, is told apart from a host that
is down: trying again does not remove it, a setting does.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL, InvalidSchema, InvalidURL, ProxyError, SSLError
from requests.utils import get_environ_proxies, select_proxy

from hyperstudy_source.api.access import is_this_machine

PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""Where `requests` finds the proxy of an https address, the first that is set."""
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where it finds the certificates that it trusts."""

_TRUST = (
    "Where the network inspects what is encrypted, set REQUESTS_CA_BUNDLE to a file with the institution's root "
    "certificate (PEM; its IT has it) and the usual ones; else check base_url and the clock of this machine."
)
_NOT_TRUSTED = re.compile(r"certificate verify failed: (.+?)\.? \(_ssl")
_NO_BUNDLE = re.compile(r"CA certificate bundle, invalid path|\[X509")
_REFUSED = re.compile(r"Tunnel connection failed: (4\d\d[\w ]*)")


class _Adapter(HTTPAdapter):
    """Sends requests, those to this machine past every proxy, after a redirect too."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if is_this_machine(urlsplit(str(request.url)).hostname or ""):
            kwargs["proxies"] = None
            request.headers.pop("Proxy-Authorization", None)
        proxy = select_proxy(str(request.url), kwargs.get("proxies"))
        if proxy and proxy.endswith("@"):  # on which requests stumbles
            raise InvalidProxyURL("no host", request=request)
        try:
            return super().send(request, *args, **kwargs)
        except requests.RequestException:
            raise
        except OSError as no_bundle:
            raise SSLError(str(no_bundle), request=request) from None


def connected(session: requests.Session, connections: int = 10) -> requests.Session:
    """The session, with as many connections to a host as may be kept open."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(pool_maxsize=connections))
    return session


def obstacle(failure: Exception, url: str) -> str | None:
    """What stands between here and the host of `url`, and what to set; None: another attempt may get through."""
    host, text = urlsplit(url).hostname, str(failure)
    if isinstance(failure, ProxyError) and (refused := _REFUSED.search(text)):
        return f"{_proxy_of(url)} refuses to connect to {host} ({refused[1].strip()}). {proxy_advice(url)}"
    if isinstance(failure, SSLError) and _NO_BUNDLE.search(text):
        variable = _set_of(BUNDLE_VARIABLES)
        return (f"{variable} is {os.environ.get(variable, '')!r}, where no certificates can be read. Set it to a file "
                "of certificates (PEM), or unset it.")
    if isinstance(failure, SSLError) and "certificate" in text.lower():
        fault = _NOT_TRUSTED.search(text)
        return f"The certificate that came for {host} is not trusted{f' ({fault[1]})' if fault else ''}. {_TRUST}"
    if isinstance(failure, (InvalidURL, InvalidSchema)) and select_proxy(url, get_environ_proxies(url)):
        needed = ' For a SOCKS proxy, run: pip install "requests[socks]".' if "SOCKS" in text else ""
        return f"{_proxy_of(url)} cannot be used.{needed} {proxy_advice(url)}"
    return None


def unanswered(failure: Exception, url: str) -> str:
    """What another attempt may mend, for people: what kind of failure it is, and what to check if it lasts."""
    kind = type(failure).__name__
    if isinstance(failure, ProxyError):
        return f"{kind}: {_proxy_of(url)} gives no connection. {proxy_advice(url)}"
    return f"{kind}. {_TRUST}" if isinstance(failure, SSLError) else kind


def proxy_advice(url: str) -> str:
    """What to set where a proxy does not let through to the host of an address."""
    return (f"Set {_set_of(PROXY_VARIABLES)}=http://user:password@proxy:port as your IT says, or add "
            f"{urlsplit(url).hostname} to NO_PROXY to go without the proxy.")


def _proxy_of(url: str) -> str:
    """The proxy through which requests to `url` go, for people: without user and password."""
    proxy = select_proxy(url, get_environ_proxies(url)) or ""
    address = re.split("[/?#]", proxy.rsplit("@")[-1].split("://")[-1])[0]
    return f"The proxy {address}, which {_set_of(PROXY_VARIABLES)} names," if address else "The proxy"


def _set_of(variables: tuple[str, ...]) -> str:
    """The variable that is set, else the one to be set."""
    return next((name for name in variables if os.environ.get(name)), variables[0].upper())
