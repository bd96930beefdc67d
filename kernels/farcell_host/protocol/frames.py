"""Frames: how things look on the byte stream. `!IBBHQ` = body length, kind, channel, flags, sequence number; then the body.

A message's body is a table of lengths (`!H` count, then `!Q` each) and the pieces themselves; above MAX_FRAME_BYTES
it is cut into
fragments, all but the last flagged MORE, so that nothing waits behind a long message. Fragments of different
channels may interleave.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from ..errors import ProtocolError
from .messages import Buffer, Channel, Message, byte_count, decode_json, encode_json

CHUNK_BYTES = 1 << 20
BULK_BYTES = 256 << 10
MAX_FRAME_BYTES = 2 << 20
MAX_MESSAGE_BYTES = 1 << 30
FRAGMENT_BYTES = 256 << 10

_HEAD = struct.Struct("!IBBHQ")
HEAD_BYTES = _HEAD.size
_COUNT = struct.Struct("!H")
_MAX_ADDRESS = 255
_MAX_PIECES = 0xFFFF


class Kind(IntEnum):
    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    MESSAGE = 4
    ACK = 5
    CHUNK = 6
    DESCRIPTOR = 7
    REQUEST = 8
    RESPONSE = 9
    PING = 10
    PONG = 11


class Flags(IntFlag):
    NONE = 0
    MORE = 1  # a fragment; the message goes on in the channel's next frame
    GAP = 2  # the sequence numbers just before this one were dropped on purpose


_KINDS = frozenset(int(kind) for kind in Kind)
_MORE = int(Flags.MORE)
_KNOWN_FLAGS = int(Flags.MORE | Flags.GAP)
_MESSAGE = int(Kind.MESSAGE)
_CHANNELS = tuple(Channel)


class Frame(NamedTuple):
    """One frame as read; `body` is the reader's gift and stays valid."""

    kind: int
    channel: int
    flags: int
    sequence: int
    body: memoryview


@dataclass(frozen=True)
class Descriptor:
    """An open file that rides along: its number on this stream, the descriptor in this process, its size in bytes."""

    id: int
    fd: int
    size: int


class FrameReader:
    """Bytes in, whole frames out, however the stream cuts them. Garbage raises one ProtocolError; then nothing is
    read any more."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._limit = max_frame_bytes
        self._rest = b""
        self._large: bytearray | None = None
        self._large_head = (0, 0, 0, 0)
        self._filled = 0
        self._fds: deque[int] = deque()
        self._failed = False

    def feed(self, data: Buffer, fds: Sequence[int] = ()) -> list[Frame]:
        """The frames that are whole now; `fds` came with these bytes."""
        if self._failed:
            raise ProtocolError("The peer's stream was broken before; nothing more is read from it")
        if fds:
            self._fds.extend(fds)
        view = memoryview(data)
        frames: list[Frame] = []
        if self._large is not None:
            view = self._fill(view, frames)
            if not view:
                return frames
        if self._rest:
            view = memoryview(self._rest + bytes(view))
            self._rest = b""
        at, end = 0, len(view)
        while end - at >= HEAD_BYTES:
            size, kind, channel, flags, sequence = _HEAD.unpack_from(view, at)
            if size > self._limit or kind not in _KINDS or channel > 3 or flags & ~_KNOWN_FLAGS:
                raise self._broken(size, kind, channel, flags)
            body = at + HEAD_BYTES
            if end - body < size:
                if size > 65536:
                    self._large, self._filled = bytearray(size), 0
                    self._large_head = (kind, channel, flags, sequence)
                    self._fill(view[body:], frames)
                    at = end
                break
            at = body + size
            frames.append(Frame(kind, channel, flags, sequence, view[body:at]))
        if at < end:
            self._rest = bytes(view[at:])
        return frames

    def _fill(self, view: memoryview, frames: list[Frame]) -> memoryview:
        """Bytes of a large body go straight to their place; gives what is left."""
        assert self._large is not None
        part = view[: len(self._large) - self._filled]
        self._large[self._filled : self._filled + len(part)] = part
        self._filled += len(part)
        if self._filled == len(self._large):
            frames.append(Frame(*self._large_head, memoryview(self._large)))
            self._large = None
        return view[len(part) :]

    def _broken(self, size: int, kind: int, channel: int, flags: int) -> ProtocolError:
        self._failed = True
        if kind not in _KINDS:
            what = f"a frame of unknown kind {kind}"
        elif size > self._limit:
            what = f"a frame of {size} bytes, above the limit of {self._limit}"
        else:
            what = f"a frame with channel {channel} and flags {flags}"
        return ProtocolError(f"The peer sent {what}: this is not a farcell stream, or something else writes into it")

    def eof(self) -> None:
        """The stream has ended: raises ProtocolError when it did so inside a frame."""
        if (self._rest or self._large is not None) and not self._failed:
            self._failed = True
            raise ProtocolError("The peer's stream ended in the middle of a frame")

    def take_descriptor(self) -> int:
        """The next descriptor that came along, for a DESCRIPTOR frame."""
        if not self._fds:
            raise ProtocolError("The peer announced a file descriptor and sent none")
        return self._fds.popleft()

    def leftover_descriptors(self) -> list[int]:
        """Descriptors that no frame asked for, the caller's to close when the stream has ended."""
        fds = list(self._fds)
        self._fds.clear()
        return fds


