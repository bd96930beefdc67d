"""The host's link into the remote kernel over its own Unix socket; what it shares with the zmq link (`zmqlink.py`)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from . import capabilities, peermemory
from .bulk import Buffer
from .errors import ProtocolError
from .protocol.frames import (
    MAX_MESSAGE_BYTES,
    Descriptor,
    Flags,
    Frame,
    FrameReader,
    Kind,
    decode_fields,
    decode_message,
    encode_descriptor,
    encode_frame,
    encode_message,
)
from .protocol.messages import Message, encode_json
from .protocol.outbox import CHANNEL_PRIORITY, Outbox, Priority
from .stream import Stream, connect_unix

BULK_KEY = "farcell_bulk"
_BULK_BYTES_KEY = b'"farcell_bulk"'
_MORE = int(Flags.MORE)
_CONNECT_PAUSE_S = 0.005  # the kernel imports for half a second; its socket's appearance is no event on every system

log = logging.getLogger("farcell.host")


OnFilled = Callable[[Descriptor, "int | None"], None]
"""A file whose message is to come: how much of it is written; None when none will come."""


class FromKernel(NamedTuple):
    """One message as it came: the bodies of its frames, undecoded, and the descriptors it names."""

    channel: int
    bodies: Sequence[Sequence[Any]]
    descriptors: tuple[Descriptor, ...] = ()

    def message(self) -> Message:
        return decode_message(self.channel, memoryview(b"".join(part for body in self.bodies for part in body)))


class Room:
    """Memory of the kernel's for the bulk of one message that is to come: written from here, and the kernel's own from the moment
    that it is named or dropped."""

    def __init__(self, id: int, sizes: Sequence[int], memory: dict[str, Any], addresses: Sequence[int], link: DirectLink) -> None:
        """Raises Unreadable where the system does not let us write there."""
        self._id, self._sizes, self._memory, self._addresses, self._link = id, sizes, memory, addresses, link
        peermemory.try_to_write(memory)

    def write(self, number: int, offset: int, data: Buffer) -> None:
        """Into buffer `number` of them; raises Unreadable when the kernel is no more."""
        peermemory.write({**self._memory, "address": self._addresses[number]}, offset, data)

    def entry(self, number: int) -> dict[str, Any]:
        """How a message names it."""
        return {"size": self._sizes[number], "room": [self._id, number]}

    def drop(self) -> None:
        self._link.drop_room(self._id, self._sizes)


class KernelLink(Protocol):
    direct: bool

    def ask_room(self, sizes: Sequence[int], on_answer: Callable[[Room | None], None]) -> None:
        """None: there is no writing into the kernel's memory. The kernel answers when it reads, at the end of a cell."""

    def send(self, message: Message, descriptors: Sequence[Descriptor] = ()) -> None:
        """Takes the descriptors over."""

    def ping(self) -> None:
        """Wakes the kernel's event loop, so that it notices a signal."""

    def drain(self) -> None:
        """Hands on all that has arrived: the kernel has ended."""

    def close(self) -> None: ...


