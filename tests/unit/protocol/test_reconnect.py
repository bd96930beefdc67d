"""A stream may be cut at any byte: nothing is lost, nothing comes twice."""

from __future__ import annotations

import pytest
from farcell_host.errors import ProtocolError
from farcell_host.protocol.events import Acknowledged, Disconnected, Received, Responded, Welcomed
from farcell_host.protocol.frames import Descriptor
from farcell_host.protocol.messages import Channel
from wire import Wire, joined, stream, welcomed

LIMIT = 1 << 20


def test_a_message_sent_while_cut_off_arrives_once() -> None:
    """The owner need not know whether there is a stream."""
    wire = welcomed().cut()
    wire.client.send(stream("run"))
    assert wire.connect().carry().host.told == [(Channel.IOPUB, "run")]
    assert wire.cut().connect().carry().host.told == [(Channel.IOPUB, "run")]


def test_messages_sent_before_the_first_stream_wait_for_it() -> None:
    """In their order."""
    wire = Wire()
    for text in "abc":
        wire.client.send(stream(text, Channel.SHELL))
    assert [text for _, text in wire.connect().carry().host.told] == ["a", "b", "c"]


def test_numbers_start_at_one_on_each_channel() -> None:
    """An urgent channel overtakes the others, so each counts for itself."""
    wire = welcomed()
    assert [wire.client.send(stream("", channel)) for channel in (2, 2, 1, 2)] == [1, 2, 1, 3]  # type: ignore[arg-type]


def test_what_was_acknowledged_is_forgotten() -> None:
    """And the owner is told."""
    wire = welcomed()
    wire.client.send(stream("run", Channel.SHELL))
    assert wire.client.unacknowledged == [(Channel.SHELL, 1)]
    wire.carry()
    assert wire.client.unacknowledged == []
    assert Acknowledged(1, (), Channel.SHELL) in wire.events


def test_what_the_host_has_is_not_sent_again() -> None:
    """Its WELCOME says how far it got, although its acknowledgement was lost."""
    wire = welcomed()
    wire.client.send(stream("run", Channel.SHELL))
    wire.carry(up=LIMIT, down=0).cut().connect().carry()
    assert wire.host.told == [(Channel.SHELL, "run")]
    assert wire.client.unacknowledged == []


def test_what_the_host_has_but_does_not_admit_to_is_dropped_there() -> None:
    """The inbox keeps its own count."""
    wire = welcomed()
    wire.host.acknowledges = False
    for text in "abc":
        wire.client.send(stream(text, Channel.SHELL))
    wire.carry().cut()
    wire.host.forgets = 2
    wire.host.acknowledges = True
    wire.connect().carry()
    assert [text for _, text in wire.host.told] == ["a", "b", "c"]
    assert wire.client.unacknowledged == []


def test_what_the_client_has_is_dropped_there() -> None:
    """A host that starts further back than it was asked to does no harm."""
    wire = welcomed()
    wire.host.say("a", "b", "c")
    wire.carry().cut()
    wire.host.repeats = 2
    wire.host.say("d")
    assert wire.connect().carry().texts == ["a", "b", "c", "d"]


def test_output_goes_on_where_it_was_cut() -> None:
    """Half a message is thrown away and comes again whole."""
    wire = welcomed()
    wire.host.say("a", "b")
    wire.carry(up=0, down=150)
    assert wire.texts == ["a"]
    assert wire.cut().connect().carry().texts == ["a", "b"]


def test_a_long_message_cut_in_the_middle_comes_again_whole() -> None:
    """Its first fragments are forgotten."""
    wire = welcomed()
    wire.host.journal.append(stream("x" * (1 << 20)))
    wire.carry(up=0, down=600_000)
    assert wire.texts == []
    assert wire.cut().connect().carry().texts == ["x" * (1 << 20)]


def test_a_request_is_asked_again_until_it_is_answered() -> None:
    """Lost on its way."""
    wire = welcomed()
    id = wire.client.request("status")
    wire.cut().connect().carry()
    assert (wire.host.done, wire.answered) == (["status"], [id])
    assert wire.cut().connect().carry().host.done == ["status"]


