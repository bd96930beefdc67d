"""What a run has shown, a page at a time, from its session's journal: each page reads on where the last one ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.waiting import result_within, within

from ..backends.base import Listing, backend_named
from ..connection import Connection
from ..errors import FarcellError
from ..everywhere import Session, allocation_of
from ..relay.cleaned import for_a_log
from ..relay.run_relay import dropped
from .schemas import Output, RunLog

OPEN_S = 30.0
READ_S = 60.0
CHECK_S = 0.02
LARGEST_OUTPUT_BYTES = 2 << 20
PAGE_BYTES = 4 << 20
_SHOWN = {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"}


class Page:
    """Gathers the outputs of one run out of all that a session says. `take` is a connection's `on_message`."""

    def __init__(self, run: str, limit: int) -> None:
        self.run = run
        self.outputs: list[Output] = []
        self.is_known = self.is_over = self.is_full = False
        self._limit, self._bytes = limit, 0

    def take(self, number: int, message: Message) -> None:
        if self.is_full or self.is_over or self.run.encode() not in bytes(message.parts[1]):
            return
        if message.parent_header.get("farcell_run") != self.run:
            return
        self.is_known = True
        if message.channel == Channel.SHELL:
            self.is_over = True
            if message.content.get("status") == "error":  # the error that ends a run is in its reply only
                self._add(output_of(number, "error", message.content))
        elif message.channel == Channel.IOPUB:
            if message.msg_type == "farcell_output_dropped":
                message = dropped(message)
            if message.msg_type in _SHOWN:
                self._add(output_of(number, message.msg_type, message.content))

    def _add(self, output: Output) -> None:
        self.outputs.append(output)
        self._bytes += len(output.model_dump_json())
        self.is_full = not self.is_over and (len(self.outputs) >= self._limit or self._bytes >= PAGE_BYTES)


def output_of(number: int, type: str, content: dict[str, Any]) -> Output:
    """As nbformat has it; what is too large for an answer is left out and said to be."""
    fields: dict[str, Any] = {"number": number, "type": type}
    if type == "stream":
        fields |= {"name": content.get("name"), "text": content.get("text", "")}
    elif type == "error":
        fields |= {key: content.get(key) for key in ("ename", "evalue", "traceback")}
    elif type == "clear_output":
        fields["wait"] = bool(content.get("wait"))
    else:
        fields |= {key: content.get(key) or {} for key in ("data", "metadata")}
        fields["display_id"] = (content.get("transient") or {}).get("display_id")
        fields["execution_count"] = content.get("execution_count")
    size = len(json.dumps(fields, default=str))
    if size > LARGEST_OUTPUT_BYTES:
        fields = {"number": number, "type": type, "name": fields.get("name"), "left_out_bytes": size}
    return Output(**fields)


async def read_log(session: Session, run: str, after: int, limit: int) -> RunLog | None:
    """On the connection thread's loop. None when the session has no such run, or has ended meanwhile."""
    backend, page = backend_named(session.options.backend), Page(run, limit)
    changed = asyncio.Event()

    clean = for_a_log(session.options)

    def take(message: Message, bulk: tuple[Buffer, ...]) -> None:
        shown = clean(message)
        if shown is not None:
            page.take(connection.number, shown)
        if page.is_full or page.is_over:
            changed.set()

    connection = Connection(backend, allocation_of(session), take, lambda death: changed.set(), "observer", cursor=after)
    try:
        await result_within(connection.open(), OPEN_S)
        deadline = connection.loop.time() + READ_S
        while not (changed.is_set() or connection.has_all or connection.closed) and connection.loop.time() < deadline:
            await within(changed, CHECK_S)
    except (FarcellError, OSError, asyncio.TimeoutError):
        return None
    finally:
        await connection.close()
        if isinstance(backend, Listing):
            await backend.leave(allocation_of(session))
    if not page.is_known and after == 0:
        return None
    return RunLog(
        run=run,
        session=session.id,
        target=session.target,
        outputs=page.outputs,
        next=page.outputs[-1].number if page.is_full else None,
        is_over=page.is_over,
        is_whole=not connection.has_gap,
    )
