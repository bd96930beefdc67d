"""The relay's promises about memory: whoever takes slowly holds back the other end, and nothing piles up between them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from farcell.backends.base import OpenedStream
from farcell.backends.broker.pipe import Pipe
from farcell_broker.relay import ENDED, HELD_BYTES, Relay
from farcell_host.stream import from_socket
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

PIECE = bytes(range(256)) * 1024
SOCKETS_BYTES = 16 << 20
"""What all sockets on the way may hold at most, whatever the system's defaults."""


class Slow:
    """A WebSocket that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.flushing: list[asyncio.Future[None]] = []
        self.closed: tuple[int | None, str | None] | None = None

    def write_message(self, message: bytes, binary: bool = False) -> asyncio.Future[None]:
        self.messages.append(message)
        self.flushing.append(asyncio.get_running_loop().create_future())
        return self.flushing[-1]

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        self.closed = (code, reason)

    def flush(self) -> None:
        for each in self.flushing:
            each.set_result(None)
        self.flushing.clear()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_person_who_takes_nothing_holds_back_the_host() -> None:
    async def scene() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        slow = Slow()
        relay = Relay(slow, OpenedStream(from_socket(near)))
        sent = 0
        for _ in range(64):
            await turns()
            try:
                sent += far.send(PIECE)
            except BlockingIOError:
                break
        held = sum(map(len, slow.messages))
        assert HELD_BYTES < held <= HELD_BYTES + len(PIECE) and sent < 64 * len(PIECE)
        slow.flush()
        await turns()
        assert sum(map(len, slow.messages)) > held
        relay.close(ENDED, "é" * 100)
        assert slow.closed is not None and len(str(slow.closed[1]).encode()) <= 123
        far.close()

    run(scene())


def test_a_host_that_takes_nothing_holds_back_the_person() -> None:
    async def scene() -> None:
        near, far = socket.socketpair()
        relay = Relay(Slow(), OpenedStream(from_socket(near)))
        taken, awaited = 0, None
        while awaited is None:
            taken += len(PIECE)
            awaited = relay.receive(PIECE)
        assert taken < 8 * HELD_BYTES
        waiting = asyncio.ensure_future(awaited)
        await turns()
        assert not waiting.done()
        got = b""
        while not waiting.done():
            got += await asyncio.get_running_loop().run_in_executor(None, far.recv, 1 << 20)
            await turns()
        assert got == (PIECE * (len(got) // len(PIECE) + 1))[: len(got)]
        relay.close(ENDED, "")
        far.close()

    run(scene())


class Ends(WebSocketHandler):
    """A relay to one end of a socket pair; the test has the other."""

    far: socket.socket

    def open(self, *args: str, **kwargs: str) -> None:
        near, type(self).far = socket.socketpair()
        self.relay = Relay(self, OpenedStream(from_socket(near)))

    def on_message(self, message: str | bytes) -> Any:
        assert isinstance(message, bytes)
        return self.relay.receive(message)

    def on_close(self) -> None:
        self.relay.close(ENDED, "")


@pytest.mark.parametrize("is_up", [True, False])
def test_all_bytes_come_in_order_and_none_pile_up_on_the_whole_way(is_up: bool) -> None:
    """From a notebook's end of the stream to the host's, through a real WebSocket; both ends as slow as they like."""

    async def scene() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application([("/", Ends)]))
        server.add_sockets(sockets)
        pipe = Pipe(await websocket_connect(f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/"))
        loop = asyncio.get_running_loop()
        assert pipe.endpoint.sock is not None
        near, far = pipe.endpoint.sock, Ends.far
        far.setblocking(False)
        source, sink = (near, far) if is_up else (far, near)
        data = memoryview(bytes(range(251)) * (SOCKETS_BYTES // 251))
        sent, stuck = 0, 0
        try:
            while stuck < 20:  # nobody takes anything
                try:
                    sent += source.send(data[sent : sent + (256 << 10)])
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
                    await asyncio.sleep(0.01)
                assert sent < len(data)
            got = bytearray()
            while len(got) < sent:
                got += await loop.sock_recv(sink, 1 << 20)
            assert got == data[:sent]
            source.send(b"end")
            assert await loop.sock_recv(sink, 16) == b"end"
        finally:
            pipe.close()
            far.close()
            near.close()
            server.stop()
            await server.close_all_connections()
            await asyncio.sleep(0.1)  # tornado's own tasks see their ends

    run(scene())
