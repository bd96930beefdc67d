"""Chunks on their way into the store and to where they end up: hashed and written in threads, while the loop reads the next ones
from the stream. New memory is what takes longest, in the page cache as in the kernel; two threads wait for it side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from .chunkstore import ChunkStore

Buffer = bytes | memoryview
Place = Callable[[str, Buffer], None]

AHEAD = 32
"""Chunks in memory at most; a disk that is slower than the stream holds it up."""
THREADS = 2


class Intake:
    """`on_kept(address, data, failure)` comes on the loop: with None, or why the store has not got it."""

    def __init__(self, store: ChunkStore, on_kept: Callable[[str, Buffer, str | None], None]) -> None:
        self._store = store
        self._on_kept = on_kept
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, "farcell-chunks")
        self._going: dict[str, tuple[Future[None], Buffer]] = {}

    def take(self, address: str, data: Buffer, places: Sequence[Place] = ()) -> None:
        """`places` are given it in the thread, once it is in the store."""
        if address in self._going:
            return
        if len(self._going) >= AHEAD:
            self._settle(next(iter(self._going)))
        kept = self._pool.submit(self._keep, address, data, places)
        self._going[address] = kept, data
        kept.add_done_callback(lambda _: self._call(address, kept))

    def missing(self, addresses: Iterable[str]) -> list[str]:
        """Those that are neither in the store nor on their way into it."""
        return self._store.missing(address for address in addresses if address not in self._going)

    def _keep(self, address: str, data: Buffer, places: Sequence[Place]) -> None:
        self._store.put(address, data)
        for place in places:
            place(address, data)

    def close(self) -> None:
        self._going.clear()
        self._pool.shutdown(cancel_futures=True)

    def _call(self, address: str, kept: Future[None]) -> None:
        if not kept.cancelled():
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._settle, address, kept)

    def _settle(self, address: str, kept: Future[None] | None = None) -> None:
        """Waits where `kept` is not given."""
        going = self._going.get(address)
        if going is None or kept not in (None, going[0]):  # settled before
            return
        del self._going[address]
        error = going[0].exception()
        self._on_kept(address, going[1], None if error is None else str(error))
