"""The byte stream under every connection: a Unix socket or a pair of pipes."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections import deque
from typing import NamedTuple

import pytest
from farcell_host import capabilities, stream


class Out(NamedTuple):
    buffers: list
    fds: list = []  # noqa: RUF012
    close_fds: list = []  # noqa: RUF012


class End:
    """One end: frames in a queue, what arrived, and how it ended."""

    def __init__(self, endpoint):
        self.queue, self.data, self.fds = deque(), bytearray(), []
        self.changed, self.lost = asyncio.Event(), asyncio.get_running_loop().create_future()
        self.taken = []
        self.stream = stream.Stream(endpoint, self.take, self.arrived, self.lost.set_result)

    def take(self, max_bytes):
        frames = []
        while self.queue and max_bytes > 0:
            frames.append(self.queue.popleft())
            max_bytes -= sum(map(len, frames[-1].buffers))
        self.taken += frames
        return frames

    def arrived(self, data, fds):
        self.data += data
        self.fds += fds
        self.changed.set()

    def send(self, *frames):
        self.queue.extend(frames)
        self.stream.wake()

    async def has(self, size):
        while len(self.data) < size:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)
        return bytes(self.data)


def sockets():
    left, right = socket.socketpair()
    return stream.from_socket(left), stream.from_socket(right)


def pipes():
    (r1, w1), (r2, w2) = os.pipe(), os.pipe()
    return stream.from_pipes(r1, w2), stream.from_pipes(r2, w1)


@pytest.fixture(params=[sockets, pipes])
def joined(request):
    """Runs a conversation between two ends over each kind of stream; nothing stays open afterwards."""

    def run(talk):
        async def main():
            left, right = map(End, request.param())
            try:
                await asyncio.wait_for(talk(left, right), 20)
            finally:
                left.stream.close()
                right.stream.close()

        before = os.listdir("/proc/self/fd")
        asyncio.run(main())
        assert os.listdir("/proc/self/fd") == before

    return run


def test_bytes_arrive_in_order_both_ways(joined):
    """Thousands of small frames and a big one arrive as sent, in both directions at once."""

    async def talk(left, right):
        small = [Out([b"%d," % n, b"", bytearray(b";")]) for n in range(3000)]
        big = os.urandom(5 << 20)
        left.send(*small, Out([big]), Out([b"end"]))
        right.send(Out([memoryview(big)]))
        expected = b"".join(bytes(b) for out in small for b in out.buffers) + big + b"end"
        assert await right.has(len(expected)) == expected
        assert await left.has(len(big)) == big

    joined(talk)


def test_an_urgent_frame_passes_what_waits(joined):
    """What the owner puts first while an upload is stuck goes out after the frame begun, not after all of it."""

    async def talk(left, right):
        right.stream.pause_reading()
        left.send(*[Out([bytes(1 << 20)]) for _ in range(20)])
        await asyncio.sleep(0)
        left.queue.appendleft(Out([b"INTERRUPT"]))
        right.stream.resume_reading()
        data = await right.has((20 << 20) + 9)
        assert data.index(b"INTERRUPT") == 1 << 20

    joined(talk)


def test_the_end_is_reported_once(joined):
    """An orderly end comes as None, and the stream is closed."""

    async def talk(left, right):
        left.send(Out([b"bye"]))
        left.stream.finish()
        assert left.stream.closed
        assert await asyncio.wait_for(right.lost, 5) is None
        assert right.data == b"bye" and right.stream.closed
        assert not left.lost.done()

    joined(talk)


def test_a_refusal_is_read_before_the_broken_write_is_told(joined):
    """Writing to an end that is gone still delivers what it said last."""

    async def talk(left, right):
        right.send(Out([b"refused: too old"]))
        right.stream.close()
        left.send(Out([b"hello"]))
        error = await asyncio.wait_for(left.lost, 5)
        assert error is None or isinstance(error, OSError)
        assert left.data == b"refused: too old"

    joined(talk)


def test_finish_writes_what_is_queued(joined):
    """finish() ends only after all frames are out."""

    async def talk(left, right):
        left.queue.extend(Out([bytes(1 << 20)]) for _ in range(4))
        left.stream.finish()
        await right.has(4 << 20)
        assert await asyncio.wait_for(right.lost, 5) is None
        assert left.stream.closed

    joined(talk)


@pytest.mark.skipif(not capabilities.has_descriptors(), reason="needs SCM_RIGHTS")
def test_open_files_ride_with_their_frames():
    """Descriptors arrive in order, each with its frame, and ours are closed when the owner says so."""

    async def main():
        left, right = map(End, sockets())
        assert left.stream.supports_descriptors
        files = [capabilities.memory_file() for _ in range(40)]
        for number, fd in enumerate(files):
            os.write(fd, b"%d" % number)
        left.send(*[Out([b"frame%02d" % n], [fd], [fd]) for n, fd in enumerate(files)], Out([b"plain"]))
        data = await right.has(40 * 7 + 5)
        assert data.endswith(b"frame39plain")
        assert [int(os.pread(fd, 9, 0)) for fd in right.fds] == list(range(40))
        assert not any(os.get_inheritable(fd) for fd in right.fds)
        for fd in right.fds:
            os.close(fd)
        left.stream.close()
        right.stream.close()

    before = os.listdir("/proc/self/fd")
    asyncio.run(main())
    assert os.listdir("/proc/self/fd") == before


def test_without_scm_rights_the_stream_says_so(monkeypatch):
    """Where open files cannot be passed, the handshake can know before trying; bytes flow as ever."""
    monkeypatch.setenv("FARCELL_WITHOUT", "descriptors")

    async def main():
        left, right = map(End, sockets())
        assert not left.stream.supports_descriptors
        left.send(Out([b"x" * 100]))
        assert await right.has(100) == b"x" * 100
        left.stream.close()
        right.stream.close()

    asyncio.run(main())


def test_connecting_to_nobody_fails_at_once(tmp_path):
    """No listener: an OSError naming the cause, no wait."""
    with pytest.raises(FileNotFoundError):
        stream.connect_unix(tmp_path / "none")


def lent(endpoint):
    """An end made anew with a lock; its events say which thread they came on."""
    end = End.__new__(End)
    end.queue, end.data, end.fds, end.taken = deque(), bytearray(), [], []
    end.changed, end.lost = asyncio.Event(), asyncio.get_running_loop().create_future()
    end.lock, end.threads = threading.RLock(), []
    loop = asyncio.get_running_loop()

    def arrived(data, fds):
        end.threads.append(threading.get_ident())
        end.data += data
        loop.call_soon_threadsafe(end.changed.set)

    end.stream = stream.Stream(endpoint, end.take, arrived, end.lost.set_result, lock=end.lock)
    return end


@pytest.mark.parametrize("make", [sockets, pipes])
def test_a_waiting_thread_borrows_the_reading(make):
    """While it waits every byte comes to it, though the loop turns; afterwards to the loop again. Writing needs no loop."""

    async def main():
        one, other = make()
        left, right = End(one), lent(other)
        try:
            await _borrow(left, right)
        finally:
            left.stream.close()
            right.stream.close()

    before = os.listdir("/proc/self/fd")
    asyncio.run(main())
    assert os.listdir("/proc/self/fd") == before


async def _borrow(left, right):
    borrowed = threading.Event()

    def wait():
        with right.lock:
            right.queue.append(Out([b"ask"]))
            right.stream.wake()
        with right.stream.borrow() as reading:
            borrowed.set()
            poll = select.poll()
            poll.register(reading, select.POLLIN)
            while len(right.data) < 6:
                assert poll.poll(10_000)
                right.stream.read_here()
        return threading.get_ident()

    waiting = asyncio.ensure_future(asyncio.to_thread(wait))
    assert await left.has(3) == b"ask"
    await asyncio.to_thread(borrowed.wait, 10)
    for piece in (b"one", b"two"):
        left.send(Out([piece]))
        await asyncio.sleep(0)
    waiter = await asyncio.wait_for(waiting, 20)
    assert (bytes(right.data), set(right.threads)) == (b"onetwo", {waiter})
    left.send(Out([b"end"]))
    assert await right.has(9) == b"onetwoend"
    assert right.threads[-1] == threading.get_ident()


def test_a_stream_that_ends_while_it_is_lent_is_lost_on_the_loop():
    """The thread that reads sees the end first; `on_lost` comes on the loop's thread all the same, once."""

    async def main():
        one, other = sockets()
        left, right = End(one), lent(other)
        loop_thread, ended_on = threading.get_ident(), []
        right.lost.add_done_callback(lambda future: ended_on.append(threading.get_ident()))

        def wait():
            with right.stream.borrow() as reading:
                left.stream.loop.call_soon_threadsafe(left.stream.close)
                poll = select.poll()
                poll.register(reading, select.POLLIN)
                assert poll.poll(10_000)
                right.stream.read_here()
                right.stream.read_here()
            with right.stream.borrow() as reading:
                return reading

        try:
            assert await asyncio.to_thread(wait) is None
            assert await asyncio.wait_for(right.lost, 10) is None
            await asyncio.sleep(0)
            assert ended_on == [loop_thread]
        finally:
            left.stream.close()
            right.stream.close()

    asyncio.run(main())


def test_a_stream_is_not_lent_without_epoll(monkeypatch):
    """The portable way: the loop reads on, whoever waits."""
    monkeypatch.setenv("FARCELL_WITHOUT", "epoll")

    async def main():
        one, other = sockets()
        left, right = End(one), lent(other)
        try:
            with right.stream.borrow() as reading:
                assert reading is None
                left.send(Out([b"read by the loop"]))
                assert await right.has(16) == b"read by the loop"
        finally:
            left.stream.close()
            right.stream.close()

    asyncio.run(main())
