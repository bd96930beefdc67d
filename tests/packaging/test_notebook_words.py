"""The words that the other tests are written in do what they say, against a kernel without farcell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from notebooks import Notebook
from sandbox import Sandbox


@pytest.fixture(scope="module")
def plain() -> Iterator[Notebook]:
    place = Sandbox()
    with Notebook(place) as notebook:
        yield notebook
    assert place.close() == []


def test_a_cell_shows_streams_and_result(plain: Notebook) -> None:
    """A cell's prints, warnings and last value are told apart."""
    cell = plain.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
    assert (cell.stdout, cell.stderr, cell.result, cell.error) == ("out\n", "err\n", "42", None)
    assert [output["output_type"] for output in cell.outputs].count("execute_result") == 1
    assert cell.reply["status"] == "ok"


def test_an_error_is_told_without_colours(plain: Notebook) -> None:
    """A cell's exception has a name, a value and a readable traceback; check() fails on it."""
    cell = plain.run("1 / 0")
    assert cell.error is not None
    assert (cell.error.name, cell.error.value) == ("ZeroDivisionError", "division by zero")
    assert "----> 1 1 / 0" in cell.error.traceback
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        cell.check()


def test_input_is_answered(plain: Notebook) -> None:
    """What input() asks is answered by the test."""
    assert plain.run("input('name? ')", answers=["Ada"]).result == "'Ada'"


def test_a_running_cell_is_watched_and_interrupted(plain: Notebook) -> None:
    """A test may wait for what a cell prints and press stop."""
    running = plain.start("import time\nprint('begun', flush=True)\ntime.sleep(60)")
    assert running.until("begun", timeout=30) < 30
    plain.interrupt()
    error = running.finish(timeout=30).error
    assert error is not None and error.name == "KeyboardInterrupt"


def test_display_updates_and_clears_are_stored_as_shown(plain: Notebook) -> None:
    """Outputs are what a saved notebook would hold."""
    cell = plain.run(
        "from IPython.display import display, clear_output\n"
        "print('gone'); clear_output(wait=True)\n"
        "h = display('first', display_id=True); h.update('second')"
    )
    assert [output["data"]["text/plain"] for output in cell.outputs] == ["'second'"]


def test_values_come_back(plain: Notebook) -> None:
    """A literal can be read out of the notebook."""
    plain.run("x = {'a': [1, 2.5]}").check()
    assert plain.value("x") == {"a": [1, 2.5]}


def test_a_process_left_behind_is_found_and_ended(sandbox: Sandbox) -> None:
    """A daemon in its own process session is found by its runtime folder."""
    place = Sandbox()
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env=place.environment(), start_new_session=True
    )
    (place.runtime / "socket").touch()
    left = place.close(grace_s=0.2)
    process.wait(10)
    assert [line.split()[0] for line in left] == ["process", "file"]
    assert not place.folder.exists()
