"""The host's end of one connection.

What outlives it (who drives, what was received) is in `roles`; the journal keeps the messages. They go out in the journal's
order whatever their channel, for the client counts them: only answers and acknowledgements overtake them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ProtocolError
from . import VERSION
from .client import version_message
from .events import (
    Acknowledged,
    ChunkArrived,
    DescriptorArrived,
    Disconnected,
    Event,
    Greeted,
    Hello,
    Received,
    Requested,
)
from .frames import (
    Descriptor,
    Flags,
    Frame,
    FrameReader,
    Kind,
    MessageAssembler,
    decode_chunk,
    decode_fields,
    encode_chunk,
    encode_descriptor,
    encode_fields,
    encode_frame,
    encode_message,
)
from .messages import Buffer, Channel, Message, encode_json
from .outbox import Outbox, Outgoing, Priority

_GAP = int(Flags.GAP)


class Peer:
    """Says nothing before the owner's `welcome` or `refuse`; after `refuse` it says nothing more."""

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.is_welcome = False
        self.is_refused = False
        self.is_beating = False
        """The client asks for signs of life, and so gives them."""
        self._fault: ProtocolError | None = None
        self._stray: list[int] = []
        self._outbox = Outbox()
        self._reader = FrameReader()
        self._assembler = MessageAssembler()

    @property
    def has_output(self) -> bool:
        return bool(self._outbox)

    @property
    def queued_bytes(self) -> int:
        """Bytes not yet taken: above a bound of its own the host stops reading the journal for this peer."""
        return self._outbox.queued_bytes

    def take(self, max_bytes: int = 262144) -> list[Outgoing]:
        return self._outbox.take(max_bytes)

    @property
    def room(self) -> memoryview | None:
        """Where the next bytes may be received right away; see FrameReader."""
        return self._reader.room

    def receive(self, data: Buffer, fds: Sequence[int] = ()) -> list[Event]:
        """What these bytes tell. Raises ProtocolError, the same one ever after; a client of another protocol version is
        refused instead."""
        events: list[Event] = []
        if self.is_refused:
            return events
        if self._fault is not None:
            raise self._fault
        try:
            for frame in self._reader.feed(data, fds):
                self._handle(frame, events)
        except ProtocolError as error:
            # What came before the fault is not given out: nobody has acknowledged or answered it, so the client says it again.
            self._fault = error
            self._stray = [event.descriptor.fd for event in events if isinstance(event, DescriptorArrived)]
            raise
        return events

    def receive_eof(self) -> list[Event]:
        return [Disconnected()]

    def leftover_descriptors(self) -> list[int]:
        """Descriptors that came and were not given out; the owner closes them when the stream ends."""
        stray, self._stray = self._stray, []
        return stray + self._reader.leftover_descriptors()

    # -- intents

    def welcome(self, **fields: Any) -> None:
        """`received`: the last message accepted on each channel, `Inbox.received`."""
        self.is_welcome = True
        self._outbox.put(Priority.CONTROL, encode_frame(Kind.WELCOME, [encode_json({**fields, "protocol": list(VERSION)})]))

    def refuse(self, code: str, message: str) -> None:
        """The last thing that is said; the owner closes the stream once it is written."""
        self.is_refused = True
        self._outbox.clear()
        self._outbox.put(Priority.CONTROL, encode_frame(Kind.REFUSED, [encode_json({"code": code, "message": message})]))

    def send(self, sequence: int, message: Message, *, gap: bool = False, descriptors: Sequence[Descriptor] = ()) -> None:
        """A journalled message under its number, its descriptors ahead of it."""
        for descriptor in descriptors:
            self._outbox.put(Priority.SHELL, encode_descriptor(descriptor), (descriptor.fd,))
        self._outbox.put_frames(Priority.SHELL, encode_message(message, sequence, gap=gap))

    def send_encoded(self, buffers: list[Buffer]) -> None:
        """Frames already encoded, as the journal stores them."""
        self._outbox.put(Priority.SHELL, buffers)

    def send_chunk(self, address: str, data: Buffer) -> None:
        self._outbox.put(Priority.CHUNK, encode_chunk(address, data))

    def respond(self, id: int, ok: bool, **fields: Any) -> None:
        self._outbox.put_frames(Priority.CONTROL, encode_fields(Kind.RESPONSE, {**fields, "id": id, "ok": ok}))

    def acknowledge(self, channel: Channel, sequence: int) -> None:
        """Everything the client sent on this channel up to `sequence` is handled."""
        self._outbox.put(Priority.CONTROL, encode_frame(Kind.ACK, (), channel=channel, sequence=sequence))

    # -- inside

    def _handle(self, frame: Frame, events: list[Event]) -> None:
        kind = frame.kind
        if self.is_refused:
            return
        if kind == Kind.HELLO:
            self._greeted(frame, events)
        elif self.hello is None:
            raise ProtocolError(f"The client sent {Kind(kind).name} before its HELLO")
        elif kind == Kind.MESSAGE:
            message = self._assembler.add(frame)
            if message is not None:
                events.append(Received(frame.sequence, message, bool(frame.flags & _GAP)))
        elif kind == Kind.ACK:
            events.append(Acknowledged(frame.sequence))
        elif kind == Kind.REQUEST:
            self._requested(frame, events)
        elif kind == Kind.CHUNK:
            events.append(ChunkArrived(*decode_chunk(frame)))
        elif kind == Kind.DESCRIPTOR:
            events.append(DescriptorArrived(self._reader.take_descriptor(frame)))
        elif kind == Kind.PING:
            self.is_beating = True
            self._outbox.put(Priority.CONTROL, encode_frame(Kind.PONG, ()))
        elif kind != Kind.PONG:
            raise ProtocolError(f"The client sent {Kind(kind).name}, which only a host sends")

    def _requested(self, frame: Frame, events: list[Event]) -> None:
        body = self._assembler.whole(frame)
        if body is None:
            return
        fields = decode_fields(frame, body)
        id, op = fields.pop("id", None), fields.pop("op", None)
        if not isinstance(id, int) or not isinstance(op, str):
            raise ProtocolError("The client sent a REQUEST without id and op")
        events.append(Requested(id, op, fields))

    def _greeted(self, frame: Frame, events: list[Event]) -> None:
        if self.hello is not None:
            raise ProtocolError("The client said HELLO twice")
        fields = decode_fields(frame)
        version = fields.get("protocol")
        if not isinstance(version, list) or len(version) != 2:
            raise ProtocolError("The client did not say which protocol it speaks")
        if version[0] != VERSION[0]:
            self.refuse("version", version_message(version, "client"))
            return
        self.hello = hello_of(fields)
        events.append(Greeted(self.hello))


def hello_of(fields: dict[str, Any]) -> Hello:
    """Checks the types of what a stranger says."""
    generation, hashes, role = fields.get("generation"), fields.get("hashes"), str(fields.get("role", ""))
    hello = Hello(
        client=str(fields.get("client", "")),
        role=role,
        python=str(fields.get("python", "")),
        platform=str(fields.get("platform", "")),
        generation=generation if isinstance(generation, int) else None,
        takeover=fields.get("takeover") is True,
        cursor=fields["cursor"] if isinstance(fields.get("cursor"), int) else 0,
        hashes=tuple(map(str, hashes)) if isinstance(hashes, list) else (),
        descriptors=fields.get("descriptors") is True,
        messages=role == "driver" or fields.get("messages") is not False,
    )
    if not hello.client or hello.role not in ("driver", "observer") or hello.cursor < 0:
        raise ProtocolError(f"The client's HELLO names client {hello.client!r}, role {hello.role!r}, cursor {hello.cursor}")
    return hello
