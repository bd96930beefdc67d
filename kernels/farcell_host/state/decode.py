"""From a payload to a Delta, without touching an object that is here already."""

from __future__ import annotations

import importlib
import io
import pickle
from array import array
from typing import Any

from . import context, sets
from .context import collector_paused
from .delta import Component, Delta
from .objects import Table
from .payload import Payload
from .refs import RefInfo, is_ref
from .sources import BOOK

_CALLABLE = frozenset(b"\x93Q\x82\x83\x84")
"""pickle's opcodes for what can be called, in the protocols since 4: by its name, by its number, by copyreg's registry."""
_LOOKED_THROUGH_BYTES = 4096


def is_inert(payload: Payload) -> bool:
    """Whether decoding it surely calls nothing, and so imports nothing: numbers, text and new containers of them alone."""
    if payload.header.get("modules"):
        return False
    found = [payload.find(stream["data"]) for stream in payload.header.get("streams", ())]
    if sum(map(len, found)) > _LOOKED_THROUGH_BYTES:
        return False
    return all(map(_CALLABLE.isdisjoint, map(bytes, found)))


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: Any, buffers: list[Any], table: Table) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._objects = table.objects
        self._table = table
        self.taken_back: set[int] = set()

    def persistent_load(self, number: int) -> Any:
        if self._table.is_leaving(number):
            self.taken_back.add(number)
        try:
            return self._objects[number]
        except KeyError:
            raise LookupError(f"object {number} is not known here") from None


def decode(payload: Payload, table: Table) -> Delta:
    """Raises whatever unpickling raises: the caller says which names it concerns."""
    header = payload.header
    for text in header.get("sources", {}).values():
        BOOK.add(text["filename"], text["text"])
    for source, cell in header.get("cells", {}).items():
        BOOK.show(source, cell)
    delta = Delta(
        bind=dict(header.get("bind", {})),
        deleted=list(header.get("deleted", ())),
        dropped=list(header.get("dropped", ())),
        forget=list(header.get("forget", ())),
        pins=header.get("pins"),
        refs={name: RefInfo(**info) for name, info in header.get("refs", {}).items()},
    )
    for name, (module, number) in header.get("modules", {}).items():
        _import(delta, name, module, number)
    with collector_paused():
        for stream in header.get("streams", ()):
            _decode_stream(payload, stream, table, delta)
    return delta


def _import(delta: Delta, name: str, module: str, number: int | None) -> None:
    """A module that is on the target only (cupy, say) becomes a ref here, so that later remote cells go on using it."""
    try:
        delta.values[name] = importlib.import_module(module)
    except ImportError as error:
        if number is None:
            raise
        delta.refs[name] = RefInfo(
            number, "module", "builtins", None, None, None, 0, f"<module {module!r}>", f"{error}", travels=False
        )
    else:
        if number is not None:
            delta.unneeded.append(number)


def _decode_stream(payload: Payload, stream: dict[str, Any], table: Table, delta: Delta) -> None:
    buffers = [_writable(payload.find(place)) for place in stream["buffers"]]
    unpickler = _Unpickler(payload.find(stream["data"]), buffers, table)
    values = {name: unpickler.load() for name in stream["names"]}
    component = Component(stream["names"], [], [])
    for _ in range(stream["states"]):
        number, kind, content = unpickler.load()
        component.states.append((unpickler.persistent_load(number), kind, content))
    memo: dict[int, Any] = unpickler.memo.copy() if stream["objects"] or stream["sets"] or stream["replaced"] else {}
    for index, places, slots, taken, begins in stream["sets"]:
        sets.fill(memo[index], sets.arrange(memo[index], places), slots, taken, begins)
    if stream["objects"]:
        component.objects.extend((number, memo[index]) for index, number in read_numbers(payload.find(stream["objects"])))
    if stream.get("replaced"):
        pairs = read_numbers(payload.find(stream["replaced"]))
        component.replaced = [(table.objects[number], memo[index]) for index, number in pairs if _is_replaced(table, number)]
    late = context.current().late
    component.late = [(obj, "stateful", (state, None)) for obj, state in late]
    late.clear()
    delta.taken_back |= unpickler.taken_back
    delta.add(component, values)


def _is_replaced(table: Table, number: int) -> bool:
    return number in table.objects and not is_ref(table.objects[number])


def _writable(buffer: Any) -> memoryview:
    """Bulk comes writable from the transport; what came inside a message is small enough to copy."""
    view = memoryview(buffer)
    return memoryview(bytearray(view)) if view.readonly else view


def write_numbers(pairs: list[tuple[int, int]]) -> bytes:
    """(memo index, number) pairs, little-endian on every machine farcell runs on."""
    return array("q", [value for pair in pairs for value in pair]).tobytes()


def read_numbers(data: Any) -> list[tuple[int, int]]:
    values = array("q")
    values.frombytes(bytes(data))
    return list(zip(values[::2], values[1::2], strict=False))
