"""Runs that nobody waits for: `%%remote --detach`.

The run goes on while other cells run here; its session is taken until what it brings back has been merged, which happens on the
kernel's main thread and between cells only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from farcell_host.protocol.messages import Message

from .capture.objects import leads_to
from .capture.writes import Writes
from .conflicts import ID_LENGTH, Conflict
from .errors import HostDied, KernelDied
from .exchange import Returned
from .relay.card import Card, Shown
from .relay.notebook import Notebook, message_text
from .relay.run_relay import HIDDEN, RunRelay
from .relay.text import Tail
from .run import Finish

if TYPE_CHECKING:
    from .pending import Pending
    from .summaries import RunSummary


class Unattended(Notebook):
    """The notebook as a run sees it that nobody waits for: nobody can be asked, and what is said goes to the run's log."""

    def __init__(self, notebook: Notebook, cell: int, log: Tail) -> None:
        super().__init__(notebook.namespace, notebook.shell)
        self._cell = cell
        self._log = log

    @property
    def allow_stdin(self) -> bool:
        return False

    def confirm(self, question: str) -> bool | None:
        return None

    def say(self, text: str) -> None:
        self._log.write(f"farcell: {text}\n")

    def write_payloads(self, payloads: Iterable[Any]) -> None:
        """They are for the reply to a cell, which has gone long ago."""

    def set_result(self, value: Any, shown: Message | None = None) -> None:
        """`Out[N]` of its own cell; `_` is by now of another one."""
        if self.shell is not None:
            self.namespace.setdefault("_oh", {})[self._cell] = value
            self.namespace[f"_{self._cell}"] = value

    def fail_display(self, traceback: Iterable[str]) -> None:
        for line in traceback:
            self._log.write(f"{line}\n")


class DetachedRelay(RunRelay):
    """Text goes to the log, displays and widgets below the run's card, in the cell that began it."""

    def __init__(self, notebook: Notebook, cell: int, log: Tail, card: Card) -> None:
        super().__init__(notebook, cell)
        self._log, self._card = log, card
        self.uses_frames = notebook.frames is not None

    def receive(self, message: Message) -> bool:
        if message.msg_type in HIDDEN:
            return True
        if message.msg_type == "stream":
            self._log.write(message.content.get("text", ""))
            return True
        if message.msg_type == "error":
            self._log.write("\n".join(message.content.get("traceback", [])) + "\n")
            return True
        self.publish(message)
        if message.msg_type == "clear_output":
            self._card.show()
        return True

    def publish(self, message: Message) -> None:
        if self.uses_frames:
            super().publish(message)
        elif message.msg_type in ("display_data", "execute_result"):
            self._log.write(message_text(message) + "\n")

    def show_value(self, value: Any) -> None:
        """A display hook of the user's own is not called out of its cell."""


class DetachedRun:
    """`state` is "running", "ended" (what it brings back is not merged yet), "done", "failed", "cancelled", "conflict" or
    "lost"."""

    def __init__(self, target: str, code: str, cell: int, shipped: Mapping[int, Any], binds: Writes, reads: str) -> None:
        self.target = target
        self.code = code
        self.cell = cell
        self.shipped = shipped
        """By identity, objects that it may change."""
        self.binds = binds
        self.reads = reads
        """What becomes of cells that read what it may change meanwhile: "wait", "stale" or "error"."""
        self.began = time.time()
        self.ended: float | None = None
        self.state = "running"
        self.log = Tail()
        self.over = threading.Event()
        self.finish: Finish | None = None
        self.error: BaseException | None = None
        self.conflict: Conflict | None = None
        self.returned = Returned()
        self.resolution = ""
        self.pending: Pending | None = None
        self.card: Card | None = None
        self.settle: Callable[[], None] = lambda: None
        """Of the session: merges what it brought back."""
        self.on_settled: Callable[[], None] = lambda: None
        self.summary: RunSummary | None = None

    @property
    def pending_id(self) -> str:
        return self.pending.id if self.pending is not None else ""

    @property
    def id(self) -> str:
        """As commands take it."""
        return self.pending_id[:ID_LENGTH]

    @property
    def is_running(self) -> bool:
        """Whether there is something of it yet to come."""
        return self.state in ("running", "ended")

    @property
    def seconds(self) -> float:
        return (self.ended or time.time()) - self.began

    def may_write(self, names: Iterable[str], namespace: Mapping[str, Any], shell: object = None) -> list[str]:
        """Those of these names that it may bind or delete, or that lead to an object that it may change.

        `get_ipython` and the like lead to the shell, and so to everything: that does not count.
        """
        return sorted(name for name in names if self._may_write(name, namespace, (namespace, shell)))

    def _may_write(self, name: str, namespace: Mapping[str, Any], beyond: Sequence[object]) -> bool:
        if name not in namespace:
            return name in self.binds.names or self.binds.anything
        value = namespace[name]
        if isinstance(value, ModuleType):
            return False
        return name in self.binds.names or (bool(self.shipped) and leads_to(value, self.shipped, beyond))

    def follow(self, on_over: Callable[[DetachedRun], None]) -> None:
        """Drives it to its end, on a thread of its own."""
        threading.Thread(target=self._follow, args=(on_over,), name=f"farcell-run-{self.id}", daemon=True).start()

    def _follow(self, on_over: Callable[[DetachedRun], None]) -> None:
        assert self.pending is not None
        try:
            self.finish = self.pending.wait()
        except BaseException as error:
            self.error = error
        self.ended = time.time()
        self.state = "ended"
        self.over.set()
        on_over(self)

    def conclude(self) -> None:
        """What it brought back has been dealt with."""
        if self.conflict is not None:
            self.state = "conflict"
        elif isinstance(self.error, KernelDied | HostDied):
            self.state = "lost"
        elif isinstance(self.error, KeyboardInterrupt):
            self.state = "cancelled"
        else:
            self.state = "done" if self.error is None else "failed"
        self.on_settled()
        if self.error is not None:
            self.log.write(f"{type(self.error).__name__}: {self.error}\n")
        if self.card is not None:
            self.card.end()

    def resolved(self, take: bool) -> None:
        """The person has said whose values hold."""
        names = ", ".join(self.conflict.names) if self.conflict is not None else ""
        self.conflict = None
        self.state = "done" if self.error is None else "failed"
        self.resolution = f"Merged: {names}" if take else f"This notebook's values were kept: {names}"
        if self.card is not None:
            self.card.end()

    def look(self) -> Shown:
        """For the card."""
        return Shown(self.target, self.id, self.state, self._text(), self.seconds)

    def _text(self) -> str:
        if self.conflict is not None:
            return str(self.conflict)
        if self.state == "ended":
            return "What it changed is merged as soon as no cell runs."
        if self.state == "failed":
            return f"%remote wait {self.id} raises its error here."
        if self.resolution:
            return self.resolution
        merged = ", ".join(name for name in self.returned.names if not name.startswith("_"))
        return f"Merged: {merged}" if merged else ""

    def cancel(self) -> None:
        """As Ctrl-C in a cell that waits."""
        if self.pending is not None and not self.over.is_set():
            self.pending.press()
