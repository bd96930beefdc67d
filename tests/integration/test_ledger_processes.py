"""One ledger and many processes: at once, killed, on a full disk, on a disk that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from farcell.ledger import Ledger, LedgerError
from farcell.ledger.filesystems import is_local
from farcell.ledger.schema import REVISIONS
from ledgers import HOUR, NOON, at_revision, is_whole, run, session, sql

PROCESSES = 20
RECORDS = 5

# Children of one process that has imported everything, so that they really meet: they wait for the pipe to be closed.
CROWD = f"""
import os, sys
from pathlib import Path
import farcell.ledger.migrate, farcell.ledger.store
from farcell.ledger import Ledger, RunReport, SessionReport

path, mounts = map(Path, sys.argv[1:])
start, closed = os.pipe()

def write(me):
    os.close(closed)
    os.read(start, 1)
    ledger = Ledger(path, mounts=mounts)
    done = [ledger.record(SessionReport(id=f"s{{me}}", as_of={NOON}, target="gpu-a", started={NOON}, ended={NOON + HOUR}))]
    for number in range({RECORDS}):
        own = RunReport(id=f"r{{me}}-{{number}}", as_of={NOON}, session_id=f"s{{me}}", started={NOON}, seconds=1.0, sent_bytes=1)
        shared = RunReport(id="all", as_of={NOON} + number, session_id="s0", started={NOON}, seconds=1.0 + number, sent_bytes=7)
        done.append(ledger.record(own, shared))
        done.append("gpu-a" in [row.key for row in ledger.usage()])
    return 0 if all(done) else 1

children = []
for me in range({PROCESSES}):
    child = os.fork()
    if not child:
        code = 2
        try:
            code = write(me)
        finally:
            os._exit(code)
    children.append(child)
os.close(closed)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(codes)
"""

WRITER = """
import sys
from pathlib import Path
from farcell.ledger import Ledger, RunReport

ledger = Ledger(Path(sys.argv[1]), mounts=Path(sys.argv[2]))
number = 0
while True:
    report = RunReport(id=f"r{number}", as_of=1.0, session_id="s1", started=1.0, seconds=1.0)
    print(number if ledger.record(report) else "failed", flush=True)
    number += 1
"""

INSIDE = """
import sys
from pathlib import Path
from farcell.ledger import RunReport
from farcell.ledger.lock import file_lock
from farcell.ledger.migrate import upgrade
from farcell.ledger.store import Store, _upsert
from sqlalchemy.orm import Session

store = Store(Path(sys.argv[1]), mounts=Path(sys.argv[2]), busy_s=10, lock_s=10)
if sys.argv[3] == "writes":
    store._prepare()
with file_lock(store.lock, 10), store._transaction(writes=True) as connection, Session(connection) as session:
    connection.exec_driver_sql("PRAGMA cache_size = 10")  # so that much of it is on the disk before the end
    if sys.argv[3] == "migrates":
        upgrade(connection)
    for number in range(500):
        _upsert(session, {}, RunReport(id=f"lost{number}" * 20, as_of=1.0, started=1.0))
    session.flush()
    print("inside", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["wal", "delete"])
