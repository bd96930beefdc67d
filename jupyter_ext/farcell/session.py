"""A remote session: one kernel host, its remote kernel, and what it holds, bound to one notebook.

Starts lazily, at the first run. One run at a time: others wait their turn. After the remote kernel or the host has died
the next run starts afresh and says so. All methods block and may be called from any thread; SIGINT is taken over only
while a run is waited for, and only on the main thread.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from farcell_host import hashing_seed
from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.reasons import Reason
from farcell_host.state import BOOK
from farcell_host.state.capture import is_of_ipython
from farcell_host.state.modules import MODULES, local_module, pseudo_name
from farcell_host.state.packing import has_sets_of_text
from farcell_host.state.patches import PATCHES
from farcell_host.state.payload import Capture, Payload
from farcell_host.state.watch import Watch
from farcell_host.threads import users
from IPython.core.interactiveshell import InteractiveShell

from . import environment, farewell
from .asked import Asked, Names, Prepared, reasons_of
from .backends.base import Allocation, Backend, LaunchOptions
from .capture.objects import may_be_changed
from .capture.writes import bound_by, writes
from .conflicts import ID_LENGTH, Conflict
from .conversation import Conversation
from .copying import Copied
from .deaths import Death, of_job
from .detached import DetachedRelay, DetachedRun, Unattended
from .earlier import HeldBack, LeftRun, names_in
from .errors import Conflict as ConflictError
from .errors import FarcellError, HostDied, Refused, UsageError, without_frames
from .exchange import NOTHING, Exchange, PlanRow, Returned, plan_rows
from .journals import Replay
from .life import STOP_TIMEOUT_S, Life, RunIsLeft
from .outcome import conclude
from .packages import Packages
from .queued import HASH, LeftBehind
from .refs import Ref, human_bytes
from .relay.card import Card
from .relay.cleaned import Cleaner
from .relay.comms import MESSAGES as COMM_MESSAGES
from .relay.comms import Comms, NotebookComms
from .relay.gathered import Gathered
from .relay.line import Line, waiting
from .relay.notebook import Notebook
from .relay.run_relay import ReplayRelay, RunRelay
from .restoring import Restoring
from .run import PATIENCE_S, Event, Finish, HostEnded, KernelEnded, Noticed, Replied
from .summaries import Moved, RunSummary, SessionStatus
from .turns import Turns
from .working_folder import WorkingFolder

if TYPE_CHECKING:
    from .recorder import Recorder

CONFIRM_BYTES = 8 << 30
LIMIT_BYTES = 1 << 20
SCHEDULERS_DOING = (Reason.NODE_FAILURE, Reason.PREEMPTED, Reason.REQUEUED)
LIMIT_BYTES_LOCAL = 64 << 20
_FETCHED = "_farcell_fetched"  # a name of our own for what a ref stands for, while it is fetched


class RemoteSession:
    """Starts nothing when made. `shell` is the notebook's IPython, None in plain Python."""

    def __init__(
        self,
        options: LaunchOptions,
        namespace: dict[str, Any],
        shell: InteractiveShell | None = None,
        *,
        backend: Backend | None = None,
        confirm_bytes: int = CONFIRM_BYTES,
        comms: NotebookComms | None = None,
    ) -> None:
        self.options = options
        self.target = options.target
        self.notebook = Notebook(namespace, shell)
        self.confirm_bytes = confirm_bytes
        self._of_notebook = comms or NotebookComms(self.notebook)
        publish = RunRelay(self.notebook, 0).publish_status
        self._comms = Comms(self._of_notebook, self._send_comm, self._interrupt_comm, publish)
        self._life = Life(options, backend, self.notebook, self._on_message, self._tell)
        self._turns = Turns(self.target, self.notebook.say, self.settle_over)
        self.detached: DetachedRun | None = None
        """The run that has the turn although nobody waits for it."""
        self._conversation = Conversation(self._life, self._turns, self.notebook, self._of_notebook)
        self._cleaner = Cleaner(self.target, self._conversation.cells) if options.takes_data_alone else None
        self._life.is_waited_for = lambda: self._conversation.pending is not None or self._turns.is_own
        self._restoring = Restoring(self._life, self._conversation, self.notebook)
        self._packages = Packages(options, self.notebook, self._conversation)
        self._folder = WorkingFolder(options, self.notebook, self._life, self._conversation, self._confirm_size)
        self.conflicts: dict[str, Conflict] = {}
        self._told_of_order = False
        self._was_pressed = False
        self._runs = 0
        self._held_back: HeldBack | None = None
        farewell.remember(self)

    # -- what a session can be asked

    def run(
        self,
        code: str,
        names: Names = (),
        *,
        optional: Names = (),
        imports: Iterable[str] = (),
        send_files: Iterable[str] = (),
        out: Iterable[str] = (),
        keep: Iterable[str] = (),
        timeout_s: float | None = None,
        yes: bool = False,
        restartable: bool = False,
        on_over: Callable[[RunSummary], None] | None = None,
    ) -> RunSummary:
        """Runs a cell to its end, merges what it changed, sets `_` and `Out[N]`; raises what the cell raised.

        `restartable`: one that a scheduler has ended (wall time, preemption, a node's failure) runs again in a new job. `names`
        must travel, `optional` ones go along if they can; `imports` are modules that the cell imports; `send_files` are names
        and globs of files that go into the target's working folder before. `on_over` hears of each run that is over, also of
        one that raises.
        """
        asked = Asked.of(code, names, optional=optional, imports=imports, send_files=send_files, out=out, keep=keep, yes=yes)
        with self._turns.take():
            while True:
                try:
                    self.start(can_leave=not asked.files)
                except RunIsLeft:
                    self._leave(asked, restartable)
                self._folder.send(asked.files, yes)
                self._folder.offer(code, asked.files)
                try:
                    return self._run(asked, timeout_s, on_over)
                except (HostDied, KeyboardInterrupt) as error:
                    if not restartable or not self._is_schedulers_doing(error):
                        raise
                self.notebook.say("The run begins again, as --restartable says.")

    def _is_schedulers_doing(self, error: BaseException) -> bool:
        if isinstance(error, HostDied):
            return self._life.closing is not None or error.reason in SCHEDULERS_DOING
        return self._life.closing is not None and not self._was_pressed

    def plan(self, names: Names, optional: Names = ()) -> list[PlanRow]:
        """What a run that reads `names` would send. Sends nothing, starts nothing."""
        why, also = reasons_of(names), reasons_of(optional)
        exchange = self._conversation.known or self._new_exchange(0, ())
        return plan_rows(exchange.capture(why, also), {**also, **why})

    def push(self, names: Iterable[str]) -> list[Moved]:
        """Sends these names now."""
        wanted = list(names)
        missing = [name for name in wanted if name not in self.notebook.namespace]
        if missing:
            raise UsageError(f"Nothing to push: {', '.join(missing)} is not defined in this notebook.")
        with self._turns.take():
            self.start()
            with self._turns.interrupts.raising():
                capture = self._conversation.exchange.capture(wanted)
            self._conversation.ask_state(capture)
            return [Moved(report.name, report.type, report.bytes_to_send) for report in capture]

    def pull(self, names: Iterable[str]) -> list[Moved]:
        """Brings these names back now, however large."""
        wanted = list(names)
        with self._turns.take():
            self._need_started()
            reply, returned = self._conversation.ask_state(names=wanted, out=wanted)
            missing = reply.get("missing") or []
            if missing:
                raise UsageError(f"{', '.join(missing)} is not defined on {self.target!r}. %remote vars lists what is.")
            sizes = returned.nbytes
            values = self.notebook.namespace
            return [Moved(name, type(values[name]).__name__, sizes) for name in wanted if name in values]

    def put(
        self, path: str, there: str | None, exclude: Sequence[str] = (), overwrite: bool = False, yes: bool = False
    ) -> Copied:
        """Copies a file or a folder of this side's to the target."""
        with self._turns.take():
            self.start()
            return self._folder.put(path, there, exclude, overwrite, yes)

    def get(self, path: str, here: str | None, exclude: Sequence[str] = (), overwrite: bool = False) -> Copied:
        """Copies a file or a folder of the target's to this side."""
        with self._turns.take():
            self.start()
            return self._folder.get(path, here, exclude, overwrite)

    def fetch(self, ref: Ref) -> Any:
        """Brings a ref's value here, under every name that the ref has in the notebook."""
        namespace = self.notebook.namespace
        names = [name for name, value in namespace.items() if value is ref]
        namespace[_FETCHED] = ref
        try:
            self.push([_FETCHED])
            held = self._conversation.exchange.held
            self.pull([_FETCHED, *(name for name in names if name in held)])
            value = namespace[_FETCHED]
            for name in names:
                namespace[name] = value
            self.notebook.replace_result(ref, value)
            return value
        finally:
            namespace.pop(_FETCHED, None)

    def let_die(self) -> None:
        """After a cell: what it deleted is as dead as without farcell, unless something goes on that may need it."""
        with self._turns.if_free() as is_free:
            if is_free and self._conversation.known is not None:
                self._conversation.known.let_die()

    @property
    def is_touched(self) -> bool:
        """Whether threads or tasks on the target may have changed what both sides have since the last exchange."""
        return self._conversation.is_touched and self.epoch > 0

    def refresh(self, undefined: Iterable[str] = ()) -> None:
        """Brings here what threads and tasks of the target have changed of all that both sides have, and those of the undefined
        names that they have made; raises Conflict where this notebook has changed the same."""
        if not self.is_touched or self.detached is not None:  # then a merge is to come
            return
        with self._turns.take():
            if self.is_touched and self._conversation.known is not None:
                held = self._conversation.known.held
                self._refresh(name for name in held.union(undefined) if not is_of_ipython(name))

    def _refresh(self, names: Iterable[str]) -> bool:
        """Whether anything came."""
        wanted = sorted(self._conversation.exchange.shared(names))
        if not wanted:
            return False
        reply, returned = self._conversation.ask_state(
            names=wanted, limit_bytes=self._limit_bytes, refresh=True, watch=Watch({}, since_last=True)
        )
        conflict = self._conflict(str(reply.get("run")), returned)
        if conflict is not None:
            raise ConflictError(str(conflict), conflict.run, conflict.names)
        return bool(returned.names or returned.refs)

    @property
    def _limit_bytes(self) -> int:
        return LIMIT_BYTES_LOCAL if self.options.backend.startswith("local") else LIMIT_BYTES

    def resolve(self, conflict: Conflict, take: bool) -> None:
        """Merges what the target had changed, or lets go of it."""
        with self._turns.take():
            conflict.settle(take)
            del self.conflicts[conflict.run]

    def compare_packages(self, names: Iterable[str]) -> environment.Comparison:
        """The versions of these distributions, which are installed here, against the target's."""
        with self._turns.take():
            self.start()
            return self._packages.compare(names)

    def install(self, requirements: Sequence[str]) -> None:
        """Installs into the target's environment, showing what the installer prints; raises FarcellError when it fails."""
        where = "__import__('farcell_host.inkernel.environment', fromlist=['install'])"
        try:
            self.run(f"{where}.install({list(requirements)!r})")
        except RuntimeError as error:
            raise FarcellError(f"{self.target!r}: {error}") from None

    def copies(self, names: Iterable[str]) -> dict[str, Any]:
        """These values as the target has them, which share nothing with the notebook's."""
        with self._turns.take():
            self._need_started()
            return self._conversation.ask_copies(names)

    def lease(self) -> str:
        """That of a broker which the session has; UsageError where it has none."""
        self._need_started()
        allocation = self._life.allocation
        if allocation is None or "lease" not in allocation.details:
            raise UsageError(f"{self.target!r} is no broker's: there is nobody to share its session with.")
        return str(allocation.details["lease"])

    def vars(self) -> list[dict[str, Any]]:
        """What the remote kernel holds: name, type, shape, bytes, repr."""
        with self._turns.take():
            self._need_started()
            return list(self._conversation.ask("farcell_vars_request", {})[0].get("vars", ()))

    def gpus(self) -> dict[str, Any]:
        """What the target's GPUs do now (`gpus/reading.py` of the host), also while a cell runs; raises TargetUnavailable."""
        self._need_started()
        return self._life.ask("gpus")

    def status(self) -> SessionStatus:
        kernel, allocation = self._life.kernel, self._life.allocation
        return SessionStatus(
            self._state(),
            allocation.pid if allocation else None,
            kernel.pid if kernel else None,
            allocation.runtime if allocation else None,
            kernel.epoch if kernel else 0,
            self._turns.queued,
            self._conversation.sent_bytes,
            self._conversation.received_bytes,
            self._runs,
        )

    @property
    def is_started(self) -> bool:
        return self._life.is_started

    @property
    def recorder(self) -> Recorder | None:
        """Who writes down what it uses."""
        return self._life.recorder

    @property
    def has_something(self) -> bool:
        """Whether there is anything to end: a host, what one that has died left behind, a job in a queue."""
        return self._life.has_something

    @property
    def is_queued(self) -> bool:
        """Whether a job of it waits in a scheduler's queue, and nobody for the job."""
        return not self.is_started and self._life.queued is not None

    @property
    def epoch(self) -> int:
        """The remote kernel's number in this session; a ref is of one epoch. 0 before the first and after the last."""
        return self._life.epoch

    @property
    def is_running(self) -> bool:
        return self._conversation.pending is not None

    def interrupt(self) -> None:
        """As Ctrl-C in the cell that waits; nothing when none does."""
        pending = self._conversation.pending
        if pending is not None:
            pending.press()

    def start(self, can_leave: bool = False) -> None:
        """Makes sure that a kernel is up: launches a host, or restarts a kernel that has died. `can_leave`: raises RunIsLeft
        when the person wants the cell to run without waiting for the job."""
        launches = self._life.launches
        with self._turns.interrupts.raising():
            self._life.start(can_leave)
        if self._life.launches > launches:
            self._packages = Packages(self.options, self.notebook, self._conversation)
            self._folder = WorkingFolder(self.options, self.notebook, self._life, self._conversation, self._confirm_size)
            self._conversation.known = None
        kernel, connection = self._life.kernel, self._life.connection
        known = self._conversation.known
        if kernel is not None and (known is None or known.epoch != kernel.number):
            assert connection is not None
            self._conversation.known = self._new_exchange(kernel.number, connection.welcome.get("hashes", ()))
            self._conversation.is_touched = False
            if self._life.launches > launches:
                self._bring_back()

    def _bring_back(self) -> None:
        """What only the session before had, and saved as it ended. A fault of that is said and ends nothing."""
        namespace = self.notebook.namespace
        lost = {name: value for name, value in namespace.items() if type(value) is Ref and value._was_of(self)}
        if not lost:
            return
        try:
            self._restoring.bring_back(lost, self._limit_bytes)
        except (FarcellError, TimeoutError, concurrent.futures.TimeoutError) as error:
            self.notebook.say(f"What was saved of the session before cannot be brought back: {error}")

    def reconnect(self) -> None:
        """Logs in, again or before there is a session, where that takes a person; has a lost connection tried again at once."""
        self._life.reconnect()

    def save(self) -> None:
        """Saves the remote namespace, for a session that ends without a warning."""
        with self._turns.take():
            self._need_started()
            self._restoring.save()

    def restore(self, names: Iterable[str]) -> list[str]:
        """Brings names back from the latest snapshot of this notebook on the target, all without any; which."""
        with self._turns.take():
            self.start()
            return self._restoring.restore(names, self._limit_bytes)

    def forget_snapshots(self) -> int:
        """How many there were."""
        with self._turns.take():
            self.start()
            return self._restoring.forget()

    @property
    def saved(self) -> frozenset[str]:
        """Names that the session has saved as it ended."""
        return self._life.saved

    def _new_exchange(self, epoch: int, hashes: Sequence[str]) -> Exchange:
        BOOK.cells = self.notebook.cells
        return Exchange(
            self.notebook.namespace,
            epoch,
            hashes,
            lambda name, info: Ref(self, epoch, info),
            self._life.started_in,
            self.options.takes_data_alone,
        )

    def restart(self) -> None:
        """A new remote kernel; what the old one alone held is lost."""
        with self._turns.take():
            self._need_started()
            with self._turns.interrupts.raising():
                self._life.restart()
            self._comms.ended()
            self.start()

    def stop(self) -> None:
        """Ends host, kernel and connection, and a run of another thread with them. The next run starts anew."""
        ending = self.begin_stop()
        if ending is not None:
            ending.result(2 * STOP_TIMEOUT_S)

    def begin_stop(self) -> concurrent.futures.Future[None] | None:
        """As `stop`, which is over when the future is."""
        self._end_run()
        with self._turns.take():
            ending = self._life.begin_stop()
            self._comms.ended()
            self._conversation.known = None
            return ending

    def _end_run(self) -> None:
        """Interrupts the run of another thread; one that does not stop is killed."""
        pending, connection = self._conversation.pending, self._life.connection
        if pending is None or connection is None or self._turns.is_own:
            return
        pending.press()
        run = self.detached
        if not (run.over.wait(PATIENCE_S) if run is not None else self._turns.wait_until_free(PATIENCE_S)):
            connection.request("kill")

    def acknowledge(self) -> None:
        """Tells the host now what it is told soon in any case: that what has come was dealt with."""
        if self.is_started and self._life.connection is not None:
            self._life.connection.acknowledge()

    def log(self, lines: int = 50) -> str:
        """The last lines of the remote kernel's and the host's log."""
        self._need_started()
        return "\n".join(f"== {each['path']}\n{each['text']}" for each in self._life.ask("log", lines=lines)["files"])

    def _state(self) -> str:
        if not self.is_started:
            return "ended" if self._life.allocation is not None else "not started"
        if self._life.dead is not None:
            return "kernel dead"
        return "running" if self.is_running else "idle"

    def _need_started(self) -> None:
        if not self.is_started:
            raise UsageError(f"No session on {self.target!r} has been started. The first %%remote cell starts one.")

    # -- on the connection thread

    def _on_message(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        clean = self._cleaned(message)
        if clean is not None:
            self._receive(clean, bulk)

    def _cleaned(self, message: Message) -> Message | None:
        """As it may be dealt with; None for what must not."""
        return message if self._cleaner is None else self._cleaner.clean(message)

    def _receive(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        held_back = self._held_back
        if held_back is None or not held_back.take(message, bulk):
            self._deal_with(message, bulk)

    def _deal_with(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        pending = self._conversation.pending
        if message.channel == Channel.IOPUB and message.msg_type in COMM_MESSAGES:
            self._comms.seen(message)
        if pending is not None and pending.owns(message):
            pending.arrived(message, bulk)
        elif message.channel == Channel.IOPUB:
            self._on_stray(message)

    def _on_stray(self, message: Message) -> None:
        """Output of threads, tasks and comm callbacks outside any run: shown under the cell it came from."""
        RunRelay(self.notebook, 0).receive_stray(message)
        if message.msg_type == "status":  # a callback may change anything
            self._conversation.is_touched |= message.parent_header.get("msg_type") == "comm_msg"
            self._comms.status(message)

    def _send_comm(self, message: Message) -> bool:
        """From the front end to the target; whether it will say when it has dealt with it."""
        connection, kernel = self._life.connection, self._life.kernel
        if connection is None or kernel is None or not self._life.epoch:
            return False
        connection.send(message)
        # ipykernel itself says nothing of those that come while a cell awaits
        return kernel.direct or self._conversation.pending is None

    def _interrupt_comm(self) -> None:
        if self._life.connection is not None:
            self._life.connection.request("interrupt", comm=True)

    def _tell(self, event: Event) -> None:
        if isinstance(event, KernelEnded | HostEnded):
            self._comms.ended()
        pending = self._conversation.pending
        if pending is not None:
            pending.tell(event)
        elif isinstance(event, Noticed) and event.of_host:
            self.notebook.say(event.text)

    # -- one run

    def _run(self, asked: Asked, timeout_s: float | None, on_over: Callable[[RunSummary], None] | None) -> RunSummary:
        began = time.monotonic()
        prepared = self._prepare(asked)
        relay = RunRelay(self.notebook, prepared.count)
        pending, finish, returned = self._conversation.run(relay, prepared.content, prepared.payload, timeout_s, prepared.watch)
        self._was_pressed = finish.interrupted
        self._life.run_over()
        summary = self._summary(pending.id, time.monotonic() - began, prepared, returned, finish)
        if on_over is not None:
            on_over(summary)
        self._tell_of_order(finish, prepared.payload)
        self._take_imported(self._conversation.exchange, returned.imported)
        conflict = self._conflict(pending.id, returned)
        if conflict is not None and finish.is_error:
            self.notebook.say(str(conflict))
        with self._turns.interrupts.raising():  # showing a result calls the notebook's own code
            conclude(finish, returned, relay, self.notebook, self.target, self._life.log_path, timeout_s)
        if pending.failure is not None:
            raise pending.failure
        if finish.interrupted_too_late or pending.pressed_late():
            raise KeyboardInterrupt
        if conflict is not None:
            raise ConflictError(str(conflict), conflict.run, conflict.names)
        return summary

    def _summary(self, run: str, seconds: float, prepared: Prepared, returned: Returned, finish: Finish | None) -> RunSummary:
        content = finish.reply.message.content if finish is not None and finish.reply is not None else {}
        return RunSummary(
            run,
            self.target,
            seconds,
            prepared.rows,
            returned.names,
            prepared.payload.total_bytes,
            returned.nbytes,
            returned.result is not NOTHING,
            content.get("usage") or {},
            self.options.price_per_hour,
            "lost" if finish is None else finish.how,
        )

    def _leave(self, asked: Asked, restartable: bool = False) -> NoReturn:
        """Leaves a run with the job that waits in the queue; raises KeyboardInterrupt, which says how to come back to it."""
        self._conversation.known = self._new_exchange(0, (HASH,))
        self._conversation.is_touched = False
        left = LeftBehind(self._conversation.known)
        try:
            prepared = self._prepare(asked, left)
            with self._turns.interrupts.raising():
                pieces = left.pieces(self.notebook.run_header(), prepared.content, prepared.payload, lambda: None)
                job = self._life.leave_run(left.run, pieces, restartable)
        finally:
            self._conversation.known = None
        id = left.run[:ID_LENGTH]
        raise without_frames(
            KeyboardInterrupt(
                f"Run {id} waits with {job[0].lower()}{job[1:]} and begins when that starts, with nobody there. "
                f"%remote attach {id} shows all of it then, and takes what it has changed."
            )
        )

    def _prepare(self, asked: Asked, left: LeftBehind | None = None) -> Prepared:
        """What goes out with a run, as the notebook is now; `left` where there is no kernel yet."""
        exchange = self._conversation.exchange
        watch = Watch(dict(self.notebook.namespace), in_place=bool(users(threading.enumerate())))
        with self._turns.interrupts.raising():
            if left is not None:
                capture = left.capture(asked)
            else:
                capture = self._capture(exchange, asked.why, asked.also, asked.imports)
                self._packages.tell(capture, asked.imports)
            self._confirm(capture, asked.yes)
            payload = exchange.pack(capture)
        watch.names.update(capture.given)
        for filename in MODULES.changed_files(seen.source.name for seen in exchange.known_modules()):
            self.notebook.say(
                f"{filename} has changed since it was loaded. The loaded version runs, as here; importlib.reload loads the new."
            )
        count = self.notebook.execution_count
        content = {
            "code": asked.code,
            "filename": self.notebook.filename(asked.code),
            "execution_count": count,
            "silent": False,
            "store_history": True,
            "allow_stdin": self.notebook.allow_stdin,
            "user_expressions": {},
            "names": list(capture.names),
            "drop": list(capture.deleted),
            "assigned": PATCHES.paths,
            "out": list(asked.out),
            "keep": list(asked.keep),
            "limit_bytes": self._limit_bytes,
            **({"trust": self.options.trust} if self.options.takes_data_alone else {}),
            "state": None if payload.is_empty else payload.header,
        }
        self._runs += 1
        return Prepared(capture, payload, content, watch, count, tuple(plan_rows(capture, {**asked.also, **asked.why})))

    # -- detached runs

    def detach(
        self,
        code: str,
        names: Names = (),
        *,
        timeout_s: float | None = None,
        reads: str = "wait",
        on_over: Callable[[DetachedRun], None],
        **options: Any,
    ) -> DetachedRun:
        """Sends a run off as `run` does and returns once it has begun; `settle_over` merges what it changed.

        `on_over` is called from another thread when there is something to settle.
        """
        asked = Asked.of(code, names, **options)
        with self._turns.take():
            try:
                self.start(can_leave=not asked.files)
            except RunIsLeft:
                self._leave(asked)
            self._folder.send(asked.files, asked.yes)
            self._folder.offer(code, asked.files)
            prepared = self._prepare(asked)
            run = self._new_detached(asked, prepared, reads)
            assert run.card is not None
            relay = DetachedRelay(self.notebook, prepared.count, run.log, run.card)
            nobody = Unattended(self.notebook, prepared.count, run.log)
            run.pending, finish = self._conversation.detach(relay, nobody, prepared.content, prepared.payload, timeout_s)
            if finish is not None:  # refused, cancelled, or the kernel ended before it began
                returned = self._conversation.settle(run.pending_id, finish, prepared.watch)
                conclude(finish, returned, relay, self.notebook, self.target, self._life.log_path, timeout_s)
                return run
            run.settle = partial(self._settle, run, prepared, relay, nobody, timeout_s)
            self.detached = run
            self._turns.keep()
        run.card.begin(run.cancel)
        run.follow(on_over)
        return run

    def _new_detached(self, asked: Asked, prepared: Prepared, reads: str) -> DetachedRun:
        shell = self.notebook.shell
        binds = writes(asked.code, shell.transform_cell if shell is not None else None)
        parts = prepared.capture.parts.values()
        stored = {name for part in parts if isinstance(part.value, FunctionType) for name in bound_by(part.value.__code__)}
        shipped = {id(obj): obj for part in parts for _, obj in part.objects if may_be_changed(obj)}
        run = DetachedRun(self.target, asked.code, prepared.count, shipped, replace(binds, names=binds.names | stored), reads)
        run.card = Card(self.notebook, self.notebook.cell_header(), run.log, run.look)
        return run

    def attach(self, left: LeftRun) -> None:
        """Takes over a run of this notebook's earlier kernel: its outputs from the beginning in the present cell, then what it
        changed; raises what it raised. Of a run whose host is gone, the outputs are all that is left."""
        with self._turns.take():
            if left.is_journal:
                return self._show_journal(left)
            if self.is_started:
                raise UsageError(f"{self.target!r} has a session of this notebook already. %remote stop {self.target} ends it.")
            host = left.host
            self._held_back = HeldBack(left.id, lambda: self._life.connection is not None and not self._life.connection.has_all)
            with self._turns.interrupts.raising():
                self._life.adopt(Allocation(self.options, host.runtime, host.pid, host.socket, host.fields))
            relay = ReplayRelay(self.notebook, self.notebook.execution_count)
            pending = self._conversation.attach(relay, left.id)
            self._held_back.release(self._deal_with)
            finish = self._conversation.wait(pending)
            self._held_back = None
            self._life.run_over()
            self.start()
            if finish.reply is not None:
                names = names_in(finish.reply.message.content.get("state") or {})
                self._conversation.ask_state(names=names, start_over=True, limit_bytes=self._limit_bytes)
                self._conversation.taken(left.id)
            conclude(finish, Returned(), relay, self.notebook, self.target, self._life.log_path, None)

    def _show_journal(self, left: LeftRun) -> None:
        host, target = left.host, self.target
        relay = ReplayRelay(self.notebook, self.notebook.execution_count)
        state = str(host.fields["state"])
        what, log = ("lease", "") if "lease" in host.fields else ("job", f"{host.fields['session']}/job.log")
        key, finish = (
            left.id.encode(),
            Finish(host=HostEnded(Death(of_job("", state, state).reason, f"its {what} has ended: {state}"))),
        )
        with self._life.left(Allocation(self.options, host.runtime, details=host.fields)) as journal:
            for message in filter(None, map(self._cleaned, journal)):
                if key not in bytes(message.parts[1]):
                    continue
                if message.channel is Channel.SHELL:
                    finish = Finish(reply=Replied(message))
                elif message.channel == Channel.IOPUB and message.msg_type not in COMM_MESSAGES and not relay.receive(message):
                    relay.publish(message)
        if not host.fields.get("is_whole", True):
            self.notebook.say("It had shown more before that: the broker keeps the newest of what a lease's runs have shown.")
        self.notebook.say(left.what_is_saved())
        conclude(finish, Returned(), relay, self.notebook, target, log, None)

    def replay(self, run: str) -> None:
        """Shows all outputs of a run again, in the present cell, as the host's journal has them."""
        self._need_started()
        reading = Replay(run, ReplayRelay(self.notebook, self.notebook.execution_count), self._cleaned)
        line = Line(self.notebook, waiting(f"reading the journal of {self.target!r}"))
        with self._life.observed(reading.take) as journal, line:
            reading.wait(journal)

    def outputs(self, run: str) -> tuple[str, list[dict[str, Any]]] | None:
        """Those of the run whose id begins so, as far as it has come, as nbformat has them and the host's journal has kept them;
        with its whole id. None if there is no such run here."""
        self._need_started()
        gathered = Gathered()
        reading = Replay(run, gathered, self._cleaned)
        with self._life.observed(reading.take) as journal:
            reading.wait(journal)
        if reading.reply is not None:
            gathered.end(reading.reply)
        return None if reading.run is None else (reading.run, gathered.outputs)

    def settle_over(self) -> None:
        """On the main thread, outside of the notebook's own code: merges what a detached run that is over has changed."""
        run = self.detached
        if run is None or not run.over.is_set() or threading.current_thread() is not threading.main_thread():
            return
        self.detached = None
        with self._turns.resumed():
            run.settle()

    def _settle(
        self, run: DetachedRun, prepared: Prepared, relay: DetachedRelay, nobody: Unattended, timeout_s: float | None
    ) -> None:
        self._life.run_over()
        prepared.watch.in_place = prepared.watch.whole = True
        try:
            if run.error is not None or run.finish is None:
                raise run.error or FarcellError("The run ended without an answer.")
            run.returned = self._conversation.settle(run.pending_id, run.finish, prepared.watch)
            self._take_imported(self._conversation.exchange, run.returned.imported)
            run.conflict = self._conflict(run.pending_id, run.returned, is_detached=True)
            conclude(run.finish, run.returned, relay, nobody, self.target, self._life.log_path, timeout_s)
        except BaseException as error:
            run.error = error
        run.summary = self._summary(run.pending_id, run.seconds, prepared, run.returned, run.finish)
        run.conclude()

    def _capture(self, exchange: Exchange, why: Iterable[str], also: Mapping[str, str], imports: Iterable[str]) -> Capture:
        """Modules that the target has to load go before what refers to them. What is sent must not overwrite what the target's
        own threads have changed: that comes here first."""
        capture = exchange.capture(filter(exchange.has, why), also)
        wanted = capture.modules | exchange.unknown_modules(imports)
        if wanted:
            self._introduce(exchange, wanted, needed=capture.modules)
            capture = exchange.capture(filter(exchange.has, why), also)
        is_changed = any(report.status == "changed" for report in capture)
        if self._conversation.is_touched and is_changed and self._refresh(exchange.held):
            capture = exchange.capture(filter(exchange.has, why), also)
        return capture

    def _introduce(self, exchange: Exchange, names: Iterable[str], needed: Iterable[str] = ()) -> dict[str, Any]:
        """Has the target load modules of the notebook's own; raises Refused when one that is needed cannot be loaded there."""
        offers = exchange.introduce(names)
        answer, _ = self._conversation.ask("farcell_modules_request", {"modules": offers})
        exchange.introduced(offers, answer)
        for name in needed:
            if name in answer["failed"]:
                raise Refused(
                    f"{name}, a module of this notebook's own, cannot be loaded on {self.target!r}: {answer['failed'][name]}."
                )
        return answer

    def _take_imported(self, exchange: Exchange, names: Iterable[str]) -> None:
        """Modules of the notebook's own that the run was the first to import: here too, and in the state it left them in."""
        loaded = [name for name in names if local_module(name) is not None]
        if not loaded:
            return
        answer = self._introduce(exchange, loaded)
        changed = [pseudo_name(name) for name in answer["unequal"]]
        if changed:
            self._conversation.ask_state(names=changed, limit_bytes=self._limit_bytes, refresh=True)

    def _tell_of_order(self, finish: Finish, payload: Payload) -> None:
        """Once a session: that sets of text may be walked in another order there, when one has travelled."""
        probe = finish.reply.message.content.get("hash_probe") if finish.reply is not None else None
        if self._told_of_order or probe in (None, hashing_seed.probe()) or not has_sets_of_text(payload):
            return
        self._told_of_order = True
        self.notebook.say(
            f"Sets of text may be walked in another order on {self.target!r} than here, since its hash seed differs. "
            "Start Jupyter with PYTHONHASHSEED=0 in its environment to have one order."
        )

    def _conflict(self, run: str, returned: Returned, is_detached: bool = False) -> Conflict | None:
        if returned.aside is None:
            return None
        conflict = Conflict.of(run, self.target, self._conversation.exchange, returned.aside, is_detached)
        self.conflicts[conflict.run] = conflict
        return conflict

    def _confirm(self, capture: Capture, yes: bool) -> None:
        """A very large upload is asked about; where nobody can be asked it is refused."""
        size = capture.total_bytes
        if yes or size <= self.confirm_bytes:
            return
        largest = max(capture, key=lambda report: report.bytes_to_send)
        self._confirm_size(size, f"{largest.name}, {human_bytes(largest.bytes_to_send)}", yes)

    def _confirm_size(self, size: int, largest: str, yes: bool) -> None:
        if yes or size <= self.confirm_bytes:
            return
        what = f"{human_bytes(size)} would be sent to {self.target!r} (largest: {largest})"
        answer = self.notebook.confirm(f"{what}. Send it?")
        if answer is None:
            raise Refused(f"{what}, and nobody can be asked whether to. Nothing was run. %%remote --yes sends it unasked.")
        if not answer:
            raise Refused(f"{what}: not sent, nothing was run.")
