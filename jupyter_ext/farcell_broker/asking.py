"""One question to a kernel host over a stream of its own, as an observer asks: it is no use of the session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import sys
import uuid
from typing import Any

from farcell.backends.base import Opened
from farcell.errors import TargetUnavailable
from farcell_host.errors import ProtocolError
from farcell_host.protocol.client import Client, Hello
from farcell_host.protocol.events import Refused, Responded
from farcell_host.stream import Buffer, Stream
from farcell_host.waiting import result_within

NO_MESSAGES = 1 << 62
MOST_BYTES = 16 << 20
"""A host is under its user's hand: what it may make the broker keep in memory has an end."""


async def ask(opened: Opened, op: str, timeout_s: float = 10.0, **fields: Any) -> dict[str, Any]:
    """The host's answer; `opened` is closed. Raises TargetUnavailable when there is none in time or the host says no."""
    question = _Question(op, fields)
    stream = Stream(opened.endpoint, question.client.take, lambda data, fds: question.receive(data, fds, stream), question.lost)
    try:
        stream.wake()
        return await result_within(question.answer, timeout_s)
    except asyncio.TimeoutError:
        raise TargetUnavailable(f"The kernel host did not answer {op!r} in {timeout_s:g} s.") from None
    finally:
        stream.close()
        opened.close()


class _Question:
    def __init__(self, op: str, fields: dict[str, Any]) -> None:
        self._op = op
        self._bytes = 0
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        hello = Hello(uuid.uuid4().hex, "observer", platform.python_version(), sys.platform, cursor=NO_MESSAGES, messages=False)
        self.client = Client(hello)
        self.client.connect()
        self.client.request(op, **fields)

    def receive(self, data: Buffer, fds: list[int], stream: Stream) -> None:
        for fd in fds:  # none was asked for
            os.close(fd)
        self._bytes += len(data)
        try:
            if self._bytes > MOST_BYTES:
                raise ProtocolError(f"it says more than {MOST_BYTES} bytes")
            for event in self.client.receive(bytes(data)):
                self._happened(event)
            stream.wake()  # the question itself goes after the WELCOME
        except ProtocolError as error:
            self._fail(f"What the kernel host says is no answer to {self._op!r}: {error}")

    def _happened(self, event: object) -> None:
        if isinstance(event, Refused):
            self._fail(f"The kernel host talks to nobody: {event.message}")
        elif isinstance(event, Responded) and not event.ok:
            self._fail(f"The kernel host does not do {self._op!r}: {event.fields.get('message')}")
        elif isinstance(event, Responded) and not self.answer.done():
            self.answer.set_result(dict(event.fields))

    def lost(self, error: Exception | None) -> None:
        self._fail(f"The kernel host's stream has ended before it answered {self._op!r}: {error or 'closed'}")

    def _fail(self, text: str) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self.answer.set_exception(TargetUnavailable(text))
