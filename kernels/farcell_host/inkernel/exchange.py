"""State that arrives and leaves, and the shape of our own requests and replies whatever way they travel."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..ambient import Ambient
from ..state import CannotRestore, CannotTravel, Payload, Replica
from ..state.magics import is_magic
from ..state.modules import MODULES
from .namespace import Namespace

LIMIT_BYTES = 1 << 20  # what comes back unasked, when the request does not say

Buffer = bytes | bytearray | memoryview
Check = Callable[[], object]


@dataclass(frozen=True)
class Request:
    """A message of ours to the kernel; every buffer is writable and the kernel's own."""

    header: dict[str, Any]
    content: dict[str, Any]
    buffers: Sequence[Buffer] = ()
    bulk: Sequence[Callable[[Check], Buffer]] = ()
    """Each is had by calling it, once, with a function to be called now and then, which may raise; or raises Unreadable."""

    def take_bulk(self, check: Check = lambda: None) -> list[Buffer]:
        return [take(check) for take in self.bulk]


@dataclass(frozen=True)
class Reply:
    msg_type: str
    content: dict[str, Any]
    buffers: Sequence[Buffer] = ()
    bulk: Sequence[Buffer] = ()


class Channel(Protocol):
    """The way a request came: where its outputs belong, and how the notebook is asked for a name."""

    ident: Any

    def send_fetch(self, content: dict[str, Any], parent: dict[str, Any]) -> None: ...

    def wait_fetch_reply(self, timeout_s: float | None) -> Request | None:
        """The next farcell_fetch_reply; None when there is none in time. KeyboardInterrupt may end the wait."""
        ...


class Refused(Exception):
    """The request's state could not be installed; nothing was run, nothing was changed."""


@dataclass
class Exchange:
    """The replica of this side; fetches come from any thread, so it is used under a lock."""

    namespace: Namespace
    replica: Replica
    lock: threading.RLock = field(default_factory=threading.RLock)

    def install(self, header: dict[str, Any] | None, buffers: Sequence[Buffer], bulk: Sequence[Buffer]) -> None:
        """All or nothing; raises Refused with a message for the user."""
        if header is None:
            return
        with self.lock:
            try:
                delta = self.replica.unpack(Payload(header, list(buffers), list(bulk)))
            except Exception as error:
                raise Refused(explain_failure(error)) from error
            self.replica.apply(delta)

    def meet(self, offers: list[dict[str, Any]]) -> dict[str, Any]:
        """Loads modules of the notebook's own, and says how they differ from the notebook's."""
        with self.lock:
            return self.replica.meet(offers)

    def imported(self) -> dict[str, str]:
        """Modules of the notebook's own that were imported or reloaded here, and that the notebook was not told of: versions."""
        introductions = self.replica.introductions
        known = {seen.source.name for seen in introductions.known()}
        names = [name for name in MODULES.see_new() if name not in known] + introductions.reloaded()
        return {name: MODULES.see(sys.modules[name]).source.version for name in names}

    def gone(self) -> list[str]:
        """Modules of the notebook's own that were taken out of `sys.modules` here, and that it counts on."""
        with self.lock:
            return self.replica.take_gone()

    def drop(self, names: Collection[str]) -> None:
        """Forgets names that the notebook has deleted or bound to something else; they are not reported as deleted here."""
        with self.lock:
            self.namespace.drop(names)
            self.replica.magics.drop(filter(is_magic, names))
            self.replica.forget(names)

    def collect(self, names: Iterable[str], content: dict[str, Any], bound: Iterable[str] = (), **pseudo: Any) -> Payload:
        """What has changed of `names`; `content` is the request's, with its `limit_bytes`, `out` and `keep`.

        `bound` were bound here without knowing what the notebook has by now.
        """
        with self.lock:
            asked = sorted(names)
            capture = self.replica.collect(
                asked,
                limit_bytes=content.get("limit_bytes", LIMIT_BYTES),
                out=content.get("out") or (),
                keep=content.get("keep") or (),
                bound=bound,
                is_data=content.get("trust") == "data",
                **pseudo,
            )
            # A name that lies aside is absent too, and not deleted.
            capture.deleted = [name for name in capture.deleted if name in asked]
            payload = self.replica.pack(capture)
            self.replica.sent(payload)
            return payload

    def start_over(self) -> None:
        """Another kernel of the notebook's has taken over: it knows nothing of what the one before had."""
        with self.lock:
            before = self.replica
            self.replica = Replica(
                self.namespace, side="remote", hashes=before.hashes, ambient=Ambient(is_notebook=False), magics=before.magics
            )

    def copies(self, names: Sequence[str], content: dict[str, Any]) -> Payload:
        """These values for themselves, as to a notebook that knows nothing yet."""
        with self.lock:
            beside = Replica(self.namespace, side="remote", hashes=self.replica.hashes)
            return beside.pack(beside.collect(names, out=names, is_data=content.get("trust") == "data"))

    def readings(self, names: Sequence[str], most_bytes: int) -> dict[str, Any]:
        """These values as data, in JSON, for somebody who has nothing of this session and changes nothing in it.

        Raises Refused for more than `most_bytes` together; one that is larger, or no data, comes as a ref that says why."""
        with self.lock:
            beside = Replica(self.namespace, side="remote", hashes=self.replica.hashes)
            there = [name for name in names if name in self.namespace]
            payload = beside.pack(beside.collect(there, limit_bytes=most_bytes, is_data=True))
        if payload.total_bytes > most_bytes:
            raise Refused(f"These are {payload.total_bytes} bytes together, and at most {most_bytes} can be read at once.")
        rooms = {"buffers": payload.buffers, "bulk": payload.bulk}
        told = {room: [base64.b64encode(each).decode() for each in given] for room, given in rooms.items()}
        return {"state": payload.header, **told, "missing": [name for name in names if name not in there]}


def explain_failure(error: BaseException) -> str:
    """Why the notebook's state cannot be rebuilt here, with the command that helps when a module is missing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            package = cause.name.partition(".")[0]
            return (
                f"The target has no module {package!r}, which the notebook's state needs ({error}). "
                f"Install it there, for example by a remote cell: %pip install {package}"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (CannotRestore, CannotTravel)):
        return str(error)
    return f"The notebook's state cannot be rebuilt on the target: {type(error).__name__}: {error}"
