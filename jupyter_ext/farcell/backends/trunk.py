"""Streams to all sessions of a place over one: its other end is `farcell_host.trunk`, which one shell there has become.

For observers alone. A session of sshd's is then all that a place costs, where each stream might cost one of which notebooks need
some. When the trunk is lost all its streams are; whoever opens one next begins another, and if that fails nobody tries again
until `forgive`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from farcell_host.errors import ProtocolError
from farcell_host.protocol.trunk import GONE, MOST_BYTES, Frames, Kind, frame
from farcell_host.stream import Buffer, Stream, from_socket

from ..errors import TargetUnavailable
from . import scripts
from .base import Allocation, JobState, LaunchOptions, Opened, OpenedStream, Shared, Tell, untold
from .shell import Shell, bridged, new_mark
from .ssh.questions import Ask

Way = Mapping[str, Any]


@runtime_checkable
class Trunked(Protocol):
    """What a backend has beside, whose sessions can be reached from one shell."""

    tells_hosts: bool
    """Whether the shell's machine is theirs."""

    async def shell(self, options: LaunchOptions, ask: Ask | None = None) -> Shell:
        """As of `ShellBackend`."""

    def way(self, allocation: Allocation) -> Way | None:
        """How the other end finds the session (`Kind.OPEN`); None where it cannot."""


class NoHost(TargetUnavailable):
    """The session is over."""


