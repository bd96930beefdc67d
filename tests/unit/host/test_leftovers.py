"""What is left over, and what is not: each session's things stay while it may use them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from farcell_host import runtime, usage
from farcell_host.bootstrap.store import Recipe, Store
from farcell_host.leftovers import SETTLED_S, UNKNOWN_JOBS, UNUSED_S, Leftover, Leftovers
from farcell_host.snapshots import EXPIRY_S, MANIFEST, VERSION

OLD = time.time() - 2 * max(UNUSED_S, SETTLED_S)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "a 'cache'"
    folder.mkdir()
    return folder


def by_name(found: Leftovers) -> dict[str, Leftover]:
    return {each.path.name: each for each in found.found()}


def aged(path: Path, at: float = OLD) -> Path:
    if path.is_dir():
        for each in path.iterdir():
            os.utime(each, (at, at))
    os.utime(path, (at, at))
    return path


def environment(cache: Path, digest: str, used: float) -> Path:
    folder = cache / "environments" / f"{digest}-ab12"
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.symlink_to(sys.executable)
    store = Store(cache)
    store.keep(digest, python, Recipe(("ipykernel",)))
    aged(cache / "environments" / f"{digest}.json", used)
    return folder


def test_kernel_hosts_of_other_versions_are_left_over(cache: Path) -> None:
    for digest in ("new", "old"):
        (cache / f"host-{digest}.pyz").write_bytes(b"x" * 5000)
    aged(cache / "host-old.pyz").with_name("host-old.pyz.123").write_bytes(b"x")
    aged(cache / "host-old.pyz.123")
    found = by_name(Leftovers(cache, current="new"))
    assert {name: each.stale for name, each in found.items()} == {
        "host-new.pyz": False,
        "host-old.pyz": True,
        "host-old.pyz.123": True,
    }
    assert found["host-old.pyz"].bytes >= 5000


def test_what_a_process_runs_from_stays(cache: Path) -> None:
    file = cache / "host-old.pyz"
    file.touch()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()", str(file)], **pipes) as running:
        assert running.stdout is not None and running.stdout.readline()
        found = Leftovers(cache, current="new")
        assert by_name(found)[file.name].used == "a process here"
        assert list(found.remove([str(file)])) == [] and file.exists()
        running.communicate(b"\n")
    assert [each.path for each in Leftovers(cache, current="new").remove([str(file)])] == [file] and not file.exists()


def test_what_a_job_or_another_machine_may_run_from_stays(cache: Path) -> None:
    file = cache / "host-old.pyz"
    file.touch()
    for jobs in (["farcell-a100"], [UNKNOWN_JOBS]):
        assert by_name(Leftovers(cache, jobs=jobs))[file.name].used == "a job"
    assert not by_name(Leftovers(cache, jobs=["train"]))[file.name].used
    records = cache / usage.FOLDER / "s1.jsonl"
    records.parent.mkdir()
    with open(records, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another machine" in by_name(Leftovers(cache))[file.name].used
    assert not by_name(Leftovers(cache))[file.name].used


def test_environments_are_left_over_when_they_are_unused_or_unfinished(cache: Path) -> None:
    lately, long_ago = environment(cache, "d1", time.time()), environment(cache, "d2", OLD)
    unfinished = cache / "environments" / "d3-ab12"
    unfinished.mkdir()
    found = by_name(Leftovers(cache))
    assert not found[lately.name].stale and found[long_ago.name].stale and found[unfinished.name].stale
    with open(cache / "environments" / "d3.lock", "w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        assert by_name(Leftovers(cache))[unfinished.name].used == "somebody who makes it"
    assert len(list(Leftovers(cache).remove([str(long_ago)]))) == 1
    assert Store(cache).environment("d2") is None and Store(cache).environment("d1") is not None


def test_wheels_that_no_environment_is_made_from_are_left_over(cache: Path) -> None:
    store = Store(cache)
    store.wheels.mkdir()
    for name in ("a-1-py3-none-any.whl", "b-1-py3-none-any.whl"):
        (store.wheels / name).touch()
    store.keep_shipped("cp311", ["a"], ["a-1-py3-none-any.whl"])
    found = by_name(Leftovers(cache))
    assert {name[0]: each.stale for name, each in found.items()} == {"a": False, "b": True}


def test_session_folders_are_left_over_when_their_hosts_are_gone(cache: Path) -> None:
    root = runtime.root()
    for name in ("s-dead", "s-live", "s-fresh"):
        (root / name).mkdir(parents=True)
        (root / name / runtime.HOST_FILE).write_text("{}")
        aged(root / name, time.time() if name == "s-fresh" else OLD)
    lock = runtime.HostLock(root / "s-live")
    assert list(by_name(Leftovers(cache))) == ["s-dead"]
    assert [each.path.name for each in Leftovers(cache).remove([str(root / name) for name in ("s-dead", "s-live")])] == ["s-dead"]
    lock.close()
    for name in ("s-live", "s-fresh"):
        (root / name / runtime.HOST_FILE).unlink()
        (root / name).rmdir()


def test_snapshots_are_kept_until_they_expire(cache: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for name, made in (("k-1", time.time()), ("k-2", time.time() - EXPIRY_S - 60)):
        folder = state / "snapshots" / name
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text(json.dumps({"version": VERSION, "made": made}))
    assert list(by_name(Leftovers(cache, state))) == ["k-2"]


def test_nothing_but_what_is_left_over_is_removed(cache: Path, tmp_path: Path) -> None:
    """Not what is linked to either."""
    precious = tmp_path / "precious.pyz"
    precious.write_text("x")
    (cache / "host-old.pyz").symlink_to(precious)
    found = Leftovers(cache)
    assert list(found.remove([str(precious), str(cache / "host-old.pyz"), str(tmp_path)])) == []
    assert precious.exists() and (cache / "host-old.pyz").is_symlink()
