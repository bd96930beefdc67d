"""Notebook-defined classes: how they go into a pickle and come out.

A class travels as an empty skeleton (metaclass, name, bases) and its attributes, set once the skeleton is in the memo, so that
methods may refer to their class. The notebook's own `__init_subclass__`, `__set_name__` and metaclass `__new__` ran when the
class was made and do not run again. What the standard library generates differs from version to version and has no source:
enumerations, dataclasses and named tuples are therefore generated anew by the peer's own library.
"""

from __future__ import annotations

import abc
import gc
import importlib
import typing
from collections.abc import Iterable
from types import GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType
from typing import Any

from farcell_host._vendor.cloudpickle import cloudpickle

from .dataclass import DATACLASS, KEPT_BY_IT, is_dataclass, is_generated, make_dataclass_of, take_dataclass
from .enums import MEMBERS, enum_arguments, is_enum, is_enum_state, make_enum, members_of, set_members
from .functions import is_by_value
from .namedtuples import (
    NAMEDTUPLE,
    is_namedtuple,
    is_namedtuple_state,
    make_namedtuple,
    namedtuple_arguments,
    namedtuple_state,
    set_namedtuple_state,
)
from .protocols import complete_protocol, is_protocol, is_protocol_state
from .quiet import build_quietly

REGISTERED, ORDER = "<registered>", "<order>"
_MERGED = frozenset({REGISTERED, ORDER, MEMBERS})
_NEVER = frozenset({
    "__dict__", "__weakref__", "__module__", "__abstractmethods__", "__slotnames__",
    "_abc_impl", "__annotate__", "__annotate_func__", "__annotations_cache__", *KEPT_BY_IT,
})  # fmt: skip
_COME_AND_GO = frozenset({"__slotnames__", "__annotations_cache__"})
_OF_THE_INTERPRETER = (GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType)


def is_builtin_type(cls: type) -> bool:
    """Types that every Python has and no module shows by their own name."""
    return cls in cloudpickle._BUILTIN_TYPE_NAMES or cls in (type(None), type(Ellipsis), type(NotImplemented))


def reduce_class(cls: type) -> Any:
    if is_builtin_type(cls):
        return cloudpickle._class_reduce(cls)
    if not is_by_value(cls):
        return NotImplemented
    make, arguments = _skeleton(cls)
    return make, arguments, class_state(cls), None, None, set_class_state


def made_after(cls: Any) -> tuple[Any, ...]:
    """Of what must be there before its skeleton: that which may lead back to the class, as a base that keeps a register does."""
    generic = cls.__dict__.get("__orig_bases__", ())
    members = [each._value_ for each in cls.__members__.values()] if is_enum(cls) else ()
    if type(cls) is type and cls.__bases__ == (object,) and not generic:
        return ()
    metaclass = (type(cls),) if is_by_value(type(cls)) else ()  # that of a library may have another name in another version
    return (*cls.__bases__, *metaclass, *generic, *members)


def _skeleton(cls: Any) -> tuple[Any, tuple[Any, ...]]:
    if is_enum(cls):
        return make_enum, enum_arguments(cls)
    if is_namedtuple(cls):
        return make_namedtuple, namedtuple_arguments(cls)
    if _is_typed_dict(cls):
        return make_typed_dict, (type(cls).__module__, cls.__name__, cls.__qualname__, cls.__module__)
    kinds: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    if "__slots__" in cls.__dict__:
        kinds["__slots__"] = _slots(cls)
    if "__orig_bases__" in cls.__dict__:  # which typing looks at when a class is made
        kinds["__orig_bases__"] = cls.__dict__["__orig_bases__"]
    return make_class, (type(cls), cls.__name__, (*cls.__bases__,), kinds)


def _is_typed_dict(cls: type) -> bool:
    return typing.is_typeddict(cls) or type(cls).__name__ == "_TypedDictMeta"  # typing_extensions has one of its own


def make_typed_dict(maker: str, name: str, qualname: str, module: str) -> Any:
    """Without keys: they come as attributes."""
    made: Any = importlib.import_module(maker).TypedDict(name, {})
    made.__module__, made.__qualname__ = module, qualname
    return made


def _slots(cls: type) -> tuple[str, ...]:
    """As they were given, but for an iterator, which is used up."""
    slots: Any = cls.__dict__["__slots__"]
    if isinstance(slots, str):
        return (slots,)
    if isinstance(slots, (tuple, list, dict, set, frozenset)):
        return tuple(slots)
    members = [name for name, value in cls.__dict__.items() if isinstance(value, MemberDescriptorType)]
    return (*members, *(name for name in ("__dict__", "__weakref__") if name in cls.__dict__))


