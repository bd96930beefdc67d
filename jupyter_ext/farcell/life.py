"""A kernel host and its remote kernel: started, watched over, restarted, ended.

All methods block. News come on the connection thread, and are told to whoever waits for a run (`on_event`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from farcell_host.journal import messages_of
from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.reasons import Reason
from farcell_host.waiting import result_within

from . import earlier, journals, untrusted
from .backends.base import Allocation, Backend, LaunchOptions, Scheduled, ShellBackend, Tell, backend_named
from .connection import Connection
from .deaths import Death, of_session
from .desk import Desk
from .errors import FarcellError, HostDied, TargetUnavailable
from .relay.line import Line, transfer, waiting
from .relay.notebook import Notebook
from .run import Event, HostEnded, KernelEnded, Noticed
from .threads import loop_thread

if TYPE_CHECKING:
    from .backends.ssh.questions import Ask
    from .recorder import Recorder

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
RESTART_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
WITHDRAW_TIMEOUT_S = 30.0
SAVE_TIMEOUT_S = 600.0


class _LeftInQueue(Exception):
    """The person goes, the job stays."""


class RunIsLeft(Exception):
    """The person goes, and the cell is to run when its job starts."""


@dataclass(frozen=True)
class RemoteKernel:
    """`epoch` counts the kernels of one host, `number` all those of a session, whose hosts may end too; `direct`: it is served
    over its own socket, not over zmq."""

    epoch: int
    number: int
    pid: int | None
    direct: bool


class Life:
    """Starts nothing when made. `on_message` gets all messages but those about the kernel itself."""

    def __init__(
        self,
        options: LaunchOptions,
        backend: Backend | None,
        notebook: Notebook,
        on_message: Callable[[Message, tuple[Buffer, ...]], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.target = options.target
        self.allocation: Allocation | None = None
        self.connection: Connection | None = None
        self.kernel: RemoteKernel | None = None
        self.dead: KernelEnded | None = None
        self.started_in: str | None = None
        """The notebook's working folder when the host was launched."""
        self.launches = 0
        self._cell: dict[str, Any] | None = None  # the header of the cell that needed the kernel last
        self.is_waited_for: Callable[[], bool] = lambda: False
        self.saved: frozenset[str] = frozenset()
        """Names that the session has saved as it ended."""
        self.closing: str | None = None
        """Why the host ends by itself, once it has begun to: it saves what only it has, and runs nothing any more."""
        self.session_before: str | None = None
        """The runtime folder's name of the session before this one."""
        self._options = options
        self._backend = backend
        self._notebook, self._say = notebook, notebook.say
        self._on_message, self._on_event = on_message, on_event
        self.recorder: Recorder | None = None
        """Where a ledger is kept, once a host has been reached."""
        self._host_dead: Death | None = None
        self._shows_transfers = True
        self._kernels = 0
        self._is_released = False
        self._restarted_epoch = 0  # the death of this kernel and those before it is our own doing
        self._news = threading.Condition(threading.RLock())

    def run_over(self) -> None:
        """The host has measured another run."""
        if self.recorder is not None:
            self.recorder.run_over()

    @property
    def takes_data_alone(self) -> bool:
        """Whether the target has `trust = "data"`."""
        return self._options.takes_data_alone

    @property
    def is_started(self) -> bool:
        return self.connection is not None and not self.connection.closed and self._host_dead is None

    @property
    def has_something(self) -> bool:
        """Whether there is anything to end."""
        return self.queued is not None or (self.allocation is not None and not self._is_released)

    @property
    def queued(self) -> str | None:
        """What of this session waits in a scheduler's queue, in words."""
        return self._backend.queued if isinstance(self._backend, Scheduled) else None

    @property
    def epoch(self) -> int:
        """The living kernel's number, which no other of this session ever has; 0 before the first and after the last."""
        return self.kernel.number if self.kernel is not None and self.dead is None and self.is_started else 0

    @property
    def log_path(self) -> str:
        return self.allocation.log if self.allocation is not None else "(none)"

    @property
    def late_death(self) -> Event | None:
        """What nobody was told of who began to wait just now."""
        return self.dead or (HostEnded(self._host_dead) if self._host_dead is not None else None)

    def start(self, can_leave: bool = False) -> None:
        """Makes sure that a kernel is up: launches a host, or restarts a kernel that has died. With `can_leave` a person who
        does not wait for a job may leave the cell with it: RunIsLeft."""
        self._cell = self._notebook.cell_header()
        if self.connection is not None and self.connection.away is not None:
            self.connection.retry()  # with longer pauses until now, as nobody waited
            self._show_away()
        if self.closing is not None and self.is_started:
            self._wait_for_end(self.closing)
        if self._host_dead is not None and not self._resume(self._host_dead.detail):
            self._say(f"The kernel host on {self.target!r} is gone ({self._host_dead.detail}); a new one starts.")
            self.stop()
        if not self.is_started:
            self._launch(can_leave)
        elif self.dead is not None:
            died, self.dead = self.dead, None
            self._say(f"The remote kernel on {self.target!r} {died.death.detail}; a new one starts. What was only there is lost.")
            self.restart()

    def _resume(self, why: str) -> bool:
        """Whether the job of a host that is gone will start once more by itself: then that is waited for, and not a new one."""
        backend, allocation = self._backend, self.allocation
        if not isinstance(backend, Scheduled) or allocation is None:
            return False
        with Line(self._notebook, waiting(f"asking what became of the job on {self.target!r}")):
            if not loop_thread().submit(backend.is_put_back(allocation)).result(START_TIMEOUT_S):
                return False
            self._part()
            loop_thread().submit(backend.resume(allocation)).result(START_TIMEOUT_S)
        self._say(f"The session on {self.target!r} has ended ({why}). {self.queued} was put back into the queue: it is taken up.")
        return True

    def _part(self) -> None:
        """Ends the connection alone."""
        connection, self.connection = self.connection, None
        self.kernel = self.dead = self._host_dead = None
        loop_thread().submit(self._end(connection, None, is_dead=True)).result(STOP_TIMEOUT_S)

    def adopt(self, allocation: Allocation) -> None:
        """Takes over a host that is there, from another driver; all that it has kept comes once more."""
        if self._backend is None:
            self._backend = backend_named(self._options.backend)
        if isinstance(self._backend, Scheduled) and allocation.details.get("is_waiting"):
            loop_thread().submit(self._backend.resume(allocation)).result(START_TIMEOUT_S)
            return self._launch(is_of_run=True)
        self.kernel = self.dead = None
        self._restarted_epoch = 0
        self.launches += 1
        opening = loop_thread().submit(self._connect(self._backend, allocation, takeover=True))
        try:
            opening.result(START_TIMEOUT_S)
            self._wait_for_kernel(0, time.monotonic() + START_TIMEOUT_S)
        except BaseException:
            opening.cancel()
            raise

    @contextlib.contextmanager
    def observed(self, on_message: Callable[[Message, tuple[Buffer, ...]], None]) -> Iterator[Connection]:
        """A second connection, which gets all that the host has kept and changes nothing."""
        assert self._backend is not None and self.allocation is not None
        with journals.observed(self._backend, self.allocation, on_message) as journal:
            yield journal

    def leave_run(self, run: str, pieces: list[bytes], again: bool) -> str:
        """Leaves it with the job that waits in the queue, which is nothing of this session's any more; the job, in words."""
        backend, queued = self._backend, self.queued
        if not isinstance(backend, Scheduled) or queued is None:
            raise TargetUnavailable(f"The job on {self.target!r} has just started: run the cell again.")
        with Line(self._notebook, waiting(f"leaving the run with {queued} on {self.target!r}")):
            loop_thread().submit(backend.leave_run(run, pieces, again)).result()
        return queued

    @contextlib.contextmanager
    def left(self, allocation: Allocation) -> Iterator[Iterator[Message]]:
        """What a host that is gone has left of its journal; when that could be read and shown, it is removed."""
        if self._backend is None:
            self._backend = backend_named(self._options.backend)
        backend = self._backend
        assert isinstance(backend, Scheduled)
        with Line(self._notebook, waiting(f"reading the journal of a session on {self.target!r}")):
            data = loop_thread().submit(backend.journal(allocation)).result(START_TIMEOUT_S)
        yield (message for _, message in messages_of(data))
        loop_thread().submit(backend.release(allocation)).result(START_TIMEOUT_S)

    @contextlib.contextmanager
    def showing_no_transfers(self) -> Iterator[None]:
        """For whoever shows a bar for more than one of them."""
        self._shows_transfers = False
        try:
            yield
        finally:
            self._shows_transfers = True

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """A question to the host that takes no turn; raises TargetUnavailable when it does not answer in time."""
        assert self.connection is not None
        try:
            return self.connection.request(op, **fields).result(ANSWER_TIMEOUT_S)
        except concurrent.futures.TimeoutError:
            raise TargetUnavailable(
                f"The kernel host on {self.target!r} has not answered {op!r} for {ANSWER_TIMEOUT_S:g} s. The log: {self.log_path}"
            ) from None

    def restart(self) -> None:
        """A new remote kernel in the same host."""
        assert self.connection is not None
        before = self._restarted_epoch = self.kernel.epoch if self.kernel is not None else 0
        self.dead = None
        self.connection.request("restart").result(RESTART_TIMEOUT_S)
        self._wait_for_kernel(before, time.monotonic() + RESTART_TIMEOUT_S)

    def stop(self) -> None:
        """Ends host, kernel and connection, and clears what a host that died left behind."""
        ending = self.begin_stop()
        if ending is not None:
            ending.result(2 * STOP_TIMEOUT_S)

    def begin_stop(self) -> concurrent.futures.Future[None] | None:
        """As `stop`, which is over when the future is."""
        connection, self.connection = self.connection, None
        allocation, is_dead = self.allocation, self._host_dead is not None
        self.kernel = self.dead = self._host_dead = None
        if self.queued is not None:
            with contextlib.suppress(TargetUnavailable):  # it ends by itself: nobody comes to its host
                loop_thread().submit(cast(Scheduled, self._backend).withdraw()).result(WITHDRAW_TIMEOUT_S)
        if connection is None and allocation is None:
            return None
        return loop_thread().submit(self._end(connection, allocation, is_dead))

    def _launch(self, can_leave: bool = False, is_of_run: bool = False) -> None:
        """`is_of_run`: the job that waits has a run of its own, and goes on without us."""
        if self._backend is None:
            self._backend = backend_named(self._options.backend)
        self.kernel = self.dead = None
        self._restarted_epoch = 0
        self.launches += 1
        self.closing = None
        if self.allocation is not None:
            self.session_before = os.path.basename(self.allocation.runtime)
        with contextlib.suppress(FileNotFoundError):  # deleted under our feet
            self.started_in = os.getcwd()
        desk = Desk(self._notebook, f"starting a kernel on {self.target!r}")
        ask = desk.ask if self._notebook.allow_stdin else None
        opening = loop_thread().submit(self._open(self._backend, ask, desk.tell))
        try:
            with Line(self._notebook, lambda seconds: f"{desk.about} ({seconds:.0f} s)"):
                self._wait(desk, opening, can_leave, is_of_run)
                self._wait_for_kernel(0, time.monotonic() + START_TIMEOUT_S)
        except _LeftInQueue as left:
            opening.cancel()
            if is_of_run:
                cast(Scheduled, self._backend).forget()
            self._say(str(left))
            raise KeyboardInterrupt from None
        except RunIsLeft:
            opening.cancel()
            raise
        except BaseException:
            opening.cancel()
            self.stop()
            raise

    async def _open(self, backend: Backend, ask: Ask | None, tell: Tell) -> None:
        if isinstance(backend, ShellBackend) and not isinstance(backend, Scheduled):
            await backend.shell(self._options, ask)  # one login, for both: it looks for earlier sessions while the new one starts
            settling = asyncio.ensure_future(earlier.settle(backend, self._options, ask))
            try:
                allocation = await backend.launch(self._options, ask, tell)
                said = await settling
            finally:
                settling.cancel()
        else:
            said = await earlier.settle(backend, self._options, ask) if self.queued is None else []
            allocation = await backend.launch(self._options, ask, tell)
        for text in (*said, *allocation.notices):
            self._say(text)
        await self._connect(backend, allocation)

    async def _connect(self, backend: Backend, allocation: Allocation, takeover: bool = False) -> None:
        self.allocation, self._is_released = allocation, False
        earlier.own(allocation.runtime)
        connection = Connection(
            backend,
            allocation,
            self._receive,
            lambda death: self._on_ended(death) if self.connection is connection else None,
            takeover=takeover,
        )
        connection.on_transfer = self._show_transfer
        connection.on_away = self._show_away
        connection.is_awaited = self.is_waited_for
        self.connection = connection
        await connection.open()
        from .recorder import recorder  # while the kernel starts

        self.recorder = recorder()
        if self.recorder is not None:
            self.recorder.follow(connection, self._options.backend)

    async def _end(self, connection: Connection | None, allocation: Allocation | None, is_dead: bool) -> None:
        if connection is not None:
            said: dict[str, Any] = {}
            if not connection.closed and not is_dead:
                keeper, connection.is_ending = self.recorder, True
                with contextlib.suppress(FarcellError, asyncio.TimeoutError):
                    records, recorded = keeper is not None, keeper is not None and keeper.is_whole
                    stopping = connection.request("stop", records=records, recorded=recorded)
                    said = await result_within(asyncio.wrap_future(stopping), STOP_TIMEOUT_S)
            await connection.close()
            if self.recorder is not None:
                self.recorder.leave(connection, said.get("usage"))
        if allocation is not None and self._backend is not None:
            await self._backend.release(allocation)
            self._is_released = True

    def _wait(self, desk: Desk, future: concurrent.futures.Future[Any], can_leave: bool = False, is_of_run: bool = False) -> None:
        while True:
            try:
                return desk.wait(future, START_TIMEOUT_S)
            except concurrent.futures.TimeoutError:
                raise TargetUnavailable(f"{self.target!r} did not answer in time.") from None
            except KeyboardInterrupt:
                queued = self.queued
                if queued is None or not self._waits_on(queued, can_leave, is_of_run):
                    raise

    def _waits_on(self, queued: str, can_leave: bool, is_of_run: bool) -> bool:
        """Asks after Ctrl-C, where somebody can be asked: False to withdraw the job; raises _LeftInQueue and RunIsLeft."""
        can_leave = can_leave and cast(Scheduled, self._backend).takes_runs
        if not self._notebook.allow_stdin:
            if is_of_run:
                raise _LeftInQueue(f"{queued} stays in the queue with its run.")
            return False
        answers = ["[c]ancel it", "[k]eep waiting"]
        answers += ["[l]eave it there with its run"] if is_of_run else ["[l]eave it there for the next cell"]
        if can_leave:
            answers.append("[d]etach: this cell runs when the job starts, with nobody there")
        choice = ", ".join(answers[:-1]) + f", or {answers[-1]}?"
        said = self._notebook.ask(f"{queued} on {self.target!r} waits in the queue: {choice} ").strip().lower()
        if said.startswith("l") and is_of_run:
            raise _LeftInQueue(f"{queued} stays in the queue with its run.")
        if said.startswith("l"):
            raise _LeftInQueue(f"{queued} stays in the queue for the next cell on {self.target!r}; this cell was not run.")
        if said.startswith("d") and can_leave:
            raise RunIsLeft
        return said.startswith("k")

    def _wait_for_end(self, why: str) -> None:
        """Of a host that saves what only it has."""
        with Line(self._notebook, waiting(f"the session on {self.target!r} ends ({why}); what only it has is saved")), self._news:
            self._news.wait_for(lambda: not self.is_started, SAVE_TIMEOUT_S)

    def _wait_for_kernel(self, after_epoch: int, deadline: float) -> None:
        """Until the host says that a kernel of a later epoch is up."""
        with self._news:
            up = self._news.wait_for(
                lambda: (self.kernel is not None and self.kernel.epoch > after_epoch) or self.dead or self._host_dead,
                max(0.0, deadline - time.monotonic()),
            )
        if self._host_dead is not None:
            raise HostDied(self.target, self._host_dead, self.log_path)
        if self.dead is not None:
            died = self.dead
            tail = "\n".join(f"    {line}" for line in died.crash or died.log_tail[-10:])
            next_step = died.death.next_step or "Is ipykernel installed for its Python?"
            raise TargetUnavailable(
                f"The remote kernel on {self.target!r} {died.death.detail}, while it started. "
                f"{next_step} Last lines of its log:\n{tail}",
                died.death.reason,
            )
        if not up:
            raise TargetUnavailable(f"The remote kernel on {self.target!r} did not start. The log: {self.log_path}")

    # -- on the connection thread

    def _receive(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        if message.channel != Channel.CONTROL:
            self._on_message(message, bulk)
            return
        content = untrusted.deeply(message.content) if self.takes_data_alone else message.content
        with self._news:
            if message.msg_type == "farcell_kernel_started":
                self._kernels += 1
                self.kernel = RemoteKernel(content["epoch"], self._kernels, content.get("pid"), bool(content.get("direct")))
                self.dead = None
            elif message.msg_type == "farcell_kernel_died" and content["epoch"] > self._restarted_epoch:
                self.dead = KernelEnded(
                    content.get("exit_code"),
                    content.get("signal"),
                    tuple(content.get("log_tail") or ()),
                    tuple(content.get("crash") or ()),
                    content.get("memory"),
                    self._options.backend,
                )
                self._on_event(self.dead)
            elif message.msg_type == "farcell_notice":
                self.saved = frozenset(content.get("saved") or ())
                self.closing = content.get("closing") or self.closing
                if content["text"]:
                    self._on_event(Noticed(content["text"], of_host=True))
                if content.get("ends"):
                    self._on_ended(of_session(content["ends"], Reason.of(content.get("reason"))))
            self._news.notify_all()

    def _show_transfer(self, is_upload: bool) -> None:
        """Bytes are on their way in pieces."""
        connection = self.connection
        if connection is not None and self._shows_transfers:
            text = f"sending to {self.target!r}" if is_upload else f"fetching from {self.target!r}"
            progress = connection.uploading if is_upload else connection.downloading
            # While the cell's thread makes ready what is to go, this is the connection's, which knows no cell.
            is_elsewhere = threading.current_thread() is loop_thread().thread
            Line(self._notebook, transfer(text, progress), self._cell if is_elsewhere else None).begin()

    def _show_away(self) -> None:
        """That the connection is lost and will come back; only where somebody waits for it."""
        connection = self.connection
        if connection is None or connection.away is None or not self.is_waited_for():
            return

        def text(seconds: float) -> str | None:
            away = connection.away
            if away is None:
                return None
            why = away[1].strip().splitlines()
            return f"reconnecting to {self.target!r}, {away[0]:.0f} s; the run goes on" + (f" ({why[0]})" if why else "")

        Line(self._notebook, text, self._cell).begin()

    def reconnect(self) -> None:
        """Logs in again with somebody there who can be asked, and tries at once. Raises TargetUnavailable."""
        if self._backend is None:
            self._backend = backend_named(self._options.backend)
        backend = self._backend
        if not isinstance(backend, ShellBackend):
            return
        desk = Desk(self._notebook, f"logging in on {self.target!r}")
        ask = desk.ask if self._notebook.allow_stdin else None
        with Line(self._notebook, lambda seconds: f"{desk.about} ({seconds:.0f} s)"):
            self._wait(desk, loop_thread().submit(backend.shell(self._options, ask)))
        if self.connection is not None:
            self.connection.retry()

    def _on_ended(self, death: Death) -> None:
        with self._news:
            if self._host_dead is not None:  # it has said so itself
                return
            self._host_dead = death
            self._on_event(HostEnded(death))
            self._news.notify_all()
        if self.closing is None and self.allocation is not None:  # without a last word
            loop_thread().submit(self._close_book(self._backend, self.allocation))

    async def _close_book(self, backend: Backend | None, allocation: Allocation) -> None:
        """The ledger learns when the job of a host that died has ended."""
        ending = await backend.ending(allocation) if isinstance(backend, Scheduled) else None
        if ending is not None:
            earlier.close_book(ending)
