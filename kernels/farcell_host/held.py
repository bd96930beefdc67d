"""Bulk that the kernel sent, kept open until the driver has acknowledged its message: as descriptors, or as chunks for other
ends.

A kernel announces a buffer's file before it has written into it and tells how far it is, so that its first chunks are hashed and
on their way while it writes the rest.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from functools import cached_property

from . import bulk
from .kernellink import BULK_KEY
from .protocol.frames import CHUNK_BYTES, Descriptor
from .protocol.messages import Message, encode_json

_SOME = 8


class HeldFile:
    """One buffer: what of it is written, and the addresses of its chunks as far as they are known, by the hash."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.filled = descriptor.size
        self.sequence: int | None = None
        """The journal's number of its message, which is still to come."""
        self.addresses: dict[str, list[str]] = {}

    @cached_property
    def content(self) -> memoryview:
        return bulk.look_into(self.descriptor.fd, self.descriptor.size)

    def known(self, hash_name: str) -> list[str]:
        return self.addresses.setdefault(hash_name, [])

    def is_computed(self, hash_name: str) -> bool:
        return len(self.known(hash_name)) * CHUNK_BYTES >= self.descriptor.size

    @property
    def whole_chunks(self) -> int:
        """Of those that are written."""
        return -(-self.filled // CHUNK_BYTES) if self.filled == self.descriptor.size else self.filled // CHUNK_BYTES


Hashed = tuple[HeldFile, int, str]  # the chunk of this number has this address


class HeldBulk:
    """On the loop's thread, but for what `hashing` gives."""

    def __init__(self) -> None:
        self._announced: dict[int, HeldFile] = {}  # by the id() of its descriptor, which the file keeps alive
        self._files: dict[int, tuple[HeldFile, ...]] = {}  # by journal number
        self._chunks: dict[str, dict[int, memoryview]] = {}  # by address, and the id() of a file that has it

    def filling(self, descriptor: Descriptor, size: int) -> HeldFile:
        """So much of it is written; the message that names it comes later."""
        file = self._announced.setdefault(id(descriptor), HeldFile(descriptor))
        file.filled = size
        return file

    def forget(self, descriptors: Iterable[Descriptor] | None = None) -> None:
        """No message will name these, or any that were announced: the kernel has failed or ended. They are their owner's."""
        named = None if descriptors is None else {id(descriptor) for descriptor in descriptors}
        gone = [key for key in self._announced if named is None or key in named]
        self._drop_chunks([self._announced.pop(key) for key in gone])

    def hold(self, sequence: int, descriptors: tuple[Descriptor, ...]) -> None:
        files = tuple(self.filling(descriptor, descriptor.size) for descriptor in descriptors)
        for file in files:
            file.sequence = sequence
            del self._announced[id(file.descriptor)]
        self._files[sequence] = files

    def release(self, acknowledged: int) -> None:
        for sequence in [sequence for sequence in self._files if sequence <= acknowledged]:
            files = self._files.pop(sequence)
            self._drop_chunks(files)
            for file in files:
                os.close(file.descriptor.fd)

    def _drop_chunks(self, files: Iterable[HeldFile]) -> None:
        for file in files:
            for address in itertools.chain.from_iterable(file.addresses.values()):
                places = self._chunks.get(address, {})
                places.pop(id(file), None)
                if not places:
                    self._chunks.pop(address, None)

    def files(self, sequence: int) -> tuple[HeldFile, ...]:
        return self._files.get(sequence, ())

    def descriptors(self, sequence: int) -> tuple[Descriptor, ...]:
        return tuple(file.descriptor for file in self.files(sequence))

    def is_held(self, sequence: int) -> bool:
        return sequence in self._files

    def is_computed(self, sequence: int, hash_name: str) -> bool:
        return all(file.is_computed(hash_name) for file in self.files(sequence))

    def hashing(self, files: Iterable[HeldFile], hash_name: str, on_some: Callable[[list[Hashed]], object]) -> Callable[[], None]:
        """Work for a thread: the addresses of what is written of these files and not known yet.

        `on_some` is called in the thread with a few at a time, for `computed`.
        """
        left = [(file, file.content, len(file.known(hash_name)), file.whole_chunks) for file in files]

        def work() -> None:
            some: list[Hashed] = []
            for file, content, start, stop in left:
                for number in range(start, stop):
                    piece = content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
                    some.append((file, number, bulk.address_of(piece, hash_name)))
                    if len(some) == _SOME:
                        on_some(some)
                        some = []
            on_some(some)

        return work

    def computed(self, hash_name: str, some: list[Hashed]) -> list[str]:
        """Addresses that can be asked for from now on, each once a file."""
        new = []
        for file, number, address in some:
            if file.sequence not in self._files and id(file.descriptor) not in self._announced:
                continue  # it was released meanwhile
            known = file.known(hash_name)
            if number == len(known):  # else another connection's hashing was there before
                known.append(address)
            places = self._chunks.setdefault(address, {})
            if id(file) not in places:
                places[id(file)] = file.content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
                new.append(address)
        return new

    def chunk(self, address: str) -> memoryview | None:
        return next(iter(self._chunks.get(address, {}).values()), None)

    def as_chunks(self, sequence: int, message: Message, hash_name: str) -> Message:
        entries = [{"size": file.descriptor.size, "chunks": file.known(hash_name)} for file in self.files(sequence)]
        return _with_bulk(message, entries)

    @staticmethod
    def without(message: Message) -> Message:
        """For a reader that comes after the driver has taken the buffers: outputs and replies, without them."""
        return _with_bulk(message, [{"size": entry["size"], "released": True} for entry in message.metadata[BULK_KEY]])

    def close(self) -> None:
        self.forget()
        self.release(1 << 62)


def _with_bulk(message: Message, entries: list[dict[str, object]]) -> Message:
    header, parent, _, content = message.parts
    metadata = encode_json({**message.metadata, BULK_KEY: entries})
    return Message(message.channel, (header, parent, metadata, content), message.buffers)
