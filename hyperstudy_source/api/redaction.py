"""What must not be kept: API keys, and links that open a file for whoever holds them.

A signed link is told by the parameters with which Google, Amazon, Azure and Firebase sign, or by one named token; its
query is cut off, and the address that is left opens nothing.
"""

from __future__ import annotations

import re

DROPPED_FIELDS = frozenset({"downloadurl"})
"""Fields, by the letters of their names, that hold a signed link and nothing else: `downloadUrl` of recordings."""

API_KEY = re.compile(r"hst_(?:live|test)_[A-Za-z0-9_-]+")
_IN_QUERY = r"""(?:\\u[0-9a-fA-F]{4}|\\/|[^\s"'<>\\])"""
"""A character of a link, also as JSON within JSON writes it."""
_SIGNATURE = (
    "X-Goog-Signature|X-Goog-Credential|X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|Signature|"
    "AWSAccessKeyId|sig|token|access_token"
)
_SIGNED_LINK = re.compile(
    r"""([a-z][a-z0-9+.-]*:(?:\\?/){2}(?:\\/|[^\s?#"'<>\\])+)\?"""
    rf"(?:{_IN_QUERY}*?(?:[&;]|\\u0026))?(?:{_SIGNATURE})={_IN_QUERY}*", re.IGNORECASE)


def is_dropped(api_name: str) -> bool:
    """Whether a field of this name holds a signed link and nothing else, however the name is spelled."""
    return "ownload" in api_name.lower() and re.sub(r"[\W_]", "", api_name).lower() in DROPPED_FIELDS


def without_signed_links(text: str) -> str:
    """The text with the query cut off every signed link in it."""
    if "=" not in text or "?" not in text or ":" not in text:
        return text
    return _SIGNED_LINK.sub(r"\1", text)


def without_secrets(text: str) -> str:
    """The text without API keys and without the queries of signed links."""
    return API_KEY.sub("hst_…", without_signed_links(text))


def bare_link(link: str) -> str:
    """A link without user, query and fragment."""
    address = re.split("[?#]", link)[0]
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rsplit("@")[-1] + slash + path
