"""A small blocking client for the remote kernel's own socket, and the kernel itself as a subprocess."""

from __future__ import annotations

import array
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farcell_host import bulk, capabilities
from farcell_host.protocol.frames import FrameReader, Kind, MessageAssembler, encode_frame, encode_message
from farcell_host.protocol.messages import Channel, Message

START_S = 40.0
WAIT_S = 20.0


@dataclass
class Answer:
    """What one request brought."""

    reply: dict[str, Any] = field(default_factory=dict)
    buffers: list[Any] = field(default_factory=list)
    bulk: list[Any] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def stdout(self) -> str:
        return self._text("stdout")

    @property
    def stderr(self) -> str:
        return self._text("stderr")

    def _text(self, name: str) -> str:
        streams = (message.content for message in self.messages if message.msg_type == "stream")
        return "".join(content["text"] for content in streams if content["name"] == name)

    @property
    def types(self) -> list[str]:
        return [message.msg_type for message in self.messages]


class RemoteKernelProcess:
    """`python -m farcell_host.inkernel.launch`, with a connection file of its own."""

    def __init__(self, folder: Path, python: str = sys.executable, env: dict[str, str] | None = None) -> None:
        self.path = str(folder / "k.sock")
        self.connection_file = folder / "kernel.json"
        names = ("shell", "iopub", "stdin", "control", "hb")
        self.connection = {
            "transport": "ipc",
            "ip": str(folder / "z"),
            **{f"{name}_port": number for number, name in enumerate(names, 1)},
            "key": secrets.token_hex(16),
            "signature_scheme": "hmac-sha256",
        }
        self.connection_file.write_text(json.dumps(self.connection))
        self.log = folder / "kernel.log"
        environment = {**os.environ, **(env or {})}
        for name in ("PYTEST_CURRENT_TEST", "JPY_PARENT_PID"):
            environment.pop(name, None)
        argv = [python, "-m", "farcell_host.inkernel.launch", "-f", str(self.connection_file), "--direct", self.path]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def connect(self) -> KernelClient:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(self.path)
            except OSError:
                sock.close()
                time.sleep(0.02)
            else:
                return KernelClient(sock, self.process.pid)
        raise TimeoutError(self.log.read_text())

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WAIT_S)


class KernelClient:
    """Sends requests and reads until their reply."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.sock = sock
        self.pid = pid
        self.count = 0
        self._reader = FrameReader()
        self._assembler = MessageAssembler()
        self._messages: list[Message] = []
        self._mapped: dict[int, Any] = {}
        self.pongs = 0
        self.fetched: list[list[str]] = []
        self.ready = self.next(WAIT_S).content

    def close(self) -> None:
        self.sock.close()

    def next(self, timeout_s: float = WAIT_S) -> Message:
        """The next message, of whatever channel."""
        deadline = time.monotonic() + timeout_s
        while not self._messages:
            if not select.select([self.sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"nothing from the kernel in {timeout_s} s")
            fds = array.array("i")
            data, ancillary, _, _ = self.sock.recvmsg(1 << 18, socket.CMSG_SPACE(64 * fds.itemsize))
            if not data:
                raise EOFError("the kernel closed its socket")
            for _, _, raw in ancillary:
                fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
            for frame in self._reader.feed(data, list(fds)):
                if frame.kind == Kind.MESSAGE:
                    message = self._assembler.add(frame)
                    if message is not None:
                        self._messages.append(message)
                elif frame.kind == Kind.DESCRIPTOR:
                    item = self._reader.take_descriptor(frame)
                    self._mapped[item.id] = bulk.map_descriptor(item.fd, item.size)
                    os.close(item.fd)
                elif frame.kind == Kind.PONG:
                    self.pongs += 1
        return self._messages.pop(0)

    def send(self, message: Message) -> None:
        for frame in encode_message(message):
            self.sock.sendall(b"".join(bytes(part) for part in frame))

    def send_with_descriptor(self, frame: list[Any], fd: int) -> None:
        capabilities.send(self.sock, [b"".join(bytes(part) for part in frame)], [fd])

    def ping(self) -> None:
        self.sock.sendall(b"".join(bytes(part) for part in encode_frame(Kind.PING, ())))

    def header(self) -> dict[str, Any]:
        return {
            "msg_id": uuid.uuid4().hex,
            "session": "notebook",
            "username": "user",
            "date": "2026-01-01T00:00:00.000000Z",
            "version": "5.4",
            "farcell_run": "r1",
        }

    def request(self, code: str, **content: Any) -> Message:
        self.count += 1
        body = {
            "run": "r1",
            "code": code,
            "execution_count": self.count,
            "silent": False,
            "store_history": True,
            "allow_stdin": True,
            "user_expressions": {},
            "names": [],
            "drop": [],
            "out": [],
            "keep": [],
            "limit_bytes": 1 << 20,
            "state": None,
            **content,
        }
        return Message.build(Channel.SHELL, "farcell_run_request", body, header=self.header())

    def run(self, code: str, on_message: Callable[[Message], None] | None = None, **content: Any) -> Answer:
        self.send(self.request(code, **content))
        return self.read_reply("farcell_run_reply", on_message)

    def ask(self, msg_type: str, content: dict[str, Any]) -> Answer:
        self.send(Message.build(Channel.SHELL, msg_type, content, header=self.header()))
        return self.read_reply(msg_type.replace("_request", "_reply"))

    def read_reply(self, msg_type: str, on_message: Callable[[Message], None] | None = None) -> Answer:
        answer = Answer()
        while True:
            message = self.next()
            if message.msg_type == msg_type:
                answer.reply = message.content
                answer.buffers = [bytearray(buffer) for buffer in message.buffers]
                entries = message.metadata.get("farcell_bulk", ())
                answer.bulk = [self._mapped.pop(entry["descriptor"]) for entry in entries]
                return answer
            if message.msg_type == "farcell_fetch_request":
                self.fetched.append(message.content["names"])
                self.answer_fetch(message)
                continue
            answer.messages.append(message)
            if on_message is not None:
                on_message(message)

    def answer_fetch(self, request: Message) -> None:
        """This notebook holds nothing."""
        names = request.content["names"]
        content = {"run": "r1", "found": [], "missing": names, "error": None, "state": None}
        self.send(Message.build(Channel.STDIN, "farcell_fetch_reply", content, parent=request.header))

    def interrupt(self, wake: bool = True) -> None:
        os.kill(self.pid, signal.SIGINT)
        if wake:
            self.ping()
