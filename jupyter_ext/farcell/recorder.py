"""What this process's sessions use, on its way from their kernel hosts to the ledger, on a thread of its own.

Hosts measure and keep what was used until they are told that a ledger has it (`farcell_host.usage`). The thread asks them some
seconds after a run, every HEARTBEAT_S while they live, and when somebody wants to know; so nothing is waited for and no cell is
held up, and a ledger that is at fault loses nothing as long as its host, or the file that this leaves, is there.

It also holds budgets against the ledger, since that takes a look into the file: a cell reads the last answer.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import FarcellError
from .ledger import Budget, BudgetState, BudgetVerdict, JobReport, Ledger, Report, RunReport, SessionReport, open_ledger

if TYPE_CHECKING:
    from .connection import Connection

R = TypeVar("R", SessionReport, JobReport, RunReport)

AFTER_RUN_S = 2.0
START_S = 3.0
"""After the start of a session, which importing SQLAlchemy beside it would slow down."""
HEARTBEAT_S = 300.0
"""A session whose end nobody tells has lived until it was last heard of."""
ANSWER_S = 2.0
"""How long all hosts together are waited for in a turn; an answer that comes later is taken in the next."""
LAST_ANSWER_S = 1.0
"""The same when the process ends: what hosts keep is not lost."""
COLLECT_S = 10.0
FRESH_S = 30.0
CHECK_S = 5.0
"""How long a cell waits for a budget to be held against the ledger."""
FINISH_S = 5.0
WATCHED_S = 600.0
"""For so long after a cell has asked for a budget, it is held against the ledger whenever something is recorded."""
PACKAGES = ("sqlalchemy", "alembic")

log = logging.getLogger("farcell")


@dataclass
class _Source:
    """A session of this process."""

    connection: Connection
    backend: str
    asks_for_left: bool = True
    """What dead hosts have left on its machine is asked for until the ledger has it."""
    answer: concurrent.futures.Future[dict[str, Any]] | None = None


@dataclass
class _Check:
    budget: Budget
    target: str | None
    verdict: BudgetVerdict | None = None
    at: float = 0.0
    asked: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)


class Recorder:
    """All methods but those that say so return at once. From any thread."""

    def __init__(self, ledger: Ledger, answer_s: float = ANSWER_S) -> None:
        self.ledger = ledger
        self._answer_s = answer_s
        self._sources: list[_Source] = []
        self._told: list[Report] = []
        self._checks: dict[tuple[str | None, Budget], _Check] = {}
        self._changed = threading.Condition()
        self._due: float | None = None
        self._round = self._rounds_done = 0
        self._is_finishing = False
        self._is_whole = False
        self._thread = threading.Thread(target=self._work, name="farcell-ledger", daemon=True)
        self._thread.start()

    @property
    def is_whole(self) -> bool:
        """Whether all that was told so far is in the ledger, and something was: then hosts need not keep the rest."""
        return self._is_whole

    def follow(self, connection: Connection, backend: str) -> None:
        """A session has begun, or was taken over."""
        with self._changed:
            self._sources.append(_Source(connection, backend))
            self._soon(START_S)

    def leave(self, connection: Connection, usage: Mapping[str, Any] | None) -> None:
        """It has ended; `usage` is what its host said last."""
        with self._changed:
            backend = next((source.backend for source in self._sources if source.connection is connection), None)
            self._sources = [source for source in self._sources if source.connection is not connection]
        if usage is not None:
            self.tell(*reports_of(usage, backend))

    def tell(self, *reports: Report) -> None:
        """For what no host knows, such as a scheduler's job."""
        with self._changed:
            self._told.extend(reports)
            self._soon(0.0)

    def run_over(self) -> None:
        """There is something to ask for; wakes the thread once in AFTER_RUN_S at most."""
        if self._due is None:
            with self._changed:
                self._soon(AFTER_RUN_S)

    def collect(self, timeout_s: float = COLLECT_S) -> bool:
        """Waits until the ledger has all that is known now; False when that takes longer."""
        with self._changed:
            self._round += 1
            wanted = self._round
            self._soon(0.0)
            return self._changed.wait_for(lambda: self._rounds_done >= wanted or not self._thread.is_alive(), timeout_s)

    def check(self, budget: Budget, target: str | None) -> BudgetVerdict:
        """What the ledger says of a budget, FRESH_S old at most; waits for CHECK_S at most, then the state is UNKNOWN."""
        with self._changed:
            check = self._checks.setdefault((target, budget), _Check(budget, target))
            check.asked = time.monotonic()
            if check.verdict is not None and check.asked - check.at < FRESH_S:
                return check.verdict
            check.done.clear()
            self._soon(0.0)
        if check.done.wait(CHECK_S) and check.verdict is not None:
            return check.verdict
        return BudgetVerdict(BudgetState.UNKNOWN, f"The budget could not be checked within {CHECK_S:g} s, runs go on.")

    def finish(self, timeout_s: float = FINISH_S) -> None:
        """At the end of the process: writes what there is, and waits for that."""
        with self._changed:
            self._is_finishing = True
            self._soon(0.0)
        self._thread.join(timeout_s)

    def _soon(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        if self._due is None or due < self._due:
            self._due = due
            self._changed.notify_all()

    # -- on the thread

    def _work(self) -> None:
        while self._wait():
            try:
                self._turn()
            except Exception:  # the next turn may do better; a run must not notice
                log.warning("What was used could not be recorded; runs go on.", exc_info=True)

    def _wait(self) -> bool:
        """Until something is to be done; False when that was the last."""
        with self._changed:
            if self._is_finishing and self._due is None:
                return False
            while True:
                now = time.monotonic()
                if self._due is not None and self._due <= now:
                    self._due = None
                    return True
                beat = HEARTBEAT_S if self._sources else None
                left = beat if self._due is None else self._due - now
                if not self._changed.wait(left) and self._due is None:
                    return True

    def _turn(self) -> None:
        with self._changed:
            wanted, sources = self._round, list(self._sources)
            told, self._told = self._told, []
        try:
            if told:  # what a fault keeps out of the file the ledger writes with the next
                self._is_whole = self.ledger.record(*told)
            self._collect(sources)
            self._answer_checks()
        finally:
            with self._changed:
                self._rounds_done = max(self._rounds_done, wanted)
                self._changed.notify_all()

    def _collect(self, sources: list[_Source]) -> None:
        """A host that does not answer now is asked the same question until it does: it may be far away for a while."""
        for source in sources:
            if source.answer is None and not source.connection.closed:
                source.answer = source.connection.request("usage", left=source.asks_for_left)
        deadline = time.monotonic() + (min(self._answer_s, LAST_ANSWER_S) if self._is_finishing else self._answer_s)
        for source in sources:
            if source.answer is None:
                continue
            try:
                said = source.answer.result(max(0.0, deadline - time.monotonic()))
            except concurrent.futures.TimeoutError:
                continue
            except FarcellError:  # it has ended meanwhile, or is an older farcell's
                said = {}
            source.answer = None
            if said:
                self._record(source, said)

    def _record(self, source: _Source, said: Mapping[str, Any]) -> None:
        left = [each for each in said.get("left", ()) if isinstance(each, dict) and isinstance(each.get("session"), dict)]
        reports = [*reports_of(said, source.backend), *(report for each in left for report in reports_of(each))]
        self._is_whole = self.ledger.record(*reports)
        if not self._is_whole:
            return
        source.asks_for_left = False
        over = [run["id"] for run in said.get("runs", ()) if "ended" in run]
        sessions = [each["session"].get("id") for each in left]
        if over or sessions:
            source.connection.request("recorded", runs=over, left=sessions)

    def _answer_checks(self) -> None:
        """The next cell that asks finds an answer."""
        now = time.monotonic()
        for check in [check for check in list(self._checks.values()) if now - check.asked < WATCHED_S]:
            check.verdict = check_now(self.ledger, check.budget, check.target)
            check.at = time.monotonic()
            check.done.set()


def check_now(ledger: Ledger, budget: Budget, target: str | None) -> BudgetVerdict:
    """Without a ledger nothing is known."""
    if ledger.path is None:
        text = "The budget cannot be checked, runs go on: FARCELL_LEDGER says that no ledger is kept."
        return BudgetVerdict(BudgetState.UNKNOWN, text)
    return ledger.check_budget(budget, target)


def reports_of(said: Mapping[str, Any], backend: str | None = None) -> list[Report]:
    """From a host's records; what is not of their form is left out: the host may be another version's, or damaged."""
    session = said.get("session")
    found: list[Report | None] = [_report(SessionReport, session, backend=backend), _report(JobReport, said.get("job"))]
    found += [_report(RunReport, run) for run in said.get("runs") or ()]
    return [report for report in found if report is not None]


def _report(kind: type[R], fields: Any, **more: Any) -> R | None:
    if not isinstance(fields, Mapping):
        return None
    id, as_of = fields.get("id"), fields.get("as_of")
    if not isinstance(id, str) or not isinstance(as_of, (int, float)):
        return None
    known = {name: value for name in kind.names() if isinstance(value := fields.get(name), (str, int, float))}
    return kind(id=id, as_of=float(as_of), **{**{name: value for name, value in more.items() if value is not None}, **known})


_recorder: Recorder | None = None
_pid = 0
_lock = threading.Lock()


def missing_packages() -> list[str]:
    """Of those that the ledger is written with; imports nothing."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def recorder() -> Recorder | None:
    """This process's; None where no ledger is kept: its packages are missing, or FARCELL_LEDGER says so."""
    global _recorder, _pid
    with _lock:
        if _pid != os.getpid():  # a forked child has no thread
            _recorder, _pid = None, os.getpid()
            ledger = open_ledger()
            if ledger.path is not None and not missing_packages():
                _recorder = Recorder(ledger)
        return _recorder
