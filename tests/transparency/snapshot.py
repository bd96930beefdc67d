"""Describes a notebook's namespace and the state around it, as JSON. Runs inside the front end's kernel.

The description is a graph: every object whose identity can be told gets a number in the order in which a walk from the
sorted names first meets it, so two namespaces that look alike to any program have equal descriptions, aliasing included.

Nothing that is described may notice: types are asked by `type()`, containers by their base class' own methods, attributes
by `object.__getattribute__`. A notebook class' `__repr__`, `__eq__`, `__iter__`, `__getattr__`, properties are never called.
"""

from __future__ import annotations

import _thread
import abc
import array
import builtins
import collections
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import io
import json
import linecache
import logging
import os
import pathlib
import random
import re
import sys
import types
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

MOST_OBJECTS = 30_000
_ATOMS = (type(None), bool, int, float, complex, type(Ellipsis), type(NotImplemented), range)
_BY_REPR = (
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction,
    pathlib.PurePath, uuid.UUID, decimal.Context,
)  # fmt: skip
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType)
_NOT_MEMBERS = {
    "__dict__", "__weakref__",
    "__slotnames__",  # copyreg's cache, made by any copy or pickle
    "_abc_impl", "__abstractmethods__", "__module__", "__qualname__", "__annotations_cache__",
}  # fmt: skip
# IPython's way to show an error, where farcell leaves the remote text; functools' own closure; sympy's hash of texts
_NOT_SHOWN = {"_render_traceback_", "cache_parameters", "_mhash"}
_KEPT_BY_IPYTHON = re.compile(r"_i\d*|_ii|_iii|_ih|_oh|_dh|_\d+|In|Out|_{1,3}|exit|quit|open|get_ipython|_exit_code")
_MODULE_NAMES = {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtin__", "__builtins__", "__session__"}
_MISSING = object()


def short(text: str) -> str:
    """Long texts by their beginning and a digest."""
    if len(text) <= 400:
        return text
    return (
        f"{text[:200]}... ({len(text)} characters, {hashlib.blake2b(text.encode('utf-8', 'replace'), digest_size=8).hexdigest()})"
    )


def hashed(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def type_name(kind: type) -> str:
    return f"{type.__dict__['__module__'].__get__(kind)}.{type.__dict__['__qualname__'].__get__(kind)}"


def own_dict(obj: Any) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return None
    return found if type(found) is dict else None


def is_importable(obj: Any, module: Any, qualname: Any) -> bool:
    """Whether another process would find the same object under this name."""
    if module in (None, "__main__") or not isinstance(qualname, str) or "<locals>" in qualname:
        return False
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part, _MISSING)
        if isinstance(found, (classmethod, staticmethod)):
            found = found.__func__
    return found is obj or (module == "builtins" and getattr(builtins, qualname, _MISSING) is obj)


class Describer:
    """Numbers objects as it meets them; `objects[n]` describes number n."""

    def __init__(self, filenames: dict[str, str], namespace: dict[str, Any]) -> None:
        self.objects: list[dict[str, Any]] = []
        self.filenames = filenames
        self.namespace = namespace
        self.cut = False
        self._numbers: dict[int, int] = {}
        self._waiting: collections.deque[tuple[Any, dict[str, Any]]] = collections.deque()
        self._alive: list[Any] = []
        self._memory: list[tuple[int, int, int, int]] = []

    def walk(self, obj: Any) -> Any:
        """The description of one value; what it reaches is in `objects` afterwards."""
        found = self.value(obj)
        while self._waiting:
            waiting, entry = self._waiting.popleft()
            self._fill(waiting, entry)
        return found

    # -- values: a text for what has no identity that matters, [number] for the rest -----------------------------------

    def value(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in (str, bytes) or kind in _ATOMS:
            return f"{kind.__name__} {short(repr(obj))}"
        if kind is types.ModuleType:
            return f"module {getattr(obj, '__name__', None)}"
        if obj is vars(builtins):
            return "the dict of the builtins"
        if kind is types.BuiltinFunctionType and (obj.__self__ is None or isinstance(obj.__self__, types.ModuleType)):
            return f"builtin {obj.__module__}.{obj.__qualname__}"
        if isinstance(obj, type) and self._is_library_type(obj):
            return f"type {type_name(obj)}"
        if kind is types.FunctionType and is_importable(obj, obj.__module__, obj.__qualname__):
            return f"function {obj.__module__}.{obj.__qualname__}"
        if kind in _DESCRIPTORS:
            return f"{kind.__name__} {obj.__name__}"
        if kind.__module__ == "ipykernel.iostream" and kind.__name__ == "OutStream":
            return f"the kernel's {obj.name}"  # which consists of the kernel itself
        np = sys.modules.get("numpy")
        if np is not None and isinstance(obj, np.generic) and kind.__module__ == "numpy" and kind is not np.void:
            return f"numpy {obj.dtype} {short(repr(obj.tolist()))}"  # a number: whether two are one object is nobody's affair
        if np is not None and isinstance(obj, np.dtype):
            return f"dtype {obj!r}"  # it cannot change, and numpy makes another one as it likes
        if kind is slice:
            return ["slice", self.value(obj.start), self.value(obj.stop), self.value(obj.step)]
        if kind is tuple and not obj:
            return "tuple ()"
        if obj is self.namespace:
            return "the notebook's namespace"
        number = self._numbers.get(id(obj))
        if number is None:
            if len(self.objects) >= MOST_OBJECTS:
                self.cut = True
                return f"{type_name(kind)} (not described: too many objects)"
            number = self._numbers[id(obj)] = len(self.objects)
            entry: dict[str, Any] = {"is": ""}
            self.objects.append(entry)
            self._alive.append(obj)
            self._waiting.append((obj, entry))
        return [number]

    @staticmethod
    def _is_library_type(kind: type) -> bool:
        name = type.__dict__["__qualname__"].__get__(kind)
        module = type.__dict__["__module__"].__get__(kind)
        if kind.__flags__ & (1 << 9) == 0:  # not a heap type: made in C
            return True
        return module != "__main__" and (is_importable(kind, module, name) or "<" not in name)

    # -- what an object consists of --------------------------------------------------------------------------------------

    def _fill(self, obj: Any, entry: dict[str, Any]) -> None:
        kind = type(obj)
        entry["is"] = type_name(kind)
        parts: list[list[Any]] = []
        entry["parts"] = parts
        if isinstance(obj, type):
            self._class(obj, entry, parts)
            return
        if not self._is_library_type(kind):
            parts.append(["type", self.value(kind)])
        describe = self._describer(kind)
        if describe is not None:
            describe(self, obj, entry, parts)
        self._attributes(obj, kind, parts)
        if describe is None and len(parts) == 0:
            self._by_reduce(obj, parts)

    def _describer(self, kind: type) -> Callable[..., None] | None:
        for base in kind.__mro__:
            found = _KINDS.get(base)
            if found is not None:
                return found
            if (base.__module__ or "").partition(".")[0] in ("numpy", "pandas"):
                found = _by_package(kind)
                if found is not None:
                    return found
        return None

    def _attributes(self, obj: Any, kind: type, parts: list[list[Any]]) -> None:
        if kind in _WITHOUT_ATTRIBUTES or (kind.__module__ or "").partition(".")[0] in ("matplotlib", "pandas", "farcell"):
            return
        attributes = [*(self._own_state(obj, kind) or own_dict(obj) or {}).items()]
        if self._is_library_type(kind) and hasattr(kind, "__setstate__"):
            attributes.sort(key=lambda pair: str(pair[0]))  # in which order it sets what it is given is its own affair
        for name, value in attributes:
            if name not in _NOT_SHOWN:
                parts.append([f".{name}" if isinstance(name, str) else f".{name!r}", self.value(value)])
        if kind.__flags__ & (1 << 9) == 0 or issubclass(kind, (types.FunctionType, _BY_REPR, functools.partial)):
            return
        for base in kind.__mro__:
            for name, member in type.__dict__["__dict__"].__get__(base).items():
                if type(member) is types.MemberDescriptorType and base.__flags__ & (1 << 9) and name not in _NOT_SHOWN:
                    try:
                        parts.append([f".{name}", self.value(member.__get__(obj))])
                    except AttributeError:
                        parts.append([f".{name}", "(an empty slot)"])

    def _own_state(self, obj: Any, kind: type) -> dict[str, Any] | None:
        """Of a library's class that says itself what of its instances matters: what it leaves out, it makes anew when read."""
        own = getattr(kind, "__getstate__", None)
        if not self._is_library_type(kind) or own in (None, getattr(object, "__getstate__", None)):
            return None
        try:
            own(obj)  # may fill caches of its own, which then are part of the state
            state = own(obj)
        except Exception:
            return None
        self._alive.append(state)
        return state if type(state) is dict else None

    def _by_reduce(self, obj: Any, parts: list[list[Any]]) -> None:
        """Library objects without attributes, say an iterator: their own way into a pickle changes nothing."""
        kind = type(obj)
        if not self._is_library_type(kind) or (kind.__module__ or "").partition(".")[0] in (
            "matplotlib",
            "farcell",
            "IPython",
            "ipykernel",
        ):
            return
        try:
            reduced = obj.__reduce_ex__(4)
        except Exception:
            return
        if isinstance(reduced, tuple):
            self._alive.append(reduced)
            for index, each in enumerate(reduced):
                if index in (3, 4) and each is not None:
                    each = list(each)  # iterators made for this dump
                    self._alive.append(each)
                parts.append([f"(reduced {index})", self.value(each)])

    def items(self, pairs: Iterable[tuple[Any, Any]], parts: list[list[Any]]) -> None:
        for index, (key, value) in enumerate(pairs):
            described = self.value(key)
            if isinstance(described, str):
                parts.append([f"[{described.partition(' ')[2]}]", self.value(value)])
            else:
                parts += [[f".key({index})", described], [f"[key {index}]", self.value(value)]]

    def _class(self, cls: type, entry: dict[str, Any], parts: list[list[Any]]) -> None:
        entry["is"] = "class"
        read = type.__dict__
        parts.append(["name", f"{read['__module__'].__get__(cls)}.{read['__qualname__'].__get__(cls)}, {cls.__name__}"])
        parts.append(["metaclass", self.value(type(cls))])
        for index, base in enumerate(read["__bases__"].__get__(cls)):
            parts.append([f"base {index}", self.value(base)])
        if isinstance(cls, abc.ABCMeta):
            registered, *_ = abc._get_dump(cls)  # type: ignore[attr-defined]
            names = sorted(type_name(each()) for each in registered if each() is not None)
            parts.append(["abstract", str(sorted(cls.__dict__.get("__abstractmethods__", ()))) + f", registered {names}"])
        for name, member in read["__dict__"].__get__(cls).items():
            if name not in _NOT_MEMBERS and not name.startswith("__pydantic_") and (name != "__doc__" or member is not None):
                parts.append([f".{name}", self.value(member)])

    # -- code and memory ---------------------------------------------------------------------------------------------------

    def code(self, code: types.CodeType) -> list[Any]:
        said = {
            "name": code.co_name, "line": code.co_firstlineno, "in": self.filename(code.co_filename), "names": code.co_names,
            "variables": code.co_varnames, "free": code.co_freevars, "cells": code.co_cellvars,
            "arguments": (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
            "bytecode": hashed(code.co_code), "lines": hashed(repr([row[2] for row in code.co_lines()]).encode()),
        }  # fmt: skip
        parts = [[key, f"{value!r}"] for key, value in said.items()]
        for index, constant in enumerate(code.co_consts):
            inner = ["code", self.code(constant)] if isinstance(constant, types.CodeType) else short(repr(constant))
            if isinstance(constant, frozenset):
                inner = f"frozenset {sorted(map(repr, constant))}"
            parts.append([f"constant {index}", inner])
        return parts

    def filename(self, name: str) -> str:
        return self.filenames.get(name) or ("a cell unknown here" if "ipykernel_" in name else name)

    def source_line(self, code: types.CodeType) -> str:
        """What inspect.getsource would begin with."""
        lines = linecache.getlines(code.co_filename)
        return repr(lines[code.co_firstlineno - 1]) if 0 < code.co_firstlineno <= len(lines) else "(no source)"

    def uses_memory(self, owner: Any, low: int, high: int, start: int) -> None:
        if high > low:
            self._memory.append((low, high, start, self._numbers[id(owner)]))

    def shared_memory(self) -> list[list[Any]]:
        """Groups of two and more numbers whose memory overlaps, each with its offset into the group's memory."""
        groups: list[list[tuple[int, int]]] = []
        end = -1
        for low, high, start, number in sorted(self._memory):
            if low < end:
                groups[-1].append((start, number))
                end = max(end, high)
            else:
                groups.append([(start, number)])
                end = high
        told = []
        for group in groups:
            base = min(start for start, _ in group)
            members = sorted({(number, start - base) for start, number in group})
            if len({number for number, _ in members}) > 1:
                told.append([[number], offset] for number, offset in members)
        return sorted([list(map(list, each)) for each in told], key=lambda group: group[0][0])


# -- how each kind is described ------------------------------------------------------------------------------------------


def _sequence(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    base = next(each for each in (list, tuple, collections.deque) if isinstance(obj, each))
    for index, each in enumerate(base.__iter__(obj)):
        parts.append([f"[{index}]", describer.value(each)])
    if base is collections.deque:
        parts.append([".maxlen", f"{obj.maxlen}"])


def _dict(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    base = collections.OrderedDict if isinstance(obj, collections.OrderedDict) else dict
    describer.items(list(base.items(obj)), parts)
    if isinstance(obj, collections.defaultdict):
        parts.append([".default_factory", describer.value(obj.default_factory)])


def _set(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    base = set if isinstance(obj, set) else frozenset
    elements = list(base.__iter__(obj))
    for element in sorted(elements, key=_order):
        described = describer.value(element)
        parts.append([f"has {described}" if isinstance(described, str) else "has", described])
    # None's and an object's hash is its address: their order is not the same twice.
    if all(type(each) in (str, bytes, int, float, bool) for each in elements):
        parts.append([" order", short(repr(elements))])


def _order(obj: Any) -> str:
    """A text to sort by that depends on no address: an element of another kind sorts by its type only."""
    if type(obj) in (tuple, frozenset):
        inner = [_order(each) for each in obj]
        return f"{type(obj).__name__} {inner if type(obj) is tuple else sorted(inner)}"
    is_plain = type(obj) in (str, bytes) or type(obj) in _ATOMS
    return f"{type_name(type(obj))} {obj!r}" if is_plain else type_name(type(obj))


def _plain_content(base: Any) -> Callable[..., None]:
    """For subclasses of int, str, ...: the value that they are."""

    def describe(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
        parts.append(["value", short(base.__repr__(obj))])

    return describe


def _enum(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append(["member", f"{type(obj).__qualname__}.{own_dict(obj).get('_name_')}"])  # type: ignore[union-attr]


def _function(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts += [
        ["name", f"{obj.__module__}.{obj.__qualname__}, {obj.__name__}"],
        ["doc", describer.value(obj.__doc__)],
        ["source", describer.source_line(obj.__code__)],
        ["globals", "the notebook's" if obj.__globals__ is describer.namespace else "others"],
        ["code", ["code", describer.code(obj.__code__)]],
    ]
    for index, value in enumerate(obj.__defaults__ or ()):
        parts.append([f".default({index})", describer.value(value)])
    for name, value in (obj.__kwdefaults__ or {}).items():
        parts.append([f".default({name})", describer.value(value)])
    for name, value in obj.__annotations__.items():
        parts.append([f".annotation({name})", describer.value(value)])
    for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or (), strict=True):
        parts.append([f".closure({name})", describer.value(cell)])


def _cell(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    try:
        parts.append([".content", describer.value(obj.cell_contents)])
    except ValueError:
        parts.append([".content", "(empty)"])


def _named(*names: str) -> Callable[..., None]:
    """For built-in types whose attributes say all; reading them runs no notebook code."""

    def describe(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
        for name in names:
            value = getattr(obj, name, _MISSING)
            if value is not _MISSING:
                describer._alive.append(value)
                parts.append([f".{name}", describer.value(value)])

    return describe


def _cached(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts += [[".parameters", repr(obj.cache_parameters())], [".info", repr(obj.cache_info())]]


def _exception(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    read = BaseException.__dict__
    args = read["args"].__get__(obj)
    for index, each in enumerate(args):
        parts.append([f".args[{index}]", describer.value(each)])
    for name in ("__cause__", "__context__", "__suppress_context__"):
        parts.append([f".{name}", describer.value(read[name].__get__(obj))])
    frames, traceback = [], read["__traceback__"].__get__(obj)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename in describer.filenames or "ipykernel_" in code.co_filename:
            frames.append(f"{describer.filename(code.co_filename)} line {traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    parts.append([".__traceback__", str(frames)])


def _by_repr(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append(["value", short(repr(obj)) if Describer._is_library_type(type(obj)) else "(a subclass)"])


def _bytes_of(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append(["value", short(repr(bytes(obj)))])


def _weakref(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append(["()", describer.value(obj())])


def _random(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append([".state", hashed(repr(random.Random.getstate(obj)).encode())])


def _text_file(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append(["value", "(closed)" if obj.closed else f"{short(repr(obj.getvalue()))} at {obj.tell()}"])


def _opaque(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    parts.append(["opaque", type_name(type(obj))])


_LOGGERS = (logging.Logger, logging.RootLogger)
_KINDS: dict[Any, Callable[..., None]] = {
    list: _sequence, tuple: _sequence, collections.deque: _sequence, dict: _dict, set: _set, frozenset: _set,
    enum.Enum: _enum, int: _plain_content(int), float: _plain_content(float), complex: _plain_content(complex),
    str: _plain_content(str), bytes: _plain_content(bytes), bytearray: _plain_content(bytearray),
    types.FunctionType: _function, types.CellType: _cell, BaseException: _exception, array.array: _by_repr,
    types.MethodType: _named("__func__", "__self__"), types.BuiltinFunctionType: _named("__name__", "__self__"),
    types.MethodWrapperType: _named("__name__", "__self__"),
    property: _named("fget", "fset", "fdel", "__doc__"), classmethod: _named("__func__"), staticmethod: _named("__func__"),
    functools.partial: _named("func", "args", "keywords"), type(functools.lru_cache(len)): _cached,
    memoryview: _named("obj", "format", "shape", "strides", "readonly"), weakref.ref: _weakref, random.Random: _random,
    re.Pattern: _named("pattern", "flags"), io.StringIO: _text_file, io.BytesIO: _text_file, types.CodeType: _opaque,
    types.GeneratorType: _named("__name__"), types.FrameType: _opaque, types.TracebackType: _opaque,
    _thread.LockType: _opaque, io.IOBase: _opaque,
    # Not which levels it has been asked about, and what it answered.
    **dict.fromkeys(_LOGGERS, _named("name", "level", "propagate", "disabled", "handlers", "filters", "parent")),
    **dict.fromkeys(_BY_REPR, _by_repr),
}  # fmt: skip
_WITHOUT_ATTRIBUTES = {
    types.MethodType, types.BuiltinFunctionType, types.CellType, property, types.GeneratorType, *_LOGGERS,
}  # fmt: skip


def _by_package(kind: type) -> Callable[..., None] | None:
    np, pd = sys.modules.get("numpy"), sys.modules.get("pandas")
    if np is not None and issubclass(kind, np.ndarray):
        return _array
    if np is not None and issubclass(kind, np.generic):
        return lambda describer, obj, entry, parts: parts.append(["value", f"{obj.dtype} {short(repr(obj.tolist()))}"])
    if np is not None and issubclass(kind, (np.random.Generator, np.random.BitGenerator, np.random.RandomState)):
        return _generator
    if pd is not None and issubclass(kind, (pd.DataFrame, pd.Series)):
        return _frame
    if pd is not None and issubclass(kind, pd.Index):
        return _index
    if pd is not None and kind.__module__.startswith("pandas."):
        return _by_repr
    return None


def _array(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    np = sys.modules["numpy"]
    view = obj.view(np.ndarray)
    flags = [name for name in ("C_CONTIGUOUS", "F_CONTIGUOUS", "OWNDATA", "WRITEABLE", "ALIGNED") if obj.flags[name]]
    parts += [["dtype", str(obj.dtype)], ["shape", str(obj.shape)], ["strides", str(obj.strides)], ["flags", " ".join(flags)]]
    if obj.base is not None:
        parts.append(["base", type_name(type(obj.base))])
    if obj.dtype.hasobject:
        for index, each in enumerate(view.ravel().tolist()):
            parts.append([f".flat[{index}]", describer.value(each)])
    else:
        beginning = repr(view.ravel()[:8].tolist()) if view.size < 1000 else ""
        # A longdouble has bytes that mean nothing, and that differ.
        content = str(view.tolist()).encode() if obj.dtype.char in "gG" else view.tobytes()
        parts.append(["content", f"{beginning} {hashed(content)}"])
    low, high = _bounds(np)(view)
    describer.uses_memory(obj, low, high, view.__array_interface__["data"][0])


def _bounds(np: Any) -> Callable[[Any], tuple[int, int]]:
    found: Any = np.lib.array_utils.byte_bounds if hasattr(np.lib, "array_utils") else np.byte_bounds
    return found


def _generator(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    source = getattr(obj, "bit_generator", None)
    if source is not None:
        parts.append([".bit_generator", describer.value(source)])
        return
    state = obj.get_state() if hasattr(obj, "get_state") else obj.state
    parts.append([".state", hashed(_plain_text(state).encode())])


def _plain_text(state: Any) -> str:
    if isinstance(state, dict):
        return f"{ {key: _plain_text(value) for key, value in state.items()} }"
    if isinstance(state, tuple):
        return f"{[_plain_text(each) for each in state]}"
    return repr(state.tolist() if hasattr(state, "tolist") else state)


def _frame(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    np = sys.modules["numpy"]
    manager = object.__getattribute__(obj, "_mgr")
    for number, axis in enumerate(manager.axes[::-1]):
        parts.append([("index", "columns")[number], describer.value(axis)])
    if hasattr(obj, "name"):
        parts.append(["name", describer.value(own_dict(obj).get("_name"))])  # type: ignore[union-attr]
    for position in range(len(manager.items) if manager.ndim == 2 else 1):
        values = manager.iget_values(position) if manager.ndim == 2 else manager.array
        if manager.ndim == 1 and hasattr(manager, "blocks"):
            values = manager.blocks[0].values
        _column(describer, f"column {position}", values, parts)
    parts.append(["attrs", describer.value(object.__getattribute__(obj, "_attrs"))])
    # Which columns lie in one block is layout; which frames and arrays see each other's changes is not.
    for block in manager.blocks:
        if isinstance(block.values, np.ndarray):
            low, high = _bounds(np)(block.values)
            describer.uses_memory(obj, low, high, 0)


def _column(describer: Describer, name: str, values: Any, parts: list[list[Any]]) -> None:
    np = sys.modules["numpy"]
    parts.append([f"{name} dtype", f"{values.dtype} {len(values)}"])
    if isinstance(values, np.ndarray) and not values.dtype.hasobject:
        parts.append([name, f"{values[:6].tolist()!r} {hashed(values.tobytes())}"])
    elif len(values) > 2000:
        parts.append([name, hashed(repr(list(values)).encode())])
    else:
        for index, each in enumerate(list(values)):
            parts.append([f"{name}[{index}]", describer.value(each)])


def _index(describer: Describer, obj: Any, entry: dict[str, Any], parts: list[list[Any]]) -> None:
    pd = sys.modules["pandas"]
    parts.append(["names", repr(list(obj.names))])
    if isinstance(obj, pd.RangeIndex):
        parts.append(["value", repr(obj._range)])
    elif isinstance(obj, pd.MultiIndex):
        for number, (level, codes) in enumerate(zip(obj.levels, obj.codes, strict=True)):
            parts += [[f"level {number}", describer.value(level)], [f"codes {number}", short(repr(codes.tolist()))]]
    else:
        _column(describer, "value", obj._data, parts)
        if hasattr(obj, "freq"):
            parts.append(["freq", repr(obj.freq)])


# -- the state around the namespace ----------------------------------------------------------------------------------------


def ambient() -> dict[str, str]:
    """What is compared where both twins have it: a package that only one has imported says nothing."""
    here = {
        "random": hashed(repr(random.getstate()).encode()),
        "cwd": os.getcwd(),
        "warnings.filters": repr(warnings.filters),
        "decimal context": repr(decimal.getcontext()),
        "sys.path": repr(sys.path),
        "recursion limit": repr(sys.getrecursionlimit()),
        "os.environ": repr(sorted((key, value) for key, value in os.environ.items() if _environment.get(key) != value)),
        "os.environ, gone": repr(sorted(key for key in _environment if key not in os.environ)),
    }
    np, pd, plt = (sys.modules.get(name) for name in ("numpy", "pandas", "matplotlib"))
    if np is not None:
        here["numpy.random"] = hashed(_plain_text(np.random.get_state()).encode())
        here["numpy print options"] = repr(sorted(np.get_printoptions().items(), key=lambda pair: pair[0]))
        here["numpy.geterr"] = repr(np.geterr())
    if pd is not None and hasattr(pd, "_config"):
        here["pandas options"] = hashed(repr(pd._config.config._global_config).encode())
    if plt is not None:
        own = {"backend", "backend_fallback", "interactive", "toolbar"}
        parameters = [(key, repr(value)) for key, value in sorted(dict.items(plt.rcParams)) if key not in own]
        here["rcParams"] = hashed(repr(parameters).encode())
    return here


_environment = dict(os.environ)


# -- called by the runner ----------------------------------------------------------------------------------------------


def describe(shell: Any) -> dict[str, Any]:
    namespace = shell.user_ns
    filenames = {name: f"In[{count}]" for name, count in getattr(shell.compile, "_filename_map", {}).items()}
    describer = Describer(filenames, namespace)
    names = sorted(name for name in namespace if not _KEPT_BY_IPYTHON.fullmatch(str(name)) and name not in _MODULE_NAMES)
    names = [name for name in names if shell.user_ns_hidden.get(name, _MISSING) is not namespace[name]]
    roots = {name: describer.walk(namespace[name]) for name in names}
    outputs = {str(count): describer.walk(value) for count, value in sorted(shell.history_manager.output_hist.items())}
    for name in ("_", "__", "___"):
        outputs[name] = describer.walk(namespace.get(name, "(unbound)"))
    for count in shell.history_manager.output_hist:
        outputs[f"_{count}"] = describer.walk(namespace.get(f"_{count}", "(unbound)"))
    return {
        "names": roots,
        "Out": outputs,
        "In": list(shell.history_manager.input_hist_raw[1:]),
        "objects": describer.objects,
        "memory": describer.shared_memory(),
        "ambient": ambient(),
        "execution_count": shell.execution_count,
        "cut": describer.cut,
    }


def write(path: str) -> None:
    """Describes the notebook into a file: streams may be the notebook's own by now."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    fetch_refs(shell.user_ns)
    text = json.dumps(describe(shell))
    with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)


def fetch_refs(namespace: dict[str, Any]) -> None:
    """A local cell that reads a name has its value fetched first, so that is what the name stands for."""
    for name, value in list(namespace.items()):
        if type_name(type(value)) == "farcell.refs.Ref" and not name.startswith("_") and value.info.travels:
            value.fetch()
