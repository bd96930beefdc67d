"""Pass 1 of a name, and pass 2 of a component that the peer knows in part.

Pass 2 writes, with one memo, the values of the changed names and then the states of every known object met: a known
object goes as its number (persistent id), so that at the peer everything is decoded straight onto the objects it has.
"""

from __future__ import annotations

import builtins
import io
import math
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, compress
from operator import itemgetter
from types import CodeType, FunctionType
from typing import Any

from . import ownways, sets, weakrefs
from .arrays import (
    attributes_of,
    base_of,
    contiguous,
    dtype_code,
    is_array,
    is_record,
    layout,
    layout_in,
    numpy,
    pickle_buffer,
    plain,
    raw,
)
from .contents import Content, content_of, is_still, still_among
from .context import collector_paused
from .deep import deeply, is_too_deep
from .fixed import ATOMS, is_fixed, parts_of
from .hashing import changed_spans, digest, piece_digests
from .kinds import content, is_restorable, kind_of, made_of
from .objects import BUILTINS, Table, relevant
from .payload import LARGE_BYTES
from .pickler import StatePickler, StrongPickler
from .refs import is_ref
from .replacements import Spared

Pieces = tuple[bytes, ...]


@dataclass(frozen=True)
class Print:
    """A fingerprint: equal means unchanged."""

    digest: bytes
    ids: tuple[int, ...]
    buffers: tuple[Pieces, ...]
    weak: frozenset[int] = frozenset()
    """Of the ids, those that weak references alone lead to."""


@dataclass
class Part:
    """A name's value as pass 1 found it."""

    name: str
    value: Any
    reason: str
    print: Print
    data: bytes = b""
    buffers: list[pickle.PickleBuffer] = field(default_factory=list)
    objects: list[tuple[int, Any]] = field(default_factory=list)
    arrays: dict[int, Pieces] = field(default_factory=dict)
    codes: list[CodeType] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    """The notebook's own modules that functions, classes and modules in it are of."""
    has_refs: bool = False
    is_deep: bool = False
    """Nested too deeply for the recursion limit."""

    @property
    def size_bytes(self) -> int:
        return len(self.data) + sum(buffer.raw().nbytes for buffer in self.buffers)


class _AroundBuiltins(StatePickler):
    """Slower: it is called for each object."""

    def persistent_id(self, obj: Any) -> int | None:
        return BUILTINS if obj is vars(builtins) else None


_OBJECT = itemgetter(1)  # of (memo index, object)
_SCALARS = frozenset({int, float, bool, str, type(None)})


def dump_name(name: str, value: Any, reason: str, kept: dict[int, int]) -> Part:
    """Pass 1."""
    if type(value) in _SCALARS:  # nothing in it has a number
        data = pickle.dumps(value, 5)
        return Part(name, value, reason, Print(digest(data), (), ()), data)
    try:
        return _dump_part(name, value, reason, kept)
    except Exception as error:
        if not is_too_deep(error):
            raise
        part = deeply(partial(_dump_part, name, value, reason, kept))
        part.is_deep = True
        return part


def _can_travel(value: Any, kept: dict[int, int]) -> bool:
    try:
        StatePickler(io.BytesIO(), kept).dump(value)
    except Exception:
        return False
    return True


def _dump_part(name: str, value: Any, reason: str, kept: dict[int, int]) -> Part:
    part = _dump_name(StatePickler, name, value, reason, kept) or _dump_name(_AroundBuiltins, name, value, reason, kept)
    assert part is not None
    return part


