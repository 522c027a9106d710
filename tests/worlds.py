"""Whole worlds: a study that grows between runs, an API that behaves in any way left open, and runs that are stopped.

Everything is made from a `Plan`, which a property test draws. Rows keep to what the source promises to find: they
arrive while their room is open, and lie within it, or up to `EARLY` h before it where they belong to consent.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import dlt
from hypothesis import strategies as st
from loaded import DATASET
from truth import FakeTime, query, statuses, sync

from hyperstudy_source import HyperStudyError, hyperstudy_source
from hyperstudy_source.load import LoadReport
from hyperstudy_source.standin import Behaviour, Fault, Row, StandIn, Study
from hyperstudy_source.sync.run import Run, current_run

MORNING = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)
EXPERIMENTS = ("exp_1", "exp_2")
PEOPLE = ("p1", "p2", "p3", "p4")
EARLY = 20
"""h before its room for which consent may have been given."""
ALWAYS = ("rooms", "participants", "events", "consent")
OTHERS = ("chat", "sync", "ratings_continuous", "ratings_sparse", "eyetracking", "videochat", "components",
          "recordings", "deployments", "sessions", "experiments")
MARKED = ("events", "consent", "chat", "sync", "ratings_continuous", "ratings_sparse", "eyetracking", "videochat",
          "components", "recordings")
"""Tables whose rows are told apart by a field `mark`, which twins share."""
WITH_TWINS = ("sync", "eyetracking")
TIMED = tuple(name for name in MARKED if name not in ("components", "recordings"))
Ending = Literal["whole", "few requests", "api breaks", "killed in extract", "killed in load"]
Told = Counter[tuple[str, str]]


@dataclass(frozen=True)
class NewRoom:
    """A room that opens so many h before now, with these people in it; `minutes` None: it has not ended."""

    experiment: str
    people: tuple[str, ...]
    hours_ago: int
    minutes: int | None


@dataclass(frozen=True)
class NewRows:
    """Rows that arrive for one person of an open room. `place` (0 to 1) tells where in the room's time they lie."""

    table: str
    room: int
    person: int
    places: tuple[float, ...]


@dataclass(frozen=True)
class Act:
    """What happens until the next run, how the API behaves in it, and how it ends."""

    hours: int
    rooms: tuple[NewRoom, ...]
    rows: tuple[NewRows, ...]
    closes: bool
    """Whether rooms that are running end."""
    api: dict[str, Any]
    ending: Ending
    requests: int
    fresh_machine: bool
    older_copy: bool
    """Whether the destination is first set back to what it was before the last run."""


@dataclass(frozen=True)
class Plan:
    """A world: the tables that are loaded, rows of a page, and what happens."""

    tables: tuple[str, ...]
    page_size: int
    acts: tuple[Act, ...]


_rooms = st.builds(
    NewRoom, st.sampled_from(EXPERIMENTS), st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3, unique=True).map(
        lambda people: tuple(sorted(people))), st.integers(0, 30), st.one_of(st.none(), st.integers(5, 90)))