def test_a_restart_whose_answer_was_lost_happens_once() -> None:
    """It is answered again, not done again: a second one would end a kernel in use."""
    wire = welcomed()
    id = wire.client.request("restart")
    wire.carry(up=LIMIT, down=0).cut().connect().carry()
    assert (wire.host.done, wire.answered) == (["restart"], [id])


def test_a_question_whose_answer_was_lost_is_answered_anew() -> None:
    """What was missing then may have come since."""
    wire = welcomed()
    id = wire.client.request("missing")
    wire.carry(up=LIMIT, down=0).cut().connect().carry()
    assert (wire.host.done, wire.answered) == (["missing", "missing"], [id])


def test_an_answer_that_comes_twice_is_given_once() -> None:
    """And one nobody asked for not at all."""
    wire = welcomed()
    id = wire.client.request("status")
    for number in (id, id, 99):
        wire.peer.respond(number, True)
    assert wire.client.receive(joined(wire.peer.take())) == [Responded(id, True, {})]


def test_a_refusal_is_an_answer() -> None:
    """With whatever the host says about it."""
    wire = welcomed()
    id = wire.client.request("launch")
    wire.peer.respond(id, False, message="no such request")
    assert wire.client.receive(joined(wire.peer.take())) == [Responded(id, False, {"message": "no such request"})]


def test_descriptors_go_again_with_their_message() -> None:
    """Ahead of it; they are the owner's to close only when it is acknowledged."""
    wire = welcomed()
    file = Descriptor(7, 30, 1000)
    wire.client.send(stream("bulk", Channel.SHELL), [file])
    wire.cut().connect().carry()
    assert wire.host.descriptors == [Descriptor(7, 130, 1000)]
    assert wire.host.told == [(Channel.SHELL, "bulk")]
    assert Acknowledged(1, (file,), Channel.SHELL) in wire.events
    assert wire.cut().connect().carry().host.descriptors == [Descriptor(7, 130, 1000)]


def test_descriptors_are_released_with_their_own_message() -> None:
    """Not with one before it, not with one of another channel."""
    wire = welcomed()
    first, second, third = (Descriptor(id, 30 + id, 1) for id in (1, 2, 3))
    wire.client.send(stream("", Channel.SHELL), [first])
    wire.client.send(stream("", Channel.SHELL), [second])
    wire.client.send(stream("", Channel.STDIN), [third])
    wire.peer.acknowledge(Channel.SHELL, 1)
    assert wire.client.receive(joined(wire.peer.take())) == [Acknowledged(1, (first,), Channel.SHELL)]
    wire.peer.acknowledge(Channel.STDIN, 1)
    assert wire.client.receive(joined(wire.peer.take())) == [Acknowledged(1, (third,), Channel.STDIN)]
    assert wire.client.unacknowledged == [(Channel.SHELL, 2)]


def test_a_descriptor_rides_on_its_own_frame() -> None:
    """On its first byte, ahead of the message that names it; the host's go the same way."""
    wire = welcomed()
    wire.client.send(stream("m"), [Descriptor(1, 30, 5)])
    wire.peer.send(1, stream("m"), descriptors=[Descriptor(1, 31, 5)])
    assert [list(frame.fds) for frame in wire.client.take()] == [[30], []]
    assert [list(frame.fds) for frame in wire.peer.take()] == [[31], []]


def test_dropped_output_is_skipped_and_said() -> None:
    """The journal's quota: the client goes on behind the gap."""
    wire = welcomed()
    wire.host.say("a")
    wire.carry().cut()
    wire.host.say("b", "c", "d")
    wire.host.dropped = 3
    assert wire.connect().carry().texts == ["a", "d"]
    assert [(event.sequence, event.gap) for event in wire.of(Received)] == [(1, False), (4, True)]
    assert wire.client.cursor == 4


