"""A remote cell looks as if it had run here: outputs, results, errors, questions, names."""

from __future__ import annotations

import re

import pytest
from notebooks import Cell
from places import Place


def test_it_runs_somewhere_else(place: Place) -> None:
    """The cell's process is not the notebook's."""
    cell = place.far("import os\nprint(os.getpid())").check()
    assert int(cell.stdout) != place.notebook.pid


def test_the_targets_own_ipykernel_runs_it(place: Place) -> None:
    """Its major version is not the notebook's where the target's Python has another."""
    code = "import ipykernel\nprint(ipykernel.version_info[0])"
    there, here = place.far(code).check().stdout, place.here(code).stdout
    assert (there != here) == place.way.endswith("-other")


def test_outputs_come_in_order(place: Place) -> None:
    """Both streams, displays, an update and the result come as they were made, below the right cell."""
    code = """
import sys
from IPython.display import display, HTML
print("one")
print("two", file=sys.stderr)
handle = display(HTML("<b>three</b>"), display_id=True)
print("four")
handle.update(HTML("<b>five</b>"))
6
"""
    cell = place.far(code).check()
    kinds = [output["output_type"] for output in cell.outputs]
    assert kinds == ["stream", "stream", "display_data", "stream", "execute_result"]
    assert cell.outputs[2]["data"]["text/html"] == "<b>five</b>"
    assert cell.result == "6"
    assert cell.stdout == "one\nfour\n"


def test_clear_output_clears(place: Place) -> None:
    """Live progress that clears its output leaves the last state only."""
    code = """
from IPython.display import clear_output
for n in range(3):
    clear_output(wait=True)
    print("step", n)
"""
    cell = place.far(code).check()
    assert [output["text"] for output in cell.outputs] == ["step 2\n"]


def test_local_and_remote_lines_keep_their_order(place: Place) -> None:
    """A loop that prints here and runs cells there shows the lines as they were made."""
    code = f"""
for n in range(10):
    print("here", n)
    get_ipython().run_cell_magic("remote", "{place.target}", f"print('there', {{n}})")
"""
    cell = place.here(code)
    assert cell.stdout == "".join(f"here {n}\nthere {n}\n" for n in range(10))


def test_results_are_numbered_as_here(place: Place) -> None:
    """`_`, `Out[N]` and the shown number are this notebook's; the magic shows nothing of its own."""
    cell = place.far("[4, 2]").check()
    shown = [message["content"] for _, message in cell.messages if message["msg_type"] == "execute_result"]
    assert [content["execution_count"] for content in shown] == [cell.execution_count]
    assert place.here(f"print(_, Out[{cell.execution_count}])").stdout == "[4, 2] [4, 2]\n"


def test_a_semicolon_hides_the_result(place: Place) -> None:
    """`x;` shows nothing and leaves `_` alone."""
    place.far("'before'").check()
    cell = place.far("'hidden';").check()
    assert cell.results == []
    assert place.here("print(_)").stdout == "before\n"


def test_names_go_there_and_back(place: Place) -> None:
    """What a cell reads is there, what it makes or changes is here afterwards, in the same objects."""
    place.here("numbers = [1, 2]\nholder = {'inner': numbers}\ndef double(x):\n    return [2 * n for n in x]")
    place.far("numbers.append(3)\nmade = double(numbers)").check()
    assert place.here("print(numbers, made, holder['inner'] is numbers)").stdout == "[1, 2, 3] [2, 4, 6] True\n"


def frames(cell: Cell) -> list[tuple[str, ...]]:
    """(cell number, line, function) of each frame that its traceback shows."""
    assert cell.error is not None
    return re.findall(r"Cell In ?\[(\d+)\], line (\d+)(?:, in (\w+))?", cell.error.traceback)


def test_tracebacks_name_the_cells_that_functions_come_from(place: Place) -> None:
    """A function of a local cell fails there, one of a remote cell here: both show the cell and line they were written in."""
    ours = place.here("def of_here(x):\n    return 1 // x")
    theirs = place.far("def of_there(x):\n    return of_here(x)\nasync def later(x):\n    return of_there(x)").check()
    here, there = str(ours.execution_count), str(theirs.execution_count)
    for run in (place.far, place.notebook.run):
        cell = run("await later(0)")
        own, *rest = frames(cell)
        assert own[0] == str(cell.execution_count)
        assert [(number, name) for number, _, name in rest] == [(there, "later"), (there, "of_there"), (here, "of_here")]
        lines = [int(line) for _, line, _ in rest]
        assert lines[0] == lines[1] + 2 and lines[2] == 2
    asked = "import inspect\nprint(inspect.getsource(later), inspect.getsource(of_there), inspect.getsource(of_here))"
    assert place.far(asked).check().stdout == place.here(asked).stdout != ""


