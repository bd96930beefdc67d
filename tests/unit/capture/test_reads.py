"""Which names a cell is seen to read."""

from __future__ import annotations

import symtable
import sys
import time
import warnings
from pathlib import Path

import pytest
from farcell.capture import Reads, is_python, reads
from farcell_host.state.placeholders import DELETED

NOTEBOOK = {name: object() for name in ("x", "y", "z", "f", "g", "data", "limit", "path", "counter", "Model", "i", "row", "log")}


def required(cell: str) -> set[str]:
    """The notebook's names that must be there when the cell runs."""
    return set(reads(cell).needs(NOTEBOOK).required)


def optional(cell: str) -> set[str]:
    """The notebook's names that go along if they can."""
    return set(reads(cell).needs(NOTEBOOK).optional)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("x + y", {"x", "y"}),
        ("x = 1\nprint(x)", set()),
        ("print(x)\nx = 1", {"x"}),
        ("x += 1", {"x"}),
        ("del x", set()),
        ("x = 1\ndel x", set()),
        ("x.attr = y", {"x", "y"}),
        ("x[0] = 1", {"x"}),
        ("x: int = y", {"y"}),
        ("x: int\nprint(x)", {"x"}),
        ("x, (y, *z) = f()\nx, y, z", {"f"}),
        ("import x\nfrom m import y as z\nx, z", set()),
        ("from m import *\nx", {"x"}),
        ("f'{x!r:>{y}}'", {"x", "y"}),
        ("(x := f()) + x", {"f"}),
        ("lambda x: x + y", {"y"}),
        ("lambda a=x: a", {"x"}),
        ("print(*x, **y)", {"x", "y"}),
        ("f(x=1)", {"f"}),
        ("data.x.y", {"data"}),
    ],
)
def test_plain_statements(cell: str, names: set[str]) -> None:
    """A name is read when the cell may need its value before giving it one."""
    assert required(cell) == names


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("[x for x in y]", {"y"}),
        ("[x for x in y]; x", {"x", "y"}),
        ("{x: z for x, z in y if x}", {"y"}),
        ("sum(x * i for i in y)", {"x", "y"}),
        ("[[i for i in row] for row in x]", {"x"}),
        ("[(z := i) for i in x]\nz", {"x", "z"}),
        ("def f(x, a=y):\n    z = x\n    return z + limit", {"y", "limit"}),
        ("def f():\n    return g()\ndef g():\n    return 1", set()),
        ("def f():\n    global counter\n    counter += 1", {"counter"}),
        ("def f():\n    global counter\n    counter = 1", set()),
        ("def f():\n    global counter\n    del counter", {"counter"}),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x += y\n    return g", {"y"}),
        ("@f\ndef g(a: x) -> y:\n    pass", {"f", "x", "y"}),
        ("class A(Model):\n    x = x\n    def m(self):\n        return y", {"Model", "x", "y"}),
        ("class A:\n    x = 1\n    y = x", set()),
        ("class A:\n    x = 1\nprint(x)", {"x"}),
        ("async def f():\n    async with x as a:\n        async for i in y:\n            await z(a)", {"x", "y", "z"}),
        ("await f(x)", {"f", "x"}),
    ],
)
def test_scopes(cell: str, names: set[str]) -> None:
    """What a function, a class or a comprehension binds is its own; the rest comes from the notebook."""
    assert required(cell) == names


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("if f:\n    x = 1\nprint(x)", {"f", "x"}),
        ("if f:\n    x = 1\nelse:\n    x = 2\nprint(x)", {"f"}),
        ("for i in y:\n    z = i\nprint(i, z)", {"y", "i", "z"}),
        ("while f:\n    x = 1\nelse:\n    x", {"f", "x"}),
        ("with f as x:\n    y = x\nprint(y)", {"f"}),
        ("try:\n    import x\nexcept ImportError:\n    x = None\nprint(x)", set()),
        ("try:\n    x = f()\nexcept Exception as y:\n    print(x)", {"f", "x"}),
        ("try:\n    x = f()\nexcept Exception:\n    raise\nprint(x)", {"f"}),
        ("try:\n    pass\nfinally:\n    x = 1\nprint(x)", set()),
        ("f and (x := 1)\nx", {"f", "x"}),
        ("y if f else z", {"f", "y", "z"}),
        ("match data:\n    case Model(a=x, b=[*y]):\n        print(x, y)\n    case {'k': z, **row} if limit:\n        print(z, row)",  # noqa: E501
         {"data", "Model", "limit"}),
        ("match data:\n    case x:\n        pass\nprint(x)", {"data", "x"}),
    ],
)  # fmt: skip
def test_branches(cell: str, names: set[str]) -> None:
    """What only a branch, a loop or a handler binds may still be unbound afterwards."""
    assert required(cell) == names


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("def f[T: Model](x: T) -> list[y]:\n    return z", {"Model", "y", "z"}),
        ("def f[x](a: x = x): pass", {"x"}),
        ("def f[x](a: x): pass", set()),
        ("class A[x: y](Model[x]):\n    z = x", {"Model", "y"}),
        ("type x = list[x] | Model", {"Model"}),
        ("f'{f'{x}'!r:{y}}'", {"x", "y"}),
        ("try:\n    f\nexcept* x as y:\n    y\nfinally:\n    z", {"f", "x", "z"}),
    ],
)
@pytest.mark.skipif(sys.version_info < (3, 12), reason="optional: syntax of Python 3.12")
def test_the_syntax_of_newer_pythons(cell: str, names: set[str]) -> None:
    """Type parameters are a definition's own; what bounds them comes from the notebook."""
    assert required(cell) == names


