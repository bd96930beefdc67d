"""What was used, by whom and on what: from leases, and from what hosts tell of runs. CSV and JSON for other programs.

A lease counts from its grant until its GPUs are free again, whatever ran on them; the price is the one of its grant. What lives
counts until now. A lease of a user of several groups that give the target counts for each of them, so that the rows by group may
add up to more than all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

from farcell.ledger.reports import NOTHING, Record, RunReport, merged, storable
from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from .change import LEASES
from .database import Clock, Database
from .errors import Refused
from .policy import Policy
from .schema import RunRow
from .spent import HOUR, day_of, days

By = Literal["user", "group", "notebook", "target", "day", "month"]
NO_NOTEBOOK = "unknown"
NO_GROUP = "none"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class UsageRow:
    """One line of an account. Money is in the policy's currency; times are in hours where not said otherwise."""

    key: str
    user: str | None
    """Of a notebook; None in other accounts."""
    leases: int
    hours: float
    gpu_hours: float
    money: float
    mean_wait_s: float
    """From asking to the grant, of the leases that were granted in the time asked for."""
    max_wait_s: float
    runs: int
    run_hours: float
    gpu_use: float | None
    """Mean utilisation of the GPUs while runs went on, 0 to 1; None where no host has told it."""
    open: int
    """Leases that have not ended."""


class Accounting:
    """Of one database."""

    def __init__(self, database: Database, policy: Callable[[], Policy], now: Clock) -> None:
        self._database, self._policy, self._now = database, policy, now

    def record(self, lease_id: str, reports: Iterable[RunReport]) -> None:
        """What a lease's host tells of its runs; told twice, in whatever order, counts once."""
        with self._database.appending() as connection:
            for report in reports:
                _upsert(connection, lease_id, report)

    def usage(
        self,
        by: By = "user",
        since: float | None = None,
        until: float | None = None,
        user: str | None = None,
        target: str | None = None,
    ) -> list[UsageRow]:
        """A row for each, most GPU-hours first, days and months in their order. `until` is the end, not included."""
        if by not in get_args(By):
            raise Refused(f"There is no account by {by!r}. Known: {', '.join(get_args(By))}.")
        now = self._now()
        policy = self._policy()
        end = now if until is None else min(until, now)
        conditions: list[ColumnElement[bool]] = [LEASES.c.granted_at.is_not(None), LEASES.c.granted_at < end]
        if since is not None:
            conditions.append(or_(LEASES.c.ended_at.is_(None), LEASES.c.ended_at > since))
        if user is not None:
            conditions.append(LEASES.c.user == user)
        if target is not None:
            conditions.append(LEASES.c.target == target)
        sums: dict[tuple[str, str | None], _Sum] = {}
        with self._database.reading() as connection:
            rows = connection.execute(select(LEASES).where(*conditions)).all()
            leases = {row.id: row for row in rows}
            runs = connection.execute(_runs(since, end, conditions)).all()
        for row in rows:
            start, last = max(row.granted_at, since or 0.0), min(end, end if row.ended_at is None else row.ended_at)
            for key, hours, is_first in _keys(by, policy, row, start, last):
                sums.setdefault(key, _Sum()).lease(row, hours, is_first and row.granted_at >= (since or 0.0))
        for run in runs:
            lease = leases.get(run.lease_id)
            if lease is not None:
                for key, _, _ in _keys(by, policy, lease, run.started, run.started + 1e-3):
                    sums.setdefault(key, _Sum()).run(run, end)
        made = [total.row(key, person) for (key, person), total in sums.items()]
        if by in ("day", "month"):
            return sorted(made, key=lambda row: row.key)
        return sorted(made, key=lambda row: (-row.gpu_hours, row.key, row.user or ""))


