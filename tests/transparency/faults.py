"""Faults that the harness must find: each breaks one thing of farcell, inside the kernels of one harness.

`plant(name)` is called in the remote kernel and in the front end's; a fault patches where it has an effect. Nothing of this
reaches the product's own files.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CellType
from typing import Any

FAULTS: list[Fault] = []


@dataclass(frozen=True)
class Fault:
    name: str
    plant: Callable[[], None]
    side: str


def fault(name: str, side: str = "both") -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(plant: Callable[[], None]) -> Callable[[], None]:
        FAULTS.append(Fault(name, plant, side))
        return plant

    return register


def plant(name: str) -> None:
    here = "remote" if "farcell_host.inkernel.shell" in sys.modules else "local"
    found = next(each for each in FAULTS if each.name == name)
    if found.side in ("both", here):
        found.plant()


def around(module: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Puts `wrapper(original, *args)` in the place of a function; pickle still finds it under its name."""
    original = getattr(module, name)

    @functools.wraps(original)
    def patched(*args: Any, **keywords: Any) -> Any:
        return wrapper(original, *args, **keywords)

    setattr(module, name, patched)


def _merges() -> dict[str, Any]:
    from farcell_host.state import merges

    return merges._MERGES


def _change_merge(kind: str, change: Callable[[Any, Any], Any]) -> None:
    """The merge of one kind gets another content."""
    merges = _merges()
    original = merges[kind]
    merges[kind] = lambda obj, new: original(obj, change(obj, new))


def _skip_merge(*kinds: str) -> None:
    for kind in kinds:
        _merges()[kind] = lambda obj, new: iter([lambda: None])


# -- merging in place ------------------------------------------------------------------------------------------------


@fault("a changed list is not merged", "local")
def _() -> None:
    _skip_merge("list")


