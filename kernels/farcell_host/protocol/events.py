"""What an end of a connection has learned from the bytes it was given; named in the past tense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .frames import Descriptor
from .messages import Buffer, Channel, Message


@dataclass(frozen=True)
class Hello:
    """What a client says first; `cursor`: the last host message it has, `generation`: what it was given before. An observer
    with `messages` false gets answers alone."""

    client: str
    role: str
    python: str
    platform: str
    generation: int | None = None
    takeover: bool = False
    cursor: int = 0
    hashes: tuple[str, ...] = ()
    descriptors: bool = False
    messages: bool = True


@dataclass(frozen=True)
class Greeted:
    """To the host: a client said hello."""

    hello: Hello


@dataclass(frozen=True)
class Welcomed:
    """To the client: the host took it on."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """To the client: the host ends this connection, and why."""

    code: str
    message: str


@dataclass(frozen=True)
class Received:
    """A message, once and in order. `gap`: messages before it were dropped by the journal's quota."""

    sequence: int
    message: Message
    gap: bool = False


@dataclass(frozen=True)
class DescriptorArrived:
    """An open file came; it is the receiver's to close. The message that names it comes later."""

    descriptor: Descriptor


@dataclass(frozen=True)
class ChunkArrived:
    address: str
    data: Buffer


@dataclass(frozen=True)
class Requested:
    id: int
    op: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Responded:
    id: int
    ok: bool
    fields: dict[str, Any]


@dataclass(frozen=True)
class Acknowledged:
    """The peer has handled everything up to `sequence`; the owner may close `descriptors`.

    To a client: on `channel`, whose messages it numbers; to the host: of its journal.
    """

    sequence: int
    descriptors: tuple[Descriptor, ...] = ()
    channel: Channel = Channel.CONTROL


@dataclass(frozen=True)
class Disconnected:
    """The stream has ended."""


Event = (
    Greeted
    | Welcomed
    | Refused
    | Received
    | DescriptorArrived
    | ChunkArrived
    | Requested
    | Responded
    | Acknowledged
    | Disconnected
)
