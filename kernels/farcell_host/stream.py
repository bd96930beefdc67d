"""A byte stream over raw non-blocking descriptors on an asyncio loop: a Unix socket, which can pass open files, or a pair of
pipes.

asyncio's transports copy whatever they are given into a buffer of their own, and what lies there can be overtaken by nothing.
Here the owner keeps its frames and `take(max_bytes)` is asked for the next ones only when the system accepts bytes, so an
interrupt passes an upload at the last moment. The socket keeps its default send buffer for the same reason (latency is what
is queued in it).

Everything happens on the loop's thread, unless the owner gives a lock: then it is held around every callback, whoever holds it
may call `wake()`, and a thread that waits for an answer can `borrow()` the reading from the loop, which saves two hops between
threads (about 0.1 ms each, beside the wait for the interpreter's lock).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from . import capabilities

READ_BYTES = 256 << 10
TAKE_BYTES = 64 << 10  # small frames go together in one write; a big one goes alone, and the queue is looked at before the next
_MAX_BUFFERS = 512  # IOV_MAX is 1024 on Linux and macOS
_WRITES_A_TURN = 32  # then other connections of the loop get their turn

Buffer = bytes | bytearray | memoryview


class Frame(Protocol):
    """What `take` gives, an `Outgoing` of the outbox: buffers, descriptors that ride along, descriptors to close when written."""

    @property
    def buffers(self) -> Sequence[Buffer]: ...
    @property
    def fds(self) -> Sequence[int]: ...
    @property
    def close_fds(self) -> Sequence[int]: ...


Take = Callable[[int], Iterable[Frame]]


class Endpoint:
    """Two non-blocking descriptors, which may be one socket; closed once by whoever holds it."""

    def __init__(self, reading: int, writing: int, sock: socket.socket | None = None) -> None:
        self.reading = reading
        self.writing = writing
        self.sock = sock
        self.supports_descriptors = sock is not None and sock.family == socket.AF_UNIX and capabilities.has_descriptors()

    def read(self, buffer: memoryview) -> tuple[int, list[int]]:
        if self.sock is not None:
            return capabilities.receive(self.sock, buffer) if self.supports_descriptors else (self.sock.recv_into(buffer), [])
        return os.readv(self.reading, [buffer]), []

    def write(self, buffers: Sequence[Buffer], fds: Sequence[int]) -> int:
        if self.sock is not None:
            return capabilities.send(self.sock, buffers, fds)
        return os.writev(self.writing, buffers)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            return
        os.close(self.reading)
        if self.writing != self.reading:
            os.close(self.writing)


def from_socket(sock: socket.socket) -> Endpoint:
    """Takes the connected socket over."""
    sock.setblocking(False)
    return Endpoint(sock.fileno(), sock.fileno(), sock)


def from_pipes(reading: int, writing: int) -> Endpoint:
    """Takes both descriptors over: a child's stdout and stdin."""
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    return Endpoint(reading, writing)