def make_class(metaclass: type, name: str, bases: tuple[type, ...], kinds: dict[str, Any]) -> Any:
    builder: Any = next(each for each in metaclass.__mro__ if not is_by_value(each))
    return build_quietly(bases, lambda with_bases: builder.__new__(metaclass, name, with_bases, dict(kinds)))


# -- attributes --------------------------------------------------------------------------------------------------------


def class_state(cls: Any) -> dict[str, Any]:
    """What its skeleton does not have: attributes, and under names in angle brackets what else there is to tell."""
    state = _attributes(cls)
    if is_dataclass(cls):
        take_dataclass(cls, state)
    if is_namedtuple(cls):
        state[NAMEDTUPLE] = namedtuple_state(cls)
    if isinstance(cls, abc.ABCMeta):
        state["__abstractmethods__"] = getattr(cls, "__abstractmethods__", frozenset())
    return {**state, **_told_apart(cls)}


def class_content(cls: type) -> dict[str, Any]:
    """What a merge makes so: the attributes, whoever has generated them, and what is registered with it."""
    return {**_attributes(cls), **_told_apart(cls)}


def _attributes(cls: type) -> dict[str, Any]:
    return {name: value for name, value in cls.__dict__.items() if _is_state(cls, name, value)}


def _told_apart(cls: Any) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if isinstance(cls, abc.ABCMeta):
        # Library classes register with an ABC by themselves; what the notebook registered must go along.
        registered = [each for each in registered_with(cls) if each is not None]
        if registered:
            told[REGISTERED] = registered
    if is_enum(cls):
        told[MEMBERS] = members_of(cls)
    told[ORDER] = tuple(name for name in cls.__dict__ if name not in _COME_AND_GO)
    return told


def _is_state(cls: type, name: str, value: Any) -> bool:
    if name in _NEVER or isinstance(value, _OF_THE_INTERPRETER):
        return False
    if is_enum(cls):
        return is_enum_state(cls, name, value)
    if is_namedtuple(cls):
        return is_namedtuple_state(cls, name, value)
    if is_protocol(cls) and not is_protocol_state(name, value):
        return False
    return not (is_dataclass(cls) and is_generated(name, value))


def set_class_state(cls: Any, state: dict[str, Any]) -> None:
    """Fill a skeleton. Called by unpickling only; a class that is here already is merged."""
    before = cls.__dict__.get("_fields")
    for name, value in state.items():
        if not name.startswith("<") and name != "__firstlineno__":
            type.__setattr__(cls, name, value)
    if "__firstlineno__" in state:  # 3.13 deletes it whenever __module__ or another attribute of that kind is set
        type.__setattr__(cls, "__firstlineno__", state["__firstlineno__"])
    if DATACLASS in state:
        make_dataclass_of(cls, state[DATACLASS])
    if NAMEDTUPLE in state:
        set_namedtuple_state(cls, before, state[NAMEDTUPLE])
    if is_protocol(cls):
        complete_protocol(cls)
    _set_told_apart(cls, state)


def set_class_content(cls: Any, content: dict[str, Any]) -> None:
    """Make a class that is here already so."""
    now = _attributes(cls)
    for name, value in content.items():
        if name not in _MERGED and (name not in now or now[name] is not value):
            type.__setattr__(cls, name, value)
    for name in now.keys() - content.keys():
        if name in cls.__dict__:
            type.__delattr__(cls, name)
    _set_told_apart(cls, content)


def _set_told_apart(cls: Any, told: dict[str, Any]) -> None:
    if MEMBERS in told:
        set_members(cls, told[MEMBERS])
    register(cls, told.get(REGISTERED, ()))
    put_in_order(cls, told[ORDER])


def registered_with(cls: Any) -> list[Any]:
    return [reference() for reference in abc._get_dump(cls)[0]]  # type: ignore[attr-defined]


def register(cls: Any, subclasses: Iterable[type]) -> None:
    """With an abstract class; those that are registered already stay so."""
    known = registered_with(cls) if subclasses else []
    for subclass in subclasses:
        if not any(subclass is each for each in known):
            abc.ABCMeta.register(cls, subclass)


def put_in_order(cls: type, order: Iterable[str]) -> None:
    """The attributes, as `vars()` and `dir()` of many a library show them: in the class' own dict, where they stay what they
    are. Those that `order` does not name come last."""
    (own,) = gc.get_referents(cls.__dict__)
    names = dict.fromkeys((*order, *own))
    wanted = {name: own[name] for name in names if name in own}
    if list(wanted) != list(own):
        own.clear(), own.update(wanted)  # in one step: nothing may come between
