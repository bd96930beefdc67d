"""Chunks of a message on their way to the kernel's memory, in whatever order they, the room for them and the message come."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from farcell_host import bulk
from farcell_host.assembly import Assembly
from farcell_host.chunkstore import ChunkStore
from farcell_host.protocol.messages import Channel, Message

BUFFERS = [bytes(range(256)) * 5000, b"x" * (300 << 10)]
CHUNKS = {bulk.address_of(piece): bytes(piece) for buffer in BUFFERS for piece in bulk.pieces(buffer)}


class Memory:
    """Room as a kernel gives it."""

    def __init__(self) -> None:
        self.buffers = [bytearray(len(buffer)) for buffer in BUFFERS]
        self.is_dropped = False
        self.gate: threading.Event | None = None
        self.began = threading.Event()

    def write(self, number: int, offset: int, data: bulk.Buffer) -> None:
        assert not self.is_dropped, "written to after it was dropped"
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        assert not self.is_dropped, "dropped while it was written to"
        self.buffers[number][offset : offset + len(data)] = data

    def entry(self, number: int) -> dict[str, Any]:
        return {"size": len(self.buffers[number]), "room": [7, number]}

    def drop(self) -> None:
        self.is_dropped = True


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path)


def assembly() -> Assembly:
    entries = [{"size": len(buffer), "chunks": [bulk.address_of(piece) for piece in bulk.pieces(buffer)]} for buffer in BUFFERS]
    return Assembly(Message.build(Channel.SHELL, "farcell_run_request", {}, metadata={"farcell_bulk": entries}), {})


@pytest.mark.parametrize("before", range(len(CHUNKS) + 1))
def test_chunks_come_before_and_after_there_is_room(store: ChunkStore, before: int) -> None:
    """What comes before is had from the store; the message then names the room, and is not given before all is there."""
    item, memory = assembly(), Memory()
    for count, (address, data) in enumerate(CHUNKS.items()):
        if count == before:
            item.furnish(memory)
            item.fill(store)
        assert not item.is_complete
        store.put(address, data)
        item.arrived(address, data)
    if before == len(CHUNKS):
        item.furnish(memory)
        item.fill(store)
    assert item.is_complete and item.failure is None
    assert memory.buffers == BUFFERS
    message, descriptors = item.deliver()
    assert not descriptors and [entry["room"] for entry in message.metadata["farcell_bulk"]] == [[7, 0], [7, 1]]


def test_without_room_they_go_into_files(store: ChunkStore) -> None:
    item = assembly()
    item.furnish(None)
    for address, data in CHUNKS.items():
        item.arrived(address, data)
    message, descriptors = item.deliver()
    named = [entry["descriptor"] for entry in message.metadata["farcell_bulk"]]
    by_id = {descriptor.id: descriptor for descriptor in descriptors}
    for id, buffer in zip(named, BUFFERS, strict=True):
        assert bulk.map_descriptor(by_id[id].fd, by_id[id].size) == buffer
    for descriptor in descriptors:
        os.close(descriptor.fd)


def test_room_is_let_go_only_when_nothing_is_written_there() -> None:
    """A run that is cancelled while a thread writes: the kernel uses that memory for something else from then on."""
    item, memory = assembly(), Memory()
    memory.gate = threading.Event()
    item.furnish(memory)
    address, data = next(iter(CHUNKS.items()))
    writing = threading.Thread(target=item.arrived, args=(address, data))
    writing.start()
    assert memory.began.wait(10)
    discarding = threading.Thread(target=item.discard)
    discarding.start()
    discarding.join(0.2)
    assert discarding.is_alive() and not memory.is_dropped
    memory.gate.set()
    writing.join(10)
    discarding.join(10)
    assert memory.is_dropped
    item.arrived(*list(CHUNKS.items())[1])  # which asserts that it is not written to


def test_room_that_comes_too_late_is_let_go() -> None:
    item, memory = assembly(), Memory()
    item.discard()
    item.furnish(memory)
    assert memory.is_dropped


def test_a_chunk_of_another_size_fails_the_message() -> None:
    item = assembly()
    item.furnish(Memory())
    item.arrived(next(iter(CHUNKS)), b"short")
    assert item.is_complete and item.failure is not None and "where" in item.failure
    item.discard()