@pytest.mark.parametrize("value", ["'text'", "1", "(1, 'a')", "shared", "None"])
def test_a_name_bound_to_what_it_was_before(place: Place, value: str) -> None:
    """The target has the name as it was then, and the notebook has bound it to something else since: the cell's value counts."""
    place.here(f"shared = [0]\nbound = {value}")
    place.far("bound, shared").check()
    place.here("bound = 'something else'")
    place.far(f"bound = {value}").check()
    assert place.here(f"print(bound == {value}, bound is shared)").stdout == f"True {value == 'shared'}\n"


def test_a_name_the_plan_missed_is_fetched(place: Place) -> None:
    """A read that no analysis sees is answered while the cell runs."""
    place.here("unseen = 'found it'")
    assert place.far("print(eval('un' + 'seen'))\nname = 'uns' + 'een'\nglobals()[name]").check().stdout == "found it\n"


def test_a_missing_name_is_a_name_error(place: Place) -> None:
    """As locally, and shown once."""
    cell = place.far("print('before')\nnowhere_to_be_found")
    assert [error.name for error in cell.errors] == ["NameError"]
    assert "nowhere_to_be_found" in cell.errors[0].value
    assert cell.stdout == "before\n"


def test_errors_show_the_cells_own_lines(place: Place) -> None:
    """One traceback, with the line numbers of the cell as typed and no frame of farcell's."""
    cell = place.far("def f():\n    return 1 / 0\nf()")
    assert [error.name for error in cell.errors] == ["ZeroDivisionError"]
    text = cell.errors[0].traceback
    assert "----> 4 f()" in text
    assert "----> 3     return 1 / 0" in text
    assert "farcell/" not in text and "run_cell_magic" not in text
    assert cell.reply["ename"] == "ZeroDivisionError"


def test_an_error_can_be_caught_here(place: Place) -> None:
    """It is the user's own exception, and what was done before it is kept."""
    place.here("done = []\nclass Mine(Exception):\n    pass")
    code = f"""
try:
    get_ipython().run_cell_magic("remote", "{place.target}", "done.append(1)\\nraise Mine('told', 7)")
except Mine as error:
    print("caught", error.args, done)
"""
    assert place.here(code).stdout == "caught ('told', 7) [1]\n"


def test_input_is_asked_here(place: Place) -> None:
    """input() and getpass() in a remote cell ask the person at the notebook."""
    code = "from getpass import getpass\nprint('hello', input('name? '))\nprint(len(getpass('secret? ')))"
    running = place.start(code)
    place.notebook.pump(lambda: len(running.prompts) == 1 or running.is_over, 30, running)
    running.answer("bob")
    place.notebook.pump(lambda: len(running.prompts) == 2 or running.is_over, 30, running)
    running.answer("12345")
    cell = running.finish(30).check()
    assert cell.stdout == "hello bob\n5\n"
    assert [(prompt["prompt"], prompt["password"]) for prompt in running.prompts] == [("name? ", False), ("secret? ", True)]


def test_without_stdin_input_says_so(place: Place) -> None:
    """As in nbclient: the same error as a local input() there."""
    cell = place.far("input('x')", allow_stdin=False)
    assert [error.name for error in cell.errors] == ["StdinNotImplementedError"]


def test_async_cells_are_awaited(place: Place) -> None:
    """Top-level await works there as here."""
    assert place.far("import asyncio\nawait asyncio.sleep(0.01)\n'slept'").check().result == "'slept'"


def test_payloads_reach_the_front_end(place: Place) -> None:
    """`obj?` in a remote cell opens the pager."""
    cell = place.far("import math\nmath.floor?").check()
    assert any("floor" in payload["data"]["text/plain"] for payload in cell.reply["payload"] if payload["source"] == "page")


def test_shell_commands_run_there(place: Place) -> None:
    """`!command` is the target's."""
    assert "from there" in place.far("!echo from there").check().stdout


def test_large_arrays_go_and_come(place: Place) -> None:
    """Megabytes travel unchanged, are writable there, and what was written there is seen here in the same array."""
    place.here("import numpy as np\nbig = np.arange(3_000_000, dtype='f4')\nalias = big")
    place.far("big[5] = -1\nother = big * 2\nfloat(other[5])").check()
    assert place.here("print(alias[5], alias is big, other[7], other.flags.writeable)").stdout == "-1.0 True 14.0 True\n"


