"""The connection thread against a small host made of the protocol's own other end, over real sockets that may be cut."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from farcell.backends.base import Allocation, JobState, LaunchOptions, OpenedStream
from farcell.connection import MOST_FAULTS, Connection
from farcell.deaths import Death
from farcell.errors import Busy, TargetUnavailable
from farcell.threads import loop_thread
from farcell_host import bulk, capabilities
from farcell_host.protocol.events import ChunkArrived, DescriptorArrived, Greeted, Received, Requested
from farcell_host.protocol.frames import Descriptor, Kind, encode_descriptor, encode_frame, encode_message
from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.protocol.peer import Peer
from farcell_host.protocol.roles import Inbox
from farcell_host.stream import from_socket

BOUND_S = 10


class Host:
    """Journals what it says, remembers what it was told, serves one stream after another."""

    def __init__(self, descriptors: bool = True, refuse: tuple[str, str] | None = None) -> None:
        self.journal: list[Message] = []
        self.told: queue.Queue[Message] = queue.Queue()
        self.files: dict[int, Descriptor] = {}
        self.chunks: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.asked_chunks: list[str] = []
        self.greeted = 0
        self.descriptors = descriptors
        self.refuse = refuse
        self.gone = False
        self.cuts = 0
        self.dies_with_chunk = 0
        """The stream dies as so many chunks have come."""
        self._inbox = Inbox()
        self._streams: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._streams.append(ours)
        thread = threading.Thread(target=self._serve, args=(ours,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return theirs

    def say(self, message: Message) -> None:
        with self._lock:
            self.journal.append(message)

    def cut(self) -> None:
        """The stream dies in the middle of whatever it carried; the one before it has been replaced by then."""
        self.cuts += 1
        wait_until(lambda: self.greeted >= self.cuts)
        self._streams[-1].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.gone = True
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(BOUND_S)
        for file in self.files.values():
            os.close(file.fd)

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(0.02)
        peer, buffer, client, cursor = Peer(), memoryview(bytearray(1 << 18)), "", 0
        with sock:
            while True:
                try:
                    size, fds = capabilities.receive(sock, buffer)
                    if not size:
                        return
                    events = peer.receive(bytes(buffer[:size]), fds)
                except TimeoutError:
                    events = []
                except OSError:
                    return
                for event in events:
                    match event:
                        case Greeted(hello):
                            self.greeted += 1
                            client, cursor = hello.client, hello.cursor
                            self._greet(peer, client)
                        case Received(sequence, message, _):
                            if self._inbox.accept(client, message.channel, sequence):
                                self.told.put(message)
                            peer.acknowledge(message.channel, sequence)
                        case ChunkArrived(address, data):
                            self.chunks[address] = bytes(data)
                            if len(self.chunks) == self.dies_with_chunk and self.greeted == 1:
                                return
                        case DescriptorArrived(descriptor):
                            self.files[descriptor.id] = descriptor
                        case Requested(id, op, fields):
                            self.requests.append(op)
                            self._answer(peer, id, op, fields)
                with self._lock:
                    for sequence in range(cursor + 1, len(self.journal) + 1):
                        if peer.is_welcome:
                            peer.send(sequence, self.journal[sequence - 1])
                            cursor = sequence
                try:
                    while frames := peer.take():
                        for frame in frames:
                            sock.sendall(b"".join(bytes(part) for part in frame.buffers))
                except OSError:
                    return

    def _greet(self, peer: Peer, client: str) -> None:
        if self.refuse is not None:
            peer.refuse(*self.refuse)
            return
        peer.welcome(
            generation=1, received=self._inbox.received(client), last=len(self.journal), epoch=1,
            hashes=["blake3", "blake2b"], descriptors=self.descriptors,
        )  # fmt: skip

    def _answer(self, peer: Peer, id: int, op: str, fields: dict[str, Any]) -> None:
        if op == "missing":
            peer.respond(id, True, missing=[address for address in fields["addresses"] if address not in self.chunks])
        elif op == "chunks":
            self.asked_chunks += fields["addresses"]
            for address in fields["addresses"]:
                if address in self.chunks:
                    peer.send_chunk(address, self.chunks[address])
            peer.respond(id, True)
        elif op == "bad":
            peer.respond(id, False, message="no such thing")
        else:
            peer.respond(id, True, op=op)


class HostBackend:
    """The fake is just another backend."""

    name = "fake"

    def __init__(self, host: Host) -> None:
        self.host = host

    async def launch(self, options: LaunchOptions, ask: object = None) -> Allocation:
        return Allocation(options, "/nowhere")

    async def open_stream(self, allocation: Allocation) -> OpenedStream:
        if self.host.gone:
            raise ConnectionRefusedError("nobody listens")
        return OpenedStream(from_socket(self.host.connect()))

    async def poll(self, allocation: Allocation) -> JobState:
        return JobState.GONE if self.host.gone else JobState.RUNNING

    async def release(self, allocation: Allocation) -> None: ...


class Line:
    """A connection and what it delivered."""

    def __init__(self, host: Host, **options: Any) -> None:
        self.host = host
        self.heard: queue.Queue[tuple[Message, tuple[Buffer, ...]]] = queue.Queue()
        self.ended: queue.Queue[Death] = queue.Queue()
        allocation = Allocation(LaunchOptions(target="far", **options), "/nowhere")
        self.connection = Connection(HostBackend(host), allocation, lambda *what: self.heard.put(what), self.ended.put)

    def open(self) -> dict[str, Any]:
        return loop_thread().submit(self.connection.open()).result(BOUND_S)

    def close(self) -> None:
        loop_thread().submit(self.connection.close()).result(BOUND_S)


@pytest.fixture
def lines() -> Iterator[Callable[[Host], Line]]:
    opened: list[Line] = []

    def line(host: Host, **options: Any) -> Line:
        opened.append(Line(host, **options))
        return opened[-1]

    yield line
    for each in opened:
        each.close()
        each.host.close()


def text(message: Message) -> str:
    return str(message.content["text"])


def line_of_output(number: int) -> Message:
    return Message.build(Channel.IOPUB, "stream", {"name": "stdout", "text": f"{number}"})


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_messages_go_both_ways(lines: Callable[[Host], Line]) -> None:
    """What is sent arrives; what the host says is delivered in order."""
    line = lines(Host())
    assert line.open()["epoch"] == 1
    line.connection.send(Message.build(Channel.SHELL, "farcell_run_request", {"code": "1"}))
    assert line.host.told.get(timeout=BOUND_S).content == {"code": "1"}
    for number in range(5):
        line.host.say(line_of_output(number))
    assert [text(line.heard.get(timeout=BOUND_S)[0]) for _ in range(5)] == list("01234")


def test_output_survives_cuts_once_each(lines: Callable[[Host], Line]) -> None:
    """The stream is cut in mid-output several times: every line comes, in order, once."""
    line = lines(Host())
    line.open()
    heard: list[str] = []
    for number in range(300):
        line.host.say(line_of_output(number))
        if number % 60 == 30:
            heard.append(text(line.heard.get(timeout=BOUND_S)[0]))
            line.host.cut()
    while len(heard) < 300:
        heard.append(text(line.heard.get(timeout=BOUND_S)[0]))
    assert heard == [str(number) for number in range(300)]
    assert line.heard.empty()
    assert line.host.greeted > 1


def test_requests_sent_over_a_cut_run_once(lines: Callable[[Host], Line]) -> None:
    """A run request is neither lost nor run twice when the connection dies under it."""
    line = lines(Host())
    line.open()
    for number in range(60):
        line.connection.send(Message.build(Channel.SHELL, "farcell_run_request", {"code": str(number)}))
        if number % 20 == 10:
            line.host.cut()
    got = [line.host.told.get(timeout=BOUND_S).content["code"] for _ in range(60)]
    assert got == [str(number) for number in range(60)]


def test_large_buffers_go_as_open_files(lines: Callable[[Host], Line]) -> None:
    """On one machine nothing is copied through the stream: a descriptor rides along."""
    line = lines(Host())
    line.open()
    data = os.urandom(3_000_000)
    ready = line.connection.prepare([data])
    line.connection.send(Message.build(Channel.SHELL, "farcell_run_request", {}), ready)
    message = line.host.told.get(timeout=BOUND_S)
    (entry,) = message.metadata["farcell_bulk"]
    file = line.host.files[entry["descriptor"]]
    assert entry["size"] == len(data)
    assert bytes(bulk.map_descriptor(file.fd, file.size)) == data


def test_only_missing_chunks_are_sent(lines: Callable[[Host], Line]) -> None:
    """Where descriptors cannot go, a buffer travels in pieces, and what the host has is not sent again."""
    line = lines(Host(descriptors=False))
    line.open()
    data = os.urandom(5 << 20)
    known = data[1 << 20 : 2 << 20]
    line.host.chunks[bulk.address_of(known)] = known
    line.connection.send(Message.build(Channel.SHELL, "farcell_run_request", {}), line.connection.prepare([data]))
    message = line.host.told.get(timeout=BOUND_S)
    (entry,) = message.metadata["farcell_bulk"]
    wait_until(lambda: all(address in line.host.chunks for address in entry["chunks"]))
    assert b"".join(line.host.chunks[address] for address in entry["chunks"]) == data
    assert line.connection.sent_bulk_bytes == 4 << 20


def test_an_upload_goes_on_after_a_cut(lines: Callable[[Host], Line]) -> None:
    """Chunks that were in flight when the connection died are asked for and sent again."""
    line = lines(Host(descriptors=False))
    line.open()
    line.host.dies_with_chunk = 4
    data = os.urandom(24 << 20)
    line.connection.send(Message.build(Channel.SHELL, "farcell_run_request", {}), line.connection.prepare([data]))
    message = line.host.told.get(timeout=BOUND_S)
    (entry,) = message.metadata["farcell_bulk"]
    wait_until(lambda: all(address in line.host.chunks for address in entry["chunks"]))
    assert line.host.greeted == 2


def test_an_upload_begins_before_its_message(lines: Callable[[Host], Line]) -> None:
    """While the rest of it is hashed; what was interrupted then is sent no further."""
    line = lines(Host(descriptors=False))
    line.open()
    checks = iter(range(1000))

    def check() -> None:
        if next(checks) == 20:  # the first batch of 16 chunks is asked about
            wait_until(lambda: len(line.host.chunks) >= 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        line.connection.prepare([os.urandom(24 << 20)], check)
    assert line.connection.uploading() is None
    assert line.host.told.empty()


def test_bulk_that_comes_as_chunks_is_whole(lines: Callable[[Host], Line]) -> None:
    """A message whose bulk is still on its way is delivered when it is whole, writable, and before what follows it."""
    host = Host(descriptors=False)
    line = lines(host)
    line.open()
    data = os.urandom((2 << 20) + 17)
    addresses = []
    for piece in bulk.pieces(data):
        addresses.append(bulk.address_of(piece))
        host.chunks[addresses[-1]] = bytes(piece)
    entries = [{"size": len(data), "chunks": addresses}]
    host.say(Message.build(Channel.SHELL, "farcell_run_reply", {"run": "r"}, metadata={"farcell_bulk": entries}))
    host.say(line_of_output(1))
    message, (got,) = line.heard.get(timeout=BOUND_S)
    assert message.msg_type == "farcell_run_reply"
    assert bytes(got) == data and not memoryview(got).readonly
    assert text(line.heard.get(timeout=BOUND_S)[0]) == "1"


def test_chunks_that_come_ahead_of_their_message_are_not_asked_for(lines: Callable[[Host], Line]) -> None:
    """And one that is not what its address says is."""
    host = Host(descriptors=False)
    line = lines(host)
    line.open()
    data = os.urandom(3 << 20)
    host.chunks.update({bulk.address_of(piece): bytes(piece) for piece in bulk.pieces(data)})
    addresses = list(host.chunks)
    line.connection.request("chunks", addresses=addresses[:2]).result(BOUND_S)
    wait_until(lambda: len(line.connection._early) == 2)  # they come after the answer
    with line.connection._lock:
        line.connection._early[addresses[1]] = b"damaged"
    asked = host.asked_chunks.copy()
    entries = [{"size": len(data), "chunks": addresses}]
    host.say(Message.build(Channel.SHELL, "farcell_run_reply", {"run": "r"}, metadata={"farcell_bulk": entries}))
    line.connection.request("status").result(BOUND_S)
    _, (got,) = line.heard.get(timeout=BOUND_S)
    assert bytes(got) == data
    assert host.asked_chunks[len(asked) :] == sorted(addresses[1:])


def test_what_another_has_taken_is_passed_over(lines: Callable[[Host], Line]) -> None:
    """The host has its buffers no more; what comes behind it is handed on."""
    host = Host(descriptors=False)
    line = lines(host)
    line.open()
    entries = [{"size": 1 << 20, "released": True}]
    host.say(Message.build(Channel.SHELL, "farcell_run_reply", {"run": "r"}, metadata={"farcell_bulk": entries}))
    host.say(line_of_output(1))
    assert text(line.heard.get(timeout=BOUND_S)[0]) == "1"


def test_requests_are_answered(lines: Callable[[Host], Line]) -> None:
    """An answer comes back; a refusal is an exception with the host's words."""
    line = lines(Host())
    line.open()
    assert line.connection.request("status").result(BOUND_S) == {"op": "status"}
    with pytest.raises(TargetUnavailable, match="no such thing"):
        line.connection.request("bad").result(BOUND_S)


