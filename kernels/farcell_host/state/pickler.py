"""Pass 1: one C-speed dump of a value, and which objects it met.

`reducer_override` is asked only for what is not an exact builtin container, so lists and dicts go at the C Pickler's
speed. Its memo tells
afterwards, without a callback per object, which objects the dump met; the receiver's Unpickler has the same memo by index.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import io
import pickle
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from farcell_host._vendor.cloudpickle import cloudpickle

from . import (
    arrays,
    context,
    figures,
    frames,
    images,
    iterators,
    jitted,
    ownways,
    patterns,
    registries,
    streams,
    tensors,
    weakrefs,
)
from .arrays import is_array, reduce_array
from .classes import is_builtin_type, made_after, reduce_class
from .descriptors import WRAPPERS, reduce_builtin, reduce_property, reduce_wrapper
from .dynamic import is_dynamic, reduce_dynamic
from .enums import reduce_member
from .exceptions import is_plain, reduce_exception
from .filled import fills_itself, reduce_filled
from .finalizers import FINALIZED, finalized, finalizer_of_type, goes_by_value
from .finalizers import HINT as FINALIZER_HINT
from .functions import (
    KEY_WRAPPER,
    is_by_value,
    last_of,
    own_globals,
    reduce_cached_property,
    reduce_cell,
    reduce_function,
    reduce_key_wrapper,
    reduce_lru,
    reduce_partial,
    reduce_proxy,
)
from .generics import is_alias, is_variable, reduce_alias, reduce_variable
from .handlers import is_handler, reduce_handler
from .handmade import handmade_state, is_handmade, make_handmade, set_handmade_state
from .kinds import reduces_by_default
from .magics import is_shell, reduce_shell
from .modules import REPLACED, REPLACED_HINT, is_replaced, local_module
from .patches import PATCHES, original
from .payload import LARGE_BYTES
from .refs import RefBase, resolve
from .refusals import Refused, refusal
from .sources import BOOK, CellName, reduce_code, reduce_name
from .weak import is_weak, reduce_weak

Reducer = Callable[[Any], Any]


def _refuse(obj: Any) -> Any:
    raise Refused(obj, *(refusal(type(obj)) or ("", "")))


def _reduce_ref(ref: Any) -> Any:
    if context.current().number_of(ref) is None:
        raise Refused(ref, *ref._farcell_elsewhere())
    return resolve, (ref.__farcell_number__,)


def _plain(obj: Any) -> Any:
    return NotImplemented


def _reduce_figure(figure: Any) -> Any:
    figures.keep_open(figure)
    kind = type(figure)
    return (_of_instances if is_by_value(kind) else _way_of)(kind)(figure)


def _of_instances(kind: type) -> Reducer:
    """Of a class of the notebook's own. For one dump: what has a finalizer may change."""
    reduce_one = _way_of(kind)
    if goes_by_value(kind):
        return reduce_one
    reason, with_finalizer = finalizer_of_type(kind), finalized()
    if reason is None and not with_finalizer:
        return reduce_one

    def reduce_instance(obj: Any) -> Any:
        if reason is not None or id(obj) in with_finalizer:
            raise Refused(obj, reason or FINALIZED, FINALIZER_HINT)
        return reduce_one(obj)

    return reduce_instance


def _way_of(kind: Any) -> Reducer:
    if ownways.may_go_whole(kind):
        return ownways.reduce_whole if ownways.goes_whole(kind) else ownways.reduce_own_way
    return _out_of_the_way(kind) or _plain


@functools.lru_cache(4096)
def _out_of_the_way(kind: Any) -> Reducer | None:
    """For classes whose own methods pickle would run into."""
    if fills_itself(kind):
        return reduce_filled
    return reduce_dynamic if is_dynamic(kind) and reduces_by_default(kind) and not hasattr(kind, "__setstate__") else None


_RULES: WeakKeyDictionary[type, Reducer] = WeakKeyDictionary()


def _rule(kind: Any) -> Reducer:
    if issubclass(kind, RefBase) or hasattr(kind, "__farcell_number__"):
        rule: Reducer = _reduce_ref
    elif refusal(kind):
        rule = _refuse
    elif kind is functools._lru_cache_wrapper:
        rule = reduce_lru
    elif kind is functools.partial:
        rule = reduce_partial
    elif kind is KEY_WRAPPER:
        rule = reduce_key_wrapper
    elif kind is functools.cached_property:
        rule = reduce_cached_property
    elif kind is BuiltinFunctionType:
        rule = reduce_builtin
    elif issubclass(kind, WRAPPERS):
        rule = reduce_wrapper
    elif issubclass(kind, property):
        rule = reduce_property
    elif issubclass(kind, enum.Enum) and is_by_value(kind):
        rule = reduce_member
    elif is_variable(kind):
        rule = reduce_variable
    elif is_alias(kind):
        rule = reduce_alias
    elif kind is CellType:
        rule = reduce_cell
    elif kind is MappingProxyType:
        rule = reduce_proxy
    elif is_shell(kind):
        rule = reduce_shell
    elif kind in streams.KINDS:
        rule = streams.reduce_stream
    elif is_weak(kind):
        rule = reduce_weak
    elif is_plain(kind):
        rule = reduce_exception
    elif is_handler(kind):
        rule = reduce_handler
    elif figures.is_figure(kind):
        rule = _reduce_figure
    else:
        of_library = _of_library(kind)
        if of_library is None and is_by_value(kind):
            return _of_instances(kind)
        if of_library is None and ownways.may_go_whole(kind):
            return _way_of(kind)
        rule = of_library or _out_of_the_way(kind) or _plain
    _RULES[kind] = rule
    return rule