_rows = st.builds(
    NewRows, st.sampled_from(MARKED), st.integers(0, 9), st.integers(0, 3),
    st.lists(st.sampled_from([0.0, 0.25, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=9).map(tuple))
_apis = st.fixed_dictionaries({}, optional={
    "start_time": st.sampled_from(["inclusive", "exclusive", "ignored", "rejected"]),
    "end_time": st.sampled_from(["inclusive", "exclusive", "ignored", "rejected"]),
    "sort": st.sampled_from(["honoured", "ignored", "rejected"]),
    "max_limit": st.sampled_from([4, 50]),
    "next_offset": st.booleans(),
    "ties": st.sampled_from(["stable", "shuffled"]),
    "total": st.sampled_from(["filtered", "unfiltered", "moving", "too_large", "too_small"]),
    "single_as_object": st.booleans(),
    "list_tells": st.booleans(),
    "rows_with_ids": st.sampled_from([True, False]),
    "warnings": st.sampled_from(MARKED).map(lambda table: {table: ["an index is missing"]}),
    "forbidden": st.sampled_from([("events", "exp_1"), ("*", "exp_1"), ("participants", "exp_1")]).map(
        lambda place: {place}),
})
_acts = st.builds(
    Act, st.sampled_from([1, 2, 20, 30, 100, 200]), st.lists(_rooms, max_size=2).map(tuple),
    st.lists(_rows, max_size=6).map(tuple), st.booleans(), _apis,
    st.sampled_from(["whole", "whole", "few requests", "api breaks", "killed in extract", "killed in load"]),
    st.integers(2, 25), st.sampled_from([False, False, False, True]), st.sampled_from([False, False, False, True]))
PLANS = st.builds(
    Plan, st.lists(st.sampled_from(OTHERS), min_size=2, max_size=4, unique=True).map(lambda some: (*ALWAYS, *some)),
    st.sampled_from([3, 7, 1000]), st.lists(_acts, min_size=1, max_size=4).map(tuple))


@dataclass
class Room:
    """A room of the world; `end` None: it has not ended."""

    experiment: str
    room_id: str
    people: tuple[str, ...]
    start: datetime
    end: datetime | None
    served: Row
    """As the API has it."""

    def holds(self, moment: datetime, now: datetime) -> bool:
        """Whether a time lies in it."""
        return self.start <= moment <= (self.end or now)

    def is_open(self, now: datetime) -> bool:
        """Whether rows of it may still arrive, by what the source promises to find."""
        return now < (self.end + timedelta(hours=23) if self.end else self.start + timedelta(days=6.9))


@dataclass
class World:
    """A study and the runs that load it, with what the tables should hold."""

    folder: Path
    plan: Plan
    study: Study = field(default_factory=lambda: Study.empty(*EXPERIMENTS))
    time: FakeTime = field(default_factory=lambda: FakeTime(MORNING.timestamp()))
    rooms: list[Room] = field(default_factory=list)
    placed: dict[tuple[str, str, str], tuple[Room, str, datetime]] = field(default_factory=dict)
    """(table, experiment, mark) -> the room that the row is from, its person and its time."""
    _number: int = 0
    _machine: int = 0

    def __post_init__(self) -> None:
        for experiment in self.study.experiments:
            deployment = {"id": f"dep_{experiment['id']}", "experimentId": experiment["id"], "status": "active"}
            self.study.deployments.append({**deployment, "name": "d", "createdAt": _iso(MORNING)})

    @property
    def now(self) -> datetime:
        """The world's time."""
        return datetime.fromtimestamp(self.time.now, timezone.utc)

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / "hyperstudy.duckdb"

    def pipeline(self) -> dlt.Pipeline:
        """The pipeline as a new process on the current machine finds it."""
        return dlt.pipeline(
            "hyperstudy", destination=dlt.destinations.duckdb(str(self.file)), dataset_name=DATASET,
            pipelines_dir=str(self.folder / f"pipelines_{self._machine}"))

    def play(self, act: Act, api: StandIn) -> None:
        """Lets an act happen, runs, and checks what the tables hold against what the run says."""
        self._happen(act)
        if act.fresh_machine:
            self._machine += 1
        older = self.folder / "older.duckdb"
        if act.older_copy and older.exists():
            shutil.copy(older, self.file)
        elif self.file.exists():
            shutil.copy(self.file, older)
        api.behaviour = Behaviour(**act.api)
        if act.ending == "api breaks":
            api.behaviour.faults.append(Fault("", "server_error", times=None, after=act.requests, status=503))
        if act.ending.startswith("killed"):
            self._killed(act.ending, api)
            return
        limit = {"max_requests": act.requests} if act.ending == "few requests" else {}
        try:
            report = self._sync(api, **limit)
        except HyperStudyError:
            return
        missing = self.missing()
        said = statuses(self.pipeline())
        silent = {place: rows for place, rows in missing.items() if said.get(place) in (None, "complete", "quiet")}
        if report.exit_status == 0:
            assert missing == {}, "a run that says that all is complete lacks rows"
        if report.exit_status == 3:
            assert silent == {}, "the ledger calls complete what lacks rows"
        self.assert_nothing_twice()

    def end(self, api: StandIn) -> None:
        """One run in which all is calm: then everything is there."""
        self._pass(1)
        api.behaviour = Behaviour(rows_with_ids=self.plan.acts[-1].api.get("rows_with_ids"))
        report = self._sync(api)
        assert (report.exit_status, report.notices) == (0, ())
        assert self.missing() == {}
        self.assert_nothing_twice()
        self.assert_rooms()

    def missing(self) -> dict[tuple[str, str], Told]:
        """By table and experiment, rows that the API has and the tables lack."""
        pipeline = self.pipeline()
        found: dict[tuple[str, str], Told] = {}
        for table in self.plan.tables:
            lacking = self._true(table) - self._held(pipeline, table)
            for (experiment, mark), rows in lacking.items():
                found.setdefault((table, experiment), Counter())[experiment, mark] += rows
        return found

    def assert_nothing_twice(self) -> None:
        """No table has a row that the API does not have, or one more often."""
        pipeline = self.pipeline()
        doubled = {table: self._held(pipeline, table) - self._true(table) for table in self.plan.tables}
        assert {table: rows for table, rows in doubled.items() if rows} == {}, "rows that the API does not have"

    def assert_rooms(self) -> None:
        """Every row whose room can be told says it."""
        pipeline = self.pipeline()
        for table in set(self.plan.tables) & set(TIMED):
            if "mark" not in self._columns(pipeline, table):
                continue
            rows = query(pipeline, f"SELECT experiment_id, mark, room_id FROM {table}")
            wrong = {(experiment, mark): room for experiment, mark, room in rows
                     if room not in self._possible_rooms(table, experiment, mark)}
            assert wrong == {}, f"rooms of {table}"

    def _possible_rooms(self, table: str, experiment: str, mark: str) -> set[str | None]:
        """The room that a row is from, and NULL if others of its person's rooms are possible."""
        room, person, moment = self.placed[table, experiment, mark]
        own = [each for each in self.rooms if each.experiment == experiment and person in each.people]
        holding = [each for each in own if each.holds(moment, self.now)]
        if len(own) == 1 or holding == [room]:
            return {room.room_id}
        return {None, *(each.room_id for each in own)}

    def _sync(self, api: StandIn, **limit: int) -> LoadReport:
        return sync(
            self.pipeline(), api, *self.plan.tables, time=self.time, page_size=self.plan.page_size, **limit)

    def _happen(self, act: Act) -> None:
        self._pass(act.hours)
        for new in act.rooms:
            self._open(new)
        for rows in act.rows:
            self._arrive(rows)
        if act.closes:
            for room in self.rooms:
                if room.end is None and room.is_open(self.now):
                    room.end = self.now
                    room.served |= {"status": "completed", "endTime": _iso(self.now)}
                    self._touch(room.experiment)

    def _pass(self, hours: int) -> None:
        self.time.now += hours * 3600

    def _open(self, new: NewRoom) -> None:
        start = self.now - timedelta(hours=new.hours_ago)
        end = None if new.minutes is None else min(self.now, start + timedelta(minutes=new.minutes))
        room_id = f"room_{len(self.rooms)}"
        served = self.study.add_room(
            room_id, experiment_id=new.experiment, deploymentId=f"dep_{new.experiment}", createdAt=_iso(start),
            startTime=_iso(start), endTime=end and _iso(end), status="completed" if end else "active")
        for person in new.people:
            self.study.add_participant(
                person, experiment_id=new.experiment, room_id=room_id, joinedAt=_iso(start),
                completedAt=end and _iso(end))
        self.study.recount(new.experiment)
        self.rooms.append(Room(new.experiment, room_id, new.people, start, end, served))
        self._touch(new.experiment)
        self._put("consent", self.rooms[-1], new.people[0], start - timedelta(hours=new.hours_ago % EARLY))

    def _arrive(self, new: NewRows) -> None:
        """Rows, each with its twin where a table has some and places repeat."""
        rooms = [room for room in self.rooms if room.is_open(self.now)]
        if not rooms or (new.table not in self.plan.tables):
            return
        room = rooms[new.room % len(rooms)]
        person = room.people[new.person % len(room.people)]
        last = room.end or self.now
        for place in new.places:
            self._put(new.table, room, person, room.start + place * (last - room.start))
        if new.table in WITH_TWINS and len(new.places) > 1:
            self._put(new.table, room, person, room.start, twin=True)
            self._put(new.table, room, person, room.start, twin=True)

    def _put(self, table: str, room: Room, person: str, moment: datetime, *, twin: bool = False) -> None:
        self._number += not twin
        mark = f"{'twin ' + room.room_id + person if twin else self._number}"
        row = {"mark": mark, "participantId": person, "timestamp": _iso(moment), "onset": 0, **_FIELDS.get(
            table, lambda _: {})(mark)}
        if table in ("components", "recordings"):
            del row["timestamp"]
        served_as = "events" if table == "consent" else table
        row = {name: value for name, value in row.items() if name != "participantId" or table != "chat"}
        if table == "chat":
            row["senderId"] = person
        self.study.add(served_as, row, experiment_id=room.experiment, room_id=room.room_id, participant_id=person)
        for name in {table, served_as}:
            self.placed[name, room.experiment, mark] = room, person, moment

    def _touch(self, experiment: str) -> None:
        found = self.study.experiment(experiment)
        assert found is not None
        found["updatedAt"] = _iso(self.now)

    def _killed(self, ending: Ending, api: StandIn) -> None:
        """What a process leaves that is killed between two steps of dlt."""
        pipeline = self.pipeline()
        with current_run(Run(clock=self.time.clock, sleep=self.time.sleep)):
            source = hyperstudy_source(api.api_key, api.base_url, page_size=self.plan.page_size,
                                       requests_per_minute=None, requests_per_hour=None)
            pipeline.extract(source.with_resources(*self.plan.tables, "sync_ledger"))
        if ending == "killed in load":
            pipeline.normalize()

    def _true(self, table: str) -> Told:
        if table == "experiments":
            return Counter((each["id"], each["id"]) for each in self.study.experiments)
        if table == "deployments":
            return Counter((each["experimentId"], each["id"]) for each in self.study.deployments)
        if table in ("rooms", "sessions"):
            return Counter((room.experiment, room.room_id) for room in self.rooms)
        if table == "participants":
            return Counter((room.experiment, f"{person} {room.room_id}")
                           for room in self.rooms for person in room.people)
        rows = [row for rows in self.study.rows["events" if table == "consent" else table].values() for row in rows]
        return Counter((row.experiment_id, str(row["mark"])) for row in rows
                       if table != "consent" or row["category"] == "pre_experiment")

    def _held(self, pipeline: dlt.Pipeline, table: str) -> Told:
        told = {"experiments": "id", "deployments": "id", "rooms": "id", "sessions": "id",
                "participants": "id || ' ' || room_id"}.get(table, "mark")
        if told.split()[0] not in self._columns(pipeline, table):
            return Counter()
        rows = query(pipeline, f"SELECT experiment_id, {told}, count(*) FROM {table} GROUP BY ALL")
        return Counter({(str(experiment), str(mark)): int(count) for experiment, mark, count in rows})

    def _columns(self, pipeline: dlt.Pipeline, table: str) -> set[str]:
        with pipeline.sql_client() as client:
            found = client.execute_sql(f"SELECT column_name FROM information_schema.columns WHERE table_schema = "
                                       f"'{DATASET}' AND table_name = '{table}'")
        return {str(name) for name, in found or ()}


_FIELDS: dict[str, Any] = {
    "events": lambda mark: {"id": f"e{mark}", "category": "component", "response": {"chosen": [mark, "x"]}},
    "consent": lambda mark: {"id": f"e{mark}", "category": "pre_experiment", "eventType": "consent.accepted"},
    "chat": lambda mark: {"messageId": f"m{mark}", "content": "hello", "recipientIds": ["p1", "p2"]},
    "ratings_continuous": lambda mark: {"ratingId": f"r{mark}", "value": 50},
    "ratings_sparse": lambda mark: {"ratingId": f"r{mark}", "value": 50},
    "videochat": lambda mark: {"trackPublications": [{"kind": mark}]},
    "components": lambda mark: {"componentId": f"c{mark}", "stateId": "s1", "completed": True},
    "recordings": lambda mark: {"recordingId": f"EG{mark}", "status": "complete"},
}
"""By table: what a row has beside its mark, person and time."""


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
