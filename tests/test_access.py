"""The key and the address are judged before any request, and a wrong key is never repeated in a message."""

from __future__ import annotations

import pytest

from hyperstudy_source.api.access import KEY_VARIABLE, PRODUCTION_URL, URL_VARIABLE, found_key, found_url, origin
from hyperstudy_source.api.client import Client
from hyperstudy_source.errors import SettingError
from hyperstudy_source.standin import DEMO_KEY, StandIn

KEYS = {"live": "hst_live_" + "a1B2" * 16, "test": "hst_test_" + "z9" * 32, "short": "hst_test_abc"}
MASKED = {
    "stars": "hst_live_SeCrEt******",
    "only_stars": "hst_live_****************",
    "dots": "hst_live_SeCrEt...",
    "dots_inside": "hst_live_SeCr...rEt",
    "ellipsis": "hst_live_SeCrEt\N{HORIZONTAL ELLIPSIS}",
    "bullets": "hst_live_SeCrEt" + "\N{BULLET}" * 8,
}
UNLIKE_A_KEY = {
    "other_service": "sk-SeCrEtSeCrEt",
    "other_environment": "hst_prod_SeCrEt",
    "upper_case": "HST_LIVE_SeCrEt",
    "prefix_only": "hst_live_",
    "quoted": '"hst_live_SeCrEt"',
    "with_header_name": "X-API-Key: hst_live_SeCrEt",
    "two_lines": "hst_live_SeCrEt\nhst_live_SeCrEt",
    "two_words": "hst_live_SeCrEt hst_live_SeCrEt",
}
ADDRESSES = {
    "production": (PRODUCTION_URL, PRODUCTION_URL),
    "development": ("https://dev.hyperstudy.io/api/v3", "https://dev.hyperstudy.io/api/v3"),
    "trailing_slash": ("https://api.hyperstudy.io/api/v3/", PRODUCTION_URL),
    "trailing_slashes_and_space": (" https://api.hyperstudy.io/api/v3// ", PRODUCTION_URL),
    "localhost": ("http://localhost:8000/api/v3", "http://localhost:8000/api/v3"),
    "loopback_v4": ("http://127.0.0.1:8000/api/v3", "http://127.0.0.1:8000/api/v3"),
    "loopback_v6": ("http://[::1]:8000/api/v3", "http://[::1]:8000/api/v3"),
}
UNPROTECTED = {
    "public_host": "http://api.hyperstudy.io/api/v3",
    "private_network": "http://192.168.1.20/api/v3",
    "every_interface": "http://0.0.0.0/api/v3",
    "like_localhost": "http://localhost.example.org/api/v3",
    "like_loopback": "http://127.0.0.1.example.org/api/v3",
}
NO_ADDRESS = {
    "no_scheme": "api.hyperstudy.io/api/v3",
    "ftp": "ftp://api.hyperstudy.io/api/v3",
    "no_host": "https:///api/v3",
    "port_of_letters": "https://api.hyperstudy.io:port/api/v3",
    "port_too_large": "https://api.hyperstudy.io:99999/api/v3",
    "broken_v6": "https://[::1/api/v3",
}
MORE_THAN_AN_ADDRESS = {
    "user": "https://hunter2@api.hyperstudy.io/api/v3",
    "user_and_password": "https://someone:hunter2@api.hyperstudy.io/api/v3",
    "password_only": "https://:hunter2@api.hyperstudy.io/api/v3",
    "password_with_slash": "https://someone:hunter2/x@api.hyperstudy.io/api/v3",
    "password_with_question_mark": "https://someone:hunter2?x@api.hyperstudy.io/api/v3",
    "password_with_hash": "https://someone:hunter2#x@api.hyperstudy.io/api/v3",
    "user_before_loopback_looks": "http://127.0.0.1:hunter2@example.org/api/v3",
    "query": "https://api.hyperstudy.io/api/v3?key=hunter2",
    "fragment": "https://api.hyperstudy.io/api/v3#hunter2",
    "key_in_place_of_the_address": "hst_live_hunter2",
}


