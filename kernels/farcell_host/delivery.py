"""What clients sent on its way to the remote kernel: in order on each channel, whole, and one run at a time.

A message waits for its chunks, a run for the end of the one before; so an interrupt that names a run which has not begun
cancels it here, and one that comes too late finds nothing to do. STDIN and CONTROL pass what waits on SHELL.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .assembly import Assembly
from .chunkstore import ChunkStore, ChunkStoreError
from .intake import Intake
from .kernel import Kernel
from .kernellink import Room
from .protocol.frames import Descriptor
from .protocol.messages import Channel, Message

RUN = "farcell_run_request"
_FILL_HERE_BYTES = 4 << 20  # more is read from the store in a thread
_BULK = b'"farcell_bulk"'
_DETACHED = b'"farcell_detached"'
_REMEMBERED_FAILURES = 1000

log = logging.getLogger("farcell.host")

Waiting = Message | Assembly


class Delivery:
    """`kernel` may be replaced; `publish(message)` journals an answer that we give in the kernel's place."""

    def __init__(self, store: ChunkStore, publish: Callable[[Message], None]) -> None:
        self.kernel: Kernel | None = None
        self.why_dead = "The remote kernel is not running"
        self._store = store
        self._intake = Intake(store, self._kept)
        self._publish = publish
        self._queues: dict[Channel, deque[Waiting]] = {channel: deque() for channel in Channel}
        self._failures: dict[str, str] = {}
        self._closed: str | None = None
        self._loop = asyncio.get_running_loop()
        self.detached: set[str] = set()
        """Runs that nobody waits for: what they bring back may be merged long after it came."""

    @property
    def waiting_runs(self) -> list[str]:
        return [run for item in self._queues[Channel.SHELL] if (run := run_of(_message(item))) is not None]

    @property
    def arriving(self) -> dict[str, tuple[int, int]]:
        """By run: how many bytes of its buffers are here, and how many there are. Only of runs that wait for theirs."""
        found = {}
        for item in self._assemblies():
            run = run_of(item.message)
            if run is not None and item.sizes and not item.is_complete:
                found[run] = (item.there_bytes, item.size)
        return found

    @property
    def is_empty(self) -> bool:
        return not any(self._queues.values())

    def accept(self, message: Message, given: Mapping[int, Descriptor]) -> set[int]:
        """Queues a client's message; gives the descriptors that were taken over."""
        item: Waiting = message
        taken: set[int] = set()
        if self._closed is not None and run_of(message) is not None:
            self._refuse(message, self._closed)
            return taken
        if _DETACHED in message.parts[0]:
            self.detached.add(str(message.header.get("farcell_run")))
        if _BULK in message.parts[2]:
            try:
                item = Assembly(message, given)
            except (KeyError, TypeError, ValueError, ChunkStoreError) as error:
                self._refuse(message, f"The message names its buffers in a way that is not understood: {error!r}")
                return taken
            taken = item.taken
            for address, reason in self._failures.items():
                item.failed(address, reason)
        self._queues[message.channel].append(item)
        self.advance()
        return taken

    def chunk(self, address: str, data: Any) -> None:
        """A chunk has come: into the store, then into what waits for it."""
        self._intake.take(address, data, [item.arrived for item in self._assemblies()])

    def missing(self, addresses: Iterable[str]) -> list[str]:
        """The chunks that are to be sent."""
        return self._intake.missing(addresses)

    def _kept(self, address: str, data: Any, failure: str | None) -> None:
        if failure is not None:
            log.error("%s", failure)
            self._failed(address, failure)
        else:
            self._failures.pop(address, None)
            for item in self._assemblies():  # those that came meanwhile, too
                item.arrived(address, data)
        self.advance()

    def cancel(self, run: str, why: str = "The run was cancelled before it began") -> bool:
        """Takes back a run that has not begun."""
        for item in self._queues[Channel.SHELL]:
            message = _message(item)
            if run_of(message) == run:
                self._queues[Channel.SHELL].remove(item)
                _discard(item)
                self._answer(message, "aborted", why)
                return True
        return False

    def close(self, reason: str) -> None:
        """No run begins any more; the one that goes on has its way."""
        self._closed = reason
        for run in self.waiting_runs:
            self.cancel(run, reason)

    def end(self) -> None:
        """Nothing is taken any more; waits for what is being written."""
        self._intake.close()

    def abort(self, reason: str) -> None:
        """Answers everything that waits: there is no kernel to take it any more."""
        for queue in self._queues.values():
            while queue:
                item = queue.popleft()
                _discard(item)
                self._refuse(_message(item), reason)

    def advance(self) -> None:
        """Hands on whatever may go now."""
        kernel = self.kernel
        if kernel is None or not kernel.is_alive:
            self.abort(self.why_dead)
            return
        if not kernel.is_ready:
            return
        for item in self._assemblies():
            if item.sizes and not item.is_asked and item.failure is None:
                item.is_asked = True
                kernel.ask_room(item.sizes, partial(self._furnish, item))
        for channel, queue in self._queues.items():
            while queue and self._may_go(queue[0], kernel):
                self._go(queue.popleft(), kernel, channel)

    def _may_go(self, item: Waiting, kernel: Kernel) -> bool:
        if isinstance(item, Assembly) and not item.is_complete:
            return False
        return not (kernel.asked and kernel.run is not None and run_of(_message(item)) is not None)

    def _go(self, item: Waiting, kernel: Kernel, channel: Channel) -> None:
        if isinstance(item, Message):
            kernel.send(item, [])
        elif item.failure is not None:
            item.discard()
            self._refuse(item.message, item.failure)
        else:
            kernel.send(*item.deliver())

    def _furnish(self, item: Assembly, room: Room | None) -> None:
        """What has come before there was room for it is in the store."""
        item.furnish(room)
        if item.size <= _FILL_HERE_BYTES:
            item.fill(self._store)
            self._loop.call_soon(self.advance)
            return
        work = self._loop.run_in_executor(None, item.fill, self._store)
        work.add_done_callback(lambda work: self.advance())

    def _failed(self, address: str, reason: str) -> None:
        self._failures[address] = reason
        while len(self._failures) > _REMEMBERED_FAILURES:
            del self._failures[next(iter(self._failures))]
        for item in self._assemblies():
            item.failed(address, reason)

    def _assemblies(self) -> list[Assembly]:
        return [item for queue in self._queues.values() for item in queue if isinstance(item, Assembly)]

    def _refuse(self, message: Message, reason: str) -> None:
        """A running cell that waits for names must be told too: as an answer that says why there are none."""
        kernel = self.kernel
        if message.msg_type == "farcell_fetch_reply" and kernel is not None and kernel.is_ready:
            content = {**message.content, "found": [], "error": reason, "state": None}
            kernel.send(Message.build(Channel.STDIN, "farcell_fetch_reply", content, header=message.header), [])
        elif message.msg_type.endswith("_request"):
            self._answer(message, "refused", reason)

    def _answer(self, message: Message, status: str, reason: str) -> None:
        content: dict[str, Any] = {"status": status, "message": reason, "state": None, "missing": []}
        if message.msg_type == RUN:
            content |= {"run": run_of(message), "ename": "", "evalue": reason, "traceback": [], "execution_count": None}
            content |= {"user_expressions": {}, "payload": [], "has_result": False, "usage": {"seconds": 0.0}}
        msg_type = message.msg_type.replace("_request", "_reply")
        self._publish(Message.build(Channel.SHELL, msg_type, content, parent=message.header))


def run_of(message: Message) -> str | None:
    """The run a message asks for; None for any other message."""
    if message.channel is not Channel.SHELL or message.msg_type != RUN:
        return None
    return str(message.header.get("farcell_run"))


def _message(item: Waiting) -> Message:
    return item.message if isinstance(item, Assembly) else item


def _discard(item: Waiting) -> None:
    if isinstance(item, Assembly):
        item.discard()
