"""What goes first: control > stdin > shell and iopub > chunks; nothing waits behind an upload."""

from __future__ import annotations

import itertools

import pytest
from farcell_host.protocol.events import Received, Requested
from farcell_host.protocol.frames import CHUNK_BYTES, FRAGMENT_BYTES, FrameReader, Kind
from farcell_host.protocol.messages import Channel
from farcell_host.protocol.outbox import Outbox, Priority
from wire import Wire, joined, stream, welcomed


def test_nothing_to_write() -> None:
    """An empty outbox is false and gives nothing."""
    outbox = Outbox()
    assert not outbox
    assert outbox.take(1000) == []


@pytest.mark.parametrize("order", list(itertools.permutations(Priority)))
def test_the_most_urgent_goes_first(order: tuple[Priority, ...]) -> None:
    """Whatever was put first."""
    outbox = Outbox()
    for priority in order:
        outbox.put(priority, [priority.name.encode()])
    written = b" ".join(joined(outbox.take(1000)) for _ in Priority)
    assert written == b"CONTROL STDIN SHELL CHUNK"


@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("max_bytes", [0, 1, 2, 5, 100])
def test_first_in_first_out_inside_a_priority(priority: Priority, max_bytes: int) -> None:
    """However little is taken at a time; at least one frame is."""
    outbox = Outbox()
    for text in (b"ab", b"c", b"def", b"g"):
        outbox.put(priority, [text])
    written = b""
    while outbox:
        taken = outbox.take(max_bytes)
        assert len(joined(taken)) <= max_bytes or len(taken) == 1
        written += joined(taken)
    assert written == b"abcdefg"


def test_queued_bytes_are_what_was_not_taken() -> None:
    """The host stops reading its journal above a bound of them."""
    outbox = Outbox()
    outbox.put(Priority.SHELL, [b"abc", memoryview(bytearray(16)).cast("d")])
    outbox.put(Priority.CONTROL, [b"x"])
    assert outbox.queued_bytes == 20
    outbox.take(1)
    assert outbox.queued_bytes == 19
    outbox.clear()
    assert (outbox.queued_bytes, bool(outbox)) == (0, False)


def test_descriptors_ride_with_their_frame() -> None:
    """And with no other."""
    outbox = Outbox()
    outbox.put(Priority.SHELL, [b"a"], (4,))
    outbox.put(Priority.SHELL, [b"b"])
    assert [list(frame.fds) for frame in outbox.take(10)] == [[4], []]


def upload(wire: Wire, chunks: int) -> None:
    data = bytes(CHUNK_BYTES)
    for number in range(chunks):
        wire.client.send_chunk(f"blake3:{number:064x}", data)


def test_an_interrupt_passes_100_mb_of_chunks() -> None:
    """It is the very next frame, and only one chunk is ever handed over at a time."""
    wire = welcomed()
    upload(wire, 100)
    assert len(joined(wire.client.take())) < CHUNK_BYTES + 100
    id = wire.client.request("interrupt", run="r1")
    assert wire.peer.receive(joined(wire.client.take())) == [Requested(id, "interrupt", {"run": "r1"})]


@pytest.mark.parametrize("channel", Channel)
def test_every_message_passes_an_upload(channel: Channel) -> None:
    """A run request too: what it needs may be there already."""
    wire = welcomed()
    upload(wire, 10)
    wire.client.send(stream("now", channel))
    (event,) = wire.peer.receive(joined(wire.client.take()))
    assert isinstance(event, Received)


def test_an_answer_passes_a_long_request() -> None:
    """input()'s answer goes out between the fragments of a 20 MB run request, not behind it."""
    wire = welcomed()
    wire.client.send(stream("", Channel.SHELL, [bytes(20 << 20)]))
    assert len(joined(wire.client.take())) <= FRAGMENT_BYTES + 100
    wire.client.send(stream("yes", Channel.STDIN))
    (frame,) = FrameReader().feed(joined(wire.client.take()))
    assert (frame.kind, frame.channel) == (Kind.MESSAGE, Channel.STDIN)


def test_the_hosts_messages_keep_the_journals_order() -> None:
    """What a cell printed before input() is shown before the prompt: channels do not overtake on the way back."""
    wire = welcomed()
    wire.host.journal += [stream("print", Channel.IOPUB), stream("prompt", Channel.STDIN), stream("died", Channel.CONTROL)]
    assert wire.carry().texts == ["print", "prompt", "died"]


def test_an_answer_passes_the_hosts_messages() -> None:
    """`%remote status` is answered at once while a flood of output waits."""
    wire = welcomed()
    id = wire.client.request("status")
    for sequence in range(1, 1000):
        wire.peer.send(sequence, stream("x" * 1000))
    wire.peer.respond(id, True)
    frames = FrameReader().feed(joined(wire.peer.take()))
    assert frames[0].kind == Kind.RESPONSE


def test_the_host_sees_what_waits_for_a_slow_reader() -> None:
    """queued_bytes goes down as the reader takes."""
    wire = welcomed()
    for sequence in range(1, 101):
        wire.peer.send(sequence, stream("x" * 1000))
    full = wire.peer.queued_bytes
    assert full > 100_000
    wire.peer.take(50_000)
    assert full - 50_000 <= wire.peer.queued_bytes < full - 40_000