def as_csv(rows: Iterable[UsageRow]) -> str:
    """With a line of names. No cell begins as a formula does: users choose the names of notebooks."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(field.name for field in fields(UsageRow))
    for row in rows:
        writer.writerow(_cell(value) for value in asdict(row).values())
    return out.getvalue()


def as_json(rows: Iterable[UsageRow]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _keys(by: By, policy: Policy, row: Any, start: float, end: float) -> Iterator[tuple[tuple[str, str | None], float, bool]]:
    """The rows that a lease counts in, each with its hours, and whether the lease begins in it."""
    if by in ("day", "month"):
        first = day_of(policy, row.granted_at)
        for day, seconds in days(policy, start, end):
            name = day if by == "day" else day[:7]
            yield (name, None), seconds / HOUR, day == first
        return
    hours = max(0.0, end - start) / HOUR
    if by == "group":
        for group in row.charged or [NO_GROUP]:
            yield (group, None), hours, True
    elif by == "notebook":
        yield (row.notebook or NO_NOTEBOOK, row.user), hours, True
    else:
        yield (getattr(row, by), None), hours, True


class _Sum:
    def __init__(self) -> None:
        self._leases: set[str] = set()
        self._open: set[str] = set()
        self._hours = self._gpu_hours = self._money = self._run_hours = 0.0
        self._waits: list[float] = []
        self._runs = 0
        self._use = self._use_s = 0.0

    def lease(self, row: Any, hours: float, is_first: bool) -> None:
        self._leases.add(row.id)
        self._hours += hours
        self._gpu_hours += row.gpus * hours
        self._money += row.price_per_hour * hours
        if is_first:
            self._waits.append(row.granted_at - row.asked_at)
        if row.ended_at is None:
            self._open.add(row.id)

    def run(self, run: Any, end: float) -> None:
        seconds = run.seconds if run.seconds is not None else max(0.0, (run.ended or min(run.seen, end)) - run.started)
        self._runs += 1
        self._run_hours += seconds / HOUR
        if run.gpu_utilisation is not None:
            self._use += run.gpu_utilisation * seconds
            self._use_s += seconds

    def row(self, key: str, user: str | None) -> UsageRow:
        return UsageRow(
            key=key,
            user=user,
            leases=len(self._leases),
            hours=self._hours,
            gpu_hours=self._gpu_hours,
            money=self._money,
            mean_wait_s=sum(self._waits) / len(self._waits) if self._waits else 0.0,
            max_wait_s=max(self._waits, default=0.0),
            runs=self._runs,
            run_hours=self._run_hours,
            gpu_use=self._use / self._use_s if self._use_s else None,
            open=len(self._open),
        )


def _runs(since: float | None, end: float, leases: list[ColumnElement[bool]]) -> Any:
    """Those that began in the time, of these leases."""
    query = select(RunRow.__table__).where(RunRow.started.is_not(None), RunRow.started < end)
    if since is not None:
        query = query.where(RunRow.started >= since)
    return query.where(RunRow.lease_id.in_(select(LEASES.c.id).where(*leases)))


def _upsert(connection: Connection, lease_id: str, report: RunReport) -> None:
    """As the ledger merges reports; the fields that this table has not are left out."""
    id = storable(report.id)
    row = connection.execute(select(RunRow.__table__).where(RunRow.id == id).with_for_update()).mappings().one_or_none()
    known = NOTHING if row is None else _known(dict(row))
    record = merged(known, report)
    values: dict[str, Any] = {key: record.values.get(key) for key in _FIELDS}
    values["stamps"] = {name: [int(is_final), as_of] for name, (is_final, as_of) in sorted(record.stamps.items())}
    values["seen"] = record.seen
    if row is None:
        connection.execute(insert(RunRow).values(id=id, lease_id=lease_id, **values))
    elif row["lease_id"] == lease_id:  # a host tells of its own runs only
        connection.execute(update(RunRow).where(RunRow.id == id).values(**values))


def _known(row: Mapping[str, Any]) -> Record:
    values = {key: row[key] for key in _FIELDS if row[key] is not None}
    stamps = {name: (bool(stamp[0]), stamp[1]) for name, stamp in row["stamps"].items()}
    return Record(values, stamps, row["seen"])


_FIELDS = tuple(column.name for column in RunRow.__table__.columns if column.name not in ("id", "lease_id", "seen", "stamps"))


def month_start(policy: Policy, now: float) -> float:
    return policy.period_starts(now)[1]


def moment_of(policy: Policy, text: str) -> float:
    """Epoch seconds of `2027-01-31` or an ISO time; without an offset it is of the policy's time zone. Raises Refused."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text!r} is no day and no time: write 2027-01-31 or 2027-01-31T12:00:00.") from None
    return (found if found.tzinfo else found.replace(tzinfo=policy.zone)).timestamp()
