"""Enumerations: made anew by the receiver's own `enum`, whose inner tables differ from version to version.

Only the tables are: `__new__`, `__init__`, `_missing_` and metaclass of the notebook's own ran when the class was made and
do not run again. A member comes as the plain value it consists of, and what they gave it as its attributes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from . import context
from .functions import is_by_value
from .quiet import build_quietly

MEMBERS = "<members>"
Met = tuple[dict[Any, Any], Any, Any]
"""(table of a class of flags, key, combined flag)"""
_OF_THE_LIBRARY = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})
_OF_THE_SOURCE = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})
_ENUM: Any = enum.Enum
_META: Any = type(_ENUM)


def is_enum(cls: type) -> bool:
    return issubclass(cls, enum.Enum)


def enum_arguments(cls: Any) -> tuple[Any, ...]:
    members = {name: (_made_of(cls, member), member._value_) for name, member in cls.__members__.items()}
    boundary = getattr(cls.__dict__.get("_boundary_"), "name", None)
    metaclass = type(cls) if is_by_value(type(cls)) else None  # that of the library has another name before 3.11
    return metaclass, cls.__bases__, cls.__name__, cls.__qualname__, cls.__module__, members, boundary


def _native(cls: Any) -> Any:
    """The type that makes the objects which the members are: int, str, object."""
    return next(each for each in cls.__mro__ if not issubclass(each, enum.Enum) and not is_by_value(each))


def _made_of(cls: Any, member: Any) -> tuple[Any, ...]:
    native = _native(cls)
    if native is object:
        return ()
    if hasattr(native, "__getnewargs__"):
        return tuple(native.__getnewargs__(member))
    reduced: Any = native.__reduce_ex__(member, 4)
    return tuple(reduced[1]) if reduced[0] is cls else (member._value_,)


def is_enum_state(cls: Any, name: str, value: Any) -> bool:
    if name in cls.__members__:
        return False
    is_internal = name.startswith("_") and name.endswith("_")
    return _is_user_made(value) if is_internal and name not in _OF_THE_SOURCE else True


def _is_user_made(value: Any) -> bool:
    function = getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and is_by_value(function)


def make_enum(
    metaclass: Any,
    bases: tuple[Any, ...],
    name: str,
    qualname: str,
    module: str,
    members: dict[str, tuple[tuple[Any, ...], Any]],
    boundary: str | None,
) -> Any:
    metaclass = metaclass or type(bases[-1])
    builder: Any = next(each for each in metaclass.__mro__ if not is_by_value(each))
    boundaries: Any = getattr(enum, "FlagBoundary", {})  # since 3.11
    options = {"boundary": boundaries[boundary]} if boundary and boundaries else {}

    def build(with_bases: tuple[Any, ...]) -> Any:
        namespace = _META.__prepare__(name, with_bases)
        namespace["__module__"], namespace["__qualname__"] = module, qualname
        namespace["__new__"], namespace["__init__"] = _new_member, _no_init
        for each, made_of in members.items():
            namespace[each] = made_of
        return builder.__new__(metaclass, name, with_bases, namespace, **options)

    made = build_quietly(bases, build)
    _take_away_makers(made, bases[-1])
    if "_all_bits_" in made.__dict__ and members:
        _set_all_bits(made)
    made.__module__ = module
    return made


def _set_all_bits(made: Any) -> None:
    """Python 3.11.2 takes it from what stands in the class's body, which is no plain number here."""
    mask = 0
    for member in made.__members__.values():
        mask |= member._value_ if isinstance(member._value_, int) else 0
    type.__setattr__(made, "_all_bits_", 2 ** mask.bit_length() - 1)


def _new_member(cls: Any, *parts: Any) -> Any:
    """Gets the plain value and `_value_`, as two arguments or, where members are tuples, as one."""
    made_of, value = parts[0] if len(parts) == 1 else parts
    member = _native(cls).__new__(cls, *made_of)
    member._value_ = value
    return member


def _no_init(member: Any, *_: Any) -> None:
    pass


def _take_away_makers(made: Any, base: Any) -> None:
    """As if the class had been made without them; what the notebook has of its own comes with the other attributes."""
    type.__delattr__(made, "__init__")
    type.__delattr__(made, "__new_member__")
    if "_new_member_" in made.__dict__:
        maker, _, use_args = type(made)._find_new_({}, made._member_type_, base)
        type.__setattr__(made, "_new_member_", maker)
        type.__setattr__(made, "_use_args_", use_args)


# -- what members have beside their values -----------------------------------------------------------------------------


def members_of(cls: Any) -> tuple[dict[str, dict[str, Any]], list[tuple[Any, dict[str, Any]]]]:
    """Attributes by member, and of combined flags that were met so far with the value of each."""
    members: dict[str, Any] = cls._member_map_
    attributes = {name: attributes_of(each) for name, each in members.items() if each._name_ == name and attributes_of(each)}
    if not issubclass(cls, enum.Flag):
        return attributes, []
    met = cls._value2member_map_.items()
    return attributes, [(value, attributes_of(each)) for value, each in met if members.get(each._name_) is not each]


def attributes_of(member: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(member).items() if name not in _OF_THE_LIBRARY}


def set_members(cls: Any, state: tuple[dict[str, dict[str, Any]], list[tuple[Any, dict[str, Any]]]]) -> None:
    attributes, combined = state
    for value, _ in combined:
        if value not in cls._value2member_map_:
            maker: Any = next(each.__dict__["_missing_"] for each in cls.__mro__ if _makes_flags(each))
            maker.__func__(cls, value)
    for value, given in combined:
        _set_attributes(cls._value2member_map_[value], given)
    for name, member in cls._member_map_.items():
        if member._name_ == name:
            _set_attributes(member, attributes.get(name, {}))


def _set_attributes(member: Any, given: dict[str, Any]) -> None:
    own = vars(member)
    for gone in attributes_of(member).keys() - given.keys():
        del own[gone]
    own.update(given)


def _makes_flags(cls: type) -> bool:
    return "_missing_" in cls.__dict__ and not is_by_value(cls)


def reduce_member(member: Any) -> tuple[Any, ...]:
    """By name: its value may be one that is equal to nothing but itself, a function in a partial, say."""
    cls = type(member)
    if cls._member_map_.get(member._name_) is member:
        return member_of, (cls, member._name_)
    return (combined, (cls, member._value_)) if issubclass(cls, enum.Flag) else (cls, (member._value_,))


def member_of(cls: Any, name: str) -> Any:
    return cls._member_map_[name]


def combined(cls: Any, value: Any) -> Any:
    """Noted where its class has not met it: it is put into the class's table with the merge, until which nothing here changes."""
    table = cls._value2member_map_
    if value in table:
        return table[value]
    known = set(table)
    member = cls(value)
    context.current().met += [(table, key, each) for key, each in table.items() if key not in known]
    return member


def take_away(met: Iterable[Met]) -> None:
    for table, key, _ in met:
        table.pop(key, None)


def put_back(met: Iterable[Met]) -> None:
    for table, key, member in met:
        table.setdefault(key, member)
