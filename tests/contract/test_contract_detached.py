"""Runs that nobody waits for, on every way to a target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks import Cell
from places import Place

SETUP = """
import os, time
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"""


@pytest.fixture
def gate(place: Place, tmp_path: Path) -> Iterator[Path]:
    """A file that holds runs up; they are let go of in any case."""
    path = tmp_path / "gate"
    place.here(SETUP + f"gate = {str(path)!r}")
    yield path
    path.touch()


def run_of(cell: Cell) -> str:
    texts = [shown.get("text/plain", "") for shown in cell.check().displays]  # one may say that a target starts
    (run,) = (found[1] for text in texts if (found := re.search(r"run (\w{8}) on", text)) is not None)
    return run


def test_what_it_changed_is_merged(place: Place, gate: Path) -> None:
    """In the very objects, also large ones; what changed here meanwhile is not touched."""
    place.here("import numpy as np\ndata, big, other = [1], np.zeros(400_000), 1\nalias = big")
    run = run_of(place.far("wait_for(gate)\ndata.append(2)\nbig[3] = 5\nmade = {'of': data}", "--detach"))
    place.here("other = 2")
    gate.touch()
    place.here(f"%remote wait {run}")
    assert place.notebook.value("(data, float(alias[3]), made['of'] is data, other)") == ([1, 2], 5.0, True, 2)
    assert place.far("data.append(3)\nprint(other, made)").check().stdout == "2 {'of': [1, 2, 3]}\n"


def test_it_is_cancelled(place: Place, gate: Path) -> None:
    run = run_of(place.far("wait_for(gate)", "--detach"))
    place.here(f"%remote interrupt {place.target}")
    error = place.notebook.run(f"%remote wait {run}").error
    assert error is not None and error.name == "KeyboardInterrupt"


def test_its_text_and_displays(place: Place, gate: Path) -> None:
    sent: list[dict] = []
    place.notebook.listeners.append(sent.append)
    code = "from IPython.display import display\nprint('said')\ndisplay('shown')\nwait_for(gate)\n6 * 7"
    run = run_of(place.far(code, "--detach"))
    gate.touch()
    place.here(f"%remote wait {run}")
    place.notebook.pump(lambda: any("done in" in str(message["content"]) for message in sent), 20)
    texts = [message["content"].get("data", {}).get("text/plain", "") for message in sent]
    assert "'shown'" in texts and "42" in texts and texts.count("42") == 1
    assert any(text.startswith("farcell: run") and text.endswith("said") for text in texts)
    assert not [message for message in sent if message["msg_type"] == "stream" and "said" in message["content"]["text"]]
    place.notebook.listeners.remove(sent.append)


def test_a_conflict(place: Place, gate: Path) -> None:
    place.here("shared, mine = {'n': 0}, 1\nclass Hidden: pass\nHidden.way = shared")
    run = run_of(place.far("wait_for(gate)\nshared['n'] = 'far'\nmine = 2", "--detach"))
    place.here("Hidden.way['n'] = 'here'")
    gate.touch()
    error = place.notebook.run(f"%remote wait {run}").error
    assert error is not None and error.name == "Conflict"
    place.here(f"found = %remote results {run}")
    assert place.notebook.value("(shared, mine, found)") == ({"n": "here"}, 1, {"shared": {"n": "far"}, "mine": 2})
    place.here(f"%remote wait {run} --theirs")
    assert place.notebook.value("(shared, Hidden.way is shared, mine)") == ({"n": "far"}, True, 2)
