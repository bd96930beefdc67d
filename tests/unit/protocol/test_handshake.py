"""HELLO and WELCOME: what each side says of itself, who is refused and how it is told, who drives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from farcell_host.errors import ProtocolError
from farcell_host.protocol import VERSION
from farcell_host.protocol.client import Client
from farcell_host.protocol.events import Greeted, Hello, Received, Refused, Welcomed
from farcell_host.protocol.frames import FrameReader, Kind, encode_frame, encode_message
from farcell_host.protocol.messages import Channel, encode_json
from farcell_host.protocol.peer import Peer
from farcell_host.protocol.roles import Answers, Inbox, Roles
from wire import Host, Wire, hello, joined, stream, welcomed


def frame(kind: Kind, fields: Any = None, body: bytes | None = None) -> bytes:
    return b"".join(encode_frame(kind, [encode_json(fields) if body is None else body]))


def said(client: Client) -> dict[str, Any]:
    """The HELLO that a client has queued."""
    (only,) = FrameReader().feed(joined(client.take()))
    assert only.kind == Kind.HELLO
    fields: dict[str, Any] = json.loads(bytes(only.body))
    return fields


WELCOME = {"protocol": list(VERSION), "generation": 1, "received": [0, 0, 0, 0], "last": 0}
HELLO = {"protocol": list(VERSION), "client": "c", "role": "driver", "python": "3.11.7", "platform": "linux", "cursor": 0}


def connected(**fields: Any) -> Client:
    client = Client(hello(**fields))
    client.connect()
    return client


# -- the two say hello


def test_each_side_hears_what_the_other_is() -> None:
    """Python, platform, hashes, whether open files can be passed."""
    client = connected(hashes=("blake3", "blake2b"), descriptors=True)
    peer = Peer()
    (greeted,) = peer.receive(joined(client.take()))
    assert greeted == Greeted(hello(hashes=("blake3", "blake2b"), descriptors=True))
    peer.welcome(generation=1, received=[0, 0, 0, 0], last=0, python="3.13.0", hashes=["blake2b"])
    (event,) = client.receive(joined(peer.take()))
    assert isinstance(event, Welcomed)
    assert (event.fields["python"], event.fields["hashes"]) == ("3.13.0", ["blake2b"])
    assert event.fields["protocol"] == list(VERSION)


def test_nothing_but_hello_is_written_before_the_welcome() -> None:
    """Whatever the owner has asked for by then waits."""
    client = connected()
    client.send(stream("run"))
    client.request("status")
    client.acknowledge(3)
    assert said(client)["client"] == "notebook"
    assert not client.has_output


def test_a_host_says_nothing_to_a_stranger() -> None:
    """Not before it has heard who is there."""
    assert not Peer().has_output


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HELLO])
def test_hello_comes_first(kind: Kind) -> None:
    """Anything else ends the stream."""
    with pytest.raises(ProtocolError, match=f"The client sent {kind.name} before its HELLO"):
        Peer().receive(frame(kind, {}))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.WELCOME, Kind.REFUSED)])
def test_welcome_comes_first(kind: Kind) -> None:
    """A host that talks before it is not one."""
    with pytest.raises(ProtocolError, match=f"The host sent {kind.name} before its WELCOME"):
        connected().receive(frame(kind, {}))


@pytest.mark.parametrize("kind", [Kind.WELCOME, Kind.REFUSED, Kind.RESPONSE])
def test_a_client_does_not_play_host(kind: Kind) -> None:
    """The error names what it sent."""
    wire = welcomed()
    with pytest.raises(ProtocolError, match=f"The client sent {kind.name}, which only a host sends"):
        wire.peer.receive(frame(kind, {}))


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.REQUEST])
def test_a_host_does_not_play_client(kind: Kind) -> None:
    """The error names what it sent."""
    wire = welcomed()
    with pytest.raises(ProtocolError, match=f"The host sent {kind.name}, which only a client sends"):
        wire.client.receive(frame(kind, {}))


def test_hello_and_welcome_are_said_once() -> None:
    """A second one means that two streams were mixed up."""
    wire = welcomed()
    with pytest.raises(ProtocolError, match="HELLO twice"):
        wire.peer.receive(frame(Kind.HELLO, HELLO))
    with pytest.raises(ProtocolError, match="WELCOME twice"):
        wire.client.receive(frame(Kind.WELCOME, WELCOME))


def test_each_end_answers_a_ping() -> None:
    """With a PONG, which is no event."""
    wire = welcomed()
    ping = frame(Kind.PING, body=b"")
    assert wire.client.receive(ping) == []
    assert wire.peer.receive(ping) == []
    assert [one.kind for one in FrameReader().feed(joined(wire.client.take()))] == [Kind.PONG]
    assert [one.kind for one in FrameReader().feed(joined(wire.peer.take()))] == [Kind.PONG]
    assert wire.client.receive(frame(Kind.PONG, body=b"")) == wire.peer.receive(frame(Kind.PONG, body=b"")) == []


# -- versions


@pytest.mark.parametrize("theirs", [[0, 9], [2, 0], [99, 1]])
def test_a_client_of_another_protocol_is_refused(theirs: list[int]) -> None:
    """It is told both versions and what to do; the host goes on."""
    peer, client = Peer(), connected()
    assert peer.receive(frame(Kind.HELLO, {**HELLO, "protocol": theirs})) == []
    assert peer.is_refused
    (event,) = client.receive(joined(peer.take()))
    assert isinstance(event, Refused)
    assert event.code == "version"
    assert f"The client speaks protocol {theirs[0]}.{theirs[1]}, this side {'.'.join(map(str, VERSION))}" in event.message
    assert "install the same farcell on both sides" in event.message


@pytest.mark.parametrize("theirs", [[0, 9], [2, 0]])
def test_a_host_of_another_protocol_is_refused(theirs: list[int]) -> None:
    """The client says both versions."""
    with pytest.raises(ProtocolError, match=rf"The host speaks protocol {theirs[0]}\.{theirs[1]}, this side 1\.1"):
        connected().receive(frame(Kind.WELCOME, {**WELCOME, "protocol": theirs}))


@pytest.mark.parametrize("minor", [0, 1, 7])
def test_another_minor_version_is_welcome(minor: int) -> None:
    """Fields may be added inside a major version."""
    assert Peer().receive(frame(Kind.HELLO, {**HELLO, "protocol": [1, minor], "new": 1}))
    assert connected().receive(frame(Kind.WELCOME, {**WELCOME, "protocol": [1, minor], "new": 1}))


@pytest.mark.parametrize("theirs", [None, 1, "1.0", [1], [1, 0, 0], {}])
def test_a_version_that_is_none_is_refused(theirs: object) -> None:
    """By either side, in words."""
    with pytest.raises(ProtocolError, match="did not say which protocol it speaks"):
        Peer().receive(frame(Kind.HELLO, {**HELLO, "protocol": theirs}))
    with pytest.raises(ProtocolError, match="did not say which protocol it speaks"):
        connected().receive(frame(Kind.WELCOME, {**WELCOME, "protocol": theirs}))


# -- nonsense


@pytest.mark.parametrize(
    "fields", [{"client": ""}, {"role": "boss"}, {"role": None}, {"cursor": -1}], ids=["no name", "role", "no role", "cursor"]
)
def test_a_hello_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    """With what it said."""
    with pytest.raises(ProtocolError, match="The client's HELLO names"):
        Peer().receive(frame(Kind.HELLO, {**HELLO, **fields}))


@pytest.mark.parametrize("value", [None, 0, 1.5, "x", [], {}, True, [None], [[1]]])
@pytest.mark.parametrize("name", ["generation", "takeover", "cursor", "hashes", "descriptors", "python", "platform"])
def test_a_hello_of_other_types_does_no_harm(name: str, value: object) -> None:
    """Nothing but ProtocolError ever comes of it."""
    (event,) = Peer().receive(frame(Kind.HELLO, {**HELLO, name: value}))
    assert isinstance(event, Greeted)
    assert isinstance(event.hello.hashes, tuple)


@pytest.mark.parametrize("received", [None, 0, [], [0, 0, 0], ["0", 0, 0, 0], [None] * 4, {}, [0, 0, 0, 0, 0]])
def test_a_welcome_says_what_was_received(received: object) -> None:
    """A number for each channel."""
    with pytest.raises(ProtocolError, match="did not say what it has received"):
        connected().receive(frame(Kind.WELCOME, {**WELCOME, "received": received}))


def test_a_welcome_cannot_have_received_what_was_not_sent() -> None:
    """It would be another client's."""
    with pytest.raises(ProtocolError, match="acknowledged SHELL message 3; we have sent 0"):
        connected().receive(frame(Kind.WELCOME, {**WELCOME, "received": [0, 0, 3, 0]}))


