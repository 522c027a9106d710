"""The table of data types: what the HyperStudy V3 API serves, and what each becomes in the database.

Start reading here: resources, columns, descriptions, documentation, the command's choices and the tests all derive from
`DATA_TYPES`. A row states facts of the API, in one module for each group of tables; an endpoint of another shape is a
named function in `endpoints`.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperstudy_source.data_types.agents import AGENT_DECISIONS, AGENT_RUNS, PERSONAS
from hyperstudy_source.data_types.answers import COMPONENTS, RATINGS_CONTINUOUS, RATINGS_SPARSE
from hyperstudy_source.data_types.data_type import EVERY_SCOPE, DataType, ScopeKind
from hyperstudy_source.data_types.events import CONSENT, EVENTS, INSTRUCTIONS, QUESTIONNAIRE
from hyperstudy_source.data_types.files_and_ledger import RECORDING_FILES, SYNC_LEDGER
from hyperstudy_source.data_types.measures import EYETRACKING, RECORDINGS, SYNC
from hyperstudy_source.data_types.place_and_time import PLACE_FIELDS
from hyperstudy_source.data_types.study import DEPLOYMENTS, EXPERIMENTS, PARTICIPANTS, ROOMS, SESSIONS
from hyperstudy_source.data_types.talk import CHAT, VIDEOCHAT
from hyperstudy_source.data_types.variables import VARIABLE_TIMELINE, VARIABLE_WRITES

__all__ = [
    "DATA_TYPES", "DEFAULT_DATA_TYPES", "EVERY_SCOPE", "PLACE_FIELDS", "RECORDING_FILES", "SYNC_LEDGER", "TABLES",
    "DataType", "ScopeKind",
]

_ALL = (
    EXPERIMENTS, DEPLOYMENTS, SESSIONS, ROOMS, PARTICIPANTS, EVENTS, QUESTIONNAIRE, INSTRUCTIONS, CONSENT, RECORDINGS,
    CHAT, VIDEOCHAT, SYNC, RATINGS_CONTINUOUS, RATINGS_SPARSE, COMPONENTS, EYETRACKING, AGENT_DECISIONS, AGENT_RUNS,
    VARIABLE_WRITES, VARIABLE_TIMELINE, PERSONAS,
)

DATA_TYPES: Mapping[str, DataType] = {data_type.name: data_type for data_type in _ALL}
"""All data types by the name of their table, in the order in which they are listed to people."""

TABLES: Mapping[str, DataType] = {
    **DATA_TYPES, RECORDING_FILES.name: RECORDING_FILES, SYNC_LEDGER.name: SYNC_LEDGER}
"""All tables that can be asked for: the data types, and what is made from them."""

DEFAULT_DATA_TYPES: tuple[str, ...] = tuple(name for name, data_type in DATA_TYPES.items() if data_type.selected)
"""What is loaded where nothing is chosen."""
