"""The experiments that were asked for, by id or by name: each is looked up before anything is read.

One that was never real leaves no trace. The list of experiments tells; what it does not show is asked for by itself,
since a list may be short, late or forbidden, unless it is whole and shows one so near that this is a slip.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import dlt

from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.errors import ApiError, KeyRejected, NotFound, RequestRejected, SettingError
from hyperstudy_source.sync.chosen_rooms import require_rooms
from hyperstudy_source.sync.scopes import Scope, Scopes
from hyperstudy_source.tables.fields import Row

MOST_NEAR = 3
"""Experiments that are named where one was not found."""
LIKE, SLIP = 0.6, 0.8
"""How near an id or name is to another one (0 to 1) that may be meant, and to one that must be."""
LONGEST_NAME = 60
"""Characters of a name that are shown."""
READ_MARKS = ("cursors", "read")
"""Under these names the state of a resource tells what was read, by scope."""


def choose(scopes: Scopes, is_known: Callable[[Scope], bool]) -> None:
    """Makes sure, once, that what was asked for is there, and puts ids in place of names.

    `is_known` says whether a scope was loaded before: it may be gone by now, but is no slip. An experiment that does
    not exist is a doubt of the run, since the others are read. Raises `SettingError` where none exists, for a name
    that several have, and for a room or participant that does not exist.
    """
    with scopes.lock:
        if not scopes.named or scopes.is_chosen:
            return
        listed = _listed(scopes) if scopes.experiment_ids else {}
        found = {given: _id_of(given, listed, scopes, is_known) for given in scopes.experiment_ids}
        absent = [_absence(given, listed) for given, experiment_id in found.items() if experiment_id is None]
        if absent and len(absent) == len(found):
            raise SettingError(" ".join(absent))
        scopes.set_chosen([experiment_id for experiment_id in found.values() if experiment_id is not None])
        scopes.doubts += absent
        try:
            require_rooms(scopes, is_known)
        except BaseException:  # Ctrl-C too: what was half looked up must not count as chosen
            scopes.forget()
            raise


def was_read(scope: Scope) -> bool:
    """Whether an earlier run has read a scope, by the state of the source that dlt extracts now.

    Only what is asked for by the id of the scope tells: an id of something else has no rows of an experiment.
    """
    kind = "participant" if scope.participant_id else "room" if scope.room_id else "experiment"
    telling = {name for name, data_type in DATA_TYPES.items() if kind in data_type.scopes}
    telling |= {"experiments"} if kind == "experiment" else set()
    resources = dlt.current.source_state().get("resources", {})
    return any(scope.cursor_key in known.get(mark, ())
               for name, known in resources.items() if name in telling for mark in READ_MARKS)


def shown_name(row: Row) -> str:
    """The name of an experiment in one line; empty where it has none."""
    name = " ".join(_name(row).split())
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME - 1]}…"


def _listed(scopes: Scopes) -> Mapping[str, Row]:
    """By id, the experiments of the list; none where it cannot be read. What it lacks is no matter of this run."""
    try:
        return {str(row["id"]): row for row in scopes.listed}
    except KeyRejected:
        raise
    except ApiError:
        return {}
    finally:
        scopes.doubts.clear()


def _id_of(given: str, listed: Mapping[str, Row], scopes: Scopes, is_known: Callable[[Scope], bool]) -> str | None:
    found = given if given in listed else _named(given, listed)
    if found or is_known(Scope(given)):
        return found or given
    is_slip = scopes.is_whole and bool(_near(given, listed, SLIP))
    return given if not is_slip and _has_detail(scopes, given) else None


def _named(given: str, listed: Mapping[str, Row]) -> str | None:
    """The id of the experiment of a name, which may be written in other capitals if no other differs by these only."""
    names = {each: _name(row) for each, row in listed.items()}
    exact = [each for each, name in names.items() if name == given]
    found = exact or [each for each, name in names.items() if name.casefold() == given.casefold()]
    if len(found) > 1:
        raise SettingError(f"{len(found)} experiments are called {given!r}: {', '.join(found)}. Give the id of one.")
    return found[0] if found else None


def _has_detail(scopes: Scopes, experiment_id: str) -> bool:
    """Whether the API shows an experiment by itself. One that it does not let be seen may be there."""
    try:
        return bool(scopes.client.get(f"/experiments/{quote(experiment_id, safe='')}").rows)
    except (NotFound, RequestRejected):
        return False
    except KeyRejected:
        raise
    except ApiError:
        return True


def _near(given: str, listed: Mapping[str, Row], least: float = LIKE) -> Sequence[str]:
    """Ids of the experiments whose id or name is like what was given, the likest first."""
    told: dict[str, list[str]] = {}
    for each, row in listed.items():
        for text in {each.casefold(), _name(row).casefold()}:
            told.setdefault(text, []).append(each)
    near = difflib.get_close_matches(given.casefold(), told, n=2 * MOST_NEAR, cutoff=least)
    return list(dict.fromkeys(each for text in near for each in told[text]))[:MOST_NEAR]


def _absence(given: str, listed: Mapping[str, Row]) -> str:
    near = [f"{each} ({shown_name(listed[each])})" for each in _near(given, listed)]
    like = f", but {' or '.join(near)}" if near else ""
    return (f"There is no experiment {given!r} that the key can see{like}: `dlt pipeline hyperstudy check` lists those "
            "that it can, and data of another organisation needs organization_id.")


def _name(row: Row) -> str:
    return str(row.get("name") or "").strip()