def test_another_host_in_the_old_ones_place_is_noticed() -> None:
    """Its messages would pass for ones we have had, and be dropped without a word."""
    client = connected(cursor=10)
    with pytest.raises(ProtocolError, match="has sent 4 messages and we have had 10: this is not the remote session"):
        client.receive(frame(Kind.WELCOME, {**WELCOME, "last": 4}))


def test_an_observer_may_ask_for_no_messages() -> None:
    """A cursor far ahead: `farcell_host status` wants none."""
    client = connected(role="observer", cursor=1 << 62)
    assert client.receive(frame(Kind.WELCOME, WELCOME))


BAD_FRAMES = {
    "HELLO": b"not json",
    "REQUEST": b'{"id":"1","op":"status"}',
    "MESSAGE": b"",
    "CHUNK": b"",
    "DESCRIPTOR": b'{"id":1,"size":1}',
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_host_reads_nothing_after_a_fault(name: str) -> None:
    """The same error again, and it can still say why it ends the stream."""
    wire = welcomed()
    with pytest.raises(ProtocolError) as first:
        wire.peer.receive(frame(Kind[name], body=BAD_FRAMES[name]))
    with pytest.raises(ProtocolError) as second:
        wire.peer.receive(frame(Kind.PING, body=b""))
    assert second.value is first.value
    wire.peer.refuse("protocol", str(first.value))
    (event,) = wire.client.receive(joined(wire.peer.take()))
    assert event == Refused("protocol", str(first.value))
    assert wire.peer.receive(b"anything") == []


@pytest.mark.parametrize("name", ["WELCOME", "RESPONSE", "MESSAGE", "CHUNK", "DESCRIPTOR"])
def test_a_client_reads_nothing_after_a_fault(name: str) -> None:
    """The same error again, until there is a new stream."""
    wire = welcomed()
    with pytest.raises(ProtocolError) as first:
        wire.client.receive(frame(Kind[name], body=BAD_FRAMES.get(name, b"not json")))
    assert not wire.client.has_output
    with pytest.raises(ProtocolError) as second:
        wire.client.receive(frame(Kind.PING, body=b""))
    assert second.value is first.value
    wire.host.say("fine")
    assert wire.connect().carry().texts == ["fine"]


def test_what_came_before_a_fault_is_not_lost() -> None:
    """The host will not send it again: it is given out when the stream has ended."""
    wire = welcomed()
    good = b"".join(bytes(part) for part in encode_message(stream("good"), 1)[0])
    with pytest.raises(ProtocolError):
        wire.client.receive(good + frame(Kind.RESPONSE, body=b"not json"))
    wire.host.say("good", "next")
    assert wire.cut().texts == ["good"]
    assert wire.connect().carry().texts == ["good", "next"]


def test_what_came_before_a_fault_is_given_out_on_the_next_stream_too() -> None:
    """If nobody told the client that the old one had ended."""
    wire = welcomed()
    good = b"".join(bytes(part) for part in encode_message(stream("good"), 1)[0])
    with pytest.raises(ProtocolError):
        wire.client.receive(good + frame(Kind.MESSAGE, body=b""))
    wire.host.say("good", "next")
    assert wire.connect().carry().texts == ["good", "next"]


def test_a_fault_leaves_no_descriptor_open() -> None:
    """What came before it in the same bytes was given to nobody, so it is handed over for closing."""
    wire = welcomed()
    one = frame(Kind.DESCRIPTOR, {"id": 1, "size": 1})
    with pytest.raises(ProtocolError):
        wire.peer.receive(one + frame(Kind.MESSAGE, body=b""), [50, 51])
    assert wire.peer.leftover_descriptors() == [50, 51]
    assert wire.peer.leftover_descriptors() == []


# -- who drives


def test_the_first_driver_gets_generation_one() -> None:
    """And says it at its next HELLO."""
    wire = welcomed()
    assert wire.client.generation == 1
    wire.cut().client.connect()
    assert said(wire.client)["generation"] == 1


def test_a_second_notebook_is_told_that_the_first_drives() -> None:
    """It is refused, and nothing changes for the first."""
    first = welcomed(client="a")
    second = Wire(first.host, client="b").connect().carry()
    assert second.refusal == "busy"
    assert "take it over" in second.of(Refused)[0].message
    assert first.host.roles.may_send("a", 1)


def test_a_takeover_is_explicit_and_raises_the_generation() -> None:
    """From then on the first may not send, and its reconnect is refused."""
    first = welcomed(client="a")
    second = Wire(first.host, client="b", takeover=True).connect().carry()
    assert second.client.generation == 2
    assert not first.host.roles.may_send("a", 1)
    assert first.host.roles.may_send("b", 2)
    assert first.cut().connect().carry().refusal == "superseded"
    assert "(generation 2, ours was 1)" in first.of(Refused)[0].message


def test_a_takeover_happens_once() -> None:
    """A reconnect does not take the session back from whoever took it over meanwhile."""
    first = welcomed(client="a", takeover=True)
    second = Wire(first.host, client="b", takeover=True).connect().carry()
    assert first.cut().connect().carry().refusal == "superseded"
    assert second.cut().connect().carry().client.generation == 2


def test_a_takeover_whose_welcome_was_lost_is_asked_again() -> None:
    """It gets the generation that it had got already."""
    first = welcomed(client="a")
    second = Wire(first.host, client="b", takeover=True).connect()
    second.carry(up=10_000, down=0).cut()
    assert second.connect().carry().client.generation == 2


def test_any_number_of_observers() -> None:
    """Each with a cursor of its own; none disturbs the driver."""
    driver = welcomed(client="a")
    driver.host.say("one", "two")
    observers = [Wire(driver.host, client=f"o{n}", role="observer", cursor=n).connect().carry() for n in range(3)]
    assert [observer.texts for observer in observers] == [["one", "two"], ["two"], []]
    assert [observer.client.generation for observer in observers] == [None] * 3
    assert driver.carry().texts == ["one", "two"]
    assert driver.host.roles.may_send("a", 1)
    assert not driver.host.roles.may_send("o1", 1)


def test_a_superseded_driver_may_look_on() -> None:
    """As an observer."""
    roles = Roles()
    roles.admit(hello("a"))
    assert roles.admit(hello("b", takeover=True)).supersedes == "a"
    admission = roles.admit(hello("a", "observer", generation=1))
    assert (admission.ok, admission.role, admission.generation) == (True, "observer", 2)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (hello("b"), "busy"),
        (hello("b", generation=1), "superseded"),
        (hello("b", generation=2), "superseded"),
        (hello("a", generation=1), "superseded"),
        (hello("a", generation=3), "superseded"),
    ],
)
def test_who_is_refused(said: Hello, code: str) -> None:
    """After a takeover by "a" at generation 2: others, and the driver itself under a generation that is not its own."""
    roles = Roles()
    roles.admit(hello("z"))
    roles.admit(hello("a", takeover=True))
    admission = roles.admit(said)
    assert (admission.ok, admission.code) == (False, code)
    assert admission.message
    assert (roles.driver, roles.generation) == ("a", 2)


