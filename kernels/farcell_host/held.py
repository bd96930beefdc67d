"""Bulk that the kernel sent, kept open until the driver has acknowledged its message: as descriptors, or as chunks for other
ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from . import bulk
from .kernellink import BULK_KEY
from .protocol.frames import CHUNK_BYTES, Descriptor
from .protocol.messages import Message, encode_json


class HeldBulk:
    def __init__(self) -> None:
        self._descriptors: dict[int, tuple[Descriptor, ...]] = {}  # journal number
        self._addresses: dict[tuple[int, str], list[list[str]]] = {}
        self._chunks: dict[str, tuple[int, int, int, int]] = {}  # address: journal number, file, offset, size

    def hold(self, sequence: int, descriptors: tuple[Descriptor, ...]) -> None:
        self._descriptors[sequence] = descriptors

    def release(self, acknowledged: int) -> None:
        for sequence in [sequence for sequence in self._descriptors if sequence <= acknowledged]:
            for descriptor in self._descriptors.pop(sequence):
                os.close(descriptor.fd)
        self._addresses = {key: value for key, value in self._addresses.items() if key[0] > acknowledged}
        self._chunks = {address: place for address, place in self._chunks.items() if place[0] > acknowledged}

    def descriptors(self, sequence: int) -> tuple[Descriptor, ...]:
        return self._descriptors.get(sequence, ())

    def is_held(self, sequence: int) -> bool:
        return sequence in self._descriptors

    def hashing(self, sequence: int, hash_name: str) -> Callable[[], list[list[str]]]:
        """Work for a thread: the addresses of a message's chunks, for `computed`. It has descriptors of its own."""
        files = [(os.dup(item.fd), item.size) for item in self._descriptors[sequence]]

        def work() -> list[list[str]]:
            try:
                return [[bulk.address_of(piece, hash_name) for piece in bulk.read_pieces(fd, size)] for fd, size in files]
            finally:
                for fd, _ in files:
                    os.close(fd)

        return work

    def computed(self, sequence: int, hash_name: str, lists: list[list[str]]) -> None:
        self._addresses[sequence, hash_name] = lists
        for descriptor, addresses in zip(self._descriptors.get(sequence, ()), lists, strict=False):
            for index, address in enumerate(addresses):
                offset = index * CHUNK_BYTES
                size = min(CHUNK_BYTES, descriptor.size - offset)
                self._chunks[address] = (sequence, descriptor.fd, offset, size)

    def is_computed(self, sequence: int, hash_name: str) -> bool:
        return (sequence, hash_name) in self._addresses

    def chunk(self, address: str) -> bytes | None:
        place = self._chunks.get(address)
        return None if place is None else bulk.read_all(place[1], place[3], place[2])

    def as_chunks(self, sequence: int, message: Message, hash_name: str) -> Message:
        lists = self._addresses[sequence, hash_name]
        descriptors = self._descriptors[sequence]
        entries = [{"size": item.size, "chunks": names} for item, names in zip(descriptors, lists, strict=True)]
        return _with_bulk(message, entries)

    @staticmethod
    def without(message: Message) -> Message:
        """For a reader that comes after the driver has taken the buffers: outputs and replies, without them."""
        return _with_bulk(message, [{"size": entry["size"], "released": True} for entry in message.metadata[BULK_KEY]])

    def close(self) -> None:
        self.release(1 << 62)


def _with_bulk(message: Message, entries: list[dict[str, object]]) -> Message:
    header, parent, _, content = message.parts
    metadata = encode_json({**message.metadata, BULK_KEY: entries})
    return Message(message.channel, (header, parent, metadata, content), message.buffers)
