"""A disk of the target is really full: a small file system of its own under the chunk store, or under the runtime folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from notebooks import Notebook
from sandbox import Sandbox

LINES = 60_000  # about 8 MB as journalled messages: more than a segment that is being written may hold


@contextmanager
def small_disk(folder: Path, mib: int, files: int = 0) -> Iterator[None]:
    """Mounts a file system of this size (and for so many files); only root may."""
    limits = f"size={mib}m,mode=700" + f",nr_inodes={files}" * bool(files)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", limits, "farcell-test", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"optional: no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_cache(sandbox: Sandbox) -> Iterator[Sandbox]:
    with small_disk(sandbox.cache, 8):
        yield sandbox


@pytest.fixture
def small_runtime(sandbox: Sandbox) -> Iterator[Sandbox]:
    with small_disk(sandbox.runtime, 4):
        yield sandbox


@pytest.mark.parametrize("direct", ["1", "0"], ids=["direct", "zmq"])
def test_a_full_chunk_store_refuses_the_cell(
    direct: str, small_cache: Sandbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Nothing is run, the message names the folder, the reason and the next step; what fits still goes."""
    monkeypatch.setenv("FARCELL_DIRECT", direct)
    notebook: Notebook = request.getfixturevalue("notebook")
    notebook.run(
        "import numpy as np\nlarge = np.random.default_rng(1).random((64 << 20) // 8)\nsmall = large[:1000].copy()"
    ).check()
    cell = notebook.run("%%remote local-attach\nran = True\nlarge.sum()")
    (error,) = cell.errors
    assert error.name == "Refused"
    assert str(small_cache.cache) in error.value and "No space left on device" in error.value
    assert "Free some space there" in error.value and "Nothing was run" in error.value
    assert not notebook.value("'ran' in globals()")
    assert notebook.run("%%remote local-attach\nint(abs(small.sum() - sum(small)) < 1e-6)").check().result == "1"


def test_output_goes_on_when_the_journal_finds_no_room(small_runtime: Sandbox, notebook: Notebook) -> None:
    """Every line comes, in order, and the session stays usable: the journal goes on in memory."""
    notebook.run("%%remote\n1").check()
    (small_runtime.runtime / "filler").write_bytes(bytes(_free_bytes(small_runtime.runtime) - (128 << 10)))
    cell = notebook.run(f"%%remote\nfor n in range({LINES}):\n    print('line', n, 'x' * 100)\nn", timeout=60).check()
    assert cell.stdout == "".join(f"line {n} {'x' * 100}\n" for n in range(LINES))
    assert cell.result == str(LINES - 1)
    assert notebook.run("%%remote\nn + 1").check().result == str(LINES)


def test_output_goes_on_when_there_is_room_for_no_more_files(sandbox: Sandbox, notebook: Notebook) -> None:
    """The same where the journal cannot begin its next file: the quota of files is used up by then."""
    with small_disk(sandbox.runtime, 64, files=40):
        notebook.run("%%remote\n1").check()
        (folder,) = sandbox.runtime.glob("*")
        _use_up_files(folder)
        cell = notebook.run(f"%%remote\nfor n in range({2 * LINES}):\n    print('line', n, 'x' * 100)\nn", timeout=60).check()
        assert cell.stdout == "".join(f"line {n} {'x' * 100}\n" for n in range(2 * LINES))
        assert notebook.run("%%remote\nn").check().result == str(2 * LINES - 1)
        notebook.close()


def _use_up_files(folder: Path) -> None:
    try:
        for number in range(100):
            (folder / f"filler-{number}").touch()
    except OSError:
        return
    raise AssertionError("there was room for all these files")


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
