"""One side's half of a shared notebook state: what the peer has, and what must travel.

Two Replicas are mirror images. Each compares with its own history only: a name whose fingerprint is that of the last
exchange is not
sent. `capture` and `collect` look, `pack` writes, `sent` remembers; `unpack` decodes, `apply` changes everything or nothing.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, Literal

from .. import threads
from ..ambient import Ambient
from . import context, frames, sets, tensors
from .arrays import base_of, contiguous, is_array, raw
from .capture import Walk, dump_module, dump_or_refuse
from .contents import Content, content_of, has_content
from .decode import decode, write_numbers
from .delta import Component, Delta, carry_out, fill_steps, merge_steps
from .dumps import Memory, Part, Print, ShallowPickler, Stream, array_layout, dump_component
from .errors import CannotRestore, CannotTravel
from .fixed import is_fixed
from .functions import PrivateGlobals
from .groups import changeable_ids, components, that_share
from .handmade import is_handmade
from .hashing import piece_digests
from .introductions import Introductions
from .kinds import is_merged_whole, is_restorable, kind_of, made_of
from .loggers import is_list
from .magics import Magics
from .modules import MODULES, HasState, is_module_state, local_module, module_of
from .objects import Table
from .patches import PATCHES
from .payload import AMBIENT, ERROR, LARGE_BYTES, LOST, PSEUDO_NAMES, RESULT, Capture, NameReport, Payload
from .places import Places
from .refs import Ref, RefInfo, describe, is_ref
from .sources import BOOK
from .uses import uses as default_uses
from .watch import Watch

Uses = Callable[[CodeType], Iterable[str]]
Around = tuple[dict[str, Any], dict[str, Any]]  # of `Ambient.changes`
_UNKNOWN = Print(b"", (), ())


@dataclass
class _Held:
    """A name as the last exchange left it."""

    print: Print
    numbers: tuple[int, ...]
    kept: bool = False
    value: Any = None


def has_sets_of_text(payload: Payload) -> bool:
    """Whether a set that is part of it has two members or more whose hash depends on PYTHONHASHSEED."""
    receipt: _Receipt | None = payload.receipt
    objects = (obj for part in (receipt.parts if receipt is not None else ()) for _, obj in part.objects)
    sets = (obj for obj in objects if type(obj) in (set, frozenset) and len(obj) > 1)
    return any(sum(isinstance(member, (str, bytes)) for member in each) > 1 for each in sets)


def _is_still() -> bool:
    """Whether nothing but the caller can change the notebook's values at the moment."""
    return not threads.users(threading.enumerate())


def _is_beside(name: str) -> bool:
    """Whether it is a part of every exchange, and no name of the notebook's."""
    return is_module_state(name) or is_list(name)


def _ref_numbers(delta: Delta) -> list[int]:
    return [value.__farcell_number__ for value in delta.values.values() if is_ref(value)]


@dataclass
class _Receipt:
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


