"""How the stand-in behaves where the API is unknown, changes, or fails.

`Behaviour()` is the documented API at its best. Each switch may be set at any time, also between requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hyperstudy_source.standin.study import Study

Bound = Literal["inclusive", "exclusive", "ignored", "rejected"]
Sorting = Literal["honoured", "ignored", "rejected"]
Total = Literal["filtered", "unfiltered", "moving", "too_large", "too_small"]
Ties = Literal["stable", "shuffled"]
Ranges = Literal["honoured", "ignored", "wrong"]
FileHash = Literal["md5", "crc32c", "etag", "opaque_etag"]
Length = Literal["announced", "chunked", "closed"]
FaultKind = Literal[
    "rate_limit",
    "server_error",
    "html",
    "html_200",
    "json_200",
    "xml_200",
    "blocked",
    "same_names",
    "cut",
    "stall",
    "empty",
    "announced_longer",
    "announced_shorter",
    "wrong_hash",
    "corrupt",
    "bad_json",
    "error_in_200",
    "reset",
    "redirect",
    "expired",
    "hook",
]

ROOM_CAP = 5000
"""Rooms that one answer holds at most (documented)."""
DECISION_CAP = 5000
"""Agent decisions per room when no `limit` is sent (documented)."""
WRONG_BY = 3
"""By how many rows a total is `too_large` or `too_small`."""
MINTED_SECONDS = 900
"""Life of a link from the download endpoint."""


@dataclass
class Fault:
    """Something that goes wrong for requests whose path starts with `path`.

    Attributes:
        path: prefix relative to `/api/v3`, such as `/data/events`; `/storage` for files; `""` for all.
        kind: `rate_limit` 429 · `server_error` JSON of `status` · `html` 502 page · `html_200`, `json_200`,
            `xml_200` error page with 200 · `blocked` a page of `status`, as a firewall or proxy sends · `cut` the
            body up to `at`, then closed · `stall` the body up to `at`, then nothing until the client goes away ·
            `empty` 200 and no body, with the headers that the answer would have had · `announced_longer` a
            `Content-Length` that is larger by `by`, closed after the body · `announced_shorter` one that is smaller
            by `by`, and no more is sent · `same_names` what is called `value#2` comes as `value`, a second time ·
            `wrong_hash` a file with hashes and `ETag` of another · `corrupt` the body with the byte at `at`
            changed · `bad_json` half the body, whole by its length · `error_in_200` the error envelope with
            200 · `reset` closed without an answer · `redirect` 302 to `location` · `expired` a file's link
            is refused · `hook` calls `hook(study)`, then answers.
        times: how often; None for always.
        after: how many matching requests pass before the first.
        params: query parameters the request must have, such as `{"offset": "1000"}`.
        status: of a `server_error` or `blocked`.
        retry_after: header of a `rate_limit` or `server_error`: seconds, an HTTP date, or None for no header.
        location: of a `redirect`.
        at: a place in the body of the answer, be it a part of a file: None for its middle.
        by: bytes that an announced length is off.
        content_type: sent in place of the answer's own, such as `video/mp4` for a page; `""` for its own.
        hook: of a `hook`; runs under the study's lock, so rows can come or go between pages.
    """

    path: str
    kind: FaultKind
    times: int | None = 1
    after: int = 0
    params: Mapping[str, str] = field(default_factory=dict)
    status: int = 500
    retry_after: str | None = None
    location: str = ""
    at: int | None = None
    by: int = 1
    content_type: str = ""
    hook: Callable[[Study], object] | None = None

    def meets(self, path: str, params: Mapping[str, str]) -> bool:
        """Say whether this request is hit, and count it."""
        if not path.startswith(self.path) or not self.params.items() <= params.items() or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Behaviour:
    """Switches of the stand-in.

    Attributes:
        start_time: what `startTime` does to a row at exactly that time, or whether it is ignored or answered
            with 400; one word, or a map of table names to words (others inclusive).
        end_time: the same for `endTime`.
        sort: whether `sort` and `order` are honoured; `ignored` serves rows as stored.
        max_limit: a larger `limit` is lowered to this without a word.
        reject_limit_above: a larger `limit` is answered with 400 `INVALID_PARAMETER`.
        reject_limit: path prefixes that answer 400 to any `limit`; `""` for all.
        next_offset: whether `pagination.nextOffset` is sent when there is more.
        pagination: whether `pagination` is sent; without it, `limit` and `offset` still hold.
        whole_answers: every row in one answer; `limit` and `offset` are ignored.
        ties: whether rows of one time keep their order, or (`shuffled`) have another with every request.
        total: `pagination.total` counts the filtered rows, all rows of the scope, or (`moving`) the filtered
            rows and one more for every earlier request of the same path; or it is off by `WRONG_BY`.
        single_as_object: an answer of one row is the object, not a list.
        warnings: table name to the texts of `_warnings`.
        unlisted: ids of experiments that the list of experiments does not show.
        list_tells: the list of experiments says how many rooms and participants each has.
        left_out: table name to the number of rows that are missing from the end of every answer's selection.
        rooms_are_whole: `warnings` and `left_out` are of answers for an experiment only.
        forbidden: (table name or `"*"`, experiment id) answered with 403.
        latency: seconds before every answer.
        minted_seconds: life of a link from the download endpoint; 0 for one that has expired when it comes.
        expire_links: every link to a file has expired.
        expired_status: what the storage answers to an expired link.
        ranges: a `Range` of a file is answered with that part, `ignored` (200 and the whole file), or `wrong`
            (206 with other bytes, as its `Content-Range` says: from the file's start, or past it).
        file_hashes: what a file is sent with: `md5` and `crc32c` in `x-goog-hash`, the MD5 as `etag`, or an
            `opaque_etag`, which is not a hash of the file.
        separate_hashes: `x-goog-hash` is sent once for each hash, not once with a comma.
        file_length: a file comes with `Content-Length`, `chunked`, or ends when the connection is `closed`.
        rows_with_ids: rows carry `experimentId` and `roomId`: always, never, or (None) as documented for the
            table. Tables that need them to tell rows apart (rooms, participants, agents) keep theirs.
        room_cap: rooms in one selection at most.
        decision_cap: agent decisions per room when no `limit` is sent.
        per_minute: requests a minute per endpoint before 429, None for no limit; the API allows 100.
        per_hour: requests an hour per key before 429, None for no limit; the API allows 1,000.
        faults: what goes wrong, in the order tried.
    """

    start_time: Bound | dict[str, Bound] = "inclusive"
    end_time: Bound | dict[str, Bound] = "inclusive"
    sort: Sorting = "honoured"
    max_limit: int | None = None
    reject_limit_above: int | None = None
    reject_limit: set[str] = field(default_factory=set)
    next_offset: bool = True
    pagination: bool = True
    whole_answers: bool = False
    ties: Ties = "stable"
    total: Total = "filtered"
    single_as_object: bool = False
    warnings: dict[str, list[str]] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    list_tells: bool = True
    left_out: dict[str, int] = field(default_factory=dict)
    rooms_are_whole: bool = False
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    latency: float = 0.0
    minted_seconds: int = MINTED_SECONDS
    expire_links: bool = False
    expired_status: int = 403
    ranges: Ranges = "honoured"
    file_hashes: Collection[FileHash] = ("md5", "crc32c", "etag")
    separate_hashes: bool = False
    file_length: Length = "announced"
    rows_with_ids: bool | None = None
    room_cap: int = ROOM_CAP
    decision_cap: int = DECISION_CAP
    per_minute: int | None = None
    per_hour: int | None = None
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def take(self, path: str, params: Mapping[str, str], study: Study) -> Fault | None:
        """Run the hooks that this request meets and return the first other fault that it meets."""
        with self._lock:
            hooks: list[Fault] = []
            fault: Fault | None = None
            for each in list(self.faults):
                if each.kind == "hook":
                    hooks += [each] if each.meets(path, params) else []
                elif fault is None and each.meets(path, params):
                    fault = each
        for each in hooks:
            if each.hook is not None:
                with study.lock:
                    each.hook(study)
                    study.thaw()
        return fault

    def forbids(self, table: str, experiment_id: str) -> bool:
        """Say whether this table of this experiment is answered with 403."""
        return bool({(table, experiment_id), ("*", experiment_id)} & self.forbidden)


def bound_for(setting: Bound | dict[str, Bound], table: str) -> Bound:
    """Return what a time bound does for a table."""
    return setting.get(table, "inclusive") if isinstance(setting, dict) else setting
