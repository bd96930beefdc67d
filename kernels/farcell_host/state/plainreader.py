"""Reading a payload as data: pickle's opcodes without those that call, import or change anything.

For targets with `trust = "data"`. The opcodes are walked here and not by pickle's own machine, which, with a `find_class` that
always says no, would still call a known function of the notebook's that lies on its stack (REDUCE), put a state into any object
that it can get at (BUILD), take classes out of copyreg's cache (EXT), and add to known lists before anything is validated.

Here a name is that of `plain.made`, or a ref's; a call is one of `plain.MAKERS`; only what the payload itself has begun can be
added to. At the end all that came is looked at once more, whole: what it refers to of the notebook's own must be data, too.
"""

from __future__ import annotations

import datetime
import io
import pickletools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from . import plain, plainframes
from .arrays import is_array, order_of
from .capture import is_of_ipython
from .context import collector_paused
from .decode import read_numbers
from .delta import Component, Delta
from .objects import BUILTINS, Table
from .payload import LOST, RESULT, Payload
from .plain import Looks, Memory, NotData, exactly, hashable, memory_of, stranger
from .refs import RefInfo, is_ref

MADE = (plain.made.__module__, plain.made.__qualname__)
RESOLVE = ("farcell_host.state.refs", "resolve")
_MARK = object()
_REPLACED = frozenset({tuple, frozenset, slice, datetime.datetime, datetime.time})
"""What cannot change, and may hold what does: beside arrays of another layout all that is ever told anew."""
_LEAST_LOOKS = 10_000_000
_LOOKS_PER_BYTE = 10
_LONGEST_TEXT = 500
_MOST_BYTES = 1 << 63


class _Global:
    """One of the two names that a payload may call."""

    __slots__ = ("name",)

    def __init__(self, name: tuple[str, str]) -> None:
        self.name = name


