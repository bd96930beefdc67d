"""Ctrl-C while state is under way: felt at once, nothing half done, the session as good as before.

Values of a notebook class say by files when they are being pickled or restored, and wait for the test there, so each moment
is hit for certain. The class is a set's, since instances of plain classes travel with no code of theirs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from notebooks import Cell, Notebook

SLOW = """
import os, pathlib, time
def signal(name):
    pathlib.Path(folder, name).touch()
def await_file(name):
    end = time.monotonic() + 20
    while not os.path.exists(os.path.join(folder, name)):
        assert time.monotonic() < end, name
        time.sleep(0.005)
class Slow(set):
    def __init__(self, n):
        self.n = n
"""
PICKLES = """
    def __reduce__(self):
        if os.environ.get("FARCELL_TEST_SIDE") == "here":
            signal("packing")
            await_file("felt")
        return Slow, (self.n,)
"""
RESTORES = """
    def __setstate__(self, state):
        self.n = state["n"]
        if os.environ.get("FARCELL_TEST_SIDE") == "here":
            signal("merging")
            await_file("go")
"""


def eventually(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def interrupted(cell: Cell) -> bool:
    return [error.name for error in cell.errors] == ["KeyboardInterrupt"]


def still_works(notebook: Notebook, target: str) -> None:
    notebook.run("after = [1]").check()
    assert notebook.run(f"%%remote {target}\nafter.append(2)\nsum(after)").check().result == "3"
    assert notebook.value("after") == [1, 2]


def copied_bytes(notebook: Notebook) -> int:
    """What the notebook's kernel has written so far into memory files, which is how a buffer goes to a kernel beside it."""
    total = 0
    for each in Path(f"/proc/{notebook.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if "memfd:" in os.readlink(each):
                total += each.stat().st_blocks * 512
    return total


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


WAYS = {
    "read where it lies": ("local", {}),
    "memory files": ("local", {"FARCELL_WITHOUT": "peermemory"}),
    "memory files, zmq": ("local", {"FARCELL_DIRECT": "0"}),
    "chunks": ("local-attach", {}),
    "chunks, zmq": ("local-attach", {"FARCELL_DIRECT": "0"}),
}
LARGE = {"local": 1 << 30, "local-attach": 192 << 20}
"""Bytes, many more than have gone when the interrupt comes: a stream is slower than memory."""


@pytest.mark.parametrize("way", WAYS)
def test_an_upload_is_cut_short(way: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The array is large, and the cell that needs it never begins."""
    target, environment = WAYS[way]
    count = LARGE[target] // 8
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notebook: Notebook = request.getfixturevalue("notebook")
    notebook.run(f"%%remote {target}\n1").check()
    notebook.run(f"import numpy as np\nlarge = np.arange({count})").check()
    notebook.run(f"%%remote {target}\nimport numpy").check()
    kernel = notebook.value(f"__import__('farcell').connect({target!r}).status().kernel_pid")
    before = resident_bytes(kernel)
    running = notebook.start(f"%%remote {target}\nbegan = True\nlarge.sum()")
    if target == "local-attach":
        eventually(lambda: any((notebook.sandbox.cache / "chunks").rglob("*")), "no chunk came")
    else:
        eventually(lambda: copied_bytes(notebook) or resident_bytes(kernel) > before + (64 << 20), "nothing was copied")
    notebook.interrupt()
    cell = running.finish(30)
    assert interrupted(cell)
    assert cell.errors[0].traceback == f"KeyboardInterrupt: The run on {target!r} was cancelled before it started."
    assert not notebook.value("'began' in globals()")
    assert copied_bytes(notebook) == 0
    still_works(notebook, target)
    assert notebook.run(f"%%remote {target}\nint(large.sum())").check().result == str(count * (count - 1) // 2)


@pytest.mark.parametrize("target", ["local", "local-attach"])
def test_a_fetch_does_not_hold_an_interrupt_back(notebook: Notebook, target: str, tmp_path: Path) -> None:
    """The cell waits for a name that the notebook is still packing, and feels Ctrl-C meanwhile."""
    notebook.run(f"folder = {str(tmp_path)!r}{SLOW}{PICKLES}\nslow = Slow(7)").check()
    notebook.run(f"%%remote {target}\n1").check()
    notebook.run("os.environ['FARCELL_TEST_SIDE'] = 'here'").check()
    code = f"""%%remote {target}
import sys, pathlib
try:
    found = getattr(sys.modules['__main__'], 'sl' + 'ow')
except KeyboardInterrupt:
    pathlib.Path({str(tmp_path / "felt")!r}).touch()
    raise
"""
    running = notebook.start(code)
    eventually((tmp_path / "packing").exists, "the notebook was not asked")
    notebook.interrupt()
    assert interrupted(running.finish(30))
    assert (tmp_path / "felt").exists()
    assert not notebook.value("'found' in globals()")
    still_works(notebook, target)
    assert notebook.run(f"%%remote {target}\nslow.n").check().result == "7"


@pytest.mark.parametrize("target", ["local", "local-attach"])
def test_a_merge_is_all_or_nothing(notebook: Notebook, target: str, tmp_path: Path) -> None:
    """Ctrl-C while the notebook takes a run's changes: all of them are taken, then the cell ends with it."""
    notebook.run(f"folder = {str(tmp_path)!r}{SLOW}{RESTORES}\nfirst, last = [1], [1]").check()
    notebook.run(f"%%remote {target}\n1").check()
    notebook.run("os.environ['FARCELL_TEST_SIDE'] = 'here'").check()
    running = notebook.start(f"%%remote {target}\nfirst.append(2)\nmade = Slow(3)\nlast.append(2)")
    eventually((tmp_path / "merging").exists, "nothing was merged")
    notebook.interrupt()
    (tmp_path / "go").touch()
    assert interrupted(running.finish(30))
    assert notebook.value("(first, made.n, last)") == ([1, 2], 3, [1, 2])
    still_works(notebook, target)


def test_a_pull_is_all_or_nothing(notebook: Notebook, tmp_path: Path) -> None:
    """The same for %remote pull, whose Ctrl-C is not swallowed."""
    notebook.run(f"folder = {str(tmp_path)!r}{SLOW}{RESTORES}").check()
    notebook.run("%%remote\n1").check()
    notebook.run("os.environ['FARCELL_TEST_SIDE'] = 'here'").check()
    notebook.run("%%remote --keep made\nmade = [Slow(3)]").check()
    running = notebook.start("%remote pull made")
    eventually((tmp_path / "merging").exists, "nothing was merged")
    notebook.interrupt()
    (tmp_path / "go").touch()
    assert interrupted(running.finish(30))
    assert notebook.value("made[0].n") == 3
    still_works(notebook, "")
