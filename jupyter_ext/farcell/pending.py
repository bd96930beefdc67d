"""A request that the notebook's thread waits for: its messages come in from the connection thread, its effects happen
here.

`arrived` is called by whoever reads the connection's stream and leaves the waiting thread asleep for output that can go straight
to the front end. `wait` is called on the thread that runs the cell; nothing in it raises KeyboardInterrupt but a question to
the person.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from farcell_host.protocol.messages import Buffer, Channel, Message, new_id

from .connection import Connection
from .errors import cancelled
from .interrupts import Interrupts
from .relay.notebook import Notebook
from .relay.run_relay import RunRelay
from .run import (
    AnswerFetch,
    AskInput,
    AskToKill,
    Effect,
    Event,
    FetchAsked,
    Finish,
    Idled,
    InputAsked,
    Installed,
    InterruptPressed,
    KillAnswered,
    Publish,
    Published,
    Replied,
    Run,
    Say,
    SendInterrupt,
    SendKill,
    Ticked,
)

INSTALLED = "farcell_installed"
RESTART_CHECK_S = 0.05
_IDLE = b'"idle"'


class Abandoned(KeyboardInterrupt):
    """The notebook's kernel is about to be restarted, which begins with an interrupt: the run goes on without it."""


class Pending:
    """One request under way on `connection`, made by the thread that will wait for it, or hands the waiting over.

    `answer_fetch` replies to a name the cell asks for.
    """

    def __init__(
        self,
        notebook: Notebook,
        run: Run,
        relay: RunRelay,
        connection: Connection,
        interrupts: Interrupts,
        answer_fetch: Callable[[Message], None],
        id: str | None = None,
    ) -> None:
        """`id` is that of a run that another kernel of the notebook's has begun."""
        self.id = id or new_id()
        self.run = run
        self.relay = relay
        self.failure: BaseException | None = None
        self._key = self.id.encode()
        self._notebook = notebook
        self._connection = connection
        self._interrupts = interrupts
        self._answer_fetch = answer_fetch
        self._waiting_thread = threading.get_ident()
        self._is_working = False
        self._sent_ahead = False  # an interrupt, before the run's state machine knows of it
        self._pressed = False
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    # -- from the connection thread

    def owns(self, message: Message) -> bool:
        """Ids are unique, so a look into the parent's bytes is enough."""
        return self._key in bytes(message.parts[1])

    def arrived(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        if message.channel == Channel.IOPUB:
            if self.run.needs_idle and message.msg_type == "status" and _IDLE in bytes(message.parts[3]):
                self.tell(Idled())
            elif message.msg_type == INSTALLED:
                self.tell(Installed())
            elif not self.relay.receive(message):
                self.tell(Published(message))
        elif message.channel == Channel.STDIN:
            self.tell((InputAsked if message.msg_type == "input_request" else FetchAsked)(message))
        else:
            self.tell(Replied(message, bulk))

    # -- from any thread, a signal handler among them

    def tell(self, event: Event) -> None:
        self._queue.put(event)
        if threading.get_ident() != self._waiting_thread:
            self._connection.wake()

    def press(self) -> None:
        """Ctrl-C, a stop button, or `session.interrupt()`. Sent at once when the waiting thread is at work: answering a fetch
        of a large value takes it seconds, and the cell shall not wait for them."""
        self._pressed = True
        if self._is_working and not self._sent_ahead:
            self._sent_ahead = True
            self._connection.request("interrupt", run=self.id)
        self._queue.put(InterruptPressed(time.monotonic()))
        self._connection.wake()

    # -- on the waiting thread

    def check(self) -> None:
        """Before the request is sent: raises KeyboardInterrupt once Ctrl-C was pressed."""
        if self._pressed:
            raise cancelled(self.run.target)

    def wait(self) -> Finish:
        """Until the run is over, however it ends. An exception of a display object of the user's is kept in `failure`."""
        self._waiting_thread = threading.get_ident()
        while (finish := self._take(self._next())) is None:
            pass
        return finish

    def wait_until_installed(self) -> Finish | None:
        """Until the remote kernel has what was sent, which may change here from then on; or until the run is over."""
        while True:
            event = self._next()
            finish = self._take(event)
            if finish is not None or isinstance(event, Installed):
                return finish

    def _take(self, event: Event) -> Finish | None:
        finish = None
        for effect in self.run.receive(event):
            if isinstance(effect, Finish):
                finish = effect
            else:
                self._perform(effect)
        if isinstance(event, InterruptPressed):
            self._sent_ahead = False
        return finish

    def pressed_late(self) -> bool:
        """Whether Ctrl-C came after the end, while the state was merged."""
        pressed = False
        while not self._queue.empty():
            pressed |= isinstance(self._queue.get(), InterruptPressed)
        return pressed

    def _next(self) -> Event:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._queue.get_nowait()
            deadline = self.run.deadline
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return Ticked(time.monotonic())
            self._connection.wait(left)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Publish(message):
                self._publish(message)
            case AnswerFetch(message):
                self._is_working = True
                try:
                    self._answer_fetch(message)
                finally:
                    self._is_working = False
            case AskInput(message):
                self._ask(message)
            case SendInterrupt():
                if self._notebook.is_restarting(RESTART_CHECK_S):
                    raise Abandoned
                if not self._sent_ahead:
                    self._connection.request("interrupt", run=self.id)
            case SendKill():
                self._connection.request("kill")
            case AskToKill(waited_s):
                self._ask_to_kill(waited_s)
            case Say(text):
                self._notebook.say(text)

    def _publish(self, message: Message) -> None:
        try:
            self.relay.publish(message)
        except Exception as error:  # the user's own stream or hook; the run goes on and must be waited for
            self.failure = self.failure or error

    def _ask(self, message: Message) -> None:
        content = message.content
        try:
            with self._interrupts.raising():
                value = self._notebook.ask(content.get("prompt", ""), bool(content.get("password")))
        except KeyboardInterrupt:
            self.press()
            return
        answer = {"value": value, "status": "ok"}
        header = {**blank_header(), "farcell_run": self.id}
        self._connection.send(Message.build(Channel.STDIN, "input_reply", answer, header=header, parent=message.header))

    def _ask_to_kill(self, waited_s: float) -> None:
        target = self.run.target
        stuck = f"The remote kernel on {target!r} has not stopped {waited_s:.0f} s after the interrupt"
        try:
            with self._interrupts.raising():
                kill = self._notebook.confirm(f"{stuck}; kill it? What only it holds is lost.")
        except KeyboardInterrupt:
            kill = False
        if kill is None:
            self._notebook.say(
                f"{stuck}, and nobody can be asked whether to kill it. It was interrupted again; "
                "to kill it, restart this notebook's kernel or end the session from a shell."
            )
        self._queue.put(KillAnswered(bool(kill), time.monotonic()))


def blank_header() -> dict[str, Any]:
    """For messages that no cell's header stands behind."""
    return {"msg_id": new_id(), "session": "", "username": "", "date": _now(), "version": "5.4"}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
