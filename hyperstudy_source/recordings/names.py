"""What the file of a recording is called: as the platform's own SDK calls it, but safe on every filesystem.

A name follows from the recording alone, so it is the same on every run. Where the pattern does not tell two recordings
apart, as after characters were replaced, a digest of the recording's id stands at the end.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from hyperstudy_source.errors import SettingError
from hyperstudy_source.tables.fields import column_name

SDK_PATTERN = "{participant_name}_{type}_{recording_id}"
"""The names that `download_recordings` of the platform's SDK gives."""
NAME_FIELDS = ("participant_name", "participant_id", "type", "recording_id", "room_id", "experiment_id")
MOST_BYTES = 200
"""Of a name in UTF-8: filesystems take 255, and whoever copies files adds to their names."""
LONGEST_EXTENSION = 16
METADATA_FILE = "recordings_metadata.csv"
"""Lies beside the files; no recording is called so."""

_UNSAFE = re.compile(r"[^\w\-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that Windows gives to devices, whatever follows the dot."""


def name_pattern(pattern: str) -> str:
    """A pattern with `NAME_FIELDS` in braces, checked; `.{ext}` at its end is what every name gets anyway.

    Raises `SettingError` for a field that does not exist and for a pattern that leads to another folder.
    """
    pattern = pattern.removesuffix(".{ext}")
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError:
        parts = []
    named = [name for _, name, _, _ in parts if name is not None]
    plain = not any(spec or conversion for _, name, spec, conversion in parts if name is not None)
    known = all(name and column_name(name) in NAME_FIELDS for name in named)
    if not named or not plain or not known or re.search(r"[/\\]", pattern):
        raise SettingError(f"filename is {pattern!r}, but a file name is made of {', '.join(NAME_FIELDS)} in braces "
                           f"and has no folder in it. Set filename=\"{SDK_PATTERN}\".")
    return "".join(text + (f"{{{column_name(name)}}}" if name else "") for text, name, _, _ in parts)


def folder_name(experiment_id: str) -> str:
    """The folder of an experiment's files: its id, made safe."""
    stem = safe(experiment_id)
    exact = stem == experiment_id and _fits(stem) and not _RESERVED.fullmatch(stem)
    return stem if exact else _told_apart(stem, experiment_id, "")


def safe(text: str) -> str:
    """The text with every character other than a letter, a digit, `_` and `-` made `_`, as the SDK does."""
    return _UNSAFE.sub("_", text)


@dataclass
class FileNames:
    """Gives every recording its name; no two of an experiment share one, also where upper and lower case are one."""

    pattern: str
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)
    _contended: set[tuple[str, str]] = field(default_factory=set)

    def claim(self, experiment_id: str, mark: str, recording_id: str) -> None:
        """Notes that a recording has had the name of this `name_mark` before."""
        self._owners[experiment_id, mark] = recording_id

    def name(self, recording_id: str, fields: Mapping[str, str], extension: str) -> str:
        """The name for the values of `NAME_FIELDS`; `recording_id` is the id as the tables have it."""
        experiment_id = fields["experiment_id"]
        stem = safe(self.pattern.format(**fields))
        ending = f".{safe(extension)[:LONGEST_EXTENSION]}"
        told = "{recording_id}" in self.pattern and safe(fields["recording_id"]) == fields["recording_id"]
        usable = told and _fits(stem + ending) and not _RESERVED.fullmatch(stem) and stem + ending != METADATA_FILE
        plain = stem + ending if usable else _told_apart(stem, recording_id, ending)
        place = experiment_id, name_mark(plain)
        if self._owners.setdefault(place, recording_id) == recording_id:
            return plain
        self._contended.add(place)
        return _told_apart(stem, recording_id, ending)

    def is_contended(self, experiment_id: str, name: str) -> bool:
        """Whether more than one recording would have this name."""
        return (experiment_id, name_mark(name)) in self._contended


def name_mark(name: str) -> str:
    """A digest of a name, which may hold a person's, equal for names that some filesystem takes for the same."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return hashlib.blake2b(folded.encode(), digest_size=8).hexdigest()


def _told_apart(stem: str, identity: str, ending: str) -> str:
    mark = "_" + hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=6).hexdigest() + ending
    room = MOST_BYTES - len(mark.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + mark


def _fits(name: str) -> bool:
    return len(name.encode()) <= MOST_BYTES
