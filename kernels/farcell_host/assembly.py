"""A message from a client whose bulk buffers arrive as chunks, until all of them are here.

Each chunk is put where it ends up as soon as it is known to be right: into the remote kernel's own memory, so that nothing of it
is left to be done when the last one comes; into a memory file where there is no writing into the kernel's memory.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from . import bulk, capabilities
from .chunkstore import ChunkStore, ChunkStoreError
from .kernellink import BULK_KEY
from .protocol.frames import CHUNK_BYTES, Descriptor
from .protocol.messages import Message, encode_json


class Rooms(Protocol):
    """Where the buffers of one message come to lie, by their number among those that come as chunks."""

    def write(self, number: int, offset: int, data: bulk.Buffer) -> None:
        """Raises OSError."""

    def entry(self, number: int) -> dict[str, Any]:
        """How the message names the buffer to the kernel."""

    def drop(self) -> None:
        """They will not be named."""


class Files:
    """Memory files, which go to the kernel as open files; `descriptors` are whose who delivers them."""

    def __init__(self, sizes: Sequence[int], first_id: int) -> None:
        """Raises OSError when memory is short."""
        self.descriptors: list[Descriptor] = []
        try:
            for id, size in enumerate(sizes, first_id):
                self.descriptors.append(Descriptor(id, capabilities.memory_file(), size))
                os.ftruncate(self.descriptors[-1].fd, size)
        except BaseException:
            self.drop()
            raise

    def write(self, number: int, offset: int, data: bulk.Buffer) -> None:
        bulk.write_all(self.descriptors[number].fd, data, offset)

    def entry(self, number: int) -> dict[str, Any]:
        return {"size": self.descriptors[number].size, "descriptor": self.descriptors[number].id}

    def drop(self) -> None:
        _close(self.descriptors)


class Assembly:
    """`failure` says why the message cannot be delivered. `fill` and `arrived` are for any thread, the rest for the loop's."""

    def __init__(self, message: Message, given: Mapping[int, Descriptor]) -> None:
        """`given` are the descriptors that came along; those named are taken over."""
        self.message = message
        self.failure: str | None = None
        self.taken: set[int] = set()
        self.is_asked = False
        """Whether there is a room for it, or the kernel was asked for one."""
        self.sizes: list[int] = []
        """Of the buffers that come as chunks."""
        self._entries: list[dict[str, Any] | int] = []
        """As the kernel is told; a number is that of a buffer that comes as chunks."""
        self._descriptors: list[Descriptor] = []
        self._places: dict[str, list[tuple[int, int, int]]] = {}  # address: buffer, offset, size
        self._waiting: set[str] = set()
        self.there_bytes = 0
        """Of the buffers that come as chunks, what is where it belongs."""
        self._rooms: Rooms | None = None
        self._is_over = False
        self._written = threading.Condition()  # around `_waiting`, `_writing` and `_is_over`
        self._writing: set[str] = set()
        try:
            for number, entry in enumerate(message.metadata.get(BULK_KEY, ())):
                self._add(number, entry, given)
        except BaseException:
            self.discard()
            raise
        self._waiting.update(self._places)

    def _add(self, number: int, entry: dict[str, Any], given: Mapping[int, Descriptor]) -> None:
        size = int(entry["size"])
        if "memory" in entry:  # the kernel reads it where it is
            self._entries.append(entry)
        elif "descriptor" in entry:
            descriptor = given.get(entry["descriptor"])
            if descriptor is None:
                self.failure = "A large buffer was announced as an open file, and none came"
                return
            self.taken.add(descriptor.id)
            self._descriptors.append(Descriptor(number + 1, descriptor.fd, size))
            self._entries.append({"size": size, "descriptor": number + 1})
        else:
            for index, address in enumerate(entry["chunks"]):
                offset = index * CHUNK_BYTES
                self._places.setdefault(address, []).append((len(self.sizes), offset, min(CHUNK_BYTES, size - offset)))
            self._entries.append(len(self.sizes))
            self.sizes.append(size)

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def is_complete(self) -> bool:
        return self.failure is not None or (not self._waiting and (self._rooms is not None or not self.sizes))

    def furnish(self, rooms: Rooms | None) -> None:
        """Where the chunks go; without `rooms`, memory files."""
        try:
            self._rooms = rooms or Files(self.sizes, len(self._entries) + 1)
        except OSError as error:
            self.failure = f"No memory for the buffers of this message on the target: {error.strerror}"
        if self._is_over and self._rooms is not None:
            self._rooms.drop()

    def fill(self, store: ChunkStore) -> None:
        """Takes what the store has; the rest is waited for."""
        try:
            for address in self._places:
                if self._is_over or self.failure is not None:
                    return
                if address in self._waiting and (data := store.get(address)) is not None:
                    self.arrived(address, data)
        except (OSError, ChunkStoreError) as error:
            self.failure = f"The chunk store cannot be read: {error}"

    def arrived(self, address: str, data: bulk.Buffer) -> None:
        """A chunk that is what its address says, and is in the store: from there it is had if there is no room for it yet."""
        with self._written:
            rooms = self._rooms
            if self._is_over or rooms is None or address not in self._waiting or address in self._writing:
                return
            self._writing.add(address)
        failure = None
        try:
            for number, offset, size in self._places[address]:
                if len(data) != size:
                    failure = f"A chunk has {len(data)} bytes where {size} belong"
                    break
                rooms.write(number, offset, data)
        except OSError as error:
            failure = f"No memory for a buffer of {self.size} bytes: {error.strerror or error}"
        with self._written:
            self.failure = self.failure or failure
            self.there_bytes += sum(size for _, _, size in self._places[address])
            self._writing.discard(address)
            self._waiting.discard(address)
            self._written.notify_all()

    def failed(self, address: str, reason: str) -> None:
        if address in self._places:
            self.failure = reason

    def deliver(self) -> tuple[Message, list[Descriptor]]:
        """The message, naming its buffers by where they are; the caller owns the descriptors now."""
        with self._written:
            self._is_over = True
        rooms, descriptors, self._descriptors = self._rooms, self._descriptors, []
        if isinstance(rooms, Files):
            descriptors += rooms.descriptors
        entries = [rooms.entry(entry) if isinstance(entry, int) and rooms is not None else entry for entry in self._entries]
        header, parent, _, content = self.message.parts
        metadata = encode_json({**self.message.metadata, BULK_KEY: entries})
        return Message(self.message.channel, (header, parent, metadata, content), self.message.buffers), descriptors

    def discard(self) -> None:
        """Nothing is written any more."""
        with self._written:
            was_over, self._is_over = self._is_over, True
            self._written.wait_for(lambda: not self._writing)
        if not was_over and self._rooms is not None:
            self._rooms.drop()
        _close(self._descriptors)


def _close(descriptors: list[Descriptor]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor.fd)
    descriptors.clear()
