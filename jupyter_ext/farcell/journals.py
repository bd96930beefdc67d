"""What a run has shown, read from its host's journal by somebody who only looks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from farcell_host.protocol.messages import Buffer, Channel, Message

from .backends.base import Allocation, Backend
from .connection import Connection
from .errors import UsageError
from .relay.comms import MESSAGES as COMM_MESSAGES
from .threads import loop_thread
from .turns import INTERRUPT_CHECK_S

OPEN_S = 120.0
CLOSE_S = 10.0


class Shower(Protocol):
    """`receive` says whether a message has been dealt with; if not, it is to be published."""

    def receive(self, message: Message) -> bool: ...
    def publish(self, message: Message) -> None: ...


@contextlib.contextmanager
def observed(
    backend: Backend, allocation: Allocation, on_message: Callable[[Message, tuple[Buffer, ...]], None]
) -> Iterator[Connection]:
    """A connection which gets all that the host has kept and changes nothing. `on_message` comes on the connection thread."""
    observer = Connection(backend, allocation, on_message, lambda reason: None, "observer")
    loop_thread().submit(observer.open()).result(OPEN_S)
    try:
        yield observer
    finally:
        loop_thread().submit(observer.close()).result(CLOSE_S)


class Replay:
    """Shows the outputs of the run whose id begins so; `take` is for `observed`."""

    def __init__(self, run: str, shower: Shower, cleaned: Callable[[Message], Message | None] = lambda message: message) -> None:
        """`cleaned`: a message as it may be shown."""
        self.run: str | None = None
        """The whole id, once anything of the run has come."""
        self.reply: Message | None = None
        """That of the run, once it is over."""
        self._start = run
        self._shower, self._cleaned = shower, cleaned
        self._over = threading.Event()
        self._error: Exception | None = None

    def take(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        if self._start.encode() not in bytes(message.parts[1]) or self._over.is_set():
            return
        run = str(message.parent_header.get("farcell_run") or "")
        if not run.startswith(self._start):
            return
        if self.run not in (None, run):
            self._error = UsageError(f"Several runs begin with {self._start!r}: {self.run} and {run}. Say more of the id.")
            self._over.set()
            return
        self.run = run
        clean = self._cleaned(message)
        if clean is None:
            return
        message = clean
        try:
            if message.channel == Channel.SHELL:
                self.reply = message
                self._over.set()
            elif message.channel == Channel.IOPUB and message.msg_type not in COMM_MESSAGES and not self._shower.receive(message):
                self._shower.publish(message)
        except OSError as error:  # nobody reads it any more
            self._error = error
            self._over.set()

    def wait(self, journal: Connection, to_its_end: bool = False) -> None:
        """Until the run is over, or all is told that there is so far; `to_its_end` waits for a run that goes on, for as long as
        there is a connection. Raises what the showing did."""
        while not self._over.wait(INTERRUPT_CHECK_S):
            is_more_to_come = to_its_end and self.run is not None
            if journal.closed or (journal.has_all and not is_more_to_come):
                break
        if self._error is not None:
            raise self._error