def test_a_default_may_bind_a_name() -> None:
    """`:=` in a default binds the notebook's name, not the function's."""
    assert required("def f(a=(x := y)):\n    pass\nx") == {"y"}


def test_warnings_are_left_to_the_run() -> None:
    """The compiler's warnings show once, from where the cell runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert required(r"f('\d', x)") == {"f", "x"}


def test_an_open_file_of_an_earlier_cell_is_not_read_when_it_is_opened_anew() -> None:
    """`with open(path) as log` must not be refused because the old `log` cannot travel."""
    assert required("with open(path) as log:\n    print(log.read())") == {"path"}


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("data.query('x > @limit')", {"x", "limit"}),
        ("'y ~ x + z'", set()),
        ("f('y ~ x + z')", {"x", "y", "z"}),
        ("!echo {x} $y", {"x", "y"}),
        ("files = !ls {path}", {"path"}),
        ("%cd {path}", {"path"}),
        ("%%bash -s $x\necho $y", {"x", "y"}),
        ('def g():\n    """Takes x and y."""\n    return 1', set()),
    ],
)
def test_names_in_strings(cell: str, names: set[str]) -> None:
    """A notebook name inside a string that is used goes along if it can; a docstring's words do not."""
    assert optional(cell) == names


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("%time f(x)", {"f", "x"}),
        ("%timeit -n 10 -r 3 g(y)", {"g", "y"}),
        ("%timeit -n1 f(x)", {"f", "x"}),
        ("r = %timeit -qo f(x); g(y)", {"f", "x", "g", "y"}),
        ("%timeit -x", {"x"}),
        ("%prun -s cumulative -l 20 -Tout.txt f(x)", {"f", "x"}),
        ("%prun -l 0.5 -q f(-x)", {"f", "x"}),
        ("%time -x", {"x"}),
        ("if x:\n    %time f(y)\n    !ls\n", {"f", "x", "y"}),
        ("%%timeit -n1 z = x\nf(z)", {"f", "x"}),
        ("%%timeit x =\nf(y)", {"f", "y"}),
        ("%%timeit x\n%%capture\nf(y)", {"f", "y"}),
        ("%%prun -q\nf(x)", {"f", "x"}),
        ("%%time\nx = 1\nf(x)", {"f"}),
        ("%%capture out\n%%time\nf(y)", {"f", "y"}),
        ("%%remote gpu-a --in z\nf(y)", {"f", "y"}),
        ("\n%%time\nx", {"x"}),
        ("x?", set()),
        ("get_ipython().run_line_magic('timeit', '-n1 f(x)')", {"f", "x"}),
        ("for i in y:\n    get_ipython().run_cell_magic('time', '', 'f(x)')", {"f", "x", "y"}),
        ("get_ipython().run_cell_magic('bash', '', 'echo $x')", set()),
        ("get_ipython().run_cell_magic('time', '', 'f(')", set()),
        ("%timeit f(", set()),
    ],
)
def test_magics_with_python_in_them(cell: str, names: set[str]) -> None:
    """`%time`, `%%time`, `%%capture` and the like are looked through."""
    assert required(cell) == names


@pytest.mark.parametrize(
    "cell",
    ["globals()", "'x' in locals()", "vars()", "dir()", "eval(s)", "exec(s)", "%who", "%whos", "%run -i a.py",
     "import __main__", "get_ipython().user_ns['x']", "def f():\n    return globals()", "%%time\neval(s)"],
)  # fmt: skip
def test_cells_that_see_every_name(cell: str) -> None:
    """A cell that can list or evaluate names reads all of them, as far as they can travel."""
    found = reads(cell).needs(NOTEBOOK)
    assert {*found.required, *found.optional} == set(NOTEBOOK)


@pytest.mark.parametrize("cell", ["model.eval()", "f('eval this')", "data.eval('x + y')", "def dir(): pass\ndir()"])
def test_a_method_named_eval_sees_nothing_more(cell: str) -> None:
    """`model.eval()` is a method, not the builtin."""
    assert not reads(cell).everything