@fault("half of a list is merged", "local")
def _() -> None:
    _change_merge("list", lambda obj, new: (new[0][: (len(new[0]) + 1) // 2], new[1]))


@fault("a dict's order is turned round", "local")
def _() -> None:
    _change_merge("dict", lambda obj, new: (dict(reversed(new[0].items())), *new[1:]))


@fault("keys deleted from a dict stay", "local")
def _() -> None:
    _change_merge("dict", lambda obj, new: ({**dict(obj), **new[0]}, *new[1:]))


@fault("what left a set stays", "local")
def _() -> None:
    _change_merge("set", lambda obj, new: ([*obj, *new[0]], 0))


@fault("an instance's last attribute is not merged", "local")
def _() -> None:
    _change_merge("object", lambda obj, new: (new[0], dict(list(new[1].items())[:-1]), *new[2:]))


@fault("closure cells are not merged", "local")
def _() -> None:
    _skip_merge("cell")


@fault("class attributes are not merged", "local")
def _() -> None:
    _skip_merge("class")


@fault("a function's changed defaults are not merged")
def _() -> None:
    _skip_merge("function")


@fault("the last piece of an array is lost", "local")
def _() -> None:
    _change_merge("array", lambda obj, new: (new[0], new[1][:-1]))


@fault("a read-only array becomes writable")
def _() -> None:
    from farcell_host.state import arrays

    around(
        arrays, "make_array", lambda original, dtype, shape, order, memory, writeable: original(dtype, shape, order, memory, True)
    )
    _change_merge("array", lambda obj, new: (True, new[1]))


@fault("a known object is bound anew instead of merged in place", "remote")
def _() -> None:
    from farcell_host.state import dumps

    dumps.NumberingPickler._goes_by_number = lambda self, number, obj: False  # type: ignore[method-assign]


@fault("only the first state of an exchange is merged", "local")
def _() -> None:
    from farcell_host.state import replica

    def merge_steps(original: Any, delta: Any, namespace: Any, bindings: Any) -> Any:
        return original(dataclasses.replace(delta, states=delta.states[:1]), namespace, bindings)

    around(replica, "merge_steps", merge_steps)


# -- names -----------------------------------------------------------------------------------------------------------


@fault("a remote del is forgotten", "local")
def _() -> None:
    from farcell_host.state import delta

    around(delta, "delete_step", lambda original, namespace, name: iter([lambda: None]))


@fault("a name bound anew keeps its old value", "local")
def _() -> None:
    from farcell_host.state import delta

    def bind(original: Any, namespace: Any, name: str, value: Any) -> Any:
        return iter([lambda: None]) if name in namespace else original(namespace, name, value)

    around(delta, "bind_step", bind)


@fault("a local change of a known name is not sent", "local")
def _() -> None:
    from farcell_host.state.ledger import Ledger

    original = Ledger.changed
    Ledger.changed = lambda self, capture: [p for p in original(self, capture) if p.name not in self.held]  # type: ignore[method-assign]


@fault("a locally deleted name is still seen on the target")
def _() -> None:
    from farcell_host.inkernel.namespace import Namespace
    from farcell_host.state.replica import Replica

    Namespace.begin_run = lambda self, verified: None  # type: ignore[method-assign]
    original = Replica.capture

    def capture(self: Any, *args: Any, **keywords: Any) -> Any:
        found = original(self, *args, **keywords)
        found.deleted = []
        return found

    Replica.capture = capture  # type: ignore[method-assign]


@fault("globals of functions are neither sent nor fetched")
def _() -> None:
    from farcell_host.inkernel.execution import Runner
    from farcell_host.state.replica import Replica

    Runner.fetch = lambda self, name: False  # type: ignore[method-assign]
    original = Replica.capture
    Replica.capture = lambda self, names, **keywords: original(self, names, **{**keywords, "uses": lambda code: ()})  # type: ignore[method-assign]


@fault("names that share an object travel apart", "remote")
def _() -> None:
    from farcell_host.state import packing, survey

    for module in (packing, survey):
        around(module, "components", lambda original, parts, *ids: [[part] for part in parts])


# -- functions and classes -------------------------------------------------------------------------------------------


@fault("default arguments are forgotten")
def _() -> None:
    from farcell_host.state import functions

    around(functions, "function_state", lambda original, function: {**original(function), "__defaults__": None})


@fault("keyword defaults are forgotten")
def _() -> None:
    from farcell_host.state import functions

    around(functions, "function_state", lambda original, function: {**original(function), "__kwdefaults__": None})


@fault("each function gets closure cells of its own")
def _() -> None:
    from farcell_host.state import functions

    def make(original: Any, code: Any, globals_: Any, name: str, freevars: Any, cells: Any) -> Any:
        apart = tuple(CellType(*functions.cell_content(cell)) for cell in cells or ())
        return original(code, globals_, name, freevars, apart)

    around(functions, "make_function", make)


@fault("a function's line numbers are one off")
def _() -> None:
    from farcell_host.state.sources import Book

    original = Book.find
    Book.find = lambda self, ref: (lambda code: code.replace(co_firstlineno=code.co_firstlineno + 1))(original(self, ref))  # type: ignore[method-assign]


# -- errors and outputs ----------------------------------------------------------------------------------------------


@fault("an exception's message is dropped", "local")
def _() -> None:
    from farcell import outcome

    def emptied(original: Any, *args: Any) -> Any:
        error = original(*args)
        error.args = ()
        return error

    around(outcome, "exception_of", emptied)


@fault("an exception loses its type", "local")
def _() -> None:
    from farcell import outcome

    around(outcome, "exception_of", lambda original, *args: Exception(*original(*args).args))


@fault("the lines above the cell's code are not counted", "local")
def _() -> None:
    from farcell.magics import RemoteMagics

    RemoteMagics._with_line_numbers = lambda self, cell: cell  # type: ignore[method-assign]


def _change_text(change: Callable[[str], str]) -> None:
    for stream in {type(sys.stdout), type(sys.stderr)}:
        original = stream.write
        stream.write = lambda self, text, original=original: original(self, change(text)) and len(text)  # type: ignore[method-assign]


@fault("a printed digit is lost", "remote")
def _() -> None:
    _change_text(lambda text: "" if text.isdigit() else text)


@fault("lines are printed twice", "remote")
def _() -> None:
    _change_text(lambda text: text * 2 if text == "\n" else text)


@fault("a result does not get into Out", "local")
def _() -> None:
    from farcell.relay.notebook import Notebook

    Notebook.set_result = lambda self, value, shown=None: None  # type: ignore[method-assign]


@fault("Out holds a copy of the result", "local")
def _() -> None:
    from farcell.relay.notebook import Notebook

    original = Notebook.set_result
    Notebook.set_result = lambda self, value, shown=None: original(self, copy.copy(value), shown)  # type: ignore[method-assign]


@fault("a name bound to what it was before is not told", "remote")
def _() -> None:
    from farcell_host.state.replica import Replica

    around(Replica, "collect", lambda original, *args, **keywords: original(*args, **{**keywords, "bound": ()}))
