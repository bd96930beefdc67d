"""`%%remote --detach`: runs that go on while the notebook does, and what becomes of what they changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from front_end import FrontEnd
from notebooks import Cell, Notebook, is_line

GATE = """
import os, time
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"""


CLICK = {"event": "click"}


class Gate:
    """Holds a run on the target up, by a file."""

    def __init__(self, notebook: Notebook) -> None:
        self.path = str(notebook.sandbox.folder / "gate")
        notebook.run(GATE).check()
        notebook.run(f"gate = {self.path!r}").check()
        self._notebook = notebook

    def open(self) -> None:
        (self._notebook.sandbox.folder / "gate").touch()


@pytest.fixture
def gate(notebook: Notebook) -> Gate:
    return Gate(notebook)


def run_of(cell: Cell) -> str:
    """The id that the card shows."""
    texts = [shown.get("text/plain", "") for shown in cell.check().displays]  # one may say that a target starts
    (run,) = (found[1] for text in texts if (found := re.search(r"run (\w{8}) on", text)) is not None)
    return run


def test_a_detached_run_goes_on_while_cells_run_and_is_merged_between_two(notebook: Notebook, gate: Gate) -> None:
    notebook.run("data = [1, 2]\nalias = data").check()
    cell = notebook.run("%%remote --detach\nwait_for(gate)\ndata.append(3)\nmade = len(data)\nprint('working')").check()
    run = run_of(cell)
    assert notebook.run("1 + 1").check().result == "2"
    gate.open()
    notebook.run(f"%remote wait {run}").check()
    assert notebook.value("(data, alias is data, made)") == ([1, 2, 3], True, 3)


def test_what_it_changed_is_merged_without_any_cell(notebook: Notebook, gate: Gate) -> None:
    """As soon as it is over, when the notebook is idle: the card says so."""
    cell = notebook.run("%%remote --detach\nwait_for(gate)\nmade = 5").check()
    gate.open()
    said: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "update_display_data":
            said.append(message["content"]["data"].get("text/plain", ""))

    notebook.listeners.append(hear)
    notebook.pump(lambda: any("Merged: made" in text for text in said), 30)
    assert run_of(cell) in said[-1]
    assert notebook.value("made") == 5


def test_a_local_cell_that_reads_what_it_may_change_waits(notebook: Notebook, gate: Gate) -> None:
    """Shipped or bound by the run, directly or through a function; other cells do not."""
    notebook.run("data, other = [1], [2]\nholder = {'inside': data}\ndef through(): return sum(data)").check()
    notebook.run("%%remote --detach\nwait_for(gate)\ndata.append(3)\nmade = 4").check()
    assert notebook.run("len(other)").check().result == "1"
    for code, value in (("data", "[1, 3]"), ("through()", "4"), ("made", "4"), ("holder", "{'inside': [1, 3]}")):
        cell = notebook.start(code)
        if code == "data":
            cell.until(lambda running: any("waiting for run" in text for text in shown(running.messages)))
            gate.open()
        assert cell.finish().check().result == value


def shown(messages: list) -> list[str]:
    """Everything that a person could read so far, the models of widgets among it."""
    return [str(message["content"]) for _, message in messages]


def test_ctrl_c_ends_the_waiting_and_not_the_run(notebook: Notebook, gate: Gate) -> None:
    run = run_of(notebook.run("%%remote --detach\nwait_for(gate)\nmade = 4").check())
    waiting = notebook.start("touched = True\nmade")
    waiting.until(lambda running: any("waiting for run" in text for text in shown(running.messages)))
    notebook.interrupt()
    error = waiting.finish().error
    assert error is not None and "The waiting was interrupted; this cell was not run" in error.value
    assert notebook.value("'touched' in globals()") is False
    gate.open()
    notebook.run(f"%remote wait {run}").check()
    assert notebook.value("made") == 4


@pytest.mark.parametrize("how", ["stale", "error"])
def test_whether_a_cell_waits_can_be_set(notebook: Notebook, gate: Gate, how: str) -> None:
    folder = notebook.sandbox.folder / "config" / "farcell"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "targets.toml").write_text(f"[targets.box]\ndetached_reads = '{how}'\n")
    notebook.run("data = [1]").check()
    run = run_of(notebook.run("%%remote box --detach\nwait_for(gate)\ndata.append(2)").check())
    cell = notebook.run("data")
    if how == "stale":
        assert cell.check().result == "[1]"
    else:
        assert cell.error is not None and f"Run {run} on 'box' goes on and may change data" in cell.error.value
    gate.open()
    notebook.run(f"%remote wait {run}").check()
    assert notebook.value("data") == [1, 2]


@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_what_both_have_changed_is_a_conflict(notebook: Notebook, gate: Gate, whose: str) -> None:
    """Then nothing of the run is merged, until the person says whose values hold."""
    notebook.run("data, seen = [1], {}").check()
    run = run_of(notebook.run("%%remote --detach\nwait_for(gate)\ndata.append(2)\nseen['far'] = 1\nmade = 7").check())
    notebook.run("globals()['da' + 'ta'].append('here')").check()
    gate.open()
    cell = notebook.run(f"%remote wait {run}")
    assert cell.error is not None and cell.error.name == "Conflict" and "data" in cell.error.value
    assert notebook.value("(data, seen, 'made' in globals())") == ([1, "here"], {}, False)
    notebook.run(f"results = %remote results {run}").check()
    assert notebook.value("results") == {"data": [1, 2], "seen": {"far": 1}, "made": 7}
    notebook.run(f"%remote wait {run} --{whose}").check()
    taken = whose == "theirs"
    assert notebook.value("(data, seen)") == (([1, 2], {"far": 1}) if taken else ([1, "here"], {}))
    assert notebook.value("'made' in globals()") is taken
    assert notebook.run("%%remote\nprint(data, seen, 'made' in globals())").check().stdout == (
        "[1, 2] {'far': 1} True\n" if taken else "[1, 'here'] {} False\n"
    )


def test_several_go_on_at_once_on_different_targets(notebook: Notebook, gate: Gate) -> None:
    runs = [run_of(notebook.run(f"%%remote {t} --detach\nwait_for(gate)\n{v} = 1").check()) for t, v in TWO]
    assert notebook.run("'still here'").check().result == "'still here'"
    gate.open()
    for run in runs:
        notebook.run(f"%remote wait {run}").check()
    assert notebook.value("(first, second)") == (1, 1)


TWO = (("local", "first"), ("local-attach", "second"))


def test_a_second_cell_on_the_same_session_queues_and_says_so(notebook: Notebook, gate: Gate) -> None:
    notebook.run("%%remote --detach\nwait_for(gate)\nmade = 4").check()
    second = notebook.start("%%remote\nprint(made + 1)")
    second.until("Waiting for the run before this one")
    gate.open()
    assert second.finish().check().stdout == "5\n"


def test_a_cell_of_another_target_waits_for_what_it_reads(notebook: Notebook, gate: Gate) -> None:
    notebook.run("%%remote local --detach\nwait_for(gate)\nmade = 4").check()
    second = notebook.start("%%remote local-attach\nprint(made + 1)")
    second.until(lambda running: any("waiting for run" in text for text in shown(running.messages)))
    gate.open()
    assert second.finish().check().stdout == "5\n"


def test_outputs_stay_in_their_own_cell(notebook: Notebook, gate: Gate) -> None:
    """Text in the card, displays below it; a result is in `Out` under its own number."""
    code = (
        "%%remote --detach\nfrom IPython.display import display\nprint('first line')\nwait_for(gate)\n"
        "for n in range(3): print(f'\\rstep {n}', end='')\nprint()\ndisplay('shown')\n40 + 2"
    )
    sent: list[dict] = []
    notebook.listeners.append(sent.append)
    began = notebook.start(code)
    own = began.message_id
    cell = began.finish().check()
    other = notebook.start("import time\ntime.sleep(0.5)\nprint('local')")
    gate.open()
    assert other.finish().check().stdout == "local\n"
    run = run_of(cell)
    notebook.run(f"%remote wait {run}").check()
    notebook.pump(lambda: any("42" in str(m["content"]) and m["msg_type"] == "execute_result" for m in sent), 20)
    mine = [m for m in sent if m["parent_header"].get("msg_id") == own]
    assert [m["content"]["data"]["text/plain"] for m in mine if m["msg_type"] == "execute_result"] == ["42"]
    assert "'shown'" in [m["content"]["data"].get("text/plain") for m in mine if m["msg_type"] == "display_data"]
    assert not [m for m in mine if m["msg_type"] == "stream"]
    updates = [m["content"] for m in mine if m["msg_type"] == "update_display_data" and not is_line(m["content"])]
    last = updates[-1]["data"]["text/plain"]
    assert last.split("\n")[-2:] == ["first line", "step 2"] and "done in" in last
    assert notebook.value(f"Out[{cell.execution_count}]") == 42
    strangers = [m for m in sent if "shown" in str(m["content"].get("data")) and m["parent_header"].get("msg_id") != own]
    assert not strangers


def test_an_error_shows_in_the_card_and_where_it_is_waited_for(notebook: Notebook) -> None:
    run = run_of(notebook.run("%%remote --detach\nmade = 1\n1 / 0").check())
    cell = notebook.run(f"%remote wait {run}")
    assert cell.error is not None and cell.error.name == "ZeroDivisionError" and "1 / 0" in cell.error.traceback
    assert notebook.value("made") == 1


def test_the_buttons_of_the_card(notebook: Notebook, gate: Gate) -> None:
    page = FrontEnd(notebook)
    cell = notebook.run("%%remote --detach\nfor n in range(9): print('line', n)\nwait_for(gate)\nmade = 1").check()
    stop, log = (model for model in page.opened if page.state(model).get("description") in ("Cancel", "Show log"))
    page.custom(log, CLICK)
    assert page.state(log)["description"] == "Hide log"
    page.custom(stop, CLICK)
    notebook.pump(lambda: page.state(stop)["disabled"], 20)
    error = notebook.run(f"%remote wait {run_of(cell)}").error
    assert error is not None and error.name == "KeyboardInterrupt"
    assert notebook.value("'made' in globals()") is False


def test_names_that_its_text_does_not_tell_are_not_fetched_later(notebook: Notebook, gate: Gate) -> None:
    """The notebook may have other values by then."""
    notebook.run("secret = 5").check()
    run = run_of(notebook.run("%%remote --detach\nwait_for(gate)\nmade = globals()['sec' + 'ret']").check())
    gate.open()
    error = notebook.run(f"%remote wait {run}").error
    assert error is None or "--in secret" in error.value


def test_a_kernel_that_dies_is_told_of(notebook: Notebook) -> None:
    run = run_of(notebook.run("%%remote --detach\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)").check())
    error = notebook.run(f"%remote wait {run}").error
    assert error is not None and error.name == "KernelDied"
    assert notebook.run("%%remote\nprint('again')").check().stdout == "again\n"


def test_a_session_that_is_stopped_ends_its_run(notebook: Notebook, gate: Gate) -> None:
    run = run_of(notebook.run("%%remote --detach\nwait_for(gate)\nmade = 1").check())
    notebook.run("%remote stop local").check()
    assert notebook.run(f"%remote wait {run}").error is not None
    assert "cancelled" in notebook.run("%remote status").check().displays[-1]["text/plain"]


def test_values_of_the_moment_it_was_sent_off(notebook: Notebook, gate: Gate) -> None:
    """What changes here later is not seen there, and is no conflict when the run only read it."""
    notebook.run("import numpy\nbig = numpy.zeros(3_000_000)\nrate = 1\nclass Unseen: pass\nUnseen.reach = big").check()
    run = run_of(notebook.run("%%remote --detach\nwait_for(gate)\ntotal = float(big.sum()) + rate").check())
    notebook.run("Unseen.reach[:] = 1\nrate = 100").check()  # through a class nobody looks
    gate.open()
    notebook.run(f"%remote wait {run}").check()
    assert notebook.value("(total, float(big[0]), rate)") == (1.0, 1.0, 100)
    assert notebook.run("%%remote\nprint(big[0], rate)").check().stdout == "1.0 100\n"


def test_random_numbers_drawn_here_meanwhile_stand(notebook: Notebook, gate: Gate) -> None:
    notebook.run("import random\nrandom.seed(1)").check()
    run = run_of(notebook.run("%%remote --detach\nimport random\nwait_for(gate)\nthere = random.random()").check())
    notebook.run("here = random.random()\nafter = random.getstate()").check()
    gate.open()
    notebook.run(f"%remote wait {run}").check()
    assert notebook.value("(there == here, random.getstate() == after)") == (True, True)
