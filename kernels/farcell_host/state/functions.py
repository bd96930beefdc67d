"""Notebook-defined functions, closure cells and lru_cache wrappers: how they go into a pickle and come out.

Code goes by source (`sources`), defaults and attributes as values, closure cells as objects of their own, so that
two functions that
share a cell go on sharing it. Globals are the peer's own namespace: `global counter` and redefined helpers behave as they
would have here.
"""

from __future__ import annotations

import builtins
import functools
import gc
import importlib
import sys
from types import CellType, CodeType, FunctionType, MappingProxyType
from typing import Any

from farcell_host._vendor.cloudpickle import cloudpickle

from . import context
from .caches import lru_state, set_lru_state


class Globals:
    """Stands for the peer's namespace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return namespace, ()


GLOBALS = Globals()


def namespace() -> dict[str, Any]:
    return context.current().namespace


def module_globals(name: str) -> dict[str, Any]:
    return vars(importlib.import_module(name))


class ModuleGlobals:
    """Stands for the globals of an importable module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return module_globals, (self.name,)


class PrivateGlobals:
    """Stands for a copy of a namespace that somebody has made for generated functions (attrs does). Each function brings along
    what it uses of it, since the copy may hold all that the notebook had."""

    def __init__(self, own: dict[str, Any]) -> None:
        self.own = own

    def __reduce__(self) -> tuple[Any, ...]:
        return make_private_globals, (self.own["__name__"],)


def make_private_globals(name: str) -> PrivateGlobals:
    made: PrivateGlobals = context.current().private_globals({"__name__": name, "__builtins__": builtins})
    return made


def is_by_value(obj: Any) -> bool:
    """A function or class that the peer cannot import: notebook-defined, or local to a library's function."""
    if getattr(obj, "__module__", None) == "__main__":
        return True
    if isinstance(obj, FunctionType) and obj.__globals__.get("__name__") == "__main__":
        return True  # under the name of another one, which `functools.wraps` has given it
    if isinstance(obj, (FunctionType, type)):
        return not cloudpickle._should_pickle_by_reference(obj)
    return cloudpickle._lookup_module_and_qualname(obj) is None


def reduce_function(function: FunctionType) -> tuple[Any, ...]:
    code = function.__code__
    args = (code, _globals_of(function), function.__name__, code.co_freevars, cells_of(function))
    return make_function, args, function_state(function), None, None, set_function_state


def cells_of(function: FunctionType) -> tuple[CellType, ...] | None:
    """A tuple of its own that nobody holds: the peer's function has another one."""
    return (*function.__closure__,) if function.__closure__ is not None else None


def _globals_of(function: FunctionType) -> Any:
    own = function.__globals__
    if own is namespace():
        return GLOBALS
    if "__name__" not in own:
        return own
    module = own["__name__"]
    return ModuleGlobals(module) if _is_of_module(own) else context.current().private_globals(own)


def _is_of_module(own: dict[str, Any]) -> bool:
    module = own["__name__"]
    return module != "__main__" and getattr(sys.modules.get(module), "__dict__", None) is own


def _private(function: FunctionType) -> dict[str, Any] | None:
    """What it uses of private globals."""
    own = function.__globals__
    if own is namespace() or "__name__" not in own or _is_of_module(own):
        return None
    return {name: own[name] for name in cloudpickle._extract_code_globals(function.__code__) if name in own}


def own_globals(function: FunctionType) -> dict[str, Any] | None:
    """The dict that `exec` or `types.FunctionType` was given for it: an object like any other, which others may hold."""
    return function.__globals__ if "__name__" not in function.__globals__ else None


def last_of(*objects: Any) -> Any:
    """In a pickle: what comes last, once the others are there."""
    return objects[-1]


