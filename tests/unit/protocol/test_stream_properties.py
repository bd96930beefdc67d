"""Whatever the byte stream does, found by hypothesis: splits, cuts and repetitions lose nothing and deliver nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from farcell_host.errors import ProtocolError
from farcell_host.protocol.events import Disconnected, Received
from farcell_host.protocol.frames import (
    Frame,
    FrameReader,
    Kind,
    MessageAssembler,
    decode_message,
    encode_frame,
    encode_message,
)
from farcell_host.protocol.messages import Channel, Message
from farcell_host.protocol.peer import Peer
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import Wire, joined, stream, welcomed

quickly = settings(max_examples=60, derandomize=True, database=None)
thoroughly = settings(quickly, max_examples=200)

CHANNELS = st.sampled_from(Channel)
PARTS = st.tuples(*[st.binary(max_size=40)] * 4)
MESSAGES = st.builds(Message, CHANNELS, PARTS, st.lists(st.binary(max_size=60), max_size=4))
CUTS = st.lists(st.integers(0, 4000), max_size=12)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The bytes, cut at these places; an empty piece is a piece."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@quickly
@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary(max_size=200)), max_size=12), CUTS)
def test_frames_arrive_however_the_stream_is_split(frames: list[tuple[Kind, int, bytes]], cuts: list[int]) -> None:
    """In order, with their numbers and bodies."""
    data = b"".join(b"".join(encode_frame(kind, [body], sequence=sequence)) for kind, sequence, body in frames)
    reader = FrameReader()
    came = [frame for piece in pieces(data, cuts) for frame in reader.feed(piece)]
    assert [(frame.kind, frame.sequence, bytes(frame.body)) for frame in came] == frames


@quickly
@given(st.lists(MESSAGES, max_size=8), CUTS)
def test_messages_arrive_however_the_stream_is_split(messages: list[Message], cuts: list[int]) -> None:
    """Byte for byte, whatever is in them: the protocol does not look."""
    data = b"".join(bytes(part) for message in messages for frame in encode_message(message) for part in frame)
    reader, assembler = FrameReader(), MessageAssembler()
    came = [assembler.add(frame) for piece in pieces(data, cuts) for frame in reader.feed(piece)]
    assert came == messages


@quickly
@given(st.binary(min_size=1, max_size=400), CUTS)
def test_garbage_does_not_split_into_different_faults(data: bytes, cuts: list[int]) -> None:
    """A reader that is fed garbage at once and one that is fed it in pieces agree on whether it is any."""

    def is_refused(parts: Sequence[bytes]) -> bool:
        reader = FrameReader()
        for part in parts:
            try:
                reader.feed(part)
            except ProtocolError as first:
                with pytest.raises(ProtocolError) as second:
                    reader.feed(data)
                assert second.value is first
                return True
        return False

    assert is_refused([data]) == is_refused(pieces(data, cuts))


@quickly
@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_one_error(body: bytes) -> None:
    """Never another exception."""
    try:
        message = decode_message(Channel.IOPUB, memoryview(body))
    except ProtocolError:
        return
    assert MessageAssembler().add(Frame(Kind.MESSAGE, 3, 0, 0, memoryview(body))) == message


@quickly
@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=80)), min_size=1, max_size=5), st.booleans())
def test_well_framed_nonsense_ends_in_a_protocol_error_at_most(frames: list[tuple[Kind, bytes]], to_client: bool) -> None:
    """Neither end is brought down by what the other says, and once it has complained it does so in the same words."""
    wire = welcomed()
    end = wire.client if to_client else wire.peer
    faults = []
    for kind, body in frames:
        try:
            end.receive(b"".join(encode_frame(kind, [body])))
        except ProtocolError as error:
            faults.append(error)
    assert len({id(fault) for fault in faults}) <= 1


@quickly
@given(st.binary(min_size=16, max_size=200), st.booleans())
def test_raw_garbage_ends_both_ends(data: bytes, to_client: bool) -> None:
    """Random bytes are no frame: sixteen of them are enough to tell."""
    wire = welcomed()
    end = wire.client if to_client else wire.peer
    with pytest.raises(ProtocolError):
        end.receive(b"\xfe" + data)
    if to_client:
        assert wire.client.receive_eof() == [Disconnected()]
        wire.host.say("still there")
        assert wire.connect().carry().texts == ["still there"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), CHANNELS),
        st.tuples(st.just("say"), st.integers(1, 3)),
        st.tuples(st.just("ask"), st.sampled_from(["status", "restart", "missing"])),
        st.tuples(st.just("carry"), st.tuples(st.integers(0, 700), st.integers(0, 700))),
        st.tuples(st.just("cut"), st.integers(0, 3)),
        st.tuples(st.just("acknowledge"), st.booleans()),
    ),
    max_size=40,
)


@thoroughly
@given(STEPS)
def test_cuts_and_repetitions_lose_nothing_and_deliver_nothing_twice(steps: list[tuple[str, object]]) -> None:
    """Both ends talk while the stream is cut again and again; a host may repeat output and forget what it has received."""
    wire = Wire().connect()
    sent: dict[Channel, list[str]] = {channel: [] for channel in Channel}
    said: list[str] = []
    asked: list[str] = []
    for word, value in steps:
        match word, value:
            case "send", Channel() as channel:
                text = f"s{sum(map(len, sent.values()))}"
                sent[channel].append(text)
                wire.client.send(stream(text, channel))
            case "say", int(count):
                more = [f"m{len(said) + n}" for n in range(count)]
                said += more
                wire.host.say(*more)
            case "ask", str(op):
                asked.append(op)
                wire.client.request(op)
            case "carry", (int(up), int(down)):
                wire.carry(up, down)
            case "cut", int(repeats):
                wire.host.repeats = wire.host.forgets = repeats
                wire.cut().connect()
            case "acknowledge", bool(does):
                wire.host.acknowledges = does
    wire.host.acknowledges = True
    wire.cut().connect().carry()
    told = {channel: [text for on, text in wire.host.told if on is channel] for channel in Channel}
    assert told == sent
    assert wire.texts == said
    assert [event.sequence for event in wire.of(Received)] == list(range(1, len(said) + 1))
    assert sorted(wire.answered) == list(range(1, len(asked) + 1))
    assert wire.host.done.count("restart") == asked.count("restart")
    assert wire.client.unacknowledged == []
    assert wire.host.acknowledged == len(said)


@quickly
@given(st.lists(st.tuples(CHANNELS, st.integers(1, 3000)), min_size=1, max_size=20), st.integers(1, 5000))
def test_priorities_hold_and_channels_keep_their_order(sends: list[tuple[Channel, int]], max_bytes: int) -> None:
    """However much is written at a time: the urgent channels first, each first in, first out."""
    wire = welcomed()
    for number, (channel, size) in enumerate(sends):
        wire.client.send(Message(channel, (str(number).encode(), b"{}", b"{}", b"x" * size)))
    peer = Peer()
    peer.hello = wire.peer.hello
    came: list[tuple[Channel, int]] = []
    while wire.client.has_output:
        for event in peer.receive(joined(wire.client.take(max_bytes))):
            assert isinstance(event, Received)
            came.append((event.message.channel, int(event.message.parts[0])))
    ranks = [min(int(channel), 2) for channel, _ in came]
    assert ranks == sorted(ranks)
    in_order = sorted(enumerate(sends), key=lambda item: (min(int(item[1][0]), 2), item[0]))
    assert came == [(channel, number) for number, (channel, _) in in_order]
