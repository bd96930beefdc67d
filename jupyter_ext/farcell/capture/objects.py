"""Which of the notebook's objects lead to which others, as code that holds one may reach them."""

from __future__ import annotations

import gc
from collections.abc import Container, Iterable, Iterator
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any

from farcell_host.state.arrays import base_of, is_array
from farcell_host.state.fixed import ATOMS, is_fixed

_LIMIT = 1_000_000  # objects that are looked at; beyond, anything may be reached


def may_be_changed(obj: Any) -> bool:
    """Whether it is data that can change in place: each side has its own copies of classes and functions."""
    return type(obj) not in ATOMS and not is_fixed(type(obj)) and not isinstance(obj, type | FunctionType)


def leads_to(value: Any, wanted: Container[int], beyond: Iterable[object] = ()) -> bool:
    """Whether one of the objects with these identities is reached from a value, through containers, instances and closures.

    What is reached through those of `beyond` alone does not count.
    """
    seen = set(map(id, beyond))
    pending = [value]
    while pending:
        obj = pending.pop()
        if id(obj) in wanted:
            return True
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        if len(seen) > _LIMIT:
            return True
        pending += _parts(obj)
    return False


def _parts(obj: Any) -> list[Any]:
    if isinstance(obj, ModuleType | type | BuiltinFunctionType):
        return []
    if isinstance(obj, FunctionType):  # names that it uses are followed as names
        return [*_contents(obj.__closure__ or ()), *(obj.__defaults__ or ()), *(obj.__kwdefaults__ or {}).values(), obj.__dict__]
    if is_array(obj):
        base = base_of(obj)
        return [base] if base is not None else obj.ravel().tolist() if obj.dtype.hasobject else []
    return gc.get_referents(obj)


def _contents(cells: tuple[CellType, ...]) -> Iterator[Any]:
    for cell in cells:
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
