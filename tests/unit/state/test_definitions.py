"""Functions and classes arrive by source: on the same Python and on another one they do what they did."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import farcell_host
import pytest
from farcell_host.state import CannotRestore

_SCRIPT = Path(__file__).with_name("definitions.py")
_spec = importlib.util.spec_from_file_location("state_definitions", _SCRIPT)
definitions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(definitions)
_KERNELS = str(Path(farcell_host.__file__).parents[1])
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """A Python of this minor version on this machine; skips the test when there is none."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    found = [str(path) for root in roots for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    python = found[-1] if found else shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"optional: no Python {version} on this machine")
    return python


def talk(python: str, mode: str, given: str = "") -> str:
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, str(_SCRIPT), mode, _KERNELS], input=given, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("name", definitions.CASES)
def test_a_definition_does_the_same_on_the_target(pair, name):
    """What a definition gives remotely is what it gives locally; unchanged, it is not sent a second time."""
    definitions.run_case(name, pair.here)
    names = definitions.names_of(pair.here)
    pair.ship(*names)
    pair.ship(*names)
    assert not pair.last.header["streams"]
    expected = definitions.answer(pair.here)
    assert not expected.startswith("raised")
    assert definitions.answer(pair.there) == expected
    pair.collect()
    assert definitions.answer(pair.here) is not None


@pytest.mark.parametrize("sender, receiver", [(a, b) for a in VERSIONS for b in VERSIONS if a != b])
def test_definitions_survive_another_python_version(sender, receiver):
    """No definition crashes or changes on another minor version of Python."""
    made = talk(interpreter(sender), "make")
    answers = json.loads(talk(interpreter(receiver), "load", made))
    wrong = {name: pair for name, pair in answers.items() if pair[0] != pair[1]}
    assert not wrong
    assert len(answers) == len(definitions.CASES)


def test_decorators_and_defaults_do_not_run_again(pair):
    """Only compiled, never executed: what a decorator did is not done a second time."""
    pair.cell("log = []\ndef d(fn):\n    log.append(1)\n    return fn\n@d\ndef f(x=log.append(2)): return len(log)")
    pair.ship("f", "log")
    assert pair.there["log"] == [2, 1]


def test_tracebacks_show_the_source(pair):
    """inspect.getsource works on the target."""
    import inspect

    pair.cell("x = 1\ndef f():\n    return 'here'\n")
    pair.ship("f")
    assert inspect.getsource(pair.there["f"]) == "def f():\n    return 'here'\n"


def test_a_cell_that_imports_what_its_functions_use_goes_by_source(pair):
    """IPython compiles each statement by itself, which gives `math.sqrt(x)` another bytecode than beside its import."""
    import ast
    import linecache

    text = "import math\ndef f(x): return math.sqrt(x)\ndef f(x): return math.sqrt(x) + 1\n"
    linecache.cache["<statements>"] = (len(text), None, text.splitlines(True), "<statements>")
    for statement in ast.parse(text).body:
        exec(compile(ast.Module([statement], []), "<statements>", "exec"), pair.here)
    capture = pair.ship("f")
    assert capture.parts["f"].sources
    assert pair.there["f"](4) == 3


def test_a_redefined_function_of_the_same_cell_number_is_told_apart(pair):
    """Two texts under one file name do not get mixed up."""
    import linecache

    for text in ("def f(): return 1\n", "def f(): return 2\n"):
        linecache.cache["<same>"] = (len(text), None, text.splitlines(True), "<same>")
        exec(compile(text, "<same>", "exec"), pair.here)
        pair.ship("f")
        assert pair.there["f"]() == pair.here["f"]()


def test_code_without_source_goes_within_one_version_only(pair):
    """Built and exec'd code travels to the same Python; another one refuses it by name instead of crashing."""
    from farcell_host.state.sources import code_of_version, reduce_code

    exec("def f(): return 4", pair.here)
    pair.ship("f")
    assert pair.there["f"]() == 4
    _, (_, *rest) = reduce_code(pair.here["f"].__code__)
    with pytest.raises(LookupError, match=r"'f' \(<string>\) has no source, and its bytecode is of cpython 3.99"):
        code_of_version(("cpython", 3, 99), *rest)


def test_a_missing_module_is_named(pair):
    """What the target lacks is said, and nothing is changed there."""
    import types
    from importlib.machinery import ModuleSpec

    pair.here["m"] = module = types.ModuleType("no_such_module_here")
    module.__spec__ = ModuleSpec("no_such_module_here", None)
    with pytest.raises(CannotRestore, match="No module named 'no_such_module_here'"):
        pair.ship("m")
    assert "m" not in pair.there


def test_mention_of_globals_takes_everything(pair):
    """A function that calls globals() or eval may read any name, so all travel but IPython's own."""
    pair.cell("a = 1; b = [2]; _ = 5; In = []\ndef f(): return globals()['b']")
    assert set(pair.ship("f").names) == {"f", "a", "b"}


def test_names_in_strings_are_reads(pair):
    """An identifier inside a string constant, as in query(), is a read."""
    pair.cell("limit = 3\ndef f(df): return df.query('x > @limit')")
    assert "limit" in pair.ship("f").names


