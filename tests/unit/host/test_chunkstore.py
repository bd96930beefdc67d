"""The chunk store: what was sent once need not be sent again."""

from __future__ import annotations

import os
import socket

import pytest
from farcell_host import bulk, capabilities, runtime
from farcell_host.chunkstore import ChunkStore, ChunkStoreError, cache_folder


def chunk(number: int, size: int = 1000) -> tuple[str, bytes]:
    data = bytes([number]) * size
    return bulk.address_of(data), data


def test_kept_and_found_by_another_host(tmp_path):
    """Two hosts of a user share what either was sent."""
    first, second = ChunkStore(tmp_path), ChunkStore(tmp_path)
    address, data = chunk(1)
    assert second.missing([address, address]) == [address]
    first.put(address, data)
    first.put(address, data)
    assert second.missing([address]) == [] and second.get(address) == data
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [address.partition(":")[2]]


def test_damaged_chunks_are_never_used(tmp_path):
    """Wrong content is refused on arrival; a file that was damaged on disk counts as missing."""
    store = ChunkStore(tmp_path)
    address, data = chunk(1)
    with pytest.raises(ChunkStoreError, match="arrived damaged"):
        store.put(address, data + b"!")
    store.put(address, data)
    (file,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    file.write_bytes(b"rotten")
    assert store.get(address) is None and store.missing([address]) == [address]


@pytest.mark.parametrize("address", ["", "blake3:", "blake3:../../etc/passwd", "md5:" + "0" * 64, "blake3:" + "G" * 64])
def test_an_address_is_never_a_path(tmp_path, address):
    """What is not an address is refused before it comes near a file name."""
    with pytest.raises(ChunkStoreError, match="Not a chunk address"):
        ChunkStore(tmp_path).missing([address])


def test_the_longest_unused_go_first(tmp_path):
    """Over the quota the oldest by use are removed; none that was used in the last ten minutes."""
    now = [1_000_000.0]
    store = ChunkStore(tmp_path, quota_bytes=10_000, clock=lambda: now[0])
    for number in range(10):
        store.put(*chunk(number))
        os.utime(store._path(chunk(number)[0]), (now[0], now[0]))
        now[0] += 100
    assert store.get(chunk(0)[0]) is not None  # a use
    now[0] += 300
    for number in range(10, 14):
        store.put(*chunk(number))
        now[0] += 1
    gone = [n for n in range(14) if store.missing([chunk(n)[0]])]
    assert gone and 0 not in gone and gone == list(range(1, 1 + len(gone))) and max(gone) < 8


def test_a_full_disk_says_what_to_do(tmp_path):
    """No room: the error names the store, the cause and the way out, and leaves no half file."""
    store = ChunkStore(tmp_path)
    address, data = chunk(1)
    (tmp_path / address.partition(":")[0]).write_text("in the way")
    with pytest.raises(ChunkStoreError, match=r"cannot keep 1000 bytes.*FARCELL_CACHE_DIR"):
        store.put(address, data)
    assert not list(tmp_path.rglob(".*"))


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    """FARCELL_CACHE_DIR, else the platform's cache folder."""
    monkeypatch.setenv("FARCELL_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("FARCELL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "farcell"


def test_a_runtime_folder_is_ours_alone(tmp_path):
    """Made 0700; one that others can enter is closed, a link is refused, a long one is refused with the way out."""
    folder = runtime.secure(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert runtime.secure(folder).stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(runtime.RuntimeFolderError, match="symbolic links"):
        runtime.secure(tmp_path / "link")
    with pytest.raises(runtime.RuntimeFolderError, match="FARCELL_RUNTIME_DIR"):
        runtime.check_length(tmp_path / ("x" * 90))


def test_a_lock_tells_who_lives(tmp_path):
    """A host is live exactly as long as it holds its lock; a second one in the same folder is refused."""
    folder = runtime.secure(tmp_path / "s")
    lock = runtime.HostLock(folder)
    assert runtime.find_host(folder) is None  # it has not said where it listens
    lock.write({"pid": 1, "socket": "x"})
    assert [host.pid for host in runtime.live_hosts(tmp_path)] == [1]
    with pytest.raises(runtime.RuntimeFolderError, match="already lives"):
        runtime.HostLock(folder)
    lock.close()
    assert list(runtime.live_hosts(tmp_path)) == []


@pytest.mark.parametrize("without", ["", "proc", "pidfd,peercred"])
def test_processes_and_peers(monkeypatch, without):
    """Whether a process lives, how much memory we use and who is at the other end: known, or said to be unknown."""
    monkeypatch.setenv("FARCELL_WITHOUT", without)
    assert capabilities.is_running(os.getpid()) and not capabilities.is_running(2**22 + 1)
    assert (capabilities.resident_bytes() or 0) > 1 << 20
    left, right = socket.socketpair()
    assert capabilities.peer_uid(left) == (None if "peercred" in without else os.getuid())
    left.close()
    right.close()
    fd = capabilities.open_process(os.getpid())
    assert (fd is None) == ("pidfd" in without)
    if fd is not None:
        os.close(fd)
    assert capabilities.signal_name(9) == "SIGKILL" and capabilities.signal_name(99) == "signal 99"
