"""Type variables, and what subscription makes of generic classes.

`Stack[int]` is made by subscription, whose cache gives the same object for the same types on either side.
"""

from __future__ import annotations

import importlib
import types
import typing
from collections.abc import Iterable
from typing import Any

from farcell_host._vendor.cloudpickle import cloudpickle

_ALIAS: type = typing._GenericAlias  # type: ignore[attr-defined]
_BUILTIN_ALIASES = (types.GenericAlias, types.UnionType)
VARIABLES = frozenset({"TypeVar", "ParamSpec", "TypeVarTuple"})
_FLAGS = ("covariant", "contravariant", "infer_variance")


def is_alias(kind: type) -> bool:
    return issubclass(kind, _ALIAS) or kind in _BUILTIN_ALIASES


def is_variable(kind: type) -> bool:
    return kind.__name__ in VARIABLES and kind.__module__ in ("typing", "typing_extensions")


def parts_of_alias(alias: Any) -> Iterable[Any]:
    return (getattr(alias, "__origin__", None), *alias.__args__)


def reduce_alias(alias: Any) -> Any:
    reduced: Any = alias.__reduce__()
    if isinstance(reduced, str) or type(alias) in _BUILTIN_ALIASES:
        return NotImplemented
    return (*reduced[:2], (alias.__args__, alias.__parameters__), None, None, set_alias)


def set_alias(alias: Any, state: tuple[Any, Any]) -> None:
    """The tuples are objects that can be met elsewhere, too."""
    for name, value in zip(("__args__", "__parameters__"), state, strict=True):
        if alias.__dict__.get(name) == value:
            alias.__dict__[name] = value


def reduce_variable(variable: Any) -> Any:
    found = cloudpickle._lookup_module_and_qualname(variable, name=variable.__name__)
    if found is not None:
        return getattr, found
    options = {name: True for name in _FLAGS if getattr(variable, f"__{name}__", False)}
    bound = getattr(variable, "__bound__", None)
    if bound is not None:
        options["bound"] = bound
    has_default = getattr(variable, "has_default", None)
    if has_default is not None and has_default():
        options["default"] = variable.__default__
    kind = type(variable)
    made_of = (kind.__module__, kind.__name__, variable.__name__, getattr(variable, "__constraints__", ()), options)
    return make_variable, made_of, variable.__module__, None, None, set_variable


def make_variable(module: str, kind: str, name: str, constraints: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return getattr(importlib.import_module(module), kind)(name, *constraints, **options)


def set_variable(variable: Any, module: str) -> None:
    variable.__module__ = module
