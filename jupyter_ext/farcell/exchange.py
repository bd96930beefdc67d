"""This side's half of the state that a notebook and one remote kernel share.

Bound to one epoch of one remote kernel: object numbers mean nothing to the next one. Translates what
`farcell_host.state` raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from farcell_host.ambient import Ambient, providers
from farcell_host.protocol.messages import Buffer
from farcell_host.state import CannotRestore, Delta, RefInfo, Replica
from farcell_host.state import CannotTravel as CannotTravelHere
from farcell_host.state.magics import Magics
from farcell_host.state.modules import Seen
from farcell_host.state.payload import ERROR, RESULT, Capture, NameReport, Payload
from farcell_host.state.watch import Watch

from .errors import CannotTravel, FarcellError
from .refs import name_ref

NOTHING = object()


@dataclass(frozen=True)
class PlanRow:
    """One name of a run: why it travels, what it is, and how much of it must be sent."""

    name: str
    why: str
    type: str
    size: int
    there: bool
    send: int

    @classmethod
    def of(cls, report: NameReport, why: str) -> PlanRow:
        there = report.status in ("unchanged", "ref", "stays")
        return cls(report.name, why or report.reason, report.type, report.size_bytes, there, report.bytes_to_send)


@dataclass(frozen=True)
class Returned:
    """What came back with a reply."""

    result: Any = NOTHING
    error: BaseException | None = None
    names: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    nbytes: int = 0
    aside: Delta | None = None
    """What was not merged, since this notebook has changed it too."""
    imported: tuple[str, ...] = ()
    """Modules of the notebook's own that the run was the first to import."""
    left: tuple[str, ...] = ()
    """Types of what holds an object that was replaced, and cannot be given its successor."""


class Exchange:
    """`outgoing` and `incoming` over a Replica; one thread at a time."""

    def __init__(
        self,
        namespace: dict[str, Any],
        epoch: int,
        hashes: Sequence[str],
        make_ref: Callable[[str, RefInfo], Any],
        started_in: str | None = None,
        takes_data_alone: bool = False,
    ) -> None:
        """`started_in`: the notebook's working folder when the target was started. `takes_data_alone`: `trust = "data"`."""
        self.namespace = namespace
        self.epoch = epoch
        ambient = Ambient(is_notebook=True, of=providers(started_in))
        self._replica = Replica(
            namespace,
            side="local",
            hashes=list(hashes),
            make_ref=make_ref,
            ambient=ambient,
            magics=Magics(),
            takes_data_alone=takes_data_alone,
        )

    def has(self, name: str) -> bool:
        """Whether the notebook has this variable, or this magic of its own."""
        return name in self._replica.places

    def let_die(self) -> None:
        """Objects that nothing but weak references leads to any more, and that are held since both sides knew them."""
        self._replica.let_die()

    @property
    def held(self) -> frozenset[str]:
        """Names that both sides have."""
        return self._replica.held

    def shared(self, names: Iterable[str]) -> set[str]:
        """Those that code on the target may change: it has them, or may have made them."""
        return self._replica.shared(names)

    def unknown_modules(self, names: Iterable[str]) -> set[str]:
        """Those of these modules that are loaded here, are the notebook's own, and unknown to the target."""
        return self._replica.introductions.wanted(names)

    def known_modules(self) -> list[Seen]:
        """Of the notebook's own, which the target has as they are here."""
        return self._replica.introductions.known()

    def introduce(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """What the target needs to load these modules of the notebook's own."""
        return self._replica.introduce(names)

    def introduced(self, offers: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        self._replica.introduced(offers, answer)

    def forget_modules(self, names: Collection[str]) -> None:
        """A cell has taken these out of the target's `sys.modules`."""
        self._replica.forget_modules(names)

    def drawing_nothing(self) -> AbstractContextManager[None]:
        """For imports that the target has done before."""
        return self._replica.drawing_nothing()

    def capture(self, names: Iterable[str], optional: Mapping[str, str] = MappingProxyType({}), ambient: bool = True) -> Capture:
        """Walks the names and compares with what the peer has; CannotTravel with the path to the culprit.

        `optional` names, with their reasons, go along if they can, and so does the state around the names, unless `ambient`
        says otherwise.
        """
        try:
            return self._replica.capture(names, optional=optional, ambient=ambient)
        except CannotTravelHere as error:
            raise CannotTravel(error.name, error.path, error.reason, error.hint) from None

    def pack(self, capture: Capture) -> Payload:
        try:
            return self._replica.pack(capture)
        except CannotTravelHere as error:
            raise CannotTravel(error.name, error.path, error.reason, error.hint) from None

    def sent(self, payload: Payload) -> None:
        self._replica.sent(payload)

    def merge(
        self, header: Mapping[str, Any] | None, buffers: Sequence[Buffer], bulk: Sequence[Buffer], watch: Watch | None = None
    ) -> Returned:
        """Decodes and validates everything, then applies it: all of it or nothing, but for what changed here since `watch`."""
        if not header:
            return Returned()
        payload = Payload(dict(header), list(buffers), list(bulk))
        try:
            delta = self._replica.unpack(payload)
        except CannotRestore as error:
            raise FarcellError(f"{error}. Nothing of this run was merged; the values are still on the target.") from error
        aside = self._replica.set_aside(delta, watch) if watch is not None else None
        touched = self._replica.apply(delta)
        for name in delta.refs:
            name_ref(delta.values.get(name, self.namespace.get(name)), name)
        return Returned(
            delta.values.get(RESULT, NOTHING),
            delta.values.get(ERROR),
            (*touched, *delta.deleted),
            tuple(name for name in delta.refs if name not in (RESULT, ERROR)),
            payload.total_bytes,
            aside,
            left=tuple(sorted(set(delta.left))),
        )

    def settle(self, aside: Delta, take: bool) -> list[str]:
        """Merges what was set aside, or lets go of it; the names that changed."""
        try:
            return self._replica.settle(aside, take)
        except CannotRestore as error:
            raise FarcellError(f"{error}. Nothing was merged.") from error


def plan_rows(capture: Capture, why: Mapping[str, str]) -> list[PlanRow]:
    return [PlanRow.of(report, why.get(report.name, "")) for report in capture]