def test_a_gap_nobody_speaks_of_is_a_fault() -> None:
    """Lost output is never passed over in silence."""
    wire = welcomed()
    wire.peer.send(1, stream("a"))
    wire.peer.send(3, stream("c"))
    with pytest.raises(ProtocolError, match="The host sent message 3 after 1: one between them is missing"):
        wire.client.receive(joined(wire.peer.take()))
    assert wire.client.receive_eof() == [Received(1, stream("a")), Disconnected()]


def test_the_host_hears_what_was_handled() -> None:
    """Also when the acknowledgement was lost with its stream."""
    wire = welcomed()
    wire.host.say("a", "b")
    wire.carry(up=0, down=LIMIT).cut()
    assert wire.host.acknowledged == 0
    assert wire.connect().carry().host.acknowledged == 2


def test_an_older_acknowledgement_is_not_sent() -> None:
    """Numbers only rise."""
    wire = welcomed()
    wire.client.acknowledge(5)
    wire.carry()
    wire.client.acknowledge(4)
    assert not wire.client.has_output


def test_received_is_not_handled() -> None:
    """The cursor says what came; what was handled is said by the owner, and only that."""
    wire = welcomed()
    wire.peer.send(1, stream("a"))
    wire.client.receive(joined(wire.peer.take()))
    assert wire.client.cursor == 1
    assert not wire.client.has_output


def test_chunks_of_a_cut_stream_are_asked_for_again() -> None:
    """They are not kept: the host says what it is missing."""
    wire = welcomed()
    wire.client.send_chunk("blake3:aa", b"lost")
    wire.cut()
    wire.client.send_chunk("blake3:bb", b"nobody listens")
    assert wire.connect().carry().host.chunks == {}
    wire.client.send_chunk("blake3:aa", b"sent again")
    assert wire.carry().host.chunks == {"blake3:aa": b"sent again"}


def test_a_message_too_long_to_send_takes_no_number() -> None:
    """The next one gets it."""
    wire = welcomed()
    with pytest.raises(ProtocolError):
        wire.client.send(stream("", Channel.SHELL, [b""] * 70_000))
    wire.client.send(stream("fine", Channel.SHELL))
    assert wire.carry().host.told == [(Channel.SHELL, "fine")]


def test_a_new_client_goes_on_behind_what_the_last_one_handled() -> None:
    """After a restart of the notebook kernel: a client with the old one's cursor."""
    old = welcomed(client="before")
    old.host.say("a", "b")
    old.carry().cut()
    old.host.say("c")
    new = Wire(old.host, client="after", takeover=True, cursor=old.client.cursor).connect().carry()
    assert new.texts == ["c"]


def test_each_stream_begins_with_a_welcome() -> None:
    """One each, and one Disconnected."""
    wire = welcomed()
    for _ in range(5):
        wire.cut().connect().carry()
    assert len(wire.of(Welcomed)) == 6
    assert len(wire.of(Disconnected)) == 5


def one_of_everything() -> Wire:
    """Both ends have something to say on every channel."""
    wire = Wire()
    for channel in Channel:
        wire.client.send(stream(f"to {channel.name}", channel), [Descriptor(int(channel), 30 + channel, 1)])
    wire.client.request("restart")
    wire.client.request("status")
    wire.host.journal += [stream(f"from {channel.name}", channel) for channel in Channel]
    return wire.connect()


@pytest.mark.parametrize("cut_at", range(0, 1300, 13))
def test_a_cut_at_any_byte(cut_at: int) -> None:
    """So many bytes get through each way, then the stream dies; the next one makes good for it."""
    wire = one_of_everything().carry(up=cut_at, down=cut_at).carry(up=cut_at, down=cut_at).cut().connect().carry()
    assert sorted(wire.host.told) == sorted((channel, f"to {channel.name}") for channel in Channel)
    assert wire.texts == [f"from {channel.name}" for channel in Channel]
    assert sorted(wire.answered) == [1, 2]
    assert wire.host.done.count("restart") == 1
    assert wire.client.unacknowledged == []
    assert wire.host.acknowledged == len(Channel)
    assert sorted(d.id for event in wire.of(Acknowledged) for d in event.descriptors) == [0, 1, 2, 3]
