"""What the ledger is told, and how two reports of the same thing become one.

Whoever attaches to a session reports what its host has in its journal, so a run is told several times, by several processes,
in any order. Each field is merged on its own: a value from a final report (one that knows the end) holds over one from a
report that does not; then the later report's value holds, by the reporter's clock; then the greater value. None tells nothing and
never takes anything away. Since that is a total order of each field's values, merging is commutative, associative and
idempotent. The rank of every field is kept beside the values (`stamps`), without which the outcome would depend on the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

Value = str | int | float
Stamp = tuple[bool, float]
Table = Literal["sessions", "jobs", "runs"]

_NOT_VALUES = frozenset({"id", "as_of"})
_TIMES = frozenset({"as_of", "started", "ended", "seconds"})
_YEAR_3000 = 32_503_680_000
_INT64 = 1 << 63


@dataclass(frozen=True, kw_only=True)
class _Report:
    """`as_of`: when the reporter knew this; a live allocation is known to have lived until then."""

    table: ClassVar[Table]

    id: str
    as_of: float

    @property
    def is_final(self) -> bool:
        return "ended" in self.values()

    @classmethod
    def names(cls) -> list[str]:
        """The fields that are merged: all but the id and the time of the report."""
        return [each.name for each in fields(cls) if each.name not in _NOT_VALUES]

    def values(self) -> dict[str, Value]:
        """What is told, without what is not, and without numbers that cannot be meant: one of them would spoil every sum."""
        found = {name: _fit(name, getattr(self, name)) for name in self.names()}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class SessionReport(_Report):
    """A remote session. It is its own allocation, unless `job_id` names the job that it runs in.

    `price_per_hour` is for the whole allocation, in whatever currency the target's price is. `gpus` is how many it holds.
    """

    table: ClassVar[Table] = "sessions"

    target: str | None = None
    backend: str | None = None
    notebook: str | None = None
    host: str | None = None
    started: float | None = None
    ended: float | None = None
    price_per_hour: float | None = None
    gpus: int | None = None
    job_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobReport(_Report):
    """What a scheduler granted, from its start (not from when it was queued) to its end.

    `id` is one allocation's: the same scheduler's job that was requeued is another allocation and needs an id of its own.
    """

    table: ClassVar[Table] = "jobs"

    target: str | None = None
    scheduler_id: str | None = None
    state: str | None = None
    started: float | None = None
    ended: float | None = None
    reason: str | None = None
    gpus: int | None = None
    price_per_hour: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunReport(_Report):
    """A run. `seconds` it has run by a monotonic clock; `gpu_utilisation` is a mean, 0 to 1.

    `share` is the part of its allocation that it had while it ran, 0 to 1: less than 1 when it ran beside others. `cell` is the
    id that the notebook's front end gives the cell. `said_by` is the username in the message that ran it: whoever sent it chose
    it, so it tells people who edit one notebook apart, and proves and permits nothing.
    """

    table: ClassVar[Table] = "runs"

    session_id: str | None = None
    started: float | None = None
    ended: float | None = None
    state: str | None = None
    seconds: float | None = None
    peak_gpu_bytes: int | None = None
    gpu_utilisation: float | None = None
    sent_bytes: int | None = None
    received_bytes: int | None = None
    share: float | None = None
    cell: str | None = None
    said_by: str | None = None


Report = SessionReport | JobReport | RunReport


@dataclass(frozen=True)
class Record:
    """What is known of one session, job or run. `seen` is the last time that anybody knew of it."""

    values: Mapping[str, Value]
    stamps: Mapping[str, Stamp]
    seen: float


NOTHING = Record({}, {}, -math.inf)


def merged(known: Record, report: _Report) -> Record:
    """What is known with this report too."""
    as_of = float(_fit("as_of", report.as_of) or 0.0)
    stamp = (report.is_final, as_of)
    values, stamps = dict(known.values), dict(known.stamps)
    for name, value in report.values().items():
        if name not in values or (stamp, _order(value)) > (stamps.get(name, (False, -math.inf)), _order(values[name])):
            values[name], stamps[name] = value, stamp
    return Record(values, stamps, max(known.seen, as_of))


def _order(value: Value) -> tuple[bool, Value]:
    """Numbers before texts: a field has one type, but a reporter of another version may differ."""
    return isinstance(value, str), value


def _fit(name: str, value: Any) -> Value | None:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, (int, float)):
        return value + 0 if 0 <= value < (_YEAR_3000 if name in _TIMES else _INT64) else None  # + 0: a bool is a number
    return None


def storable(text: str) -> str:
    """Without a path's undecodable bytes, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
