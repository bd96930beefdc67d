"""One side's half of a shared notebook state: what the peer has, and what must travel.

Two Replicas are mirror images. Each compares with its own history only: a name whose fingerprint is that of the last exchange is
not sent. `capture` and `collect` look, `pack` writes, `sent` remembers; `unpack` decodes, `apply` changes everything or nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, Literal

from ..ambient import Ambient
from . import context, frames
from .arrays import is_array
from .capture import dump_module, dump_or_refuse
from .decode import decode, is_inert, read_numbers
from .delta import Component, Delta, carry_out, fill_steps, merge_steps
from .enums import put_back, take_away
from .errors import CannotRestore, CannotTravel, NotData
from .introductions import Introductions
from .ledger import UNKNOWN, Held, Ledger, is_beside, is_still
from .magics import Magics
from .modules import MODULES, is_module_state, pseudo_name
from .packing import Packing
from .payload import AMBIENT, PSEUDO_NAMES, Capture, Payload
from .refs import Ref, RefInfo, is_ref
from .survey import Survey, Uses
from .uses import uses as default_uses
from .watch import Watch


def _ref_numbers(delta: Delta) -> list[int]:
    return [value.__farcell_number__ for value in delta.values.values() if is_ref(value)]


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
        takes_data_alone: bool = False,
    ) -> None:
        """Without `ambient` and `magics`, variables alone travel. `takes_data_alone`: of what comes nothing is unpickled."""
        self.namespace = namespace
        self.magics = magics if magics is not None else Magics(lambda: None)
        self.hashes = tuple(hashes)
        self._make_ref = make_ref
        self._takes_data_alone = takes_data_alone
        self._ambient = ambient
        self._ledger = ledger = Ledger(namespace, side, self.magics)
        self._table, self._memory, self._held, self.places = ledger.table, ledger.memory, ledger.held, ledger.places
        self._survey = Survey(ledger, ambient)
        self._packing = Packing(ledger, ambient)

    @property
    def introductions(self) -> Introductions:
        return self._ledger.introductions

    @property
    def held(self) -> frozenset[str]:
        """Names that both sides have, as of the last exchange."""
        return self._ledger.names

    def shared(self, names: Iterable[str]) -> set[str]:
        """Those that the peer may have changed: it has them, or has bound them on its own."""
        return self._ledger.shared(names)

    def forget(self, names: Iterable[str]) -> None:
        """The peer no longer has these names: they count as never sent."""
        self._ledger.forget(names)

    def let_die(self) -> None:
        """What only names reached that are gone or bound anew, and weak references lead to: it is as dead as it would be here."""
        self._ledger.let_die()

    # -- looking and writing ------------------------------------------------------------------------------------------

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
        return self._survey.capture(names, uses, optional, ambient)

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
        `is_data`: for a peer that takes data alone.
        """
        return self._survey.collect(
            names,
            limit_bytes=limit_bytes,
            out=out,
            keep=keep,
            bound=bound,
            result=result,
            error=error,
            has_result=has_result,
            is_data=is_data,
        )

    def pack(self, capture: Capture) -> Payload:
        """The payload for a capture; nothing is remembered before `sent`."""
        return self._packing.pack(capture)

    def sent(self, payload: Payload) -> None:
        """The peer has installed this payload."""
        self._packing.sent(payload)

    # -- modules of the notebook's own --------------------------------------------------------------------------------

    def introduce(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """What the peer needs to load these modules, and to find out which objects in them are the same there."""
        with context.working(self._ledger):
            return self._ledger.introductions.offer(names)

    def meet(self, offers: list[dict[str, Any]]) -> dict[str, Any]:
        """At the peer: load what is not here as it is there, and say what turned out differently and what could not be loaded."""
        with context.working(self._ledger), self.drawing_nothing():
            answer = self._ledger.introductions.compare(offers)
            self._hold_modules(offers, answer)
        return answer

    def introduced(self, offers: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        """The peer's answer: the same numbers now mean the same objects."""
        with context.working(self._ledger):
            self._ledger.introductions.agree(offers, answer)
            self._hold_modules(offers, answer)

    def _hold_modules(self, offers: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        for offer in offers:
            name = offer["name"]
            if name in answer["failed"]:
                continue
            part = dump_module(MODULES.see(sys.modules[name]), self._table.kept)
            self._ledger.remember(part)
            if name in answer["unequal"]:
                self._ledger.distrust(part.name)

    def take_gone(self) -> list[str]:
        """At the peer: introduced modules that this process has no more, which the notebook is to be told of."""
        gone = self._ledger.introductions.gone()
        self._ledger.introductions.forget(gone)
        self._ledger.forget(map(pseudo_name, gone))
        return gone

    def forget_modules(self, names: Collection[str]) -> None:
        """The peer has these no more, nor their state; what it has of names that lead to them is of modules without a name."""
        self._ledger.introductions.forget(names)
        self._ledger.forget([*map(pseudo_name, names), *self._ledger.leading_to(names)])

    # -- reading ------------------------------------------------------------------------------------------------------

    def unpack(self, payload: Payload) -> Delta:
        """Decode and validate; raises CannotRestore, and nothing was touched."""
        if self._takes_data_alone:
            return self._read(payload)
        names = [name for stream in payload.header.get("streams", ()) for name in stream["names"]]
        frames.settle()
        self._ledger.late.clear()
        self._ledger.met.clear()
        try:
            with context.working(self._ledger), nullcontext() if is_inert(payload) else self.drawing_nothing():
                delta = decode(payload, self._table)
            delta.validate()
        except Exception as error:
            self._give_back(payload, names)
            if isinstance(error, CannotRestore):
                raise
            text = f"{type(error).__name__}: {error}"
            raise CannotRestore([*names, *payload.header.get("modules", ())], text) from error
        finally:
            take_away(self._ledger.met)
        delta.met = [*self._ledger.met]
        self._ledger.known_sources.update(payload.header.get("sources", ()))
        return delta

    def _read(self, payload: Payload) -> Delta:
        """As `unpack`, without a byte unpickled."""
        from .plainreader import read  # no remote kernel needs it

        frames.settle()
        try:
            with context.working(self._ledger), self.drawing_nothing():
                delta = read(payload, self._table, self.namespace)
                delta.validate()
        except (NotData, CannotRestore) as error:
            with contextlib.suppress(Exception):  # a header of another form has no names
                self._give_back(payload, [name for stream in payload.header["streams"] for name in stream["names"]])
            raise CannotRestore([], f'its target has trust = "data", and sent {error}') from error
        return delta

    def drawing_nothing(self) -> AbstractContextManager[None]:
        """For imports that the peer has done before, and only for its values' sake are done here."""
        return self._ambient.drawing_nothing() if self._ambient is not None else nullcontext()

    def _give_back(self, payload: Payload, names: list[str]) -> None:
        """Tell the peer with the next payload that this one was not installed."""
        places = [stream["objects"] for stream in payload.header.get("streams", ()) if stream["objects"]]
        self._ledger.dropped.update(number for place in places for _, number in read_numbers(payload.find(place)))
        self._ledger.forgotten.update(name for name in names if name not in PSEUDO_NAMES)

    def _watched(self, watch: Watch) -> set[str]:
        return set(self._held) if watch.since_last else watch.names & self._held.keys()

    def set_aside(self, delta: Delta, watch: Watch) -> Delta | None:
        """Take out of a delta what was changed here too since `watch`; None when nothing was.

        The peer is told with the next payload that it was not merged, and this side's own version is sent when it is next read.
        """
        rebound = {name for name in delta.names if self._is_rebound(name, watch)}
        components = [each for each in delta.components if not rebound.isdisjoint(each.names) or self._differs(each, watch)]
        is_conflict = bool(rebound or components)
        if watch.whole and self._ambient is not None and AMBIENT in delta.values:
            came = delta.values[AMBIENT]
            delta.values[AMBIENT] = self._ambient.set_aside(came, all_of_it=is_conflict)
        if not is_conflict:
            return None
        if watch.whole:
            rebound, components = set(delta.names), list(delta.components)
        aside = delta.set_aside(components, rebound)
        aside.values.update({name: self._ledger.resolve(number) for name, number in aside.bind.items()})
        for name, info in aside.refs.items():
            aside.values[name] = ref = self._make_ref(name, info)
            self._table.add(info.number, ref)
        self._table.hold(_ref_numbers(aside))
        self._ledger.forgotten.update(aside.names)
        self._ledger.dropped.update(number for number, _ in aside.objects)
        for name in (self._others(aside, {}) | aside.names) & self.held:
            self._ledger.forget_contents(name)
            self._ledger.distrust(name)
        for obj, _, content in aside.states:
            self._memory.distrust(self._table.numbers.get(id(obj), 0), is_reshaped=is_array(obj) and content[-1] is not None)
        return aside

    def _is_rebound(self, name: str, watch: Watch) -> bool:
        if not watch.since_last:
            return watch.is_rebound(name, self._ledger.namespace)
        if name in self._held:
            return self._ledger.has_changed(name)
        return name in self.places

    def _differs(self, component: Component, watch: Watch) -> bool:
        """Whether this side has changed something of a component since `watch`."""
        if not watch.in_place:
            return False
        merged = {id(obj) for obj, *_ in (*component.states, *component.replaced)}
        watched = self._watched(watch)
        names = {name for name in watched if name in component.names or not merged.isdisjoint(self._held[name].print.ids)}
        return any(map(self._ledger.has_changed, names))

    def settle(self, aside: Delta, take: bool) -> list[str]:
        """Merge what was set aside, or let go of it; the answer are the names that changed.

        Raises CannotRestore when it does not fit what the notebook has by now; nothing was touched then.
        """
        if take:
            aside.validate()
            with context.working(self._ledger):
                carry_out(merge_steps(aside, self.places, aside.values), fill_steps(aside))
                for name, value in aside.values.items():
                    if is_ref(value):
                        self._ledger.remember(dump_or_refuse(name, value, "", self._table.kept))
        self._table.release(_ref_numbers(aside))
        self._ledger.drop_unheld()
        return sorted(aside.names) if take else []

    def apply(self, delta: Delta) -> list[str]:
        """Merge everything or nothing; the answer are the names now bound anew or changed in place."""
        bindings = {name: value for name, value in delta.values.items() if name not in PSEUDO_NAMES}
        refs = self._refs_of(delta)
        bindings.update({name: ref for name, ref in refs.items() if name not in PSEUDO_NAMES})
        bindings.update({name: self._ledger.resolve(number) for name, number in delta.bind.items()})
        steps = merge_steps(delta, self.places, bindings)
        if self._ambient is not None and AMBIENT in delta.values:
            steps.append(self._ambient.merge(delta.values[AMBIENT]))
        others = self._others(delta, bindings)
        unsent = {name for name in others if self._ledger.has_changed(name)}
        came = {id(obj): obj for obj in (*(obj for obj, *_ in delta.states), *(obj for _, obj in delta.objects))}
        unsent |= {name for name in bindings.keys() & self._held.keys() if self._has_more_to_tell(name, came)}
        with context.working(self._ledger):
            put_back(delta.met)
            carry_out(steps, fill_steps(delta))
        frames.settle()
        for name, ref in refs.items():
            if name in PSEUDO_NAMES:
                delta.values[name] = ref
        known = set(self._held)
        self._note(delta, refs)
        touched = {name for name in (others - set(delta.forget)) | bindings.keys() if self._ledger.exists(name)}
        self._forget_pieces(delta)
        self._reprint(touched - (unsent - bindings.keys()), delta, refs, came)
        unsent |= {name for name in bindings.keys() - known if name in self._held and self._ledger.has_others(name, came)}
        for name in touched & unsent & self.held:
            self._ledger.distrust(name)
        self._ledger.drop_unheld()
        return sorted(name for name in touched if not is_beside(name))

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
        self._ledger.dropped.update(delta.unneeded)
        self._ledger.dropped -= delta.taken_back
        for number in delta.taken_back:
            self._table.take_back(number)
        for number, obj in delta.objects:
            self._table.add(number, obj)
        for name, ref in refs.items():
            self._table.add(delta.refs[name].number, ref)
            self._table.watch(delta.refs[name].number)
        for name in (*delta.deleted, *delta.forget):
            self._ledger.forget_contents(name)
            self._ledger.release(self._held.pop(name, None))
        self._table.remove(delta.dropped)
        self._memory.forget(delta.dropped)

    def _others(self, delta: Delta, bindings: dict[str, Any]) -> set[str]:
        """Names that are not part of the exchange and hold objects that it changes."""
        merged = {id(obj) for obj, *_ in (*delta.states, *delta.replaced)}
        found = {name for name, held in self._held.items() if merged and not merged.isdisjoint(held.print.ids)}
        return found - bindings.keys()

    def _has_more_to_tell(self, name: str, came: dict[int, Any]) -> bool:
        """Whether this side has changed something of a name that the peer, which left it as it was, did not send along."""
        return self._ledger.has_others(name, came) and self._ledger.has_changed(name)

    def _forget_pieces(self, delta: Delta) -> None:
        for obj, kind, _ in delta.states:
            if kind == "array":
                self._memory.pieces.pop(self._table.numbers.get(id(obj), 0), None)

    def _reprint(self, names: Iterable[str], delta: Delta, refs: dict[str, Any], came: dict[int, Any]) -> None:
        """Fingerprint anew what came in: each side compares with its own history, hashed after decoding."""
        self._memory.forget_contents(self._table.numbers.get(key, 0) for key in came)
        still = is_still()
        with context.working(self._ledger):
            for name in names:
                if is_module_state(name):
                    self._ledger.remember(self._ledger.dump(name))
                    continue
                value = self.places[name]
                if name in refs:
                    part = dump_or_refuse(name, value, "", self._table.kept)
                    self._ledger.hold(name, Held(part.print, (delta.refs[name].number,)))
                    continue
                if id(value) in self._table.kept:
                    self._ledger.hold(name, Held(UNKNOWN, (self._table.kept[id(value)],), kept=True))
                    continue
                try:
                    part = dump_or_refuse(name, value, "", self._table.kept)
                except CannotTravel:
                    self._ledger.hold(name, Held(UNKNOWN, ()))
                    continue
                self._ledger.remember(part)
                known = (
                    came.keys() & part.print.ids & self._table.numbers.keys() if still else ()
                )  # the peer may have let go of some
                for key in known:
                    self._memory.agree(self._table.numbers[key], came[key])