def _dump_name(kind: Any, name: str, value: Any, reason: str, kept: dict[int, int]) -> Part | None:
    """None when it met the dict of the builtins, which goes by number."""
    file = io.BytesIO()
    pickler = kind(file, kept)
    with collector_paused():
        try:
            pickler.dump(value)
            entries = pickler.memo.copy()
            if id(vars(builtins)) in entries:
                return None
            objects = relevant(entries, pickler.by_value)
        except Exception as error:
            entries = pickler.memo.copy()
            if id(vars(builtins)) in entries:
                return None
            met = (obj for _, obj in sorted(entries.values(), key=itemgetter(0)))
            if not is_too_deep(error) and ownways.ask_where_needed(met, partial(_can_travel, kept=kept)):
                return _dump_name(kind, name, value, reason, kept)
            raise
        finally:
            pickler.clear_memo()
    data = file.getvalue()
    pieces = [piece_digests(buffer.raw()) for buffer in pickler.buffers]
    arrays = {
        id(pickler.array_of_buffer[id(buffer)]): each
        for buffer, each in zip(pickler.buffers, pieces, strict=False)
        if id(buffer) in pickler.array_of_buffer
    }
    ids = tuple(map(id, map(_OBJECT, objects)))
    kinds = set(map(type, map(_OBJECT, objects)))
    weak = _weakly_reached(value, objects, kinds, kept)
    told = data + sets.fingers(map(_OBJECT, objects)) if set in kinds else data
    return Part(
        name, value, reason, Print(digest(told), ids, tuple(pieces), weak), data, pickler.buffers, objects, arrays,
        pickler.codes, pickler.sources(), pickler.modules, pickler.has_met_refs,
    )  # fmt: skip


def _weakly_reached(value: Any, objects: list[tuple[int, Any]], kinds: set[type], kept: dict[int, int]) -> frozenset[int]:
    if not any(map(weakrefs.is_weak_holder, kinds)):
        return frozenset()
    pickler = StrongPickler(io.BytesIO(), kept)
    try:
        pickler.dump(value)
        strong = pickler.memo.copy().keys()
    finally:
        pickler.clear_memo()
    return frozenset(id(obj) for _, obj in objects if id(obj) not in strong)


@dataclass
class Memory:
    """What is remembered of known objects, by their numbers."""

    pieces: dict[int, Pieces] = field(default_factory=dict)
    layouts: dict[int, Any] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    contents: dict[int, Content] = field(default_factory=Spared)
    """What small objects consist of at the peer too."""

    def forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for each in (self.pieces, self.layouts, self.digests, self.contents):
                each.pop(number, None)

    def forget_contents(self, numbers: Iterable[int]) -> None:
        """The peer may have others: they are told whole."""
        for number in numbers:
            self.contents.pop(number, None)

    def agree(self, number: int, obj: Any) -> None:
        """The peer's object is as this one."""
        content = content_of(obj)
        if content is not None:
            self.contents[number] = content
        else:
            self.contents.pop(number, None)

    def are_agreed(self, numbers: Iterable[int], objects: list[Any]) -> bool:
        """Whether the peer's objects are known to be as these, which are of a kind that has a content."""
        contents: list[Any] = list(map(self.contents.get, numbers))
        return None not in contents and all(still_among(objects, contents))

    def distrust(self, number: int, is_reshaped: bool) -> None:
        """The peer has changed its own object in a way that was not merged here: next time all of it is told."""
        self.pieces.pop(number, None)
        self.digests.pop(number, None)
        self.contents.pop(number, None)
        if is_reshaped:
            self.layouts.pop(number, None)


def array_layout(array: Any) -> Any:
    """What of an array a merge cannot change."""
    base = base_of(array)
    return layout(array) if base is None else layout_in(base, array)


_PLAIN = frozenset({list, dict})


