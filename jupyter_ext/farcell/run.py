"""One run of a remote cell, as a pure state machine: events in, effects out, time as an argument.

    state        event                      next         effects
    SENT         Started(now)               RUNNING      the clock of `timeout_s` begins
    RUNNING      InterruptPressed           STOPPING     SendInterrupt
    STOPPING     InterruptPressed, later    STOPPING     AskToKill (at once again: SendInterrupt)
    RUNNING      Ticked, time is up         STOPPING     Say, SendInterrupt
    STOPPING     Ticked, PATIENCE_S over    STOPPING     Say; when its time was up: SendKill
    any          KillAnswered(True)         KILLED       SendKill
    any          Installed                  as it was    none (who waits for it may let go of what was sent)
    any          Replied, (Idled)           FINISHED     Finish
    any          KernelEnded, HostEnded     FINISHED     Finish
    FINISHED     anything                   FINISHED     none

`NEXT` holds the moves that do not depend on time. On the zmq path a reply alone does not end a run: iopub comes on a
socket of its own, so `Idled` is awaited as well (messaging spec, "status"), unless nothing was run: the host answers then, in the
kernel's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from farcell_host.protocol.messages import Buffer, Message

from .deaths import Death, of_kernel

PATIENCE_S = 5.0  # after an interrupt, before saying that the kernel has not stopped
DOUBLE_PRESS_S = 0.5  # two presses closer together are one


class State(Enum):
    SENT = "sent"
    RUNNING = "running"
    STOPPING = "stopping"
    KILLED = "killed"
    FINISHED = "finished"


@dataclass(frozen=True)
class Started:
    """The kernel is up and the request is with the host: queue and start are over."""

    now: float


@dataclass(frozen=True)
class Installed:
    """The remote kernel has the run's state, and begins."""


@dataclass(frozen=True)
class Published:
    """An iopub message that the waiting thread must show itself."""

    message: Message


@dataclass(frozen=True)
class Replied:
    message: Message
    bulk: tuple[Buffer, ...] = ()


@dataclass(frozen=True)
class Idled:
    """The remote kernel's iopub says that all output of this run is out."""


@dataclass(frozen=True)
class FetchAsked:
    message: Message


@dataclass(frozen=True)
class InputAsked:
    message: Message


@dataclass(frozen=True)
class InterruptPressed:
    now: float


@dataclass(frozen=True)
class KillAnswered:
    kill: bool
    now: float


@dataclass(frozen=True)
class KernelEnded:
    exit_code: int | None
    signal: str | None
    log_tail: tuple[str, ...] = ()
    crash: tuple[str, ...] = ()
    """What Python's fault handler wrote."""
    memory: Mapping[str, Any] | None = None
    """`farcell_host.memorylimits.MemoryEvidence`, and `own_peak`."""
    backend: str = "local"

    @property
    def death(self) -> Death:
        return of_kernel(self, self.backend)


@dataclass(frozen=True)
class HostEnded:
    death: Death


@dataclass(frozen=True)
class Noticed:
    """Something the person should know why the wait goes on; `of_host`: also when nobody waits."""

    text: str
    of_host: bool = False


@dataclass(frozen=True)
class Ticked:
    now: float


Event = (
    Started | Installed | Published | Replied | Idled | FetchAsked | InputAsked | InterruptPressed | KillAnswered | KernelEnded
    | HostEnded | Noticed | Ticked
)  # fmt: skip


@dataclass(frozen=True)
class Publish:
    message: Message


@dataclass(frozen=True)
class AnswerFetch:
    message: Message


@dataclass(frozen=True)
class AskInput:
    message: Message


@dataclass(frozen=True)
class SendInterrupt:
    pass


@dataclass(frozen=True)
class AskToKill:
    waited_s: float


@dataclass(frozen=True)
class SendKill:
    pass


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Finish:
    """How it ended: exactly one of reply, kernel and host; `timed_out` and `interrupted` beside it."""

    reply: Replied | None = None
    kernel: KernelEnded | None = None
    host: HostEnded | None = None
    timed_out: bool = False
    interrupted: bool = False
    killed: bool = False

    @property
    def is_error(self) -> bool:
        """Whether the cell itself failed."""
        return self.reply is not None and self.reply.message.content.get("status") == "error"

    @property
    def how(self) -> str:
        """In a word or two: "ok", the name of the exception that it raised, or what became of it."""
        if self.timed_out:
            return "timed out"
        if self.reply is None:
            return "killed" if self.killed else "kernel died" if self.kernel is not None else "host died"
        content = self.reply.message.content
        status = str(content.get("status"))
        return str(content.get("ename") or status) if status == "error" else {"aborted": "cancelled"}.get(status, status)

    @property
    def could_not_read(self) -> bool:
        """Nothing was run: the remote kernel may not read the notebook's memory, where the values were."""
        return self.reply is not None and bool(self.reply.message.content.get("unreadable"))

    @property
    def interrupted_too_late(self) -> bool:
        """The remote kernel had ended the cell when the interrupt came: nothing there has felt it."""
        return self.interrupted and self.reply is not None and self.reply.message.content.get("interrupts") == 0


