"""The host's link over zmq, for a kernel without the direct socket: ipykernel 6, a failed self-test, no SCM_RIGHTS."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from . import bulk
from .errors import FarcellHostError
from .kernellink import BULK_KEY, FromKernel, Room
from .protocol.frames import Descriptor, encode_message
from .protocol.messages import Channel, Message, encode_json

_DELIMITER = b"<IDS|MSG>"
_RETRY_S = 0.2  # until the subscription holds; messages sent before it does are lost for us
_MESSAGES_A_TURN = 200
_KINDS = {Channel.SHELL: zmq.DEALER, Channel.IOPUB: zmq.SUB, Channel.STDIN: zmq.DEALER, Channel.CONTROL: zmq.DEALER}


class ZmqLink:
    """Bulk buffers are the last buffers of their message; outwards and inwards they are descriptors."""

    direct = False

    def __init__(self, info: dict[str, str | int], on_messages: Callable[[list[FromKernel]], None]) -> None:
        self._on_messages = on_messages
        self._loop = asyncio.get_running_loop()
        self._key = str(info["key"]).encode()
        self._context = zmq.Context()
        self._sockets: dict[Channel, zmq.Socket[bytes]] = {}
        self._bulk_ids = 0
        self._probes: set[str] = set()
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._info: dict[str, Any] | None = None
        self._heard = False
        self._joining: zmq.Socket[bytes] | None = None
        for channel, kind in _KINDS.items():
            sock = self._context.socket(kind)
            sock.linger = 0
            sock.set_hwm(0)  # nothing is lost on our side: it goes to the journal at once
            sock.setsockopt(zmq.IDENTITY, b"farcell-host")
            if kind == zmq.SUB:
                sock.setsockopt(zmq.SUBSCRIBE, b"")
            if channel is Channel.STDIN:
                self._joining = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            sock.connect(f"ipc://{info['ip']}-{info[channel.name.lower() + '_port']}")
            self._sockets[channel] = sock
            self._loop.add_reader(sock.fileno(), self._readable, channel)

    def ask_room(self, sizes: Sequence[int], on_answer: Callable[[Room | None], None]) -> None:
        on_answer(None)

    async def ready(self) -> dict[str, Any]:
        """Waits until the kernel answers and its outputs are heard; its kernel_info."""
        self._ready = self._loop.create_future()
        while not self._ready.done():
            probe = Message.build(Channel.SHELL, "kernel_info_request", {})
            self._probes.add(probe.header["msg_id"])
            self.send(probe)
            await asyncio.wait([self._ready], timeout=_RETRY_S)
        await self._join_stdin()
        return self._ready.result()

    async def _join_stdin(self) -> None:
        """The kernel's stdin socket drops what it has no connection for yet: the first question would be lost."""
        monitor, news = self._joining, asyncio.Event()
        if monitor is None:
            return
        fd = monitor.fileno()
        self._loop.add_reader(fd, news.set)
        try:
            while not monitor.poll(0):  # asked each time: zmq's descriptor tells of edges only
                await news.wait()
                news.clear()
        finally:
            self._loop.remove_reader(fd)
            self._end_monitor()

    def _end_monitor(self) -> None:
        if self._joining is not None:
            self._joining = None
            self._sockets[Channel.STDIN].disable_monitor()

    def send(self, message: Message, descriptors: Sequence[Descriptor] = ()) -> None:
        parts, buffers = message.parts, list(message.buffers)
        if descriptors:
            by_id = {descriptor.id: descriptor for descriptor in descriptors}
            for entry in message.metadata[BULK_KEY]:
                descriptor = by_id[entry["descriptor"]]
                buffers.append(bulk.map_descriptor(descriptor.fd, descriptor.size))
            for descriptor in descriptors:
                os.close(descriptor.fd)
        sock = self._sockets[message.channel]
        sock.send_multipart([_DELIMITER, self._sign(parts), *parts, *buffers], copy=not descriptors)
        self._loop.call_soon(self._readable, message.channel)  # zmq's descriptor tells of edges only

    def ping(self) -> None:
        """ipykernel's zmq sockets wake its loop by themselves."""

    def drain(self) -> None:
        for channel in self._sockets:
            self._readable(channel)

    def close(self) -> None:
        if self._sockets:
            self._end_monitor()
        for sock in self._sockets.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets = {}
        self._context.term()

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        signature = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            signature.update(part)
        return signature.hexdigest().encode()

    def _readable(self, channel: Channel) -> None:
        sock = self._sockets.get(channel)
        if sock is None:
            return
        messages: list[FromKernel] = []
        for _ in range(_MESSAGES_A_TURN):
            try:
                pieces = sock.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            message = self._decode(channel, pieces)
            if message is not None:
                messages.append(message)
        else:
            self._loop.call_soon(self._readable, channel)
        if messages:
            self._on_messages(messages)

    def _decode(self, channel: Channel, pieces: list[bytes]) -> FromKernel | None:
        if _DELIMITER not in pieces:
            return None
        start = pieces.index(_DELIMITER)
        signature, header, parent, metadata, content, *buffers = pieces[start + 1 :]
        parts = (header, parent, metadata, content)
        if not hmac.compare_digest(signature, self._sign(parts)):
            raise FarcellHostError("A message came over the kernel's zmq sockets that its key did not sign")
        message = Message(channel, parts, buffers)
        if self._probes and self._is_ours(message):
            return None
        descriptors: list[Descriptor] = []
        if b'"farcell_bulk"' in metadata:
            message, descriptors = self._describe(message)
        return FromKernel(channel, [frame[1:] for frame in encode_message(message)], tuple(descriptors))

    def _is_ours(self, message: Message) -> bool:
        """Answers to `ready`'s probes are nobody else's business."""
        if message.parent_header.get("msg_id") not in self._probes:
            return False
        if message.channel is Channel.IOPUB:
            self._heard = True
        elif message.msg_type == "kernel_info_reply":
            self._info = message.content
        if self._ready is not None and not self._ready.done() and self._heard and self._info is not None:
            self._ready.set_result(self._info)
        return True

    def _describe(self, message: Message) -> tuple[Message, list[Descriptor]]:
        entries = message.metadata[BULK_KEY]
        split = len(message.buffers) - len(entries)
        descriptors = []
        for entry, buffer in zip(entries, message.buffers[split:], strict=True):
            self._bulk_ids += 1
            descriptors.append(Descriptor(self._bulk_ids, bulk.make_descriptor(buffer), len(buffer)))
            entry["descriptor"] = self._bulk_ids
        header, parent, _, content = message.parts
        parts = (header, parent, encode_json(message.metadata), content)
        return Message(message.channel, parts, message.buffers[:split]), descriptors