def test_an_unchanged_array_is_not_sent_again(place: Place) -> None:
    """The second run that reads it sends no byte of it."""
    place.here("import numpy as np\nsame = np.ones(2_000_000)")
    place.far("same.sum()").check()
    before = "from farcell.api import workspace\nruns = workspace(get_ipython()).runs\nprint(runs[-1].summary.sent_bytes)"
    assert int(place.here(before).stdout) > 16_000_000
    place.far("same.sum()").check()
    assert int(place.here("print(runs[-1].summary.sent_bytes)").stdout) < 10_000


def test_capture_above_a_remote_cell(place: Place) -> None:
    """%%capture takes what the remote cell prints and returns."""
    cell = place.here(f"%%capture taken\n%%remote {place.target}\nprint('quiet')\n11")
    assert cell.outputs == []
    assert place.here("print(repr(taken.stdout), taken.outputs[0].data['text/plain'])").stdout == "'quiet\\n' 11\n"


def test_a_value_that_cannot_travel_is_named(place: Place) -> None:
    """Nothing is run, and the path to the culprit is shown."""
    place.here("import threading\nconfig = {'log': [threading.Lock()]}\ntouched = False")
    cell = place.far("touched = True\nconfig")
    assert [error.name for error in cell.errors] == ["CannotTravel"]
    assert "config['log'][0]" in cell.errors[0].value
    assert place.here("print(touched)").stdout == "False\n"
    place.here("del config")


def test_an_interrupt_stops_the_cell(place: Place) -> None:
    """KeyboardInterrupt in the remote cell; what it had done is kept, and the next cell runs."""
    place.here("steps = []")
    running = place.start("import time\nsteps.append(1)\nprint('go', flush=True)\ntime.sleep(60)")
    running.until("go")
    place.notebook.interrupt()
    cell = running.finish(20)
    assert [error.name for error in cell.errors] == ["KeyboardInterrupt"]
    assert "----> 5 time.sleep(60)" in cell.errors[0].traceback and "farcell" not in cell.errors[0].traceback
    assert place.here("print(steps)").stdout == "[1]\n"
    assert place.far("1 + 1").check().result == "2"


def test_an_interrupt_of_a_run_on_its_way_is_not_lost(place: Place) -> None:
    """Its request has been sent, but the remote kernel's loop is held up and has not begun it."""
    place.here("steps = []")
    hold_up = "asyncio.get_running_loop().call_later(0, time.sleep, 1)"
    pid = place.far(f"import asyncio, os, time\n{hold_up}\nos.getpid()").check().result
    cell = place.far("import time\nsteps.append(1)\ntime.sleep(60)\nsteps.append(2)", "--timeout 0.2")
    assert [error.name for error in cell.errors] == ["RunTimeout"]
    assert place.here("print(2 in steps)").stdout == "False\n"
    assert place.far("os.getpid()").check().result == pid  # no kernel was killed, as one that does not stop is


@pytest.mark.parametrize("seconds", [0.3])
def test_a_time_out_ends_the_cell(place: Place, seconds: float) -> None:
    """--timeout interrupts the run, and says so."""
    cell = place.far("import time\ntime.sleep(60)", f"--timeout {seconds}")
    assert [error.name for error in cell.errors] == ["RunTimeout"]
    assert "0.3 s" in cell.errors[0].value
    assert cell.seconds < 10


def test_many_lines_come_all_and_once(place: Place) -> None:
    """Ten thousand lines, in order, once each."""
    cell = place.far("for n in range(10_000):\n    print(n)").check()
    assert cell.stdout == "".join(f"{n}\n" for n in range(10_000))


def test_keep_leaves_a_value_there(place: Place) -> None:
    """--keep binds a ref: it shows what it is, refuses to imitate, and is usable in the next remote cell."""
    place.far("kept = list(range(1000))", "--keep kept").check()
    shown = place.far("len(kept)").check()
    assert shown.result == "1000"
    look = "ref = get_ipython().user_ns['kept']\nprint(type(ref).__name__, ref.info.type)"
    code = f"get_ipython().run_cell({look!r}, store_history=False)\nNone"
    assert "Ref list" in place.here(code).stdout
    assert place.here("print(kept[10])").stdout == "10\n"


def test_half_a_surrogate_pair_is_shown_as_unreadable(place: Place) -> None:
    """Text that came out of a careless cut: what was printed before and after it is there, and so is what the cell did."""
    cell = place.far("print('before')\nprint('a\\ud83d', '\\ud83d\\ude00')\nprint('after'); cut = 'a\\ud83d'").check()
    assert cell.stdout == "before\na\ufffd \U0001f600\nafter\n"
    assert place.here("print(ascii(cut))").stdout == "'a\\ud83d'\n"
