"""Ids as text: with commas between them, or as the JSON list that dlt makes of a list in config.toml."""

from __future__ import annotations

import json


def split_ids(text: str) -> list[str]:
    """The ids in a text, without space around them; no id holds a comma."""
    text = text.strip()
    listed = [text]
    if text.startswith("["):
        try:
            listed = [str(each) for each in json.loads(text)]
        except ValueError:
            listed = [text.strip("[]")]
    return [each.strip() for part in listed for each in part.split(",")]
