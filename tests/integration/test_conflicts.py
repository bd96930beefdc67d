"""A notebook that goes on while a remote cell runs: threads here and there."""

from __future__ import annotations

import re

from notebooks import Notebook

MEANWHILE = """
import os, threading, time
counts, other, log = {"here": 0}, [0], []
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.005)
def meanwhile():
    wait_for("the cell runs")
    counts["here"] += 1
    log.append("thread")
    open("the thread has run", "x").close()
threading.Thread(target=meanwhile, daemon=True).start()
"""
DURING = """%%remote
open("the cell runs", "x").close()
wait_for("the thread has run")
other.append(len(counts))
"""


def conflict_of(notebook: Notebook, ending: str = "") -> str:
    """A remote cell that changes what a local thread changes while it runs; the run's id as the error names it."""
    notebook.run(MEANWHILE).check()
    cell = notebook.run(f"{DURING}counts['there'] = 1\n{ending}")
    assert cell.error is not None
    text = cell.error.value if not ending else cell.stderr
    assert cell.error.name == ("Conflict" if not ending else "ZeroDivisionError")
    assert text.removeprefix("farcell: ").startswith("counts: changed in this notebook too")
    found = re.search(r"%remote resolve (\w+) --remote", text)
    assert found is not None
    return found[1]


def test_the_notebooks_own_values_stand_until_it_is_settled(notebook: Notebook) -> None:
    """Nothing of the component is merged, all else is; `--remote` then takes the target's, in place."""
    run = conflict_of(notebook)
    assert notebook.value("counts") == {"here": 1}
    assert notebook.value("other") == [0, 1]
    assert notebook.value("log") == ["thread"]
    notebook.run("alias = counts").check()
    assert "target's values hold" in notebook.run(f"%remote resolve {run} --remote").check().stdout.replace("'local'", "target")
    assert notebook.value("counts") == {"here": 0, "there": 1}
    assert notebook.value("alias is counts")
    assert "There are: none" in notebook.run("%remote resolve --local").reply["evalue"]


def test_the_targets_values_can_be_let_go_of(notebook: Notebook) -> None:
    """`--local` needs no run's id when there is one conflict; the next remote cell sees the notebook's value."""
    conflict_of(notebook)
    notebook.run("%remote resolve --local").check()
    assert notebook.run("%%remote\ncounts").check().result == "{'here': 1}"


def test_a_cell_that_fails_shows_its_own_error(notebook: Notebook) -> None:
    """The conflict is told beside it, and can be settled as any other."""
    run = conflict_of(notebook, "1 / 0")
    notebook.run(f"%remote resolve {run[:4]} --remote").check()
    assert notebook.value("counts") == {"here": 0, "there": 1}


def test_a_thread_that_changes_something_else_is_no_conflict(notebook: Notebook) -> None:
    """What only this side changed stays as it is, and what only the run changed is merged."""
    notebook.run(MEANWHILE).check()
    notebook.run(DURING).check()
    assert notebook.value("counts") == {"here": 1}
    assert notebook.value("other") == [0, 1]


def test_a_thread_that_only_waits_is_no_conflict_with_a_name_deleted_first(notebook: Notebook) -> None:
    """While another thread lives values are compared as they are here; that of a name which is only deleted was not sent."""
    notebook.run("import threading\nend = threading.Event()\nthreading.Thread(target=end.wait, daemon=True).start()").check()
    notebook.run("x = [1]").check()
    notebook.run("%%remote\ndel x\nx = [2]").check()
    assert notebook.value("x") == [2]
    notebook.run("end.set()").check()
