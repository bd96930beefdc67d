"""One client's connection in the host: its stream, its end of the protocol, and its place in the journal."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from . import bulk
from .errors import ProtocolError
from .held import Hashed, HeldBulk, HeldFile
from .journal import Block, Cursor, Journal
from .kernellink import BULK_KEY
from .protocol.events import Event, Hello
from .protocol.frames import CHUNK_BYTES, EARLY_BYTES, Descriptor, FrameReader, MessageAssembler
from .protocol.messages import Channel, Message
from .protocol.outbox import Outgoing
from .protocol.peer import Peer
from .stream import Endpoint, Stream

if TYPE_CHECKING:
    from .chunkstore import ChunkStore

QUEUED_BYTES = 512 << 10  # above it the journal is not read for this connection
ACK_DELAY_S = 0.02  # an acknowledgement waits this long for company: alone it would wake the client in the middle of every cell


class PeerLink:
    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        held: HeldBulk,
        store: ChunkStore,
        on_events: Callable[[PeerLink, list[Event]], None],
        on_lost: Callable[[PeerLink, Exception | None], None],
    ) -> None:
        self.peer = Peer()
        self.hello: Hello | None = None
        self.role = ""
        self.generation = 0
        self.arrived: dict[int, Descriptor] = {}
        self.heard = True
        """Anything since `Host` looked last."""
        self.silent_since: float | None = None
        self._journal = journal
        self._held = held
        self._store = store
        self._on_events = on_events
        self._on_lost = on_lost
        self._cursor: Cursor | None = None
        self._hashing = False
        self._chunks: deque[str] = deque()
        self._early: deque[str] = deque()
        """Chunks whose message is to come."""
        self._early_left = EARLY_BYTES
        self._acknowledged: dict[Channel, int] = {}
        self._ack_timer: asyncio.TimerHandle | None = None
        self.stream = Stream(endpoint, self._take, self._received, self._lost, room=lambda: self.peer.room)

    @property
    def uses_descriptors(self) -> bool:
        """The driver only: its acknowledgement closes them, and another reader may still have them queued by then."""
        return self.role == "driver" and self.hello is not None and self.hello.descriptors and self.stream.supports_descriptors

    def follow(self, sequence: int) -> None:
        """The client has everything up to `sequence`."""
        self._cursor = Cursor(sequence + 1)

    def wake(self) -> None:
        self.stream.wake()

    def acknowledge(self, channel: Channel, sequence: int) -> None:
        """What the client sent on this channel up to `sequence` is in good hands."""
        self._acknowledged[channel] = sequence
        if self._ack_timer is None:
            self._ack_timer = self.stream.loop.call_later(ACK_DELAY_S, self._acknowledge_now)

    def _acknowledge_now(self) -> None:
        self._queue_acknowledgements()
        self.wake()

    def _queue_acknowledgements(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        for channel, sequence in self._acknowledged.items():
            self.peer.acknowledge(channel, sequence)
        self._acknowledged.clear()

    def send_chunks(self, addresses: Iterable[str]) -> list[str]:
        """Chunks follow when nothing else is to be written; gives those we do not have."""
        wanted = [address for address in addresses if isinstance(address, str)]
        missing = [address for address in wanted if self._held.chunk(address) is None and self._store.missing([address])]
        self._chunks.extend(address for address in wanted if address not in missing)
        return missing

    def refuse(self, code: str, message: str) -> None:
        self.peer.refuse(code, message)
        self.finish()

    def finish(self) -> None:
        self._chunks.clear()
        self._early.clear()
        self._queue_acknowledgements()
        self.stream.finish()
        self._forget()

    def close(self) -> None:
        self.stream.close()
        self._forget()

    def _forget(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        for fd in [*self.peer.leftover_descriptors(), *(item.fd for item in self.arrived.values())]:
            os.close(fd)
        self.arrived = {}

    def _lost(self, error: Exception | None) -> None:
        self._forget()
        self._on_lost(self, error)

    def is_silent(self, now: float, limit_s: float) -> bool:
        """Whether a client that asks for signs of life has sent none for so long: its machine sleeps, or the link is cut."""
        if self.heard or not self.peer.is_beating or self.silent_since is None:
            self.heard, self.silent_since = False, now
        return now - self.silent_since > limit_s

    def _received(self, data: bulk.Buffer, fds: list[int]) -> None:
        self.heard = True
        try:
            events = self.peer.receive(data, fds)
            if not events and not self.peer.has_output:
                return
            self._on_events(self, events)
        except ProtocolError as error:
            if not self.stream.closed:
                self.refuse("protocol", str(error))
            self._on_lost(self, error)
            return
        self.wake()

    def _take(self, max_bytes: int) -> list[Outgoing]:
        """Called when bytes may be written: only then the journal is read."""
        self._follow()
        if self._acknowledged and self.peer.has_output:
            self._queue_acknowledgements()
        frames = self.peer.take(max_bytes)
        while not frames and (self._chunks or self._early):
            address = (self._chunks or self._early).popleft()
            data = self._held.chunk(address) or self._store.get(address)
            if data is not None:
                self.peer.send_chunk(address, data)
            frames = self.peer.take(max_bytes)
        return frames

    def _follow(self) -> None:
        peer = self.peer
        if not peer.is_welcome or peer.is_refused:
            return
        while self._cursor is not None and peer.queued_bytes < QUEUED_BYTES and not self._hashing:
            before = (self._cursor.next, self._cursor.segment, self._cursor.offset)
            block = self._journal.read(self._cursor)
            if block is None:
                return
            if not block.alone:
                peer.send_encoded([block.data])
            elif not self._send_alone(block):
                self._cursor = Cursor(before[0], before[1], before[2])
                return

    def _send_alone(self, block: Block) -> bool:
        """A message with bulk; False: its addresses are being computed, ask again."""
        message = _decode(block.data)
        sequence = block.first
        if not self._held.is_held(sequence):
            self.peer.send(sequence, HeldBulk.without(message), gap=block.gap)
        elif self.uses_descriptors:
            self.peer.send(sequence, message, gap=block.gap, descriptors=self._held.descriptors(sequence))
        else:
            assert self.hello is not None
            hash_name = bulk.common_hash(self.hello.hashes)
            if not self._held.is_computed(sequence, hash_name):
                self._hash(self._held.files(sequence))
                return False
            self._early.clear()
            self._early_left = EARLY_BYTES
            self.peer.send(sequence, self._held.as_chunks(sequence, message, hash_name), gap=block.gap)
        return True

    def hash_ahead(self, file: HeldFile) -> None:
        """More of a buffer is written, whose message is to come."""
        if self.role == "driver" and not (self.uses_descriptors or self._hashing) and self._early_left > 0:
            self._hash([file])

    def _hash(self, files: Sequence[HeldFile]) -> None:
        """The first chunks go while others are hashed, ahead of the message: the client has not asked for them, but will."""
        assert self.hello is not None
        self._hashing = True
        loop, hash_name = self.stream.loop, bulk.common_hash(self.hello.hashes)

        def some(hashed: list[Hashed]) -> None:
            for address in self._held.computed(hash_name, hashed):
                if self._early_left > 0 and not self.stream.closed:
                    self._early_left -= CHUNK_BYTES
                    self._early.append(address)
            self.wake()

        def done(work: asyncio.Future[None]) -> None:
            self._hashing = False
            work.result()
            self.wake()

        hashing = self._held.hashing(files, hash_name, lambda hashed: loop.call_soon_threadsafe(some, hashed))
        loop.run_in_executor(None, hashing).add_done_callback(done)


def _decode(data: bytes) -> Message:
    assembler = MessageAssembler()
    message = None
    for frame in FrameReader().feed(data):
        message = assembler.add(frame)
    assert message is not None and BULK_KEY in message.metadata
    return message
