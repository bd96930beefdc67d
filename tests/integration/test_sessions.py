"""Sessions of all notebooks, here and over ssh: which there are, and how one is ended from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostclient import wait_until, wait_until_taken
from notebooks import Cell, Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd


@pytest.fixture
def other(sandbox: Sandbox) -> Iterator[Notebook]:
    """Another notebook of the same user, which has begun nothing."""
    with Notebook(sandbox) as another:
        another.run("%load_ext farcell").check()
        yield another


def rows(cell: Cell) -> list[str]:
    """Of the table that a cell shows, below its title and head."""
    text = str(cell.check().displays[0]["text/plain"])
    return [] if text == "All sessions: none" else text.splitlines()[3:]


def session_in(row: str) -> str:
    found = re.match(r"s-\w{8}\b", row)
    assert found is not None, row
    return found[0]


def test_a_session_of_another_notebook_is_listed_and_ended(notebook: Notebook, other: Notebook) -> None:
    """With what it is, what it does and how much memory it has; its notebook is told when it next looks."""
    assert rows(other.run("%remote sessions")) == []
    notebook.run("%%remote\nmade = 1").check()
    wait_until_taken(notebook.sandbox.runtime)
    (row,) = rows(other.run("%remote sessions"))
    assert re.search(r" local +this machine .* idle +\d+ s +- +\d+(\.\d+)? [MG]i?B$", row), row
    # A notebook acknowledges what it was brought some hundredths of a second later.
    assert wait_until(lambda: "has ended" in other.run(f"%remote sessions --end {session_in(row)}").stdout)
    assert rows(other.run("%remote sessions")) == []


def test_a_session_of_ones_own_is_ended_as_by_stop(notebook: Notebook) -> None:
    notebook.run("%%remote\nmade = 1").check()
    (row,) = rows(notebook.run("%remote sessions"))
    notebook.run(f"%remote sessions --end {session_in(row)}").check()
    assert notebook.run("%%remote\nmade + 1").check().result == "2"


def test_a_session_that_runs_is_ended_only_by_who_says_so_twice(notebook: Notebook, other: Notebook) -> None:
    """The run that would be lost is named."""
    running = notebook.start("%%remote\nimport threading\nprint('begun')\nthreading.Event().wait()")
    running.until("begun")
    (row,) = rows(other.run("%remote sessions"))
    refused = other.run(f"%remote sessions --end {session_in(row)}")
    assert refused.error is not None and re.search(r"has runs that end with it: \w{8}\. --yes", refused.error.value)
    other.run(f"%remote sessions --end {session_in(row)} --yes").check()
    assert running.finish().error is not None
    assert notebook.run("1 + 1").check().result == "2"


def test_all_asks_the_machines_that_ssh_reaches(sshd: Sshd, sandbox: Sandbox, notebook: Notebook, other: Notebook) -> None:
    """Once for targets that share one; a machine that cannot be asked is said, and the others are listed."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    define_target(sandbox, "same", **over_ssh(sandbox, sshd))
    define_target(sandbox, "closed", **over_ssh(sandbox, sshd, user="farcell-nobody"))
    before = other.run("%remote sessions --all")
    assert rows(before) == [] and "'closed'" in before.stderr and "needs authentication" in before.stderr
    assert not (sandbox.folder / "far" / "cache").exists(), "nothing is left on a machine that is only asked"
    notebook.run("%%remote t\nmade = 1").check()
    assert rows(other.run("%remote sessions")) == []
    (row,) = rows(other.run("%remote sessions --all"))
    assert re.search(rf" t +{sshd.root} ", row), row
    assert "has ended" in other.run(f"%remote sessions --all --end {session_in(row)}").check().stdout
    assert rows(other.run("%remote sessions --all")) == []


