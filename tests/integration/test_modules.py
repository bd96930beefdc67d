"""Modules of the notebook's own: files beside it, on targets that have them and on targets that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebooks import Notebook
from sandbox import Sandbox

HELPERS = """
import threading
print("loading helpers")
_nothing = object()
lock = threading.Lock()
counter = 0
registry = []
def bump(by=1):
    global counter
    with lock:
        counter += by
    return counter
def given(value=_nothing):
    return value is _nothing
class Model:
    made = 0
    def __init__(self): type(self).made += 1
    def answer(self): return "old"
def where(): raise ValueError("here")
"""


@pytest.fixture(params=["here", "elsewhere"])
def nb(request: pytest.FixtureRequest, sandbox: Sandbox, notebook: Notebook, tmp_path: Path) -> Notebook:
    """With helpers.py beside it; `elsewhere`: the target has another folder, and so has no such file."""
    (sandbox.folder / "helpers.py").write_text(HELPERS)
    if request.param == "elsewhere":
        (sandbox.jupyter_config / "farcell").mkdir(exist_ok=True, parents=True)
        (sandbox.jupyter_config / "farcell" / "targets.toml").write_text(
            f'default = "away"\n[targets.away]\nbackend = "local"\ncwd = "{tmp_path}"\n'
        )
    notebook.run("import sys\nif '' not in sys.path: sys.path.insert(0, '')").check()
    return notebook


def test_its_functions_and_state_are_the_notebooks(nb: Notebook) -> None:
    """Module-level state goes there and comes back in place; nothing the module prints when it is loaded is shown again."""
    assert nb.run("import helpers\nhelpers.bump(4); kept = helpers.registry").check().stdout == "loading helpers\n"
    cell = nb.run("%%remote\nhelpers.registry.append('there')\nhelpers.bump(), helpers.given(), kept is helpers.registry").check()
    assert (cell.result, cell.stdout) == ("(5, True, True)", "")
    assert (
        nb.run("helpers.counter, kept, kept is helpers.registry, helpers.given()").check().result == "(5, ['there'], True, True)"
    )
    nb.run("helpers.bump(); helpers.flag = kept").check()
    assert nb.run("%%remote\nimport helpers as h\nh.counter, h.flag is kept").check().result == "(6, True)"
    nb.run("%%remote\ndel helpers.flag; helpers.Model()").check()
    assert nb.run("hasattr(helpers, 'flag'), helpers.Model.made").check().result == "(False, 1)"


def test_the_first_import_may_be_remote(nb: Notebook) -> None:
    """It prints there as it would here, and the notebook has the module afterwards, in the state the cell left it in."""
    cell = nb.run("%%remote\nimport helpers\nhelpers.bump(7); m = helpers.Model()").check()
    assert cell.stdout == "loading helpers\n"
    cell = nb.run("import helpers as again\nagain is helpers, helpers.counter, type(m) is helpers.Model, helpers.given()").check()
    assert (cell.result, cell.stdout) == ("(True, 7, True, True)", "")
    assert nb.run("%%remote\nhelpers.bump(), type(m) is helpers.Model, m.made").check().result == "(8, True, 1)"


def test_a_reload_counts_on_both_sides(nb: Notebook, sandbox: Sandbox) -> None:
    """The new code runs there too; an instance made before keeps its class, as it does here."""
    nb.run("import helpers, importlib\nold = helpers.Model(); same = helpers").check()
    assert nb.run("%%remote\nold.answer(), helpers.Model().answer()").check().result == "('old', 'old')"
    changed = HELPERS.replace('"old"', '"new"').replace("counter = 0", "counter = 100") + "extra = [1]\n"
    (sandbox.folder / "helpers.py").write_text(changed)
    cell = nb.run("%%remote\nhelpers.Model().answer()").check()
    assert cell.result == "'old'"
    assert "helpers.py has changed since it was loaded" in cell.stderr
    assert nb.run("%%remote\n1").check().stderr == ""
    nb.run("importlib.reload(helpers);").check()
    code = "old.answer(), helpers.Model().answer(), helpers.bump(), helpers.extra, same is helpers, type(old) is helpers.Model"
    assert nb.run(f"%%remote\n{code}").check().result == "('old', 'new', 101, [1], True, False)"
    assert nb.run(code).check().result == "('old', 'new', 102, [1], True, False)"


def test_a_file_that_has_changed_is_told_once(nb: Notebook, sandbox: Sandbox) -> None:
    """What the notebook has loaded runs there as it runs here, until it is reloaded."""
    nb.run("import importlib, helpers").check()
    nb.run("%%remote\nhelpers.bump()").check()
    (sandbox.folder / "helpers.py").write_text("def bump(by=1): return 'the file as it is now'\n")
    cell = nb.run("%%remote\nhelpers.bump()").check()
    assert (
        cell.result == "2" and "helpers.py has changed since it was loaded" in cell.stderr and "importlib.reload" in cell.stderr
    )
    again = nb.run("%%remote\nhelpers.bump()").check()
    assert (again.result, again.stderr) == ("3", "")
    nb.run("importlib.reload(helpers);").check()
    assert nb.run("%%remote\nhelpers.bump()").check().result == "'the file as it is now'"


def test_a_remote_cell_may_reload(nb: Notebook, sandbox: Sandbox) -> None:
    """The file as it is now is loaded there, and here too when the cell is over."""
    nb.run("import helpers, importlib\nhelpers.bump(5)").check()
    (sandbox.folder / "helpers.py").write_text(HELPERS.replace("counter = 0", "counter = 100"))
    cell = nb.run("%%remote\nimportlib.reload(helpers)\nhelpers.bump()").check()
    assert (cell.result, cell.stdout) == ("101", "loading helpers\n")
    cell = nb.run("helpers.bump()").check()
    assert (cell.result, cell.stdout) == ("102", "")
    assert nb.run("%%remote\nhelpers.bump(), helpers.given()").check().result == "(103, True)"


def test_a_remote_cell_may_import_anew(nb: Notebook, sandbox: Sandbox) -> None:
    """`del sys.modules[...]` and another import load the file as it is now, there and then here."""
    nb.run("import helpers\nhelpers.bump(5)").check()
    nb.run("%%remote\nhelpers.bump()").check()
    (sandbox.folder / "helpers.py").write_text(HELPERS.replace("counter = 0", "counter = 100"))
    cell = nb.run("%%remote\ndel sys.modules['helpers']\nimport helpers\nhelpers.bump()").check()
    assert (cell.result, cell.stdout) == ("101", "loading helpers\n")
    cell = nb.run("helpers.bump()").check()
    assert (cell.result, cell.stdout) == ("102", "")
    assert nb.run("%%remote\nhelpers.bump(), helpers.given()").check().result == "(103, True)"


def test_a_module_that_the_target_has_lost_is_the_notebooks_again(nb: Notebook) -> None:
    """Taken out of `sys.modules` on both sides and imported here again, it is there as it is here."""
    nb.run("import helpers\nhelpers.counter = 10").check()
    assert nb.run("%%remote\nhelpers.bump()").check().result == "11"
    nb.run("%%remote\n_ = sys.modules.pop('helpers')").check()
    nb.run("del sys.modules['helpers'], helpers\nimport helpers\nhelpers.counter = 11").check()
    assert nb.run("%%remote\nhelpers.bump(), helpers.given()").check().result == "(12, True)"
    assert nb.run("helpers.counter").check().result == "12"


def test_a_module_is_known_as_it_was_when_it_was_imported_last(nb: Notebook, sandbox: Sandbox) -> None:
    """Not as an earlier import had it, and not as its file has become since."""

    def write(word: str) -> None:
        (sandbox.folder / "helpers.py").write_text(HELPERS.replace('"old"', f'"{word}"'))

    nb.run("%%remote\nimport helpers").check()
    nb.run("%%remote\n_ = sys.modules.pop('helpers')").check()
    nb.run("del sys.modules['helpers'], helpers\nimport importlib").check()
    write("second")
    nb.run("%%remote\nimport helpers").check()
    write("a third")
    nb.run("importlib.reload(helpers);").check()
    assert nb.run("%%remote\nhelpers.Model().answer()").check().result == "'a third'"
    assert nb.run("helpers.Model().answer()").check().result == "'a third'"


def test_a_function_is_replaced_for_a_while(nb: Notebook) -> None:
    """A patched module is patched on both sides, and so is one that is put back."""
    nb.run("import helpers\nreal = helpers.bump\nhelpers.bump = lambda by=1: 'patched'").check()
    assert nb.run("%%remote\nhelpers.bump()").check().result == "'patched'"
    nb.run("helpers.bump = real").check()
    assert nb.run("%%remote\nhelpers.bump()").check().result == "1"
    nb.run("%%remote\nhelpers.Model.answer = lambda self: 'there'").check()
    assert nb.run("helpers.Model().answer()").check().result == "'there'"


def test_a_traceback_shows_its_lines(nb: Notebook) -> None:
    """File, line and text as here."""
    nb.run("import helpers").check()
    error = nb.run("%%remote\nhelpers.where()").error
    assert error is not None
    assert "helpers.py:19" in error.traceback and 'raise ValueError("here")' in error.traceback


def test_a_package_with_relative_imports(nb: Notebook, sandbox: Sandbox) -> None:
    """Submodules go along, those imported inside functions too."""
    folder = sandbox.folder / "pkg" / "deep"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("from .core import go, Item\n")
    (folder.parent / "core.py").write_text(
        "from . import other\nclass Item(list): pass\ndef go(x): return Item([x, other.K])\n"
        "def late():\n    from .deep import last\n    return last.name()\n"
    )
    (folder.parent / "other.py").write_text("K = 3\n")
    (folder / "__init__.py").write_text("")
    (folder / "last.py").write_text("def name(): return __name__\n")
    nb.run("from pkg import go\nimport pkg.core as core").check()
    assert nb.run("%%remote\ni = go(1)\ni, core.late(), go is core.go, go.__module__").check().result == (
        "([1, 3], 'pkg.deep.last', True, 'pkg.core')"
    )
    assert nb.run("import sys\ntype(i) is core.Item, 'pkg.deep.last' in sys.modules, core.late()").check().result == (
        "(True, True, 'pkg.deep.last')"
    )


def test_a_module_that_cannot_be_loaded_there_is_told(notebook: Notebook, sandbox: Sandbox) -> None:
    """The cell is refused with the module's name and the reason."""
    (sandbox.folder / "picky.py").write_text("import sys\nif not hasattr(sys, 'made_ready'): raise RuntimeError('not ready')\n")
    notebook.run("import sys\nsys.made_ready = True; sys.path.insert(0, '')\nimport picky").check()
    cell = notebook.run("%%remote\npicky")
    assert cell.reply["ename"] == "Refused"
    assert "picky, a module of this notebook's own, cannot be loaded on 'local': RuntimeError: not ready" in cell.reply["evalue"]


def test_a_module_that_import_does_not_give_any_more_is_refused(nb: Notebook) -> None:
    """`del sys.modules[...]` and another import make a second one of that name, which the first would be taken for."""
    nb.run("import helpers; old = [helpers]; helpers.bump(3)").check()
    nb.run("%%remote\nhelpers.bump()").check()
    nb.run("del sys.modules['helpers']\nimport helpers as new\nnew.bump(); new is helpers").check()
    for read, path in (("helpers.bump()", "helpers"), ("old", "old[0]")):
        error = nb.run(f"%%remote\n{read}").error
        assert error is not None and error.name == "CannotTravel"
        assert error.value.startswith(f"{path}: a module whose name means another one by now")
    assert nb.run("%%remote\nnew.counter").check().result == "1"
    assert nb.run("helpers = new").check()
    assert nb.run("%%remote\nhelpers.bump(), helpers is new").check().result == "(2, True)"
