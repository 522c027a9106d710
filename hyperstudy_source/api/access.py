"""Who asks and where: the API key, the base URL, and what is wrong with them before a request is sent.

Keys are made in the dashboard of HyperStudy under Settings > API keys, which later shows them masked only.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, urlsplit

from hyperstudy_source.api.redaction import API_KEY, without_secrets
from hyperstudy_source.errors import SettingError

PRODUCTION_URL = "https://api.hyperstudy.io/api/v3"
KEY_VARIABLE = "HYPERSTUDY_API_KEY"
URL_VARIABLE = "HYPERSTUDY_BASE_URL"

_WHERE_THE_KEY_GOES = (
    "Set it as the environment variable HYPERSTUDY_API_KEY or SOURCES__HYPERSTUDY__API_KEY, or as api_key under "
    "[sources.hyperstudy] in .dlt/secrets.toml."
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


def found_key(api_key: str | None) -> str:
    """The key given, else that of `HYPERSTUDY_API_KEY`, checked for its form.

    Raises `SettingError` where there is none, or one that no dashboard ever made. The key is not in the text.
    """
    key = (api_key or "").strip() or os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise SettingError(f"No API key is set. {_WHERE_THE_KEY_GOES} To try it without a key, add --demo.")
    if not key.isascii() or any(mark in key for mark in "*."):
        raise SettingError(
            "The API key is masked: it was copied from the dashboard's list, which shows only its beginning. Make a "
            f"new key and copy it when it is shown. {_WHERE_THE_KEY_GOES}")
    if not API_KEY.fullmatch(key):
        raise SettingError(
            f"The API key ({len(key)} characters) does not look like one: keys start with hst_live_ or hst_test_, "
            f"followed by letters and digits. {_WHERE_THE_KEY_GOES}")
    return key


def found_url(base_url: str | None) -> str:
    """The base URL given, else that of `HYPERSTUDY_BASE_URL`, else production; without a trailing slash.

    Raises `SettingError` where the key would travel unprotected: `https` only, this machine excepted.
    """
    url = (base_url or "").strip() or os.environ.get(URL_VARIABLE, "").strip() or PRODUCTION_URL
    url = url.rstrip("/")
    parts = _split(url)
    if parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise SettingError(f"base_url is {_without_secrets(url)!r}, which is no web address. "
                           f"Set base_url={PRODUCTION_URL}.")
    if any(mark in url for mark in "@?#"):
        raise SettingError(f"base_url holds more than an address: {_without_secrets(url)!r} with a user, a query or a "
                           f"fragment. Set base_url={PRODUCTION_URL}.")
    if parts.scheme == "http" and not is_this_machine(parts.hostname):
        raise SettingError(f"base_url is {url!r}: over plain http the key could be read on its way. "
                           f"Set base_url=https://{parts.netloc}{parts.path}.")
    return url


def found_organization(organization_id: str | None) -> str | None:
    """The organisation to act for, if any. Raises `SettingError` where no header can carry it."""
    organization = (organization_id or "").strip()
    if not organization.isascii() or not organization.isprintable():
        raise SettingError("organization_id holds characters that no id has. Copy it whole, such as org_abc123.")
    return organization or None


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: where a request to `url` goes."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _without_secrets(url: str) -> str:
    return without_secrets(re.split("[?#]", url.rsplit("@")[-1])[0])


def is_this_machine(host: str) -> bool:
    """Whether a host is the one that this runs on, which no network lies before."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
