"""From what is known of sessions, jobs and runs to what they have used. No file, no clock: arithmetic.

An **allocation** costs from its start to its end, idle or not: a job where a scheduler granted one, else the session itself. A
run costs nothing on top; it shows its share. An allocation whose end nobody has told counts until it was last known to live,
never until "now": a notebook that died must not go on costing.

Whatever counts by time is cut at the window's edges, and what counts once (bytes, the number of runs) belongs to the window in
which the run started. So windows side by side add up to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Literal

By = Literal["target", "day", "notebook"]
UNKNOWN = "unknown"
"""The target or notebook of what was reported without one."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Allocation:
    """A stretch of time that is paid for; `is_ended` is False when `end` is only the last sign of life."""

    id: str
    target: str
    notebook: str
    start: float
    end: float
    is_ended: bool
    gpus: int | None
    price_per_hour: float | None

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    def cost(self, seconds: float) -> float | None:
        return None if self.price_per_hour is None else seconds * self.price_per_hour / 3600


@dataclass(frozen=True)
class Run:
    """A run with the names that it is counted under."""

    id: str
    target: str
    notebook: str
    start: float
    seconds: float
    sent_bytes: int
    received_bytes: int
    peak_gpu_bytes: int | None
    gpu_utilisation: float | None


@dataclass(frozen=True)
class RunFilter:
    """Runs of one target, of one session, or that are in one state; None: of all."""

    target: str | None = None
    session: str | None = None
    state: str | None = None

    def fits(self, target: str | None, session: str | None, state: str | None) -> bool:
        pairs = ((self.target, target), (self.session, session), (self.state, state))
        return all(wanted in (None, having) for wanted, having in pairs)


@dataclass(frozen=True)
class UsageRow:
    """What one target, day or notebook has used.

    `seconds` and `gpu_seconds` are those of allocations, idle included, and `run_seconds` those of them in which something ran.
    `cost` is None when no price is known for any of it; `unpriced_s` are the seconds that it leaves out. `open` allocations are
    those whose end is not known: they count until they were last heard of. `gpu_utilisation` (0 to 1) is the mean over the runs
    that were measured, by their seconds.
    """

    key: str
    seconds: float
    gpu_seconds: float
    run_seconds: float
    runs: int
    sent_bytes: int
    received_bytes: int
    cost: float | None
    unpriced_s: float
    open: int
    peak_gpu_bytes: int | None
    gpu_utilisation: float | None


@dataclass(frozen=True)
class RunUsage:
    """A run and its share: `part` of its allocation's whole time (None when that is not known), and of the cost."""

    id: str
    target: str
    notebook: str
    state: str | None
    started: float | None
    ended: float | None
    seconds: float
    gpu_seconds: float
    sent_bytes: int
    received_bytes: int
    peak_gpu_bytes: int | None
    gpu_utilisation: float | None
    part: float | None
    cost: float | None
    cell: str | None = None
    said_by: str | None = None
    """The username in its message: unverified."""
    session: str | None = None
    """Its id in the ledger."""


def allocations_of(sessions: Iterable[Row], jobs: Iterable[Row]) -> list[Allocation]:
    """Each stretch once: sessions stand for themselves unless their job is known. Rows are columns by name.

    A session's `seen` should include that of its runs. Several sessions may share a job; the first of them names its notebook.
    """
    inside: dict[str, list[Row]] = {}
    for session in sorted(sessions, key=lambda row: (_or(row["started"], math.inf), row["id"])):
        inside.setdefault(session["job_id"] or "", []).append(session)
    alone = inside.pop("", [])
    found = []
    for job in jobs:
        own = inside.pop(job["id"], [])
        started = [row["started"] for row in (job, *own) if row["started"] is not None]
        if started:  # else it was queued and no more
            start = job["started"] if job["started"] is not None else min(started)
            found.append(_allocation(job, own, start))
    for sessions_of in (alone, *inside.values()):
        found += [
            _allocation(session, [session], session["started"]) for session in sessions_of if session["started"] is not None
        ]
    return sorted(found, key=lambda each: (each.start, each.id))


