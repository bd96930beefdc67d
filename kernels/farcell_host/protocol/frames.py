"""Frames: how things look on the byte stream. `!IBBHQ` = body length, kind, channel, flags, sequence number; then the body.

A message's body is a table of lengths (`!H` count, then `!Q` each) and the pieces themselves. Messages, requests and responses
above FRAGMENT_BYTES are cut into fragments, all but the last flagged MORE, so that nothing waits behind a long one. Fragments of
different kinds and channels may interleave.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from ..errors import ProtocolError
from .messages import Buffer, Channel, Message, byte_count, decode_object, encode_json

CHUNK_BYTES = 1 << 20
BULK_BYTES = 256 << 10
EARLY_BYTES = 64 << 20  # of chunks that a host sends ahead of the message that names them; a client keeps no more
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
    ROOM = 12  # between a host and its kernel only: memory for bulk that is to come
    FILLED = 13  # likewise: so much of an open file that was sent is written, or nothing will come of it


class Flags(IntFlag):
    NONE = 0
    MORE = 1  # a fragment; the message goes on in the channel's next frame
    GAP = 2  # the sequence numbers just before this one were dropped on purpose


_MORE = int(Flags.MORE)
_MESSAGE = int(Kind.MESSAGE)
_FLAGS = {int(kind): 0 for kind in Kind} | {
    _MESSAGE: int(Flags.MORE | Flags.GAP),
    int(Kind.REQUEST): _MORE,
    int(Kind.RESPONSE): _MORE,
}
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
    """Bytes in, whole frames out, however the stream cuts them. Garbage raises one ProtocolError, and that one ever after."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._limit = max_frame_bytes
        self._rest = b""
        self._large: bytearray | None = None
        self._large_head = (0, 0, 0, 0)
        self._filled = 0
        self._fds: deque[int] = deque()
        self._fault: ProtocolError | None = None

    @property
    def room(self) -> memoryview | None:
        """Where the next bytes belong, while a large body is under way: what is received there and then fed is not copied."""
        return None if self._large is None else memoryview(self._large)[self._filled :]

    def feed(self, data: Buffer, fds: Sequence[int] = ()) -> list[Frame]:
        """The frames that are whole now; `fds` came with these bytes."""
        if fds:
            self._fds.extend(fds)
        if self._fault is not None:
            raise self._fault
        frames: list[Frame] = []
        if self._large is not None and isinstance(data, memoryview) and data.obj is self._large:
            self._filled_up(len(data), frames)
            return frames
        view = memoryview(data if isinstance(data, bytes) else bytes(data))  # frames outlive the caller's buffer
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
            allowed = _FLAGS.get(kind)
            if size > self._limit or allowed is None or channel > 3 or flags & ~allowed:
                raise self._broken(view[at:])
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
            # A head begins with a length: text, such as a login shell's greeting, shows by its first byte and is not waited for.
            if self._rest[0] > self._limit >> 24:
                raise self._broken(view[at:])
        return frames

    def _fill(self, view: memoryview, frames: list[Frame]) -> memoryview:
        """Bytes of a large body go straight to their place; gives what is left."""
        assert self._large is not None
        part = view[: len(self._large) - self._filled]
        self._large[self._filled : self._filled + len(part)] = part
        self._filled_up(len(part), frames)
        return view[len(part) :]

    def _filled_up(self, size: int, frames: list[Frame]) -> None:
        assert self._large is not None
        self._filled += size
        if self._filled == len(self._large):
            frames.append(Frame(*self._large_head, memoryview(self._large)))
            self._large = None

    def _broken(self, view: memoryview) -> ProtocolError:
        if len(view) < HEAD_BYTES:
            what = "something else than a frame"
        else:
            size, kind, channel, flags, _ = _HEAD.unpack_from(view)
            if kind not in _FLAGS:
                what = f"a frame of unknown kind {kind}"
            elif size > self._limit:
                what = f"a frame of {size} bytes, above the limit of {self._limit}"
            else:
                what = f"a {Kind(kind).name} frame with channel {channel} and flags {flags}"
        self._fault = ProtocolError(
            f"The peer sent {what}: this is not a farcell stream, or something else writes into it. It says {bytes(view[:40])!r}"
        )
        return self._fault

    def take_descriptor(self, frame: Frame) -> Descriptor:
        """The open file that a DESCRIPTOR frame announces; one whose frame is not understood stays among the leftovers."""
        if not self._fds:
            raise ProtocolError("The peer announced a file descriptor and sent none")
        descriptor = decode_descriptor(frame, self._fds[0])
        self._fds.popleft()
        return descriptor

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
    return list(_fragments(_MESSAGE, message.channel, sequence, flags, [table, *pieces], size))


def encode_fields(kind: int, fields: dict[str, Any]) -> list[list[Buffer]]:
    """A REQUEST or RESPONSE as frames: the addresses of a large upload alone may be longer than one frame may be."""
    body = encode_json(fields)
    if len(body) <= FRAGMENT_BYTES:
        return [encode_frame(kind, [body])]
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"We were to send a {Kind(kind).name} of {len(body)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    return list(_fragments(kind, 0, 0, 0, [body], len(body)))


def _fragments(kind: int, channel: int, sequence: int, flags: int, pieces: list[Buffer], size: int) -> Iterable[list[Buffer]]:
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
                yield [_HEAD.pack(FRAGMENT_BYTES, kind, channel, flags | more, sequence), *body]
                body, room = [], FRAGMENT_BYTES
    if body:
        yield [_HEAD.pack(FRAGMENT_BYTES - room, kind, channel, flags, sequence), *body]


class Assembler:
    """Frames in, whole bodies out; one half body a kind and channel at most."""

    def __init__(self) -> None:
        self._fragments: dict[tuple[int, int], list[Frame]] = {}
        self._sizes: dict[tuple[int, int], int] = {}

    def whole(self, frame: Frame) -> memoryview | None:
        """The body that this frame completes. Raises ProtocolError when fragments do not fit together or grow too long."""
        place = (frame.kind, frame.channel)
        earlier = self._fragments.get(place)
        if earlier is None and not frame.flags & _MORE:
            return frame.body
        if not frame.body:
            raise ProtocolError("The peer sent an empty fragment")
        if earlier is None:
            earlier = self._fragments[place] = []
            self._sizes[place] = 0
        elif earlier[0].sequence != frame.sequence:
            raise ProtocolError(f"The peer began message {frame.sequence} before message {earlier[0].sequence} was whole")
        earlier.append(frame)
        self._sizes[place] += len(frame.body)
        if self._sizes[place] > MAX_MESSAGE_BYTES + MAX_FRAME_BYTES:
            raise ProtocolError(f"The peer sent a message above the limit of {MAX_MESSAGE_BYTES} bytes")
        if frame.flags & _MORE:
            return None
        del self._fragments[place], self._sizes[place]
        return memoryview(bytearray().join(part.body for part in earlier))


class MessageAssembler(Assembler):
    """Frames of kind MESSAGE in, whole messages out."""

    def add(self, frame: Frame) -> Message | None:
        body = self.whole(frame)
        return None if body is None else decode_message(frame.channel, body)


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
    if not isinstance(number, int) or not isinstance(size, int) or size < 0:
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


def decode_fields(frame: Frame, body: memoryview | None = None) -> dict[str, Any]:
    """The JSON object of a HELLO, WELCOME, REQUEST... frame; `body` where it came in fragments."""
    return decode_object(frame.body if body is None else body, f"a {Kind(frame.kind).name} frame")
