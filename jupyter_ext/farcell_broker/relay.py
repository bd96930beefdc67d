"""Bytes between a person's WebSocket and a kernel host's stream, both ways, held back by whoever takes them slowest.

A message is a piece of the stream and means nothing by itself. In each direction at most `HELD_BYTES` and one message lie here:
a host whose reader is slow is not read, and a WebSocket whose host is slow is not read either, so that TCP holds its sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from farcell.backends.base import Opened
from farcell_host.stream import Buffer, Stream
from tornado.websocket import WebSocketClosedError

HELD_BYTES = 1 << 20
MESSAGE_BYTES = 4 << 20
"""Of a WebSocket message; a longer one ends the stream."""
REASON_BYTES = 123
"""RFC 6455, section 5.5: a control frame has 125 bytes, two of them the code."""
PING_S = 20.0
"""Under the idle time-outs of proxies, which begin at a minute."""
ENDED, TOKEN_GONE, LEASE_GONE = 4001, 4003, 4004
"""Why a stream was closed, in RFC 6455's range for private use."""


class Socket(Protocol):
    """As much of a WebSocket as is needed here."""

    def write_message(self, message: bytes, binary: bool = False) -> asyncio.Future[None]: ...
    def close(self, code: int | None = None, reason: str | None = None) -> None: ...


@dataclass(frozen=True)
class _Piece:
    buffers: Sequence[Buffer]
    fds: Sequence[int] = ()
    close_fds: Sequence[int] = ()


class Relay:
    """One stream's life; `receive` is given the WebSocket's messages, `close` ends both sides. On one loop's thread."""

    def __init__(self, socket: Socket, opened: Opened, on_closed: Callable[[Relay], None] = lambda relay: None) -> None:
        self.sent_bytes = 0
        """To the person."""
        self.received_bytes = 0
        self.closed = False
        self._socket, self._opened, self._on_closed = socket, opened, on_closed
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._flushing_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._stream = Stream(opened.endpoint, self._take, self._from_host, self._lost)

    def receive(self, message: bytes) -> Awaitable[object] | None:
        """None when another one may come; else what to await first: as long as that takes, the WebSocket is not read."""
        if self.closed:
            return None
        self.received_bytes += len(message)
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        self._stream.wake()
        if self._waiting_bytes <= HELD_BYTES or self.closed:
            return None
        self._room.clear()
        return self._room.wait()

    def close(self, code: int, reason: str) -> None:
        """Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self._stream.close()
        self._opened.close()
        self._room.set()
        self._socket.close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
        self._on_closed(self)

    def _take(self, max_bytes: int) -> Iterable[_Piece]:
        if not self._waiting:
            return ()
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message)
        if self._waiting_bytes <= HELD_BYTES:
            self._room.set()
        return (_Piece((message,)),)

    def _from_host(self, data: Buffer, fds: list[int]) -> None:
        size = len(data)
        self.sent_bytes += size
        self._flushing_bytes += size
        try:
            flushed = self._socket.write_message(bytes(data), binary=True)
        except WebSocketClosedError:
            return self.close(ENDED, "the connection is lost")
        flushed.add_done_callback(lambda done: self._flushed(done, size))
        if self._flushing_bytes > HELD_BYTES:
            self._stream.pause_reading()

    def _flushed(self, done: asyncio.Future[None], size: int) -> None:
        self._flushing_bytes -= size
        if done.cancelled() or done.exception() is not None:
            self.close(ENDED, "the connection is lost")
        elif self._flushing_bytes <= HELD_BYTES and not self.closed:
            self._stream.resume_reading()

    def _lost(self, error: Exception | None) -> None:
        self.close(ENDED, "the kernel host has closed the stream" if error is None else "the kernel host cannot be reached")