@pytest.mark.parametrize(
    ("said", "generation", "supersedes"),
    [
        (hello("a"), 2, None),
        (hello("a", generation=2), 2, None),
        (hello("a", takeover=True), 2, None),
        (hello("b", takeover=True), 3, "a"),
        (hello("b", takeover=True, generation=1), 3, "a"),
    ],
)
def test_who_drives(said: Hello, generation: int, supersedes: str | None) -> None:
    """After a takeover by "a" at generation 2: "a" again, and whoever takes over."""
    roles = Roles()
    roles.admit(hello("z"))
    roles.admit(hello("a", takeover=True))
    admission = roles.admit(said)
    assert (admission.ok, admission.role, admission.generation) == (True, "driver", generation)
    assert admission.supersedes == supersedes


# -- each once


def test_the_inbox_takes_each_message_once() -> None:
    """On each channel by itself, of each client by itself."""
    inbox = Inbox()
    assert inbox.accept("a", Channel.SHELL, 1)
    assert not inbox.accept("a", Channel.SHELL, 1)
    assert inbox.accept("a", Channel.STDIN, 1)
    assert inbox.accept("b", Channel.SHELL, 1)
    assert inbox.accept("a", Channel.SHELL, 2)
    assert inbox.received("a") == [0, 1, 2, 0]
    assert inbox.received("nobody") == [0, 0, 0, 0]