class NumberingPickler(StatePickler):
    """Pass 2: known objects go as numbers, and wait for their states to be written."""

    def __init__(self, file: io.BytesIO, table: Table, memory: Memory, arrays: dict[int, Pieces], inline: set[int]) -> None:
        super().__init__(file, table.kept)
        self._table, self._memory, self._arrays, self._inline = table, memory, arrays, inline
        self._checked: dict[int, bool] = {BUILTINS: True}
        self.waiting: list[tuple[int, str, Any]] = []

    def leave_out_agreed(self, objects: list[Any]) -> None:
        """Of all known objects that will be met, have only those wait which the peer has differently.

        When one of them cannot go by its number, all of them wait: its successor belongs in what holds it, which looks unchanged.
        So does what holds a class or a function that went by its name before, and does no more since its module was reloaded.
        """
        numbers, checked, contents = self._table.numbers, self._checked, self._memory.contents
        kinds: set[Any] = set(map(type, objects))
        definitions = {kind for kind in kinds if issubclass(kind, (type, FunctionType))}
        defined = [obj for obj in objects if type(obj) in definitions] if definitions else []
        renamed = {id(obj) for obj in defined if id(obj) not in numbers}
        for kind in kinds & _PLAIN if not renamed else ():
            self._check_agreed(objects if len(kinds) == 1 else [obj for obj in objects if type(obj) is kind])
        known = zip(objects, map(numbers.get, map(id, objects)), strict=True)
        for obj, number in [(obj, number) for obj, number in known if number is not None and number not in checked]:
            if number in checked or is_fixed(type(obj)):
                continue
            content = contents.get(number)
            if content is not None and is_still(obj, content) and (not renamed or renamed.isdisjoint(map(id, content))):
                checked[number] = True
            elif id(obj) in self._inline or not self._goes_by_number(number, obj):
                self._checked = {BUILTINS: True}
                self.waiting.clear()
                return

    def _check_agreed(self, objects: list[Any]) -> None:
        """Those of one builtin kind all at once: they are most of what a graph consists of."""
        numbers: list[Any] = list(map(self._table.numbers.get, map(id, objects)))
        contents: list[Any] = list(map(self._memory.contents.get, numbers))
        if None in contents:
            objects, numbers = list(compress(objects, contents)), list(compress(numbers, contents))
            contents = [content for content in contents if content]
        self._checked.update(dict.fromkeys(compress(numbers, still_among(objects, contents)), True))

    def persistent_id(self, obj: Any) -> int | None:
        number = self._table.numbers.get(id(obj))
        if number is None or id(obj) in self._inline:
            return None
        return number if self._goes_by_number(number, obj) else None

    def _goes_by_number(self, number: int, obj: Any) -> bool:
        known = self._checked.get(number)
        if known is None:
            self._checked[number] = True  # a cycle back to here counts as unchanged
            known = self._checked[number] = id(obj) in self._table.kept or self._check(number, obj)
        return known

    def _check(self, number: int, obj: Any) -> bool:
        if is_ref(obj):
            return True
        if is_fixed(type(obj)):
            return all(type(part) in ATOMS or self._stays(part) for part in parts_of(obj))
        kind = kind_of(obj)
        if is_array(obj) and self._memory.layouts.get(number) != array_layout(obj) and not self._is_reshaped(number, kind, obj):
            return False
        if kind is None:
            if self._is_unchanged(number, obj):
                return True
            if not is_restorable(obj) or not self._is_unchanged_in(number, made_of(obj), self._memory.layouts):
                return False
            kind = "restorable"
        if kind in ("array", "objects", "record") and not self._base_stays(obj):
            return False
        self.waiting.append((number, kind, obj))
        return True

    def _base_stays(self, array: Any) -> bool:
        """Whether the peer's goes on looking at what it looks at there."""
        base = array.base if is_record(type(array)) else base_of(array)
        if isinstance(base, memoryview):
            base = base.obj
        return base is None or type(base) is bytes or self.persistent_id(base) is not None

    def _stays(self, part: Any) -> bool:
        """Whether the peer's object for this part of a fixed one is still the right one."""
        number = self._table.numbers.get(id(part))
        if number is not None:
            return id(part) not in self._inline and self._goes_by_number(number, part)
        shallow = ShallowPickler(self._table, part, self._goes_by_number)
        shallow.digest()
        return shallow.children_unchanged

    def _is_reshaped(self, number: int, kind: str | None, array: Any) -> bool:
        """Whether its memory is as long as it was, and in order: the peer's array can be given the same shape and type."""
        before = self._memory.layouts.get(number)
        if kind != "array" or before is None or len(before) != 3 or base_of(array) is not None:
            return False
        dtype, shape, order = before
        size = math.prod(shape) * numpy().dtype(dtype).itemsize
        return size == plain(array).nbytes and "C" in order and bool(array.flags.c_contiguous)

    def _is_unchanged(self, number: int, obj: Any) -> bool:
        return self._is_unchanged_in(number, obj, self._memory.digests)

    def _is_unchanged_in(self, number: int, obj: Any, memory: dict[int, Any]) -> bool:
        shallow = ShallowPickler(self._table, obj, self._goes_by_number)
        return shallow.digest() == memory.get(number) and shallow.children_unchanged

    def state(self, number: int, kind: str, obj: Any) -> tuple[int, str, Any]:
        if kind != "array":
            return number, kind, content(kind, obj)
        layout = None
        if base_of(obj) is None and self._memory.layouts.get(number) != array_layout(obj):
            layout = dtype_code(obj.dtype), plain(obj).shape
        attributes = attributes_of(obj)
        attributes = None if attributes is None else dict(attributes)
        return number, kind, (obj.flags.writeable, list(self._changed_pieces(number, obj)), attributes, layout)

    def _changed_pieces(self, number: int, array: Any) -> Iterable[tuple[int, Any]]:
        if base_of(array) is not None:  # its memory is told with that
            return
        whole = contiguous(array)
        memory = raw(whole)
        if memory.nbytes < LARGE_BYTES:
            yield 0, bytes(memory)
            return
        now = self._arrays.get(id(array)) or piece_digests(memory)
        self._arrays[id(array)] = now
        before = self._memory.pieces.get(number, ())
        spans = changed_spans(before, now, memory.nbytes) if len(before) == len(now) else [(0, memory.nbytes)]
        for start, stop in spans:
            yield start, pickle_buffer(whole, start, stop)


