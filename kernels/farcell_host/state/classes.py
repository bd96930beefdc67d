"""Notebook-defined classes: how they go into a pickle and come out.

A class travels as an empty skeleton (metaclass, name, bases) and its attributes, set once the skeleton is in the
memo, so that methods may
refer to their class. The notebook's own `__init_subclass__`, `__set_name__` and metaclass `__new__` ran when the
class was made and do not run again.
What the standard library generates differs from version to version and has no source: enum, dataclass and namedtuple
are therefore generated anew by the peer's own library.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import enum
import importlib
import reprlib
import typing
from collections.abc import Iterable
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType
from typing import Any

from farcell_host._vendor.cloudpickle import cloudpickle

from .functions import is_by_value
from .sources import BOOK

_NEVER = frozenset({
    "__dict__", "__weakref__", "__module__", "__abstractmethods__", "__slotnames__",
    "_abc_impl", "__annotate__", "__annotate_func__", "__annotations_cache__",
    "__dataclass_fields__", "__dataclass_params__",
})  # fmt: skip
_GENERATED_BY_DATACLASS = frozenset({
    "__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__", "__delattr__",
    "__match_args__", "__replace__", "__getstate__", "__setstate__",
})  # fmt: skip
_GENERATED_BY_NAMEDTUPLE = frozenset({
    "__slots__", "_fields", "_field_defaults", "__new__", "_make", "__replace__", "_replace", "__repr__", "_asdict",
    "__getnewargs__", "__match_args__", "__doc__", "__orig_bases__", "__static_attributes__", "__firstlineno__",
})  # fmt: skip
_DATACLASS_PARAMETERS = (
    "init", "repr", "eq", "order", "unsafe_hash", "frozen", "match_args", "kw_only",
)  # fmt: skip
_BUILT_WITH = ("__init__", "__new__", "_generate_next_value_", "_missing_")


def is_builtin_type(cls: type) -> bool:
    """Types that every Python has and no module shows by their own name."""
    return cls in cloudpickle._BUILTIN_TYPE_NAMES or cls in (type(None), type(Ellipsis), type(NotImplemented))


def reduce_class(cls: type) -> Any:
    if is_builtin_type(cls):
        return cloudpickle._class_reduce(cls)
    if not is_by_value(cls):
        return NotImplemented
    if issubclass(cls, enum.Enum):
        return make_enum, _enum_arguments(cls), class_state(cls), None, None, set_class_state
    if _is_namedtuple(cls):
        arguments = (cls.__name__, cls._fields, _namedtuple_defaults(cls), cls.__module__)  # type: ignore[attr-defined]
        return make_namedtuple, arguments, class_state(cls), None, None, set_class_state
    state = class_state(cls)
    if typing.is_typeddict(cls):
        module = type(cls).__module__  # typing, or typing_extensions
        return make_typed_dict, (module, cls.__name__, cls.__qualname__, cls.__module__), state, None, None, set_class_state
    return make_class, _class_arguments(cls, state), state, None, None, set_class_state


def _class_arguments(cls: type, state: dict[str, Any]) -> tuple[Any, ...]:
    kinds: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    if "__slots__" in cls.__dict__:
        slots = cls.__dict__["__slots__"]
        kinds["__slots__"] = slots if isinstance(slots, str) else tuple(slots)
    return type(cls), cls.__name__, (*cls.__bases__,), kinds, _order(cls, state, kinds)


def _order(cls: type, state: dict[str, Any], kinds: dict[str, Any]) -> tuple[str, ...]:
    """Of its attributes, but for those that are there when the skeleton is made, or that a dataclass generates."""
    fields = state.get(_DATACLASS, ({}, {}))[1]
    slots = kinds.get("__slots__", ())
    taken = {*kinds, *([slots] if isinstance(slots, str) else slots)}
    return tuple(name for name in cls.__dict__ if (name in state or name in fields) and name not in taken)


class _Quiet:
    """First base of a class under construction: keeps `__init_subclass__` from running a second time."""

    def __init_subclass__(cls, **_: Any) -> None:
        pass


class _QuietWithoutDict:
    """The same, for bases whose instances have no `__dict__`."""

    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None:
        pass


_PLACEHOLDERS: dict[str, Any] = {"__annotations__": {}}
_LOOKED_AT = frozenset({"__orig_bases__", "__parameters__"})  # by Generic, when a subclass is made


def make_class(metaclass: type, name: str, bases: tuple[type, ...], kinds: dict[str, Any], order: tuple[str, ...] = ()) -> type:
    """`order` are attributes that come later: each has its place by then, since a class shows them in the order of making."""
    builder: Any = next((each for each in metaclass.__mro__ if each.__module__ != "__main__"), type)
    if builder is type or builder is abc.ABCMeta:  # others look into what they are given
        kinds = {**kinds, **{each: _PLACEHOLDERS.get(each) for each in order if each not in _LOOKED_AT}}

    def build(with_bases: tuple[type, ...]) -> Any:
        return builder.__new__(metaclass, name, with_bases, dict(kinds))

    if any("__init_subclass__" in each.__dict__ for base in bases for each in base.__mro__ if each is not object):
        for quiet in (_Quiet, _QuietWithoutDict):
            try:
                made = build((quiet, *bases))
                made.__bases__ = bases
            except TypeError:  # another memory layout than the true bases have
                continue
            return made  # type: ignore[no-any-return]
    return build(bases)  # type: ignore[no-any-return]


def class_state(cls: type) -> dict[str, Any]:
    """The attributes of a class that its skeleton does not have."""
    state = {name: value for name, value in cls.__dict__.items() if _is_state(cls, name, value)}
    if dataclasses.is_dataclass(cls) and "__dataclass_params__" in cls.__dict__:
        _add_dataclass(cls, state)
    if isinstance(cls, abc.ABCMeta):
        # Library classes register with an ABC by themselves; what the notebook registered must go along.
        registry = [reference() for reference in abc._get_dump(cls)[0]]  # type: ignore[attr-defined]
        if registry:
            state[REGISTERED] = registry
        state["__abstractmethods__"] = getattr(cls, "__abstractmethods__", frozenset())
    return state


_DATACLASS, REGISTERED = "<dataclass>", "<registered>"


def _is_state(cls: type, name: str, value: Any) -> bool:
    if name in _NEVER or isinstance(value, (GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType)):
        return False
    if issubclass(cls, enum.Enum):
        return _is_enum_state(cls, name, value)
    if _is_namedtuple(cls):
        return _has_source(value) or (name not in _GENERATED_BY_NAMEDTUPLE and name not in cls._fields)  # type: ignore[attr-defined]
    if name == "__slots__":
        return False
    if "__dataclass_params__" in cls.__dict__ and name in _GENERATED_BY_DATACLASS:
        return _has_source(value)
    return True


_GENERATORS = frozenset({dataclasses.__file__, collections.__file__, reprlib.__file__})


def _has_source(value: Any) -> bool:
    """Written by the user, not generated by the standard library."""
    function = getattr(value, "__func__", value)
    if not isinstance(function, FunctionType) or function.__code__.co_filename in _GENERATORS:
        return False
    return is_by_value(function) and BOOK.ref(function.__code__) is not None


def _add_dataclass(cls: Any, state: dict[str, Any]) -> None:
    parameters = cls.__dict__["__dataclass_params__"]
    fields = cls.__dict__["__dataclass_fields__"]
    own = [name for name in cls.__dict__.get("__annotations__", {}) if name in fields]  # noqa: RUF063 - needs 3.10
    state[_DATACLASS] = (
        {name: getattr(parameters, name) for name in _DATACLASS_PARAMETERS if hasattr(parameters, name)},
        {name: _field_arguments(fields[name]) for name in own if not _is_pseudo(fields[name])},
    )
    for name in own:
        if not _is_pseudo(fields[name]):
            state.pop(name, None)


def _is_pseudo(field: Any) -> bool:
    """ClassVar and InitVar are kept by their annotation and plain attribute."""
    return field._field_type is not dataclasses._FIELD  # type: ignore[attr-defined]


def _field_arguments(field: Any) -> dict[str, Any]:
    arguments = {name: getattr(field, name) for name in ("init", "repr", "hash", "compare")}
    if getattr(field, "kw_only", dataclasses.MISSING) is not dataclasses.MISSING:
        arguments["kw_only"] = field.kw_only
    if field.metadata:
        arguments["metadata"] = dict(field.metadata)
    for name in ("default", "default_factory"):
        value = getattr(field, name)
        if value is not dataclasses.MISSING and not isinstance(value, MemberDescriptorType):
            arguments[name] = value
    return arguments


def set_class_state(cls: type, state: dict[str, Any]) -> None:
    """Fill a skeleton. Called by unpickling only; a class that is here already is merged by `kinds`."""
    for name, value in state.items():
        if name not in (_DATACLASS, REGISTERED, "__firstlineno__"):
            type.__setattr__(cls, name, value)
    if "__firstlineno__" in state:  # 3.13 deletes it whenever __module__ or another attribute of that kind is set
        type.__setattr__(cls, "__firstlineno__", state["__firstlineno__"])
    if _DATACLASS in state:
        _apply_dataclass(cls, *state[_DATACLASS])
    register(cls, state.get(REGISTERED, ()))


def register(cls: type, subclasses: Iterable[type]) -> None:
    """With an abstract class; those that are registered already stay so."""
    known = [reference() for reference in abc._get_dump(cls)[0]] if subclasses else []  # type: ignore[attr-defined]
    for subclass in subclasses:
        if not any(subclass is each for each in known):
            abc.ABCMeta.register(cls, subclass)  # type: ignore[arg-type]


def _apply_dataclass(cls: Any, parameters: dict[str, Any], fields: dict[str, dict[str, Any]]) -> None:
    slots = {name: each for name, each in cls.__dict__.items() if isinstance(each, MemberDescriptorType)}
    defaults = cls.__dict__.get("__slots__") is None
    for name, arguments in fields.items():
        if set(arguments) == {"init", "repr", "hash", "compare", "kw_only"} and _is_default(arguments):
            if name in slots:  # a descriptor left in place would pass for a default value
                type.__delattr__(cls, name)
            continue
        type.__setattr__(cls, name, dataclasses.field(**arguments))
    dataclasses.dataclass(**parameters)(cls)
    for name, descriptor in slots.items():
        type.__setattr__(cls, name, descriptor)
    if not defaults and hasattr(cls.__dict__["__dataclass_params__"], "slots"):
        cls.__dict__["__dataclass_params__"].slots = True


def _is_default(arguments: dict[str, Any]) -> bool:
    return (
        arguments["init"]
        and arguments["repr"]
        and arguments["hash"] is None
        and arguments["compare"]
        and not arguments["kw_only"]
    )


def _enum_arguments(cls: Any) -> tuple[Any, ...]:
    members = {name: member.value for name, member in cls.__members__.items()}
    built_with = {name: cls.__dict__[name] for name in _BUILT_WITH if _is_user_made(cls.__dict__.get(name))}
    return (*cls.__bases__,), cls.__name__, cls.__qualname__, members, cls.__module__, built_with


def _is_user_made(value: Any) -> bool:
    function = getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and is_by_value(function)


def _is_enum_state(cls: Any, name: str, value: Any) -> bool:
    if name in cls.__members__ or name in _BUILT_WITH:
        return False
    is_internal = name.startswith("_") and name.endswith("_")
    return _is_user_made(value) if is_internal and name != "__doc__" else True


def make_enum(
    bases: tuple[Any, ...], name: str, qualname: str, members: dict[str, Any], module: str, built_with: dict[str, Any]
) -> Any:
    metaclass = type(bases[-1])
    namespace = metaclass.__prepare__(name, bases)
    for attribute, value in {**built_with, **members}.items():
        namespace[attribute] = value
    made: Any = metaclass.__new__(metaclass, name, bases, namespace)  # type: ignore[call-overload]
    made.__module__, made.__qualname__ = module, qualname
    return made


def make_typed_dict(maker: str, name: str, qualname: str, module: str) -> Any:
    """Without keys: they come as attributes."""
    made: Any = importlib.import_module(maker).TypedDict(name, {})
    made.__module__, made.__qualname__ = module, qualname
    return made


def _is_namedtuple(cls: Any) -> bool:
    return cls.__bases__ == (tuple,) and "_fields" in cls.__dict__ and "_field_defaults" in cls.__dict__


def _namedtuple_defaults(cls: Any) -> tuple[Any, ...]:
    return tuple(cls._field_defaults[name] for name in cls._fields if name in cls._field_defaults)


def make_namedtuple(name: str, fields: tuple[str, ...], defaults: tuple[Any, ...], module: str) -> Any:
    return collections.namedtuple(name, fields, defaults=defaults, module=module)
