"""The only event loop beside the notebook: a daemon thread that drives the protocol over byte streams, for all
sessions.

A `Connection` opens a stream through its backend, and opens it again by itself when it is lost: with a growing pause where
nobody waits for it, after asking the backend whether the host can still be there. The protocol's client sends again what was not
acknowledged and drops what came twice, so nothing is lost and nothing is delivered twice over any number of cuts.

A thread that waits for an answer writes its request itself and reads the stream itself (`wait`), under the connection's lock: two
hops between threads less in every cell. The loop looks after the stream at all other times.

Messages are handed on in the host's order. One whose bulk is still on its way as chunks holds back those after it and
is acknowledged only when it is whole, since the host serves chunks from messages that are not yet acknowledged.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import platform
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from farcell_host import __version__, capabilities
from farcell_host import bulk as bulk_memory
from farcell_host.errors import ProtocolError
from farcell_host.journal import messages_of
from farcell_host.protocol.client import Client
from farcell_host.protocol.events import (
    Acknowledged,
    ChunkArrived,
    DescriptorArrived,
    Hello,
    Received,
    Refused,
    Responded,
    Welcomed,
)
from farcell_host.protocol.frames import EARLY_BYTES, Descriptor
from farcell_host.protocol.messages import Buffer, Message
from farcell_host.protocol.outbox import Outgoing
from farcell_host.reasons import Reason
from farcell_host.stream import Stream
from farcell_host.waiting import result_within, within

from . import transfers, untrusted
from .backends.base import Allocation, Backend, JobState, Opened, Scheduled, Shared, Unreachable
from .deaths import Death, of_login
from .errors import Busy, TargetUnavailable
from .silence import BEAT_S, Silence
from .threads import Alarm, loop_thread
from .transfers import BULK_KEY, Bulk, Inbound, Upload, Way

OPEN_TIMEOUT_S = 20.0
NO_MESSAGES = 1 << 62
"""A cursor beyond all messages: a host of an older farcell, which would send them, has none to send."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
AWAITED_PAUSE_S = 0.5
"""While a cell waits."""
GIVE_UP_S = 60.0  # without a welcome, though the backend thinks the host is there
MOST_FAULTS = 3
"""Streams on which the host breaks the protocol before it is given up: the next would be no better."""
ACK_AFTER = 64
SHOWN_BYTES = 1 << 20  # less is over before anybody could read of it
ACK_DELAY_S = 0.05
_BULK_KEY = BULK_KEY.encode()

log = logging.getLogger("farcell")