def make_function(
    code: CodeType,
    given: dict[str, Any] | PrivateGlobals,
    name: str,
    freevars: tuple[str, ...],
    cells: tuple[CellType, ...] | None,
) -> FunctionType:
    globals_ = given.own if isinstance(given, PrivateGlobals) else given
    if "__name__" in globals_:
        dict.setdefault(globals_, "__builtins__", builtins)  # as exec does; 3.12 fails in some C paths without it
    by_name = dict(zip(freevars, cells or (), strict=False))
    if set(by_name) != set(code.co_freevars):
        raise LookupError(f"free variables of {name!r} differ: {freevars} there, {code.co_freevars} here")
    return FunctionType(code, globals_, name, None, tuple(by_name[each] for each in code.co_freevars))


_PARTS = ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__")


def function_state(function: FunctionType) -> dict[str, Any]:
    """All of a function that can be assigned to."""
    state = {part: getattr(function, part) for part in _PARTS}
    state["__code__"] = function.__code__
    state["__annotations__"] = function.__annotations__ or None
    state["__dict__"] = dict(function.__dict__) if function.__dict__ else None
    state["__globals__"] = _private(function)
    return state


def set_function_state(function: FunctionType, state: dict[str, Any]) -> None:
    """Called by unpickling, and by a merge for a function that is here already."""
    for part in _PARTS:
        setattr(function, part, state[part])
    code, now = state["__code__"], function.__code__
    if code != now or code.co_filename != now.co_filename:  # an equal one is another object on each side
        function.__code__ = code
    function.__annotations__ = state["__annotations__"] or {}
    function.__dict__.clear()
    function.__dict__.update(state["__dict__"] or {})
    function.__globals__.update(state["__globals__"] or {})


def reduce_cell(cell: CellType) -> tuple[Any, ...]:
    content = cell_content(cell)
    if not content:
        return CellType, ()
    return CellType, (), content, None, None, set_cell


def cell_content(cell: CellType) -> tuple[Any, ...]:
    """(value,), or () for an empty cell."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def set_cell(cell: CellType, content: tuple[Any, ...]) -> None:
    if content:
        cell.cell_contents = content[0]
    else:
        del cell.cell_contents


def reduce_lru(wrapper: Any) -> Any:
    if not is_by_value(wrapper):
        return NotImplemented
    return make_lru, (wrapper.__wrapped__, wrapper.cache_parameters()), lru_state(wrapper), None, None, set_lru_state


def make_lru(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def reduce_proxy(proxy: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    """A read-only view goes on looking at the same mapping; that of a class at a copy, which nothing else could be."""
    (mapping,) = gc.get_referents(proxy)
    return MappingProxyType, (dict(proxy) if "__module__" in mapping else mapping,)


def reduce_partial(partial: functools.partial[Any]) -> tuple[Any, ...]:
    """As functools does it, but the same before and after somebody has looked at `__dict__`, which makes one: not looked at here,
    since a partial of a partial is made in another way then."""
    state: Any = partial.__reduce__()[2]
    return type(partial), (partial.func,), (*state[:3], state[3] or None)


KEY_WRAPPER = type(functools.cmp_to_key(lambda one, other: 0))


def reduce_key_wrapper(wrapper: Any) -> tuple[Any, ...]:
    """What `functools.cmp_to_key` gives, and what that gives for a value."""
    compare, *values = (each for each in gc.get_referents(wrapper) if each is not KEY_WRAPPER)
    return make_key_wrapper, (compare, *values)


def make_key_wrapper(compare: Any, *values: Any) -> Any:
    wrapper = functools.cmp_to_key(compare)
    return wrapper(*values) if values else wrapper


def reduce_cached_property(made: functools.cached_property[Any]) -> tuple[Any, ...]:
    """Without the lock that it has before Python 3.12: it guards one computation, in one process."""
    state = {name: value for name, value in vars(made).items() if name != "lock"}
    return make_cached_property, (), state, None, None, set_cached_property


def make_cached_property() -> functools.cached_property[Any]:
    return functools.cached_property(_not_yet)


def set_cached_property(made: functools.cached_property[Any], state: dict[str, Any]) -> None:
    vars(made).update(state)


def _not_yet(instance: object) -> None:
    """Stands in until the function has come: that may refer to the class that the property belongs to."""
