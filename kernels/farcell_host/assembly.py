"""A message from a client whose bulk buffers arrive as chunks, until all of them are here."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import Any

from . import bulk, capabilities
from .chunkstore import ChunkStore
from .kernellink import BULK_KEY
from .protocol.frames import CHUNK_BYTES, Descriptor
from .protocol.messages import Message, encode_json


class Assembly:
    """Each buffer becomes a memory file; `failure` says why the message cannot be delivered.

    `fill` may run in a thread while `arrived` is called on the loop's.
    """

    def __init__(self, message: Message, given: Mapping[int, Descriptor]) -> None:
        """`given` are the descriptors that came along; those named are taken over. Raises OSError when memory is short."""
        self.message = message
        self.failure: str | None = None
        self.is_filled = False
        self.taken: set[int] = set()
        self._entries: list[dict[str, Any]] = []
        self._descriptors: list[Descriptor] = []
        self._places: dict[str, list[tuple[int, int, int]]] = {}  # address: file, offset, size
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        try:
            for number, entry in enumerate(message.metadata.get(BULK_KEY, ())):
                self._add(number, entry, given)
        except BaseException:
            self.discard()
            raise

    def _add(self, number: int, entry: dict[str, Any], given: Mapping[int, Descriptor]) -> None:
        size = int(entry["size"])
        if "memory" in entry:  # the kernel reads it where it is
            self._entries.append(entry)
            return
        self._entries.append({"size": size, "descriptor": number + 1})
        if "descriptor" in entry:
            descriptor = given.get(entry["descriptor"])
            if descriptor is None:
                self.failure = "A large buffer was announced as an open file, and none came"
                return
            self.taken.add(descriptor.id)
            self._descriptors.append(Descriptor(number + 1, descriptor.fd, size))
            return
        fd = capabilities.memory_file()
        self._descriptors.append(Descriptor(number + 1, fd, size))
        os.ftruncate(fd, size)
        for index, address in enumerate(entry["chunks"]):
            offset = index * CHUNK_BYTES
            self._places.setdefault(address, []).append((fd, offset, min(CHUNK_BYTES, size - offset)))

    @property
    def size(self) -> int:
        return sum(descriptor.size for descriptor in self._descriptors)

    @property
    def has_chunks(self) -> bool:
        return bool(self._places)

    @property
    def is_complete(self) -> bool:
        return self.failure is not None or (self.is_filled and not self._waiting)

    def fill(self, store: ChunkStore) -> None:
        """Takes what the store has; the rest is waited for."""
        for address in self._places:
            with self._lock:
                data = store.get(address)
                if data is None:
                    self._waiting.add(address)
                    continue
            self._place(address, data)
        self.is_filled = True

    def arrived(self, address: str, data: bytes | memoryview) -> None:
        with self._lock:
            if address not in self._waiting:
                return
            self._waiting.discard(address)
        self._place(address, data)

    def failed(self, address: str, reason: str) -> None:
        if address in self._places:
            self.failure = reason

    def _place(self, address: str, data: bytes | memoryview) -> None:
        try:
            for fd, offset, size in self._places[address]:
                if len(data) != size:
                    self.failure = f"A chunk has {len(data)} bytes where {size} belong"
                    return
                bulk.write_all(fd, data, offset)
        except OSError as error:
            self.failure = f"No memory for a buffer of {self.size} bytes: {error.strerror}"

    def deliver(self) -> tuple[Message, list[Descriptor]]:
        """The message naming its buffers by descriptor, or by where the sender has them; the caller owns the descriptors now."""
        descriptors, self._descriptors = self._descriptors, []
        header, parent, _, content = self.message.parts
        metadata = encode_json({**self.message.metadata, BULK_KEY: self._entries})
        return Message(self.message.channel, (header, parent, metadata, content), self.message.buffers), descriptors

    def discard(self) -> None:
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor.fd)
        self._descriptors = []
