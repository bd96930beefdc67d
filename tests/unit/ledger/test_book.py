"""What is recorded can be asked for, and no fault of the file comes near a run."""

from __future__ import annotations

import builtins
import logging
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest
from farcell.errors import FarcellError, UsageError
from farcell.ledger import Budget, BudgetState, Ledger, LedgerError, Report, open_ledger
from farcell.ledger.accounts import RunFilter
from farcell.ledger.lock import file_lock
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import DAY, HOUR, NOON, contents, job, run, session, sql, totals

STORY: list[Report] = [
    session("s1", notebook="a.ipynb", price_per_hour=3.0, gpus=2, backend="ssh", host="gpu-a"),
    session("s1", as_of=NOON + 2 * HOUR, ended=NOON + 2 * HOUR),
    job("j1", started=NOON, scheduler_id="17", state="RUNNING", gpus=4, price_per_hour=8.0),
    job("j1", as_of=NOON + HOUR, ended=NOON + HOUR, state="TIMEOUT", reason="wall time"),
    session("s2", target="a100", notebook="b.ipynb", job_id="j1"),
    session("s3", as_of=NOON + 900, target="gpu-b"),
    run("r1", started=NOON + 60, state="running", seconds=5.0),
    run(
        "r1", as_of=NOON + 120, started=NOON + 60, ended=NOON + 120, state="done", seconds=60.0, sent_bytes=10, received_bytes=20
    ),
    run("r2", as_of=NOON + 300, session_id="s2", ended=NOON + 300, seconds=300.0, peak_gpu_bytes=1 << 34, gpu_utilisation=0.5),
    run("r3", as_of=NOON + 1200, session_id="s3", state="running"),
    run("r4", session_id="s9", seconds=1.0),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return Ledger(path, busy_s=0.2, lock_s=0.2)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody else writes to the file meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {(record.name, record.levelno) for record in caplog.records} <= {("farcell", logging.WARNING)}
    return [record.getMessage() for record in caplog.records]


def test_a_day_with_a_session_a_job_and_runs(ledger: Ledger) -> None:
    """Idle time is paid; a session in a job is not paid again; a run of a session that nobody has told is counted."""
    assert ledger.record(*STORY)
    rows = {row.key: row for row in ledger.usage()}
    assert list(rows) == ["a100", "gpu-a", "gpu-b", "unknown"]
    a, slurm, b, lost = rows["gpu-a"], rows["a100"], rows["gpu-b"], rows["unknown"]
    assert (a.seconds, a.gpu_seconds, a.cost, a.runs, a.run_seconds, a.sent_bytes) == (2 * HOUR, 4 * HOUR, 6.0, 1, 60.0, 10)
    assert (slurm.seconds, slurm.gpu_seconds, slurm.cost, slurm.peak_gpu_bytes) == (HOUR, 4 * HOUR, 8.0, 1 << 34)
    assert (b.seconds, b.cost, b.unpriced_s, b.open) == (1200, None, 1200, 1)  # by its run it lived longer than by its own report
    assert (lost.seconds, lost.runs) == (0, 1)
    assert [row.key for row in ledger.usage(by="notebook")] == ["a.ipynb", "b.ipynb", "unknown"]
    assert [row.key for row in ledger.usage(by="day", tz=timezone.utc)] == ["2027-01-15"]
    assert [row.key for row in ledger.usage(since=NOON + HOUR)] == ["gpu-a"]


def test_a_run_shows_its_share(ledger: Ledger) -> None:
    """Of its allocation's whole time, and of the cost; a part of the GPUs counts as a part."""
    ledger.record(*STORY, run("r5", session_id="s2", ended=NOON + HOUR, seconds=1800.0, share=0.5))
    found, half = ledger.run_usage("r2"), ledger.run_usage("r5")
    assert found is not None and half is not None
    assert (found.target, found.notebook, found.seconds, found.gpu_seconds) == ("a100", "b.ipynb", 300.0, 1200.0)
    assert (found.part, found.cost) == (pytest.approx(1 / 12), pytest.approx(2 / 3))
    assert (half.part, half.cost, half.gpu_seconds) == (0.25, 2.0, HOUR)
    assert ledger.run_usage("r9") is None
    lost = ledger.run_usage("r4")
    assert lost is not None and (lost.part, lost.cost) == (None, None)


@settings(max_examples=12)
@given(st.permutations(STORY), st.lists(st.sampled_from(STORY), max_size=6), st.integers(0, len(STORY)))
def test_any_order_and_repetition_of_reports_gives_the_same_totals(order: list[Report], again: list[Report], cut: int) -> None:
    """Whoever reports, in however many steps, by however many kernels."""
    with tempfile.TemporaryDirectory() as folder:
        plain, mixed = Ledger(Path(folder) / "plain.sqlite"), Path(folder) / "mixed.sqlite"
        assert plain.record(*STORY)
        for part in (order[:cut], again, order[cut:]):
            assert Ledger(mixed).record(*part)
        assert totals(Ledger(mixed)) == totals(plain)
        assert contents(mixed) == contents(Path(folder) / "plain.sqlite")


def test_a_budget_is_held_against_today_and_this_month(ledger: Ledger) -> None:
    """2 hours yesterday and 1 today at 3 an hour; other targets do not count, unless all are asked for."""
    ledger.record(
        session("s1", as_of=NOON - DAY, started=NOON - DAY, ended=NOON - DAY + 2 * HOUR, price_per_hour=3.0),
        session("s2", as_of=NOON + HOUR, price_per_hour=3.0),
        session("s3", target="gpu-b", ended=NOON + HOUR, price_per_hour=1.0),
        session("s4", started=NOON - 40 * DAY, ended=NOON - 39 * DAY, price_per_hour=3.0),
    )

    def check(budget: Budget, target: str | None) -> BudgetState:
        return ledger.check_budget(budget, target, now=NOON + HOUR, tz=timezone.utc).state

    assert check(Budget(day=4), "gpu-a") is BudgetState.OK
    assert check(Budget(day=3), "gpu-a") is BudgetState.REFUSE
    assert check(Budget(day=100, month=11), "gpu-a") is BudgetState.WARN
    assert check(Budget(month=9), "gpu-a") is BudgetState.REFUSE
    assert check(Budget(day=4), None) is BudgetState.REFUSE
    assert check(Budget(day=1), "gpu-c") is BudgetState.OK
    assert check(Budget(), "gpu-a") is BudgetState.OK


def test_a_budget_that_cannot_be_checked_stops_nobody(ledger: Ledger, path: Path) -> None:
    """The state says that it is not known, and the text why."""
    path.write_bytes(b"not a database, and long enough to be seen as one" * 50)
    verdict = ledger.check_budget(Budget(day=1), "gpu-a")
    assert (verdict.state, verdict.may_run) == (BudgetState.UNKNOWN, True)
    assert verdict.text.startswith(f"The budget cannot be checked, runs go on. The ledger {path} is damaged")


def test_usage_of_nothing_makes_no_file(ledger: Ledger, path: Path) -> None:
    """Asking leaves no trace."""
    assert (ledger.usage(), ledger.run_usage("r1")) == ([], None)
    assert ledger.check_budget(Budget(day=1), "gpu-a").state is BudgetState.OK
    assert not list(path.parent.iterdir())


def test_usage_by_something_else_is_refused(ledger: Ledger) -> None:
    """The choices are told."""
    with pytest.raises(UsageError, match="Usage is told by target, day, notebook, not by 'hour'"):
        ledger.usage(by="hour")  # type: ignore[arg-type]


def test_a_deleted_ledger_is_begun_anew(ledger: Ledger, path: Path) -> None:
    """Also while a kernel has it in use; what was there is gone for good."""
    assert ledger.record(session("s1", ended=NOON + HOUR))
    for file in path.parent.glob("ledger.sqlite*"):
        file.unlink()
    assert ledger.record(session("s2", target="gpu-b", ended=NOON + HOUR))
    assert [row.key for row in ledger.usage()] == ["gpu-b"]
    assert oct(path.stat().st_mode)[-3:] == "600"


def test_a_locked_ledger_loses_nothing(ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One warning, after a wait; what could not be written goes with the next report. It can be read meanwhile."""
    assert ledger.record(session("s1", ended=NOON + HOUR))
    with held(path):
        assert not ledger.record(session("s2", target="gpu-b", ended=NOON + HOUR))
        assert not ledger.record(run("r1"))
        assert [row.key for row in ledger.usage()] == ["gpu-a"]
    assert ledger.record()
    assert [(row.key, row.runs) for row in ledger.usage()] == [("gpu-a", 1), ("gpu-b", 0)]
    [said] = warnings(caplog)
    assert said.startswith(f"The ledger {path} is busy: another process has held it for 0.2 s.")
    assert said.endswith("Runs go on; what they use is not recorded meanwhile.")


def test_all_of_many_reports_are_written(ledger: Ledger) -> None:
    """However many there are in one call."""
    runs = [run(f"r{n}", ended=NOON + 1, seconds=1.0) for n in range(2500)]
    assert ledger.record(session("s1", ended=NOON + HOUR), *runs)
    assert [row.runs for row in ledger.usage()] == [2500]


def test_many_reports_that_a_fault_keeps_out_are_written_later(ledger: Ledger, path: Path) -> None:
    assert ledger.record(session("s1", ended=NOON + HOUR))
    with held(path):
        assert not ledger.record(*(run(f"r{n}", ended=NOON + 1, seconds=1.0) for n in range(1500)))
        assert not ledger.record(*(run(f"r{n}", ended=NOON + 1, seconds=1.0) for n in range(1000, 2200)))
    assert ledger.record()
    assert [row.runs for row in ledger.usage()] == [2200]


def test_a_lock_that_is_not_given_up_is_named(ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody migrates and does not end."""
    lock = path.with_name("ledger.sqlite.lock")
    with file_lock(lock, 1):
        assert not ledger.record(run())
    [said] = warnings(caplog)
    assert said.startswith(f"The ledger {path} is being set up by another process: its lock {lock} was not free within 0.2 s.")
    assert ledger.record()
    assert len(contents(path)["runs"]) == 1


def test_a_damaged_ledger_is_named_with_the_next_step(ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Recording warns once; reading raises farcell's own kind of error; the file is not touched."""
    garbage = b"not a database, and long enough to be seen as one" * 50
    path.write_bytes(garbage)
    assert not ledger.record(run()) and not ledger.record(run())
    with pytest.raises(LedgerError) as caught:
        ledger.usage()
    text = (
        f"The ledger {path} is damaged: file is not a database. Move it away (with {path}-wal and {path}-journal, if they are "
        "there): a new one is begun by itself."
    )
    assert isinstance(caught.value, FarcellError) and str(caught.value) == text
    assert warnings(caplog) == [f"{text} Runs go on; what they use is not recorded meanwhile."]
    assert path.read_bytes() == garbage
    path.rename(path.with_name("away"))
    assert ledger.record()
    assert len(contents(path)["runs"]) == 1


def test_a_page_that_is_damaged_is_named_too(ledger: Ledger, path: Path) -> None:
    """The head is right, what follows is not."""
    assert ledger.record(*STORY)
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(LedgerError, match="is damaged"):
        ledger.usage()
    assert not ledger.record(run())


def test_another_programs_database_is_left_alone(ledger: Ledger, path: Path) -> None:
    """Its tables are not ours to add to."""
    sql(path, "CREATE TABLE alembic_version (version_num VARCHAR)")
    assert not ledger.record(run())
    with pytest.raises(LedgerError, match=r"is a database of something else, not a ledger\. Set FARCELL_LEDGER to another file"):
        ledger.usage()


def test_a_folder_in_its_place_is_told(ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And so is a file where its folder should be."""
    path.mkdir()
    assert not ledger.record(run())
    assert "cannot be opened: Is a directory" in warnings(caplog)[0]
    below = Ledger(path.parent / "file" / "x" / "ledger.sqlite")
    (path.parent / "file").touch()
    assert not below.record(run())
    assert f"cannot be opened: File exists ({path.parent / 'file'})" in warnings(caplog)[1]


def test_without_sqlalchemy_2_runs_go_on(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A package may hold it at 1.4: recording says so once, reading raises the way out."""
    real = builtins.__import__

    def import_(name: str, *args: Any, **words: Any) -> Any:
        if name == "store" or name.startswith("sqlalchemy"):
            raise ImportError("cannot import name 'DeclarativeBase' from 'sqlalchemy.orm'")
        return real(name, *args, **words)

    monkeypatch.setattr(builtins, "__import__", import_)
    assert not ledger.record(run()) and not ledger.record(run())
    path.touch()
    with pytest.raises(LedgerError, match="pip install 'sqlalchemy>=2' alembic"):
        ledger.usage()
    [said] = warnings(caplog)
    assert "The ledger needs SQLAlchemy 2 and alembic, which this environment does not have: cannot import name" in said


def test_what_nobody_foresaw_does_not_reach_the_run(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """A listener of the notebook's own on every engine fails: logged once, with its traceback."""
    from sqlalchemy import Engine, event

    def fails(*_: object) -> None:
        raise RuntimeError("the notebook's own listener")

    event.listen(Engine, "begin", fails)
    try:
        assert not ledger.record(run()) and not ledger.record(run())
    finally:
        event.remove(Engine, "begin", fails)
    [said] = caplog.records
    assert said.exc_info is not None and "runs go on" in said.getMessage()


def test_a_remote_filesystem_gets_the_rollback_journal(path: Path, tmp_path: Path) -> None:
    """Also a ledger that was moved there while it had a write-ahead log; and back."""
    nfs, ext4 = tmp_path / "nfs", tmp_path / "ext4"
    nfs.write_text("server:/home / nfs4 rw 0 0\n")
    ext4.write_text("/dev/sda1 / ext4 rw 0 0\n")
    for number, (mounts, mode) in enumerate([(ext4, "wal"), (nfs, "delete"), (ext4, "wal")]):
        ledger = Ledger(path, mounts=mounts)
        assert ledger.record(run(f"r{number}"))
        assert sql(path, "PRAGMA journal_mode") == [(mode,)]
        assert ledger.usage()[0].runs == number + 1


def test_a_kernel_that_does_not_use_it_does_not_pay_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the ledger imports neither SQLAlchemy nor alembic, and a ledger that is up to date needs no alembic."""
    monkeypatch.delenv("FARCELL_LEDGER")
    heavy = "print(sorted({name.split('.')[0] for name in sys.modules} & {'sqlalchemy', 'alembic', 'mako'}))"
    words = f"import sys, farcell.ledger as l; b = l.open_ledger(); {heavy}; b.record(l.RunReport(id='r', as_of=1.0)); {heavy}"
    said = [subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0].splitlines() == ["[]", "['alembic', 'mako', 'sqlalchemy']"]
    assert said[1].splitlines() == ["[]", "['sqlalchemy']"]


def test_one_object_a_file_so_that_a_fault_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every session of a kernel asks for it anew."""
    monkeypatch.setenv("FARCELL_LEDGER", str(tmp_path))
    assert [open_ledger().record(run()) for _ in range(3)] == [False] * 3
    assert len(warnings(caplog)) == 1


def test_runs_come_in_pages_the_newest_first(tmp_path: Path) -> None:
    """Each once, also where several began at one moment; those without a beginning stand where they were last heard of."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.record(session("s1", target="gpu-a"), session("s2", target="gpu-b", as_of=NOON + 1))
    ledger.record(*(run(f"r{n}", session_id=f"s{n % 2 + 1}", started=NOON + n // 3, state="ok") for n in range(9)))
    ledger.record(run("queued", session_id="s1", started=None, as_of=NOON + 99))
    found, before = [], None
    for _ in range(4):
        page, before = ledger.page(3, before)
        found += [each.id for each in page]
        if before is None:
            break
    assert found == ["queued", *(f"r{n}" for n in reversed(range(9)))]
    of_b, _ = ledger.page(10, wanted=RunFilter(target="gpu-b"))
    assert [(each.id, each.target, each.session) for each in of_b] == [(f"r{n}", "gpu-b", "s2") for n in (7, 5, 3, 1)]
    assert [each.id for each in ledger.page(1, wanted=RunFilter(session="s1", state="ok"))[0]] == ["r8"]
    assert ledger.page(5, wanted=RunFilter(state="none")) == ([], None)


def test_pages_of_no_ledger_are_empty(tmp_path: Path) -> None:
    assert Ledger(None).page(5) == ([], None) and Ledger(tmp_path / "none.sqlite").page(5) == ([], None)
    assert not (tmp_path / "none.sqlite").exists()
