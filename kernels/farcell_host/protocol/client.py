"""The client's end of a connection, over any number of byte streams: driver or observer.

It keeps what it sent until the host acknowledges it and sends it again on the next stream; it drops what it has seen
already. So a cut at any byte loses nothing and delivers nothing twice. Nothing is written before the host's WELCOME but
the HELLO itself. Our messages are numbered a channel each, since an urgent channel overtakes the others.
"""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ..errors import ProtocolError
from . import VERSION
from .events import (
    Acknowledged,
    ChunkArrived,
    DescriptorArrived,
    Disconnected,
    Event,
    Hello,
    Received,
    Refused,
    Responded,
    Welcomed,
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
from .outbox import CHANNEL_PRIORITY, Outbox, Outgoing, Priority

__all__ = ["Client", "Hello"]

_GAP = int(Flags.GAP)

Kept = tuple[int, Message, tuple[Descriptor, ...]]


class Client:
    """See the module; `cursor` is the last host message delivered, `generation` what the host gave us as driver."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self.cursor = hello.cursor
        self.generation = hello.generation
        self._takeover = hello.takeover
        self._handled = hello.cursor
        self._sequences = [0] * len(Channel)
        self._kept: deque[Kept] = deque()
        self._requests: dict[int, dict[str, Any]] = {}
        self._request_id = 0
        self._outbox = Outbox()
        self._reader = FrameReader()
        self._assembler = MessageAssembler()
        self._ready = False
        self._fault: ProtocolError | None = None
        self._undelivered: list[Event] = []

    @property
    def unacknowledged(self) -> list[tuple[Channel, int]]:
        """Channel and sequence number of what the host has not acknowledged."""
        return [(message.channel, sequence) for sequence, message, _ in self._kept]

    @property
    def has_output(self) -> bool:
        return bool(self._outbox)

    # -- the stream

    def ping(self) -> None:
        """Asks for a sign of life; nothing before the WELCOME, which is one."""
        if self._ready:
            self._outbox.put(Priority.CONTROL, encode_frame(Kind.PING, ()))

    def connect(self) -> None:
        """A new byte stream: half frames are forgotten and HELLO is the first thing on it."""
        self._outbox.clear()
        self._reader = FrameReader()
        self._assembler = MessageAssembler()
        self._ready = False
        self._fault = None
        hello = replace(self._hello, cursor=self.cursor, generation=self.generation, takeover=self._takeover)
        fields = {"protocol": list(VERSION), **asdict(hello)}
        self._outbox.put(Priority.CONTROL, encode_frame(Kind.HELLO, [encode_json(fields)]))

    @property
    def room(self) -> memoryview | None:
        """Where the next bytes may be received right away; see FrameReader."""
        return self._reader.room

    def receive(self, data: Buffer, fds: Sequence[int] = ()) -> list[Event]:
        """What these bytes tell. Raises ProtocolError, the same one ever after; the stream is of no use then, a new one is."""
        if self._fault is not None:
            raise self._fault
        events, self._undelivered = self._undelivered, []
        try:
            for frame in self._reader.feed(data, fds):
                self._handle(frame, events)
        except ProtocolError as error:
            # What came before the fault counts as delivered, the host will not send it again: it is given out later.
            self._fault, self._undelivered = error, events
            self._ready = False
            self._outbox.clear()
            raise
        return events

    def receive_eof(self) -> list[Event]:
        """The stream has ended, wherever it was; what came before a fault on it and was not given out yet is."""
        self._ready = False
        self._outbox.clear()
        events, self._undelivered = self._undelivered, []
        return [*events, Disconnected()]

    def leftover_descriptors(self) -> list[int]:
        """Descriptors that came and were not announced; the owner closes them when a stream ends."""
        return self._reader.leftover_descriptors()

    def take(self, max_bytes: int = 262144) -> list[Outgoing]:
        """The next frames to write, the most urgent first."""
        return self._outbox.take(max_bytes)

    # -- intents

    def send(self, message: Message, descriptors: Sequence[Descriptor] = ()) -> int:
        """Queues a message and keeps it until it is acknowledged; gives its number on its channel.

        The descriptors go ahead of it and stay the owner's until then.
        """
        sequence = self._sequences[message.channel] + 1
        kept = (sequence, message, tuple(descriptors))
        frames = encode_message(message, sequence)
        self._sequences[message.channel] = sequence
        self._kept.append(kept)
        if self._ready:
            self._queue(kept, frames)
        return sequence

    def send_chunk(self, address: str, data: Buffer) -> None:
        """Queues one chunk, behind all else; not kept: whoever needs it asks again after a cut."""
        if self._ready:
            self._outbox.put(Priority.CHUNK, encode_chunk(address, data))

    def request(self, op: str, **fields: Any) -> int:
        """Asks the host; asked again on each new stream until it is answered."""
        self._request_id += 1
        self._requests[self._request_id] = {**fields, "id": self._request_id, "op": op}
        if self._ready:
            self._queue_request(self._request_id)
        return self._request_id

    def acknowledge(self, sequence: int) -> None:
        """The owner has handled every message up to `sequence`."""
        if sequence > self._handled:
            self._handled = sequence
            if self._ready:
                self._outbox.put(Priority.CONTROL, encode_frame(Kind.ACK, (), sequence=sequence))

    # -- inside

    def _queue(self, kept: Kept, frames: list[list[Buffer]]) -> None:
        _, message, descriptors = kept
        priority = CHANNEL_PRIORITY[message.channel]
        for descriptor in descriptors:
            self._outbox.put(priority, encode_descriptor(descriptor), (descriptor.fd,))
        self._outbox.put_frames(priority, frames)

    def _queue_request(self, id: int) -> None:
        self._outbox.put_frames(Priority.CONTROL, encode_fields(Kind.REQUEST, self._requests[id]))

    def _handle(self, frame: Frame, events: list[Event]) -> None:
        kind = frame.kind
        if not self._ready and kind not in (Kind.WELCOME, Kind.REFUSED):
            raise ProtocolError(f"The host sent {Kind(kind).name} before its WELCOME")
        if kind == Kind.MESSAGE:
            self._message(frame, events)
        elif kind == Kind.ACK:
            self._acknowledged(frame.channel, frame.sequence, events)
        elif kind == Kind.RESPONSE:
            self._responded(frame, events)
        elif kind == Kind.DESCRIPTOR:
            events.append(DescriptorArrived(self._reader.take_descriptor(frame)))
        elif kind == Kind.CHUNK:
            events.append(ChunkArrived(*decode_chunk(frame)))
        elif kind == Kind.WELCOME:
            self._welcomed(frame, events)
        elif kind == Kind.REFUSED:
            self._refused(frame, events)
        elif kind == Kind.PING:
            self._outbox.put(Priority.CONTROL, encode_frame(Kind.PONG, ()))
        elif kind != Kind.PONG:
            raise ProtocolError(f"The host sent {Kind(kind).name}, which only a client sends")

    def _message(self, frame: Frame, events: list[Event]) -> None:
        sequence = frame.sequence
        gap = bool(frame.flags & _GAP)
        message = self._assembler.add(frame)
        if message is None or sequence <= self.cursor:
            return
        if sequence != self.cursor + 1 and not gap:
            raise ProtocolError(f"The host sent message {sequence} after {self.cursor}: one between them is missing")
        self.cursor = sequence
        events.append(Received(sequence, message, gap))

    def _acknowledged(self, channel: int, sequence: int, events: list[Event]) -> None:
        if sequence > self._sequences[channel]:
            raise ProtocolError(
                f"The host acknowledged {Channel(channel).name} message {sequence}; we have sent {self._sequences[channel]}"
            )
        released: list[Descriptor] = []
        kept: deque[Kept] = deque()
        for item in self._kept:
            if item[1].channel == channel and item[0] <= sequence:
                released.extend(item[2])
            else:
                kept.append(item)
        self._kept = kept
        events.append(Acknowledged(sequence, tuple(released), Channel(channel)))

    def _responded(self, frame: Frame, events: list[Event]) -> None:
        body = self._assembler.whole(frame)
        if body is None:
            return
        fields = decode_fields(frame, body)
        id, ok = fields.pop("id", None), fields.pop("ok", None)
        if not isinstance(id, int) or not isinstance(ok, bool):
            raise ProtocolError("The host sent a RESPONSE without id and ok")
        if self._requests.pop(id, None) is not None:
            events.append(Responded(id, ok, fields))

    def _welcomed(self, frame: Frame, events: list[Event]) -> None:
        if self._ready:
            raise ProtocolError("The host said WELCOME twice")
        fields = decode_fields(frame)
        check_version(fields, "host")
        received, generation, last = fields.get("received"), fields.get("generation"), fields.get("last")
        if not (isinstance(received, list) and len(received) == len(Channel) and all(type(n) is int for n in received)):
            raise ProtocolError("The host did not say what it has received")
        if self._hello.role == "driver" and isinstance(last, int) and last < self.cursor:
            # Its messages would look like ones we have had.
            raise ProtocolError(
                f"The host has sent {last} messages and we have had {self.cursor}: "
                "this is not the remote session we were connected to"
            )
        self._ready = True
        self._takeover = False  # once; a reconnect names its generation
        if isinstance(generation, int) and self._hello.role == "driver":
            self.generation = generation
        events.append(Welcomed(fields))
        for channel, sequence in enumerate(received):
            if sequence:
                self._acknowledged(channel, sequence, events)
        for kept in self._kept:
            self._queue(kept, encode_message(kept[1], kept[0]))
        for id in self._requests:
            self._queue_request(id)
        if self._handled:
            self._outbox.put(Priority.CONTROL, encode_frame(Kind.ACK, (), sequence=self._handled))

    def _refused(self, frame: Frame, events: list[Event]) -> None:
        fields = decode_fields(frame)
        self._ready = False
        self._outbox.clear()
        events.append(Refused(str(fields.get("code", "refused")), str(fields.get("message", ""))))


def check_version(fields: dict[str, Any], side: str) -> None:
    """Same major version or ProtocolError, which names both."""
    theirs = fields.get("protocol")
    if not (isinstance(theirs, list) and len(theirs) == 2 and all(isinstance(part, int) for part in theirs)):
        raise ProtocolError(f"The {side} did not say which protocol it speaks")
    if theirs[0] != VERSION[0]:
        raise ProtocolError(version_message(theirs, side))


def version_message(theirs: Sequence[int], side: str) -> str:
    ours = ".".join(map(str, VERSION))
    other = ".".join(map(str, theirs))
    return (
        f"The {side} speaks protocol {other}, this side {ours} (Python {platform.python_version()}): "
        "install the same farcell on both sides"
    )