class ShallowPickler(StatePickler):
    """The digest of one opaque object, its known children as numbers."""

    def __init__(self, table: Table, root: Any, goes_by_number: Any = None) -> None:
        self._file = io.BytesIO()
        super().__init__(self._file, table.kept)
        self._table, self._root, self._goes_by_number = table, root, goes_by_number
        self.children_unchanged = True

    def persistent_id(self, obj: Any) -> int | None:
        if obj is self._root:
            return None
        number = self._table.numbers.get(id(obj))
        if number is not None and self._goes_by_number is not None and not self._goes_by_number(number, obj):
            self.children_unchanged = False
        return number

    def digest(self) -> bytes:
        try:
            self.dump(self._root)
        finally:
            self.clear_memo()
        pieces = [each for buffer in self.buffers for each in piece_digests(buffer.raw())]
        return digest(self._file.getvalue() + b"".join(pieces))


@dataclass
class Stream:
    """One component, ready to be sent."""

    names: list[str]
    data: bytes
    buffers: list[pickle.PickleBuffer]
    states: int
    objects: list[tuple[int, Any]]
    """(memo index, object) of objects that are new to the peer."""
    sources: set[str]
    told: list[tuple[int, Any]] = field(default_factory=list)
    """(number, object) of those whose states are told."""


def dump_component(parts: list[Part], table: Table, memory: Memory, inline: set[int], is_data: bool = False) -> Stream:
    """The cheapest stream for these names: pass 1's own bytes where nothing in them is known to the peer.

    `is_data`: in the form of `plain.py`, for which these parts are fit."""
    if not is_data and len(parts) == 1 and table.numbers.keys().isdisjoint(parts[0].print.ids):
        part = parts[0]
        return Stream([part.name], part.data, part.buffers, 0, part.objects, part.sources)
    dump = partial(_dump_component, parts, table, memory, inline, _data_pickler() if is_data else NumberingPickler)
    return deeply(dump) if any(part.is_deep for part in parts) else dump()


def _data_pickler() -> type[NumberingPickler]:
    from .plainpickler import DataPickler  # loaded where a notebook takes data alone

    return DataPickler


def _dump_component(parts: list[Part], table: Table, memory: Memory, inline: set[int], kind: type[NumberingPickler]) -> Stream:
    file = io.BytesIO()
    arrays: dict[int, Pieces] = {}
    for part in parts:
        arrays.update(part.arrays)
    pickler = kind(file, table, memory, arrays, inline)
    pickler.leave_out_agreed(list(map(_OBJECT, chain.from_iterable(part.objects for part in parts))))
    try:
        for part in parts:
            pickler.dump(part.value)
        done = 0
        while done < len(pickler.waiting):
            pickler.dump(pickler.state(*pickler.waiting[done]))
            done += 1
        reached = set(chain.from_iterable(part.print.ids for part in parts))
        objects = [each for each in relevant(pickler.memo.copy(), pickler.by_value) if id(each[1]) in reached]
    finally:
        pickler.clear_memo()
    told = [(number, obj) for number, _, obj in pickler.waiting]
    names = [part.name for part in parts]
    return Stream(names, file.getvalue(), pickler.buffers, done, objects, pickler.sources(), told)