class Trunk:
    """All methods are for the connection thread's loop."""

    def __init__(
        self,
        begin: Callable[[], Awaitable[Opened]],
        on_hosts: Callable[[list[str]], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_hosts`: names of the folders of all sessions there, first and whenever there are others. `on_lost`: it was cut, or
        could not be begun."""
        self._begin, self._on_hosts, self._on_lost = begin, on_hosts, on_lost
        self._has_carried = False
        self._beginning: asyncio.Future[_Carrier] | None = None
        self._failure: TargetUnavailable | None = None
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        return self._beginning is not None and self._beginning.done()

    @property
    def has_failed(self) -> bool:
        """Until it is forgiven."""
        return self._failure is not None

    async def open(self, way: Way) -> Opened:
        """Raises TargetUnavailable, NoHost when the session is over."""
        if self._is_closed:
            raise TargetUnavailable("Nobody looks at this place any more.")
        if self._failure is not None:
            raise self._failure
        if self._beginning is None:
            self._beginning = asyncio.ensure_future(self._carry())
        carrier = await asyncio.shield(self._beginning)
        return await carrier.open(way)

    @property
    def is_useless(self) -> bool:
        """It has failed without ever having carried anything, though its place could be asked: there can be none."""
        return self.has_failed and not self._has_carried

    def forgive(self) -> None:
        """The place has answered since: what has worked before may be tried again."""
        if self._has_carried:
            self._failure = None

    async def close(self) -> None:
        self._is_closed = True
        if self._beginning is not None:
            self._beginning.cancel()
            found = await asyncio.gather(self._beginning, return_exceptions=True)
            for carrier in found:
                if isinstance(carrier, _Carrier):
                    carrier.close("it was closed")

    async def _carry(self) -> _Carrier:
        try:
            carrier = _Carrier(await self._begin(), self._on_hosts, self._lost)
            self._has_carried = True
            return carrier
        except (TargetUnavailable, OSError, asyncio.TimeoutError) as error:
            self._failure = TargetUnavailable(f"There is no way to its sessions: {error or type(error).__name__}")
            self._lost()
            raise self._failure from error

    def _lost(self) -> None:
        self._beginning = None
        if not self._is_closed:
            self._on_lost()


@dataclass(frozen=True)
class _Outgoing:
    buffers: Sequence[Buffer]
    fds: Sequence[int] = ()
    close_fds: Sequence[int] = ()


class _Queue:
    """What waits for a stream to be written."""

    def __init__(self) -> None:
        self._waiting: deque[_Outgoing] = deque()
        self.stream: Stream | None = None

    def put(self, data: Buffer) -> None:
        self._waiting.append(_Outgoing((data,)))
        if self.stream is not None and not self.stream.closed:
            self.stream.wake()

    def take(self, most: int) -> list[_Outgoing]:
        return [self._waiting.popleft()] if self._waiting else []


class _Carrier:
    """One stream's life."""

    def __init__(self, opened: Opened, on_hosts: Callable[[list[str]], None], on_lost: Callable[[], None]) -> None:
        self._opened, self._on_hosts, self._on_lost = opened, on_hosts, on_lost
        self._frames = Frames()
        self._count = 0
        self._asked: dict[int, asyncio.Future[socket.socket]] = {}
        self._channels: dict[int, _Queue] = {}
        self._out = _Queue()
        self._is_over = False
        self._out.stream = Stream(opened.endpoint, self._out.take, self._receive, self._broken)

    async def open(self, way: Way) -> Opened:
        if self._is_over:
            raise TargetUnavailable("The connection to the place was lost.")
        self._count += 1
        channel = self._count
        answer: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._asked[channel] = answer
        self._out.put(frame(Kind.OPEN, channel, json.dumps(dict(way)).encode()))
        try:
            theirs = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                answer.result().close()
            self._end(channel)
            raise
        return OpenedStream(from_socket(theirs), partial(self._end, channel))

    def close(self, why: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(TargetUnavailable(f"The connection to the place was lost: {why}"))
        for channel in list(self._channels):
            self._drop(channel)
        assert self._out.stream is not None
        self._out.stream.close()
        self._opened.close()
        self._on_lost()

    def _broken(self, error: Exception | None) -> None:
        self.close(str(error or "its other end has closed it"))

    def _receive(self, data: Buffer, fds: list[int]) -> None:
        try:
            for kind, channel, payload in self._frames.receive(data):
                self._take(kind, channel, payload)
        except (ProtocolError, ValueError) as error:
            self.close(str(error))

    def _take(self, kind: Kind, channel: int, payload: bytes) -> None:
        if kind is Kind.HOSTS:
            self._on_hosts(json.loads(payload))
        elif kind is Kind.DATA:
            if channel in self._channels:
                self._channels[channel].put(payload)
        elif kind is Kind.OPENED:
            answer = self._asked.pop(channel, None)
            if answer is None or answer.done():
                self._out.put(frame(Kind.CLOSE, channel))
            else:
                answer.set_result(self._connected(channel))
        elif kind is Kind.CLOSE:
            answer = self._asked.pop(channel, None)
            if answer is not None and not answer.done():
                is_gone = payload == GONE
                text = "no kernel host lives there" if is_gone else payload.decode(errors="replace")
                answer.set_exception((NoHost if is_gone else TargetUnavailable)(text))
            self._drop(channel)

    def _connected(self, channel: int) -> socket.socket:
        """The end of a channel that its user holds."""
        ours, theirs = socket.socketpair()
        queue = self._channels[channel] = _Queue()
        queue.stream = Stream(from_socket(ours), queue.take, partial(self._send, channel), lambda error: self._end(channel))
        return theirs

    def _send(self, channel: int, data: Buffer, fds: list[int]) -> None:
        view = memoryview(bytes(data))
        for at in range(0, len(view), MOST_BYTES):
            self._out.put(frame(Kind.DATA, channel, view[at : at + MOST_BYTES]))

    def _end(self, channel: int) -> None:
        """Whoever had the channel has closed it."""
        self._asked.pop(channel, None)
        self._drop(channel)
        if not self._is_over:
            self._out.put(frame(Kind.CLOSE, channel))

    def _drop(self, channel: int) -> None:
        queue = self._channels.pop(channel, None)
        if queue is not None and queue.stream is not None:
            queue.stream.close()


class OverTrunk:
    """A backend for whoever looks at sessions that are there: it opens streams over a trunk, and starts and ends none."""

    def __init__(self, backend: Trunked, trunk: Trunk, name: str) -> None:
        self.name = name
        self._backend, self._trunk = backend, trunk
        self._is_gone = False

    async def open_stream(self, allocation: Allocation) -> Opened:
        way = self._backend.way(allocation)
        if way is None:
            raise TargetUnavailable(f"Session {allocation.runtime} cannot be reached from its place's shell.")
        self._is_gone = False
        try:
            return await self._trunk.open(way)
        except NoHost:
            self._is_gone = True
            raise

    async def poll(self, allocation: Allocation) -> JobState:
        """As the last try to open a stream has shown: nobody else is asked."""
        return JobState.GONE if self._is_gone or self._trunk.is_useless else JobState.UNKNOWN

    async def launch(self, options: LaunchOptions, ask: Ask | None = None, tell: Tell = untold) -> Allocation:
        raise NotImplementedError("Whoever observes starts nothing.")

    async def release(self, allocation: Allocation) -> None:
        """Nothing was taken."""


def trunk_of(
    backend: Trunked,
    options: LaunchOptions,
    details: Mapping[str, Any],
    on_hosts: Callable[[list[str]], None],
    on_lost: Callable[[], None],
) -> Trunk:
    """To the place of a session that was found there: `details` name the Python and the kernel host that it was found with."""

    async def begin() -> Opened:
        shell = await backend.shell(options)
        mark = new_mark()
        script = scripts.trunk(mark, details["command"], details["pyz"], options.env, backend.tells_hosts)
        return await bridged(shell, script, mark)

    def lost() -> None:
        if isinstance(backend, Shared):
            backend.doubt()
        on_lost()

    return Trunk(begin, on_hosts, lost)