def _allocation(row: Row, sessions: list[Row], start: float) -> Allocation:
    first: Row = sessions[0] if sessions else {}
    seen = max([row["seen"], *(each["seen"] for each in sessions), *(each["ended"] or -math.inf for each in sessions)])
    end = row["ended"] if row["ended"] is not None else seen
    return Allocation(
        id=row["id"],
        target=row["target"] or first.get("target") or UNKNOWN,
        notebook=first.get("notebook") or UNKNOWN,
        start=start,
        end=max(start, end),
        is_ended=row["ended"] is not None,
        gpus=_or(row["gpus"], first.get("gpus")),
        price_per_hour=_or(row["price_per_hour"], first.get("price_per_hour")),
    )


def runs_of(runs: Iterable[Row], sessions: Mapping[str, Row], allocations: Mapping[str, Allocation]) -> list[Run]:
    """Runs that have started, with their session's names; `allocations` by id."""
    found = []
    for row in runs:
        if row["started"] is not None:
            target, notebook = names_of(row, sessions, allocations)
            found.append(
                Run(
                    id=row["id"],
                    target=target,
                    notebook=notebook,
                    start=row["started"],
                    seconds=seconds_of(row),
                    sent_bytes=row["sent_bytes"] or 0,
                    received_bytes=row["received_bytes"] or 0,
                    peak_gpu_bytes=row["peak_gpu_bytes"],
                    gpu_utilisation=row["gpu_utilisation"],
                )
            )
    return found


def names_of(run: Row, sessions: Mapping[str, Row], allocations: Mapping[str, Allocation]) -> tuple[str, str]:
    """The target and the notebook of a run."""
    session: Row = sessions.get(run["session_id"] or "") or {}
    allocation = allocations.get(session.get("job_id") or "")
    target = session.get("target") or (allocation.target if allocation else None)
    return target or UNKNOWN, session.get("notebook") or UNKNOWN


def seconds_of(run: Row) -> float:
    """By the host's monotonic clock; else by the wall clock, until the run was last heard of."""
    if run["seconds"] is not None:
        return float(run["seconds"])
    if run["started"] is None:
        return 0.0
    return max(0.0, float(_or(run["ended"], run["seen"])) - float(run["started"]))


def share_of(run: Row, target: str, notebook: str, allocation: Allocation | None) -> RunUsage:
    """A run beside its allocation; `share` less than 1 means that it had less than all of it while it ran."""
    seconds = seconds_of(run)
    held = seconds * min(1.0, _or(run["share"], 1.0))
    return RunUsage(
        id=run["id"],
        target=target,
        notebook=notebook,
        state=run["state"],
        started=run["started"],
        ended=run["ended"],
        seconds=seconds,
        gpu_seconds=held * (allocation.gpus or 0) if allocation else 0.0,
        sent_bytes=run["sent_bytes"] or 0,
        received_bytes=run["received_bytes"] or 0,
        peak_gpu_bytes=run["peak_gpu_bytes"],
        gpu_utilisation=run["gpu_utilisation"],
        part=min(1.0, held / allocation.seconds) if allocation and allocation.seconds else None,
        cost=allocation.cost(held) if allocation else None,
        cell=run["cell"],
        said_by=run["said_by"],
        session=run["session_id"],
    )


