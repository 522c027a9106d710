"""What a failure of dlt or of a database means: an error of this package, with what happened and what to do.

What a driver says of a row holds the row: of a failed write only the table, the kind of failure and what to do are
told, never the driver's words. What it says when it is opened is told, for no row has been sent by then.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dlt
from dlt.common import logger
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    LookupTrace,
    flatten_traces,
)
from dlt.common.destination.exceptions import DestinationException, WithJobError
from dlt.common.exceptions import DltException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.pipeline.exceptions import PipelineStepFailed

from hyperstudy_source.api.redaction import without_secrets
from hyperstudy_source.errors import DestinationError, HyperStudyError, SettingError

HELD = re.compile(r"(?:held|open)\s+in\s+(\S.*?)\s*\(PID (\d+)\)", re.DOTALL)
"""How DuckDB names the program that has a file open, and its process id."""
NO_FOLDER = re.compile(r'Cannot open file "(.+?)": No such file or directory', re.DOTALL)
CONTRACT = re.compile(
    r"In Table: `([^`]*)` (?:Column: `([^`]*)`)? ?\. Contract on `(\w+)` with `contract_mode=(\w+)` is violated")
"""How dlt tells what breaks a schema contract; of another process nothing but the text comes."""
LOGIN = re.compile(r"(?<=://)[^/\s@]*@")
"""User and password in the address of a database."""
KINDS = (
    ("memory", "the memory did not suffice. Load fewer data types at once, with --data-type"),
    ("constraint|integrity|unique", "a row breaks a rule of the table. Please report it with this text"),
    ("conversion|dataerror|arrow|valueerror|typeerror|outofrange",
     "a value does not fit its column. Please report it with this text"),
    ("ioexception|oserror|ioerror", "the disk did not take it. Check that there is space, and run again"),
    ("operational|connection|transient|timeout", "the connection broke. Run again"),
)
"""Names of exceptions -> what they mean and what to do."""
OF_ROWS = ("normalize", "load")
"""dlt's steps whose failures may tell what stands in a row."""


def explained_failure(
    failure: BaseException, pipeline: dlt.Pipeline | None = None, doing: str = "Loading into"
) -> HyperStudyError:
    """The error of this package that a failure stands for. `doing` the destination is what failed."""
    chain = causes(failure)
    ours = next((cause for cause in chain if isinstance(cause, HyperStudyError)), None)
    setting = next((cause for cause in chain if isinstance(cause, ConfigurationException)), None)
    opening = next((cause for cause in chain if isinstance(cause, DestinationConnectionError)), None)
    contract = next(filter(None, (CONTRACT.search(str(cause)) for cause in chain)), None)
    step = failure.step if isinstance(failure, PipelineStepFailed) else None
    destination = pipeline.destination.destination_name if pipeline and pipeline.destination else "the destination"
    if ours or setting:
        return ours or SettingError(_of_setting(setting))
    if contract:
        return SettingError(f"{doing} {destination} failed: {_of_contract(contract)}{_kept(doing)}")
    if opening:
        return DestinationError(f"{doing} {destination} failed: {_of_opening(opening.inner_exc)}{_kept(doing)}")
    if step in OF_ROWS and pipeline:
        return DestinationError(f"{doing} {destination} failed: {_of_rows(chain, pipeline)}{_kept(doing)}")
    known = DestinationException if step == "extract" else (DltException, ImportError, OSError)
    told = next((cause for cause in reversed(chain) if isinstance(cause, DestinationException)), chain[-1])
    if not isinstance(told, known):
        return HyperStudyError(_unforeseen(chain[-1], doing if step is None else "Reading"))
    return DestinationError(f"{doing} {destination} failed: {_sentence(told)} Check that it can be reached and written "
                            f"and that nothing else has it open, then run again.{_kept(doing)}")


def causes(failure: BaseException) -> Sequence[BaseException]:
    """A failure and what led to it, the first cause last."""
    chain: list[BaseException] = []
    current: BaseException | None = failure
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def require_packages(pipeline: dlt.Pipeline) -> None:
    """Raises `DestinationError` where the destination's packages are not installed."""
    try:
        if pipeline.destination:
            _ = pipeline.destination.client_class
    except ImportError as missing:
        name = pipeline.destination.destination_name
        raise DestinationError(f"The destination {name} needs packages that are not installed "
                               f"({' '.join(str(missing).split())}). Run: pip install \"dlt[{name}]\"") from None


