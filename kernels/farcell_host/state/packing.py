"""Payloads: what changed is written out, and remembered once the peer has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from types import ModuleType
from typing import Any

from ..ambient import Ambient
from . import context, sets
from .contents import Content, content_of
from .decode import write_numbers
from .dumps import Part, Stream, dump_component
from .groups import components
from .handmade import is_handmade
from .ledger import UNKNOWN, Held, Ledger, is_still
from .payload import PSEUDO_NAMES, Capture, Payload
from .refs import is_ref
from .sources import BOOK


@dataclass
class Receipt:
    """What is to be remembered once the peer has installed a payload."""

    parts: list[Part]
    objects: list[tuple[int, Any]]
    refs: list[tuple[str, int, Any]]
    sources: set[str]
    dropped: set[int]
    forget: set[str]
    deleted: list[str]
    stamps: dict[str, Any]
    pins: list[int] | None = None
    is_still: bool = False
    """No thread of the notebook's may have changed anything since it was looked at."""
    contents: dict[int, Content | None] = field(default_factory=dict)
    """What known and new objects consist of as they are told; None where that is not to be relied on."""


def has_sets_of_text(payload: Payload) -> bool:
    """Whether a set that is part of it has two members or more whose hash depends on PYTHONHASHSEED."""
    receipt: Receipt | None = payload.receipt
    objects = (obj for part in (receipt.parts if receipt is not None else ()) for _, obj in part.objects)
    sets = (obj for obj in objects if type(obj) in (set, frozenset) and len(obj) > 1)
    return any(sum(isinstance(member, (str, bytes)) for member in each) > 1 for each in sets)