class Reader:
    """Of one stream: `load` gives its values one after the other, with one memo."""

    def __init__(self, data: Any, buffers: list[Memory], table: Table) -> None:
        self._file = io.BytesIO(data)
        self._buffers = iter(buffers)
        self._table = table
        self._looks = Looks(max(_LEAST_LOOKS, _LOOKS_PER_BYTE * len(data)))
        self._stack: list[Any] = []
        self._begun: dict[int, Any] = {}
        self.memo: list[Any] = []
        self.taken_back: set[int] = set()

    def load(self) -> Any:
        self._stack.clear()
        for opcode, argument, _ in _opcodes(self._file):
            act = _ACTS.get(opcode)
            if act is None:
                raise NotData(f"pickle's {opcode}, which does more than to tell a value")
            act(self, argument)
        value = self._pop()
        if self._stack:
            raise NotData("more than it says")
        return value

    def known(self, number: Any) -> Any:
        """The notebook's own object of this number."""
        if exactly(number, int) == BUILTINS or number not in self._table.objects:
            raise NotData(f"object {number!r:.30}, which is not known here")
        if self._table.is_leaving(number):
            self.taken_back.add(number)
        return self._table.objects[number]

    # the stack

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise NotData("less than it says")
        return self._stack.pop()

    def _top(self, *kinds: type) -> Any:
        """What is added to: begun by this very stream."""
        if not self._stack or type(self._stack[-1]) not in kinds or id(self._stack[-1]) not in self._begun:
            raise NotData("something added to what it did not bring")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                found = self._stack[place + 1 :]
                del self._stack[place:]
                return found
        raise NotData("less than it says")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    # what opcodes do

    def mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def begin(self, value: Any) -> None:
        self._begun[id(value)] = value
        self._stack.append(value)

    def append(self, _: Any) -> None:
        value = self._pop()
        self._top(list).append(value)

    def appends(self, _: Any) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[hashable(key)] = value

    def set_items(self, _: Any) -> None:
        pairs = self._since_mark()
        if len(pairs) % 2:
            raise NotData("a key without a value")
        self._top(dict).update(zip(map(hashable, pairs[::2]), pairs[1::2], strict=True))

    def add_items(self, _: Any) -> None:
        values = self._since_mark()
        self._top(set).update(map(hashable, values))

    def frozen(self, _: Any) -> None:
        self.push(frozenset(map(hashable, self._since_mark())))

    def tuple_since_mark(self, _: Any) -> None:
        self.push(tuple(self._since_mark()))

    def tuple_of(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def pop_mark(self, _: Any) -> None:
        self._since_mark()

    def pop(self, _: Any) -> None:
        if not self._stack:
            raise NotData("less than it says")
        self._stack.pop()

    def memoize(self, _: Any) -> None:
        value = self._pop()
        self.memo.append(value)
        self.push(value)

    def remembered(self, place: int) -> None:
        if not 0 <= place < len(self.memo):
            raise NotData("something that it has not told")
        self.push(self.memo[place])

    def persistent(self, _: Any) -> None:
        self.push(self.known(self._pop()))

    def name(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        found = exactly(module, str), exactly(name, str)
        if found not in (MADE, RESOLVE):
            raise NotData(f"the name {module}.{name}"[:_LONGEST_TEXT])
        self.push(_Global(found))

    def call(self, _: Any) -> None:
        arguments, called = self._pop(), self._pop()
        exactly(arguments, tuple)
        if type(called) is not _Global:
            raise NotData("a call of what is no maker of data")
        if called.name == RESOLVE:
            self.push(self._ref(*arguments))
            return
        looks_inside = bool(arguments) and exactly(arguments[0], str) in plainframes.MAKERS  # pandas does, other makers do not
        if looks_inside:
            found = stranger([each for each in arguments if type(each) is not Memory], looks=self._looks)
            if found:
                raise NotData(f"a {type(found[0]).__name__} for a maker of data")
        self.push(plain.made(*arguments))

    def _ref(self, number: Any) -> Any:
        found = self.known(number)
        if not is_ref(found):
            raise NotData("a ref to what is no ref")
        return found

    def memory(self, _: Any) -> None:
        found = next(self._buffers, None)
        if found is None:
            raise NotData("memory that did not come")
        self.push(found)

    def read_only(self, _: Any) -> None:
        """Who takes memory says whether it is written to."""
        if not self._stack or type(self._stack[-1]) is not Memory:
            raise NotData("no memory")


def _opcodes(file: io.BytesIO) -> Iterator[tuple[str, Any, Any]]:
    try:
        for opcode, argument, place in pickletools.genops(file):
            if opcode.name == "STOP":
                return
            yield opcode.name, argument, place
    except ValueError as error:
        raise NotData(f"no pickle: {error}") from None
    raise NotData("no end")


_CONSTANTS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8")  # fmt: skip
_ACTS: dict[str, Any] = {
    **dict.fromkeys(_CONSTANTS, Reader.push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda reader, argument: None),
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "EMPTY_LIST": lambda reader, _: reader.begin([]),
    "EMPTY_DICT": lambda reader, _: reader.begin({}),
    "EMPTY_SET": lambda reader, _: reader.begin(set()),
    "EMPTY_TUPLE": lambda reader, _: reader.push(()),
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "MARK": Reader.mark,
    "APPEND": Reader.append,
    "APPENDS": Reader.appends,
    "SETITEM": Reader.set_item,
    "SETITEMS": Reader.set_items,
    "ADDITEMS": Reader.add_items,
    "FROZENSET": Reader.frozen,
    "TUPLE": Reader.tuple_since_mark,
    "POP": Reader.pop,
    "POP_MARK": Reader.pop_mark,
    "MEMOIZE": Reader.memoize,
    "BINGET": Reader.remembered,
    "LONG_BINGET": Reader.remembered,
    "BINPERSID": Reader.persistent,
    "STACK_GLOBAL": Reader.name,
    "REDUCE": Reader.call,
    "NEXT_BUFFER": Reader.memory,
    "READONLY_BUFFER": Reader.read_only,
}


# -- payloads --------------------------------------------------------------------------------------------------------------------


def read(payload: Payload, table: Table, namespace: Mapping[str, Any]) -> Delta:
    """As `decode`; raises NotData for all that is no data, and nothing was touched."""
    try:
        with plainframes.made_of(payload.total_bytes):
            return _read(payload, table, namespace)
    except NotData:
        raise
    except Exception as error:  # whatever a message of somebody else's may make fail
        raise NotData(f"a message of another form ({type(error).__name__}: {error})"[:_LONGEST_TEXT]) from error


def _read(payload: Payload, table: Table, namespace: Mapping[str, Any]) -> Delta:
    header = payload.header
    delta = Delta(
        bind={_name(name): _ref_number(number, table) for name, number in header.get("bind", {}).items()},
        deleted=[_name(name) for name in header.get("deleted", ())],
        dropped=[exactly(each, int) for each in header.get("dropped", ())],
        forget=[exactly(each, str) for each in header.get("forget", ())],
        pins=None if header.get("pins") is None else [exactly(each, int) for each in header["pins"]],
        refs={_name(name, RESULT): _ref_info(info, table) for name, info in header.get("refs", {}).items()},
    )
    if header.get("sources"):
        raise NotData("the text of code")
    for name, (module, number) in header.get("modules", {}).items():
        _module(delta, _name(name, RESULT), exactly(module, str), exactly(number, int), namespace)
    memories: list[Memory] = []
    with collector_paused():
        for stream in header.get("streams", ()):
            _read_stream(payload, stream, table, delta, memories)
    if any(memory.is_left for memory in memories):
        raise NotData("memory that belongs to nothing")
    _check(delta, namespace)
    return delta


def _name(name: Any, *pseudo: str) -> str:
    if exactly(name, str) in pseudo or (name.isidentifier() and not is_of_ipython(name)):
        return name  # type: ignore[no-any-return]
    raise NotData(f'{name!r:.100}, which no target with trust = "data" may bind')


def _ref_number(number: Any, table: Table) -> int:
    if not is_ref(table.objects.get(exactly(number, int))):
        raise NotData("a name for what is no ref")
    return number  # type: ignore[no-any-return]


def _new_number(number: Any, table: Table) -> int:
    """The remote side's, and not used yet."""
    if exactly(number, int) >= 0 or number == BUILTINS or number in table.objects:
        raise NotData(f"object {number!r:.30}, which is another one here")
    return number  # type: ignore[no-any-return]


def _ref_info(given: Any, table: Table) -> RefInfo:
    info = RefInfo(**exactly(given, dict))
    known = table.objects.get(exactly(info.number, int))
    if info.number >= 0 or (known is not None and not is_ref(known)):
        raise NotData("a ref to what is no ref")
    for text in (info.type, info.module, info.preview, info.reason):
        exactly(text, str)
    for word in (info.dtype, info.device):
        exactly(word, str, type(None))
    if not 0 <= exactly(info.size_bytes, int) < _MOST_BYTES:
        raise NotData("a value of no size")
    exactly(info.travels, bool)
    for length in () if info.shape is None else exactly(info.shape, list):
        exactly(length, int)
    texts = ("type", "module", "dtype", "device", "preview", "reason")
    shown: dict[str, Any] = {name: _shown(getattr(info, name)) for name in texts}
    return replace(info, **shown)


def _shown(text: str | None) -> str | None:
    """Without what steers a terminal."""
    return None if text is None else "".join(each if each.isprintable() or each == "\n" else " " for each in text[:_LONGEST_TEXT])


def _module(delta: Delta, name: str, module: str, number: int, namespace: Mapping[str, Any]) -> None:
    """Nothing is imported: a name that is bound to that very module here stays so, any other becomes a ref."""
    here = namespace.get(name)
    if here is not None and here is sys.modules.get(module):
        delta.unneeded.append(number)
    else:
        text = _shown(f"<module {module!r}>") or ""
        delta.refs[name] = RefInfo(
            number, "module", "builtins", None, None, None, 0, text, 'trust = "data": import it here', travels=False
        )


def _read_stream(payload: Payload, stream: Any, table: Table, delta: Delta, memories: list[Memory]) -> None:
    if stream.get("sets"):
        raise NotData("the order of a set")
    buffers = [Memory(_writable(payload.find(place))) for place in stream["buffers"]]
    memories += buffers
    reader = Reader(payload.find(stream["data"]), buffers, table)
    names = [_name(name, RESULT, LOST) for name in exactly(stream["names"], list)]
    values = {name: reader.load() for name in names}
    component = Component(names, [], [])
    for _ in range(exactly(stream["states"], int)):
        number, kind, content = exactly(reader.load(), tuple)
        obj = reader.known(number)
        component.states.append((obj, exactly(kind, str), _content(kind, obj, content)))
    if stream["objects"]:
        pairs = read_numbers(payload.find(stream["objects"]))
        component.objects.extend((_new_number(number, table), reader.memo[_place(index)]) for index, number in pairs)
    if stream.get("replaced"):
        for index, number in read_numbers(payload.find(stream["replaced"])):
            old, new = reader.known(number), reader.memo[_place(index)]
            if is_ref(old):
                continue
            if type(new) is not type(old) or not (type(old) in _REPLACED or is_array(old)):
                raise NotData(f"a {type(new).__name__} in the place of a {type(old).__name__}")
            component.replaced.append((old, new))
    delta.taken_back |= reader.taken_back
    delta.add(component, values)


def _place(index: int) -> int:
    if index < 0:
        raise NotData("something that it has not told")
    return index


def _writable(buffer: Any) -> memoryview:
    view = memoryview(buffer)
    return memoryview(bytearray(view)) if view.readonly else view


def _content(kind: str, obj: Any, content: Any) -> Any:
    """As `merges.py` wants it."""
    if kind == "list" and type(obj) is list:
        return exactly(content, list), None
    if kind == "dict" and type(obj) is dict:
        return exactly(content, dict), None, None
    if kind == "set" and type(obj) is set:
        return [hashable(each) for each in exactly(content, list)], 0, []
    if kind == "bytearray" and type(obj) is bytearray:
        return exactly(content, bytes)
    if kind == "array" and is_array(obj) and type(obj).__module__ == "numpy":
        return _array_content(obj, content)
    if kind in ("frame", "index") and plainframes.form_of(obj) is not None and type(content) is type(obj):
        return plainframes.content(kind, obj, content)
    raise NotData(f"a {kind[:50]} for a {type(obj).__name__}")


def _array_content(array: Any, content: Any) -> Any:
    writeable, pieces, nothing, layout = exactly(content, tuple)
    exactly(nothing, type(None))
    found = [(exactly(offset, int), memory_of(memory)) for offset, memory in exactly(pieces, list)]
    if any(offset < 0 for offset, _ in found) or array.dtype.hasobject:
        raise NotData("a piece before the array's beginning")
    if layout is not None:
        form, shape = exactly(layout, tuple)
        dtype = plain.dtype_of(form)
        if plain.sized(dtype, shape) != array.nbytes or not order_of(array):
            raise NotData("an array of another size")
        layout = dtype, shape
    return exactly(writeable, bool), found, None, layout


def _check(delta: Delta, namespace: Mapping[str, Any]) -> None:
    """All of it once more: what it refers to of the notebook's own is data too, and stays so by what it tells."""
    instead: dict[int, Any] = {}
    for obj, kind, content in delta.states:
        if plain.is_guarded(obj, namespace):
            raise NotData("a change of what says which code is run")
        if kind in ("list", "dict", "set"):
            instead[id(obj)] = content[0]
    replaced = [each for pair in delta.replaced for each in pair]
    if any(plain.is_guarded(old, namespace) for old, _ in delta.replaced):
        raise NotData("a change of what says which code is run")
    roots = [*delta.values.values(), *(obj for obj, *_ in delta.states), *instead.values(), *replaced]
    roots += [obj for _, obj in delta.objects]
    found = stranger(roots, instead=instead)
    if found:
        raise NotData(f"a {type(found[0]).__name__}")
