"""Values that stay on a target: used there, moved to another target, fetched before their session ends."""

from __future__ import annotations

import os
import signal

from notebooks import Notebook

MAKE = "%%remote --keep big,pair\nbig = list(range(1000))\npair = [big]"


def test_a_value_moves_to_another_target_through_the_notebook(notebook: Notebook) -> None:
    """A cell of another target that reads it says so, and has the value, also through a function that uses the name."""
    notebook.run("def total(): return sum(big)").check()
    notebook.run("%%remote --keep big,other\nbig = list(range(1000)); other = [1, 2]").check()
    table = notebook.run("%%remote local-attach --plan\nother").check().displays[0]["text/plain"]
    assert "it is on 'local'" in table
    cell = notebook.run("%%remote local-attach\ntotal(), other").check()
    assert cell.result == "(499500, [1, 2])"
    assert "big (" in cell.stderr and "goes from 'local' to 'local-attach' through this notebook" in cell.stderr
    assert notebook.value("len(big)") == 1000


def test_a_ref_inside_a_value_is_refused_elsewhere(notebook: Notebook) -> None:
    """It cannot be replaced by its value there; the message says how."""
    notebook.run("%%remote --keep big\nbig = list(range(1000))").check()
    notebook.run("box = {'it': globals()['big']}").check()
    cell = notebook.run("%%remote local-attach\nbox")
    assert cell.error is not None
    assert "box['it']: a ref to a value on 'local'. The cell was not run. Its .fetch() brings it here" in cell.error.value


def test_a_ref_keeps_its_value_alive_wherever_it_lies(notebook: Notebook) -> None:
    """The name may go: as long as a list holds the ref, the target holds the value."""
    notebook.run(
        "%%remote --keep big\nclass Big(list): __farcell_by_value__ = True\nbig = Big(range(1000))\nimport weakref\ndied = []\n"
        "weakref.finalize(big, died.append, 1); None"
    ).check()
    notebook.run("box = [globals()['big']]; del globals()['big']").check()
    notebook.run("%%remote\nx = 1").check()
    notebook.run("%%remote\nx = 2").check()
    assert notebook.run("%%remote\ndied").check().result == "[]"
    assert notebook.run("value = box.pop().fetch(); len(value)").check().result == "1000"
    notebook.run("del value").check()
    notebook.run("%%remote\nx = 3").check()
    assert notebook.run("%%remote\nlist(died)").check().result == "[1]"


def test_a_session_asks_about_what_only_it_has(notebook: Notebook) -> None:
    """Yes fetches it, under every name, and then the session ends."""
    notebook.run(MAKE).check()
    cell = notebook.run("%remote stop", answers=["y"]).check()
    assert notebook.value("len(big)") == 1000
    assert notebook.value("pair[0] is big")
    assert "not started" in cell.displays[-1]["text/plain"] or "ended" in cell.displays[-1]["text/plain"]


def test_a_session_that_nobody_can_be_asked_about_says_what_is_lost(notebook: Notebook) -> None:
    """`--fetch` is the way in a notebook that runs by itself; a lost ref tells what it was, where and when."""
    notebook.run(MAKE).check()
    cell = notebook.run("%remote restart", allow_stdin=False).check()
    assert "lost with the session on 'local': big (" in cell.stderr
    error = notebook.run("globals()['big'].fetch()").error
    assert error is not None and error.name == "LostValue"
    assert "big (list" in error.value and "made at " in error.value and "on 'local'" in error.value
    notebook.run(MAKE).check()
    notebook.run("%remote stop --fetch", allow_stdin=False).check()
    assert notebook.value("len(big)") == 1000


def test_what_shares_memory_with_a_kept_value_stays_with_it(notebook: Notebook) -> None:
    """Fetched, a view is a view again, and a result is the value that it shows."""
    cell = notebook.run("%%remote --keep m\nimport numpy as np\nm = np.arange(6); v = m[:2]\nm").check()
    number = cell.reply["execution_count"]
    assert notebook.run("v[0] = 9\nm[0]").check().result == "np.int64(9)"
    assert notebook.run(f"Out[{number}] is m, _{number} is m").check().result == "(True, True)"


def test_a_kept_value_is_bound_again(notebook: Notebook) -> None:
    """To a name that means something else here by now."""
    notebook.run("%%remote --keep big\nbig = [1, 2]").check()
    notebook.run("other = globals()['big']; big = 'here'").check()
    notebook.run("%%remote\nbig = other").check()
    assert notebook.run("globals()['big'] is globals()['other']").check().result == "True"
    assert notebook.run("big").check().result == "[1, 2]"


def test_what_a_kept_value_is_part_of_is_as_it_is_here(notebook: Notebook) -> None:
    """However a cell comes by the ref, what its value shares with the notebook is looked at before it runs."""
    notebook.run("x = [1]").check()
    notebook.run("%%remote --keep big\nbig = {}\ndef look(): return big['part']").check()
    notebook.run("%%remote\nbig['part'] = x").check()
    notebook.run("held = [globals()['big']]; box = {'inner': held}").check()
    for number, way in enumerate(("held[0]['part']", "box['inner'][0]['part']", "look()", "big['part']"), 2):
        notebook.run(f"x.append({number})").check()
        assert notebook.run(f"%%remote\n{way}").check().result == str([*range(1, number + 1)]), way


def test_a_local_cell_has_what_it_reads_fetched_however_it_reads_it(notebook: Notebook) -> None:
    """By `_`, in a shell command, through functions and methods."""
    notebook.run("%%remote --keep a,b\na = [1]; b = 'text'\na").check()
    assert notebook.run("_").check().result == "[1]"
    assert notebook.run("!echo {b}").check().stdout == "text\r\n"
    notebook.run("%%remote --keep c\nc = [3]").check()
    notebook.run("class Box:\n    def get(self): return inner()\ndef inner(): return (lambda: c)()\nbox = Box()").check()
    assert notebook.run("box.get()").check().result == "[3]"


def test_a_ref_of_a_host_that_has_ended_is_lost_when_there_is_a_new_one(notebook: Notebook) -> None:
    """Its number may mean something else there."""
    pid = notebook.run("%%remote --keep a\na = [1]; import os; os.getppid()").check().result
    os.kill(int(pid or 0), signal.SIGKILL)
    notebook.run("%%remote\n1", timeout=60)  # which may be the first to learn of it
    assert notebook.run("%%remote --keep b\nb = [2]", timeout=60).check().error is None
    for code in ("a.fetch()", "%%remote\na"):
        error = notebook.run(code).error
        assert error is not None and error.name == "LostValue"
    assert notebook.run("%%remote\nb").check().result == "[2]"


def test_a_lost_ref_says_so_however_it_is_used(notebook: Notebook) -> None:
    """Here, in a remote cell, and in its repr; also where the value could not have travelled."""
    notebook.run("%%remote --keep a\na = [1]; g = (i for i in a)").check()
    error = notebook.run("g.fetch()").error
    assert error is not None and (error.name, error.value) == (
        "NotHere",
        "g is on 'local', so the value cannot be had here. "
        "It stays there (g: a generator): use it in a %%remote cell on 'local'.",
    )
    notebook.run("%remote restart --no-fetch").check()
    for name in "ag":
        for code in (f"len({name})", f"%%remote\n{name}"):
            error = notebook.run(code).error
            assert error is not None and error.name == "LostValue" and "Run the cell that made it again" in error.value
        assert "lost with its kernel" in str(notebook.run(f"globals()['{name}']").check().result)
