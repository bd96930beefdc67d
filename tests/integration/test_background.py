"""Threads and tasks that a remote cell has started go on there: what they change is seen here by the next cell that reads."""

from __future__ import annotations

from notebooks import Notebook
from sandbox import Sandbox

GOES_ON = """%%remote
import asyncio, os, threading, time
seen, kept = [], {}
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.005)
def work():
    wait_for("go on")
    seen.append("thread")
    kept["made"] = made = [seen]
    globals()["fresh"] = kept
    open("done", "x").close()
    wait_for("end")
thread = threading.Thread(target=work, daemon=True)
thread.start()
"""
LET_IT = 'import os, time\nopen("go on", "x").close()\nwhile not os.path.exists("done"): time.sleep(0.005)'


def test_a_local_cell_sees_what_a_remote_thread_changed(notebook: Notebook) -> None:
    """Also through a name that never travelled, and a name that the thread made; in place."""
    notebook.run(GOES_ON).check()
    notebook.run("alias, before = seen, len(seen)").check()
    notebook.run(LET_IT).check()
    assert notebook.run("alias").check().result == "['thread']"
    assert notebook.run("fresh is kept and kept['made'][0] is alias").check().result == "True"


def test_the_last_changes_come_after_the_thread_has_ended(notebook: Notebook) -> None:
    """And then the target is asked no more."""
    notebook.run(GOES_ON).check()
    notebook.run(LET_IT).check()
    notebook.run('open("end", "x").close()').check()
    notebook.run("%%remote\nthread.join()").check()
    assert notebook.run("seen").check().result == "['thread']"
    runs = notebook.value(
        "[session.is_touched for session in get_ipython().magics_manager.registry['RemoteMagics'].workspace.sessions.values()]"
    )
    assert runs == [False]


def test_a_task_goes_on_between_cells(notebook: Notebook) -> None:
    """An asyncio task counts as a thread does."""
    notebook.run("ticks = []").check()
    notebook.run(
        "%%remote\nimport asyncio, os\nasync def tick():\n    while not os.path.exists('go on'): await asyncio.sleep(0.005)\n"
        "    ticks.append(1)\n    open('done', 'x').close()\ntask = asyncio.create_task(tick()); None"
    ).check()
    notebook.run(LET_IT).check()
    assert notebook.run("ticks").check().result == "[1]"


def test_what_both_have_changed_is_a_conflict(notebook: Notebook) -> None:
    """A local change is not sent over the thread's: the cell does not run until it is settled."""
    notebook.run(GOES_ON).check()
    notebook.run("import os, time").check()
    notebook.run("seen.append('here')\nopen('go on', 'x').close()\nwhile not os.path.exists('done'): time.sleep(0.005)").check()
    cell = notebook.run("%%remote\nran = True\nseen")
    assert cell.error is not None and cell.error.name == "Conflict"
    assert "'ran'" in notebook.run("ran").error.value
    notebook.run("%remote resolve --local").check()
    assert notebook.run("%%remote\nseen").check().result == "['here']"


def test_a_cell_of_another_target_sees_it_too(sandbox: Sandbox, notebook: Notebook) -> None:
    """What went on on one target reaches another through the notebook."""
    notebook.run(GOES_ON).check()
    notebook.run(LET_IT).check()
    assert notebook.run("%%remote local-attach\nseen").check().result == "['thread']"
