"""From what hosts say to the ledger, on the recorder's own thread."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from farcell.connection import Connection
from farcell.errors import TargetUnavailable
from farcell.ledger import Budget, BudgetState, JobReport, Ledger, RunReport, SessionReport
from farcell.recorder import Recorder, reports_of
from ledgers import NOON, contents

SESSION = {"id": "s1", "as_of": NOON, "target": "gpu-a", "started": NOON, "price_per_hour": 3.6}
RUN = {"id": "r1", "as_of": NOON, "session_id": "s1", "started": NOON, "ended": NOON + 1, "seconds": 1.0, "state": "ok"}


class Host:
    """A connection to one that answers at once, or when `late` is settled."""

    def __init__(self, **said: Any) -> None:
        self.said = {"session": SESSION, "runs": [], "left": [], **said}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.closed = False
        self.late: list[concurrent.futures.Future[dict[str, Any]]] | None = None

    def request(self, op: str, **fields: Any) -> concurrent.futures.Future[dict[str, Any]]:
        self.asked.append((op, fields))
        answer: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        if op == "usage" and self.late is not None:
            self.late.append(answer)
        else:
            answer.set_result(self.said if op == "usage" else {})
        return answer

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(Ledger(tmp_path / "ledger" / "ledger.sqlite"), answer_s=0.2)
    yield made
    made.finish()


def ids(recorder: Recorder, table: str) -> list[str]:
    assert recorder.ledger.path is not None
    return [row[0] for row in contents(recorder.ledger.path)[table]]


def test_a_host_is_told_what_the_ledger_has(recorder: Recorder) -> None:
    """Runs that are over, and sessions that it found left; a run that goes on is asked for again, what was left is not."""
    going = {**RUN, "id": "r2", "state": "running"}
    del going["ended"]
    left = {"session": {"id": "s0", "as_of": NOON}, "runs": [{**RUN, "id": "r0", "session_id": "s0"}]}
    host = Host(runs=[RUN, going], left=[left])
    recorder.follow(host.connection, "local")
    assert recorder.collect()
    assert (ids(recorder, "sessions"), ids(recorder, "runs")) == (["s0", "s1"], ["r0", "r1", "r2"])
    assert host.asked == [("usage", {"left": True}), ("recorded", {"runs": ["r1"], "left": ["s0"]})]
    host.said.update(runs=[], left=[])
    assert recorder.collect()
    assert host.asked[2:] == [("usage", {"left": False})]


def test_a_host_far_away_holds_up_nobody(recorder: Recorder) -> None:
    """It is asked one question, however long it takes; the other's answer is recorded meanwhile, and its own when it comes."""
    away, here = Host(runs=[RUN]), Host(session={**SESSION, "id": "s2"})
    away.late = []
    recorder.follow(away.connection, "ssh")
    recorder.follow(here.connection, "local")
    assert recorder.collect() and recorder.collect()
    assert ids(recorder, "sessions") == ["s2"] and len(away.asked) == 1
    away.late[0].set_result(away.said)
    assert recorder.collect()
    assert ids(recorder, "sessions") == ["s1", "s2"]


def test_a_host_that_refuses_is_an_older_one(recorder: Recorder) -> None:
    """Nothing is recorded of it, and nothing is wrong."""
    host = Host()
    host.late = []
    recorder.follow(host.connection, "local")
    recorder.tell(JobReport(id="j1", as_of=NOON))
    assert recorder.collect()
    host.late[0].set_exception(TargetUnavailable("This kernel host knows no request 'usage'"))
    assert recorder.collect()
    assert (ids(recorder, "jobs"), ids(recorder, "runs")) == (["j1"], [])


def test_the_last_word_of_a_session_is_recorded(recorder: Recorder) -> None:
    """With its backend; it is not asked any more."""
    host = Host()
    recorder.follow(host.connection, "slurm")
    recorder.leave(host.connection, {"session": {**SESSION, "ended": NOON + 3600}, "runs": [RUN]})
    assert recorder.collect()
    assert host.asked == []
    (row,) = recorder.ledger.usage()
    assert (row.seconds, row.runs, row.open, row.cost) == (3600, 1, 0, pytest.approx(3.6))


def test_hosts_keep_what_a_broken_ledger_has_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are not told that it has it; once it works all is there."""
    path = tmp_path / "ledger.sqlite"
    path.mkdir()
    recorder, host = Recorder(Ledger(path)), Host(runs=[RUN])
    recorder.follow(host.connection, "local")
    with caplog.at_level(logging.WARNING, "farcell"):
        assert recorder.collect() and recorder.collect()
    assert len(caplog.records) == 1 and not recorder.is_whole
    assert [op for op, _ in host.asked] == ["usage", "usage"]
    path.rmdir()
    recorder.finish()
    assert recorder.is_whole and host.asked[-1][0] == "recorded"
    assert ids(recorder, "runs") == ["r1"]


def test_a_budget_is_held_against_what_lives(recorder: Recorder) -> None:
    """The sessions are asked before; while a verdict is fresh, a cell reads it and asks nobody."""
    from datetime import datetime

    from farcell.ledger.accounts import start_of_day

    midnight = start_of_day(datetime.now())
    host = Host(session={**SESSION, "started": midnight, "as_of": midnight + 3600})
    recorder.follow(host.connection, "local")
    budget = Budget(day=3.0)
    assert recorder.check(budget, "gpu-a").state is BudgetState.REFUSE
    assert recorder.check(Budget(day=4.0), "gpu-a").state is BudgetState.WARN
    asked = len(host.asked)
    assert recorder.check(budget, "gpu-a").state is BudgetState.REFUSE
    assert recorder.check(budget, "other").state is BudgetState.OK
    assert len(host.asked) == asked + 1


@pytest.mark.parametrize(
    "said",
    [
        {"session": None, "runs": None},
        {"session": [], "runs": [3, {"id": 4, "as_of": 5}, {"id": "r"}, {"id": "r", "as_of": "now"}]},
        {},
    ],
    ids=["none", "wrong", "empty"],
)
def test_what_is_no_record_is_left_out(said: dict[str, Any]) -> None:
    """A host may be another version's."""
    assert reports_of(said) == []


def test_fields_that_nobody_knows_are_left_out() -> None:
    """And those of a wrong type; what a record says itself holds over what is known beside it."""
    session = {**SESSION, "colour": "red", "gpus": [1], "backend": "host's own"}
    run = {**RUN, "peak_gpu_bytes": None}
    assert reports_of({"session": session, "runs": [run]}, backend="local") == [
        SessionReport(id="s1", as_of=NOON, target="gpu-a", started=NOON, price_per_hour=3.6, backend="host's own"),
        RunReport(id="r1", as_of=NOON, session_id="s1", started=NOON, ended=NOON + 1, seconds=1.0, state="ok"),
    ]
