"""The kernel host: a daemon that owns one remote kernel and outlives every connection to it.

It relays. What clients send goes through `delivery` to the kernel; what the kernel sends is journalled as it came and read
from the journal by each connection at its own pace, so no reader, slow or gone, holds the kernel back or costs memory. It
ends when it is told, when nobody used it for `idle_timeout_s` (warned, then saved: `idleness`, `retirement`), when no driver came
back for `keep_s` and no run is unfinished, when none ever came, or when its folder is gone; the kernel ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import math
import os
import platform
import shutil
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import __version__, bulk, capabilities, chunkstore, journal, runtime, telemetry, usage
from .attach import ATTACH_SOCKET
from .delivery import Delivery
from .errors import FarcellHostError, ProtocolError
from .held import HeldBulk
from .idleness import Idleness, Verdict, spoken
from .journal import Entry, Journal, entry_of
from .kernel import Kernel
from .kernellink import BULK_KEY, FromKernel
from .kernelprocess import KernelProcess
from .peerlink import PeerLink
from .protocol import events
from .protocol.frames import Descriptor, FrameReader, Kind, MessageAssembler, decode_chunk
from .protocol.messages import CELL_KEY, Channel, Message, encode_json
from .protocol.roles import OBSERVER_REQUESTS, ONCE_REQUESTS, Answers, Inbox, Roles
from .reasons import Reason
from .retirement import Retirement
from .stream import from_socket
from .telemetry import Telemetry
from .usage import Accounts
from .walltime import WARNINGS_S

WANTED = "a notebook asked for it"
_BACKLOG = 64
_LONGEST_TICK_S = 5.0
_GOODBYE_S = 2.0
_SILENT_S = 30.0  # clients that can be cut off ask for a sign of life every two
_INTERRUPT_AGAIN_S = 1.0
_LEAD_S = 20.0
_VARS_S = 10.0
_MOVING_S = 0.5  # between two looks at what is on its way, while somebody watches
_LONGEST_WATCH_S = 60.0  # a question does not outlive by more whoever has asked it
_LOG_BYTES = 1 << 20
_TOLD_CHARACTERS = 2000
_SAVED_BYTES_PER_S = 50e6  # a slow shared file system

log = logging.getLogger("farcell.host")


@dataclass(frozen=True)
class HostOptions:
    runtime: Path
    python: str = sys.executable
    cwd: str | None = None
    idle_timeout_s: float = 3600.0
    keep_s: float = 600.0
    first_driver_s: float = 600.0  # whoever started it and does not come by then never will
    journal_bytes: int = journal.QUOTA_BYTES
    chunk_bytes: int = chunkstore.QUOTA_BYTES
    notebook: str | None = None
    target: str | None = None
    price_per_hour: float | None = None
    zmq_only: bool = False
    journal: Path | None = None  # its folder, where it is not to lie in the runtime folder
    is_job: bool = False  # the batch step of a scheduler's job, which ends with it
    snapshots: Path = field(default_factory=lambda: chunkstore.own_folder() / "snapshots")
    report: Path | None = None  # a file that says why the host has ended
    log: Path | None = None  # what this process prints, where that is not host.log in the runtime folder
    save_grace_s: float = 10.0

    def start_kernel(self) -> KernelProcess:
        return KernelProcess(self.runtime, self.python, self.cwd, direct=not self.zmq_only)


class Host:
    def __init__(self, options: HostOptions, lock: runtime.HostLock, process: KernelProcess) -> None:
        """`process`: the first kernel, started before this module and what it needs were imported."""
        self.options = options
        self.started, self._began = time.time(), time.monotonic()
        self._lock = lock
        self._journal = Journal(options.journal or options.runtime / "journal", options.journal_bytes)
        self._held = HeldBulk()
        self._store = chunkstore.ChunkStore(chunkstore.own_folder() / "chunks", options.chunk_bytes)
        self._delivery = Delivery(self._store, self._publish)
        self._roles = Roles()
        self._inbox = Inbox()
        self._answers = Answers()
        self._untaken: dict[str, int] = {}
        """Runs that are over, by the number of their replies: until a driver has acknowledged it, or says that it has taken what
        came with it."""
        self._cells: dict[str, str] = {}
        self._requests: dict[str, str] = {}
        """The notebook's own messages, by the runs of cells that they asked for."""
        self._links: set[PeerLink] = set()
        self._listeners: list[socket.socket] = []
        self._stopped = asyncio.Event()
        self._active_at = self._driverless_at = time.monotonic()
        loop = asyncio.get_running_loop()
        idle_s = max(0.1, min(telemetry.IDLE_S, options.idle_timeout_s / 4, options.keep_s / 4))
        self._telemetry = Telemetry(loop, lambda: self._kernel.process.pid, self._gpu_in_use, idle_s)
        self._accounts = Accounts(
            chunkstore.own_folder() / usage.FOLDER,
            loop,
            lambda: self._telemetry.gpus_used,
            job=usage.job_of(os.environ),
            owns_job=options.is_job,
            target=options.target,
            notebook=options.notebook,
            price_per_hour=options.price_per_hour,
        )
        self.news = asyncio.Event()
        """That there may be something to say of runs and connections; whoever waits for it clears it."""
        self._watchers: set[asyncio.Event] = set()
        self._is_recorded = False
        self._why: str | None = None
        self._idleness = Idleness(options.idle_timeout_s)
        self._had_driver = False
        self._wall_time_ends: float | None = None
        self._kernel = self._adopt(process, 1)
        self._own_requests: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._answered = asyncio.Event()
        self._beside: set[asyncio.Task[None]] = set()
        self.retirement = Retirement(self, options.snapshots, options.report, options.save_grace_s)

    # -- life

    async def serve(self, on_listening: Callable[[Host], None]) -> None:
        """Until it is stopped."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        try:
            for name in (runtime.SOCKET, ATTACH_SOCKET):
                self._listen(name)
            self._write_info()
            on_listening(self)
            self._tick()
            loop.call_later(usage.FLUSH_S, self._accounts.begin)
            await self._stopped.wait()
            await self._say_goodbye()
        finally:
            self._close()

    def stop(self, reason: str) -> None:
        log.info("Ending: %s", reason)
        self._why = self._why or reason
        self._stopped.set()

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on beside the host, and ends with it."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _changed(self) -> None:
        """There may be something to say of runs, of the kernel or of who drives."""
        self.news.set()
        for watcher in self._watchers:
            watcher.set()

    def take(self, data: bytes) -> None:
        """What a notebook has left for it, which is not connected: frames, as a driver sends them."""
        assembler = MessageAssembler()
        for frame in FrameReader().feed(data):
            if frame.kind == Kind.CHUNK:
                self._delivery.chunk(*decode_chunk(frame))
            elif (message := assembler.add(frame)) is not None:
                self._delivery.accept(message, {})

    async def sync_journal(self) -> None:
        """Has what the kernel has said so far in the journal's file system, and not in this node's memory alone."""
        fd = self._journal.open_newest()
        try:
            await asyncio.to_thread(os.fdatasync, fd)
        finally:
            os.close(fd)

    def notify(self, text: str, **more: Any) -> None:
        """Shown in the notebook, beside the output of the cell that runs."""
        self._publish(Message.build(Channel.CONTROL, "farcell_notice", {"text": text, **more}))

    def info(self) -> dict[str, Any]:
        folder = self.options.runtime
        return {
            "socket": str(folder / runtime.SOCKET),
            "pid": os.getpid(),
            "runtime": str(folder),
            "kernel_pid": self._kernel.process.pid,
            "python": self.options.python,
            "notebook": self.options.notebook,
            "target": self.options.target,
            "started": self.started,
            "session": self._accounts.session,
            "version": __version__,
        }

    def _write_info(self) -> None:
        self._lock.write(self.info())

    def _listen(self, name: str) -> None:
        path = self.options.runtime / name
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind(str(path))
        sock.listen(_BACKLOG)
        self._listeners.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock, name == runtime.SOCKET)

    def _tick(self) -> None:
        """The watchdog: looks at the clock a few times within the shortest time-out."""
        if self._stopped.is_set():
            return
        now = time.monotonic()
        options = self.options
        if self._is_working:
            self._active_at = self._driverless_at = now
        if self._driver is not None:
            self._driverless_at = now
        for link in [link for link in self._links if link.is_silent(now, _SILENT_S)]:
            log.info("A connection says nothing any more")
            self._links.discard(link)
            link.close()
        verdict = self._idleness.look(now - self._active_at)
        if verdict is Verdict.WARN:
            self._warn_of_release()
        unattended_s = self._unattended_s
        if verdict is Verdict.RELEASE:
            self.retirement.begin(f"nothing was run for {spoken(options.idle_timeout_s)}", Reason.IDLE)
        elif now - self._driverless_at > unattended_s:
            why = f"no notebook came{' back' if self._had_driver else ''} for {unattended_s:g} s"
            if options.report is not None and self._untaken:  # whoever comes later finds what it made
                self.retirement.begin(why)
            else:
                self.stop(why)
        elif not (options.runtime / runtime.HOST_FILE).exists():
            self.stop("the runtime folder is gone")
        pause = min(_LONGEST_TICK_S, max(0.05, min(options.idle_timeout_s, options.keep_s, options.first_driver_s) / 10))
        asyncio.get_running_loop().call_later(pause, self._tick)

    @property
    def _unattended_s(self) -> float:
        """How long the session goes on without a notebook."""
        options = self.options
        # A scheduler's job begins when it can, with its notebook perhaps asleep.
        first_s = math.inf if self._had_driver or options.report is not None else options.first_driver_s
        return min(options.keep_s, first_s)

    def wall_time_left(self, seconds: float | None) -> None:
        """What the scheduler says of the job that this host is; it ends earlier by what a save takes."""
        self._wall_time_ends = None if seconds is None else time.monotonic() + seconds
        self._changed()

    def _ending(self, now: float) -> dict[str, Any] | None:
        """When and why the session ends by itself if nobody does anything, and how long before that is told; None if never."""
        ends: list[tuple[float, str, float]] = []
        if not self._is_working:
            idle, unattended_s = self._idleness, self._unattended_s
            ends.append((idle.left_s(now - self._active_at), "idle", idle.lead_s))
            if self._driver is None:
                left_s = max(0.0, unattended_s - (now - self._driverless_at))
                ends.append((left_s, "unattended", min(WARNINGS_S[0], unattended_s / 4)))
        if self._wall_time_ends is not None:
            ends.append((max(0.0, self._wall_time_ends - now - self.save_lead_s()), "wall-time", WARNINGS_S[0]))
        in_s, why, lead_s = min(ends, default=(math.inf, "", 0.0))
        return None if math.isinf(in_s) else {"in_s": in_s, "why": why, "lead_s": lead_s}

    def _gpu_in_use(self) -> None:
        """A program that a cell has left on a GPU is work, though no cell runs."""
        self._active_at = self._driverless_at = time.monotonic()

    def _warn_of_release(self) -> None:
        options, watch = self.options, self._idleness
        self.notify(
            f"Nothing was run on {options.target or 'this session'!r} for {spoken(watch.timeout_s - watch.lead_s)}: its session "
            f"ends in {spoken(watch.lead_s)}. Its variables are saved then as far as they can be; what cannot be, and what its "
            "threads do, is lost. Any cell on it keeps it; idle_timeout_s of the target says for how long."
        )

    @property
    def leaves_journal(self) -> bool:
        """Whether what the kernel has said is left to whoever asks later: there are runs whose results nobody has taken."""
        return self.options.report is not None and self._why != WANTED and bool(self._untaken or self._kernel.run)

    @property
    def _is_working(self) -> bool:
        return bool(self._kernel.is_alive and (self._kernel.asked or not self._delivery.is_empty))

    @property
    def _driver(self) -> PeerLink | None:
        return next((link for link in self._links if link.role == "driver"), None)

    async def _say_goodbye(self) -> None:
        """What was answered and journalled still goes out."""
        links = list(self._links)
        for link in links:
            link.finish()
        deadline = time.monotonic() + _GOODBYE_S
        while any(not link.stream.closed for link in links) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for task in list(self._beside):
            task.cancel()
        for sock in self._listeners:
            loop.remove_reader(sock)
            sock.close()
        for link in list(self._links):
            link.close()
        self._kernel.close()
        self._delivery.end()
        self._telemetry.close()
        self._accounts.close(self._is_recorded, self._why)
        self._held.close()
        self._journal.close(keep=self.leaves_journal)
        shutil.rmtree(self.options.runtime, ignore_errors=True)
        self._lock.close()

    # -- the remote kernel

    def _adopt(self, process: KernelProcess, epoch: int) -> Kernel:
        kernel = Kernel(
            process, epoch, self._from_kernel, self._filled, self._kernel_started, self._kernel_ended, self._to_kernel
        )
        self._delivery.kernel = kernel
        return kernel

    def _kernel_started(self, fields: dict[str, Any]) -> None:
        kernel = self._kernel
        kernel.process.started()
        content = {**fields, "epoch": kernel.epoch, "pid": kernel.process.pid, "direct": kernel.direct}
        self._publish(Message.build(Channel.CONTROL, "farcell_kernel_started", content))
        self._changed()
        self._delivery.advance()

    def _kernel_ended(self) -> None:
        kernel = self._kernel
        code = kernel.process.returncode
        died_of = None if code is None or code >= 0 else capabilities.signal_name(-code)
        how = f"was ended by {died_of}" if died_of else f"exited with code {code}"
        log.warning("The remote kernel (pid %d) %s", kernel.process.pid, how)
        self._delivery.why_dead = f"The remote kernel {how}; its state is lost. Start a new one with %remote restart."
        self._tell_death(None if died_of else code, died_of)
        self._held.forget()
        self._run_broken("died")
        kernel.asked.clear()
        self._delivery.abort(self._delivery.why_dead)
        for asked in self._own_requests.values():
            if not asked.done():
                asked.set_exception(FarcellHostError("the remote kernel has ended"))
        self._answered.set()
        self._changed()

    def _tell_death(self, exit_code: int | None, died_of: str | None) -> None:
        kernel = self._kernel
        content = {
            "epoch": kernel.epoch,
            "exit_code": exit_code,
            "signal": died_of,
            "run": kernel.run,
            **kernel.process.last_words(),
        }
        self._publish(Message.build(Channel.CONTROL, "farcell_kernel_died", content))

    def _restart(self) -> None:
        before = self._kernel
        was_alive, asked = before.is_alive, bool(before.asked)
        before.close()
        if was_alive and asked:
            self._tell_death(None, "SIGKILL")
        self._held.forget()
        self._run_broken("killed")
        self._delivery.abort("The remote kernel was restarted before this began")
        self._kernel = self._adopt(self.options.start_kernel(), before.epoch + 1)
        self._write_info()

    @property
    def last(self) -> int:
        """How many messages are journalled."""
        return self._journal.last

    @property
    def run(self) -> str | None:
        """The run in progress."""
        return self._kernel.run

    def close_to_runs(self, reason: str) -> None:
        """What has not begun is refused from now on."""
        self._delivery.close(reason)

    async def interrupted(self, timeout_s: float) -> bool:
        """Interrupts the run in progress, again and again; whether it is over in time."""
        deadline = time.monotonic() + timeout_s
        while self._kernel.is_alive and self._kernel.run is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._kernel.interrupt()
            self._answered.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._answered.wait(), min(left, _INTERRUPT_AGAIN_S))
        return self._kernel.is_alive

    async def ask_kernel(self, msg_type: str, content: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """A request of the host's own; the reply's content. Raises FarcellHostError when the kernel is gone, and TimeoutError."""
        if not self._kernel.is_alive or not self._kernel.is_ready:
            raise FarcellHostError("the remote kernel is not running")
        message = Message.build(Channel.SHELL, msg_type, content)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        id = str(message.header["msg_id"])
        self._own_requests[id] = answer
        try:
            self._kernel.send(message, [])
            return await asyncio.wait_for(answer, timeout_s)
        finally:
            del self._own_requests[id]

    def save_lead_s(self) -> float:
        """How long before the end a save should begin, by the memory that there is to save and to wait for a run."""
        memory = capabilities.resident_bytes(self._kernel.process.pid) if self._kernel.is_alive else None
        return _LEAD_S + self.options.save_grace_s + (memory or 0) / _SAVED_BYTES_PER_S

    def _from_kernel(self, messages: list[FromKernel]) -> None:
        """Journalled as they came, in one write, but for answers to the host's own questions; only replies are looked at."""
        answered = False
        entries: list[Entry] = []
        first = self._journal.next
        for item in messages:
            number, entry = first + len(entries), Entry(item.channel, item.bodies, bool(item.descriptors))
            if item.channel == Channel.SHELL:
                reply = item.message()
                run = self._kernel.answered(reply)
                answered = True
                asked = self._own_requests.get(str(reply.parent_header.get("msg_id")))
                if asked is not None:
                    if not asked.done():
                        asked.set_result(reply.content)
                    continue
                self._active_at = time.monotonic()
                if run is not None:
                    self._untaken[run] = number
                    entry = self._run_ended(run, reply, entry)
            if item.descriptors:
                self._held.hold(number, item.descriptors)
            entries.append(entry)
        self._journal.append(entries)
        self._wake_all()
        if answered:
            self._answered.set()
            self._changed()
            self._delivery.advance()

    def _filled(self, descriptor: Descriptor, size: int | None) -> None:
        """The kernel writes a buffer of a message that is to come; its last words on it, if there is no `size`."""
        if size is None:
            self._held.forget([descriptor])
            return
        file = self._held.filling(descriptor, size)
        for link in list(self._links):
            link.hash_ahead(file)

    def _to_kernel(self, run: str | None, message: Message) -> None:
        self._accounts.sent(run, message)
        if run is not None:
            self._telemetry.run_began()
            self._kernel.process.run_began()
            self._changed()

    def _run_ended(self, run: str, reply: Message, entry: Entry) -> Entry:
        """What to journal as its reply: as it came, unless there is something to add of the GPUs."""
        fields = telemetry.peak_fields(self._telemetry.run_ended())
        self._accounts.ended(run, reply, fields)
        if fields is None:
            return entry
        header, parent, metadata, _ = reply.parts
        content = encode_json({**reply.content, "usage": {**reply.content.get("usage", {}), "gpus": fields}})
        return entry_of(Message(reply.channel, (header, parent, metadata, content), reply.buffers), entry.alone)

    def _run_broken(self, state: str) -> None:
        self._telemetry.run_ended()
        self._accounts.broken(state)

    def _publish(self, message: Message) -> None:
        self._journal.append([entry_of(message)])
        self._wake_all()

    def _wake_all(self) -> None:
        for link in list(self._links):
            link.wake()

    # -- connections

    def _accept(self, listener: socket.socket, with_descriptors: bool) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        uid = capabilities.peer_uid(sock)
        if uid is not None and uid not in (os.geteuid(), 0):
            log.warning("User %d tried to connect", uid)
            sock.close()
            return
        endpoint = from_socket(sock)
        endpoint.supports_descriptors = endpoint.supports_descriptors and with_descriptors
        self._links.add(PeerLink(endpoint, self._journal, self._held, self._store, self._handle, self._lost))

    def _lost(self, link: PeerLink, error: Exception | None) -> None:
        if error is not None:
            log.info("A connection was lost: %s", error)
        self._links.discard(link)
        self._changed()

    def _handle(self, link: PeerLink, happened: list[events.Event]) -> None:
        left = deque(happened)
        try:
            while left:
                self._happened(link, left.popleft())
        except ProtocolError:
            for event in left:
                if isinstance(event, events.DescriptorArrived):
                    os.close(event.descriptor.fd)
            raise

    def _happened(self, link: PeerLink, event: events.Event) -> None:
        if isinstance(event, events.Received):
            self._received(link, event)
        elif isinstance(event, events.Acknowledged):
            self._acknowledged(link, event.sequence)
        elif isinstance(event, events.Requested):
            self._requested(link, event)
        elif isinstance(event, events.ChunkArrived) and self._may_send(link):
            self._delivery.chunk(event.address, event.data)
        elif isinstance(event, events.DescriptorArrived):
            link.arrived[event.descriptor.id] = event.descriptor
        elif isinstance(event, events.Greeted):
            self._greeted(link, event.hello)

    def _greeted(self, link: PeerLink, hello: events.Hello) -> None:
        admission = self._roles.admit(hello)
        if not admission.ok:
            self._links.discard(link)
            link.refuse(admission.code, admission.message)
            return
        link.hello, link.role, link.generation = hello, admission.role, admission.generation
        self._changed()
        if admission.role == "driver":
            self._had_driver = True
            self._displace(link)
        if hello.messages:
            link.follow(min(hello.cursor, self._journal.last))
        link.peer.welcome(
            generation=admission.generation,
            received=self._inbox.received(hello.client),
            last=self._journal.last,
            epoch=self._kernel.epoch,
            hashes=list(bulk.available_hashes()),
            descriptors=link.uses_descriptors,
            python=platform.python_version(),
            platform=platform.platform(),
            pid=os.getpid(),
            kernel_pid=self._kernel.process.pid,
            direct=self._kernel.direct,
            version=__version__,
        )

    def _displace(self, link: PeerLink) -> None:
        """An older connection of the driver, or of the one before it: told so, and closed."""
        for other in [other for other in self._links if other.role == "driver" and other is not link]:
            self._links.discard(other)
            if other.hello is not None and link.hello is not None and other.hello.client == link.hello.client:
                other.close()
            else:
                other.refuse("superseded", "Another notebook took this remote session over")

    def _may_send(self, link: PeerLink) -> bool:
        return link.hello is not None and link.role == "driver" and self._roles.may_send(link.hello.client, link.generation)

    def _received(self, link: PeerLink, event: events.Received) -> None:
        if not self._may_send(link) or link.hello is None:
            raise ProtocolError("Only the driver of a remote session may send messages")
        message = event.message
        fresh = self._inbox.accept(link.hello.client, message.channel, event.sequence)
        link.acknowledge(message.channel, event.sequence)
        if fresh:
            self._active_at = time.monotonic()
            for taken in self._delivery.accept(message, link.arrived):
                del link.arrived[taken]
            if message.channel == Channel.SHELL:
                self._note_cell(message)
                self._changed()
            return
        for entry in message.metadata.get(BULK_KEY, ()):  # sent again: it was delivered before the cut
            descriptor = link.arrived.pop(entry.get("descriptor"), None)
            if descriptor is not None:
                os.close(descriptor.fd)

    def _note_cell(self, message: Message) -> None:
        """Which cell a run is of, as its front end names cells."""
        cell = message.header.get(CELL_KEY)
        if cell is not None and message.msg_type == "farcell_run_request":
            unended = self._unended
            run = str(message.header.get("farcell_run"))
            self._cells = {run: known for run, known in self._cells.items() if run in unended}
            self._cells[run] = str(cell)
            self._requests = {run: known for run, known in self._requests.items() if run in unended}
            self._requests[run] = str(message.header.get("msg_id"))

    def _acknowledged(self, link: PeerLink, sequence: int) -> None:
        if self._may_send(link):
            self._journal.acknowledge(sequence)
            self._held.release(min(sequence, self._journal.last))
            for run in [run for run, reply in self._untaken.items() if reply <= sequence and run not in self._delivery.detached]:
                del self._untaken[run]
                self._changed()

    # -- requests

    def _requested(self, link: PeerLink, event: events.Requested) -> None:
        name = event.op
        # An observer's questions are not told apart: command lines share a client name.
        driver = link.hello.client if name in ONCE_REQUESTS and link.hello is not None and self._may_send(link) else None
        earlier = self._answers.earlier(driver, event.id) if driver is not None else None
        if earlier is not None:
            link.peer.respond(event.id, earlier[0], **earlier[1])
            return
        answer = getattr(self, f"_op_{name}", None) if name.isidentifier() else None
        if answer is None:
            link.peer.respond(event.id, False, message=f"This kernel host knows no request {name!r}")
        elif name not in OBSERVER_REQUESTS and not self._may_send(link):
            link.peer.respond(event.id, False, message=f"Only the driver of a remote session may ask {name!r}")
        else:
            try:
                fields = answer(link, event.fields)
                if inspect.isawaitable(fields):
                    self._answer_later(link, event, fields)
                    return
                ok = fields.pop("ok", True)
                if driver is not None:
                    self._answers.keep(driver, event.id, ok, fields)
                link.peer.respond(event.id, ok, **fields)
            except (ValueError, TypeError, KeyError, chunkstore.ChunkStoreError, OSError) as error:
                log.exception("Request %s failed", name)
                link.peer.respond(event.id, False, message=f"{name} failed: {error}")

    def _answer_later(self, link: PeerLink, event: events.Requested, work: Awaitable[dict[str, Any]]) -> None:
        """For what takes its time: it goes on while other requests are answered. Never one of ONCE_REQUESTS."""

        async def answer() -> None:
            try:
                ok, fields = True, await work
            except Exception as error:
                log.exception("Request %s failed", event.op)
                ok, fields = False, {"message": f"{event.op} failed: {error}"}
            if link in self._links:
                link.peer.respond(event.id, ok, **fields)
                link.wake()

        self.beside(answer())

    def _op_interrupt(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        run = fields.get("run")
        kernel = self._kernel
        if run is not None and self._delivery.cancel(str(run)):
            return {"done": "cancelled"}
        is_asked = not kernel.asked if fields.get("comm") else bool(kernel.asked)  # a message of a comm has no reply
        if not kernel.is_alive or not is_asked or (run is not None and kernel.run != str(run)):
            return {"done": "nothing"}
        kernel.interrupt()
        return {"done": "interrupted"}

    def _op_keep(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """A person wants the session to go on: counts as use, once."""
        self._active_at = self._driverless_at = time.monotonic()
        self._changed()
        return {"ending": self._ending(self._active_at)}

    def _op_kill(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        self._kernel.process.signal(signal.SIGKILL)
        return {}

    def _op_restart(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """An observer names the kernel that it means, by its epoch: asked twice, it is done once, and never to a newer one."""
        if not self._may_send(link):
            if int(fields["epoch"]) == self._kernel.epoch:
                self.notify("The remote kernel is restarted, as another of your programs has asked; what only it had is lost.")
                self._restart()
        else:
            self._restart()
        return {"epoch": self._kernel.epoch, "kernel_pid": self._kernel.process.pid}

    def _op_stop(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("unless_running") and (self._kernel.run is not None or self._delivery.waiting_runs):
            return {"ok": False, "message": "A run is unfinished; the session goes on"}
        asyncio.get_running_loop().call_soon(self.stop, WANTED)
        if not fields.get("records"):
            return {}
        self._is_recorded = bool(fields.get("recorded"))
        self._run_broken("ended")
        return {"usage": self._accounts.records(ended=time.time(), reason=WANTED)}

    def _op_retire(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """Ends the session as when nobody uses it: the run is interrupted, the namespace saved, the notebook told."""
        self.retirement.begin(
            str(fields["why"]), grace_s=max(0.0, float(fields["grace_s"])), saves=bool(fields.get("saves", True))
        )
        return {}

    def _op_tell(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """Says something to whoever drives: who lends the machine warns of its end."""
        self.notify(str(fields["text"])[:_TOLD_CHARACTERS])
        return {}

    def _op_missing(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return {"missing": self._delivery.missing(fields["addresses"])}

    def _op_chunks(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return {"missing": link.send_chunks(fields["addresses"])}

    def _op_taken(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What a detached run has changed has been merged."""
        self._delivery.detached.discard(str(fields["run"]))
        self._untaken.pop(str(fields["run"]), None)
        self._changed()
        return {}

    def _op_release(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """Descriptors are released by acknowledgement; kept so that a client may say so twice."""
        return {}

    async def _op_gpus(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What they do now, and who is on them."""
        reading = await self._telemetry.read()
        return {**reading.as_fields(), "kernel_pid": self._kernel.process.pid}

    async def _op_usage(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What no ledger has yet, or with `recent` the last runs; with `left` also of sessions before this one, whose hosts are
        no more."""
        left = await asyncio.to_thread(self._accounts.left) if fields.get("left") else []
        return {
            **self._accounts.records(telemetry.peak_fields(self._telemetry.peak), recent=bool(fields.get("recent"))),
            "left": left,
        }

    def _op_recorded(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """A ledger has these."""
        self._accounts.taken([str(run) for run in fields.get("runs", ())])
        self._accounts.drop_left([str(session) for session in fields.get("left", ())])
        return {}

    async def _op_log(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """The last lines of what the kernel and the host have printed outside of cells."""
        folder, lines = self.options.runtime, int(fields["lines"])
        found = [folder / runtime.KERNEL_LOG, self.options.log or folder / runtime.HOST_LOG]
        texts = await asyncio.to_thread(lambda: [_last_lines(file, lines) for file in found])
        return {"files": [{"path": str(file), "text": text} for file, text in zip(found, texts, strict=True)]}

    async def _op_vars(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What the kernel holds, as `%remote vars` has it; null while a cell runs there, which it is not to wait for, or while
        there is no kernel."""
        if self._kernel.asked or not self._kernel.is_alive or not self._kernel.is_ready:
            return {"vars": None}
        return {"vars": (await self.ask_kernel("farcell_vars_request", {}, _VARS_S)).get("vars", [])}

    def _op_snapshots(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return self.retirement.offer()

    def _op_forget_snapshots(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return {"removed": self.retirement.forget()}

    def _op_status(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return self.status()

    async def _op_watch(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """The status, once its `face` differs from the one that was `seen`, or `within_s` are over."""
        news = asyncio.Event()
        deadline = time.monotonic() + min(float(fields["within_s"]), _LONGEST_WATCH_S)
        self._watchers.add(news)
        try:
            while (face := self._face()) == fields.get("seen") and (left := deadline - time.monotonic()) > 0:
                news.clear()
                # What is on its way says nothing by itself.
                is_moving = self._kernel.run is not None or not self._delivery.is_empty
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(news.wait(), min(left, _MOVING_S) if is_moving else left)
        finally:
            self._watchers.discard(news)
        return {**self.status(), "face": face}

    def _face(self) -> dict[str, Any]:
        """What is worth telling at once when it changes."""
        return {
            "state": self._state(),
            "epoch": self._kernel.epoch,
            "run": self._kernel.run,
            "run_started": self._accounts.run_started,
            "waiting_runs": self._delivery.waiting_runs,
            "untaken_runs": list(self._untaken),
            "cells": {run: self._cells[run] for run in self._unended if run in self._cells},
            "requests": {run: self._requests[run] for run in self._unended if run in self._requests},
            "sent_bytes": self._accounts.sent_bytes,
            "arriving": {run: list(each) for run, each in self._delivery.arriving.items()},
            "moved": [each.as_fields() for each in self._accounts.moved()],
            "is_driven": self._driver is not None,
            "has_wall_time": self._wall_time_ends is not None,
        }

    @property
    def _unended(self) -> list[str]:
        """In progress, waiting, or over and not taken yet."""
        going = [] if self._kernel.run is None else [self._kernel.run]
        return [*going, *self._delivery.waiting_runs, *self._untaken]

    def _state(self) -> str:
        kernel = self._kernel
        return "dead" if not kernel.is_alive else "starting" if not kernel.is_ready else "busy" if kernel.asked else "idle"

    def status(self) -> dict[str, Any]:
        """What it says of itself (docs/architecture.md)."""
        kernel = self._kernel
        now = time.monotonic()
        return {
            **self.info(),
            "state": self._state(),
            "run": kernel.run,
            "run_started": self._accounts.run_started,
            "waiting_runs": self._delivery.waiting_runs,
            "untaken_runs": list(self._untaken),
            "epoch": kernel.epoch,
            "direct": kernel.direct,
            "last": self._journal.last,
            "acknowledged": self._journal.acknowledged,
            "journal_bytes": self._journal.size,
            "memory_bytes": capabilities.resident_bytes(),
            "kernel_memory_bytes": capabilities.resident_bytes(kernel.process.pid) if kernel.is_alive else None,
            "idle_s": now - self._active_at,
            "age_s": now - self._began,
            "ending": self._ending(now),
            "connections": [[other.role, other.hello.client] for other in self._links if other.hello is not None],
            "capabilities": capabilities.report(),
        }


def _last_lines(file: Path, lines: int) -> str:
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_BYTES))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(it cannot be read: {error.strerror})"


def serve(options: HostOptions, lock: runtime.HostLock, process: KernelProcess, on_listening: Callable[[Host], None]) -> None:
    """Runs a host in this process until it is stopped; never leaves the kernel behind."""

    async def main() -> None:
        await Host(options, lock, process).serve(on_listening)

    try:
        asyncio.run(main())
    finally:
        with contextlib.suppress(OSError):
            process.kill()
