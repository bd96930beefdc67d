"""What becomes of a run when the notebook's kernel is restarted, and what its host's journal still tells."""

from __future__ import annotations

import re

import pytest
from notebooks import Notebook

SLOW = """
import os, time
from IPython.display import display
print('begun')
handle = display('shown', display_id=True)
data.append(1)
while not os.path.exists(gate): time.sleep(0.01)
made = {'of': data}
handle.update('updated')
print('done')
"""


def prepare(notebook: Notebook) -> str:
    gate = str(notebook.sandbox.folder / "gate")
    notebook.run(f"data, gate = [0], {gate!r}").check()
    return gate


@pytest.mark.parametrize("how", ["waits", "detached", "killed"])
def test_a_run_goes_on_while_the_kernel_is_restarted(notebook: Notebook, how: str) -> None:
    """Its cell then shows all output, from the beginning, and what it changed is in the new kernel."""
    prepare(notebook)
    if how == "detached":
        notebook.run("%%remote --detach\n" + SLOW).check()
    else:
        notebook.start("%%remote\n" + SLOW).until("begun")
    notebook.restart(now=how == "killed")
    offered = notebook.run("%load_ext farcell").check().stderr
    found = re.search(r"Run (\w{8}) on 'local' goes on.*%remote attach", offered)
    assert found is not None, offered
    cell = notebook.start(f"%remote attach {found[1]}")
    cell.until("begun")
    (notebook.sandbox.folder / "gate").touch()
    shown = cell.finish().check()
    assert shown.stdout == "begun\ndone\n"
    assert [output["data"]["text/plain"] for output in shown.outputs if "data" in output] == ["'updated'"]
    assert notebook.value("(made, data, made['of'] is data)") == ({"of": [0, 1]}, [0, 1], True)
    assert notebook.run("%%remote\ndata.append(2)\nprint(made)").check().stdout == "{'of': [0, 1, 2]}\n"
    assert notebook.value("made") == {"of": [0, 1, 2]}


def test_results_of_a_run_that_ended_meanwhile(notebook: Notebook) -> None:
    prepare(notebook)
    notebook.start("%%remote\n" + SLOW + "\n1 / 0").until("begun")
    notebook.restart()
    (notebook.sandbox.folder / "gate").touch()
    notebook.run("%load_ext farcell").check()
    cell = notebook.run("%remote attach")
    assert cell.error is not None and cell.error.name == "ZeroDivisionError"
    assert notebook.value("made") == {"of": [0, 1]}
    assert "none" in (notebook.run("%remote attach").error or cell.error).value + notebook.run("%remote attach").stderr


def test_an_interrupt_without_a_restart_is_one(notebook: Notebook) -> None:
    prepare(notebook)
    running = notebook.start("%%remote\n" + SLOW)
    running.until("begun")
    notebook.interrupt()
    error = running.finish().error
    assert error is not None and error.name == "KeyboardInterrupt"


def test_the_outputs_of_a_run_are_shown_again(notebook: Notebook) -> None:
    prepare(notebook)
    (notebook.sandbox.folder / "gate").touch()
    first = notebook.run("%%remote\n" + SLOW).check()
    notebook.run("%%remote\nprint('another')").check()
    log = notebook.run("%remote log").check().displays[0]["text/plain"]
    runs = re.findall(r"\b[0-9a-f]{8}\b", log)
    again = notebook.run(f"%remote log {runs[0]} --replay").check()
    assert again.outputs == first.outputs
    assert notebook.run(f"%remote log {runs[1]} --replay").check().stdout == "another\n"