class Connection:
    """One client of one kernel host. Methods say on which thread they may be called; `on_message` comes on the connection
    thread or out of `wait`, the other callbacks on the connection thread."""

    def __init__(
        self,
        backend: Backend,
        allocation: Allocation,
        on_message: Callable[[Message, tuple[Buffer, ...]], None],
        on_ended: Callable[[Death], None],
        role: str = "driver",
        takeover: bool = False,
        messages: bool = True,
        cursor: int = 0,
    ) -> None:
        """With `takeover` another driver's place is taken, and all that the host has kept comes once more. An observer without
        `messages` gets answers alone; what the host has numbered up to `cursor` does not come."""
        self._backend = backend
        self._allocation = allocation
        self._takes_data_alone = allocation.options.takes_data_alone
        self._on_message = on_message
        self._on_ended = on_ended
        self.loop = loop_thread().loop
        self.client = Client(
            Hello(
                client=uuid.uuid4().hex,
                role=role,
                generation=None,
                takeover=takeover,
                cursor=cursor if messages else NO_MESSAGES,
                messages=messages,
                python=platform.python_version(),
                platform=platform.platform(),
                hashes=bulk_memory.available_hashes(),
                descriptors=True,
            )
        )
        self.welcome: dict[str, Any] = {}
        self.uses_descriptors = False
        self.reads_memory = capabilities.has_peermemory()
        """Whether the peer, on this machine, may be able to read our memory: until it says that it cannot."""
        self.number = cursor
        """The host's, of the message that was handed on last or is just now."""
        self.has_gap = False
        """Whether the host's journal had let go of messages before they came."""
        self._faults = 0
        """Streams in a row that ended since the host broke the protocol, with no message between."""
        self.reconnects = 0
        self.sent_bulk_bytes = 0
        self.closed = False
        self.on_transfer: Callable[[bool], None] = lambda is_upload: None
        """Told when bytes are to go in pieces, from here (True) or to here; under our lock, so it must be quick."""
        self.on_away: Callable[[], None] = lambda: None
        """Told when the stream is lost; `away` says for how long."""
        self.is_awaited: Callable[[], bool] = lambda: False
        """Whether a cell waits for what comes."""
        self.is_ending = False
        """The host was told to end: that its stream does, too, says nothing of the way there."""
        self.ended: str | None = None
        self._lost: tuple[float, str] | None = None  # when and why
        self._heard = False  # anything since the last beat
        self._is_cut = False  # there is no way to the host, nor to who could be asked about it
        self._retry = asyncio.Event()
        self._refused: Refused | None = None
        self._stream: Stream | None = None
        self._welcomed = asyncio.Event()
        self._inbound: deque[Inbound] = deque()
        self._early: dict[str, Buffer] = {}
        """Chunks that came ahead of their message."""
        self._arrived: dict[int, Descriptor] = {}
        self._responses: dict[int, concurrent.futures.Future[dict[str, Any]]] = {}
        self._uploads: list[Upload] = []
        self._handled = cursor
        self._handled_unacknowledged = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._ack_asked = False
        self._task: asyncio.Task[None] | None = None
        self._lock = threading.RLock()  # around the protocol, the stream and everything above that both use
        self._alarm = Alarm()

    # -- from any thread

    @property
    def has_all(self) -> bool:
        """Whether everything was handed on that the host had kept when it was connected to."""
        return self._welcomed.is_set() and self._handled >= int(self.welcome.get("last", 0))

    def uploading(self) -> tuple[int, int] | None:
        """Bytes sent and to be sent in pieces; None when nothing is."""
        with self._lock:
            uploads = [upload for upload in self._uploads if upload.waiting or upload.asked or upload.unasked_bytes]
            total = sum(each.total_bytes + each.unasked_bytes for each in uploads)
            return (sum(each.sent_bytes for each in uploads), total) if uploads else None

    def downloading(self) -> tuple[int, int] | None:
        """Bytes that have come and are to come in pieces; None when none are."""
        with self._lock:
            sizes = [inbound.sizes for inbound in self._inbound if inbound.missing]
            return (sum(came for came, _ in sizes), sum(size for _, size in sizes)) if sizes else None

    @property
    def away(self) -> tuple[float, str] | None:
        """Seconds since the stream was lost, and what is in the way of another; None while there is one."""
        lost = self._lost
        return (self.loop.time() - lost[0], lost[1]) if lost is not None and not self.closed else None

    def retry(self) -> None:
        """Tries again at once: something is known to have changed."""
        self.loop.call_soon_threadsafe(self._retry.set)

    def send(self, message: Message, bulk: Bulk | None = None) -> None:
        """Hands a message over; it is written at once or after a reconnect. `uploaded()` when the peer has all its chunks.

        Not from a signal handler, which may come while this thread holds the lock.
        """
        with self._lock:
            self._send(message, bulk)

    def wait(self, timeout_s: float | None = None) -> None:
        """Until something was handed on, `wake` was called, or the time is up; it may also return for nothing.

        The calling thread reads the stream itself where it can be lent.
        """
        stream = self._stream
        with self.lent() as reading:
            is_in_chunk = True  # then nothing can have been handed on
            while is_in_chunk:
                ready = self._alarm.wait(reading, timeout_s)
                if stream is None or reading not in ready:
                    return
                stream.read_here()
                is_in_chunk = ready == [reading] and timeout_s is None and self.client.room is not None and not stream.closed

    def lent(self) -> contextlib.AbstractContextManager[int | None]:
        """Until the next `wait` is over the calling thread alone reads: entered before a request is sent, it spares the loop's
        thread the turn that a quick answer would wake it for."""
        stream = self._stream if self._welcomed.is_set() else None
        return stream.borrow() if stream is not None else contextlib.nullcontext()

    def wake(self) -> None:
        """Ends a `wait`, the present one or the next. A signal handler may call this."""
        self._alarm.ring()

    def request(self, op: str, **fields: Any) -> concurrent.futures.Future[dict[str, Any]]:
        """Asks the host; the answer also comes after a reconnect. A signal handler may call this."""
        answer: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self.loop.call_soon_threadsafe(self._locked, self._request, answer, op, fields)
        return answer

    def acknowledge(self) -> None:
        """Tells the host at once what was handled: before somebody else asks it, or nobody is there to do so."""
        with self._lock:
            if self._handled_unacknowledged and not self.closed:
                self._send_ack()

    def uploaded(self) -> None:
        """The peer has answered the message with the bulk: nothing of it will be asked for again."""
        with self._lock:
            self._uploads.clear()

    def prepare(self, buffers: Sequence[Buffer], check: Callable[[], object] = lambda: None, may_stay: bool = False) -> Bulk:
        """See `transfers.prepare`. `may_stay`: the buffers outlive the answer, so the peer may read them where they are.

        Chunks begin to go meanwhile: the peer keeps them, whether a message follows that names them or not.
        """
        way = Way.CHUNKS
        if self.uses_descriptors:
            way = Way.MEMORY if may_stay and self.reads_memory else Way.DESCRIPTORS
        upload = Upload(unasked_bytes=sum(memoryview(buffer).nbytes for buffer in buffers))
        try:
            hash_name = bulk_memory.common_hash(self.welcome.get("hashes", ()))
            bulk = transfers.prepare(buffers, way, hash_name, check, partial(self._upload, upload))
        except BaseException:
            with self._lock, contextlib.suppress(ValueError):
                self._uploads.remove(upload)
            raise
        upload.unasked_bytes = 0
        bulk.upload = upload
        return bulk

    def _upload(self, upload: Upload, chunks: dict[str, memoryview]) -> None:
        with self._lock:
            if self.closed:
                return
            if not upload.chunks:
                self._uploads.append(upload)
            upload.chunks.update(chunks)
            upload.unasked_bytes = max(0, upload.unasked_bytes - sum(map(len, chunks.values())))
            self._ask_missing(upload, list(chunks))

    # -- on the loop

    def _locked(self, call: Callable[..., None], *args: Any) -> None:
        with self._lock:
            call(*args)

    async def open(self) -> dict[str, Any]:
        """Connects for the first time; the welcome's fields. Raises TargetUnavailable or Busy."""
        self._task = asyncio.ensure_future(self._kept_open())
        waiter = asyncio.ensure_future(self._welcomed.wait())
        try:
            await asyncio.wait({self._task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        if self._welcomed.is_set():
            return self.welcome
        if self._refused is not None and self._refused.code == "version":
            theirs = self._allocation.details.get("version", "another version")
            raise TargetUnavailable(
                f"The kernel host on {self._allocation.options.target!r} is of farcell {theirs}, which this kernel's farcell "
                f"({__version__}) cannot talk to ({self._refused.message}). Restart this notebook's kernel if farcell was "
                "installed anew since it started."
            )
        if self._refused is not None:
            raise (Busy if self._refused.code == "busy" else TargetUnavailable)(self._refused.message)
        raise TargetUnavailable(
            f"No connection to the kernel host on {self._allocation.options.target!r}: {self.ended}. "
            f"Its log: {self._allocation.log}"
        )

    async def close(self) -> None:
        """Ends this side only; the host waits its `keep`."""
        with self._lock:
            self.closed = True
            self._alarm.close()
            if self._ack_timer is not None:
                self._ack_timer.cancel()
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait({self._task})
        finally:
            self._abandon("the connection was closed")

    async def _kept_open(self) -> None:
        """Whoever waits learns of a fault of ours or of the backend's, too."""
        try:
            await self._keep_open()
        except Exception as error:
            log.exception("The connection to %s", self._allocation.options.target)
            self._end(Death(Reason.UNKNOWN, f"a fault in the connection to it, {type(error).__name__}: {error}"))

    async def _keep_open(self) -> None:
        pause, lost_at, options = FIRST_PAUSE_S, self.loop.time(), self._allocation.options
        while not self.closed:
            failure = await self._open_once()
            if self._welcomed.is_set():
                self._welcomed.clear()
                pause, lost_at = FIRST_PAUSE_S, self.loop.time()
                self.reconnects += 1
                self._lost = (lost_at, failure)
                self.on_away()
                if isinstance(self._backend, Shared) and not self.is_ending:
                    self._backend.doubt()
            elif self._lost is not None:
                self._lost = (lost_at, failure)
            if self._refused is not None:
                return self._end(Death(Reason.ENDED, self._refused.message))
            if self._faults >= MOST_FAULTS:
                return self._end(Death(Reason.UNKNOWN, f"it sends what cannot be understood ({failure})"))
            state = JobState.UNKNOWN if self._is_cut else await self._backend.poll(self._allocation)
            if state is JobState.GONE:
                why = None
                if isinstance(self._backend, Scheduled):
                    await self._read_left(self._backend)
                    why = await self._backend.obituary(self._allocation)
                text = f"its process has ended ({failure})" if failure else "its process has ended"
                return self._end(why or Death(Reason.UNKNOWN, text))
            away = self.loop.time() - lost_at
            # A host that cannot be asked may be there and run on: it waits for us as long as it was told to.
            limit = GIVE_UP_S if state is JobState.RUNNING else max(GIVE_UP_S, options.keep_s or 0.0)
            if away > limit:
                reason, _ = of_login(failure, options.target, options.host or "")
                return self._end(Death(reason, f"it did not answer for {away:.0f} s ({failure})"))
            await within(self._retry, pause)
            self._retry.clear()
            pause = min(2 * pause, AWAITED_PAUSE_S if self.is_awaited() else LONGEST_PAUSE_S)

    async def _read_left(self, backend: Scheduled) -> None:
        """What the host had journalled and not sent when it died, but for large values, which were in its memory alone."""
        try:
            data = await backend.journal(self._allocation, self.client.cursor)
        except (OSError, ValueError, TargetUnavailable) as error:
            log.warning("The journal of the host on %s cannot be read: %s", self._allocation.options.target, error)
            return
        with self._lock:
            self._inbound.clear()
            for sequence, message in messages_of(data):
                if sequence > max(self._handled, self.client.cursor) and _BULK_KEY not in message.parts[2]:
                    self._on_message(message, ())
        self._alarm.ring()

    async def _open_once(self) -> str:
        """One stream's life; why it ended."""
        self._is_cut = False
        try:
            opened = await result_within(self._backend.open_stream(self._allocation), OPEN_TIMEOUT_S, _close_unused)
        except (OSError, TargetUnavailable, asyncio.TimeoutError) as error:
            self._is_cut = isinstance(error, Unreachable | asyncio.TimeoutError)
            return str(error) or type(error).__name__
        return await self._serve(opened)

    async def _serve(self, opened: Opened) -> str:
        lost: asyncio.Future[str] = self.loop.create_future()

        def on_lost(error: Exception | None) -> None:
            if not lost.done():
                lost.set_result(str(error) if error is not None else "the other end closed the stream")

        def on_data(data: Buffer, fds: list[int]) -> None:
            self._heard = True
            try:
                self._receive(data, fds)
            except ProtocolError as error:
                log.warning("Stream to %s: %s", self._allocation.options.target, error)
                self._faults += 1
                stream.fail(error)

        with self._lock:
            stream = Stream(opened.endpoint, self._take, on_data, on_lost, self.loop, self._lock, lambda: self.client.room)
            self.client.connect()
            self._early.clear()
            self._stream = stream
            stream.wake()
        beating = asyncio.ensure_future(self._beat(stream))
        try:
            return await lost
        finally:
            beating.cancel()
            with self._lock:
                self._stream = None
                stream.close()
                opened.close()
                try:
                    self._handle(self.client.receive_eof())
                except ProtocolError as error:
                    log.warning("Stream to %s: %s", self._allocation.options.target, error)
                finally:  # after what came last: a message just before a fault may name them, and a descriptor be among it
                    self._close_descriptors()
            self._alarm.ring()  # who waits on this stream looks again

    async def _beat(self, stream: Stream) -> None:
        """Finds links that are gone without a word: both ends stay open for ever then."""
        silence = Silence()
        while True:
            await asyncio.sleep(BEAT_S)
            if self.uses_descriptors:  # on one machine a stream ends when its other end does
                continue
            heard, self._heard = self._heard, False
            if silence.beat(heard, stream.written, stream.is_blocked, self._welcomed.is_set()):
                self._is_cut = not isinstance(self._backend, Scheduled)  # a scheduler may know what has become of the node
                stream.fail(TimeoutError(f"nothing was heard for {silence.missed * BEAT_S:.0f} s"))
                return
            if not heard:
                with self._lock:
                    self.client.ping()
                    self._wake()

    def _close_descriptors(self) -> None:
        """What came for messages that did not: the host sends both again on the next stream."""
        for fd in (*self.client.leftover_descriptors(), *(descriptor.fd for descriptor in self._arrived.values())):
            os.close(fd)
        self._arrived.clear()

    def _end(self, death: Death) -> None:
        self._abandon(death.detail)
        self._on_ended(death)

    def _abandon(self, reason: str) -> None:
        with self._lock:
            self.closed = True
            self.ended = self.ended or reason
            self._uploads.clear()
            unanswered = list(self._responses.values())
            self._responses.clear()
        for answer in unanswered:
            if not answer.done():
                answer.set_exception(TargetUnavailable(f"No answer from {self._allocation.options.target!r}: {reason}"))

    # -- under the lock, on the loop or on the thread that sends or waits

    def _take(self, max_bytes: int) -> Iterable[Outgoing]:
        """What to write next; a chunk is fed in only when there is nothing else, so that whatever comes now passes the upload."""
        frames = self.client.take(max_bytes)
        if not frames and self._feed():
            frames = self.client.take(max_bytes)
        return frames

    def _feed(self) -> bool:
        for upload in self._uploads if self._welcomed.is_set() else ():
            if upload.waiting:
                address, data = upload.sent()
                self.client.send_chunk(address, data)
                self.sent_bulk_bytes += len(data)
                return True
        return False

    def _wake(self) -> None:
        if self._stream is not None and (self.client.has_output or self._uploads):
            self._stream.wake()

    def _send(self, message: Message, bulk: Bulk | None) -> None:
        if self.closed:
            if bulk is not None:
                bulk.discard()
            return
        if bulk is None or not bulk.entries:
            self.client.send(message)
        else:
            self._send_bulk(message, bulk)
        self._wake()

    def _send_bulk(self, message: Message, bulk: Bulk) -> None:
        whole = message.with_metadata({**message.metadata, BULK_KEY: bulk.entries})
        self.client.send(whole, bulk.descriptors)
        self.sent_bulk_bytes += sum(descriptor.size for descriptor in bulk.descriptors)
        if bulk.chunks:
            upload = bulk.upload or Upload()
            unasked = {address: data for address, data in bulk.chunks.items() if address not in upload.chunks}
            if unasked:
                self._upload(upload, unasked)

    def _ask_missing(self, upload: Upload, addresses: list[str]) -> None:
        def fill(answer: concurrent.futures.Future[dict[str, Any]]) -> None:
            if upload in self._uploads and answer.exception() is None:
                before = upload.total_bytes
                upload.answered(addresses, answer.result().get("missing", ()))
                if before < SHOWN_BYTES <= upload.total_bytes:
                    self.on_transfer(True)
                self._wake()

        upload.asked.update(addresses)
        answer: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        answer.add_done_callback(fill)
        self._request(answer, "missing", {"addresses": addresses})

    def _request(self, answer: concurrent.futures.Future[dict[str, Any]], op: str, fields: dict[str, Any]) -> None:
        if self.closed:
            answer.set_exception(TargetUnavailable(f"No answer from {self._allocation.options.target!r}: {self.ended}"))
            return
        self._responses[self.client.request(op, **fields)] = answer
        self._wake()

    def _receive(self, data: Buffer, fds: list[int]) -> None:
        self._handle(self.client.receive(data, fds))
        self._wake()

    def _handle(self, events: Iterable[Any]) -> None:
        left = deque(events)
        try:
            while left:
                self._happened(left.popleft())
        except ProtocolError:
            for event in left:
                if isinstance(event, DescriptorArrived):
                    os.close(event.descriptor.fd)
            raise

    def _happened(self, event: Any) -> None:
        match event:
            case Received(sequence, message, gap):
                self.has_gap = self.has_gap or gap
                self._accept(sequence, message)
            case ChunkArrived(address, data):
                self._chunk(address, data)
            case DescriptorArrived(descriptor):
                again = self._arrived.pop(descriptor.id, None)
                if again is not None:
                    os.close(again.fd)
                self._arrived[descriptor.id] = descriptor
            case Acknowledged(descriptors=descriptors):
                for descriptor in descriptors:
                    os.close(descriptor.fd)
            case Responded(id, ok, fields):
                self._respond(id, ok, fields)
            case Welcomed(fields):
                self._welcome(fields)
            case Refused(code, text):
                if self._takes_data_alone:
                    text = untrusted.text(text)
                self._refused = Refused(code, text)
                if self._stream is not None:
                    self._stream.fail(ConnectionRefusedError(text))

    def _welcome(self, fields: dict[str, Any]) -> None:
        self._lost = None
        self.welcome = fields
        self.uses_descriptors = bool(fields.get("descriptors") and self._stream is not None and self._stream.supports_descriptors)
        self._welcomed.set()
        for upload in self._uploads:
            if addresses := upload.again():
                self._ask_missing(upload, addresses)
        for inbound in self._inbound:
            self._ask_chunks(inbound)

    def _respond(self, id: int, ok: bool, fields: dict[str, Any]) -> None:
        answer = self._responses.pop(id, None)
        if answer is None or answer.done():
            return
        if self._takes_data_alone:
            fields = untrusted.deeply(fields)
        if ok:
            answer.set_result(fields)
        else:
            answer.set_exception(TargetUnavailable(str(fields.get("message") or fields)))

    def _accept(self, sequence: int, message: Message) -> None:
        inbound = Inbound(sequence, message)
        if _BULK_KEY in message.parts[2]:
            try:
                descriptors = inbound.expect()
                inbound.mapped.update({id: self._map(id, size) for id, size in descriptors})
            except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
                self._faults = MOST_FAULTS  # it counts as received, and comes no more
                raise ProtocolError(
                    f"The host's message names buffers that it cannot have: {type(error).__name__}: {error}"
                ) from error
            for address in inbound.missing & self._early.keys():
                self._place(inbound, address, self._early[address])
            self._early.clear()
            self._ask_chunks(inbound)
            if inbound.missing and inbound.sizes[1] >= SHOWN_BYTES:
                self.on_transfer(False)
        self._faults = 0
        self._inbound.append(inbound)
        self._deliver()

    def _map(self, id: int, size: int) -> memoryview:
        descriptor = self._arrived.pop(id, None)
        if descriptor is None:
            raise LookupError(f"descriptor {id} has not come")
        try:
            return bulk_memory.map_descriptor(descriptor.fd, size)
        finally:
            os.close(descriptor.fd)

    def _ask_chunks(self, inbound: Inbound) -> None:
        if inbound.missing:
            self._request(concurrent.futures.Future(), "chunks", {"addresses": sorted(inbound.missing)})

    def _chunk(self, address: str, data: Buffer) -> None:
        wanting = [inbound for inbound in self._inbound if address in inbound.missing]
        for inbound in wanting:
            self._place(inbound, address, data)
        if not wanting and len(self._early) * bulk_memory.CHUNK_BYTES < EARLY_BYTES:
            self._early[address] = data
        self._deliver()

    def _place(self, inbound: Inbound, address: str, data: Buffer) -> None:
        if bulk_memory.matches(address, data):
            try:
                inbound.arrived(address, data)
            except ValueError as error:
                raise ProtocolError(f"The host sent a chunk that does not fit: {error}") from error

    def _deliver(self) -> None:
        while self._inbound and not self._inbound[0].missing:
            inbound = self._inbound.popleft()
            self.number = inbound.sequence
            try:
                if not inbound.is_released:
                    bulk = tuple(inbound.buffers()) if _BULK_KEY in inbound.message.parts[2] else ()
                    self._on_message(inbound.message, bulk)
            except Exception:
                log.exception("A message of %s could not be handled", self._allocation.options.target)
            self._acknowledge(inbound.sequence)

    def _acknowledge(self, sequence: int) -> None:
        """Batched: an acknowledgement a message would cost the host a wake-up in the middle of every cell."""
        self._handled = sequence
        self._handled_unacknowledged += 1
        if self._handled_unacknowledged >= ACK_AFTER:
            self._send_ack()
        elif not self._ack_asked:
            self._ack_asked = True
            self.loop.call_soon_threadsafe(self._acknowledge_later)

    def _acknowledge_later(self) -> None:
        self._ack_timer = self.loop.call_later(ACK_DELAY_S, self._locked, self._acknowledge_now)

    def _acknowledge_now(self) -> None:
        self._ack_asked = False
        if self._handled_unacknowledged:
            self._send_ack()

    def _send_ack(self) -> None:
        self._handled_unacknowledged = 0
        self.client.acknowledge(self._handled)
        self._wake()


def _close_unused(opened: Opened) -> None:
    opened.endpoint.close()
    opened.close()