def test_what_every_kernel_has_is_left_out_until_the_user_binds_it() -> None:
    """`open`, `exit`, `get_ipython` are the target's own, unless the notebook bound the name itself."""
    hidden = {"open": open, "_i": ""}
    namespace = {"open": open, "_i": "", "x": 1, "__name__": "__main__"}
    found = reads("open(x), _i, __name__")
    assert set(found.needs(namespace, hidden).required) == {"x"}
    assert set(found.needs({**namespace, "open": print, "_i": 3}, hidden).required) == {"open", "x", "_i"}


@pytest.mark.parametrize("cell", ["_", "__.append(1)", "_ + ___", "_12", "Out[3]", "def f(): return _oh\nf()"])
def test_the_notebooks_results_are_read_like_any_value(cell: str) -> None:
    """`_`, `_12` and `Out` are the notebook's, although every kernel has such names."""
    results = {name: [name] for name in ("_", "__", "___", "_12", "Out", "_oh")}
    found = reads(cell).needs(results, results)
    assert found.required and all(name in cell for name in found.required)
    assert not reads("for _ in x: pass").needs({**results, "x": 1}, results).required.keys() & results.keys()


def test_everything_leaves_the_history_out() -> None:
    """`globals()` does not drag `_i3`, `_3` and `__name__` along."""
    namespace = dict.fromkeys(["_i3", "_3", "_", "__", "_ii", "_oh", "__name__", "_mine", "x"], 1)
    assert set(reads("globals()").needs(namespace).optional) == {"_mine", "x"}


def test_each_name_says_why_it_is_needed() -> None:
    """The plan shows a reason for each name."""
    found = reads("x, f('y')").needs(NOTEBOOK)
    assert found.required["x"] == "read by the cell"
    assert found.optional["y"] == "named in a string"


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("!echo {x} $y z", {"x", "y"}),
        ("out = !ls {d['k'].path}", {"d", "k", "path"}),
        ("%cd {folder}", {"folder"}),
        ("print('{x}')", set()),
    ],
)
def test_names_that_ipython_puts_the_values_in_for(cell: str, names: set[str]) -> None:
    """Refs under these names are fetched before a local cell: in a plain string they are not."""
    assert reads(cell).expanded == names


def test_a_syntax_error_is_raised() -> None:
    """A cell that cannot be compiled has no reads."""
    with pytest.raises(SyntaxError):
        reads("x = (")


def test_an_empty_cell_reads_nothing() -> None:
    """Nothing but comments and blank lines."""
    assert reads("") == reads("# x\n\n") == Reads()


def test_agrees_with_symtable_over_the_standard_library() -> None:
    """What symtable says a module takes from outside is found, unless the module binds the name itself."""
    files = sorted(Path(symtable.__file__).parent.glob("[a-d]*.py"))[:40]
    assert len(files) > 20
    for file in files:
        source = file.read_text(encoding="utf-8")
        top = symtable.symtable(source, file.name, "exec")
        bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
        outside, scopes = set(), [top]
        while scopes:
            scope = scopes.pop()
            scopes += scope.get_children()
            outside |= {s.get_name() for s in scope.get_symbols() if s.is_global() and s.is_referenced()}
        assert outside - bound <= reads(source, str).names, file.name


def test_the_same_cell_again_costs_next_to_nothing() -> None:
    """The result is kept by source: a loop that runs one cell pays once."""
    cell = "\n".join(f"a{n} = f(x, {n})" for n in range(500))
    began = time.perf_counter()
    first = reads(cell)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    assert reads(cell) is first
    assert time.perf_counter() - began < cold / 20


def test_what_is_only_deleted_needs_no_value() -> None:
    """`del x` wants the name alone; one that is read as well, or seen through a door, wants more."""
    namespace = {"x": 1, "y": 2}
    assert reads("del x").needs(namespace) == ({}, {"x": DELETED})
    assert reads("if y:\n    del x\nprint(x)").needs(namespace)[0].keys() == {"x", "y"}
    assert reads("eval('x')\ndel x").needs(namespace)[1]["x"] != DELETED


@pytest.mark.parametrize(
    ("cell", "is_so"),
    [
        ("x = 1", True),
        ("# %%remote\nfor n in range(3):\n    print(n)\n", True),
        ("%time x", False),
        ("!ls", False),
        ("x?", False),
        ("ls", False),  # an alias, as far as anybody knows
        ("x = ", False),
        ("return 1", False),
        ("await f()", False),  # Python compiles it as a cell only
    ],
)
def test_cells_that_are_python_as_they_stand(cell, is_so):
    """They need no transformation, and hold no syntax error that would be found later."""
    assert is_python(cell) is is_so
