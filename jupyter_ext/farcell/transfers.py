"""The bulk buffers of messages on their way: on one machine read where they lie or as descriptors, else as addressed chunks."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from farcell_host import bulk as bulk_memory
from farcell_host import peermemory
from farcell_host.protocol.frames import CHUNK_BYTES, Descriptor
from farcell_host.protocol.messages import Buffer, Message

BULK_KEY = "farcell_bulk"

_numbers = itertools.count(1)  # of descriptors; on a stream each means one


BATCH_BYTES = 16 << 20
"""So much is hashed before the peer is asked for what of it is missing there; that goes while the rest is hashed."""


@dataclass(eq=False)
class Upload:
    """The bulk of one message on its way as chunks: kept until the peer is known to have all of it."""

    chunks: dict[str, memoryview] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """Those that the peer was asked about, and has not answered."""
    waiting: deque[str] = field(default_factory=deque)
    sent_bytes: int = 0
    total_bytes: int = 0
    """Of those that the peer does not have, as far as it has said which."""
    unasked_bytes: int = 0
    """Of what is still to be hashed, and may be there already."""

    def answered(self, addresses: Collection[str], missing: Collection[str]) -> None:
        self.asked.difference_update(addresses)
        self.waiting.extend(address for address in missing if address in self.chunks)
        self.total_bytes += sum(len(self.chunks[address]) for address in missing if address in self.chunks)

    def again(self) -> list[str]:
        """The stream is a new one: what to ask about beside what was asked and goes on being asked."""
        self.waiting.clear()
        self.total_bytes = self.sent_bytes
        return [address for address in self.chunks if address not in self.asked]

    def sent(self) -> tuple[str, memoryview]:
        """The next chunk."""
        address = self.waiting.popleft()
        data = self.chunks[address]
        self.sent_bytes += len(data)
        return address, data


@dataclass
class Bulk:
    """The bulk buffers of a message, ready to go. What is to be read where it lies must stay there until the answer."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    descriptors: list[Descriptor] = field(default_factory=list)
    chunks: dict[str, memoryview] = field(default_factory=dict)
    upload: Upload | None = None
    """What of the chunks goes already."""

    def discard(self) -> None:
        """For bulk that was never handed to a connection."""
        for descriptor in self.descriptors:
            os.close(descriptor.fd)
        self.descriptors.clear()


class Inbound:
    """A message of the host, and what of its bulk has come: chunks go to their places as they arrive."""

    def __init__(self, sequence: int, message: Message) -> None:
        self.sequence, self.message = sequence, message
        self.missing: set[str] = set()
        self.mapped: dict[int, memoryview] = {}
        """By descriptor number, which means something on one stream only."""
        self.is_released = False
        """Whether the host has its buffers no more: another reader has taken what it brought."""
        self._came = 0
        self._rooms: dict[int, memoryview] = {}
        self._places: dict[str, list[memoryview]] = {}

    def expect(self) -> list[tuple[int, int]]:
        """Makes room for the chunks that are to come; number and size of the descriptors that came along."""
        descriptors = []
        for number, entry in enumerate(self.message.metadata.get(BULK_KEY, ())):
            if "descriptor" in entry:
                descriptors.append((entry["descriptor"], entry["size"]))
                continue
            if "released" in entry:
                self.is_released = True
                continue
            room = self._rooms[number] = bulk_memory.room(entry["size"])
            for address, place in zip(entry["chunks"], bulk_memory.pieces(room), strict=True):
                self._places.setdefault(address, []).append(place)
        self.missing.update(self._places)
        return descriptors

    def arrived(self, address: str, data: Buffer) -> None:
        """A chunk that is missing and is what its address says. Raises ValueError when it has another size than its place."""
        for place in self._places[address]:
            place[:] = data
            self._came += len(place)
        self.missing.discard(address)

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes that came in pieces, and all that are to come so."""
        return self._came, sum(map(len, self._rooms.values()))

    def buffers(self) -> Iterator[Buffer]:
        """All of its bulk, in order; nothing may be missing."""
        for number, entry in enumerate(self.message.metadata.get(BULK_KEY, ())):
            yield self._rooms[number] if number in self._rooms else self.mapped[entry["descriptor"]]


class Way(Enum):
    """How bulk buffers reach the peer."""

    MEMORY = "memory"
    DESCRIPTORS = "descriptors"
    CHUNKS = "chunks"


def prepare(
    buffers: Iterable[Buffer],
    way: Way,
    hash_name: str,
    check: Callable[[], object],
    on_batch: Callable[[dict[str, memoryview]], object] = lambda chunks: None,
) -> Bulk:
    """Makes bulk buffers ready on the calling thread; raises OSError when memory is short.

    `check` is called every 1 to 2 MiB, possibly on two threads at once; what it raises ends the work, and nothing is left of it.
    `on_batch` is given chunks as soon as BATCH_BYTES of them are ready, in the end the rest; nothing where all are fewer.
    """
    bulk = Bulk()
    batch: dict[str, memoryview] = {}
    try:
        for buffer in buffers:
            entry: dict[str, Any] = {"size": memoryview(buffer).nbytes}
            if way is Way.MEMORY:
                entry["memory"] = peermemory.offer(buffer)
            elif way is Way.DESCRIPTORS:
                descriptor = Descriptor(next(_numbers), bulk_memory.make_descriptor(buffer, check), entry["size"])
                bulk.descriptors.append(descriptor)
                entry["descriptor"] = descriptor.id
            else:
                entry["chunks"] = []
                for piece in bulk_memory.pieces(buffer, CHUNK_BYTES):
                    check()
                    if len(batch) * CHUNK_BYTES >= BATCH_BYTES:
                        on_batch(batch)
                        batch = {}
                    address = bulk_memory.address_of(piece, hash_name)
                    entry["chunks"].append(address)
                    if address not in bulk.chunks:
                        bulk.chunks[address] = batch[address] = piece
            bulk.entries.append(entry)
        if len(batch) < len(bulk.chunks):
            on_batch(batch)
    except BaseException:
        bulk.discard()
        raise
    return bulk
