"""Frames on the byte stream: their layout, their limits, and every way to get them wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from farcell_host.errors import ProtocolError
from farcell_host.protocol.frames import (
    CHUNK_BYTES,
    FRAGMENT_BYTES,
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    Descriptor,
    Flags,
    Frame,
    FrameReader,
    Kind,
    MessageAssembler,
    decode_chunk,
    decode_descriptor,
    decode_fields,
    decode_message,
    encode_chunk,
    encode_descriptor,
    encode_fields,
    encode_frame,
    encode_message,
)
from farcell_host.protocol.messages import Buffer, Channel, Message
from wire import stream

SIZES = [0, 1, 15, 16, 17, 600, 65_535, 65_536, 65_537, 300_000]


def joined(frames: list[list[Buffer]]) -> bytes:
    return b"".join(bytes(part) for frame in frames for part in frame)


def fed(data: bytes, step: int) -> list[Frame]:
    """The frames of a stream that arrives in pieces of `step` bytes."""
    reader = FrameReader()
    return [frame for at in range(0, len(data), step) for frame in reader.feed(data[at : at + step])]


def assembled(data: bytes, step: int = 1 << 30) -> list[Message]:
    assembler = MessageAssembler()
    return [message for frame in fed(data, step) if (message := assembler.add(frame)) is not None]


def test_the_head_is_what_the_documentation_says() -> None:
    """`!IBBHQ`: body length, kind, channel, flags, sequence number."""
    head, body = encode_frame(Kind.MESSAGE, [b"body"], channel=3, flags=Flags.GAP, sequence=7)
    assert bytes(head) == struct.pack("!IBBHQ", 4, 4, 3, 2, 7)
    assert body == b"body"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("step", [1, 3, 16, 1000])
def test_every_kind_arrives_however_it_is_cut(kind: Kind, step: int) -> None:
    """Kind, sequence number and body come out as they went in."""
    data = joined([encode_frame(kind, [b"one", b"two"], sequence=2**63), encode_frame(kind, [])])
    first, second = fed(data, step)
    assert (first.kind, first.sequence, bytes(first.body)) == (kind, 2**63, b"onetwo")
    assert (second.kind, second.sequence, bytes(second.body)) == (kind, 0, b"")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [100, 4096, 65_536, 1 << 30])
def test_bodies_of_any_size_arrive_whole(size: int, step: int) -> None:
    """Small ones and large ones take different ways through the reader; the frame after them is found."""
    body = bytes(range(256)) * (size // 256 + 1)
    frames = fed(joined([encode_frame(Kind.CHUNK, [body[:size]]), encode_frame(Kind.PING, [])]), step)
    assert [(frame.kind, len(frame.body)) for frame in frames] == [(Kind.CHUNK, size), (Kind.PING, 0)]
    assert frames[0].body == body[:size]


def test_frames_outlive_the_buffer_they_came_in() -> None:
    """A reader that fills one buffer again and again may hand it over as it is."""
    reader, room = FrameReader(), bytearray(joined([encode_frame(Kind.CHUNK, [b"precious"])]))
    (frame,) = reader.feed(memoryview(room))
    room[:] = bytes(len(room))
    assert bytes(frame.body) == b"precious"


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("size", [*SIZES, FRAGMENT_BYTES, 3 * FRAGMENT_BYTES + 1])
def test_messages_of_any_size_arrive_as_they_were(channel: Channel, size: int) -> None:
    """With and without buffers, on each channel."""
    message = stream("x" * size, channel, [b"", b"y" * size, b"z"])
    assert assembled(joined(encode_message(message, 5))) == [message]


def test_buffers_may_be_arrays_of_numbers() -> None:
    """They are counted and sent by bytes."""
    numbers = memoryview(bytearray(range(64)) * 8192).cast("d")
    (message,) = assembled(joined(encode_message(Message(Channel.SHELL, (b"{}",) * 4, [numbers]))))
    assert bytes(message.buffers[0]) == numbers.tobytes()


def test_large_buffers_are_not_copied_on_the_way_out() -> None:
    """A frame lists slices of them."""
    array = bytearray(FRAGMENT_BYTES * 2)
    frames = encode_message(Message(Channel.SHELL, (b"{}",) * 4, [array]))
    array[:] = b"\1" * len(array)
    assert joined(frames).count(b"\1") >= len(array)


@pytest.mark.parametrize("size", [FRAGMENT_BYTES - 100, FRAGMENT_BYTES, MAX_FRAME_BYTES, 4 * FRAGMENT_BYTES - 66])
def test_a_long_message_is_cut_so_that_nothing_waits_behind_it(size: int) -> None:
    """All fragments but the last say MORE, all have the message's number, none is long or empty."""
    frames = fed(joined(encode_message(stream("", buffers=[bytes(size)]), 9, gap=True)), 1 << 30)
    assert [bool(frame.flags & Flags.MORE) for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert all(0 < len(frame.body) <= FRAGMENT_BYTES for frame in frames)
    assert {frame.sequence for frame in frames} == {9}
    assert all(frame.flags & Flags.GAP for frame in frames)


def test_fragments_of_channels_interleave() -> None:
    """An answer on stdin comes through in the middle of a long request."""
    long, short = stream("x" * 2 * FRAGMENT_BYTES, Channel.SHELL), stream("yes", Channel.STDIN)
    first, *rest = encode_message(long, 1)
    assert assembled(joined([first, *encode_message(short, 1), *rest])) == [short, long]


def test_a_long_request_is_cut_too() -> None:
    """The addresses of a 100 GB upload are more than one frame may hold."""
    addresses = [f"blake3:{number:064x}" for number in range(100_000)]
    frames = fed(joined(encode_fields(Kind.REQUEST, {"id": 1, "op": "missing", "addresses": addresses})), 65_536)
    assert len(frames) > 20
    assembler = MessageAssembler()
    bodies = [body for frame in frames if (body := assembler.whole(frame)) is not None]
    assert decode_fields(frames[-1], bodies[0])["addresses"] == addresses


# -- limits


def test_a_message_above_the_limit_is_refused_before_it_is_sent() -> None:
    """With its size and the limit."""
    half = memoryview(bytearray(1)).cast("B")
    big = memoryview(bytes(1 << 20))
    message = Message(Channel.SHELL, (b"{}",) * 4, [big] * (MAX_MESSAGE_BYTES >> 20) + [half])
    with pytest.raises(ProtocolError, match=f"We were to send a .*message of {MAX_MESSAGE_BYTES + 9} bytes"):
        encode_message(message)


def test_a_message_has_so_many_buffers_at_most() -> None:
    """The table counts in 16 bits."""
    with pytest.raises(ProtocolError, match="65536 pieces"):
        encode_message(Message(Channel.SHELL, (b"{}",) * 4, [b""] * 65_532))


def test_a_message_that_never_ends_is_stopped() -> None:
    """Memory is bounded by the limit, not by the sender."""
    frame = Frame(Kind.MESSAGE, 3, Flags.MORE, 1, memoryview(bytes(MAX_FRAME_BYTES)))
    assembler = MessageAssembler()
    with pytest.raises(ProtocolError, match="above the limit"):
        for _ in range(MAX_MESSAGE_BYTES // MAX_FRAME_BYTES + 2):
            assembler.add(frame)


def test_a_frame_may_be_as_long_as_the_limit_and_no_longer() -> None:
    """One byte more is garbage."""
    assert len(fed(joined([encode_frame(Kind.CHUNK, [bytes(MAX_FRAME_BYTES)])]), 1 << 20)) == 1
    with pytest.raises(ProtocolError, match=f"a frame of {MAX_FRAME_BYTES + 1} bytes, above the limit of {MAX_FRAME_BYTES}"):
        FrameReader().feed(struct.pack("!IBBHQ", MAX_FRAME_BYTES + 1, Kind.CHUNK, 0, 0, 0))


# -- garbage


def head(size: int = 0, kind: int = Kind.PING, channel: int = 0, flags: int = 0) -> bytes:
    return struct.pack("!IBBHQ", size, kind, channel, flags, 0)


GARBAGE = {
    "kind 0": (head(kind=0), "a frame of unknown kind 0"),
    "kind 99": (head(kind=99), "a frame of unknown kind 99"),
    "zeros": (bytes(16), "a frame of unknown kind 0"),
    "channel": (head(channel=4), "a PING frame with channel 4 and flags 0"),
    "flags": (head(flags=4), "a PING frame with channel 0 and flags 4"),
    "a PING that goes on": (head(flags=1), "a PING frame with channel 0 and flags 1"),
    "a RESPONSE with a gap": (head(kind=Kind.RESPONSE, flags=2), "a RESPONSE frame with channel 0 and flags 2"),
    "a greeting": (b"Welcome to gpu-a!\n", "unknown kind"),
    "a short word": (b"hi", "something else than a frame"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "unknown kind"),
    "0xff": (b"\xff" * 64, "unknown kind"),
}


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_in_one_clear_error(name: str, before: int) -> None:
    """It says what came and what that means; whole frames before it have come out; the reader never reads on."""
    data, what = GARBAGE[name]
    reader = FrameReader()
    assert len(reader.feed(joined([encode_frame(Kind.PING, [])] * before))) == before
    with pytest.raises(ProtocolError, match="this is not a farcell stream, or something else writes into it") as first:
        reader.feed(data)
    assert what in str(first.value)
    with pytest.raises(ProtocolError) as second:
        reader.feed(joined([encode_frame(Kind.PING, [])]))
    assert second.value is first.value


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_that_drips_is_found_all_the_same(name: str) -> None:
    """Byte by byte; text is known by its first one, so that nobody waits for the sixteenth."""
    data, _ = GARBAGE[name]
    reader = FrameReader()
    with pytest.raises(ProtocolError):
        for byte in data:
            reader.feed(bytes([byte]))


def test_the_error_quotes_what_came() -> None:
    """A login shell's greeting is recognised by whoever wrote it."""
    with pytest.raises(ProtocolError, match=r"It says b'Last login: Mon from 10\.0\.0\.1'"):
        FrameReader().feed(b"Last login: Mon from 10.0.0.1")


MESSAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "a message of 0 bytes"),
    "one byte": (b"\0", "a message of 1 bytes"),
    "three pieces": (struct.pack("!H3Q", 3, 0, 0, 0), "at least 4"),
    "no table": (struct.pack("!H", 9), "9 pieces in 2 bytes"),
    "too short": (struct.pack("!H4Q", 4, 1, 1, 1, 1) + b"123", "37 bytes whose pieces have 38"),
    "too long": (struct.pack("!H4Q", 4, 0, 0, 0, 0) + b"1", "35 bytes whose pieces have 34"),
    "absurd": (struct.pack("!H4Q", 4, 2**64 - 1, 2**64 - 1, 0, 0), "whose pieces have"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_body_that_is_no_message_is_refused(name: str) -> None:
    """Its lengths are checked before anything is cut by them."""
    body, what = MESSAGES[name]
    with pytest.raises(ProtocolError) as error:
        decode_message(Channel.IOPUB, memoryview(body))
    assert what in str(error.value)


def fragment(sequence: int, more: bool, body: bytes = b"x") -> Frame:
    return Frame(Kind.MESSAGE, 3, Flags.MORE if more else 0, sequence, memoryview(body))


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        ([fragment(1, True), fragment(2, False)], "began message 2 before message 1 was whole"),
        ([fragment(1, True), fragment(2, True)], "began message 2 before message 1 was whole"),
        ([fragment(1, True, b"")], "empty fragment"),
        ([fragment(1, True), fragment(1, False, b"")], "empty fragment"),
    ],
)
def test_fragments_that_do_not_fit_are_refused(frames: list[Frame], what: str) -> None:
    """A message is never made of two halves of different ones."""
    assembler = MessageAssembler()
    with pytest.raises(ProtocolError, match=what):
        for frame in frames:
            assembler.add(frame)


