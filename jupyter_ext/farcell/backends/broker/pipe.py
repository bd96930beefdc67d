"""A WebSocket as a byte stream: a socket pair whose far end is read and written on the connection's loop.

Both directions hold still when the other side does not take more: what is on its way is `HELD_BYTES` and one message each way,
and what the sockets hold. Bytes pass without a task of their own, as each one that is woken costs a cell a turn of the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable

from farcell_host.stream import Endpoint, from_socket
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError

PIECE_BYTES = 256 << 10
HELD_BYTES = 1 << 20


class Pipe:
    """`endpoint` is the near end; `close` ends the WebSocket and the far end, never the near one. Of the running loop."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        near, self._far = socket.socketpair()
        self._far.setblocking(False)
        self.endpoint: Endpoint = from_socket(near)
        self.endpoint.supports_descriptors = False  # they would get to this process only
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._flushing_bytes = 0
        self._is_reading = False
        self.closed = False
        # What websocket_connect's own callback cannot: tornado reads on when what this returns is done.
        connection.on_message = self._arrived  # type: ignore[method-assign]
        self._ending = asyncio.ensure_future(self._until_lost())
        self._read(True)

    def close(self) -> None:
        """Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self._read(False)
        self._ending.cancel()
        self._connection.close()
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)  # ends a send that waits, which then lets go of it
        self._far.close()

    async def _until_lost(self) -> None:
        """A message that came before `_arrived` was there is in tornado's queue; None is the end."""
        while isinstance(message := await self._connection.read_message(), bytes):
            await (self._arrived(message) or _nothing())
        self.close()

    def _read(self, is_on: bool) -> None:
        if is_on and not (self._is_reading or self.closed):
            self._loop.add_reader(self._far, self._readable)
        elif not is_on and self._is_reading:
            self._loop.remove_reader(self._far)
        self._is_reading = is_on

    def _readable(self) -> None:
        try:
            data = self._far.recv(PIECE_BYTES)
            if not data:
                return self.close()
            flushed = self._connection.write_message(data, binary=True)
        except BlockingIOError:
            return
        except (OSError, WebSocketClosedError):
            return self.close()
        size = len(data)
        self._flushing_bytes += size
        flushed.add_done_callback(lambda done: self._flushed(done, size))
        if self._flushing_bytes > HELD_BYTES:
            self._read(False)

    def _flushed(self, done: asyncio.Future[None], size: int) -> None:
        self._flushing_bytes -= size
        if done.cancelled() or done.exception() is not None:
            self.close()
        elif self._flushing_bytes <= HELD_BYTES:
            self._read(not self.closed)

    def _arrived(self, message: str | bytes) -> Awaitable[None] | None:
        """Called by tornado; None when all of it has gone on."""
        if self.closed or isinstance(message, str):
            return None
        try:
            sent = self._far.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return None
        return self._send(memoryview(message)[sent:]) if sent < len(message) else None

    async def _send(self, rest: memoryview) -> None:
        try:
            await self._loop.sock_sendall(self._far, rest)
        except OSError:
            self.close()


async def _nothing() -> None:
    """For what has been done already."""