def no_part_of(secret: str, text: str) -> bool:
    return not any(secret[n:n + 6] in text for n in range(max(1, len(secret) - 5)))


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_whole_key_is_taken_as_it_is(key: str) -> None:
    assert found_key(key) == key


@pytest.mark.parametrize("around", ["{}\n", "  {}", "\t{}\r\n"], ids=["newline", "spaces", "tab_and_crlf"])
@pytest.mark.parametrize("place", ["argument", "environment"])
def test_space_around_a_key_is_not_part_of_it(place: str, around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = around.format(DEMO_KEY)
    if place == "environment":
        monkeypatch.setenv(KEY_VARIABLE, given)
    assert found_key(given if place == "argument" else None) == DEMO_KEY


def test_the_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEYS["live"])
    assert found_key(KEYS["test"]) == KEYS["test"]


@pytest.mark.parametrize("given", [None, "", "  \n"], ids=["nothing", "empty", "blank"])
def test_without_a_key_the_error_says_where_to_set_it(given: str | None) -> None:
    with pytest.raises(SettingError) as raised:
        found_key(given)
    for place in ("HYPERSTUDY_API_KEY", "SOURCES__HYPERSTUDY__API_KEY", "[sources.hyperstudy]", "--demo"):
        assert place in str(raised.value)


def test_a_blank_argument_does_not_hide_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, DEMO_KEY)
    assert found_key(" \n") == DEMO_KEY


@pytest.mark.parametrize("key", MASKED.values(), ids=MASKED)
def test_a_masked_key_is_recognised_before_any_request(key: str, api: StandIn) -> None:
    with pytest.raises(SettingError, match="masked") as raised:
        Client(key, api.base_url)
    assert "SeCr" not in str(raised.value)
    assert api.requests == []


@pytest.mark.parametrize("key", UNLIKE_A_KEY.values(), ids=UNLIKE_A_KEY)
def test_what_is_no_key_is_refused_without_repeating_it(key: str, api: StandIn) -> None:
    with pytest.raises(SettingError, match="hst_live_ or hst_test_") as raised:
        Client(key, api.base_url)
    assert "SeCr" not in str(raised.value)
    assert api.requests == []


@pytest.mark.parametrize(("given", "taken"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_protects_the_key_is_taken(given: str, taken: str) -> None:
    assert found_url(given) == taken


def test_the_address_comes_from_the_argument_then_the_environment_then_production(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found_url(None) == PRODUCTION_URL
    monkeypatch.setenv(URL_VARIABLE, "https://dev.hyperstudy.io/api/v3/")
    assert found_url(None) == "https://dev.hyperstudy.io/api/v3"
    assert found_url("https://localhost/api") == "https://localhost/api"


@pytest.mark.parametrize("url", UNPROTECTED.values(), ids=UNPROTECTED)
def test_plain_http_is_for_this_machine_only(url: str) -> None:
    with pytest.raises(SettingError, match="plain http") as raised:
        found_url(url)
    assert url.replace("http://", "base_url=https://") in str(raised.value)


@pytest.mark.parametrize("url", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match="no web address"):
        found_url(url)


@pytest.mark.parametrize("url", MORE_THAN_AN_ADDRESS.values(), ids=MORE_THAN_AN_ADDRESS)
def test_an_address_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingError, match="base_url") as raised:
        found_url(url)
    assert no_part_of("hunter2", str(raised.value))


@pytest.mark.parametrize("mark", ["?", "#", "/?", "/#"])
def test_an_empty_query_or_fragment_is_one_too(mark: str) -> None:
    with pytest.raises(SettingError, match="base_url"):
        found_url(PRODUCTION_URL + mark)


@pytest.mark.parametrize(("one", "other", "same"), [
    ("https://h.org/a", "https://h.org:443/b?c", True),
    ("http://h.org", "http://H.ORG:80", True),
    ("https://h.org", "http://h.org", False),
    ("https://h.org", "https://h.org:444", False),
    ("https://h.org", "https://h.org.evil.example", False),
    ("https://h.org", "https://h.org@evil.example", False),
], ids=["default_port", "case", "scheme", "port", "longer_host", "user_that_looks_like_the_host"])
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same