# -- chunks, descriptors, fields


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES])
def test_a_chunk_arrives_under_its_address(size: int) -> None:
    """Up to 1 MiB."""
    (frame,) = fed(joined([encode_chunk("blake3:00ff", bytes(size))]), 1 << 30)
    address, data = decode_chunk(frame)
    assert (address, bytes(data)) == ("blake3:00ff", bytes(size))


@pytest.mark.parametrize(("address", "size"), [("blake3:00", CHUNK_BYTES + 1), ("x" * 256, 1)])
def test_a_chunk_above_the_limits_is_refused_before_it_is_sent(address: str, size: int) -> None:
    """Its length, and its address's."""
    with pytest.raises(ProtocolError, match="We were to send a chunk"):
        encode_chunk(address, bytes(size))


@pytest.mark.parametrize("body", [b"", b"\x05abc", b"\xff", b"\x02\xc3\xa9data"])
def test_a_chunk_without_an_address_is_refused(body: bytes) -> None:
    """Cut short, or not ASCII."""
    with pytest.raises(ProtocolError, match="chunk"):
        decode_chunk(Frame(Kind.CHUNK, 0, 0, 0, memoryview(body)))


def test_descriptors_come_out_in_order() -> None:
    """Each DESCRIPTOR frame takes the next one that came along; what nobody asked for is the owner's to close."""
    reader = FrameReader()
    frames = reader.feed(joined([encode_descriptor(Descriptor(id, 5, 10 * id)) for id in (1, 2)]), [40, 41, 42])
    assert [reader.take_descriptor(frame) for frame in frames] == [
        Descriptor(1, 40, 10),
        Descriptor(2, 41, 20),
    ]
    assert reader.leftover_descriptors() == [42]
    assert reader.leftover_descriptors() == []


