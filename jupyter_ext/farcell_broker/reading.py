"""What a host has journalled and no notebook has taken, read as an observer before the host ends, and its journal with it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farcell.backends.base import Opened
from farcell.errors import TargetUnavailable
from farcell_host.errors import ProtocolError
from farcell_host.protocol.client import Client, Hello
from farcell_host.protocol.events import Received, Refused, Responded
from farcell_host.protocol.frames import encode_message
from farcell_host.protocol.messages import Channel, Message
from farcell_host.stream import Buffer, Stream
from farcell_host.waiting import within

NOTICE = "farcell_notice"


@dataclass(frozen=True)
class Journal:
    """`data` is as `farcell_host.journal.messages_of` reads it: what concerns `runs`, whose results nobody has taken."""

    runs: tuple[str, ...]
    data: bytes
    is_whole: bool
    """Whether nothing was left out at the beginning."""
    saved: tuple[str, ...] | None = None
    """Names that the session has saved as it ended; None if it has said nothing of that."""


async def read_journal(opened: Opened, most_bytes: int, timeout_s: float, until_end: bool = False) -> Journal:
    """The newest of it, as much as `most_bytes`; with `until_end` also what the host says until it closes the stream. `opened` is
    closed. Raises TargetUnavailable when the host says nothing of its runs in time."""
    reader = _Reader(most_bytes, until_end)
    stream = Stream(opened.endpoint, reader.client.take, lambda data, fds: reader.receive(data, fds, stream), reader.lost)
    try:
        stream.wake()
        await within(reader.over, timeout_s)  # then with what there is
    finally:
        stream.close()
        opened.close()
    return reader.journal()


class _Reader:
    def __init__(self, most_bytes: int, until_end: bool) -> None:
        self.over = asyncio.Event()
        self._most_bytes, self._until_end = most_bytes, until_end
        self._status: Mapping[str, Any] | None = None
        self._pieces: deque[tuple[bytes, bytes]] = deque()
        self._size = 0
        self._is_whole = True
        self._saved: tuple[str, ...] | None = None
        hello = Hello(uuid.uuid4().hex, "observer", platform.python_version(), sys.platform, cursor=0)
        self.client = Client(hello)
        self.client.connect()
        self.client.request("status")

    def receive(self, data: Buffer, fds: list[int], stream: Stream) -> None:
        for fd in fds:  # none was asked for
            os.close(fd)
        try:
            for event in self.client.receive(bytes(data)):
                self._happened(event)
            stream.wake()
        except ProtocolError:
            self.over.set()

    def lost(self, error: Exception | None) -> None:
        self.over.set()

    def journal(self) -> Journal:
        if self._status is None:
            raise TargetUnavailable("The kernel host did not say what its runs are.")
        runs = [self._status["run"]] if self._status.get("run") else []
        runs = [str(run) for run in (*(self._status.get("untaken_runs") or ()), *runs)]
        keys = [run.encode() for run in runs]
        data = b"".join(piece for header, piece in self._pieces if any(key in header for key in keys))
        return Journal(tuple(runs), data, self._is_whole, self._saved)

    def _happened(self, event: object) -> None:
        if isinstance(event, Refused):
            self.over.set()
        elif isinstance(event, Received):
            self._is_whole = self._is_whole and not event.gap
            self._keep(event.sequence, event.message)
        elif isinstance(event, Responded) and event.ok:
            self._status = event.fields
        if not self._until_end and self._status is not None and self.client.cursor >= int(self._status.get("last") or 0):
            self.over.set()

    def _keep(self, sequence: int, message: Message) -> None:
        if message.channel == Channel.CONTROL and message.msg_type == NOTICE and "saved" in message.content:
            self._saved = tuple(map(str, message.content["saved"]))
        piece = b"".join(bytes(part) for frame in encode_message(message, sequence) for part in frame)
        self._pieces.append((bytes(message.parts[1]), piece))
        self._size += len(piece)
        while self._size > self._most_bytes:
            self._size -= len(self._pieces.popleft()[1])
            self._is_whole = False