def test_what_is_assigned_to_a_function_comes_back(pair):
    """Name, qualified name, code, defaults, annotations and docstring, in the function that was there."""
    pair.cell("def f(a: int, b=1):\n    'Old.'\n    return a\ndef g(a, b): return 'g'\nalias, notes = f, f.__annotations__")
    f = pair.here["f"]
    pair.run(
        "f.__name__, f.__qualname__, f.__doc__ = 'n', 'C.n', 'New.'\n"
        "f.__code__, f.__defaults__ = g.__code__, (5,)\nf.__annotations__['return'] = str",
        "f", "g", "alias", "notes",
    )  # fmt: skip
    assert pair.here["alias"] is f and pair.here["notes"] is f.__annotations__
    assert (f.__name__, f.__qualname__, f.__doc__, f(0), f.__defaults__) == ("n", "C.n", "New.", "g", (5,))
    assert f.__annotations__ == {"a": "int", "return": str}


def test_types_that_every_python_has_stay_as_they_are(pair):
    """`types.CellType` and the like are found by pickling alone, and are nobody's to change."""
    pair.cell("import types\ndef mk(n):\n    def f(): return n\n    return f\na, b, kinds = mk(1), mk(2), [types.CellType]")
    pair.run("a.tag = 1", "a", "kinds")
    pair.run("a.tag = kinds", "a", "b", "kinds")
    assert pair.here["a"].tag is pair.here["kinds"] and pair.here["kinds"] == [type(pair.here["a"].__closure__[0])]


def test_a_class_that_answers_for_attributes_is_not_asked_by_pickle(pair):
    """`__getattr__` that needs the instance's own state, or answers everything, with attributes and with slots."""
    pair.cell(
        "class Proxy:\n    def __init__(self, inner): self.inner = inner\n"
        "    def __getattr__(self, name): return getattr(self.inner, name)\n"
        "class Anything:\n    __slots__ = ('a', 'b')\n    def __getattr__(self, name): return None\n"
        "class Bunch(dict):\n    def __getattr__(self, name): return self[name]\n"
        "    def __setattr__(self, name, value): self[name] = value\n"
        "p = Proxy([1]); s = Anything(); s.a = 1; bunch = Bunch(x=1)"
    )
    p, s, bunch = (pair.here[name] for name in ("p", "s", "bunch"))
    pair.run(
        "p.append(2); p.inner.append(3); s.b = s.a + 1; new = Proxy(s); bunch.x += 1; bunch.y = 5", "p", "s", "bunch", "Proxy"
    )
    assert (p.inner, s.a, s.b, s.c, bunch) == ([1, 2, 3], 1, 2, None, {"x": 2, "y": 5})
    assert pair.here["new"].inner is s and pair.here["p"] is p and vars(bunch) == {}


def test_methods_and_properties_keep_their_identity(pair):
    """A property, a bound method and a method of a list are the objects they were, whatever else of their class changes."""
    pair.cell(
        "class C:\n    @property\n    def p(self): return 1\n    def m(self): return 2\n"
        "c, xs = C(), []\nkept = [C.p, c.m, xs.append]"
    )
    before = list(pair.here["kept"])
    pair.run("C.n = 1; again = kept[2]; again(5)", "C", "c", "xs", "kept")
    assert [id(each) for each in pair.here["kept"]] == [id(each) for each in before]
    assert pair.here["C"].p is before[0] and pair.here["again"] is before[2] and pair.here["xs"] == [5]


def test_a_class_and_its_base_that_registers_it_are_made_once(pair):
    """A base that leads to its subclasses does not leave a second one behind."""
    pair.cell("class Base:\n    known = []\nclass A(Base): pass\nBase.known.append(A)")
    pair.ship("A")
    assert pair.there["A"].__base__.__subclasses__() == [pair.there["A"]]


def test_attributes_stay_in_their_order(pair):
    """Also those that a remote cell takes away and puts back."""
    pair.cell(
        "import enum\nclass E(enum.Enum):\n    def low(self): return self\n    B = 2\n    A = 1\nclass C:\n    b = 1\n    a = 2"
    )
    pair.ship("E", "C")
    for name in ("E", "C"):
        own = [each for each in vars(pair.here[name]) if each != "__slotnames__"]
        assert [each for each in vars(pair.there[name]) if each != "__slotnames__"] == own
    pair.run("del C.b; C.b = 3", "C")
    assert [name for name in vars(pair.here["C"]) if len(name) == 1] == ["a", "b"]


def test_all_functions_of_one_copied_namespace_find_what_they_use(pair):
    """attrs gives what it generates a copy of the notebook's globals; each function brings along what it reads of it."""
    pair.cell(
        "ns = dict(globals(), one=1, two=2)\nexec('def f(): return one\\ndef g(): return two', ns)\n"
        "f, g = ns['f'], ns['g']\ndel ns"
    )
    pair.ship("f")
    pair.run("total = f() + g()", "f", "g")
    assert pair.here["total"] == 3