def test_a_descriptor_that_did_not_come_along_is_missed() -> None:
    """As when something between the two ends copies bytes only."""
    with pytest.raises(ProtocolError, match="announced a file descriptor and sent none"):
        FrameReader().take_descriptor(Frame(Kind.DESCRIPTOR, 0, 0, 0, memoryview(b'{"id":1,"size":1}')))


def test_a_descriptor_that_is_not_understood_is_left_over() -> None:
    """Its frame is a fault; the open file itself is the owner's to close, as is one that comes after the fault."""
    reader = FrameReader()
    (frame,) = reader.feed(joined([encode_frame(Kind.DESCRIPTOR, [b"{}"])]), [40])
    with pytest.raises(ProtocolError):
        reader.take_descriptor(frame)
    with pytest.raises(ProtocolError):
        reader.feed(b"\xff" * HEAD_BYTES, [41])
    with pytest.raises(ProtocolError):
        reader.feed(b"", [42])
    assert reader.leftover_descriptors() == [40, 41, 42]


@pytest.mark.parametrize("body", [b"{}", b'{"id":1}', b'{"id":"1","size":1}', b'{"id":1,"size":-1}', b'{"id":1,"size":1.5}'])
def test_a_descriptor_says_its_number_and_size(body: bytes) -> None:
    """Both whole numbers."""
    with pytest.raises(ProtocolError, match="without its number and size"):
        decode_descriptor(Frame(Kind.DESCRIPTOR, 0, 0, 0, memoryview(body)), 3)


