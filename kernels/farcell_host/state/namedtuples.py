"""Named tuples, of `collections` and of `typing`: the receiver's own library generates the methods."""

from __future__ import annotations

import collections
from types import FunctionType
from typing import Any

from .dataclass import is_written

NAMEDTUPLE = "<namedtuple>"
_GENERATED = frozenset({
    "__slots__", "__new__", "_make", "__replace__", "_replace", "__repr__", "_asdict", "__getnewargs__",
    "__static_attributes__", "__firstlineno__",
})  # fmt: skip


def is_namedtuple(cls: Any) -> bool:
    return cls.__bases__ == (tuple,) and "_fields" in cls.__dict__ and "_field_defaults" in cls.__dict__


def namedtuple_arguments(cls: Any) -> tuple[Any, ...]:
    return cls.__name__, cls.__qualname__, cls._fields, tuple(cls._field_defaults.values()), cls.__module__


def make_namedtuple(name: str, qualname: str, fields: tuple[str, ...], defaults: tuple[Any, ...], module: str) -> Any:
    maker: Any = collections.namedtuple
    made = maker(name, fields, defaults=defaults, module=module)
    made.__qualname__ = qualname
    return made


def is_namedtuple_state(cls: Any, name: str, value: Any) -> bool:
    """Of a field, the docstring is all that one can change."""
    return is_written(value) or (name not in _GENERATED and name not in cls._fields)


def namedtuple_state(cls: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Docstrings of fields, and the annotations of the generated `__new__`, which are those of a class of typing's."""
    docs = {name: cls.__dict__[name].__doc__ for name in cls._fields if name in cls.__dict__}
    return docs, cls.__new__.__annotations__


def set_namedtuple_state(cls: Any, before: tuple[str, ...], state: tuple[dict[str, str], dict[str, Any]]) -> None:
    docs, annotations = state
    for name, doc in docs.items():
        if hasattr(cls.__dict__[name], "__doc__") and cls.__dict__[name].__doc__ != doc:
            cls.__dict__[name].__doc__ = doc
    cls.__new__.__annotations__ = annotations
    for function in list(cls.__dict__.values()):  # all that the library made looks at one tuple of names
        for cell in (function.__closure__ or ()) if isinstance(function, FunctionType) else ():
            if cell.cell_contents is before:
                cell.cell_contents = cls._fields