Effect = Publish | AnswerFetch | AskInput | SendInterrupt | AskToKill | SendKill | Say | Finish

NEXT: dict[tuple[State, type], State] = {
    (State.SENT, Started): State.RUNNING,
    (State.SENT, InterruptPressed): State.STOPPING,
    (State.RUNNING, InterruptPressed): State.STOPPING,
    (State.STOPPING, InterruptPressed): State.STOPPING,
    **{(state, ended): State.FINISHED for state in State for ended in (KernelEnded, HostEnded)},
}


@dataclass
class Run:
    """`receive(event)` gives what is to be done, in order; `deadline` is when a `Ticked` is wanted next."""

    target: str
    timeout_s: float | None = None
    needs_idle: bool = False
    state: State = State.SENT
    _reply: Replied | None = None
    _idle: bool = False
    _time_up: float | None = None
    _stop_at: float | None = None
    _pressed: float | None = None
    _patience_until: float | None = None
    _timed_out: bool = False
    _interrupted: bool = False
    _killed: bool = False

    @property
    def deadline(self) -> float | None:
        times = [time for time in (self._time_up, self._patience_until) if time is not None]
        return min(times) if times and self.state is not State.FINISHED else None

    def receive(self, event: Event) -> list[Effect]:
        if self.state is State.FINISHED:
            return []
        before, self.state = self.state, NEXT.get((self.state, type(event)), self.state)
        match event:
            case Published(message):
                return [Publish(message)]
            case FetchAsked(message):
                return [AnswerFetch(message)]
            case InputAsked(message):
                return [AskInput(message)]
            case Started(now):
                self._time_up = now + self.timeout_s if self.timeout_s is not None else None
                return []
            case Installed():
                return []
            case Replied() | Idled():
                return self._answered(event)
            case KernelEnded():
                return [self._finish(kernel=event)]
            case HostEnded():
                return [self._finish(host=event)]
            case InterruptPressed(now):
                return self._press(before, now)
            case KillAnswered(kill, now):
                return self._kill_answered(kill, now)
            case Noticed(text, _):
                return [Say(text)]
            case Ticked(now):
                return self._tick(now)

    def _answered(self, event: Replied | Idled) -> list[Effect]:
        if isinstance(event, Idled):
            self._idle = True
        else:
            self._reply = event
        if self._reply is None or (self.needs_idle and not self._idle and not _is_not_run(self._reply)):
            return []
        self.state = State.FINISHED
        return [self._finish(reply=self._reply)]

    def _finish(self, reply: Replied | None = None, kernel: KernelEnded | None = None, host: HostEnded | None = None) -> Finish:
        return Finish(reply, kernel, host, self._timed_out, self._interrupted, self._killed)

    def _press(self, before: State, now: float) -> list[Effect]:
        self._interrupted = True
        if before is State.KILLED:
            return []
        if before is not State.STOPPING or self._stop_at is None:
            self._stop(now)
            self._pressed = now
            return [SendInterrupt()]
        last, self._pressed = self._pressed, now
        if last is not None and now - last < DOUBLE_PRESS_S:
            return [SendInterrupt()]
        return [AskToKill(now - self._stop_at)]

    def _stop(self, now: float) -> None:
        self._time_up = None
        self._stop_at = now
        self._patience_until = now + PATIENCE_S

    def _kill_answered(self, kill: bool, now: float) -> list[Effect]:
        self._pressed = now
        if not kill:
            return [SendInterrupt()]
        return self._kill()

    def _kill(self) -> list[Effect]:
        self.state = State.KILLED
        self._killed = True
        self._patience_until = None
        return [SendKill()]

    def _tick(self, now: float) -> list[Effect]:
        if self._time_up is not None and now >= self._time_up:
            self.state = State.STOPPING
            self._timed_out = True
            self._stop(now)
            return [SendInterrupt()]
        if self._patience_until is not None and now >= self._patience_until:
            self._patience_until = None
            if self._timed_out:
                text = f"The remote kernel on {self.target!r} has not stopped {PATIENCE_S:g} s after its time-out: it is killed."
                return [Say(text), *self._kill()]
            return [Say(f"The remote kernel on {self.target!r} has not stopped yet. Interrupt once more to kill it.")]
        return []


def _is_not_run(reply: Replied) -> bool:
    return reply.message.content.get("status") in ("refused", "aborted")
