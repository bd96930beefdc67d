"""What farcell calls: `open_ledger()`, then `record` while things happen and `usage` when somebody asks.

`record` may wait for other processes (seconds at the worst) and imports SQLAlchemy at first: not for the notebook's main thread
or an event loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..errors import LedgerError, UsageError
from . import faults
from .accounts import (
    Allocation,
    By,
    Row,
    RunFilter,
    RunUsage,
    UsageRow,
    allocations_of,
    names_of,
    runs_of,
    share_of,
    start_of_day,
    start_of_month,
    usage_rows,
)
from .backlog import Backlog
from .budget import Budget, BudgetState, BudgetVerdict, Spent
from .faults import Fault
from .filesystems import MOUNTS
from .place import ledger_path
from .reports import Report

if TYPE_CHECKING:
    from .store import Reading, Store

log = logging.getLogger("farcell")

ALL_RUNS = RunFilter()
BUSY_S = 10.0
LOCK_S = 20.0
BATCH = 500
"""Reports that are written in one transaction: other writers wait for its end."""


class Ledger:
    """The ledger in one file, or in none (`path` None): then nothing is kept and nothing was used. For any thread."""

    def __init__(self, path: Path | None, *, mounts: Path = MOUNTS, busy_s: float = BUSY_S, lock_s: float = LOCK_S) -> None:
        self.path = path
        self._mounts, self._busy_s, self._lock_s = mounts, busy_s, lock_s
        self._store: Store | None = None
        self._backlog = Backlog()
        self._warned: set[Fault] = set()
        self.fault: LedgerError | None = None
        """What kept the latest report out of the file."""
        self._recording, self._opening = threading.Lock(), threading.Lock()

    def record(self, *reports: Report) -> bool:
        """Merges these with what is known; whether all that was told so far is in the file.

        Raises nothing: a fault is warned of once, in the log `farcell`, and what could not be written goes with the next report.
        """
        if self.path is None:
            return False
        with self._recording:
            self._backlog.add(reports)
            if not self._backlog:
                return True
            try:
                while batch := self._backlog.batch(BATCH):
                    self._opened().write(batch)
                    self._backlog.done(batch)
            except LedgerError as error:
                self.fault = error
                self._warn(error)
                if error.fault in (Fault.NEWER, Fault.PACKAGES):  # nothing will change that while this process lives
                    self._backlog.clear()
                elif dropped := self._backlog.trim():
                    log.warning("%d runs, sessions or jobs were dropped: the ledger could not be written for too long.", dropped)
                return False
            except Exception:
                # What no file's fault explains: a listener that the notebook has put on all of SQLAlchemy's engines, say.
                if Fault.OTHER not in self._warned:
                    self._warned.add(Fault.OTHER)
                    log.warning("The ledger %s could not be written; runs go on without it.", self.path, exc_info=True)
                self._backlog.clear()
                return False
            self.fault = None
            return True

    def usage(
        self, since: float | None = None, until: float | None = None, by: By = "target", tz: tzinfo | None = None
    ) -> list[UsageRow]:
        """What was used from `since` up to but without `until` (UTC epoch seconds), in the order of the keys.

        Days begin at midnight in `tz`, this machine's zone by default. Raises LedgerError, UsageError for another `by`.
        """
        if by not in get_args(By):
            raise UsageError(f"Usage is told by {', '.join(get_args(By))}, not by {by!r}.")
        with self._reading() as reading:
            if reading is None:
                return []
            sessions, jobs = reading.sessions_and_jobs()
            runs = reading.runs(since, until)
        allocations = allocations_of(sessions, jobs)
        by_id = {allocation.id: allocation for allocation in allocations}
        named = runs_of(runs, {row["id"]: row for row in sessions}, by_id)
        return usage_rows(allocations, named, since, until, by, tz)

    def run_usage(self, run: str) -> RunUsage | None:
        """One run, by the beginning of its id, and its share of its allocation; None if the ledger does not know it.

        Raises LedgerError.
        """
        with self._reading() as reading:
            row = reading.run(run) if reading is not None else None
            if reading is None or row is None:
                return None
            sessions, jobs = reading.sessions_and_jobs()
        by_id: dict[str, Row] = {session["id"]: session for session in sessions}
        allocations = {allocation.id: allocation for allocation in allocations_of(sessions, jobs)}
        return share_of(row, *names_of(row, by_id, allocations), _allocation_of(row, by_id, allocations))

    def page(
        self, limit: int, before: tuple[float, str] | None = None, wanted: RunFilter = ALL_RUNS
    ) -> tuple[list[RunUsage], tuple[float, str] | None]:
        """Runs, the newest first, and what `before` is for the next page, None at the end. Raises LedgerError."""
        with self._reading() as reading:
            if reading is None:
                return [], None
            rows = reading.page(limit + 1, before, wanted)
            shown, is_more = rows[:limit], len(rows) > limit
            first = min((row["at"] for row in shown), default=None)
            sessions, jobs = reading.sessions_and_jobs(since=first) if shown else ([], [])
        by_id: dict[str, Row] = {row["id"]: row for row in sessions}
        allocations = {each.id: each for each in allocations_of(sessions, jobs)}
        found = [share_of(row, *names_of(row, by_id, allocations), _allocation_of(row, by_id, allocations)) for row in shown]
        return found, (shown[-1]["at"], shown[-1]["id"]) if is_more else None

    def check_budget(
        self, budget: Budget, target: str | None = None, now: float | None = None, tz: tzinfo | None = None
    ) -> BudgetVerdict:
        """Whether a new run may begin on the target, or on any (None), by what today and this month have cost so far.

        What lives is counted until it was last reported: report the session first. Raises nothing; a ledger that cannot be
        read is the state UNKNOWN, under which runs go on.
        """
        if budget.day is None and budget.month is None:
            return BudgetVerdict(BudgetState.OK)
        moment = datetime.fromtimestamp(time.time() if now is None else now, timezone.utc).astimezone(tz)
        day, month = start_of_day(moment, tz), start_of_month(moment, tz)
        try:
            with self._reading() as reading:
                sessions, jobs = reading.sessions_and_jobs(since=month) if reading is not None else ([], [])
        except LedgerError as error:
            return BudgetVerdict(BudgetState.UNKNOWN, f"The budget cannot be checked, runs go on. {error}")
        counted = [each for each in allocations_of(sessions, jobs) if target is None or each.target == target]
        return budget.check(target, _spent(counted, day), _spent(counted, month))

    @contextmanager
    def _reading(self) -> Iterator[Reading | None]:
        """None when there is no ledger yet: to ask makes none."""
        if self.path is None or not self.path.exists():
            yield None
            return
        with self._opened().reading() as reading:
            yield reading

    def _opened(self) -> Store:
        with self._opening:
            if self._store is None:
                assert self.path is not None
                try:
                    from .store import Store
                except ImportError as error:
                    raise faults.packages(error) from error
                self._store = Store(self.path, mounts=self._mounts, busy_s=self._busy_s, lock_s=self._lock_s)
            return self._store

    def _warn(self, error: LedgerError) -> None:
        if error.fault not in self._warned:
            self._warned.add(error.fault)
            log.warning("%s Runs go on; what they use is not recorded meanwhile.", error)


@lru_cache(maxsize=8)
def _at(path: Path | None) -> Ledger:
    return Ledger(path)


def open_ledger() -> Ledger:
    """This user's ledger; one object a file, so that a fault is warned of once in a process."""
    return _at(ledger_path())


def _allocation_of(run: Row, sessions: dict[str, Row], allocations: dict[str, Allocation]) -> Allocation | None:
    session = sessions.get(run["session_id"] or "")
    if session is None:
        return None
    return allocations.get(session["job_id"] or "") or allocations.get(session["id"])


def _spent(allocations: list[Allocation], since: float) -> Spent:
    rows = usage_rows(allocations, [], since=since)
    return Spent(sum(row.cost or 0.0 for row in rows), sum(row.unpriced_s for row in rows))
