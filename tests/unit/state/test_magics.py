"""Magics are names like any others, `%name` and `%%name`, between two shells that have tables of them."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from farcell_host.inkernel.exchange import explain_failure
from farcell_host.state import CannotRestore, CannotTravel, Replica
from farcell_host.state.magics import Magics
from IPython.core.error import UsageError


class Shell:
    """What of a shell matters here. `has` are extensions that can be imported beside it."""

    def __init__(self, *has: str) -> None:
        self.has = has
        self.magics_manager = SimpleNamespace(magics={"line": {}, "cell": {}})
        self.alias_manager = SimpleNamespace(default_aliases=[("ls", "ls -F --color")])
        self.extension_manager = SimpleNamespace(loaded=set(), load_extension=self.load)

    def load(self, name: str) -> None:
        if name not in self.has:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name not in self.extension_manager.loaded:
            self.extension_manager.loaded.add(name)
            sys.modules[name].load_ipython_extension(self)

    def line(self, name: str, *args: str):
        return self.magics_manager.magics["line"][name](*args)


@pytest.fixture
def magical(pair):
    return with_shells(pair, Shell(), Shell())


def with_shells(pair, here: Shell, there: Shell):
    pair.shell, pair.far = here, there
    pair.local = Replica(pair.here, side="local", magics=Magics(lambda: here))
    pair.remote = Replica(pair.there, side="remote", magics=Magics(lambda: there))
    pair.here["line"] = here.magics_manager.magics["line"]
    pair.there["line"] = there.magics_manager.magics["line"]
    return pair


@pytest.fixture
def extension():
    module = ModuleType("ambient_extension")

    def counted(line):
        return f"counted {line}"

    counted.__module__ = module.__name__
    module.load_ipython_extension = lambda shell: shell.magics_manager.magics["line"].update(counted=counted)
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


def test_a_function_of_the_notebook_goes_by_source(magical):
    """With the names that it uses."""
    magical.cell("seen = []\ndef hello(text): seen.append(text); return len(seen)\nline['hello'] = hello\ndel hello")
    magical.ship("%hello")
    assert magical.far.line("hello", "you") == 1 and magical.there["seen"] == ["you"]
    magical.collect("seen", "%hello")
    assert magical.here["seen"] == ["you"]
    assert magical.ship("%hello").names["%hello"].status == "unchanged"


def test_what_a_remote_cell_registers_is_known_here(magical):
    """Replaced and taken away too."""
    magical.remote_exec("line['hello'] = lambda text: 1")
    magical.collect("%hello")
    assert magical.shell.line("hello", "") == 1
    magical.remote_exec("line['hello'] = lambda text: 2")
    magical.collect("%hello")
    assert magical.shell.line("hello", "") == 2
    magical.remote_exec("del line['hello']")
    magical.collect("%hello")
    assert "hello" not in magical.shell.magics_manager.magics["line"]


def test_one_function_under_two_names_stays_one(magical):
    magical.cell("def hello(text): pass\nline['hello'] = line['hi'] = hello")
    magical.ship("hello", "%hello", "%hi")
    assert magical.there["line"]["hi"] is magical.there["line"]["hello"] is magical.there["hello"]


def test_what_cannot_travel_is_refused_by_the_magics_name(magical, tmp_path):
    magical.here["path"] = tmp_path / "x"
    magical.cell("file = open(path, 'w')\ndef show(text, file=file): pass\nline['show'] = show")
    with pytest.raises(CannotTravel, match=r"%show.__defaults__\[0\]: an open file"):
        magical.local.capture(["%show"])
    magical.here["file"].close()


def test_an_extension_is_loaded_there(pair, extension):
    with_shells(pair, Shell(extension), Shell(extension))
    pair.shell.load(extension)
    pair.ship("%counted")
    assert pair.far.line("counted", "x") == "counted x"
    assert pair.ship("%counted").names["%counted"].status == "unchanged"


def test_an_extension_that_is_not_there_is_told_by_name(pair, extension):
    """Nothing was installed then."""
    with_shells(pair, Shell(extension), Shell())
    pair.shell.load(extension)
    with pytest.raises(
        CannotRestore, match=f"%counted is of the extension '{extension}', which cannot be loaded there: Mod"
    ) as told:
        pair.ship("%counted")
    assert "Install it there, for example by a remote cell: %pip install ambient_extension" in explain_failure(told.value)
    assert not pair.far.magics_manager.magics["line"]


def test_an_extension_that_only_the_target_has(pair, extension):
    """Here the magic says so when it is called; on the target it goes on to work."""
    with_shells(pair, Shell(), Shell(extension))
    pair.far.load(extension)
    pair.collect("%counted")
    with pytest.raises(UsageError, match="%counted is of the extension 'ambient_extension', which was loaded by a remote cell"):
        pair.shell.line("counted", "x")
    pair.ship("%counted")
    assert pair.far.line("counted", "x") == "counted x"


def test_a_standard_magic_is_in_force_again_when_the_notebooks_own_is_taken_away(magical):
    """It is neither sent nor taken for the notebook's own."""
    standard = type("Standard", (), {"__module__": "IPython.core.magics", "pwd": lambda self, text: "standard"})().pwd
    for shell in (magical.shell, magical.far):
        shell.magics_manager.magics["line"]["pwd"] = standard
    assert "%pwd" not in magical.local.places
    magical.cell("was = line['pwd']\nline['pwd'] = lambda text: 'own'")
    magical.ship("%pwd")
    assert magical.far.line("pwd", "") == "own"
    magical.cell("line['pwd'] = was")
    magical.ship()
    assert magical.far.line("pwd", "") == "standard"


def test_a_run_sees_verified_magics_only(magical):
    """Others are asked for when they are called, and are back when it is over."""
    magics = magical.remote.magics
    magical.remote_exec("line['old'] = lambda text: 1\nline['sent'] = lambda text: 2")
    before = magics.begin_run({"%sent"})
    assert set(before) == {"%sent"} and list(magical.there["line"]) == ["sent"]
    magical.remote_exec("line['new'] = lambda text: 3\ndel line['sent']")
    assert magics.changes_since(before) == {"%new", "%sent"}
    magics.end_run()
    assert set(magical.there["line"]) == {"old", "new"}
