"""The experiments that were asked for, by id or by name: each is looked up before anything is read.

One that was never real leaves no trace. The list of experiments tells; what it does not show is asked for by itself,
unless its id or name is so near to a listed one that it is a slip.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import dlt
from dlt.common.configuration.exceptions import ContextDefaultCannotBeCreated
from dlt.common.exceptions import PipelineStateNotAvailable

from hyperstudy_source.errors import ApiError, KeyRejected, NotFound, QuotaReached, SettingError
from hyperstudy_source.fields import Row
from hyperstudy_source.scopes import Scopes

MOST_NEAR = 3
"""Experiments that are named where one was not found."""
LIKE, SLIP = 0.6, 0.8
"""How near an id or name is to another one (0 to 1) that may be meant, and to one that must be."""
READ_MARKS = ("cursors", "read", "seen")
"""Under these names the state of a resource tells what was read, by experiment."""


def choose(scopes: Scopes) -> None:
    """Puts ids in place of what was asked for, at the cost of the list of experiments, once.

    What does not exist is a doubt of the run, since the others are read. Raises `SettingError` where none exists, and
    where a name is that of several experiments.
    """
    with scopes.lock:
        if not scopes.experiment_ids or scopes.is_chosen:
            return
        try:
            listed: Mapping[str, Row] = {str(row["id"]): row for row in scopes.listed}
        except (KeyRejected, QuotaReached):
            raise
        except ApiError:
            scopes.set_chosen(scopes.experiment_ids)
            return
        ids, unknown = [], []
        for given in scopes.experiment_ids:
            found = given if given in listed else _named(given, listed)
            if found or _exists(scopes, given, listed):
                ids.append(found or given)
            else:
                unknown.append(_absence(given, listed))
        if not ids:
            raise SettingError(" ".join(unknown))
        scopes.set_chosen(ids)
        scopes.doubts += unknown


def _named(given: str, listed: Mapping[str, Row]) -> str | None:
    """The id of the experiment of a name, which may be written in other capitals if no other differs by these only."""
    exact = [each for each, row in listed.items() if row.get("name") == given]
    found = exact or [each for each, row in listed.items() if str(row.get("name")).casefold() == given.casefold()]
    if len(found) > 1:
        raise SettingError(f"{len(found)} experiments are called {given!r}: {', '.join(found)}. Give the id of one.")
    return found[0] if found else None


def _exists(scopes: Scopes, given: str, listed: Mapping[str, Row]) -> bool:
    """Whether an id that the list does not show is real all the same: it was read before, or its detail is there."""
    if _was_read(given):
        return True
    if scopes.is_whole and _near(given, listed, SLIP):
        return False
    try:
        return bool(scopes.client.get(f"/experiments/{quote(given, safe='')}").rows)
    except NotFound:
        return False
    except (KeyRejected, QuotaReached):
        raise
    except ApiError:
        return True


def _was_read(experiment_id: str) -> bool:
    try:
        resources = dlt.current.source_state().get("resources", {})
    except (PipelineStateNotAvailable, ContextDefaultCannotBeCreated):
        return False
    return any(experiment_id in known.get(mark, {}) for known in resources.values() for mark in READ_MARKS)


def _near(given: str, listed: Mapping[str, Row], least: float = LIKE) -> Sequence[str]:
    """Ids of the experiments whose id or name is like what was given, the likest first."""
    told = {name.casefold(): each for each, row in listed.items() for name in (each, str(row.get("name") or each))}
    near = difflib.get_close_matches(given.casefold(), told, n=2 * MOST_NEAR, cutoff=least)
    return list(dict.fromkeys(told[name] for name in near))[:MOST_NEAR]


def _absence(given: str, listed: Mapping[str, Row]) -> str:
    near = [f"{each} ({listed[each].get('name')})" for each in _near(given, listed)]
    meant = f"Did you mean {' or '.join(near)}?" if near else "`dlt pipeline NAME check` lists those that it can see."
    return (f"There is no experiment {given} that the key can see. {meant} Data of another organisation needs "
            "organization_id.")