def test_a_host_that_is_gone_is_given_up(lines: Callable[[Host], Line]) -> None:
    """When the backend knows that the host has ended nobody waits for it."""
    line = lines(Host())
    line.open()
    line.host.gone = True
    line.host.cut()
    assert "ended" in line.ended.get(timeout=BOUND_S).detail
    with pytest.raises(TargetUnavailable):
        line.connection.request("status").result(BOUND_S)


def test_a_refusal_says_why(lines: Callable[[Host], Line]) -> None:
    """Another driver holds the session: the host's words reach the person."""
    line = lines(Host(refuse=("busy", "notebook other.ipynb drives it")))
    with pytest.raises(Busy, match=r"other\.ipynb"):
        line.open()


def test_what_a_host_answers_steers_no_terminal(lines: Callable[..., Line]) -> None:
    """With `trust = "data"` its answers and refusals are somebody else's words, wherever they are shown."""
    evil = "x\x1b]52;c;eA==\x07"
    line = lines(Host(), trust="data")
    line.open()
    assert line.connection.request(evil).result(BOUND_S) == {"op": "x]52;c;eA=="}
    with pytest.raises(Busy) as refusal:
        lines(Host(refuse=("busy", evil)), trust="data").open()
    assert "\x1b" not in str(refusal.value)