class Replica:
    """See docs/architecture.md, section 4. Not thread-safe: one exchange at a time."""

    def __init__(
        self,
        namespace: dict[str, Any],
        side: Literal["local", "remote"],
        hashes: Iterable[str] = (),
        make_ref: Callable[[str, RefInfo], Any] = Ref,
        ambient: Ambient | None = None,
        magics: Magics | None = None,
    ) -> None:
        """Without `ambient` and `magics`, variables alone travel."""
        self.namespace = namespace
        self.magics = magics if magics is not None else Magics(lambda: None)
        self.places = Places(namespace, self.magics)
        self.side = side
        self.hashes = tuple(hashes)
        self._make_ref = make_ref
        self._ambient = ambient
        self._table = Table(1 if side == "local" else -1)
        self._memory = Memory()
        self._held: dict[str, _Held] = {}
        self._known_sources: set[str] = set()
        self._dropped: set[int] = set()
        self._forget: set[str] = set()
        self._pins: list[int] = []
        self._weakly: dict[int, str] = {}  # of this exchange: number -> a name whose weak references lead to it
        self.introductions = Introductions(self._table)
        self._private_globals: dict[int, PrivateGlobals] = {}
        self.late: list[tuple[Any, Any]] = []

    # -- context.Environment: what reducers and rebuilders ask for ----------------------------------------------------

    def resolve(self, number: int) -> Any:
        try:
            return self._table.objects[number]
        except KeyError:
            raise LookupError(f"object {number} is not known here") from None

    def number_of(self, obj: object) -> int | None:
        """The number both sides know an object by."""
        return self._table.numbers.get(id(obj))

    def private_globals(self, own: dict[str, Any]) -> PrivateGlobals:
        return self._private_globals.setdefault(id(own), PrivateGlobals(own))

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> frozenset[str]:
        """Names that both sides have, as of the last exchange."""
        return frozenset(name for name in self._held if not _is_beside(name))

    def shared(self, names: Iterable[str]) -> set[str]:
        """Those that the peer may have changed: it has them, or has bound them on its own."""
        told = {*self._forget, *(name for name in self._held if name not in self.places)}
        return {name for name in names if name not in told and (name in self._held or name not in self.places)}

    def forget(self, names: Iterable[str]) -> None:
        """The peer no longer has these names: they count as never sent."""
        for name in names:
            self._forget_contents(name)
            self._release(self._held.pop(name, None))

    def capture(
        self,
        names: Iterable[str],
        uses: Uses = default_uses,
        optional: Mapping[str, str] = MappingProxyType({}),
        ambient: bool = True,
    ) -> Capture:
        """Walk these names and all that their functions use; raises CannotTravel, but for an optional name, which is left out.

        `optional`: name -> reason. One that is only deleted goes without its value. What a ref stands for may reach anything
        that both sides have: with a ref, all of that is looked at.
        """
        self.let_die()
        names = list(names)
        capture = self._capture(names, uses, optional, ambient)
        if any(part.has_refs for part in capture.parts.values()):
            also = dict.fromkeys(filter(self.places.__contains__, self.held), "may be part of a ref")
            capture = self._capture(names, uses, {**also, **optional}, ambient)
        return capture

    def _capture(self, names: Iterable[str], uses: Uses, optional: Mapping[str, str], ambient: bool) -> Capture:
        is_still = _is_still()
        around = self._look_around() if ambient else None
        with context.working(self), tensors.meeting(self.namespace):
            walk = Walk(self.places, self._table.kept, uses)
            for seen in self._modules():
                walk.add_module(seen)
            for name in names:
                walk.add(name, "read by the cell")
            for name, reason in optional.items():
                walk.add(name, reason, optional=True)
            lists = self._lists(around)
            for name in lists:
                walk.add(name, "held by a logger", optional=True)
            capture = Capture({}, dict(walk.parts()), walk.missing, is_still=is_still)
        self._tell_staying(lists, capture)
        for part in capture.parts.values():
            if not _is_beside(part.name):
                capture.names[part.name] = self._report(part)
        capture.deleted = [name for name in self.held if name not in self.namespace and name not in self.places]
        capture.modules = self.introductions.wanted(walk.modules)
        self._add_ambient(capture, around)
        return capture

    def let_die(self) -> None:
        """What only names reached that are gone or bound anew, and weak references lead to: it is as dead as it would be here."""
        named = ((name, held) for name, held in self._held.items() if not is_module_state(name))
        ended = [name for name, held in named if held.value is not None and self.places.get(name) is not held.value]
        released = Counter(number for name in ended for number in self._held[name].numbers)
        for name in ended if released else ():
            self._held[name].value = None
        for number in self._table.unheld_without(released) if released else ():
            if weakref.getweakrefcount(self._table.objects[number]):
                self._dropped.add(number)
                self._memory.forget([number])
                self._table.remove([number])

    def _look_around(self) -> Around | None:
        return self._ambient.changes() if self._ambient is not None else None

    def _lists(self, around: Around | None) -> list[str]:
        """Of loggers: those that have anything in them, and those that had when both sides last knew."""
        loggers = self._ambient.loggers if self._ambient is not None and around is not None else None
        return list(dict.fromkeys([*loggers.lists, *filter(is_list, self._held)])) if loggers is not None else []

    def _dump_list(self, name: str) -> Part | None:
        try:
            return dump_or_refuse(name, self.places[name], "", self._table.kept)
        except CannotTravel:
            return None

    def _tell_staying(self, lists: list[str], capture: Capture) -> None:
        for name in lists:
            if name not in capture.parts and self._ambient is not None and self._ambient.loggers is not None:
                self._ambient.loggers.stays(name, "what is among them")

    def _add_ambient(self, capture: Capture, around: Around | None) -> None:
        """Raises CannotTravel only if what it consists of can travel one by one."""
        if around is None:
            return
        contents, capture.stamps = around
        if contents:
            with context.working(self):
                try:
                    part = dump_or_refuse(AMBIENT, contents, "", self._table.kept)
                except CannotTravel:
                    contents = {name: each for name, each in contents.items() if self._can_travel(each)}
                    part = dump_or_refuse(AMBIENT, contents, "", self._table.kept)
            capture.parts[AMBIENT] = part

    def collect(
        self,
        names: Iterable[str],
        *,
        limit_bytes: int | None = None,
        out: Iterable[str] = (),
        keep: Iterable[str] = (),
        bound: Iterable[str] = (),
        result: Any = None,
        error: BaseException | None = None,
        has_result: bool = False,
    ) -> Capture:
        """What a run changed among `names`; those of them that the peer has and the namespace has no more were deleted.

        `bound` are told even if they are as they were: the peer may have bound them to something else since the last exchange.
        """
        names, out, keep, bound = list(names), set(out), set(keep), set(bound)
        for name in bound & self._held.keys():
            self._distrust(name)
        capture = Capture({}, is_still=_is_still())
        around = self._look_around()
        with context.working(self), tensors.meeting(self.namespace):
            lists = self._lists(around)
            capture.parts.update({name: part for name in lists if (part := self._dump_list(name)) is not None})
            for seen in self._modules():
                part = dump_module(seen, self._table.kept)
                capture.parts[part.name] = part
            for name, value in self._to_collect(names, result, error, has_result):
                self._collect_name(capture, name, value, name in out, name in bound)
            self._collect_lost(capture, names)
        self._tell_staying(lists, capture)
        self._decide_refs(capture, limit_bytes, out, keep)
        capture.deleted = [name for name in names if name in self._held and name not in self.places]
        self._add_ambient(capture, around)
        return capture

    def _to_collect(
        self, names: Iterable[str], result: Any, error: BaseException | None, has_result: bool
    ) -> Iterable[tuple[str, Any]]:
        for name in names:
            if name in self.places:
                yield name, self.places[name]
        if has_result or result is not None:
            yield RESULT, result
        if error is not None:
            yield ERROR, error

    def _collect_name(self, capture: Capture, name: str, value: Any, wanted: bool, bound: bool) -> None:
        held = self._held.get(name)
        if held is not None and held.kept and not wanted and self._table.kept.get(id(value)) in held.numbers:
            if bound:
                self._keep(capture, name, value, 0, "kept on the target")
            return
        if wanted:
            self._table.kept.pop(id(value), None)
        try:
            part = dump_or_refuse(name, value, "changed by the cell", self._table.kept)
        except CannotTravel as refusal:
            if wanted:
                raise
            if name != ERROR:
                self._keep(capture, name, value, 0, f"{refusal.path}: {refusal.reason}", travels=False)
            return
        capture.parts[name] = part
        capture.names[name] = self._report(part)

    def _collect_lost(self, capture: Capture, names: Iterable[str]) -> None:
        """What the run changed and then took away from its names: the peer may reach it by others."""
        reached = {key for part in capture.parts.values() for key in part.print.ids}
        lost: dict[int, Any] = {}
        for name in names:
            held, part = self._held.get(name), capture.parts.get(name)
            if held is None or held.kept or (part is not None and part.print == held.print):
                continue
            objects = [self._table.objects[number] for number in held.numbers if number in self._table.objects]
            gone = {id(obj): obj for obj in objects if id(obj) not in reached and not is_fixed(type(obj))}
            if gone and (self.places.get(name) is held.value or self._has_changed(held)):
                lost.update(gone)
        if lost:
            capture.parts[LOST] = self._dump_what_can(list(lost.values()))

    def _has_changed(self, held: _Held) -> bool:
        try:
            return dump_or_refuse("", held.value, "", self._table.kept).print != held.print
        except CannotTravel:
            return True

    def _dump_what_can(self, objects: list[Any]) -> Part:
        try:
            return dump_or_refuse(LOST, objects, "", self._table.kept)
        except CannotTravel:
            return dump_or_refuse(LOST, [obj for obj in objects if self._can_travel(obj)], "", self._table.kept)

    def _can_travel(self, obj: Any) -> bool:
        try:
            dump_or_refuse("", obj, "", self._table.kept)
        except CannotTravel:
            return False
        return True

    def _decide_refs(self, capture: Capture, limit_bytes: int | None, out: set[str], keep: set[str]) -> None:
        for group in components(self._changed(capture), changeable_ids):
            size = sum(part.size_bytes for part in group)
            is_large = limit_bytes is not None and size > limit_bytes
            names = {part.name for part in group}
            if any(_is_beside(name) for name in names) or names & out or not (is_large or names & keep):
                continue
            if any(self._is_shared(key) for part in group for key in changeable_ids(part)):
                continue
            for those in that_share(group):
                asked = any(part.name in keep for part in those)
                if len(those) == 1 and isinstance(those[0].value, type | FunctionType) and not asked:
                    continue  # of classes and functions each side has its own
                for part in those:
                    is_new = part.name not in self._held or self._held[part.name].kept
                    if is_new and (asked or is_large):
                        reason = "kept on the target" if asked else f"larger than {limit_bytes} bytes"
                        del capture.parts[part.name]
                        self._keep(capture, part.name, part.value, part.size_bytes, reason)

    def _is_shared(self, key: int) -> bool:
        """Whether the peer has this object, which could then not change here unseen; classes and functions are its own copies."""
        number = self._table.numbers.get(key)
        if number is None or key in self._table.kept:
            return False
        return not isinstance(self._table.objects.get(number), type | FunctionType)

    def _keep(self, capture: Capture, name: str, value: Any, size: int, reason: str, travels: bool = True) -> None:
        number = self._table.kept.get(id(value)) or next(
            (info.number for info, other in capture.refs.values() if other is value), 0
        )
        info = describe(value, number or self._table.new_number(), size, reason, travels)
        capture.refs[name] = (info, value)
        capture.names[name] = NameReport(name, reason, "stays", type(value).__name__, info.size_bytes, 0)

    def _report(self, part: Part) -> NameReport:
        held = self._held.get(part.name)
        status = "new" if held is None else "unchanged" if held.print == part.print else "changed"
        if is_ref(part.value):
            status = "ref"
        to_send = 0 if status in ("unchanged", "ref") else len(part.data) + self._buffer_bytes(part)
        return NameReport(part.name, part.reason, status, type(part.value).__name__, part.size_bytes, to_send)

    def _buffer_bytes(self, part: Part) -> int:
        """Bytes of the buffers' pieces that differ from what the peer has of the same array."""
        known = {self._table.numbers.get(key): pieces for key, pieces in part.arrays.items()}
        total = sum(buffer.raw().nbytes for buffer in part.buffers)
        for number, pieces in known.items():
            before = self._memory.pieces.get(number or 0, ())
            if len(before) == len(pieces):
                same = sum(old == new for old, new in zip(before, pieces, strict=False))
                total -= min(same << 20, total)
        return total

    def _changed(self, capture: Capture) -> list[Part]:
        changed = []
        for part in capture.parts.values():
            held = self._held.get(part.name)
            if held is None or held.print != part.print:
                changed.append(part)
        return changed

    # -- modules of the notebook's own --------------------------------------------------------------------------------

    def introduce(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """What the peer needs to load these modules, and to find out which objects in them are the same there."""
        with context.working(self):
            return self.introductions.offer(names)

    def meet(self, offers: list[dict[str, Any]]) -> dict[str, Any]:
        """At the peer: load what is not here as it is there, and say what turned out differently and what could not be loaded."""
        with context.working(self):
            answer = self.introductions.compare(offers)
            self._hold_modules(offers, answer)
        return answer

    def introduced(self, offers: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        """The peer's answer: the same numbers now mean the same objects."""
        with context.working(self):
            self.introductions.agree(offers, answer)
            self._hold_modules(offers, answer)

    def _modules(self) -> list[HasState]:
        """Whose state is a part of every exchange."""
        return [*self.introductions.known(), *PATCHES.known()]

    def _module(self, name: str) -> HasState | None:
        own = local_module(module_of(name))
        return MODULES.see(own) if own is not None else PATCHES.of(module_of(name))

    def _hold_modules(self, offers: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        for offer in offers:
            name = offer["name"]
            if name in answer["failed"]:
                continue
            part = dump_module(MODULES.see(sys.modules[name]), self._table.kept)
            self._remember(part)
            if name in answer["unequal"]:
                self._distrust(part.name)

    # -- writing ------------------------------------------------------------------------------------------------------

    def pack(self, capture: Capture) -> Payload:
        """The payload for a capture; nothing is remembered before `sent`."""
        header: dict[str, Any] = {"version": 1, "streams": [], "modules": {}, "bind": {}, "refs": {}, "sources": {}}
        payload = Payload(header)
        changed = self._changed(capture)
        receipt = _Receipt(changed, [], [], set(), set(self._dropped), set(self._forget), capture.deleted, capture.stamps)
        receipt.is_still = capture.is_still and _is_still()
        plain = [part for part in changed if not self._place_by_name(part, header, receipt)]
        named = {key for part in changed if part.name not in PSEUDO_NAMES for key in part.print.ids}
        with context.working(self):
            for group in components(plain):
                inline = {id(part.value) for part in group} & self._formerly_kept(group)
                stream = dump_component(group, self._table, self._memory, inline)
                header["streams"].append(self._place(payload, stream, named, receipt))
        for name, (info, value) in capture.refs.items():
            header["refs"][name] = info.as_json()
            receipt.refs.append((name, info.number, value))
        header["sources"] = {source: BOOK.text(source) for source in sorted(receipt.sources - self._known_sources)}
        header["cells"] = {source: BOOK.cell(source) for source in sorted(receipt.sources)}
        receipt.dropped |= self._unheld_after(receipt)
        header["deleted"], header["dropped"] = capture.deleted, sorted(receipt.dropped)
        header["forget"] = sorted(self._forget)
        pins = self._table.refs_in_use(self.namespace)
        if pins != self._pins:
            header["pins"] = receipt.pins = pins
        payload.receipt = receipt
        return payload

    def _unheld_after(self, receipt: _Receipt) -> set[int]:
        """Numbers that no name will reach once this payload is installed: told with it, so that both sides let go at once."""
        names = {part.name for part in receipt.parts} | {name for name, _, _ in receipt.refs} | set(receipt.deleted)
        released = Counter(number for name in names if name in self._held for number in self._held[name].numbers)
        if not released:
            return set()
        new = {id(obj): number for number, obj in receipt.objects}
        numbers = {key: new.get(key) or self._table.numbers.get(key, 0) for key in map(id, self._table.objects_of(released))}
        for part in receipt.parts:
            if part.name not in PSEUDO_NAMES:
                released.subtract(numbers[key] for key in numbers.keys() & set(part.print.ids))
            if is_ref(part.value):
                released[part.value.__farcell_number__] -= 1
        released.subtract(number for name, number, _ in receipt.refs if name not in PSEUDO_NAMES)
        return self._table.unheld_without(released)

    def _formerly_kept(self, group: list[Part]) -> set[int]:
        held = [self._held.get(part.name) for part in group]
        numbers = {number for each in held if each is not None and each.kept for number in each.numbers}
        return {id(self._table.objects[number]) for number in numbers if number in self._table.objects}

    def _place_by_name(self, part: Part, header: dict[str, Any], receipt: _Receipt) -> bool:
        if issubclass(type(part.value), ModuleType) and not is_handmade(part.value):
            header["modules"][part.name] = [part.value.__name__, self._number_module(part.value, receipt)]
        elif is_ref(part.value):
            header["bind"][part.name] = part.value.__farcell_number__
        else:
            return False
        return True

    def _number_module(self, module: ModuleType, receipt: _Receipt) -> int | None:
        """For a module that the notebook's side may lack; the target must have what it is sent."""
        if self.side == "local":
            return None
        number = self.number_of(module) or self._table.new_number()
        receipt.objects.append((number, module))
        return number

    def _place(self, payload: Payload, stream: Stream, named: set[int], receipt: _Receipt) -> dict[str, Any]:
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
            "sets": [[index, *how] for index, obj in stream.objects if type(obj) is set and (how := sets.places(obj))],
            "replaced": payload.place(write_numbers(replaced)) if replaced else None,
        }

    def sent(self, payload: Payload) -> None:
        """The peer has installed this payload."""
        receipt: _Receipt = payload.receipt
        self._known_sources |= receipt.sources
        self._forget -= receipt.forget
        self._pins = receipt.pins if receipt.pins is not None else self._pins
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
                self._hold(name, _Held(_UNKNOWN, (number,), kept=True))
        for part in receipt.parts:
            self._remember(part)
        self.forget(receipt.deleted)
        self._dropped -= receipt.dropped
        self._table.remove(receipt.dropped)
        self._memory.forget(receipt.dropped)
        self._drop_unheld()

    # -- reading ------------------------------------------------------------------------------------------------------

    def unpack(self, payload: Payload) -> Delta:
        """Decode and validate; raises CannotRestore, and nothing was touched."""
        names = [name for stream in payload.header.get("streams", ()) for name in stream["names"]]
        frames.settle()
        self.late.clear()
        try:
            with context.working(self):
                delta = decode(payload, self._table)
            delta.validate()
        except Exception as error:
            self._give_back(payload, names)
            if isinstance(error, CannotRestore):
                raise
            text = f"{type(error).__name__}: {error}"
            raise CannotRestore([*names, *payload.header.get("modules", ())], text) from error
        self._known_sources.update(payload.header.get("sources", ()))
        return delta

    def _give_back(self, payload: Payload, names: list[str]) -> None:
        """Tell the peer with the next payload that this one was not installed."""
        from .decode import read_numbers

        places = [stream["objects"] for stream in payload.header.get("streams", ()) if stream["objects"]]
        self._dropped.update(number for place in places for _, number in read_numbers(payload.find(place)))
        self._forget.update(name for name in names if name not in PSEUDO_NAMES)

    def _watched(self, watch: Watch) -> set[str]:
        return set(self._held) if watch.since_last else watch.names & self._held.keys()

    def set_aside(self, delta: Delta, watch: Watch) -> Delta | None:
        """Take out of a delta what was changed here too since `watch`; None when nothing was.

        The peer is told with the next payload that it was not merged, and this side's own version is sent when it is next read.
        """
        rebound = {name for name in delta.names if self._is_rebound(name, watch)}
        components = [each for each in delta.components if not rebound.isdisjoint(each.names) or self._differs(each, watch)]
        if not rebound and not components:
            return None
        aside = delta.set_aside(components, rebound)
        aside.values.update({name: self.resolve(number) for name, number in aside.bind.items()})
        for name, info in aside.refs.items():
            aside.values[name] = ref = self._make_ref(name, info)
            self._table.add(info.number, ref)
        self._table.hold(_ref_numbers(aside))
        self._forget.update(aside.names)
        self._dropped.update(number for number, _ in aside.objects)
        for name in (self._others(aside, {}) | aside.names) & self.held:
            self._forget_contents(name)
            self._distrust(name)
        for obj, _, content in aside.states:
            self._memory.distrust(self._table.numbers.get(id(obj), 0), is_reshaped=is_array(obj) and content[-1] is not None)
        return aside

    def _is_rebound(self, name: str, watch: Watch) -> bool:
        if not watch.since_last:
            return watch.is_rebound(name, self.namespace)
        if name in self._held:
            return self._has_changed_since(name)
        return name in self.places

    def _differs(self, component: Component, watch: Watch) -> bool:
        """Whether this side has changed something of a component since `watch`."""
        if not watch.in_place:
            return False
        merged = {id(obj) for obj, *_ in (*component.states, *component.replaced)}
        watched = self._watched(watch)
        names = {name for name in watched if name in component.names or not merged.isdisjoint(self._held[name].print.ids)}
        return any(map(self._has_changed_since, names))

    def settle(self, aside: Delta, take: bool) -> list[str]:
        """Merge what was set aside, or let go of it; the answer are the names that changed.

        Raises CannotRestore when it does not fit what the notebook has by now; nothing was touched then.
        """
        if take:
            aside.validate()
            with context.working(self):
                carry_out(merge_steps(aside, self.places, aside.values), fill_steps(aside))
                for name, value in aside.values.items():
                    if is_ref(value):
                        self._remember(dump_or_refuse(name, value, "", self._table.kept))
        self._table.release(_ref_numbers(aside))
        self._drop_unheld()
        return sorted(aside.names) if take else []

    def apply(self, delta: Delta) -> list[str]:
        """Merge everything or nothing; the answer are the names now bound anew or changed in place."""
        bindings = {name: value for name, value in delta.values.items() if name not in PSEUDO_NAMES}
        refs = self._refs_of(delta)
        bindings.update({name: ref for name, ref in refs.items() if name not in PSEUDO_NAMES})
        bindings.update({name: self.resolve(number) for name, number in delta.bind.items()})
        steps = merge_steps(delta, self.places, bindings)
        if self._ambient is not None and AMBIENT in delta.values:
            steps.append(self._ambient.merge(delta.values[AMBIENT]))
        others = self._others(delta, bindings)
        unsent = {name for name in others if self._has_changed_since(name)}
        came = {id(obj): obj for obj in (*(obj for obj, *_ in delta.states), *(obj for _, obj in delta.objects))}
        unsent |= {name for name in bindings.keys() & self._held.keys() if self._has_more_to_tell(name, came)}
        with context.working(self):
            carry_out(steps, fill_steps(delta))
        frames.settle()
        for name, ref in refs.items():
            if name in PSEUDO_NAMES:
                delta.values[name] = ref
        known = set(self._held)
        self._note(delta, refs)
        touched = {name for name in (others - set(delta.forget)) | bindings.keys() if self._exists(name)}
        self._forget_pieces(delta)
        self._reprint(touched - (unsent - bindings.keys()), delta, refs, came)
        unsent |= {name for name in bindings.keys() - known if name in self._held and self._has_others(name, came)}
        for name in touched & unsent & self.held:
            self._distrust(name)
        self._drop_unheld()
        return sorted(name for name in touched if not _is_beside(name))

    def _refs_of(self, delta: Delta) -> dict[str, Any]:
        """One ref a value, under however many names it comes."""
        made: dict[int, Any] = {}
        for name, info in delta.refs.items():
            known = self._table.objects.get(info.number)
            if info.number not in made:
                made[info.number] = known if is_ref(known) else self._make_ref(name, info)
        return {name: made[info.number] for name, info in delta.refs.items()}

    def _note(self, delta: Delta, refs: dict[str, Any]) -> None:
        if delta.pins is not None:
            self._table.pins = frozenset(delta.pins)
        self._dropped.update(delta.unneeded)
        self._dropped -= delta.taken_back
        for number in delta.taken_back:
            self._table.take_back(number)
        for number, obj in delta.objects:
            self._table.add(number, obj)
        for name, ref in refs.items():
            self._table.add(delta.refs[name].number, ref)
            self._table.watch(delta.refs[name].number)
        for name in (*delta.deleted, *delta.forget):
            self._forget_contents(name)
            self._release(self._held.pop(name, None))
        self._table.remove(delta.dropped)
        self._memory.forget(delta.dropped)

    def _others(self, delta: Delta, bindings: dict[str, Any]) -> set[str]:
        """Names that are not part of the exchange and hold objects that it changes."""
        merged = {id(obj) for obj, *_ in (*delta.states, *delta.replaced)}
        found = {name for name, held in self._held.items() if merged and not merged.isdisjoint(held.print.ids)}
        return found - bindings.keys()

    def _has_changed_since(self, name: str) -> bool:
        """Whether this side has something of its own to tell about a name: it must not pass for what the peer has."""
        if not self._exists(name) or self._held[name].kept:
            return False
        with context.working(self):
            try:
                part = self._dump(name)
            except CannotTravel:
                return True
        return part.print != self._held[name].print

    def _has_more_to_tell(self, name: str, came: dict[int, Any]) -> bool:
        """Whether this side has changed something of a name that the peer, which left it as it was, did not send along."""
        return self._has_others(name, came) and self._has_changed_since(name)

    def _has_others(self, name: str, came: dict[int, Any]) -> bool:
        """Whether the peer may have a part of a name, which it did not send along, differently."""
        for number in self._held[name].numbers:
            obj = self._table.objects.get(number)
            if id(obj) not in came and has_content(type(obj)) and not self._memory.is_agreed(number, obj):
                return True
        return False

    def _exists(self, name: str) -> bool:
        return self._module(name) is not None if is_module_state(name) else name in self.places

    def _dump(self, name: str) -> Part:
        """A name or a module's state as it is now."""
        module = self._module(name) if is_module_state(name) else None
        if module is not None:
            return dump_module(module, self._table.kept)
        return dump_or_refuse(name, self.places[name], "", self._table.kept)

    def _forget_pieces(self, delta: Delta) -> None:
        for obj, kind, _ in delta.states:
            if kind == "array":
                self._memory.pieces.pop(self._table.numbers.get(id(obj), 0), None)

    def _reprint(self, names: Iterable[str], delta: Delta, refs: dict[str, Any], came: dict[int, Any]) -> None:
        """Fingerprint anew what came in: each side compares with its own history, hashed after decoding."""
        self._memory.forget_contents(self._table.numbers.get(key, 0) for key in came)
        is_still = _is_still()
        with context.working(self):
            for name in names:
                if is_module_state(name):
                    self._remember(self._dump(name))
                    continue
                value = self.places[name]
                if name in refs:
                    part = dump_or_refuse(name, value, "", self._table.kept)
                    self._hold(name, _Held(part.print, (delta.refs[name].number,)))
                    continue
                if id(value) in self._table.kept:
                    self._hold(name, _Held(_UNKNOWN, (self._table.kept[id(value)],), kept=True))
                    continue
                try:
                    part = dump_or_refuse(name, value, "", self._table.kept)
                except CannotTravel:
                    self._hold(name, _Held(_UNKNOWN, ()))
                    continue
                self._remember(part)
                for key in came.keys() & part.print.ids if is_still else ():
                    self._memory.agree(self._table.numbers[key], came[key])

    # -- remembering --------------------------------------------------------------------------------------------------

    def _remember(self, part: Part) -> None:
        if part.name in PSEUDO_NAMES:
            return
        weak = part.print.weak
        numbers = tuple(self._table.numbers[key] for key in part.print.ids if key in self._table.numbers and key not in weak)
        self._weakly.update({self._table.numbers[key]: part.name for key in weak if key in self._table.numbers})
        if is_ref(part.value):
            numbers = (part.value.__farcell_number__,)
        is_held = numbers and not is_ref(part.value)
        self._hold(part.name, _Held(part.print, numbers, value=part.value if is_held else None))
        with context.working(self):
            special = {
                kind for kind in {type(obj) for _, obj in part.objects} if not is_merged_whole(kind) and not is_fixed(kind)
            }
            for _, obj in part.objects:
                if type(obj) in special:
                    self._remember_object(obj, part)

    def _remember_object(self, obj: Any, part: Part) -> None:
        number = self._table.numbers.get(id(obj))
        if number is None:
            return
        if is_array(obj):
            self._memory.layouts[number] = array_layout(obj)
            if not obj.dtype.hasobject and base_of(obj) is None and obj.nbytes >= LARGE_BYTES:
                self._memory.pieces[number] = part.arrays.get(id(obj)) or piece_digests(raw(contiguous(obj)))
        elif kind_of(obj) is None and id(obj) not in self._table.kept:
            self._memory.digests[number] = ShallowPickler(self._table, obj).digest()
            if is_restorable(obj):
                self._memory.layouts[number] = ShallowPickler(self._table, made_of(obj)).digest()

    def _forget_contents(self, name: str) -> None:
        """What the peer has of the objects of a name is not known for certain."""
        held = self._held.get(name)
        if held is not None:
            self._memory.forget_contents(self._table.numbers.get(key, 0) for key in held.print.ids)

    def _distrust(self, name: str) -> None:
        """The peer has something else: what is here counts as changed."""
        held = self._held[name]
        self._hold(name, replace(held, print=replace(held.print, digest=b"")))

    def _hold(self, name: str, held: _Held) -> None:
        before = self._held.get(name)
        self._held[name] = held
        self._table.hold(held.numbers)
        self._release(before)

    def _release(self, held: _Held | None) -> None:
        if held is not None:
            self._table.release(held.numbers)

    def _drop_unheld(self) -> None:
        """Only when all names of an exchange are settled: objects move from one to another."""
        for number, name in self._weakly.items():
            if not self._table.is_held(number) and name in self._held:  # nothing else that both sides have keeps it alive
                self._hold(name, replace(self._held[name], numbers=(*self._held[name].numbers, number)))
        self._weakly.clear()
        free = self._table.take_unheld()
        self._memory.forget(free)
        self._dropped.update(free)
