"""A remote session: one kernel host, its remote kernel, and what it holds, bound to one notebook.

Starts lazily, at the first run. One run at a time: others wait their turn. After the remote kernel or the host has died
the next run starts afresh and says so. All methods block and may be called from any thread; SIGINT is taken over only
while a run is waited for, and only on the main thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from farcell_host import hashing_seed
from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.state import BOOK
from farcell_host.state.capture import is_of_ipython
from farcell_host.state.modules import MODULES, find_source, import_quietly, local_module, pseudo_name, reload_quietly
from farcell_host.state.patches import PATCHES
from farcell_host.state.payload import Capture, Payload
from farcell_host.state.replica import has_sets_of_text
from farcell_host.state.watch import Watch
from farcell_host.threads import users
from IPython.core.interactiveshell import InteractiveShell

from . import environment, farewell, files
from .backends.base import Backend, LaunchOptions
from .conflicts import Conflict
from .errors import Busy, FarcellError, Refused, UsageError, without_frames
from .errors import Conflict as ConflictError
from .exchange import NOTHING, Exchange, PlanRow, Returned, plan_rows
from .interrupts import Interrupts
from .life import Life
from .outcome import conclude, fail_if_ended
from .pending import Pending, blank_header
from .refs import Ref, human_bytes
from .relay.comms import MESSAGES as COMM_MESSAGES
from .relay.comms import Comms, NotebookComms
from .relay.notebook import Notebook
from .relay.run_relay import RunRelay
from .run import PATIENCE_S, Event, Finish, HostEnded, KernelEnded, Run, Started

CONFIRM_BYTES = 8 << 30
LIMIT_BYTES = 1 << 20
LIMIT_BYTES_LOCAL = 64 << 20
INTERRUPT_CHECK_S = 0.1
_FETCHED = "_farcell_fetched"  # a name of our own for what a ref stands for, while it is fetched


@dataclass(frozen=True)
class RunSummary:
    """What one run sent, brought back and took."""

    run: str
    target: str
    seconds: float
    sent: tuple[PlanRow, ...]
    back: tuple[str, ...]
    sent_bytes: int
    received_bytes: int
    has_result: bool


@dataclass(frozen=True)
class SessionStatus:
    """A session at one moment; `state` is "not started", "idle", "running", "kernel dead" or "ended"."""

    state: str
    pid: int | None
    kernel_pid: int | None
    runtime: str | None
    epoch: int
    queued: int
    sent: int
    received: int
    runs: int


@dataclass(frozen=True)
class Moved:
    """A name that was pushed or pulled."""

    name: str
    type: str
    bytes: int


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
        self._life = Life(options, backend, self.notebook.say, self._on_message, self._tell)
        self._exchange: Exchange | None = None
        self._turn_lock = threading.Lock()
        self._turn_owner: int | None = None
        self._interrupts = Interrupts()  # of the turn's owner
        self._queued = 0
        self._pending: Pending | None = None
        self._unsent: Payload | None = None  # of the present request, as long as the peer may not have installed it
        self._watch: Watch | None = None  # of the present run
        self.conflicts: dict[str, Conflict] = {}
        self._touched = False  # the target's own threads and tasks go on
        self._compared: set[str] = set()  # modules whose packages were looked at in this session
        self._compared_roots: set[str] = set()
        self._offered: set[str] = set()  # files that the person was told of
        self._told_of_order = False
        self._runs = 0
        self._sent_bytes = 0
        self._received_bytes = 0
        farewell.remember(self)

    # -- what a session can be asked

    def run(
        self,
        code: str,
        names: Mapping[str, str] | Iterable[str] = (),
        *,
        optional: Mapping[str, str] | Iterable[str] = (),
        imports: Iterable[str] = (),
        send_files: Iterable[str] = (),
        out: Iterable[str] = (),
        keep: Iterable[str] = (),
        timeout_s: float | None = None,
        yes: bool = False,
    ) -> RunSummary:
        """Runs a cell to its end, merges what it changed, sets `_` and `Out[N]`; raises what the cell raised.

        `names` must travel, `optional` ones go along if they can; `imports` are modules that the cell imports;
        `send_files` are names and globs of files that go into the target's working folder before.
        """
        asked = files.matching(send_files)
        with self._turn():
            self.start()
            self._send_files(asked, yes)
            self._offer_files(code, asked)
            return self._run(code, _reasons(names), _reasons(optional), tuple(imports), tuple(out), tuple(keep), timeout_s, yes)

    def plan(self, names: Mapping[str, str] | Iterable[str], optional: Mapping[str, str] | Iterable[str] = ()) -> list[PlanRow]:
        """What a run that reads `names` would send. Sends nothing, starts nothing."""
        why, also = _reasons(names), _reasons(optional)
        exchange = self._exchange or self._new_exchange(0, ())
        return plan_rows(exchange.capture(why, also), {**also, **why})

    def push(self, names: Iterable[str]) -> list[Moved]:
        """Sends these names now."""
        wanted = list(names)
        missing = [name for name in wanted if name not in self.notebook.namespace]
        if missing:
            raise UsageError(f"Nothing to push: {', '.join(missing)} is not defined in this notebook.")
        with self._turn():
            self.start()
            assert self._exchange is not None
            with self._interrupts.raising():
                capture = self._exchange.capture(wanted)
            self._state_request(capture, {"names": [], "drop": [], "out": []})
            return [Moved(report.name, report.type, report.bytes_to_send) for report in capture]

    def pull(self, names: Iterable[str]) -> list[Moved]:
        """Brings these names back now, however large."""
        wanted = list(names)
        with self._turn():
            self._need_started()
            reply, returned = self._state_request(None, {"names": wanted, "drop": [], "out": wanted})
            missing = reply.get("missing") or []
            if missing:
                raise UsageError(f"{', '.join(missing)} is not defined on {self.target!r}. %remote vars lists what is.")
            sizes = returned.nbytes
            values = self.notebook.namespace
            return [Moved(name, type(values[name]).__name__, sizes) for name in wanted if name in values]

    def fetch(self, ref: Ref) -> Any:
        """Brings a ref's value here, under every name that the ref has in the notebook."""
        namespace = self.notebook.namespace
        names = [name for name, value in namespace.items() if value is ref]
        namespace[_FETCHED] = ref
        try:
            self.push([_FETCHED])
            assert self._exchange is not None  # push has started the session
            self.pull([_FETCHED, *(name for name in names if name in self._exchange.held)])
            value = namespace[_FETCHED]
            for name in names:
                namespace[name] = value
            self.notebook.replace_result(ref, value)
            return value
        finally:
            namespace.pop(_FETCHED, None)

    def let_die(self) -> None:
        """After a cell: what it deleted is as dead as without farcell, unless something goes on that may need it."""
        if self._turn_lock.acquire(blocking=False):
            try:
                if self._exchange is not None:
                    self._exchange.let_die()
            finally:
                self._turn_lock.release()

    @property
    def is_touched(self) -> bool:
        """Whether threads or tasks on the target may have changed what both sides have since the last exchange."""
        return self._touched and self.epoch > 0

    def refresh(self, undefined: Iterable[str] = ()) -> None:
        """Brings here what threads and tasks of the target have changed of all that both sides have, and those of the undefined
        names that they have made; raises Conflict where this notebook has changed the same."""
        if not self.is_touched:
            return
        with self._turn():
            if self.is_touched and self._exchange is not None:
                self._refresh(name for name in self._exchange.held.union(undefined) if not is_of_ipython(name))

    def _refresh(self, names: Iterable[str]) -> bool:
        """Whether anything came."""
        assert self._exchange is not None
        wanted = sorted(self._exchange.shared(names))
        if not wanted:
            return False
        content = {"names": wanted, "drop": [], "out": [], "limit_bytes": self._limit_bytes, "refresh": True}
        reply, returned = self._state_request(None, content, Watch({}, since_last=True))
        conflict = self._conflict(str(reply.get("run")), returned)
        if conflict is not None:
            raise ConflictError(str(conflict), conflict.run, conflict.names)
        return bool(returned.names or returned.refs)

    @property
    def _limit_bytes(self) -> int:
        return LIMIT_BYTES_LOCAL if self.options.backend.startswith("local") else LIMIT_BYTES

    def resolve(self, conflict: Conflict, take: bool) -> None:
        """Merges what the target had changed, or lets go of it."""
        with self._turn():
            conflict.settle(take)
            del self.conflicts[conflict.run]

    def compare_packages(self, names: Iterable[str]) -> environment.Comparison:
        """The versions of these distributions, which are installed here, against the target's."""
        with self._turn():
            self.start()
            return self._compare_packages(names)

    def install(self, requirements: Sequence[str]) -> None:
        """Installs into the target's environment, showing what the installer prints; raises FarcellError when it fails."""
        where = "__import__('farcell_host.inkernel.environment', fromlist=['install'])"
        try:
            self.run(f"{where}.install({list(requirements)!r})")
        except RuntimeError as error:
            raise FarcellError(f"{self.target!r}: {error}") from None

    def vars(self) -> list[dict[str, Any]]:
        """What the remote kernel holds: name, type, shape, bytes, repr."""
        with self._turn():
            self._need_started()
            return list(self._ask("farcell_vars_request", {})[0].get("vars", ()))

    def status(self) -> SessionStatus:
        kernel, allocation = self._life.kernel, self._life.allocation
        return SessionStatus(
            self._state(),
            allocation.pid if allocation else None,
            kernel.pid if kernel else None,
            allocation.runtime if allocation else None,
            kernel.epoch if kernel else 0,
            self._queued,
            self._sent_bytes,
            self._received_bytes,
            self._runs,
        )

    @property
    def is_started(self) -> bool:
        return self._life.is_started

    @property
    def epoch(self) -> int:
        """The remote kernel's number in this session; a ref is of one epoch. 0 before the first and after the last."""
        return self._life.epoch

    @property
    def is_running(self) -> bool:
        return self._pending is not None

    def interrupt(self) -> None:
        """As Ctrl-C in the cell that waits; nothing when none does."""
        pending = self._pending
        if pending is not None:
            pending.press()

    def start(self) -> None:
        """Makes sure that a kernel is up: launches a host, or restarts a kernel that has died."""
        launches = self._life.launches
        with self._interrupts.raising():
            self._life.start()
        if self._life.launches > launches:
            self._compared, self._compared_roots, self._offered = set(), set(), set()
            self._exchange = None
        kernel, connection = self._life.kernel, self._life.connection
        if kernel is not None and (self._exchange is None or self._exchange.epoch != kernel.epoch):
            assert connection is not None
            self._exchange = self._new_exchange(kernel.epoch, connection.welcome.get("hashes", ()))
            self._touched = False

    def _new_exchange(self, epoch: int, hashes: Sequence[str]) -> Exchange:
        BOOK.cells = self.notebook.cells
        return Exchange(self.notebook.namespace, epoch, hashes, lambda name, info: Ref(self, epoch, info), self._life.started_in)

    def restart(self) -> None:
        """A new remote kernel; what the old one alone held is lost."""
        with self._turn():
            self._need_started()
            with self._interrupts.raising():
                self._life.restart()
            self._comms.ended()
            self.start()

    def stop(self) -> None:
        """Ends host, kernel and connection, and a run of another thread with them. The next run starts anew."""
        self._end_run()
        with self._turn():
            self._life.stop()
            self._comms.ended()
            self._exchange = None

    def _end_run(self) -> None:
        """Interrupts the run of another thread; one that does not stop is killed."""
        pending, connection = self._pending, self._life.connection
        if pending is None or connection is None or self._turn_owner == threading.get_ident():
            return
        pending.press()
        if self._turn_lock.acquire(timeout=PATIENCE_S):
            self._turn_lock.release()
        else:
            connection.request("kill")

    def log(self, lines: int = 50) -> str:
        """The last lines of the remote kernel's and the host's log."""
        self._need_started()
        assert self._life.allocation is not None
        parts = []
        for name in ("kernel.log", "host.log"):
            path = Path(self._life.allocation.runtime) / name
            if path.exists():
                parts.append(f"== {path}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(parts)

    # -- turns

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One thing at a time on a session."""
        me = threading.get_ident()
        if self._turn_owner == me:
            raise Busy(f"A run on {self.target!r} is under way in this very thread; a remote cell cannot be started inside it.")
        try:
            with Interrupts() as interrupts:
                self._wait_for_turn(interrupts)
                self._turn_owner, self._interrupts = me, interrupts
                try:
                    yield
                finally:
                    self._turn_owner = None
                    self._turn_lock.release()
        except KeyboardInterrupt as error:
            raise without_frames(error) from None

    def _wait_for_turn(self, interrupts: Interrupts) -> None:
        if self._turn_lock.acquire(blocking=False):
            return
        self._queued += 1
        try:
            self.notebook.say(f"Waiting for the run before this one on {self.target!r} ({self._queued} waiting).")
            # Checked in between: KeyboardInterrupt out of acquire() itself could lose the lock.
            while not self._turn_lock.acquire(timeout=INTERRUPT_CHECK_S):
                interrupts.check()
        finally:
            self._queued -= 1

    def _state(self) -> str:
        if not self.is_started:
            return "ended" if self._life.allocation is not None else "not started"
        if self._life.dead is not None:
            return "kernel dead"
        return "running" if self._pending is not None else "idle"

    def _need_started(self) -> None:
        if not self.is_started:
            raise UsageError(f"No session on {self.target!r} has been started. The first %%remote cell starts one.")

    # -- on the connection thread

    def _on_message(self, message: Message, bulk: tuple[Buffer, ...]) -> None:
        pending = self._pending
        if message.channel == Channel.IOPUB and message.msg_type in COMM_MESSAGES:
            self._comms.seen(message)
        if pending is not None and pending.owns(message):
            pending.arrived(message, bulk)
        elif message.channel == Channel.IOPUB:
            self._on_stray(message)

    def _on_stray(self, message: Message) -> None:
        """Output of threads, tasks and comm callbacks outside any run: shown under the cell it came from."""
        RunRelay(self.notebook, 0).receive_stray(message)
        if message.msg_type == "status":
            self._touched = self._touched or message.parent_header.get("msg_type") == "comm_msg"  # a callback may change anything
            self._comms.status(message)

    def _send_comm(self, message: Message) -> bool:
        """From the front end to the target; whether it will say when it has dealt with it."""
        connection, kernel = self._life.connection, self._life.kernel
        if connection is None or kernel is None or not self._life.epoch:
            return False
        connection.send(message)
        return kernel.direct or self._pending is None  # ipykernel itself says nothing of those that come while a cell awaits

    def _interrupt_comm(self) -> None:
        if self._life.connection is not None:
            self._life.connection.request("interrupt", comm=True)

    def _tell(self, event: Event) -> None:
        if isinstance(event, KernelEnded | HostEnded):
            self._comms.ended()
        if self._pending is not None:
            self._pending.tell(event)

    # -- one run

    def _run(
        self,
        code: str,
        why: dict[str, str],
        also: dict[str, str],
        imports: tuple[str, ...],
        out: tuple[str, ...],
        keep: tuple[str, ...],
        timeout_s: float | None,
        yes: bool,
    ) -> RunSummary:
        assert self._exchange is not None
        began = time.monotonic()
        exchange = self._exchange
        watch = Watch(dict(self.notebook.namespace), in_place=bool(users(threading.enumerate())))
        with self._interrupts.raising():
            capture = self._capture(exchange, why, also, imports)
            self._tell_of_packages(capture, imports)
            self._confirm(capture, yes)
            payload = exchange.pack(capture)
        watch.names.update(capture.parts)
        for filename in MODULES.changed_files(seen.source.name for seen in exchange.known_modules()):
            self.notebook.say(
                f"{filename} has changed since it was loaded. The loaded version runs, as here; importlib.reload loads the new."
            )
        count = self.notebook.execution_count
        relay = RunRelay(self.notebook, count)
        content = {
            "code": code,
            "filename": self.notebook.filename(code),
            "execution_count": count,
            "silent": False,
            "store_history": True,
            "allow_stdin": self.notebook.allow_stdin,
            "user_expressions": {},
            "names": list(capture.names),
            "drop": list(capture.deleted),
            "assigned": PATCHES.paths,
            "out": list(out),
            "keep": list(keep),
            "limit_bytes": self._limit_bytes,
            "state": None if payload.is_empty else payload.header,
        }
        self._runs += 1
        pending, finish, returned = self._converse(relay, "farcell_run_request", content, payload, timeout_s, watch)
        self._received_bytes += returned.nbytes
        self._tell_of_order(finish, payload)
        self._take_imported(exchange, returned.imported)
        conflict = self._conflict(pending.id, returned)
        if conflict is not None and finish.is_error:
            self.notebook.say(str(conflict))
        with self._interrupts.raising():  # showing a result calls the notebook's own code
            conclude(finish, returned, relay, self.notebook, self.target, self._life.log_path, timeout_s)
        if pending.failure is not None:
            raise pending.failure
        if finish.interrupted_too_late or pending.pressed_late():
            raise KeyboardInterrupt
        if conflict is not None:
            raise ConflictError(str(conflict), conflict.run, conflict.names)
        return RunSummary(
            pending.id,
            self.target,
            time.monotonic() - began,
            tuple(plan_rows(capture, {**also, **why})),
            returned.names,
            payload.total_bytes,
            returned.nbytes,
            returned.result is not NOTHING,
        )

    def _capture(self, exchange: Exchange, why: Iterable[str], also: Mapping[str, str], imports: Iterable[str]) -> Capture:
        """Modules that the target has to load go before what refers to them. What is sent must not overwrite what the target's
        own threads have changed: that comes here first."""
        capture = exchange.capture(filter(exchange.has, why), also)
        wanted = capture.modules | exchange.unknown_modules(imports)
        if wanted:
            self._introduce(exchange, wanted, needed=capture.modules)
            capture = exchange.capture(filter(exchange.has, why), also)
        is_changed = any(report.status == "changed" for report in capture)
        if self._touched and is_changed and self._refresh(exchange.held):
            capture = exchange.capture(filter(exchange.has, why), also)
        return capture

    def _introduce(self, exchange: Exchange, names: Iterable[str], needed: Iterable[str] = ()) -> dict[str, Any]:
        """Has the target load modules of the notebook's own; raises Refused when one that is needed cannot be loaded there."""
        offers = exchange.introduce(names)
        answer, _ = self._ask("farcell_modules_request", {"modules": offers})
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
            content = {"names": changed, "drop": [], "out": [], "limit_bytes": self._limit_bytes, "refresh": True}
            self._state_request(None, content)

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

    def _tell_of_packages(self, capture: Capture, imports: Iterable[str]) -> None:
        """Once a session and package: where the target has another version of what the cell imports, or none."""
        if environment.is_own_by(self.options):
            return
        read = {part.value.__name__ for part in capture.parts.values() if isinstance(part.value, ModuleType)}
        new = {name for name in {*read, *imports} if name not in self._compared}
        if not new:
            return
        self._compared |= new
        roots = environment.roots_of(new) - self._compared_roots
        self._compared_roots |= roots
        names = environment.distributions(roots)
        found = self._compare_packages(names) if names else None
        if found is None or found.is_own or not found.differences:
            return
        what = ", ".join(each.as_text for each in found.differences)
        command = f"%remote env sync {self.target} {' '.join(each.name for each in found.differences)}"
        self.notebook.say(f"{self.target!r} has other packages than this notebook: {what}. The same ones: {command}")

    def _send_files(self, asked: Sequence[files.File], yes: bool) -> None:
        """Into the target's working folder, those that it does not have as they are here."""
        sent = self._differing(asked)
        if not sent:
            return
        size, largest = sum(file.size for file in sent), max(sent, key=lambda file: file.size)
        self._confirm_size(size, f"{largest.path}, {human_bytes(largest.size)}", yes)
        for pieces, payload in files.requests(sent):
            self._ask("farcell_files_request", {"write": pieces}, payload)
        for file in sent:
            self._offered.add(file.path)
        which = ", ".join(f"{file.path} ({human_bytes(file.size)})" for file in sent[:3])
        more = f" and {len(sent) - 3} more" if len(sent) > 3 else ""
        self.notebook.say(f"Sent {which}{more} into the working folder of {self.target!r}.")

    def _offer_files(self, code: str, sent: Sequence[files.File]) -> None:
        """Once a session and file: how one that the cell names would go along."""
        if files.shares_folder(self.options):
            return
        shell = self.notebook.shell
        named = files.named_in(code, shell.transform_cell if shell is not None else None)
        new = [file for file in named if file.path not in self._offered and file not in sent]
        lacking = self._differing(new)
        self._offered.update(file.path for file in new)
        if lacking:
            which = ", ".join(f"{file.path} ({human_bytes(file.size)})" for file in lacking)
            options = " ".join(f"--files {file.path!r}" if " " in file.path else f"--files {file.path}" for file in lacking)
            self.notebook.say(
                f"This cell names {which}, which {self.target!r} has not as here. "
                f"To send it along: %%remote {self.target} {options}"
            )

    def _differing(self, asked: Sequence[files.File]) -> list[files.File]:
        """Those that the target's working folder does not have with the same content."""
        if not asked:
            return []
        assert self._exchange is not None
        with self._interrupts.raising():
            compare = [file.as_json() for file in asked]
        around = self._exchange.capture(())  # the working folder may be another one by now
        if around.stamps:
            self._state_request(around, {"names": [], "drop": list(around.deleted), "out": []})
        answer, _ = self._ask("farcell_files_request", {"compare": compare})
        return [file for file in asked if file.path in answer["differing"]]

    def _compare_packages(self, names: Iterable[str]) -> environment.Comparison:
        answer, _ = self._ask("farcell_environment_request", {"distributions": list(names)})
        return environment.compare(self.options, answer)

    def _conflict(self, run: str, returned: Returned) -> Conflict | None:
        if returned.aside is None:
            return None
        assert self._exchange is not None
        conflict = Conflict.of(run, self.target, self._exchange, returned.aside)
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

    def _new_pending(self, relay: RunRelay, timeout_s: float | None = None) -> Pending:
        assert self._life.connection is not None and self._life.kernel is not None
        run = Run(self.target, timeout_s, needs_idle=not self._life.kernel.direct)
        return Pending(self.notebook, run, relay, self._life.connection, self._interrupts, self._answer_fetch)

    def _converse(
        self,
        relay: RunRelay,
        msg_type: str,
        content: dict[str, Any],
        payload: Payload | None,
        timeout_s: float | None = None,
        watch: Watch | None = None,
    ) -> tuple[Pending, Finish, Returned]:
        """Sends a request, waits for its end and merges what came back.

        Ctrl-C before it was sent raises KeyboardInterrupt, and nothing has happened; from then on it is a message.
        """
        assert self._life.connection is not None
        pending = self._new_pending(relay, timeout_s)
        finish, returned = self._converse_once(pending, msg_type, content, payload, watch)
        if finish.could_not_read:
            self._life.connection.reads_memory = False
            pending.check()
            pending = self._new_pending(relay, timeout_s)
            finish, returned = self._converse_once(pending, msg_type, content, payload, watch)
        return pending, finish, returned

    def _converse_once(
        self, pending: Pending, msg_type: str, content: dict[str, Any], payload: Payload | None, watch: Watch | None
    ) -> tuple[Finish, Returned]:
        assert self._life.connection is not None and self._exchange is not None and self._life.kernel is not None
        connection, exchange, direct = self._life.connection, self._exchange, self._life.kernel.direct
        header = {**(self.notebook.cell_header() or blank_header()), "farcell_run": pending.id}
        buffers = payload.buffers if payload is not None else ()
        message = Message.build(Channel.SHELL, msg_type, {"run": pending.id, **content}, header=header, buffers=tuple(buffers))
        with self._interrupts.telling(pending.press):
            self._pending = pending
            self._unsent = payload
            self._watch = watch
            try:
                bulk = connection.prepare(payload.bulk, pending.check, may_stay=direct) if payload is not None else None
                pending.relay.before()
                with self._of_notebook.waiting(), connection.lent():
                    connection.send(message, bulk)
                    self._sent_bytes += payload.total_bytes if payload is not None else 0
                    pending.tell(Started(time.monotonic()))
                    late = self._life.late_death
                    if late is not None:
                        pending.tell(late)
                    finish = pending.wait()
                connection.uploaded()
                return finish, self._merge(finish, exchange)
            finally:
                self._pending = self._unsent = self._watch = None

    def _installed(self) -> None:
        """The peer has shown that it installed the request's state."""
        payload, self._unsent = self._unsent, None
        if payload is not None and payload.receipt is not None and self._exchange is not None:
            self._exchange.sent(payload)

    def _merge(self, finish: Finish, exchange: Exchange) -> Returned:
        if finish.reply is None:
            return Returned()
        content = finish.reply.message.content
        if content.get("status") in ("ok", "error"):
            self._installed()
        self._touched = bool(content.get("background", self._touched))
        imported = self._import_too(content.get("imported") or {})
        if self._watch is not None and not self._watch.since_last:
            self._watch.in_place = self._watch.in_place or bool(users(threading.enumerate()))
        returned = exchange.merge(content.get("state"), finish.reply.message.buffers, finish.reply.bulk, self._watch)
        if returned.left:
            self.notebook.say(
                f"What the cell has changed cannot be changed in place here: {', '.join(returned.left)} in this notebook "
                "goes on with the old object. Bind it anew from a name of the notebook."
            )
        return replace(returned, imported=imported)

    def _import_too(self, versions: Mapping[str, str]) -> tuple[str, ...]:
        """What the run has imported or reloaded is so here before its values come, which may refer to it; without its prints."""
        done = []
        for name, version in versions.items():
            try:
                module = local_module(name)
                if module is None:
                    import_quietly(name)
                elif MODULES.see(module).source.version != version:
                    reload_quietly(module)
                done.append(name)
            except Exception as error:
                self.notebook.say(
                    f"{name}, imported on {self.target!r}, cannot be imported here: {type(error).__name__}: {error}"
                )
        return tuple(done)

    def _answer_fetch(self, request: Message) -> None:
        """The running cell read a name it was not sent: answered always, from the notebook as it is now, or it waits for ever."""
        assert self._exchange is not None and self._life.connection is not None
        self._installed()
        names = request.content.get("names", ())
        found = [name for name in names if self._exchange.has(name)]
        content: dict[str, Any] = {
            "run": request.content.get("run"),
            "found": found,
            "missing": [name for name in names if name not in found],
            "error": None,
            "state": None,
        }
        payload, bulk = None, None
        try:
            module = request.content.get("module")
            source = find_source(module, request.content.get("anew", False)) if module else None
            content["source"] = dataclasses.asdict(source) if source is not None else None
            if found:
                payload = self._exchange.pack(self._exchange.capture(found, ambient=False))  # the cell has its own by now
                bulk = self._life.connection.prepare(payload.bulk)
                content["state"] = None if payload.is_empty else payload.header
        except Exception as error:
            payload, bulk = None, None
            content.update(found=[], error=str(error).removesuffix(" The cell was not run."))
        header = {**blank_header(), "farcell_run": self._pending.id if self._pending else ""}
        buffers = tuple(payload.buffers) if payload is not None else ()
        reply = Message.build(
            Channel.STDIN, "farcell_fetch_reply", content, header=header, parent=request.header, buffers=buffers
        )
        self._life.connection.send(reply, bulk)
        if payload is not None:
            self._sent_bytes += payload.total_bytes
            self._exchange.sent(payload)
        if self._watch is not None:
            self._watch.add(content["found"], self.notebook.namespace)

    # -- requests that are not runs

    def _state_request(
        self, capture: Capture | None, content: dict[str, Any], watch: Watch | None = None
    ) -> tuple[dict[str, Any], Returned]:
        assert self._exchange is not None
        payload = self._exchange.pack(capture) if capture is not None else None
        install = payload.header if payload is not None and not payload.is_empty else None
        reply, returned = self._ask("farcell_state_request", {**content, "install": install}, payload, watch)
        self._received_bytes += returned.nbytes
        return reply, returned

    def _ask(
        self, msg_type: str, content: dict[str, Any], payload: Payload | None = None, watch: Watch | None = None
    ) -> tuple[dict[str, Any], Returned]:
        relay = RunRelay(self.notebook, self.notebook.execution_count)
        pending, finish, returned = self._converse(relay, msg_type, content, payload, watch=watch)
        fail_if_ended(finish, self.target, self._life.log_path)
        assert finish.reply is not None
        reply = finish.reply.message.content
        if reply.get("status", "ok") != "ok":
            raise Refused(f"{self.target!r}: {reply.get('message') or reply.get('status')}")
        if finish.interrupted or pending.pressed_late():
            raise KeyboardInterrupt
        return {**reply, "run": pending.id}, returned


def _reasons(names: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    return dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, "")
