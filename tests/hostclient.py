"""A client of a kernel host for tests: the real protocol over the real stream, in a few words.

with launched(sandbox) as host, host.driver() as driver:
    driver.run("print(1)").check()
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farcell_host import bulk, runtime
from farcell_host.commands import ask_status
from farcell_host.protocol import events
from farcell_host.protocol.client import Client, Hello
from farcell_host.protocol.frames import Descriptor
from farcell_host.protocol.messages import Channel, Message
from farcell_host.stream import Endpoint, Stream, connect_unix, from_pipes

TIMEOUT_S = 40.0


@dataclass
class LaunchedHost:
    runtime: Path
    info: dict[str, Any]

    @property
    def pid(self) -> int:
        return int(self.info["pid"])

    @contextmanager
    def driver(self, **options: Any) -> Iterator[Driver]:
        driver = Driver(self, **options)
        try:
            yield driver
        finally:
            driver.close()

    def wait_gone(self, timeout_s: float = 10.0) -> bool:
        """Whether its folder and process disappear within the time."""
        return wait_until(lambda: not self.runtime.exists() and not is_alive(self.pid), timeout_s)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(is_so: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """For what no event tells: looks until it is so or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def wait_until_taken(folder: Path) -> None:
    """Until the one host in this runtime folder has heard, a little after a cell's end, that its results are taken."""
    (host,) = runtime.live_hosts(folder)
    assert wait_until(lambda: ask_status(host)["untaken_runs"] == []), "results that no notebook has taken"


def command(*arguments: str, program: tuple[str, ...] = (sys.executable, "-m", "farcell_host"), **options: Any) -> Any:
    """Runs one of the host's commands to its end, as a user's shell would."""
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, **options)


@contextmanager
def launched(runtime: Path, *arguments: str, **options: Any) -> Iterator[LaunchedHost]:
    """A host in a folder of its own, stopped at the end."""
    folder = runtime / uuid.uuid4().hex[:6]
    done = command("launch", "--runtime", str(folder), *arguments, **options)
    assert done.returncode == 0, done.stderr
    try:
        yield LaunchedHost(folder, json.loads(done.stdout))
    finally:
        command("stop", "--runtime", str(folder))


@dataclass
class Done:
    """A finished run: what it said, and its reply."""

    reply: dict[str, Any]
    messages: list[Message] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(m.content["text"] for m in self.messages if m.msg_type == "stream")

    def check(self) -> Done:
        assert self.reply["status"] == "ok", self.reply
        return self