def _of_library(kind: type) -> Reducer | None:
    found = (each.reducer(kind) for each in (arrays, images, iterators, jitted, patterns, registries, weakrefs, frames, tensors))
    return next((each for each in found if each is not None), None)


class StatePickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined, unused-ignore]
    """A Pickler that notes what a later dump, a plan and the peer's merge need to know."""

    def __init__(self, file: io.BytesIO, kept: Mapping[int, int]) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self.array_of_buffer: dict[int, Any] = {}
        self.codes: list[CodeType] = []
        self.cells: set[str] = set()
        self.by_value: set[int] = set()
        self.modules: set[str] = set()
        self._entered: set[int] = set()
        self._rules: dict[type, Reducer] = {}
        self._kept = kept
        # A dict: pickle looks a type up in it for each instance, and in the ChainMap of cloudpickle at the speed of Python.
        self.dispatch_table = {**copyreg.dispatch_table, **cloudpickle.Pickler._dispatch_table}
        buffers = self.buffers

        def leaves_the_pickle(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes < LARGE_BYTES:
                return True
            buffers.append(buffer)
            return False

        super().__init__(file, protocol=5, buffer_callback=leaves_the_pickle)

    def _note_array(self, array: Any, buffer: pickle.PickleBuffer) -> None:
        self.array_of_buffer[id(buffer)] = array

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if self._kept and id(obj) in self._kept:
            return resolve, (self._kept[id(obj)],)
        place = PATCHES.place_of(obj) if PATCHES.is_used else None
        if place is not None:
            return original, place
        rule = self._rules.get(kind)
        if rule is not None:
            return rule(obj)
        if kind is FunctionType:
            if not is_by_value(obj):
                self._note_module(obj.__module__)
                return NotImplemented
            globals_ = own_globals(obj)
            if globals_ is not None and self._enters(globals_):
                return last_of, (globals_, obj)
            self.codes.append(obj.__code__)
            self.by_value.add(id(obj))
            return reduce_function(obj)
        if kind is CodeType:
            return reduce_code(obj)
        if kind is CellName:
            self.cells.add(obj.source)
            return reduce_name(obj)
        if is_array(obj):
            return reduce_array(obj, self._note_array)
        if issubclass(kind, type):
            return self._reduce_class(obj)
        if kind is ModuleType:
            return self._reduce_module(obj)
        rule = self._rules[kind] = _RULES.get(kind) or _rule(kind)
        return rule(obj)

    def _enters(self, obj: Any) -> bool:
        """Whether it is met for the first time. What leads back to an object must be in the pickle before the object is made, or
        the object would be made twice: `last_of` has it written first, and then finds the object in the memo."""
        if id(obj) in self._entered:
            return False
        self._entered.add(id(obj))
        return True

    def _reduce_class(self, cls: type) -> Any:
        reduced = reduce_class(cls)
        if reduced is NotImplemented:
            self._note_module(cls.__module__)
        elif not is_builtin_type(cls):
            self.by_value.add(id(cls))
            before = made_after(cls)
            if before and self._enters(cls):
                return last_of, (*before, cls)
        return reduced

    def _note_module(self, name: object) -> None:
        module = local_module(name)
        if module is not None:
            self.modules.add(module.__name__)

    def _reduce_module(self, module: ModuleType) -> Any:
        if not is_handmade(module):
            if is_replaced(module):
                raise Refused(module, REPLACED, REPLACED_HINT)
            self._note_module(module.__name__)
            return NotImplemented
        self.by_value.add(id(module))
        return make_handmade, (module.__name__,), handmade_state(module), None, None, set_handmade_state

    @property
    def has_met_refs(self) -> bool:
        return any(issubclass(kind, RefBase) for kind in self._rules)

    def sources(self) -> set[str]:
        """Hashes of the texts that the codes met so far stand in."""
        refs = (BOOK.ref(code) for code in self.codes)
        return {ref.source for ref in refs if ref is not None} | self.cells


class StrongPickler(StatePickler):
    """Follows what keeps alive alone: its memo tells what a weak reference does not reach as the only one."""

    def reducer_override(self, obj: Any) -> Any:
        if weakrefs.is_weak_holder(type(obj)):
            return list, (weakrefs.strong_parts(obj),)
        return super().reducer_override(obj)
