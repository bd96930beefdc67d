"""What the notebook's own functions and classes read, when a cell that names them runs here.

For a remote cell the state layer follows functions wherever it meets them in a value; a local cell has no values to walk, so
the ones it names are followed from name to name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from farcell_host.state.uses import nested, uses


def reached(names: Iterable[str], namespace: Mapping[str, Any]) -> set[str]:
    """`names` and every name that functions, classes and instances of classes of this namespace under them use, transitively."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in found or name not in namespace:
            continue
        found.add(name)
        for code in _codes(namespace[name], namespace):
            in_code = {global_name for part in nested(code) for global_name in part.co_names}
            pending += uses(code) & in_code  # without the words in its strings: a fetch may be large
    return found


def _codes(value: object, namespace: Mapping[str, Any]) -> Iterator[CodeType]:
    if isinstance(value, FunctionType):
        if value.__globals__ is namespace:
            yield value.__code__
        return
    cls = value if isinstance(value, type) else type(value)
    for base in cls.__mro__:
        if base.__module__ == namespace.get("__name__"):
            for member in vars(base).values():
                function = getattr(member, "fget", None) or getattr(member, "__func__", member)
                if isinstance(function, FunctionType) and function.__globals__ is namespace:
                    yield function.__code__