def connect_unix(path: str | os.PathLike[str], timeout_s: float = 5.0) -> Endpoint:
    """Connects at once or raises OSError; waits `timeout_s` at most, for a listener whose queue is full."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(os.fspath(path))
    except BaseException:
        sock.close()
        raise
    return from_socket(sock)


class Gate:
    """What the loop watches in a lent stream's place: an epoll of its own, which any thread can close and open at the cost of a
    system call. Taking the reader out of the loop instead would need the loop's thread."""

    def __init__(self, reading: int) -> None:
        self._reading = reading
        self._epoll = select.epoll()
        self._epoll.register(reading, select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def set(self, is_open: bool) -> None:
        if not self._epoll.closed:
            self._epoll.modify(self._reading, select.EPOLLIN if is_open else 0)

    def close(self) -> None:
        self._epoll.close()


class Stream:
    """Reads as bytes arrive, writes what `take` gives.

    `on_data(data, fds)` owns the descriptors it is given. `on_lost(error)` comes once, never from inside `wake`: with None when
    the other end has closed in order. After it, as after `close()`, nothing is called any more.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        take: Take,
        on_data: Callable[[Buffer, list[int]], None],
        on_lost: Callable[[Exception | None], None],
        loop: asyncio.AbstractEventLoop | None = None,
        lock: threading.RLock | None = None,
        room: Callable[[], memoryview | None] = lambda: None,
    ) -> None:
        """`room`: where the owner would have the next bytes, if it knows; `on_data` is given them there."""
        self.loop = loop or asyncio.get_running_loop()
        self.endpoint = endpoint
        self.closed = False
        self.written = 0
        """Bytes that the system has taken."""
        self._lock: contextlib.AbstractContextManager[object] = lock or contextlib.nullcontext()
        self._loop_thread = threading.get_ident()
        self._gate = Gate(endpoint.reading) if lock is not None and capabilities.has_epoll() else None
        self._take = take
        self._on_data = on_data
        self._room = room
        self._on_lost = on_lost
        self._frames: deque[Frame] = deque()  # taken, not yet begun
        self._buffers: deque[Buffer] = deque()  # the rest of what is being written
        self._fds: list[int] = []  # ride on the next byte
        self._close_fds: list[int] = []
        self._inbound = memoryview(bytearray(READ_BYTES))
        self._writer_on = False
        self._closing = False
        self._failed = False
        self._reading = True
        self._watched = endpoint.reading if self._gate is None else self._gate.fileno()
        self.loop.add_reader(self._watched, self._readable)

    @property
    def supports_descriptors(self) -> bool:
        return self.endpoint.supports_descriptors

    @property
    def is_blocked(self) -> bool:
        """There is something to write, and the system does not take it now."""
        return self._writer_on

    def wake(self) -> None:
        """There is something to take: writes at once what the system accepts, the rest when it accepts more."""
        if not (self.closed or self._writer_on or self._failed):
            self._write()

    def finish(self) -> None:
        """Writes what there is to take, then closes; `on_lost` is not called."""
        self._closing = True
        self.wake()

    def close(self) -> None:
        """Closes now; bytes not yet written are dropped."""
        if self.closed:
            return
        self.closed = True
        self.pause_reading()
        self._stop_writing()
        for frame in self._frames:
            self._close_fds.extend(frame.close_fds)
        for fd in self._close_fds:
            os.close(fd)
        self._frames.clear()
        self._buffers.clear()
        self._fds = []
        self._close_fds = []
        if self._gate is not None:
            self._gate.close()
        self.endpoint.close()

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.loop.remove_reader(self._watched)

    def resume_reading(self) -> None:
        if not (self._reading or self.closed):
            self._reading = True
            self.loop.add_reader(self._watched, self._readable)

    @contextlib.contextmanager
    def borrow(self) -> Iterator[int | None]:
        """On any thread: until the end of the block the loop leaves the reading to the caller, who is given the descriptor to
        wait for and then calls `read_here`. None when the stream cannot be lent: the loop reads on."""
        with self._lock:
            lent = self._gate if self._reading and not (self.closed or self._failed) else None
            if lent is not None:
                lent.set(False)
        try:
            yield None if lent is None else self.endpoint.reading
        finally:
            if lent is not None:
                with self._lock:
                    lent.set(True)

    def read_here(self) -> None:
        """Reads once what has come, on the calling thread. The end of the stream is told on the loop's."""
        self._readable()

    def fail(self, error: Exception) -> None:
        """What came is of no use: `on_lost(error)` follows, on the loop's thread."""
        self._failed = True
        self.loop.call_soon_threadsafe(self._lose, error)

    def _readable(self) -> None:
        with self._lock:
            if self.closed or self._failed:
                return
            error: Exception | None = None
            room = self._room()
            try:
                size, fds = self.endpoint.read(self._inbound if room is None else room)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as failure:
                size, fds, error = 0, [], failure
            if size or fds:
                self._on_data(bytes(self._inbound[:size]) if room is None else room[:size], fds)
            elif threading.get_ident() == self._loop_thread:
                self._lose(error)
            else:
                self._failed = True
                self.loop.call_soon_threadsafe(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        with self._lock:
            if self.closed:
                return
            self.close()
            if not self._closing:
                self._on_lost(error)

    def _write_on(self) -> None:
        with self._lock:
            if self._writer_on:
                self._write()

    def _write(self) -> None:
        try:
            for _ in range(_WRITES_A_TURN):
                if not self._fill():
                    self._stop_writing()
                    if self._closing:
                        self.close()
                    return
                self._advance(self.endpoint.write(self._gather(), self._fds))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._stop_writing()
            self._failed = True
            self.loop.call_soon_threadsafe(self._drain, error)
            return
        if not self._writer_on:
            self._writer_on = True
            if threading.get_ident() == self._loop_thread:
                self._watch_writing()
            else:
                self.loop.call_soon_threadsafe(self._watch_writing)

    def _watch_writing(self) -> None:
        if self._writer_on:
            self.loop.add_writer(self.endpoint.writing, self._write_on)

    def _fill(self) -> bool:
        """Makes the next bytes ready; a frame with descriptors begins a write of its own, so that they ride on its first byte."""
        if self._buffers:
            return True
        self._end_of_write()
        if not self._frames:
            self._frames.extend(self._take(TAKE_BYTES))
        while self._frames and not (self._buffers and self._frames[0].fds) and len(self._buffers) < _MAX_BUFFERS:
            frame = self._frames.popleft()
            self._buffers.extend(buffer for buffer in frame.buffers if len(buffer))
            self._fds.extend(frame.fds)
            self._close_fds.extend(frame.close_fds)
        return bool(self._buffers)

    def _gather(self) -> list[Buffer]:
        if len(self._buffers) <= _MAX_BUFFERS:
            return list(self._buffers)
        return [self._buffers[index] for index in range(_MAX_BUFFERS)]

    def _advance(self, written: int) -> None:
        self.written += written
        self._fds = []
        while written:
            first = self._buffers.popleft()
            size = len(first)
            if written < size:
                self._buffers.appendleft(memoryview(first)[written:])
                return
            written -= size

    def _end_of_write(self) -> None:
        for fd in self._close_fds:
            os.close(fd)
        self._close_fds = []

    def _stop_writing(self) -> None:
        if self._writer_on:
            self._writer_on = False
            self.loop.remove_writer(self.endpoint.writing)

    def read_available(self) -> None:
        """Reads all that has arrived: the other end is gone, or about to be closed."""
        while not self.closed:
            try:
                size, fds = self.endpoint.read(self._inbound)
            except OSError:
                return
            if not (size or fds):
                return
            self._on_data(bytes(self._inbound[:size]), fds)

    def _drain(self, error: Exception) -> None:
        """Writing has failed, yet the other end may have said why."""
        with self._lock:
            self.read_available()
        self._lose(error)