@dataclass
class _Sum:
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    run_seconds: float = 0.0
    runs: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    cost: float | None = None
    unpriced_s: float = 0.0
    peak_gpu_bytes: int | None = None
    measured_s: float = 0.0
    busy_s: float = 0.0
    open: set[str] = field(default_factory=set)

    def add_allocation(self, allocation: Allocation, seconds: float) -> None:
        self.seconds += seconds
        self.gpu_seconds += seconds * (allocation.gpus or 0)
        cost = allocation.cost(seconds)
        if cost is None:
            self.unpriced_s += seconds
        else:
            self.cost = (self.cost or 0.0) + cost
        if not allocation.is_ended:
            self.open.add(allocation.id)

    def add_run(self, run: Run, seconds: float, is_first: bool) -> None:
        self.run_seconds += seconds
        if is_first:
            self.runs += 1
            self.sent_bytes += run.sent_bytes
            self.received_bytes += run.received_bytes
        if run.peak_gpu_bytes is not None:
            self.peak_gpu_bytes = max(self.peak_gpu_bytes or 0, run.peak_gpu_bytes)
        if run.gpu_utilisation is not None:
            self.measured_s += seconds
            self.busy_s += seconds * run.gpu_utilisation

    def row(self, key: str) -> UsageRow:
        return UsageRow(
            key=key,
            seconds=self.seconds,
            gpu_seconds=self.gpu_seconds,
            run_seconds=self.run_seconds,
            runs=self.runs,
            sent_bytes=self.sent_bytes,
            received_bytes=self.received_bytes,
            cost=self.cost,
            unpriced_s=self.unpriced_s,
            open=len(self.open),
            peak_gpu_bytes=self.peak_gpu_bytes,
            gpu_utilisation=self.busy_s / self.measured_s if self.measured_s else None,
        )


def usage_rows(
    allocations: Iterable[Allocation],
    runs: Iterable[Run],
    since: float | None = None,
    until: float | None = None,
    by: By = "target",
    tz: tzinfo | None = None,
) -> list[UsageRow]:
    """Totals of the window from `since` up to but without `until`, in the order of their keys; days begin at midnight in `tz`,
    this machine's zone by default."""
    low, high = -math.inf if since is None else since, math.inf if until is None else until
    sums: dict[str, _Sum] = {}
    key = _cut(by, tz)
    for allocation in allocations:
        inside = _inside(allocation.start, allocation.end, low, high)
        for name, start, end in key(allocation, *inside) if inside else ():
            sums.setdefault(name, _Sum()).add_allocation(allocation, end - start)
    for run in runs:
        inside = _inside(run.start, run.start + run.seconds, low, high)
        for name, start, end in key(run, *inside) if inside else ():
            sums.setdefault(name, _Sum()).add_run(run, end - start, start == run.start)
    return [sums[name].row(name) for name in sorted(sums)]


_Cut = Callable[[Allocation | Run, float, float], Iterator[tuple[str, float, float]]]


def _cut(by: By, tz: tzinfo | None) -> _Cut:
    """How a stretch of time is cut into pieces, each with its key."""

    def named(what: Allocation | Run, start: float, end: float) -> Iterator[tuple[str, float, float]]:
        yield what.target if by == "target" else what.notebook, start, end

    def dated(what: Allocation | Run, start: float, end: float) -> Iterator[tuple[str, float, float]]:
        yield from days(start, end, tz)

    return dated if by == "day" else named


def _inside(start: float, end: float, low: float, high: float) -> tuple[float, float] | None:
    """What of a stretch is in the window; one without length is in the window that its start is in."""
    return (max(low, start), min(high, end)) if start < high and (end > low or start >= low) else None


def days(start: float, end: float, tz: tzinfo | None = None) -> Iterator[tuple[str, float, float]]:
    """Cuts a stretch of time at each midnight; days are 23 or 25 hours long when the clocks change."""
    while True:
        begun = datetime.fromtimestamp(start, timezone.utc).astimezone(tz)
        midnight = start_of_day(begun + timedelta(days=1), tz)
        yield begun.date().isoformat(), start, min(end, midnight)
        if end <= midnight:
            return
        start = midnight


def start_of_day(moment: datetime, tz: tzinfo | None = None) -> float:
    """Midnight of the day that `moment`'s own fields name, in `tz` or this machine's zone."""
    return datetime(moment.year, moment.month, moment.day, tzinfo=tz).timestamp()


def start_of_month(moment: datetime, tz: tzinfo | None = None) -> float:
    return datetime(moment.year, moment.month, 1, tzinfo=tz).timestamp()


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value
