"""The rooms and participants that were asked for: each is looked up before anything is read.

As with experiments, a list tells, and what it does not show is asked for by itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection

from hyperstudy_source.api.envelope import Page
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.errors import ApiError, KeyRejected, NotFound, SettingError
from hyperstudy_source.sync.scopes import ROOMS_PAGE, Scope, Scopes

MOST_NEAR = 3
"""Rooms that are named where one was not found."""


def require_rooms(scopes: Scopes, is_known: Callable[[Scope], bool]) -> None:
    """Raises `SettingError` for a room or participant that does not exist, or is elsewhere, and was never read.

    A room of which no experiment, or one of several, was named has been found in its own already.
    """
    for scope in scopes if scopes.is_narrowed else ():
        if not is_known(scope):
            if len(scopes.experiment_ids) == 1:
                _require_room(scopes, str(scope.room_id), scope.experiment_id)
            if scope.participant_id:
                _require_participant(scopes, scope)


def _require_room(scopes: Scopes, room_id: str, experiment_id: str) -> None:
    rooms: Collection[str] = ()
    try:
        rooms = scopes.rooms_of(experiment_id)
    except KeyRejected:
        raise
    except ApiError:
        is_whole = False
    else:
        is_whole = bool(rooms) and not scopes.may_have_more_rooms(experiment_id)
    if room_id in rooms:
        return
    events, is_there = _events(scopes, Scope(experiment_id, room_id))
    named = [str(row["experimentId"]) for row in (events.rows if events else []) if row.get("experimentId")]
    if named and named[0] != experiment_id:
        raise SettingError(f"Room {room_id!r} belongs to experiment {named[0]}, not to {experiment_id}: name that one.")
    if not named and (is_whole or not is_there):
        near = difflib.get_close_matches(room_id, rooms, n=MOST_NEAR)
        like = f", but {' or '.join(near)} {'is' if len(near) == 1 else 'are'}" if near else ""
        raise SettingError(f"Room {room_id!r} is not in experiment {experiment_id}{like}: check the id.")


def _require_participant(scopes: Scopes, scope: Scope) -> None:
    people: set[str] = set()
    path, params = Scope(scope.experiment_id, scope.room_id).endpoint(DATA_TYPES["participants"])
    is_whole = True
    try:
        for page in scopes.client.pages(path, params, limit=ROOMS_PAGE):
            people.update(str(row.get(name)) for row in page.rows for name in ("id", "participantId"))
            is_whole = is_whole and not (page.warnings or page.stops_short)
    except KeyRejected:
        raise
    except ApiError:
        is_whole = False
    if scope.participant_id in people:
        return
    events, is_there = _events(scopes, scope)
    if not (events and events.rows) and ((is_whole and people) or not is_there):
        raise SettingError(f"There is no participant {scope.participant_id!r} in room {scope.room_id}: check both ids.")


def _events(scopes: Scopes, scope: Scope) -> tuple[Page | None, bool]:
    """An event of a scope, and whether the scope may be there: the API does not say that it is not."""
    path, params = scope.endpoint(DATA_TYPES["events"])
    try:
        return scopes.client.get(path, {**params, "limit": 1}), True
    except KeyRejected:
        raise
    except NotFound:
        return None, False
    except ApiError:
        return None, True