def test_a_host_that_cannot_be_reached_is_named(lines: Callable[[Host], Line]) -> None:
    """The message names the target and the log."""
    host = Host()
    host.gone = True
    with pytest.raises(TargetUnavailable, match=r"'far'.*host\.log"):
        lines(host).open()


GARBAGE = b"\xff" * 64
NO_BULK = {
    "another file": [{"size": 1, "descriptor": 99}],
    "a file that has no number": [{"size": 1, "descriptor": []}],
    "a file of no size": [{"descriptor": 1}],
    "no chunks": [{"size": 1}],
    "chunks that are none": [{"size": 1, "chunks": 1}],
    "too many chunks": [{"size": 1, "chunks": ["a", "b"]}],
    "a size that is none": [{"size": "1", "chunks": ["a"]}],
    "a size below zero": [{"size": -1, "chunks": []}],
    "a size of no machine": [{"size": 1 << 70, "chunks": []}],
    "no buffer": [1],
    "no buffers": 1,
}


def naming(bulk: object) -> list[Buffer]:
    message = Message.build(Channel.IOPUB, "stream", {}, metadata={"farcell_bulk": bulk})
    return [*encode_message(message, 1)[0]]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([GARBAGE], id="garbage"),
        *(pytest.param(naming(bulk), id=f"a message naming {what}") for what, bulk in NO_BULK.items()),
        pytest.param(encode_frame(Kind.DESCRIPTOR, [b"{}"]), id="a descriptor that is not understood"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["fault after the file", "file after the fault"])
