"""The remote kernel as the host sees it: its process, its link, and what it has been asked and has not answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import runtime
from .errors import FarcellHostError
from .kernellink import FromKernel, KernelLink, OnFilled, Room, connect_direct
from .kernelprocess import KernelProcess
from .protocol.frames import Descriptor
from .protocol.messages import Channel, Message

log = logging.getLogger("farcell.host")


class Kernel:
    """One remote kernel's life. `on_started(fields)` when it can be talked to, `on_ended()` once when its process has ended."""

    def __init__(
        self,
        process: KernelProcess,
        epoch: int,
        on_messages: Callable[[list[FromKernel]], None],
        on_filled: OnFilled,
        on_started: Callable[[dict[str, Any]], None],
        on_ended: Callable[[], None],
        on_sent: Callable[[str | None, Message], None],
    ) -> None:
        """`on_sent` hears of each message to the kernel, with the run that it begins."""
        self.process = process
        self.epoch = epoch
        self.is_alive = True
        self.asked: dict[str, str | None] = {}  # msg_id of a shell request not yet answered: its run, if it is one
        self._on_messages = on_messages
        self._on_filled = on_filled
        self._on_started = on_started
        self._on_ended = on_ended
        self._on_sent = on_sent
        self._link: KernelLink | None = None
        process.watch(self._ended)
        self._starting = asyncio.ensure_future(self._start())

    @property
    def is_ready(self) -> bool:
        return self._link is not None

    @property
    def direct(self) -> bool:
        return self._link is not None and self._link.direct

    @property
    def run(self) -> str | None:
        """The run in progress."""
        return next((run for run in self.asked.values() if run is not None), None)

    def send(self, message: Message, descriptors: list[Descriptor]) -> None:
        assert self._link is not None
        run = None
        if message.channel is Channel.SHELL and message.msg_type.endswith("_request"):
            run = message.header.get("farcell_run") if message.msg_type == "farcell_run_request" else None
            run = None if run is None else str(run)
            self.asked[str(message.header.get("msg_id"))] = run
        self._on_sent(run, message)
        self._link.send(message, descriptors)

    def ask_room(self, sizes: Sequence[int], on_answer: Callable[[Room | None], None]) -> None:
        """Memory of its own for bulk buffers of these sizes. Not answered if it ends first."""
        assert self._link is not None
        self._link.ask_room(sizes, on_answer)

    def answered(self, message: Message) -> str | None:
        """A shell message came; the run that it ends."""
        return self.asked.pop(str(message.parent_header.get("msg_id")), None)

    def interrupt(self) -> None:
        self.process.interrupt(self.run)
        if self._link is not None:
            self._link.ping()

    def close(self) -> None:
        """Ends it now; `on_ended` is not called."""
        self.is_alive = False
        self._starting.cancel()
        self.process.kill()
        if self._link is not None:
            self._link.drain()
            self._link.close()
            self._link = None

    async def _start(self) -> None:
        try:
            link, fields = await self._connect()
        except (FarcellHostError, OSError) as error:
            log.error("The remote kernel cannot be reached: %s", error)
            self.process.signal(9)
            return
        if not self.is_alive:
            link.close()
            return
        self._link = link
        self._on_started(fields)

    async def _connect(self) -> tuple[KernelLink, dict[str, Any]]:
        if self.process.direct:
            path = Path(self.process.folder / runtime.KERNEL_SOCKET)
            link, fields = await connect_direct(path, self._on_messages, self._on_filled, self._lost)
            if fields.get("direct"):
                return link, fields
            log.warning("No direct link: %s", fields.get("reason"))
            link.close()
        from .zmqlink import ZmqLink

        zmq_link = ZmqLink(self.process.connection_info, self._on_messages)
        try:
            info = await zmq_link.ready()
        except BaseException:
            zmq_link.close()
            raise
        python = info.get("language_info", {}).get("version", "")
        return zmq_link, {"python": python, "ipykernel": None}

    def _lost(self, error: Exception | None) -> None:
        """The kernel closed its end; without the link it is of no use."""
        log.warning("The link to the remote kernel is lost: %s", error)
        self._link = None
        self.process.signal(9)

    def _ended(self) -> None:
        if self._link is not None:
            self._link.drain()  # its last words
        if self._link is not None:
            self._link.close()
            self._link = None
        self.is_alive = False
        self._starting.cancel()
        self._on_ended()
