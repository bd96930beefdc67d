"""What can go wrong, by who must act.

    FarcellError
    |-- UsageError            the caller: a wrong option, a second run inside a run (also IPython's UsageError)
    |-- CannotTravel          the caller: a value that no other process can hold; nothing was run
    |-- Refused               the caller or the target: the run was turned down before it began
    |-- NotHere               the caller: a ref was used as if it were its value
    |-- LostValue             the caller: a ref whose session has ended
    |-- Conflict              both: a run and the notebook have changed the same; the person decides
    |-- Busy                  another notebook drives this session
    |-- RunTimeout            the caller's own `timeout` was reached
    |-- TargetUnavailable     the place: the kernel host could not be started or reached
    |-- KernelDied            the place: the remote kernel ended while something waited for it
    |-- HostDied              the place: the kernel host itself is gone
    |-- LedgerError           the record of what was used cannot be read: its file, or packages that are missing
    `-- RemoteError           the user's cell: an exception that could not travel; `ename`, `evalue`, `traceback` unchanged
    ProtocolError             us or the peer; farcell_host's, raised here as it is

A message says what happened, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from farcell_host.errors import ProtocolError
from farcell_host.reasons import Reason
from IPython.core.error import UsageError as IPythonUsageError

if TYPE_CHECKING:
    from .deaths import Death
    from .ledger.faults import Fault
    from .run import KernelEnded

__all__ = [
    "Busy",
    "CannotTravel",
    "Conflict",
    "FarcellError",
    "HostDied",
    "KernelDied",
    "LedgerError",
    "LostValue",
    "NotHere",
    "ProtocolError",
    "Reason",
    "Refused",
    "RemoteError",
    "RemoteTraceback",
    "RunTimeout",
    "TargetUnavailable",
    "UsageError",
    "remote_error",
]

LOG_LINES = 5


class FarcellError(Exception):
    """Base of everything farcell raises on its own account; shown without farcell's own frames, which say nothing to a user."""

    def _render_traceback_(self) -> list[str]:
        """Called by IPython's showtraceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(FarcellError, IPythonUsageError):
    """The call itself is wrong; IPython shows it as one line on stderr."""


class CannotTravel(FarcellError):
    """A value the cell reads cannot be sent; the cell was not run."""

    def __init__(self, name: str, path: str, reason: str, hint: str = "") -> None:
        self.name, self.path, self.reason, self.hint = name, path, reason, hint
        where = path or name
        text = f"{where}: {reason}. The cell was not run."
        super().__init__(f"{text} {hint}" if hint else text)


class Refused(FarcellError):
    """The run was turned down before it began; nothing has changed on either side."""


class NotHere(FarcellError):
    """A ref stands for a value that is on its target."""


class LostValue(FarcellError):
    """A ref stands for a value that ended with its session."""


class Conflict(FarcellError):
    """A run changed what this notebook changed meanwhile; nothing of that was merged, and `%remote resolve` decides."""

    def __init__(self, text: str, run: str, names: Sequence[str]) -> None:
        super().__init__(text)
        self.run, self.names = run, tuple(names)


class Busy(FarcellError):
    """The session is driven from somewhere else."""


class RunTimeout(FarcellError):
    """The run was interrupted when its time was up; what it had done until then is merged."""


class TargetUnavailable(FarcellError):
    """No kernel host could be started or reached on the target; `reason` says why, in a word."""

    def __init__(self, text: str, reason: Reason = Reason.UNKNOWN) -> None:
        super().__init__(text)
        self.reason = reason


class KernelDied(FarcellError):
    """The remote kernel's process ended; `reason` says why, in a word."""

    def __init__(self, target: str, ended: KernelEnded, death: Death) -> None:
        self.target, self.exit_code, self.signal, self.log_tail = target, ended.exit_code, ended.signal, tuple(ended.log_tail)
        self.reason = death.reason
        lines = [
            f"The remote kernel on {target!r} {death.detail}, while this cell ran.",
            "What the cell had changed there is gone; this notebook's variables are as they were before the cell.",
            *([death.next_step] if death.next_step else []),
            "Run the cell again: a new kernel starts by itself.",
        ]
        tail = [line for line in self.log_tail if line.strip()][-LOG_LINES:]
        if ended.crash:
            lines += ["Where it was, innermost first:", *(f"    {line.strip()}" for line in ended.crash)]
        elif tail:
            lines += ["Last lines of its log:", *(f"    {line}" for line in tail)]
        super().__init__("\n".join(lines))


class HostDied(FarcellError):
    """The kernel host's process ended, and the remote kernel with it; `reason` says why, in a word."""

    def __init__(self, target: str, death: Death, log: str = "") -> None:
        self.target, self.detail, self.reason, self.log = target, death.detail, death.reason, log
        lines = [
            f"The kernel host on {target!r} is gone: {death.detail}.",
            "Whatever was only there is lost; this notebook's variables are as they were before the cell.",
            *([death.next_step] if death.next_step else []),
            "Run the cell again: a new host and kernel start by themselves.",
        ]
        if log:
            lines.append(f"Its log: {log}")
        super().__init__("\n".join(lines))


class LedgerError(FarcellError):
    """The ledger cannot be read; while it is written, the same is a warning and nothing is raised.

    `fault` is a kind of `farcell.ledger.faults`.
    """

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)


class RemoteError(FarcellError):
    """An exception of the user's cell whose own class cannot be had here; subclasses are named after it."""

    def __init__(self, ename: str, evalue: str, traceback: Sequence[str] = ()) -> None:
        super().__init__(evalue)
        self.ename, self.evalue, self.traceback = ename, evalue, list(traceback)

    def __reduce__(self) -> tuple[Any, ...]:
        return remote_error, (self.ename, self.evalue, self.traceback)

    def _render_traceback_(self) -> list[str]:
        """Called by IPython's showtraceback: the cell's own lines, where it really ran."""
        return self.traceback


class RemoteTraceback:
    """Lives on an exception as `_render_traceback_`: IPython shows the remote lines. A class, so the exception pickles.

    Shown, the exception's own traceback is again the remote one, without the frames through which farcell raised it.
    """

    def __init__(self, lines: Sequence[str], error: BaseException | None = None) -> None:
        self.lines = list(lines)
        self._raised = [(error, error.__traceback__)] if error is not None else []

    def __call__(self) -> list[str]:
        while self._raised:
            error, traceback = self._raised.pop()
            error.__traceback__ = traceback
        return self.lines

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteTraceback, (self.lines,)


def cancelled(target: str) -> KeyboardInterrupt:
    """Ctrl-C in time: the cell has done nothing."""
    return KeyboardInterrupt(f"The run on {target!r} was cancelled before it started.")


def without_frames(error: KeyboardInterrupt) -> KeyboardInterrupt:
    """Ctrl-C amid our own work, shown as one line: our frames tell nobody anything, and hold the notebook's large values."""
    if not hasattr(error, "_render_traceback_"):
        setattr(error, "_render_traceback_", RemoteTraceback([f"KeyboardInterrupt: {error}"]))  # noqa: B010 - no class declares it
        error.__context__ = None
        error.__traceback__ = None
    return error


_classes: dict[str, type[RemoteError]] = {}


def remote_error(ename: str, evalue: str, traceback: Sequence[str] = ()) -> RemoteError:
    """An instance of a class named `ename`, one class a name, deriving from RemoteError."""
    cls = _classes.get(ename)
    if cls is None:
        cls = _classes[ename] = type(ename, (RemoteError,), {"__module__": __name__, "__doc__": "Raised in a remote cell."})
    return cls(ename, evalue, traceback)