class DirectLink:
    """Frames without handshake or numbers; `on_messages` gets what one read brought."""

    direct = True

    def __init__(
        self,
        path: Path,
        on_messages: Callable[[list[FromKernel]], None],
        on_filled: OnFilled,
        on_lost: Callable[[Exception | None], None],
    ) -> None:
        self._on_messages = on_messages
        self._on_filled = on_filled
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._outbox = Outbox()
        self._parts: dict[int, list[Frame]] = {}
        self._sizes: dict[int, int] = {}
        self._arrived: list[Descriptor] = []
        self._rooms_asked: dict[int, tuple[Sequence[int], Callable[[Room | None], None]]] = {}
        self._room_id = 0
        self._stream = Stream(connect_unix(path), self._outbox.take, self._received, self._lost)

    def send(self, message: Message, descriptors: Sequence[Descriptor] = ()) -> None:
        priority = CHANNEL_PRIORITY[message.channel]
        for descriptor in descriptors:
            self._outbox.put(priority, encode_descriptor(descriptor), (descriptor.fd,), (descriptor.fd,))
        self._outbox.put_frames(priority, encode_message(message))
        self._stream.wake()

    def ask_room(self, sizes: Sequence[int], on_answer: Callable[[Room | None], None]) -> None:
        if not capabilities.has_peermemory():
            on_answer(None)
            return
        self._room_id += 1
        self._rooms_asked[self._room_id] = sizes, on_answer
        self._send_room(self._room_id, sizes, drop=False)

    def drop_room(self, id: int, sizes: Sequence[int]) -> None:
        self._send_room(id, sizes, drop=True)

    def _send_room(self, id: int, sizes: Sequence[int], drop: bool) -> None:
        body = encode_json({"id": id, "sizes": sizes, "drop": drop})
        self._outbox.put(Priority.SHELL, encode_frame(Kind.ROOM, [body]))
        self._stream.wake()

    def _room_came(self, id: int, memory: dict[str, Any] | None, addresses: Sequence[int]) -> None:
        sizes, on_answer = self._rooms_asked.pop(id)
        room = None
        try:
            room = Room(id, sizes, memory, addresses, self) if memory is not None else None
        except peermemory.Unreadable as error:
            log.info("Large buffers go through memory files: %s", error)
            self.drop_room(id, sizes)
        on_answer(room)

    def ping(self) -> None:
        self._outbox.put(Priority.CONTROL, encode_frame(Kind.PING, ()))
        self._stream.wake()

    def drain(self) -> None:
        self._stream.read_available()

    def close(self) -> None:
        self._stream.close()
        for outgoing in self._outbox.clear():
            for fd in outgoing.close_fds:
                os.close(fd)
        for fd in [*self._reader.leftover_descriptors(), *(item.fd for item in self._arrived)]:
            os.close(fd)
        self._arrived = []

    def _lost(self, error: Exception | None) -> None:
        self.close()
        self._on_lost(error)

    def _received(self, data: Buffer, fds: list[int]) -> None:
        messages: list[FromKernel] = []
        try:
            for frame in self._reader.feed(data, fds):
                if frame.kind == Kind.MESSAGE:
                    self._message(frame, messages)
                elif frame.kind == Kind.DESCRIPTOR:
                    self._arrived.append(self._reader.take_descriptor(frame))
                elif frame.kind == Kind.FILLED:
                    self._filled(**decode_fields(frame))
                elif frame.kind == Kind.ROOM:
                    self._room_came(**decode_fields(frame))
        except ProtocolError as error:
            self._stream.close()
            asyncio.get_running_loop().call_soon(self._lost, error)
        if messages:
            self._on_messages(messages)

    def _filled(self, id: int, size: int | None) -> None:
        for descriptor in [item for item in self._arrived if item.id == id]:
            self._on_filled(descriptor, size)
            if size is None:
                self._arrived.remove(descriptor)
                os.close(descriptor.fd)

    def _message(self, frame: Frame, messages: list[FromKernel]) -> None:
        channel = frame.channel
        if frame.flags & _MORE or channel in self._parts:
            self._parts.setdefault(channel, []).append(frame)
            self._sizes[channel] = self._sizes.get(channel, 0) + len(frame.body)
            if self._sizes[channel] > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"The kernel sent a message above the limit of {MAX_MESSAGE_BYTES} bytes")
            if frame.flags & _MORE:
                return
            del self._sizes[channel]
            message = FromKernel(channel, [[part.body] for part in self._parts.pop(channel)])
        else:
            message = FromKernel(channel, [[frame.body]])
        if self._arrived and any(_BULK_BYTES_KEY in bytes(body[0]) for body in message.bodies):
            message = self._with_descriptors(message)
        messages.append(message)

    def _with_descriptors(self, message: FromKernel) -> FromKernel:
        named = {entry.get("descriptor") for entry in message.message().metadata.get(BULK_KEY, ())}
        found = tuple(item for item in self._arrived if item.id in named)
        self._arrived = [item for item in self._arrived if item.id not in named]
        return message._replace(descriptors=found)


async def connect_direct(
    path: Path,
    on_messages: Callable[[list[FromKernel]], None],
    on_filled: OnFilled,
    on_lost: Callable[[Exception | None], None],
) -> tuple[DirectLink, dict[str, Any]]:
    """Connects as soon as the kernel listens; gives the link and what the kernel said first. Cancelled when the kernel dies."""
    ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def receive(messages: list[FromKernel]) -> None:
        if not ready.done():
            ready.set_result(messages.pop(0).message().content)
        if messages:
            on_messages(messages)

    def lost(error: Exception | None) -> None:
        if ready.done():
            on_lost(error)
        else:
            ready.set_exception(ProtocolError(f"The remote kernel closed its socket before it was ready ({error})"))

    while True:
        try:
            link = DirectLink(path, receive, on_filled, lost)
            break
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(_CONNECT_PAUSE_S)
    try:
        fields = await ready
    except BaseException:
        link.close()
        raise
    return link, fields