def mounts(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A list of mounts by which the ledger is on a local disk, or on NFS."""
    file = tmp_path / "mounts"
    file.write_text({"wal": "/dev/sda1 / ext4 rw 0 0\n", "delete": "server:/ / nfs4 rw 0 0\n"}[request.param])
    return file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "ledger.sqlite"


@contextmanager
def child(code: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is killed, not ended."""
    command = [sys.executable, "-c", code, *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("begun", [None, *REVISIONS[:-1]], ids=["from nothing", *REVISIONS[:-1]])
def test_twenty_processes_write_and_migrate_at_once(begun: str | None, path: Path, mounts: Path) -> None:
    """Each makes or migrates the file, writes what is its own and what all report: nothing is lost, nothing counts twice."""
    if begun is not None:
        at_revision(path, begun)
        sql(
            path,
            "INSERT INTO jobs (id, seen, stamps, target, started, ended) VALUES ('j', 1, '{}', 'gpu-a', ?, ?)",
            NOON,
            NOON + HOUR,
        )
    done = subprocess.run([sys.executable, "-c", CROWD, str(path), str(mounts)], capture_output=True, text=True, timeout=170)
    assert (done.stdout.strip(), done.stderr) == (str([0] * PROCESSES), "")
    [row] = Ledger(path, mounts=mounts).usage()
    assert (row.key, row.runs, row.sent_bytes) == ("gpu-a", PROCESSES * RECORDS + 1, PROCESSES * RECORDS + 7)
    assert row.run_seconds == PROCESSES * RECORDS + RECORDS  # of the one that all have reported, the last report
    assert row.seconds == (PROCESSES + (begun is not None)) * HOUR
    assert is_whole(path) and sql(path, "SELECT version_num FROM alembic_version") == [(REVISIONS[-1],)]


@pytest.mark.parametrize("doing", ["writes", "migrates"])
def test_a_process_that_is_killed_inside_a_transaction_leaves_a_usable_file(doing: str, path: Path, mounts: Path) -> None:
    """What it had not committed is gone whole, its locks with it: the next one writes at once."""
    if doing == "writes":
        assert Ledger(path, mounts=mounts).record(session(ended=NOON + HOUR))
    else:
        at_revision(path, REVISIONS[0])
    with child(INSIDE, path, mounts, doing) as process:
        assert said(process) == "inside"
        process.kill()
        process.wait(10)
        half = path.with_name(path.name + ("-wal" if is_local(path, mounts) and doing == "writes" else "-journal"))
        assert half.stat().st_size > 4096
        assert Ledger(path, mounts=mounts, busy_s=0.5, lock_s=0.5).record(session("s2", ended=NOON + HOUR))
    assert sql(path, "SELECT count(*) FROM runs") == [(0,)]
    assert is_whole(path) and sql(path, "SELECT version_num FROM alembic_version") == [(REVISIONS[-1],)]


def test_what_was_recorded_is_there_after_a_kill(path: Path, mounts: Path) -> None:
    """A writer is killed wherever it is, three times: all that it was told to be in the file is."""
    for count in (1, 7, 20):
        with child(WRITER, path, mounts) as process:
            told = [said(process) for _ in range(count)]
        assert told == [str(number) for number in range(count)]
        known = {row[0] for row in sql(path, "SELECT id FROM runs")}
        assert {f"r{number}" for number in range(count)} <= known
        assert is_whole(path) and Ledger(path, mounts=mounts).record(run("after"))


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[None]:
    """A file system of this size; only root may mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "farcell-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"optional: no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_warned_of_once_and_loses_nothing(tmp_path: Path, mounts: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Runs go on; when there is room again, the next report brings what could not be written."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 512):
        ledger = Ledger(folder / "ledger.sqlite", mounts=mounts)
        assert ledger.record(session(ended=NOON + HOUR))
        filler = folder / "filler"
        filler.write_bytes(bytes(free_bytes(folder)))
        wrote = [ledger.record(*(run(f"r{each}-{number}", seconds=1.0) for number in range(100))) for each in range(5)]
        assert wrote[-1] is False
        with pytest.raises(LedgerError, match="There is no room for the ledger") if is_local(folder, mounts) else nullcontext():
            assert [row.seconds for row in ledger.usage()] == [HOUR]  # a write-ahead log needs room to be read, too
        filler.unlink()
        assert ledger.record()
        assert ledger.usage()[0].runs == 500
        [warned] = [record.getMessage() for record in caplog.records]
    assert warned.startswith(f"There is no room for the ledger {folder / 'ledger.sqlite'}: ")
    assert warned.endswith("elsewhere. Runs go on; what they use is not recorded meanwhile.")


def test_no_room_for_the_first_ledger(tmp_path: Path, mounts: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot even be made: nothing is raised, and what is there does not hinder the next try."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 256):
        filler = folder / "filler"
        filler.write_bytes(bytes(free_bytes(folder)))
        ledger = Ledger(folder / "ledger.sqlite", mounts=mounts)
        assert not ledger.record(run())
        assert len(caplog.records) == 1
        filler.unlink()
        assert ledger.record() and ledger.usage()[0].runs == 1


def test_a_disk_that_cannot_be_written_can_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Usage is told all the same; recording warns once."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, 512):
        path = folder / "ledger.sqlite"
        nfs = tmp_path / "mounts"
        nfs.write_text("server:/ / nfs4 rw 0 0\n")
        assert Ledger(path, mounts=nfs).record(session(ended=NOON + HOUR))
        used = Ledger(path, mounts=nfs)
        assert used.usage()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for ledger in (used, Ledger(path, mounts=nfs)):
            caplog.clear()
            assert not ledger.record(run()) and not ledger.record(run())
            assert [row.seconds for row in ledger.usage()] == [HOUR]
            [warned] = [record.getMessage() for record in caplog.records]
            assert str(path) in warned and "FARCELL_LEDGER" in warned
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert used.record() and used.usage()[0].runs == 1


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