def test_the_inbox_notices_a_loss() -> None:
    """A number that was skipped is a fault of the client, never passed over."""
    inbox = Inbox()
    with pytest.raises(ProtocolError, match="The client sent SHELL message 2 after 0"):
        inbox.accept("a", Channel.SHELL, 2)


def test_answers_are_kept_for_one_driver() -> None:
    """The latest ones; another driver's numbers begin anew."""
    answers = Answers(kept=2)
    for id in (1, 2, 3):
        answers.keep("a", id, True, {"epoch": id})
    assert answers.earlier("a", 1) is None
    assert answers.earlier("a", 3) == (True, {"epoch": 3})
    assert answers.earlier("b", 3) is None
    answers.keep("b", 3, False, {})
    assert answers.earlier("a", 3) is None
    assert answers.earlier("b", 3) == (False, {})


def test_a_refused_stream_says_why_and_no_more() -> None:
    """What was queued is not sent."""
    wire = welcomed()
    wire.peer.send(1, stream("never"))
    wire.peer.refuse("superseded", "taken over")
    assert wire.client.receive(joined(wire.peer.take())) == [Refused("superseded", "taken over")]
    assert not any(isinstance(event, Received) for event in wire.events)


def test_two_clients_of_one_host_do_not_mix() -> None:
    """Each gets its own answers and all of the journal."""
    host = Host()
    driver = Wire(host, client="a").connect().carry()
    observer = Wire(host, client="b", role="observer").connect().carry()
    mine, theirs = driver.client.request("status"), observer.client.request("status")
    host.say("one")
    driver.carry()
    observer.carry()
    assert (driver.answered, observer.answered) == ([mine], [theirs])
    assert driver.texts == observer.texts == ["one"]
