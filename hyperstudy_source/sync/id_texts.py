"""Ids as they are given: as a list, as text with commas, or as the JSON list that dlt makes of one in config.toml."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hyperstudy_source.errors import SettingError


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


def listed_ids(option: str, value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Ids given as one, several, or text with commas; duplicates and space around removed. None: no choice is made.

    Raises `SettingError` for an empty list and for what is no id, lest everything is read by mistake.
    """
    if value is None:
        return ()
    ids = split_ids(value) if isinstance(value, str) else [each for item in value for each in split_ids(str(item))]
    given = tuple(dict.fromkeys(ids))
    if not given or {"", ".", ".."} & set(given):
        raise SettingError(f"{option} is {value!r}, which holds no id or something that is none. Leave it out to read "
                           "all, or copy the id from the address in the dashboard.")
    return given


def participants_in_rooms(value: str | Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """`participant_id@room_id` texts as pairs. Raises `SettingError` where the room is missing."""
    pairs = [tuple(text.rsplit("@", 1)) for text in listed_ids("participants", value)]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise SettingError(f"participants holds {'@'.join(pair)!r}, but a participant is read within a room. "
                               "Give it as participant_id@room_id.")
    return tuple((pair[0], pair[1]) for pair in pairs)