def encode_frame(kind: int, body: Iterable[Buffer], *, channel: int = 0, flags: int = 0, sequence: int = 0) -> list[Buffer]:
    """Head and body, as buffers to be written one after the other."""
    pieces = list(body)
    return [_HEAD.pack(sum(map(byte_count, pieces)), kind, channel, flags, sequence), *pieces]


def encode_message(message: Message, sequence: int = 0, *, gap: bool = False) -> list[list[Buffer]]:
    """The message as frames, each a list of buffers; large buffers are not copied. Raises ProtocolError above the limits."""
    pieces: list[Buffer] = [*message.parts, *message.buffers]
    sizes = [byte_count(piece) for piece in pieces]
    total = sum(sizes)
    count = len(sizes)
    if total > MAX_MESSAGE_BYTES or count > _MAX_PIECES:
        raise ProtocolError(
            f"We were to send a {message.msg_type} message of {total} bytes in {count} pieces; "
            f"the limits are {MAX_MESSAGE_BYTES} bytes and {_MAX_PIECES} pieces"
        )
    table = struct.pack(f"!H{count}Q", count, *sizes)
    size = len(table) + total
    flags = int(Flags.GAP) if gap else 0
    if size <= FRAGMENT_BYTES:
        return [[_HEAD.pack(size, _MESSAGE, message.channel, flags, sequence), table, *pieces]]
    return list(_fragments(message.channel, sequence, flags, [table, *pieces], size))


def _fragments(channel: int, sequence: int, flags: int, pieces: list[Buffer], size: int) -> Iterable[list[Buffer]]:
    body: list[Buffer] = []
    room = FRAGMENT_BYTES
    left = size
    for piece in pieces:
        view = memoryview(piece).cast("B") if byte_count(piece) else memoryview(b"")
        while view:
            part = view[:room]
            body.append(part)
            room -= len(part)
            view = view[len(part) :]
            if not room:
                left -= FRAGMENT_BYTES
                more = _MORE if left else 0
                yield [_HEAD.pack(FRAGMENT_BYTES, _MESSAGE, channel, flags | more, sequence), *body]
                body, room = [], FRAGMENT_BYTES
    if body:
        yield [_HEAD.pack(FRAGMENT_BYTES - room, _MESSAGE, channel, flags, sequence), *body]