@contextmanager
def rows_kept_from_log() -> Iterator[None]:
    """Inside the block dlt's log says that writing failed, and not what the driver says of the row."""
    log: logging.Logger | None = logger.LOGGER
    if log is None:
        yield
        return
    log.addFilter(_without_driver)
    try:
        yield
    finally:
        log.removeFilter(_without_driver)


def _without_driver(record: logging.LogRecord) -> bool:
    """Cuts a record of dlt's steps of rows before what an exception says."""
    if record.levelno >= logging.WARNING and Path(record.pathname).parent.name in OF_ROWS:
        record.msg = re.split(r" with message |(?<=exception from worker): |following error: ", record.getMessage())[0]
        record.args, record.exc_info, record.exc_text = (), None, None
    return True


def _of_setting(setting: ConfigurationException | None) -> str:
    """What is missing and where to set it, or dlt's text to its end."""
    if not isinstance(setting, ConfigFieldMissingException):
        return (f"The configuration cannot work: {_sentence(setting)} Set it in .dlt/config.toml, in .dlt/secrets.toml "
                "or as an environment variable.")
    tried: dict[tuple[str, ...], LookupTrace] = {}
    for trace in flatten_traces([each for traces in setting.traces.values() for each in traces]):
        tried.setdefault((*trace.sections, trace.key.split("__")[-1].split(".")[-1].lower()), trace)
    longest = {path[-1]: path for path in sorted(tried, key=len)}.values()
    keys = ", ".join("__".join(path).upper() for path in longest)
    sections = ", ".join(dict.fromkeys(f"[{'.'.join(path[:-1])}]" for path in longest))
    fields = ", ".join(path[-1] for path in longest)
    return (f"The configuration cannot work: {fields} {'is' if len(longest) == 1 else 'are'} missing. "
            f"Set it under {sections} in .dlt/secrets.toml, or in the environment as {keys}.")


def _of_contract(broken: re.Match[str]) -> str:
    """What the schema contract does not let in; dlt's own text goes on with the ids of the row."""
    table, column, entity, mode = broken.groups()
    what = {"tables": f"the table {table} is new", "columns": f"the column {table}.{column} is new"}.get(
        entity, f"a value of {table}.{column} is of another type than the column")
    return (f"{what}, and the schema contract ({entity}: {mode}) refuses that. To let it in, run "
            f"pipeline.abort_packages() and pipeline.run(hyperstudy_source(), schema_contract={{\"{entity}\": "
            "\"evolve\"}).")


def _of_opening(reason: BaseException) -> str:
    """Why a database cannot be opened."""
    text = str(reason)
    held, folder = HELD.search(text), NO_FOLDER.search(text)
    if held:
        return f"the program {held[1]} (process {held[2]}) has its file open. Close it there, then run again."
    if folder:
        return (f"the folder in which its file is to lie is not there. Make it with "
                f"`mkdir -p {shlex.quote(str(Path(folder[1]).parent))}`, then run again.")
    return (f"{_sentence(reason)} Check that it can be reached and written and that nothing else has it open, then run "
            "again.")


def _of_rows(chain: Sequence[BaseException], pipeline: dlt.Pipeline) -> str:
    """Which table was not written, and for what kind of reason; nothing that an exception says."""
    job = next((cause for cause in chain if isinstance(cause, WithJobError)), None)
    last: BaseException = getattr(job, "client_exception", None) or chain[-1]
    name = type(getattr(last, "dbapi_exception", None) or last).__name__
    meaning = next((means for words, means in KINDS if re.search(words, name, re.IGNORECASE)),
                   "the database refused it. Please report it with this text")
    table = f"the table {job.job_id.split('.')[0]} was" if job else "the tables were"
    return (f"{table} not written ({name}): {meaning}. What the database says of the row may hold data of people and "
            f"is not shown here; `dlt pipeline {shlex.quote(pipeline.pipeline_name)} trace` shows it.")


def _unforeseen(reason: BaseException, doing: str) -> str:
    """Where it happened; the text of the exception may hold what stands in a row."""
    place, at = "", reason.__traceback__
    while at:
        file = Path(at.tb_frame.f_code.co_filename)
        place = f" at {file.name}:{at.tb_lineno}" if file.parent.name == __package__ or not place else place
        at = at.tb_next
    return (f"{doing.split()[0]} failed for a reason that is not foreseen ({type(reason).__name__}{place}). Nothing "
            "was loaded. Please report it with this text.")


def _sentence(reason: object) -> str:
    """The text of an exception in one line, to its end, without secrets."""
    text = LOGIN.sub("…@", without_secrets(" ".join(str(reason).split())))
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _kept(doing: str) -> str:
    return " What was loaded before is unchanged." if doing.startswith("Loading") else ""