class Driver:
    """Blocking words over an own event loop. Acknowledges everything unless `acknowledges` is cleared."""

    def __init__(
        self,
        host: LaunchedHost,
        *,
        role: str = "driver",
        takeover: bool = False,
        attach: bool = False,
        descriptors: bool = True,
        client: str | None = None,
        cursor: int = 0,
        messages: bool = True,
    ) -> None:
        self.host = host
        self.loop = asyncio.new_event_loop()
        self.attach = attach
        self.messages: list[Message] = []
        self.sequences: list[int] = []
        self.gaps: list[int] = []
        self.events: list[events.Event] = []
        self.answers: dict[int, events.Responded] = {}
        self.chunks: dict[str, bytes] = {}
        self.descriptors: dict[int, Descriptor] = {}
        self.welcome: dict[str, Any] = {}
        self.refused: events.Refused | None = None
        self.acknowledges = True
        self.lost = False
        self.bridge: subprocess.Popen[bytes] | None = None
        hello = Hello(
            client or uuid.uuid4().hex, role, platform.python_version(), sys.platform, None, takeover, cursor,
            bulk.available_hashes(), descriptors, messages,
        )  # fmt: skip
        self.client = Client(hello)
        self.connect()

    def connect(self) -> None:
        """A new stream, after a loss too."""
        self.lost = False
        self.welcome = {}
        self.client.connect()
        self.loop.run_until_complete(self._open())
        self.wait(lambda: bool(self.welcome) or self.refused is not None)

    async def _open(self) -> None:
        self.stream = Stream(self._endpoint(), self.client.take, self._received, self._lost)
        self.stream.wake()

    def _endpoint(self) -> Endpoint:
        if not self.attach:
            return connect_unix(self.host.runtime / "socket")
        self.bridge = subprocess.Popen(
            [sys.executable, "-m", "farcell_host", "attach", "--runtime", str(self.host.runtime)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self.bridge.stdin is not None and self.bridge.stdout is not None
        endpoint = from_pipes(os.dup(self.bridge.stdout.fileno()), os.dup(self.bridge.stdin.fileno()))
        self.bridge.stdin.close()
        self.bridge.stdout.close()
        return endpoint

    def _lost(self, error: Exception | None) -> None:
        self.lost = True
        self.client.receive_eof()

    def _received(self, data: bytes, fds: list[int]) -> None:
        for event in self.client.receive(data, fds):
            self.events.append(event)
            if isinstance(event, events.Received):
                self.messages.append(event.message)
                self.sequences.append(event.sequence)
                if event.gap:
                    self.gaps.append(event.sequence)
                if self.acknowledges:
                    self.client.acknowledge(event.sequence)
            elif isinstance(event, events.Responded):
                self.answers[event.id] = event
            elif isinstance(event, events.ChunkArrived):
                self.chunks[event.address] = bytes(event.data)
            elif isinstance(event, events.DescriptorArrived):
                self.descriptors[event.descriptor.id] = event.descriptor
            elif isinstance(event, events.Acknowledged):
                for descriptor in event.descriptors:
                    os.close(descriptor.fd)
            elif isinstance(event, events.Welcomed):
                self.welcome = event.fields
            elif isinstance(event, events.Refused):
                self.refused = event
        self.stream.wake()

    def wait(self, is_so: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Serves the stream until it is so; fails with what came when the time is over."""

        async def turn() -> None:
            deadline = self.loop.time() + timeout_s
            while not is_so():
                assert self.loop.time() < deadline, f"waited in vain; last came {self.messages[-3:]}"
                await asyncio.sleep(0.002)

        self.loop.run_until_complete(turn())

    def send(self, message: Message, descriptors: tuple[Descriptor, ...] = ()) -> int:
        sequence = self.client.send(message, descriptors)
        self._wake()
        return sequence

    def _wake(self) -> None:
        if not self.stream.closed:
            self.loop.call_soon(self.stream.wake)
            self.loop.run_until_complete(asyncio.sleep(0))

    def send_chunk(self, data: bytes, address: str | None = None) -> str:
        name = address or bulk.address_of(data)
        self.client.send_chunk(name, data)
        self._wake()
        return name

    def ask(self, op: str, **fields: Any) -> events.Responded:
        return self.answer(self.begin(op, **fields))

    def begin(self, op: str, **fields: Any) -> int:
        """Asks, and gives the question's number."""
        number = self.client.request(op, **fields)
        self._wake()
        return number

    def answer(self, number: int) -> events.Responded:
        self.wait(lambda: number in self.answers)
        return self.answers[number]

    def start(
        self,
        code: str,
        metadata: dict[str, Any] | None = None,
        run: str | None = None,
        buffers: tuple[bytes, ...] = (),
        descriptors: tuple[Descriptor, ...] = (),
        **content: Any,
    ) -> str:
        """Sends a run and gives its id."""
        run = run or uuid.uuid4().hex[:8]
        fields: dict[str, Any] = {
            "run": run, "code": code, "execution_count": 1, "silent": False, "store_history": True, "allow_stdin": True,
            "user_expressions": {}, "names": [], "drop": [], "out": [], "keep": [], "limit_bytes": 1 << 20, "state": None,
            **content,
        }  # fmt: skip
        base = Message.build(Channel.SHELL, "farcell_run_request", {}).header
        header = {**base, "farcell_run": run}
        message = Message.build(Channel.SHELL, "farcell_run_request", fields, header=header, metadata=metadata, buffers=buffers)
        self.send(message, descriptors)
        return run

    def finish(self, run: str, timeout_s: float = TIMEOUT_S) -> Done:
        """Waits for the run's reply and, over zmq, whose channels come in any order, for what it shows to be whole."""

        def replies() -> list[Message]:
            return [m for m in self.messages if m.msg_type == "farcell_run_reply" and m.parent_header["farcell_run"] == run]

        def is_idle(m: Message) -> bool:
            of_run = m.msg_type == "status" and m.parent_header.get("farcell_run") == run
            return of_run and m.content["execution_state"] == "idle"

        self.wait(lambda: bool(replies()) or self.lost, timeout_s)
        assert replies(), "the connection was lost"
        if any(m.msg_type == "farcell_kernel_started" and not m.content["direct"] for m in self.messages):
            self.wait(lambda: any(map(is_idle, self.messages)) or self.lost, timeout_s)
        return Done(replies()[0].content, [m for m in self.messages if m.parent_header.get("farcell_run") == run])

    def run(self, code: str, timeout_s: float = TIMEOUT_S, **content: Any) -> Done:
        return self.finish(self.start(code, **content), timeout_s)

    def wait_message(self, msg_type: str, count: int = 1) -> Message:
        self.wait(lambda: sum(m.msg_type == msg_type for m in self.messages) >= count)
        return [m for m in self.messages if m.msg_type == msg_type][count - 1]

    def cut(self) -> None:
        """The stream is lost, as by a network that breaks."""
        self.loop.run_until_complete(self._cut())

    async def _cut(self) -> None:
        self.stream.close()
        self.client.receive_eof()
        self._end_bridge()

    def _end_bridge(self) -> None:
        if self.bridge is not None:
            with suppress(ProcessLookupError):
                self.bridge.kill()
            self.bridge.wait()
            self.bridge = None

    def close(self) -> None:
        self.cut()
        for descriptor in self.descriptors.values():
            with suppress(OSError):
                os.close(descriptor.fd)
        self.loop.close()