DECODERS: list[Callable[[Frame], object]] = [decode_fields, lambda frame: decode_descriptor(frame, 3)]


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"[]", b"{", b"[" * 200_000, b"null"], ids=["bytes", "list", "half", "deep", "null"]
)
@pytest.mark.parametrize("decode", DECODERS)
def test_fields_that_are_no_json_object_are_refused(decode: Callable[[Frame], object], body: bytes) -> None:
    """Never another exception than ProtocolError."""
    with pytest.raises(ProtocolError):
        decode(Frame(Kind.WELCOME, 0, 0, 0, memoryview(body)))


def test_a_head_alone_is_waited_for() -> None:
    """Half a frame is no fault: the rest may come."""
    reader = FrameReader()
    data = joined([encode_frame(Kind.PING, [])])
    assert reader.feed(data[: HEAD_BYTES - 1]) == []
    assert len(reader.feed(data[HEAD_BYTES - 1 :])) == 1
    assert reader.feed(b"") == []


@pytest.mark.parametrize("step", [1000, 70_000, 200_000])
def test_a_large_body_may_be_received_where_it_belongs(step: int) -> None:
    """A reader says where; what lies around it, and what is fed in the ordinary way between, is as ever."""
    bodies = [bytes([number]) * (300_000 + number) for number in range(3)]
    stream = b"".join(bytes(part) for body in bodies for part in encode_frame(Kind.CHUNK, [body]))
    reader, frames, in_place = FrameReader(), [], 0
    for turn in range(len(stream)):
        room = reader.room if turn % 3 else None
        size = step if room is None else min(step, len(room))
        piece, stream = stream[:size], stream[size:]
        if room is None:
            frames += reader.feed(piece)
        else:
            room[: len(piece)] = piece
            in_place += len(piece)
            frames += reader.feed(room[: len(piece)])
        if not stream:
            break
    assert [bytes(frame.body) for frame in frames] == bodies
    assert in_place and reader.room is None
