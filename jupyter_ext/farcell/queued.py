"""A run that is left with a job in a scheduler's queue: for a kernel that is not there yet, with nobody there when it is.

It goes as the bytes that a driver would send, into a file that the job's host takes up. Nothing of the other side is known:
everything that the cell reads goes along, and modules of the notebook's own before it. Nobody answers what it asks for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from farcell_host.protocol.frames import encode_chunk, encode_message
from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.state.payload import Capture, Payload

from . import transfers
from .asked import Asked
from .exchange import Exchange
from .pending import blank_header

HASH = "blake2b"
"""Which every host has."""


class LeftBehind:
    """One run's; `exchange` is with nobody, and of no use afterwards."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.run = uuid.uuid4().hex
        self._offers: list[dict[str, Any]] = []

    def capture(self, asked: Asked) -> Capture:
        """What the run reads; raises CannotTravel. Modules count as loaded there, and what they hold as different from here."""
        exchange = self.exchange
        capture = exchange.capture(filter(exchange.has, asked.why), asked.also)
        wanted = capture.modules | exchange.unknown_modules(asked.imports)
        if not wanted:
            return capture
        self._offers = exchange.introduce(wanted)
        unequal = {offer["name"]: list(offer["data"]) for offer in self._offers}
        exchange.introduced(self._offers, {"failed": {}, "unequal": unequal})
        return exchange.capture(filter(exchange.has, asked.why), asked.also)

    def pieces(
        self, cell: Mapping[str, Any] | None, content: Mapping[str, Any], payload: Payload, check: Callable[[], object]
    ) -> list[bytes]:
        """Frames, one after the other. `cell`: the header of the notebook's cell; `check` may raise KeyboardInterrupt."""
        bulk = transfers.prepare(payload.bulk, transfers.Way.CHUNKS, HASH, check)
        header = {**(cell or blank_header()), "farcell_run": self.run, "farcell_detached": True}
        elsewhere = sorted(name for name in self.exchange.namespace if self.exchange.has(name))
        whole = {**content, "run": self.run, "allow_stdin": False, "elsewhere": elsewhere}
        metadata = {transfers.BULK_KEY: bulk.entries} if bulk.entries else {}
        request = Message.build(
            Channel.SHELL, "farcell_run_request", whole, header=header, metadata=metadata, buffers=tuple(payload.buffers)
        )
        frames: list[Iterable[Buffer]] = [encode_chunk(address, data) for address, data in bulk.chunks.items()]
        if self._offers:
            modules = {"modules": self._offers}
            frames += encode_message(Message.build(Channel.SHELL, "farcell_modules_request", modules, header=blank_header()))
        frames += encode_message(request)
        return [bytes(buffer) for frame in frames for buffer in frame]
