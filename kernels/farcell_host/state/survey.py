"""What must travel: names are walked, fingerprinted and compared with the last exchange; large new values may stay as refs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

from ..ambient import Ambient
from . import caches, context, tensors
from .capture import Walk, dump_module, dump_or_refuse, is_of_ipython
from .dumps import Part
from .errors import CannotTravel
from .fixed import is_fixed
from .groups import changeable_ids, components, that_share
from .ledger import Held, Ledger, is_beside, is_still
from .loggers import Looks, is_list
from .modules import HasState
from .patches import PATCHES
from .payload import AMBIENT, ERROR, LOST, RESULT, Capture, NameReport
from .refs import describe, is_ref
from .refusals import path_to
from .uses import uses as default_uses

_OF_EACH_SIDE = (FunctionType, type, caches.WRAPPER)
"""Where the notebook takes data alone, its own of these stay as they are there, whatever a call has left in them here."""
Uses = Callable[[CodeType], Iterable[str]]
Around = tuple[dict[str, Any], dict[str, Any]]  # of `Ambient.changes`


class Survey:
    """`capture` is the notebook's look before a run, `collect` the target's after it."""

    def __init__(self, ledger: Ledger, ambient: Ambient | None) -> None:
        self._ledger = ledger
        self._ambient = ambient
        self._looks = Looks()
        self._table, self._memory, self._held, self._places = ledger.table, ledger.memory, ledger.held, ledger.places

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
        self._ledger.let_die()
        names = list(names)
        capture = self._capture(names, uses, optional, ambient)
        if any(part.has_refs for part in capture.parts.values()):
            also = dict.fromkeys(filter(self._places.__contains__, self._ledger.names), "may be part of a ref")
            capture = self._capture(names, uses, {**also, **optional}, ambient)
        return capture

    def _capture(self, names: Iterable[str], uses: Uses, optional: Mapping[str, str], ambient: bool) -> Capture:
        still = is_still()
        around = self._look_around() if ambient else None
        with context.working(self._ledger), tensors.meeting(self._ledger.namespace):
            walk = Walk(self._places, self._table.kept, uses, self._looks)
            for seen in self._modules():
                walk.add_module(seen)
            for name in names:
                walk.add(name, "read by the cell")
            for name, reason in optional.items():
                walk.add(name, reason, optional=True)
            lists = self._lists(around)
            for name in lists:
                walk.add(name, "held by a logger", optional=True)
            capture = Capture({}, dict(walk.parts()), walk.missing, is_still=still)
        self._tell_staying(lists, capture)
        for part in capture.parts.values():
            if not is_beside(part.name):
                capture.names[part.name] = self._report(part)
        capture.deleted = [name for name in self._ledger.names if name not in self._ledger.namespace and name not in self._places]
        capture.modules = self._ledger.introductions.wanted(walk.modules)
        self._add_ambient(capture, around)
        return capture

    def _look_around(self) -> Around | None:
        return self._ambient.changes() if self._ambient is not None else None

    def _lists(self, around: Around | None) -> list[str]:
        """Of loggers: those that have anything in them, and those that had when both sides last knew."""
        loggers = self._ambient.loggers if self._ambient is not None and around is not None else None
        return list(dict.fromkeys([*loggers.lists, *filter(is_list, self._held)])) if loggers is not None else []

    def _dump_list(self, name: str) -> Part | None:
        content, kept = self._places[name], self._table.kept
        try:
            return self._looks.part(name, content, kept, partial(dump_or_refuse, name, content, "", kept))
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
            with context.working(self._ledger):
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
        is_data: bool = False,
    ) -> Capture:
        """What a run changed among `names`; those of them that the peer has and the namespace has no more were deleted.

        `bound` are told even if they are as they were: the peer may have bound them to something else since the last exchange.
        `is_data`: for a notebook that takes data alone; whatever else has changed stays here.
        """
        names, out, keep, bound = list(names), set(out), set(keep), set(bound)
        if is_data:
            names, error = [name for name in names if name.isidentifier() and not is_of_ipython(name)], None
        capture = Capture({}, is_still=is_still(), is_data=is_data)
        around = self._look_around() if not is_data else None
        with context.working(self._ledger), tensors.meeting(self._ledger.namespace):
            lists = self._lists(around)
            capture.parts.update({name: part for name in lists if (part := self._dump_list(name)) is not None})
            for seen in self._modules() if not is_data else ():
                part = dump_module(seen, self._table.kept)
                capture.parts[part.name] = part
            for name, value in self._to_collect(names, result, error, has_result):
                self._collect_name(capture, name, value, name in out, name in bound)
            self._collect_lost(capture, names)
        for name in bound & self._held.keys():  # after what was lost was looked for: until here it is as the peer knows it
            self._ledger.distrust(name)
        self._tell_staying(lists, capture)
        self._decide_refs(capture, limit_bytes, out, keep)
        capture.deleted = [name for name in names if name in self._held and name not in self._places]
        self._add_ambient(capture, around)
        return capture

    def _to_collect(
        self, names: Iterable[str], result: Any, error: BaseException | None, has_result: bool
    ) -> Iterable[tuple[str, Any]]:
        for name in names:
            if name in self._places:
                yield name, self._places[name]
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
        if capture.is_data and (refused := self._no_data(part, bound)):
            if wanted:
                raise refused
            if held is not None and held.value is value and isinstance(value, _OF_EACH_SIDE):
                return
            self._keep(capture, name, value, 0, f"{refused.path}: {refused.reason}", travels=False)
            return
        capture.parts[name] = part
        capture.names[name] = self._report(part)

    def _no_data(self, part: Part, bound: bool) -> CannotTravel | None:
        """Why what has changed cannot be told to a notebook that takes data alone. Modules are told by their names."""
        held = self._held.get(part.name)
        is_same = held is not None and held.print == part.print and not bound
        if is_same or issubclass(type(part.value), ModuleType):
            return None
        culprit = self._stranger(part.value)
        if not culprit:
            return None
        path = path_to(part.value, part.name, culprit[0])
        reason = f'a {type(culprit[0]).__name__}, and the target has trust = "data"'
        return CannotTravel(part.name, path or part.name, reason, "Its data can come: take it out of it there")

    def _stranger(self, value: Any) -> list[Any]:
        """[the first thing in a value that is no data], or nothing."""
        from .plain import stranger  # loaded where a notebook takes data alone

        return stranger(value, self._table.kept)

    def _collect_lost(self, capture: Capture, names: Iterable[str]) -> None:
        """What the run changed and then took away from its names: the peer may reach it by others."""
        reached = set(chain.from_iterable(part.print.ids for part in capture.parts.values()))
        lost: dict[int, Any] = {}
        for name in names:
            held, part = self._held.get(name), capture.parts.get(name)
            if held is None or held.kept or (part is not None and part.print == held.print):
                continue
            objects = [self._table.objects[number] for number in held.numbers if number in self._table.objects]
            lost_ids = set(map(id, objects)) - reached
            gone = {id(obj): obj for obj in objects if id(obj) in lost_ids and not is_fixed(type(obj))} if lost_ids else {}
            if gone and (self._places.get(name) is held.value or self._has_changed(held)):
                lost.update(gone)
        if lost:
            objects = list(lost.values())
            if capture.is_data:
                objects = [obj for obj in objects if not self._stranger(obj)]
            if objects:
                capture.parts[LOST] = self._dump_what_can(objects)

    def _has_changed(self, held: Held) -> bool:
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
        for group in components(self._ledger.changed(capture), changeable_ids):
            size = sum(part.size_bytes for part in group)
            is_large = limit_bytes is not None and size > limit_bytes
            names = {part.name for part in group}
            if any(is_beside(name) for name in names) or names & out or not (is_large or names & keep):
                continue
            if any(self._ledger.is_shared(key) for part in group for key in changeable_ids(part)):
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

    def _modules(self) -> list[HasState]:
        """Whose state is a part of every exchange."""
        return [*self._ledger.introductions.known(), *PATCHES.known()]