def test_a_faulty_stream_keeps_no_file_open(after: list[Buffer], before: bool) -> None:
    """An open file came in the same read as what ends the stream: every copy of it is closed when the connection is."""
    host = FaultyHost()
    line = Line(host)
    line.open()
    reading, writing = os.pipe()
    announced = encode_descriptor(Descriptor(1, writing, 0))
    host.send([*announced, *after] if before else [*after, *announced], [writing, writing])
    os.close(writing)
    wait_until(lambda: host.connections > 1 or line.connection.closed)  # the stream was given up, and opened again or not
    with contextlib.closing(os.fdopen(reading, "rb")) as pipe:
        assert select.select([pipe], [], [], BOUND_S)[0], "the pipe's other end is still open here"
        assert pipe.read() == b""
    line.close()
    host.close()


@pytest.mark.parametrize("bulk", NO_BULK.values(), ids=NO_BULK)
def test_a_message_that_cannot_be_had_ends_the_session(bulk: object) -> None:
    """It would not come again: who waits for it would wait for ever."""
    host = FaultyHost()
    line = Line(host)
    line.open()
    waiting = line.connection.request("status")
    host.send(naming(bulk), [])
    assert "cannot be understood" in line.ended.get(timeout=BOUND_S).detail
    with pytest.raises(TargetUnavailable, match="buffers that it cannot have"):
        waiting.result(BOUND_S)
    line.close()
    host.close()


def test_a_host_that_breaks_the_protocol_each_time_is_given_up() -> None:
    """But not at the first time."""
    host = FaultyHost(GARBAGE)
    line = Line(host)
    with contextlib.suppress(TargetUnavailable):
        line.open()
    assert "cannot be understood" in line.ended.get(timeout=BOUND_S).detail
    assert host.connections == MOST_FAULTS
    line.close()
    host.close()


class FaultyHost(Host):
    """Says what it is given, `always` on each stream, and reads nothing but the HELLO."""

    def __init__(self, always: bytes = b"") -> None:
        super().__init__()
        self.always, self.connections = always, 0

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._streams.append(ours)
        peer = Peer()
        self._greet(peer, "")
        ours.sendall(b"".join(bytes(part) for frame in peer.take() for part in frame.buffers) + self.always)
        self.connections += 1
        return theirs

    def send(self, buffers: list[Buffer], fds: list[int]) -> None:
        capabilities.send(self._streams[-1], buffers, fds)

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