class Packing:
    def __init__(self, ledger: Ledger, ambient: Ambient | None) -> None:
        self._ledger = ledger
        self._ambient = ambient
        self._table, self._memory, self._held = ledger.table, ledger.memory, ledger.held

    def pack(self, capture: Capture) -> Payload:
        """The payload for a capture; nothing is remembered before `sent`."""
        header: dict[str, Any] = {"version": 1, "streams": [], "modules": {}, "bind": {}, "refs": {}, "sources": {}}
        payload = Payload(header)
        changed = self._ledger.changed(capture)
        receipt = Receipt(
            changed, [], [], set(), set(self._ledger.dropped), set(self._ledger.forgotten), capture.deleted, capture.stamps
        )
        receipt.is_still = capture.is_still and is_still()
        plain = [part for part in changed if not self._place_by_name(part, header, receipt)]
        named = set(chain.from_iterable(part.print.ids for part in changed if part.name not in PSEUDO_NAMES))
        with context.working(self._ledger):
            for group in components(plain):
                inline = {id(part.value) for part in group} & self._formerly_kept(group)
                stream = dump_component(group, self._table, self._memory, inline, capture.is_data)
                header["streams"].append(self._place(payload, stream, named, receipt, capture.is_data))
        for name, (info, value) in capture.refs.items():
            header["refs"][name] = info.as_json()
            receipt.refs.append((name, info.number, value))
        header["sources"] = {source: BOOK.text(source) for source in sorted(receipt.sources - self._ledger.known_sources)}
        header["cells"] = {source: BOOK.cell(source) for source in sorted(receipt.sources)}
        receipt.dropped |= self._unheld_after(receipt)
        header["deleted"], header["dropped"] = capture.deleted, sorted(receipt.dropped)
        header["forget"] = sorted(self._ledger.forgotten)
        pins = self._table.refs_in_use(self._ledger.namespace)
        if pins != self._ledger.pins:
            header["pins"] = receipt.pins = pins
        payload.receipt = receipt
        return payload

    def _unheld_after(self, receipt: Receipt) -> set[int]:
        """Numbers that no name will reach once this payload is installed: told with it, so that both sides let go at once."""
        names = {part.name for part in receipt.parts} | {name for name, _, _ in receipt.refs} | set(receipt.deleted)
        held = [self._held[name].numbers for name in names if name in self._held]
        if not any(held):
            return set()
        again = set(
            map(
                self._table.numbers.get,
                chain.from_iterable(part.print.ids for part in receipt.parts if part.name not in PSEUDO_NAMES),
            )
        )
        before = ((number, self._table.numbers.get(id(obj))) for number, obj in receipt.objects)
        again.difference_update([known for number, known in before if known != number])
        again.update(part.value.__farcell_number__ for part in receipt.parts if is_ref(part.value))
        again.update(number for name, number, _ in receipt.refs if name not in PSEUDO_NAMES)
        return self._table.unheld_without(Counter(chain.from_iterable(set(numbers) - again for numbers in held)))

    def _formerly_kept(self, group: list[Part]) -> set[int]:
        held = [self._held.get(part.name) for part in group]
        numbers = {number for each in held if each is not None and each.kept for number in each.numbers}
        return {id(self._table.objects[number]) for number in numbers if number in self._table.objects}

    def _place_by_name(self, part: Part, header: dict[str, Any], receipt: Receipt) -> bool:
        if issubclass(type(part.value), ModuleType) and not is_handmade(part.value):
            header["modules"][part.name] = [part.value.__name__, self._number_module(part.value, receipt)]
        elif is_ref(part.value):
            header["bind"][part.name] = part.value.__farcell_number__
        else:
            return False
        return True

    def _number_module(self, module: ModuleType, receipt: Receipt) -> int | None:
        """For a module that the notebook's side may lack; the target must have what it is sent."""
        if self._ledger.side == "local":
            return None
        number = self._ledger.number_of(module) or self._table.new_number()
        receipt.objects.append((number, module))
        return number

    def _place(self, payload: Payload, stream: Stream, named: set[int], receipt: Receipt, is_data: bool) -> dict[str, Any]:
        pairs, replaced = [], []
        for index, obj in stream.objects:
            before = self._table.numbers.get(id(obj))
            if before is not None and id(obj) not in self._table.kept:
                replaced.append((index, before))
            if id(obj) in named:
                number = self._table.new_number()
                pairs.append((index, number))
                receipt.objects.append((number, obj))
                if receipt.is_still and (content := content_of(obj)) is not None:
                    receipt.contents[number] = content
        for number, obj in stream.told:
            receipt.contents[number] = content_of(obj) if receipt.is_still and id(obj) in named else None
        receipt.sources |= stream.sources
        return {
            "names": stream.names,
            "states": stream.states,
            "data": payload.place(stream.data),
            "buffers": [payload.place(buffer.raw()) for buffer in stream.buffers],
            "objects": payload.place(write_numbers(pairs)) if pairs else None,
            "sets": [
                [index, *how] for index, obj in stream.objects if not is_data and type(obj) is set and (how := sets.places(obj))
            ],
            "replaced": payload.place(write_numbers(replaced)) if replaced else None,
        }

    def sent(self, payload: Payload) -> None:
        """The peer has installed this payload."""
        receipt: Receipt = payload.receipt
        self._ledger.known_sources |= receipt.sources
        self._ledger.forgotten -= receipt.forget
        self._ledger.pins = receipt.pins if receipt.pins is not None else self._ledger.pins
        if self._ambient is not None:
            self._ambient.agree(receipt.stamps)
        for number, obj in receipt.objects:
            self._table.add(number, obj)
        for number, content in receipt.contents.items():
            if content is None:
                self._memory.contents.pop(number, None)
            else:
                self._memory.contents[number] = content
        for name, number, value in receipt.refs:
            self._table.add(number, value)
            self._table.kept[id(value)] = number
            if name not in PSEUDO_NAMES:
                self._ledger.hold(name, Held(UNKNOWN, (number,), kept=True))
        for part in receipt.parts:
            self._ledger.remember(part)
        self._ledger.forget(receipt.deleted)
        self._ledger.dropped -= receipt.dropped
        self._table.remove(receipt.dropped)
        self._memory.forget(receipt.dropped)
        self._ledger.drop_unheld()
