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

Chunks = dict[str, memoryview]  # by address
_SOME = 8


class HeldBulk:
    def __init__(self) -> None:
        self._descriptors: dict[int, tuple[Descriptor, ...]] = {}  # journal number
        self._addresses: dict[tuple[int, str], list[list[str]]] = {}
        self._chunks: dict[str, tuple[int, memoryview]] = {}  # address: journal number, content

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

    def hashing(self, sequence: int, hash_name: str, on_some: Callable[[Chunks], object]) -> Callable[[], list[list[str]]]:
        """Work for a thread: the addresses of a message's chunks, for `computed`. It looks into the files by itself.

        `on_some` is called in the thread with those that are known, a few at a time and each once, for `computed_some`.
        """
        files = [bulk.look_into(item.fd, item.size) for item in self._descriptors[sequence]]

        def work() -> list[list[str]]:
            some: Chunks = {}
            seen: set[str] = set()
            lists: list[list[str]] = []
            for file in files:
                lists.append([])
                for piece in bulk.pieces(file, CHUNK_BYTES):
                    address = bulk.address_of(piece, hash_name)
                    lists[-1].append(address)
                    if address not in seen:
                        some[address] = piece
                        seen.add(address)
                    if len(some) == _SOME:
                        on_some(some)
                        some = {}
            on_some(some)
            return lists

        return work

    def computed_some(self, sequence: int, chunks: Chunks) -> None:
        for address, piece in chunks.items() if self.is_held(sequence) else ():
            if address not in self._chunks or self._chunks[address][0] < sequence:  # the later message is held longer
                self._chunks[address] = (sequence, piece)

    def computed(self, sequence: int, hash_name: str, lists: list[list[str]]) -> None:
        self._addresses[sequence, hash_name] = lists

    def is_computed(self, sequence: int, hash_name: str) -> bool:
        return (sequence, hash_name) in self._addresses

    def chunk(self, address: str) -> memoryview | None:
        place = self._chunks.get(address)
        return None if place is None else place[1]

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
