"""Two real ends of the protocol joined in memory: a client, and a small host made of the host's own parts and a list as journal.

Bytes lie in `up` and `down` until they are carried, so a test decides where they are cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from farcell_host.protocol.client import Client
from farcell_host.protocol.events import (
    Acknowledged,
    ChunkArrived,
    DescriptorArrived,
    Disconnected,
    Event,
    Greeted,
    Hello,
    Received,
    Refused,
    Requested,
    Responded,
    Welcomed,
)
from farcell_host.protocol.frames import Descriptor
from farcell_host.protocol.messages import Channel, Message
from farcell_host.protocol.outbox import Outgoing
from farcell_host.protocol.peer import Peer
from farcell_host.protocol.roles import ONCE_REQUESTS, Answers, Inbox, Roles


def hello(client: str = "notebook", role: str = "driver", **fields: Any) -> Hello:
    return Hello(client, role, "3.11.7", "linux", **fields)


def stream(text: str, channel: Channel = Channel.IOPUB, buffers: Sequence[bytes] = ()) -> Message:
    """What a print looks like."""
    return Message(channel, (b'{"msg_type":"stream"}', b"{}", b"{}", f'{{"text":"{text}"}}'.encode()), buffers)


def joined(frames: Sequence[Outgoing]) -> bytes:
    return b"".join(bytes(part) for frame in frames for part in frame.buffers)


class Pipe:
    """One direction of a byte stream; a frame's descriptors come out with its first byte, numbered as in another process."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[bytes, tuple[int, ...]]] = deque()

    def write(self, frames: Sequence[Outgoing]) -> None:
        for frame in frames:
            self._pieces.append((joined([frame]), tuple(fd + 100 for fd in frame.fds)))

    def read(self, size: int | None = None) -> list[tuple[bytes, tuple[int, ...]]]:
        """At most `size` bytes, cut where descriptors ride."""
        left = self.size if size is None else size
        taken = []
        while self._pieces and left > 0:
            data, fds = self._pieces.popleft()
            if len(data) > left:
                self._pieces.appendleft((data[left:], ()))
                data = data[:left]
            taken.append((data, fds))
            left -= len(data)
        return taken

    @property
    def size(self) -> int:
        return sum(len(data) for data, _ in self._pieces)


class Host:
    """Outlives its connections."""

    def __init__(self) -> None:
        self.roles = Roles()
        self.inbox = Inbox()
        self.answers = Answers()
        self.journal: list[Message] = []
        self.dropped = 0  # so many messages at the journal's start are gone
        self.told: list[tuple[Channel, str]] = []
        self.done: list[str] = []
        self.chunks: dict[str, bytes] = {}
        self.descriptors: list[Descriptor] = []
        self.acknowledged = 0
        self.acknowledges = True
        self.forgets = 0  # a WELCOME that admits to so many messages less than came
        self.repeats = 0  # so many messages that the client has had are sent again

    def say(self, *texts: str) -> None:
        self.journal.extend(stream(text) for text in texts)


class Wire:
    """One client at one host, over one stream after another; `events` is all the client was told."""

    def __init__(self, host: Host | None = None, client: str = "notebook", role: str = "driver", **fields: Any) -> None:
        self.host = host or Host()
        self.client = Client(hello(client, role, **fields))
        self.events: list[Event] = []
        self.refusal: str | None = None

    def connect(self) -> Wire:
        """A new stream; nothing is carried yet."""
        self.peer = Peer()
        self.up, self.down = Pipe(), Pipe()
        self.next = 0
        self.generation = 0
        self.client.connect()
        return self

    def cut(self) -> Wire:
        """The stream dies with all that was on its way."""
        self.events += self.client.receive_eof()
        assert self.peer.receive_eof() == [Disconnected()]
        return self

    def carry(self, up: int | None = None, down: int | None = None) -> Wire:
        """So many bytes each way, once; without numbers all there is, until both ends are silent."""
        everything = up is None and down is None
        while True:
            self._write()
            for data, fds in self.up.read(None if everything else up or 0):
                self._host_receives(self.peer.receive(data, fds))
            self._write()
            for data, fds in self.down.read(None if everything else down or 0):
                self.events += self._client_receives(data, fds)
            if not everything or not (self.client.has_output or self.peer.has_output or self._behind):
                return self

    @property
    def texts(self) -> list[str]:
        """What the client was told to show."""
        return [event.message.content["text"] for event in self.events if isinstance(event, Received)]

    @property
    def answered(self) -> list[int]:
        return [event.id for event in self.events if isinstance(event, Responded)]

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    # -- inside

    @property
    def _behind(self) -> bool:
        return self.peer.is_welcome and not self.peer.is_refused and self.next <= len(self.host.journal)

    def _write(self) -> None:
        if self._behind:
            for sequence in range(self.next, len(self.host.journal) + 1):
                if sequence > self.host.dropped:
                    gap = sequence == self.host.dropped + 1 and sequence != self.next
                    self.peer.send(sequence, self.host.journal[sequence - 1], gap=gap)
            self.next = len(self.host.journal) + 1
        while self.client.has_output:
            self.up.write(self.client.take())
        while self.peer.has_output:
            self.down.write(self.peer.take())

    def _client_receives(self, data: bytes, fds: tuple[int, ...]) -> list[Event]:
        events = self.client.receive(data, fds)
        for event in events:
            if isinstance(event, Received):
                self.client.acknowledge(event.sequence)
            elif isinstance(event, Refused):
                self.refusal = event.code
        return events

    def _host_receives(self, events: list[Event]) -> None:
        host = self.host
        for event in events:
            match event:
                case Greeted(said):
                    self._greeted(said)
                case Received(sequence, message):
                    if host.inbox.accept(self.name, message.channel, sequence):
                        host.told.append((message.channel, message.content["text"]))
                    if host.acknowledges:
                        self.peer.acknowledge(message.channel, sequence)
                case Requested(id, op, _):
                    self._requested(id, op)
                case ChunkArrived(address, data):
                    host.chunks[address] = bytes(data)
                case DescriptorArrived(descriptor):
                    host.descriptors.append(descriptor)
                case Acknowledged(sequence):
                    host.acknowledged = max(host.acknowledged, sequence)

    def _greeted(self, said: Hello) -> None:
        host = self.host
        self.name = said.client
        admission = host.roles.admit(said)
        if not admission.ok:
            self.peer.refuse(admission.code, admission.message)
            return
        self.generation = admission.generation
        received = [max(0, number - host.forgets) for number in host.inbox.received(said.client)]
        self.next = max(1, said.cursor + 1 - host.repeats)
        self.peer.welcome(generation=admission.generation, received=received, last=len(host.journal))

    def _requested(self, id: int, op: str) -> None:
        answers = self.host.answers
        earlier = answers.earlier(self.name, id) if op in ONCE_REQUESTS else None
        if earlier is None:
            self.host.done.append(op)
            answers.keep(self.name, id, True, {"op": op})
        self.peer.respond(id, True, op=op)


def welcomed(**fields: Any) -> Wire:
    """A client that the host has taken on."""
    wire = Wire(**fields).connect().carry()
    assert wire.of(Welcomed)
    return wire