class MessageAssembler:
    """Frames of kind MESSAGE in, whole messages out; one half message a channel at most."""

    def __init__(self) -> None:
        self._fragments: dict[int, list[Frame]] = {}
        self._sizes: dict[int, int] = {}

    def add(self, frame: Frame) -> Message | None:
        channel = frame.channel
        earlier = self._fragments.get(channel)
        if earlier is None and not frame.flags & _MORE:
            return decode_message(channel, frame.body)
        if earlier is None:
            earlier = self._fragments[channel] = []
            self._sizes[channel] = 0
        elif earlier[0].sequence != frame.sequence:
            raise ProtocolError(f"The peer began message {frame.sequence} before message {earlier[0].sequence} was whole")
        earlier.append(frame)
        self._sizes[channel] += len(frame.body)
        if self._sizes[channel] > MAX_MESSAGE_BYTES + MAX_FRAME_BYTES:
            raise ProtocolError(f"The peer sent a message above the limit of {MAX_MESSAGE_BYTES} bytes")
        if frame.flags & _MORE:
            return None
        del self._fragments[channel], self._sizes[channel]
        return decode_message(channel, memoryview(bytearray().join(part.body for part in earlier)))


def decode_message(channel: int, body: memoryview) -> Message:
    """The message in one whole body. Its buffers are slices of it."""
    end = len(body)
    if end < 2:
        raise ProtocolError(f"The peer sent a message of {end} bytes")
    (count,) = _COUNT.unpack_from(body)
    at = 2 + 8 * count
    if count < 4 or at > end:
        raise ProtocolError(f"The peer sent a message of {count} pieces in {end} bytes; it has at least 4")
    sizes = struct.unpack_from(f"!{count}Q", body, 2)
    if at + sum(sizes) != end:
        raise ProtocolError(f"The peer sent a message of {end} bytes whose pieces have {at + sum(sizes)}")
    pieces: list[memoryview] = []
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    header, parent, metadata, content = pieces[:4]
    return Message(_CHANNELS[channel], (bytes(header), bytes(parent), bytes(metadata), bytes(content)), tuple(pieces[4:]))


def encode_descriptor(descriptor: Descriptor) -> list[Buffer]:
    return encode_frame(Kind.DESCRIPTOR, [encode_json({"id": descriptor.id, "size": descriptor.size})])


def decode_descriptor(frame: Frame, fd: int) -> Descriptor:
    fields = decode_fields(frame)
    number, size = fields.get("id"), fields.get("size")
    if not isinstance(number, int) or not isinstance(size, int):
        raise ProtocolError("The peer announced a file descriptor without its number and size")
    return Descriptor(number, fd, size)


def encode_chunk(address: str, data: Buffer) -> list[Buffer]:
    """One chunk of a buffer under its content address."""
    name = address.encode("ascii")
    size = byte_count(data)
    if len(name) > _MAX_ADDRESS or size > CHUNK_BYTES:
        raise ProtocolError(f"We were to send a chunk of {size} bytes; the limit is {CHUNK_BYTES}")
    return encode_frame(Kind.CHUNK, [bytes([len(name)]) + name, data])


def decode_chunk(frame: Frame) -> tuple[str, memoryview]:
    body = frame.body
    start = 1 + body[0] if body else 0
    if not start or start > len(body):
        raise ProtocolError("The peer sent a chunk without an address")
    try:
        return bytes(body[1:start]).decode("ascii"), body[start:]
    except UnicodeDecodeError as error:
        raise ProtocolError("The peer sent a chunk whose address is not ASCII") from error


def decode_fields(frame: Frame) -> dict[str, object]:
    """The JSON object of a HELLO, WELCOME, REQUEST... frame."""
    try:
        fields = decode_json(frame.body)
    except ValueError as error:
        raise ProtocolError(f"The peer sent a {Kind(frame.kind).name} frame that is not JSON") from error
    if not isinstance(fields, dict):
        raise ProtocolError(f"The peer sent a {Kind(frame.kind).name} frame that is not a JSON object")
    return fields
