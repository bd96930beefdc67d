"""Large buffers: into a descriptor that another process maps, and the addresses of their chunks.

On one machine a buffer is written into a fresh memory file, whose descriptor travels; the receiver maps it MAP_PRIVATE, so
its own writes stay its own, and no page is touched before it is used (MAP_POPULATE would copy all of them). os.pwrite
releases the GIL, so from 8 MiB on two threads write pieces.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from . import capabilities

CHUNK_BYTES = 1 << 20  # protocol: the piece that has an address
_PARALLEL_BYTES = 8 << 20
_PIECE_BYTES = 2 * CHUNK_BYTES
_PART_BYTES = 16 * CHUNK_BYTES  # is there before the next is begun
_HUGE_FROM = 4 << 20  # bytes; smaller memory has no use for huge pages

try:
    from blake3 import blake3 as _blake3
except ImportError:
    _blake3 = None  # type: ignore[assignment,misc]

Buffer = bytes | bytearray | memoryview


def available_hashes() -> tuple[str, ...]:
    """Names of the address hashes this side knows, best first; blake2b is in every Python."""
    return ("blake2b",) if _blake3 is None else ("blake3", "blake2b")


def common_hash(peer_hashes: list[str] | tuple[str, ...]) -> str:
    """The best hash both sides know."""
    return next((name for name in available_hashes() if name in peer_hashes), "blake2b")


def address_of(data: Buffer, hash_name: str | None = None) -> str:
    """The content address of one chunk, `"blake3:hex"`; releases the GIL for large data."""
    name = hash_name or available_hashes()[0]
    if name == "blake3" and _blake3 is not None:
        return "blake3:" + _blake3(data).hexdigest()
    if name == "blake2b":
        return "blake2b:" + hashlib.blake2b(data, digest_size=32).hexdigest()
    raise ValueError(f"Unknown address hash {name!r}. Known here: {', '.join(available_hashes())}.")


def matches(address: str, data: Buffer) -> bool:
    """Whether `data` is what `address` names."""
    return address_of(data, address.partition(":")[0]) == address


def pieces(buffer: Buffer, size: int = CHUNK_BYTES) -> Iterator[memoryview]:
    """The buffer cut into chunks, none of it copied; an empty buffer has none."""
    flat = memoryview(buffer).cast("B") if not isinstance(buffer, bytes) else memoryview(buffer)
    for start in range(0, len(flat), size):
        yield flat[start : start + size]


def make_descriptor(buffer: Buffer, check: Callable[[], object] = lambda: None) -> int:
    """Copies a contiguous buffer into a new memory file and gives its descriptor, the caller's to close.

    `check` is called before every piece of 2 MiB, from two threads; what it raises ends the copy. Raises OSError when memory is
    short.
    """
    flat = memoryview(buffer).cast("B")
    fd = empty_file(len(flat))
    try:
        _copy(flat, fd, check)
        capabilities.seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def empty_file(size: int) -> int:
    """A memory file that is to be filled, the caller's to close."""
    fd = capabilities.memory_file()
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def fill_file(fd: int, buffer: Buffer, on_filled: Callable[[int], object]) -> None:
    """Copies a contiguous buffer into a file of its size, and says now and then how many bytes are there. Raises OSError when
    memory is short."""
    flat = memoryview(buffer).cast("B")
    for start in range(0, len(flat), _PART_BYTES):
        part = flat[start : start + _PART_BYTES]
        _copy(part, fd, lambda: None, start)
        on_filled(start + len(part))
    capabilities.seal(fd)


def _copy(flat: memoryview, fd: int, check: Callable[[], object], offset: int = 0) -> None:
    in_pieces(len(flat), check, lambda start, stop: write_all(fd, flat[start:stop], offset + start))


def in_pieces(size: int, check: Callable[[], object], work: Callable[[int, int], object]) -> None:
    """Calls `work(start, stop)` for each 2 MiB of `size` bytes, on two threads from 8 MiB on, and `check` before each.

    What either raises ends the work after the present pieces.
    """
    starts = iter(range(0, size, _PIECE_BYTES))
    lock = threading.Lock()
    over = threading.Event()  # one of the two has failed, or nothing is left to take

    def lane() -> None:
        try:
            while not over.is_set():
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                check()
                work(start, min(start + _PIECE_BYTES, size))
        finally:
            over.set()

    if size < _PARALLEL_BYTES:
        lane()
        return
    with ThreadPoolExecutor(1, "farcell-copy") as pool:
        beside = pool.submit(lane)
        lane()
    beside.result()


def write_all(fd: int, data: Buffer, offset: int) -> None:
    """pwrite until all of it is there."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def room(size: int) -> memoryview:
    """Writable memory of our own, with huge pages from 4 MiB on. Where numpy is loaded it is that of a whole array, which the
    state turns into the one that was sent: that owns its memory then (`state/arrays.py`)."""
    numpy = sys.modules.get("numpy")
    if size and hasattr(numpy, "uint8") and hasattr(numpy, "empty"):  # else it is being imported just now
        return memoryview(numpy.empty(size, numpy.uint8))  # type: ignore[union-attr]
    if size < _HUGE_FROM:
        return memoryview(bytearray(size))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def map_descriptor(fd: int, size: int) -> memoryview:
    """The file's first `size` bytes as writable memory of our own; `fd` may be closed afterwards.

    Raises ValueError when the file is shorter: touching pages past its end would kill the process.
    """
    actual = os.fstat(fd).st_size
    if actual < size:
        raise ValueError(f"A bulk buffer of {size} bytes was announced, its file has {actual}")
    if not size:
        return memoryview(bytearray())
    return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))


def look_into(fd: int, size: int) -> memoryview:
    """The first `size` bytes of a file, to be read where they are written and change no more; `fd` may be closed afterwards."""
    if not size:
        return memoryview(b"")
    # Shared, it could not be sealed any more, or not be mapped once it is (before Linux 6.7).
    return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))


def read_all(fd: int, size: int, offset: int) -> bytes:
    """pread until `size` bytes are there; raises EOFError when the file ends before."""
    parts: list[bytes] = []
    while size:
        part = os.pread(fd, size, offset)
        if not part:
            raise EOFError(f"The file ends {size} bytes too early")
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
