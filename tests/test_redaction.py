"""Keys and signed links are cut out of whatever is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hyperstudy_source.api.redaction import bare_link, without_secrets, without_signed_links
from hyperstudy_source.tables.values import as_text, clean, clean_text

HOST = "https://storage.googleapis.com/bucket/a%20b.mp4"
SIGNED = {
    "google": HOST + "?X-Goog-Algorithm=GOOG4&X-Goog-Credential=c%40d&X-Goog-Expires=600&X-Goog-Signature=SeCrEt",
    "google_v2": HOST + "?GoogleAccessId=a%40b&Expires=1718445600&Signature=SeCrEt%3D",
    "amazon": HOST + "?X-Amz-Algorithm=AWS4&X-Amz-Credential=SeCrEt&X-Amz-Signature=SeCrEt",
    "amazon_v2": HOST + "?AWSAccessKeyId=SeCrEt&Expires=1&Signature=SeCrEt",
    "azure": HOST + "?sv=2022&sr=b&sig=SeCrEt%3D&se=2024-06-15",
    "lower_case": HOST + "?x-goog-signature=SeCrEt",
    "with_fragment": HOST + "?sig=SeCrEt#t=10",
    "escaped_ampersand": HOST + "?Expires=1&amp;Signature=SeCrEt",
}
AROUND = {
    "alone": "{}", "in_a_sentence": "see {} there", "in_html": '<a href="{}">video</a>', "in_quotes": "'{}'",
    "twice": "{}\n{}", "beyond_ascii": "größe {} \N{GRINNING FACE}",
}
UNSIGNED = {
    "no_query": "https://example.org/video.mp4",
    "plain_query": "https://example.org/video.mp4?t=10&lang=de",
    "no_link": "sig=abc&Signature=def",
    "word_like_a_mark": "https://example.org/?design=1&assigned=2",
    "empty": "",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("link", SIGNED.values(), ids=SIGNED)
def test_a_signed_link_is_cut_wherever_it_stands(link: str, around: str) -> None:
    assert without_signed_links(around.replace("{}", link)) == around.replace("{}", HOST)


@pytest.mark.parametrize("text", UNSIGNED.values(), ids=UNSIGNED)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert without_signed_links(text) == without_secrets(text) == clean_text(text) == text


@pytest.mark.parametrize("levels", [1, 2, 3], ids=["json", "json_in_json", "json_in_json_in_json"])
def test_a_signed_link_in_json_text_is_cut_and_the_json_stays_whole(levels: int) -> None:
    text: Any = {"url": SIGNED["google"], "after": 1}
    for _ in range(levels):
        text = json.dumps(text)
    cleaned: Any = clean_text(text)
    assert "SeCrEt" not in cleaned
    for _ in range(levels):
        cleaned = json.loads(cleaned)
    assert cleaned == {"url": HOST, "after": 1}


def test_a_signed_link_with_escaped_ampersands_in_json_text_is_cut() -> None:
    text = json.dumps({"url": SIGNED["google_v2"]}).replace("&", r"\u0026")
    assert json.loads(clean_text(text)) == {"url": HOST}


def test_a_signed_link_with_escaped_slashes_in_json_text_is_cut() -> None:
    text = json.dumps({"url": SIGNED["google"]}).replace("/", r"\/")
    assert json.loads(clean_text(text)) == {"url": HOST}


@pytest.mark.parametrize("read", [clean, as_text], ids=["clean", "as_text"])
def test_a_json_value_loses_its_signed_links_and_download_urls_at_any_depth(read: Any) -> None:
    value: Any = {SIGNED["azure"]: [SIGNED["amazon"], {"downloadUrl": "https://h/x?token=SeCrEt", "keep": 45}]}
    for _ in range(20):
        value = {"deeper": [value], "download_url": "https://h/SeCrEt", "downloadURL": ["SeCrEt"]}
    kept = json.dumps(read(value))
    assert "SeCrEt" not in kept
    assert kept.count("deeper") == 20
    assert "45" in kept


@pytest.mark.parametrize("key", ["hst_live_" + "aB3" * 20, "hst_test_a-b_c"], ids=["live", "test"])
def test_an_api_key_is_cut_out_of_any_text(key: str) -> None:
    assert without_secrets(f"The key '{key}' has expired, {key}.") == "The key 'hst_…' has expired, hst_…."


@pytest.mark.parametrize(("link", "bare"), [
    (HOST, HOST),
    (HOST + "?alt=media&token=SeCrEt", HOST),
    (HOST + "#t=10", HOST),
    ("https://someone:hunter2@example.org/a.mp4?b", "https://example.org/a.mp4"),
    ("https://example.org/@someone/a.mp4?b", "https://example.org/@someone/a.mp4"),
    ("https://example.org?x=1\n2", "https://example.org"),
    ("/recordings/a.mp4?token=SeCrEt", "/recordings/a.mp4"),
    ("gs://bucket/a.mp4?X-Goog-Signature=SeCrEt", "gs://bucket/a.mp4"),
    ("", ""),
], ids=["bare", "query", "fragment", "user", "at_in_the_path", "newline", "relative", "gs", "empty"])
def test_a_bare_link_is_an_address_and_nothing_else(link: str, bare: str) -> None:
    assert bare_link(link) == bare