def test_an_idle_session_is_released_and_what_only_it_had_comes_back(sandbox: Sandbox, notebook: Notebook) -> None:
    """The notebook is warned, and told what was saved; its next cell there has it in a new session."""
    define_target(sandbox, "t", backend="local", idle_timeout_s=8)
    notebook.run("%%remote t --keep kept\nkept = [1, 2]; first = __import__('os').getpid()").check()
    folder = notebook.value("get_ipython().magics_manager.registry['RemoteMagics'].workspace.sessions['t'].status().runtime")
    assert wait_until(lambda: not Path(str(folder)).exists(), 60)
    cell = notebook.run("%%remote t\nkept.append(3); second = __import__('os').getpid(); len(kept)").check()
    assert cell.result == "3" and notebook.value("first != second")
    assert "nothing was run for 8 s" in cell.stderr


@pytest.mark.parametrize("is_over", [False, True])
def test_a_run_over_ssh_goes_on_while_the_kernel_is_restarted(
    is_over: bool, sshd: Sshd, sandbox: Sandbox, notebook: Notebook
) -> None:
    """A new kernel attaches to it, also after its end: all output from the beginning, then what it changed."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    gate = sandbox.folder / "gate"
    notebook.run("data = [0]").check()
    notebook.start(
        f"%%remote t\nimport os, time\nprint('begun')\ndata.append(1)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
        "\nmade = {'of': data}\nprint('done')"
    ).until("begun")
    notebook.restart()
    notebook.run("%load_ext farcell").check()
    if is_over:
        gate.touch()
        asked = "__import__('farcell.everywhere').everywhere.look(__import__('farcell.targets').targets.load(), True).sessions"
        assert wait_until(lambda: bool(notebook.value(f"[each.status['untaken_runs'] for each in {asked}][0]")))
    cell = notebook.start("%remote attach")
    cell.until("begun")
    gate.touch()
    assert cell.finish().check().stdout == "begun\ndone\n"
    assert notebook.value("(made, data, made['of'] is data)") == ({"of": [0, 1]}, [0, 1], True)
    assert notebook.run("%%remote t\ndata.append(2)\nprint(made)").check().stdout == "{'of': [0, 1, 2]}\n"


def test_a_first_cell_tells_of_a_run_that_was_left_over_ssh(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """And how to attach to it or end it."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    notebook.start("%%remote t\nimport threading\nprint('begun')\nthreading.Event().wait()").until("begun")
    notebook.restart()
    notebook.run("%load_ext farcell").check()
    told = notebook.run("%%remote t\n1").check().stderr
    found = re.search(r"Run \w{8} on 't' goes on.* (%remote sessions --all --end s-\w{8} --yes) ends it\.", told)
    assert found is not None, told
    assert "has ended" in notebook.run(found[1]).check().stdout


def test_a_session_that_a_notebook_drives_is_nobodys_earlier_one(sandbox: Sandbox) -> None:
    """Two notebooks of one name, such as copies in two folders of a server's: neither ends what the other has."""
    with Notebook(sandbox, name="same.ipynb") as first, Notebook(sandbox, name="same.ipynb") as second:
        for notebook in (first, second):
            notebook.run("%load_ext farcell").check()
        first.run("%%remote --keep kept\nkept = [1]").check()
        assert "attach" not in second.run("%%remote\nkept = [2]").check().stderr
        assert first.run("%%remote\nprint(kept)").check().stdout == "[1]\n"


def test_the_logs_of_a_session_over_ssh(sshd: Sshd, sandbox: Sandbox, notebook: Notebook) -> None:
    """They lie on the target."""
    define_target(sandbox, "t", **over_ssh(sandbox, sshd))
    notebook.run("%%remote t\nimport os; os.write(2, b'said by hand\\n')").check()
    told = notebook.run("%remote log t --lines 3").check().stdout
    assert "said by hand" in told and f"== {sandbox.folder}/far/r/s-" in told and "host.log" in told


def test_an_id_that_is_none_is_said(other: Notebook) -> None:
    cell = other.run("%remote sessions --end s-0")
    assert cell.error is not None and "Found: none." in cell.error.value
