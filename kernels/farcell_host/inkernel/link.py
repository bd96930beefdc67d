"""The kernel's end of its own Unix socket: frames in and out, by whichever thread needs them.

The socket blocks: a cell that floods waits here until the host has taken what it wrote. Frames are written under a
lock and with SIGINT deferred, so there is never half a frame. While a cell runs nobody turns the event loop, so a
thread that waits for an answer (input(), a fetched name) reads the socket itself; what it reads for others is put
where they find it. A forked child never touches the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .. import bulk, capabilities, peermemory
from ..errors import ProtocolError
from ..protocol.frames import (
    Descriptor,
    Frame,
    FrameReader,
    Kind,
    MessageAssembler,
    decode_fields,
    encode_descriptor,
    encode_frame,
    encode_message,
)
from ..protocol.messages import Channel, Message, encode_json
from .exchange import Check, Reply, Request
from .interrupts import InterruptGuard

Buffer = bytes | bytearray | memoryview

READ_BYTES = 256 << 10
JOIN_BYTES = 64 << 10  # frames up to this size are copied into one piece and written at once
_IOV_BUFFERS = 512
_TURN_S = 0.05  # how long one thread may keep the others from reading


class LinkLost(Exception):
    """The kernel host has closed its end."""


class Link:
    """One connection of the kernel host."""

    ident = b"farcell-direct"

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        guard: InterruptGuard,
        iopub: Sequence[Any],
        on_message: Callable[[Link, Message], None],
        on_lost: Callable[[Link], None],
    ) -> None:
        self.pid = os.getpid()
        self.guard = guard
        self.replies = object()  # the stream that ipykernel's request handlers are given
        self.closed = False
        self._sock = sock
        self._loop = loop
        self._iopub = tuple(iopub)
        self._on_message = on_message
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._assembler = MessageAssembler()
        self._room = memoryview(bytearray(READ_BYTES))
        self._mapped: dict[int, memoryview] = {}
        self._rooms: dict[tuple[int, int], memoryview] = {}
        """Memory that the host fills, for a message that is to come; by the number of its request, and the buffer's in that."""
        self._inbox: deque[Message] = deque()
        self._answers: dict[str, deque[Message]] = {}
        self._next_descriptor = 0
        self._write_lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._input_lock = threading.RLock()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        loop.add_reader(sock, self._readable)

    # Out

    def takes(self, stream: Any) -> bool:
        """Whether what Session.send is to write to `stream` goes over the link."""
        return not self.closed and (stream is self.replies or any(stream is iopub for iopub in self._iopub))

    def send_parts(self, stream: Any, parts: tuple[bytes, ...], buffers: Sequence[Buffer]) -> None:
        channel = Channel.SHELL if stream is self.replies else Channel.IOPUB
        header, parent, metadata, content = parts
        self.send(Message(channel, (header, parent, metadata, content), tuple(buffers)))

    def send(self, message: Message) -> None:
        """Returns when the system has taken it; a lost link swallows it."""
        frames = encode_message(message)
        with self.guard, self._write_lock:  # fragments of two messages on one channel must not mix
            for frame in frames:
                self._write(frame)

    def send_reply(self, reply: Reply, parent: dict[str, Any], channel: Channel = Channel.SHELL) -> None:
        """With the bulk buffers in memory files of their own, whose descriptors go ahead. Raises OSError when memory is short."""
        entries: list[dict[str, int]] = []
        try:
            for buffer in reply.bulk:
                self._next_descriptor += 1
                entries.append({"size": memoryview(buffer).nbytes, "descriptor": self._next_descriptor})
                self._send_bulk(buffer, self._next_descriptor)
        except OSError:
            for entry in entries:
                self._tell_filled(entry["descriptor"], None)
            raise
        metadata = {"farcell_bulk": entries} if entries else {}
        self.send(
            Message.build(channel, reply.msg_type, reply.content, parent=parent, metadata=metadata, buffers=tuple(reply.buffers))
        )

    def _send_bulk(self, buffer: Buffer, number: int) -> None:
        """The file goes first, and then what fills it: the host need not wait for the end of that."""
        size = memoryview(buffer).nbytes
        fd = bulk.empty_file(size)
        try:
            self._write(encode_descriptor(Descriptor(number, fd, size)), [fd])
            bulk.fill_file(fd, buffer, partial(self._tell_filled, number))
        finally:
            os.close(fd)

    def _tell_filled(self, number: int, size: int | None) -> None:
        self._write(encode_frame(Kind.FILLED, [encode_json({"id": number, "size": size})]))

    def _write(self, buffers: Sequence[Buffer], fds: Sequence[int] = ()) -> None:
        with self.guard, self._write_lock:
            if self.closed:
                return
            try:
                if not fds and sum(map(len, buffers)) <= JOIN_BYTES:
                    self._sock.sendall(b"".join(buffers))
                else:
                    self._write_pieces([memoryview(buffer).cast("B") for buffer in buffers if len(buffer)], fds)
            except OSError:
                self._lose()

    def _write_pieces(self, views: list[memoryview], fds: Sequence[int]) -> None:
        while views:
            written = capabilities.send(self._sock, views[:_IOV_BUFFERS], fds)
            fds = ()
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]

    # In

    def _readable(self) -> None:
        """Called by the event loop; another thread may be reading just now."""
        if not self._read_lock.acquire(blocking=False):
            return
        try:
            self._read_once(0)
        finally:
            self._read_lock.release()
        self._deliver()

    def _read_once(self, timeout_s: float) -> None:
        """Reads what has come, or waits for it; the caller holds the read lock."""
        if not self._poll.poll(timeout_s * 1000):
            return
        with self.guard:
            try:
                size, fds = capabilities.receive(self._sock, self._room)
                if not size:
                    self._lose()
                    return
                for frame in self._reader.feed(bytes(self._room[:size]), fds):
                    self._handle(frame)
            except (OSError, ProtocolError):
                self._lose()

    def _handle(self, frame: Frame) -> None:
        if frame.kind == Kind.MESSAGE:
            message = self._assembler.add(frame)
            if message is None:
                return
            if message.channel == Channel.STDIN:
                self._answers.setdefault(message.msg_type, deque()).append(message)
            else:
                self._inbox.append(message)
        elif frame.kind == Kind.DESCRIPTOR:
            descriptor = self._reader.take_descriptor(frame)
            try:
                self._mapped[descriptor.id] = bulk.map_descriptor(descriptor.fd, descriptor.size)
            finally:
                os.close(descriptor.fd)
        elif frame.kind == Kind.ROOM:
            self._make_room(**decode_fields(frame))
        elif frame.kind == Kind.PING:
            self._write(encode_frame(Kind.PONG, ()))

    def _make_room(self, id: int, sizes: Sequence[int], drop: bool) -> None:
        """Or let it go: nothing more is written there, and no message will name it."""
        keys = [(id, number) for number in range(len(sizes))]
        if drop:
            for key in keys:
                self._rooms.pop(key, None)
            return
        offers = []
        with contextlib.suppress(MemoryError):
            rooms = [bulk.room(size) for size in sizes]
            offers = [peermemory.offer(room) for room in rooms]
            self._rooms.update(zip(keys, rooms, strict=True))
        fields = {"id": id, "memory": offers[0] if offers else None, "addresses": [offer["address"] for offer in offers]}
        self._write(encode_frame(Kind.ROOM, [encode_json(fields)]))

    def _deliver(self) -> None:
        while self._inbox:
            self._on_message(self, self._inbox.popleft())

    def request_of(self, message: Message) -> Request:
        """With buffers that are ours to write on: the state makes arrays of them."""
        bulk_buffers = [self._taker(entry) for entry in message.metadata.get("farcell_bulk", ())]
        return Request(message.header, message.content, [bytearray(b) for b in message.buffers], bulk_buffers)

    def _taker(self, entry: dict[str, Any]) -> Callable[[Check], Buffer]:
        if "memory" in entry:
            return partial(peermemory.read, entry["memory"], int(entry["size"]))
        is_room = "room" in entry
        here = self._rooms.pop(tuple(entry["room"])) if is_room else self._mapped.pop(entry["descriptor"])
        return lambda check: here

    def _lose(self) -> None:
        """The host is gone; its process watches over ours, see launch.py."""
        if self.closed:
            return
        self.closed = True
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()
        self._on_lost(self)

    def close(self) -> None:
        self._lose()

    # Questions to the notebook

    def is_ident(self, ident: Any) -> bool:
        return bool(ident == self.ident)

    def ask_input(self, prompt: str, password: bool, parent: dict[str, Any]) -> str:
        """input_request -> the value; KeyboardInterrupt may end the wait."""
        with self._input_lock:
            self._answers.pop("input_reply", None)  # an answer to a question that was interrupted
            content = {"prompt": str(prompt), "password": password}
            self.send(Message.build(Channel.STDIN, "input_request", content, parent=parent["header"]))
            answer = self._wait_answer("input_reply", None)
        return str(answer.content.get("value", "")) if answer is not None else ""

    def send_fetch(self, content: dict[str, Any], parent: dict[str, Any]) -> None:
        self.send(Message.build(Channel.STDIN, "farcell_fetch_request", content, parent=parent["header"]))

    def wait_fetch_reply(self, timeout_s: float | None) -> Request | None:
        message = self._wait_answer("farcell_fetch_reply", timeout_s)
        return self.request_of(message) if message is not None else None

    def take_late_fetch_replies(self) -> list[Request]:
        """Those that came when nobody waited any more."""
        messages = self._answers.pop("farcell_fetch_reply", deque())
        return [self.request_of(message) for message in messages]

    def _wait_answer(self, msg_type: str, timeout_s: float | None) -> Message | None:
        """Reads the socket on this thread until the answer has come, here or on another one."""
        answers = self._answers.setdefault(msg_type, deque())
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not answers:
            if self.closed:
                raise LinkLost("The connection to the kernel host was lost while the cell waited for the notebook")
            if deadline is not None and time.monotonic() > deadline:
                return None
            with self._read_lock:
                if not answers:
                    self._read_once(_TURN_S)
            if self._inbox:  # requests, for the event loop
                self._loop.call_soon_threadsafe(self._deliver)
        return answers.popleft()
