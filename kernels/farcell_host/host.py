"""The kernel host: a daemon that owns one remote kernel and outlives every connection to it.

It relays. What clients send goes through `delivery` to the kernel; what the kernel sends is journalled as it came and read
from the journal by each connection at its own pace, so no reader, slow or gone, holds the kernel back or costs memory. It
ends when it is told, when nobody used it for `idle_timeout_s` (warned, then saved: `idleness`, `retirement`), when no driver came
back for `keep_s` and no run is unfinished, when none ever came, or when its folder is gone; the kernel ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import __version__, bulk, capabilities, chunkstore, journal, runtime, telemetry, usage
from .attach import ATTACH_SOCKET
from .delivery import Delivery
from .errors import FarcellHostError, ProtocolError
from .face import Face
from .held import HeldBulk
from .idleness import Idleness, Verdict, spoken
from .journal import Entry, Journal, entry_of
from .kernel import Kernel
from .kernellink import BULK_KEY, FromKernel
from .kernelprocess import KernelProcess
from .peerlink import PeerLink
from .protocol import events
from .protocol.frames import Descriptor, FrameReader, Kind, MessageAssembler, decode_chunk
from .protocol.messages import Channel, Message, encode_json
from .protocol.roles import Inbox, Roles
from .reasons import Reason
from .requests import WANTED, Requests
from .retirement import Retirement
from .stream import from_socket
from .telemetry import Telemetry
from .usage import Accounts
from .waiting import result_within, within
from .walltime import WARNINGS_S

_BACKLOG = 64
_LONGEST_TICK_S = 5.0
_GOODBYE_S = 2.0
_SILENT_S = 30.0  # clients that can be cut off ask for a sign of life every two
_INTERRUPT_AGAIN_S = 1.0
_LEAD_S = 20.0
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
        self.started, self.began = time.time(), time.monotonic()
        self._lock = lock
        self.journal = Journal(options.journal or options.runtime / "journal", options.journal_bytes)
        self._held = HeldBulk()
        self._store = chunkstore.ChunkStore(chunkstore.own_folder() / "chunks", options.chunk_bytes)
        self.delivery = Delivery(self._store, self._publish)
        self._roles = Roles()
        self._inbox = Inbox()
        self._requests = Requests(self)
        self.face = Face(self)
        self.links: set[PeerLink] = set()
        self._listeners: list[socket.socket] = []
        self._stopped = asyncio.Event()
        self.active_at = self._driverless_at = time.monotonic()
        loop = asyncio.get_running_loop()
        idle_s = max(0.1, min(telemetry.IDLE_S, options.idle_timeout_s / 4, options.keep_s / 4))
        self.telemetry = Telemetry(loop, lambda: self.kernel.process.pid, self.use, idle_s)
        self.accounts = Accounts(
            chunkstore.own_folder() / usage.FOLDER,
            loop,
            lambda: self.telemetry.gpus_used,
            job=usage.job_of(os.environ),
            owns_job=options.is_job,
            target=options.target,
            notebook=options.notebook,
            price_per_hour=options.price_per_hour,
        )
        self.news = asyncio.Event()
        """That there may be something to say of runs and connections; whoever waits for it clears it."""
        self.watchers: set[asyncio.Event] = set()
        self._is_recorded = False
        self._why: str | None = None
        self._idleness = Idleness(options.idle_timeout_s)
        self._had_driver = False
        self._wall_time_ends: float | None = None
        self.kernel = self._adopt(process, 1)
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
            loop.call_later(usage.FLUSH_S, self.accounts.begin)
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

    def changed(self) -> None:
        """There may be something to say of runs, of the kernel or of who drives."""
        self.news.set()
        for watcher in self.watchers:
            watcher.set()

    def take(self, data: bytes) -> None:
        """What a notebook has left for it, which is not connected: frames, as a driver sends them."""
        assembler = MessageAssembler()
        for frame in FrameReader().feed(data):
            if frame.kind == Kind.CHUNK:
                self.delivery.chunk(*decode_chunk(frame))
            elif (message := assembler.add(frame)) is not None:
                self.delivery.accept(message, {})

    async def sync_journal(self) -> None:
        """Has what the kernel has said so far in the journal's file system, and not in this node's memory alone."""
        fd = self.journal.open_newest()
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
            "kernel_pid": self.kernel.process.pid,
            "python": self.options.python,
            "notebook": self.options.notebook,
            "target": self.options.target,
            "started": self.started,
            "session": self.accounts.session,
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
            self.active_at = self._driverless_at = now
        if self.driver is not None:
            self._driverless_at = now
        for link in [link for link in self.links if link.is_silent(now, _SILENT_S)]:
            log.info("A connection says nothing any more")
            self.links.discard(link)
            link.close()
        verdict = self._idleness.look(now - self.active_at)
        if verdict is Verdict.WARN:
            self._warn_of_release()
        unattended_s = self._unattended_s
        if verdict is Verdict.RELEASE:
            self.retirement.begin(f"nothing was run for {spoken(options.idle_timeout_s)}", Reason.IDLE)
        elif now - self._driverless_at > unattended_s:
            why = f"no notebook came{' back' if self._had_driver else ''} for {unattended_s:g} s"
            if options.report is not None and self.face.untaken:  # whoever comes later finds what it made
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
        self.changed()

    def ending(self, now: float) -> dict[str, Any] | None:
        """When and why the session ends by itself if nobody does anything, and how long before that is told; None if never."""
        ends: list[tuple[float, str, float]] = []
        if not self._is_working:
            idle, unattended_s = self._idleness, self._unattended_s
            ends.append((idle.left_s(now - self.active_at), "idle", idle.lead_s))
            if self.driver is None:
                left_s = max(0.0, unattended_s - (now - self._driverless_at))
                ends.append((left_s, "unattended", min(WARNINGS_S[0], unattended_s / 4)))
        if self._wall_time_ends is not None:
            ends.append((max(0.0, self._wall_time_ends - now - self.save_lead_s()), "wall-time", WARNINGS_S[0]))
        in_s, why, lead_s = min(ends, default=(math.inf, "", 0.0))
        return None if math.isinf(in_s) else {"in_s": in_s, "why": why, "lead_s": lead_s}

    @property
    def has_wall_time(self) -> bool:
        return self._wall_time_ends is not None

    def use(self) -> None:
        """Somebody wants it to go on, or a program that a cell has left on a GPU works, though no cell runs."""
        self.active_at = self._driverless_at = time.monotonic()

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
        return self.options.report is not None and self._why != WANTED and bool(self.face.untaken or self.kernel.run)

    @property
    def _is_working(self) -> bool:
        return bool(self.kernel.is_alive and (self.kernel.asked or not self.delivery.is_empty))

    @property
    def driver(self) -> PeerLink | None:
        return next((link for link in self.links if link.role == "driver"), None)

    def has(self, link: PeerLink) -> bool:
        """Whether it is still connected."""
        return link in self.links

    def last_accounts(self, is_recorded: bool) -> dict[str, Any]:
        """What the session has cost, for whoever ends it; `is_recorded`: a ledger will have it."""
        self._is_recorded = is_recorded
        self._run_broken("ended")
        return self.accounts.records(ended=time.time(), reason=WANTED)

    async def _say_goodbye(self) -> None:
        """What was answered and journalled still goes out."""
        links = list(self.links)
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
        for link in list(self.links):
            link.close()
        self.kernel.close()
        self.delivery.end()
        self.telemetry.close()
        self.accounts.close(self._is_recorded, self._why)
        self._held.close()
        self.journal.close(keep=self.leaves_journal)
        shutil.rmtree(self.options.runtime, ignore_errors=True)
        self._lock.close()

    # -- the remote kernel

    def _adopt(self, process: KernelProcess, epoch: int) -> Kernel:
        kernel = Kernel(
            process, epoch, self._from_kernel, self._filled, self._kernel_started, self._kernel_ended, self._to_kernel
        )
        self.delivery.kernel = kernel
        return kernel

    def _kernel_started(self, fields: dict[str, Any]) -> None:
        kernel = self.kernel
        kernel.process.started()
        content = {**fields, "epoch": kernel.epoch, "pid": kernel.process.pid, "direct": kernel.direct}
        self._publish(Message.build(Channel.CONTROL, "farcell_kernel_started", content))
        self.changed()
        self.delivery.advance()

    def _kernel_ended(self) -> None:
        kernel = self.kernel
        code = kernel.process.returncode
        died_of = None if code is None or code >= 0 else capabilities.signal_name(-code)
        how = f"was ended by {died_of}" if died_of else f"exited with code {code}"
        log.warning("The remote kernel (pid %d) %s", kernel.process.pid, how)
        self.delivery.why_dead = f"The remote kernel {how}; its state is lost. Start a new one with %remote restart."
        self._tell_death(None if died_of else code, died_of)
        self._held.forget()
        self._run_broken("died")
        kernel.asked.clear()
        self.delivery.abort(self.delivery.why_dead)
        for asked in self._own_requests.values():
            if not asked.done():
                asked.set_exception(FarcellHostError("the remote kernel has ended"))
        self._answered.set()
        self.changed()

    def _tell_death(self, exit_code: int | None, died_of: str | None) -> None:
        kernel = self.kernel
        content = {
            "epoch": kernel.epoch,
            "exit_code": exit_code,
            "signal": died_of,
            "run": kernel.run,
            **kernel.process.last_words(),
        }
        self._publish(Message.build(Channel.CONTROL, "farcell_kernel_died", content))

    def restart(self) -> None:
        before = self.kernel
        was_alive, asked = before.is_alive, bool(before.asked)
        before.close()
        if was_alive and asked:
            self._tell_death(None, "SIGKILL")
        self._held.forget()
        self._run_broken("killed")
        self.delivery.abort("The remote kernel was restarted before this began")
        self.kernel = self._adopt(self.options.start_kernel(), before.epoch + 1)
        self._write_info()

    @property
    def last(self) -> int:
        """How many messages are journalled."""
        return self.journal.last

    @property
    def run(self) -> str | None:
        """The run in progress."""
        return self.kernel.run

    def close_to_runs(self, reason: str) -> None:
        """What has not begun is refused from now on."""
        self.delivery.close(reason)

    async def interrupted(self, timeout_s: float) -> bool:
        """Interrupts the run in progress, again and again; whether it is over in time."""
        deadline = time.monotonic() + timeout_s
        while self.kernel.is_alive and self.kernel.run is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.kernel.interrupt()
            self._answered.clear()
            await within(self._answered, min(left, _INTERRUPT_AGAIN_S))
        return self.kernel.is_alive

    async def ask_kernel(self, msg_type: str, content: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """A request of the host's own; the reply's content. Raises FarcellHostError when the kernel is gone, and TimeoutError."""
        if not self.kernel.is_alive or not self.kernel.is_ready:
            raise FarcellHostError("the remote kernel is not running")
        message = Message.build(Channel.SHELL, msg_type, content)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        id = str(message.header["msg_id"])
        self._own_requests[id] = answer
        try:
            self.kernel.send(message, [])
            return await result_within(answer, timeout_s)
        finally:
            del self._own_requests[id]

    def save_lead_s(self) -> float:
        """How long before the end a save should begin, by the memory that there is to save and to wait for a run."""
        memory = capabilities.resident_bytes(self.kernel.process.pid) if self.kernel.is_alive else None
        return _LEAD_S + self.options.save_grace_s + (memory or 0) / _SAVED_BYTES_PER_S

    def _from_kernel(self, messages: list[FromKernel]) -> None:
        """Journalled as they came, in one write, but for answers to the host's own questions; only replies are looked at."""
        answered = False
        entries: list[Entry] = []
        first = self.journal.next
        for item in messages:
            number, entry = first + len(entries), Entry(item.channel, item.bodies, bool(item.descriptors))
            if item.channel == Channel.SHELL:
                reply = item.message()
                run = self.kernel.answered(reply)
                answered = True
                asked = self._own_requests.get(str(reply.parent_header.get("msg_id")))
                if asked is not None:
                    if not asked.done():
                        asked.set_result(reply.content)
                    continue
                self.active_at = time.monotonic()
                if run is not None:
                    self.face.untaken[run] = number
                    entry = self._run_ended(run, reply, entry)
            if item.descriptors:
                self._held.hold(number, item.descriptors)
            entries.append(entry)
        self.journal.append(entries)
        self._wake_all()
        if answered:
            self._answered.set()
            self.changed()
            self.delivery.advance()

    def _filled(self, descriptor: Descriptor, size: int | None) -> None:
        """The kernel writes a buffer of a message that is to come; its last words on it, if there is no `size`."""
        if size is None:
            self._held.forget([descriptor])
            return
        file = self._held.filling(descriptor, size)
        for link in list(self.links):
            link.hash_ahead(file)

    def _to_kernel(self, run: str | None, message: Message) -> None:
        self.accounts.sent(run, message)
        if run is not None:
            self.telemetry.run_began()
            self.kernel.process.run_began()
            self.changed()

    def _run_ended(self, run: str, reply: Message, entry: Entry) -> Entry:
        """What to journal as its reply: as it came, unless there is something to add of the GPUs."""
        fields = telemetry.peak_fields(self.telemetry.run_ended())
        self.accounts.ended(run, reply, fields)
        if fields is None:
            return entry
        header, parent, metadata, _ = reply.parts
        content = encode_json({**reply.content, "usage": {**reply.content.get("usage", {}), "gpus": fields}})
        return entry_of(Message(reply.channel, (header, parent, metadata, content), reply.buffers), entry.alone)

    def _run_broken(self, state: str) -> None:
        self.telemetry.run_ended()
        self.accounts.broken(state)

    def _publish(self, message: Message) -> None:
        self.journal.append([entry_of(message)])
        self._wake_all()

    def _wake_all(self) -> None:
        for link in list(self.links):
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
        self.links.add(PeerLink(endpoint, self.journal, self._held, self._store, self._handle, self._lost))

    def _lost(self, link: PeerLink, error: Exception | None) -> None:
        if error is not None:
            log.info("A connection was lost: %s", error)
        self.links.discard(link)
        self.changed()

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
            self._requests.answer(link, event)
        elif isinstance(event, events.ChunkArrived) and self.may_send(link):
            self.delivery.chunk(event.address, event.data)
        elif isinstance(event, events.DescriptorArrived):
            link.arrived[event.descriptor.id] = event.descriptor
        elif isinstance(event, events.Greeted):
            self._greeted(link, event.hello)

    def _greeted(self, link: PeerLink, hello: events.Hello) -> None:
        admission = self._roles.admit(hello)
        if not admission.ok:
            self.links.discard(link)
            link.refuse(admission.code, admission.message)
            return
        link.hello, link.role, link.generation = hello, admission.role, admission.generation
        self.changed()
        if admission.role == "driver":
            self._had_driver = True
            self._displace(link)
        if hello.messages:
            link.follow(min(hello.cursor, self.journal.last))
        link.peer.welcome(
            generation=admission.generation,
            received=self._inbox.received(hello.client),
            last=self.journal.last,
            epoch=self.kernel.epoch,
            hashes=list(bulk.available_hashes()),
            descriptors=link.uses_descriptors,
            python=platform.python_version(),
            platform=platform.platform(),
            pid=os.getpid(),
            kernel_pid=self.kernel.process.pid,
            direct=self.kernel.direct,
            version=__version__,
        )

    def _displace(self, link: PeerLink) -> None:
        """An older connection of the driver, or of the one before it: told so, and closed."""
        for other in [other for other in self.links if other.role == "driver" and other is not link]:
            self.links.discard(other)
            if other.hello is not None and link.hello is not None and other.hello.client == link.hello.client:
                other.close()
            else:
                other.refuse("superseded", "Another notebook took this remote session over")

    def may_send(self, link: PeerLink) -> bool:
        return link.hello is not None and link.role == "driver" and self._roles.may_send(link.hello.client, link.generation)

    def _received(self, link: PeerLink, event: events.Received) -> None:
        if not self.may_send(link) or link.hello is None:
            raise ProtocolError("Only the driver of a remote session may send messages")
        message = event.message
        fresh = self._inbox.accept(link.hello.client, message.channel, event.sequence)
        link.acknowledge(message.channel, event.sequence)
        if fresh:
            self.active_at = time.monotonic()
            for taken in self.delivery.accept(message, link.arrived):
                del link.arrived[taken]
            if message.channel == Channel.SHELL:
                self.face.note(message)
                self.changed()
            return
        for entry in message.metadata.get(BULK_KEY, ()):  # sent again: it was delivered before the cut
            descriptor = link.arrived.pop(entry.get("descriptor"), None)
            if descriptor is not None:
                os.close(descriptor.fd)

    def _acknowledged(self, link: PeerLink, sequence: int) -> None:
        if self.may_send(link):
            self.journal.acknowledge(sequence)
            self._held.release(min(sequence, self.journal.last))
            if self.face.acknowledged(sequence):
                self.changed()


def serve(options: HostOptions, lock: runtime.HostLock, process: KernelProcess, on_listening: Callable[[Host], None]) -> None:
    """Runs a host in this process until it is stopped; never leaves the kernel behind."""

    async def main() -> None:
        await Host(options, lock, process).serve(on_listening)

    try:
        asyncio.run(main())
    finally:
        with contextlib.suppress(OSError):
            process.kill()
