"""`describe`: a dictionary of what is loaded that says what researchers defined, and names nobody."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import new_pipeline, quiet_place

from hyperstudy_source import load
from hyperstudy_source.cli.plugin import DescribeCommand
from hyperstudy_source.data_types import TABLES
from hyperstudy_source.operations.describe import DescribedColumn, Dictionary, describe
from hyperstudy_source.operations.dictionary_formats import FORMATS
from hyperstudy_source.operations.documents import Block, Grid, Heading, as_html, as_markdown
from hyperstudy_source.standin import StandIn, demo_study
from hyperstudy_source.tables.known import known_of

LOADED = ["experiments", "rooms", "participants", "chat", "eyetracking", "ratings_sparse", "agent_decisions"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dlt.Pipeline]:
    """A pipeline with some tables of the demo study."""
    with quiet_place(tmp_path_factory.mktemp("described")) as folder, StandIn(demo_study()) as api:
        loaded = new_pipeline(folder)
        load(loaded, LOADED, api_key=api.api_key, base_url=api.base_url)
        yield loaded


@pytest.fixture(scope="module")
def dictionary(pipeline: dlt.Pipeline) -> Dictionary:
    made = describe(pipeline)
    assert made
    return made


@pytest.fixture(scope="module")
def columns(dictionary: Dictionary) -> dict[str, DescribedColumn]:
    return {f"{table.name}.{column.name}": column for table in dictionary.tables for column in table.columns}


def asked(pipeline: dlt.Pipeline, query: str) -> list[Any]:
    with pipeline.sql_client() as client:
        return [row if len(row) > 1 else row[0] for row in client.execute_sql(query) or ()]


def test_every_table_and_column_of_the_dataset_is_described(
        pipeline: dlt.Pipeline, dictionary: Dictionary, columns: dict[str, DescribedColumn]) -> None:
    there = asked(pipeline, "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE "
                            "table_schema = 'hyperstudy_data' AND NOT starts_with(table_name, '_dlt')")
    assert sorted(there) == sorted(columns)
    assert [table.name for table in dictionary.tables if "__" not in table.name] == [
        name for name in TABLES if name in (*LOADED, "sync_ledger")]
    assert all(table.description for table in dictionary.tables)
    assert all(column.known.description for column in columns.values())
    assert {table.name: table.rows for table in dictionary.tables} == dict(asked(pipeline, " UNION ALL ".join(
        f"SELECT '{table.name}', count(*) FROM {table.name}" for table in dictionary.tables)))


@pytest.mark.parametrize("place", ["ratings_sparse.value", "rooms.start_time", "chat__recipient_ids.value",
                                   "participants.completed_at", "eyetracking.gaze_x", "chat.content"])
def test_the_figures_are_those_of_the_rows(
        pipeline: dlt.Pipeline, columns: dict[str, DescribedColumn], place: str) -> None:
    table, name = place.split(".")
    found = columns[place].figures
    counted = asked(pipeline, f"SELECT count({name}), count(DISTINCT {name}) FROM {table}")
    assert [(found.filled, found.distinct)] == counted
    if columns[place].data_type == "double":
        assert [(found.lowest, found.highest)] == asked(pipeline, f"SELECT min({name}), max({name}) FROM {table}")


def test_examples_are_the_most_frequent_values(columns: dict[str, DescribedColumn]) -> None:
    assert columns["participants.role"].figures.examples == ("talker", "listener", "companion")
    assert columns["chat.deleted"].figures.examples == ("false", "true")
    assert columns["ratings_sparse.metadata__question"].figures.examples == ("How engaging is this film?",)


def test_nothing_that_names_anybody_or_that_people_wrote_is_shown(
        pipeline: dlt.Pipeline, columns: dict[str, DescribedColumn], dictionary: Dictionary) -> None:
    named: set[str] = set()
    for place, column in columns.items():
        if column.known.names in ("participant", "contact", "researcher") or place == "chat.content":
            table, name = place.split(".")
            named.update(map(str, asked(pipeline, f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL")))
    assert {"user_01", "researcher@example.org"} <= named
    assert len(named) > 60
    for form, make in FORMATS.items():
        text = make(dictionary)
        assert [value for value in named if value in text] == ["Companion"], f"an agent is called as its role: {form}"


def test_a_field_that_the_documentation_does_not_know_shows_its_range_and_no_text(
        columns: dict[str, DescribedColumn]) -> None:
    assert columns["eyetracking.pupil_left"].figures.lowest
    assert columns["eyetracking.state_id"].figures.distinct == 2
    assert columns["eyetracking.state_id"].figures.examples == ()
    assert columns["agent_decisions__peer_model_snapshot.value__inferred_goal"].figures.examples == ()


def test_what_researchers_defined_is_listed(dictionary: Dictionary) -> None:
    lists = {(each.experiment_id, each.title): [dict(zip(each.columns, row, strict=True)) for row in each.rows]
             for each in dictionary.definitions}
    questions = lists["exp_video_pairs", "Questions at the end"]
    assert [question["id"] for question in questions] == ["q_close", "q_agree", "q_words", "q_seen"]
    assert questions[0]["text"] == "How close did you feel to your partner?"
    assert (questions[0]["min"], questions[0]["max"]) == ("1", "7")
    assert questions[1]["options"] == "Agree | Disagree"
    states = lists["exp_video_pairs", "States"]
    assert [state["name"] for state in states][:2] == ["Welcome", "Talk with your partner"]
    assert states[0]["transition_rules__duration_ms"] == "10000"
    assert states[0]["global_components_visibility"] == "continuousrating: false | videochat: true"
    scale = lists["exp_video_pairs", "Components of several states"][0]["value"]
    assert json.loads(scale) == {"dimension": "engagement", "min": 0, "max": 100, "sampleRateMs": 500}
    assert {"key": "showScores", "value": "false"} in lists["exp_video_agents", "Variables"]


def test_joins_lead_from_every_table_to_the_experiments(pipeline: dlt.Pipeline, dictionary: Dictionary) -> None:
    belongs = {join.table: join for join in dictionary.joins}
    for table in belongs:
        steps = [table]
        while steps[-1] in belongs:
            steps.append(belongs[steps[-1]].to_table)
        assert steps[-1] == "experiments"
    assert belongs["rooms"].condition == "experiment_id"
    assert belongs["participants"].condition == "experiment_id, room_id = id"
    assert 'eyetracking }|--|| participants : "experiment_id, room_id, participant_id"' in dictionary.diagram
    for table, join in belongs.items():
        on = " AND ".join(f"a.{own} = b.{to}" for own, to in zip(join.columns, join.to_columns, strict=True))
        joined = f"SELECT count(*) FROM {table} a SEMI JOIN {join.to_table} b ON {on}"
        assert asked(pipeline, joined) == asked(pipeline, f"SELECT count(*) FROM {table}"), joined


def test_each_format_says_the_same(dictionary: Dictionary, columns: dict[str, DescribedColumn]) -> None:
    entries = list(csv.DictReader(io.StringIO(FORMATS["csv"](dictionary))))
    assert [f"{entry['table']}.{entry['column']}" for entry in entries] == list(columns)
    onset = next(entry for entry in entries if (entry["table"], entry["column"]) == ("chat", "onset"))
    assert (onset["unit"], onset["api_field"], onset["rows"], onset["nulls"]) == ("ms", "onset", "72", "0")
    told = json.loads(FORMATS["json"](dictionary))
    assert [table["table"] for table in told["tables"]] == [table.name for table in dictionary.tables]
    assert {"experiment_id", "title", "columns", "rows"} <= told["definitions"][0].keys()
    markdown = FORMATS["markdown"](dictionary)
    sentence = "Time since the start of the experiment; negative before it."
    assert f"| onset | double | ms | {sentence} | onset | 0 |" in markdown
    assert "```mermaid\nerDiagram\n" in markdown
    page = Page()
    page.feed(FORMATS["html"](dictionary))
    assert page.open == []
    assert page.cells.count(sentence) == len(["chat", "eyetracking", "ratings_sparse"])


class Page(HTMLParser):
    """The texts in the cells of a page, and the elements that nothing closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name in ("src", "href") for name, _ in attrs), "the page loads nothing"
        self.open += [] if tag == "meta" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_a_text_cannot_leave_its_cell() -> None:
    blocks: list[Block] = [Heading("<b>", 1), Grid(["a|b"], [["<script>x</script>\n| c | *d* \\"]])]
    assert as_markdown(blocks).splitlines()[-1] == "| &lt;script>x&lt;/script> \\| c \\| \\*d\\* \\\\ |"
    assert "<script>" not in as_html(blocks)
    assert "<title>&lt;b&gt;</title>" in as_html(blocks)


@pytest.mark.parametrize(("place", "mark", "is_documented"), [
    ("chat.sender_name", "contact", True),
    ("chat.grown", None, False),
    ("events.data__user__name", "free_text", False),
    ("events.value_text", "free_text", True),
    ("ratings_sparse.value_text", None, False),
    ("chat__recipient_ids.value_text", "participant", False),
    ("events__response__ranking.text", "free_text", False),
    ("videochat__track_publications.identity", "free_text", False),
    ("recordings.file_name_text", "contact", False),
    ("agent_decisions__peer_model_snapshot.key", "participant", True),
    ("agent_decisions__peer_model_snapshot__value.value", "free_text", False),
    ("something_else.name", None, False),
])
def test_what_a_field_says_of_people_holds_for_all_that_lies_in_it(
        place: str, mark: str | None, is_documented: bool) -> None:
    known = known_of(*place.split("."))
    assert (known.names, known.is_documented) == (mark, is_documented)


def test_a_pipeline_without_data_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    never = new_pipeline(tmp_path)
    assert describe(never) is None
    assert DescribeCommand().run(never, Namespace(format="markdown"), {}) == 0
    assert capsys.readouterr().err.startswith("Nothing is loaded yet. To load: dlt pipeline ")
