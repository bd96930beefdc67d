"""Large buffers through a descriptor, and chunk addresses."""

from __future__ import annotations

import os
import threading

import pytest
from farcell_host import bulk, capabilities


@pytest.fixture(params=["", "memfd"])
def without(request, monkeypatch):
    """With what Linux has, and with the portable way forced."""
    monkeypatch.setenv("FARCELL_WITHOUT", request.param)
    return request.param


@pytest.mark.parametrize("size", [0, 1, bulk.CHUNK_BYTES + 7, (9 << 20) + 3])
def test_a_buffer_arrives_whole_and_writable(without, size):
    """Any size survives the way through a descriptor, and what the receiver writes stays with the receiver."""
    data = os.urandom(size)
    fd = bulk.make_descriptor(data)
    try:
        first, second = bulk.map_descriptor(fd, size), bulk.map_descriptor(fd, size)
    finally:
        os.close(fd)
    assert first == data
    if size:
        first[0] ^= 0xFF
        assert first[0] != data[0]
    assert second == data


@pytest.mark.parametrize("where", ["here", "beside"])
def test_an_interrupt_ends_the_copy(where):
    """Ctrl-C in either copying thread reaches the caller, and no descriptor stays open."""
    main, both_at_work, seen = threading.get_ident(), threading.Barrier(2, timeout=10), set()

    def interrupted() -> None:
        me = threading.get_ident()
        if me not in seen:
            seen.add(me)
            both_at_work.wait()
        if (threading.get_ident() == main) == (where == "here"):
            raise KeyboardInterrupt

    before = os.listdir("/proc/self/fd")
    with pytest.raises(KeyboardInterrupt):
        bulk.make_descriptor(bytes(32 << 20), interrupted)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(not capabilities.has_memfd(), reason="needs memfd")
def test_nobody_can_change_a_buffer_on_its_way():
    """A sealed buffer refuses writes and truncation: a shrunk file would kill the reader."""
    fd = bulk.make_descriptor(b"fixed")
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"other", 0)
    finally:
        os.close(fd)


def test_a_short_file_is_refused(without):
    """A file shorter than announced is an error, not a crash on the first touch."""
    fd = bulk.make_descriptor(b"1234")
    try:
        with pytest.raises(ValueError, match=r"5 bytes was announced, its file has 4"):
            bulk.map_descriptor(fd, 5)
        with pytest.raises(EOFError, match="1 bytes too early"):
            bulk.read_all(fd, 5, 0)
    finally:
        os.close(fd)


@pytest.mark.parametrize("hash_name", bulk.available_hashes())
def test_an_address_names_its_content(hash_name):
    """An address carries its algorithm and matches only its own bytes."""
    address = bulk.address_of(b"some data", hash_name)
    assert address.startswith(hash_name + ":") and len(address) == len(hash_name) + 65
    assert bulk.matches(address, b"some data") and not bulk.matches(address, b"other data")


def test_the_sides_agree_on_a_hash():
    """Without a common fast hash, both use the one every Python has; an unknown one is named."""
    assert bulk.common_hash(["blake2b"]) == "blake2b"
    assert bulk.common_hash(bulk.available_hashes()) == bulk.available_hashes()[0]
    with pytest.raises(ValueError, match=r"Unknown address hash 'md5'. Known here: .*blake2b"):
        bulk.address_of(b"", "md5")


def test_pieces_share_the_buffer():
    """Chunks are views: cutting costs no copy; the last one is shorter."""
    data = bytearray(2 * bulk.CHUNK_BYTES + 5)
    cut = list(bulk.pieces(data))
    assert [len(piece) for piece in cut] == [bulk.CHUNK_BYTES, bulk.CHUNK_BYTES, 5]
    cut[0][0] = 9
    assert data[0] == 9
