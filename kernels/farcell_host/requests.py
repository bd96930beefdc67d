"""What clients ask of a host beside messages for its kernel: each request a method, `_op_` and its name.

Who may ask what is in `protocol.roles`; docs/architecture.md has the fields.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import chunkstore, runtime, telemetry
from .errors import FarcellHostError
from .peerlink import PeerLink
from .protocol import events
from .protocol.roles import OBSERVER_REQUESTS, ONCE_REQUESTS, Answers
from .waiting import within

if TYPE_CHECKING:
    from .host import Host

WANTED = "a notebook asked for it"
_VARS_S = 10.0
_VALUES_S = 60.0
_MOST_READ_BYTES = 8 << 20  # in base64 it fits into an answer
_MOVING_S = 0.5  # between two looks at what is on its way, while somebody watches
_LONGEST_WATCH_S = 60.0  # a question does not outlive by more whoever has asked it
_LOG_BYTES = 1 << 20
_TOLD_CHARACTERS = 2000

log = logging.getLogger("farcell.host")


class Requests:
    """Those to one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._answers = Answers()

    def answer(self, link: PeerLink, event: events.Requested) -> None:
        """At once, or when it is known; never raises."""
        name = event.op
        # An observer's questions are not told apart: command lines share a client name.
        driver = link.hello.client if name in ONCE_REQUESTS and link.hello is not None and self._host.may_send(link) else None
        earlier = self._answers.earlier(driver, event.id) if driver is not None else None
        if earlier is not None:
            link.peer.respond(event.id, earlier[0], **earlier[1])
            return
        answer = getattr(self, f"_op_{name}", None) if name.isidentifier() else None
        if answer is None:
            link.peer.respond(event.id, False, message=f"This kernel host knows no request {name!r}")
        elif name not in OBSERVER_REQUESTS and not self._host.may_send(link):
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
            if self._host.has(link):
                link.peer.respond(event.id, ok, **fields)
                link.wake()

        self._host.beside(answer())

    def _op_interrupt(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        run = fields.get("run")
        kernel = self._host.kernel
        if run is not None and self._host.delivery.cancel(str(run)):
            return {"done": "cancelled"}
        is_asked = not kernel.asked if fields.get("comm") else bool(kernel.asked)  # a message of a comm has no reply
        if not kernel.is_alive or not is_asked or (run is not None and kernel.run != str(run)):
            return {"done": "nothing"}
        kernel.interrupt()
        return {"done": "interrupted"}

    def _op_keep(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """A person wants the session to go on: counts as use, once."""
        self._host.use()
        self._host.changed()
        return {"ending": self._host.ending(time.monotonic())}

    def _op_kill(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        self._host.kernel.process.signal(signal.SIGKILL)
        return {}

    def _op_restart(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """An observer names the kernel that it means, by its epoch: asked twice, it is done once, and never to a newer one."""
        host = self._host
        if not host.may_send(link):
            if int(fields["epoch"]) == host.kernel.epoch:
                host.notify("The remote kernel is restarted, as another of your programs has asked; what only it had is lost.")
                host.restart()
        else:
            host.restart()
        return {"epoch": host.kernel.epoch, "kernel_pid": host.kernel.process.pid}

    def _op_stop(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("unless_running") and (self._host.kernel.run is not None or self._host.delivery.waiting_runs):
            return {"ok": False, "message": "A run is unfinished; the session goes on"}
        asyncio.get_running_loop().call_soon(self._host.stop, WANTED)
        if not fields.get("records"):
            return {}
        return {"usage": self._host.last_accounts(is_recorded=bool(fields.get("recorded")))}

    def _op_retire(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """Ends the session as when nobody uses it: the run is interrupted, the namespace saved, the notebook told."""
        self._host.retirement.begin(
            str(fields["why"]), grace_s=max(0.0, float(fields["grace_s"])), saves=bool(fields.get("saves", True))
        )
        return {}

    def _op_tell(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """Says something to whoever drives: who lends the machine warns of its end."""
        self._host.notify(str(fields["text"])[:_TOLD_CHARACTERS])
        return {}

    def _op_missing(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return {"missing": self._host.delivery.missing(fields["addresses"])}

    def _op_chunks(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return {"missing": link.send_chunks(fields["addresses"])}

    def _op_taken(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What a detached run has changed has been merged."""
        run = str(fields["run"])
        self._host.delivery.detached.discard(run)
        self._host.face.untaken.pop(run, None)
        self._host.changed()
        return {}

    def _op_release(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """Descriptors are released by acknowledgement; kept so that a client may say so twice."""
        return {}

    async def _op_gpus(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What they do now, and who is on them."""
        reading = await self._host.telemetry.read()
        return {**reading.as_fields(), "kernel_pid": self._host.kernel.process.pid}

    async def _op_usage(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What no ledger has yet, or with `recent` the last runs; with `left` also of sessions before this one, whose hosts are
        no more."""
        left = await asyncio.to_thread(self._host.accounts.left) if fields.get("left") else []
        return {
            **self._host.accounts.records(telemetry.peak_fields(self._host.telemetry.peak), recent=bool(fields.get("recent"))),
            "left": left,
        }

    def _op_recorded(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """A ledger has these."""
        self._host.accounts.taken([str(run) for run in fields.get("runs", ())])
        self._host.accounts.drop_left([str(session) for session in fields.get("left", ())])
        return {}

    async def _op_log(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """The last lines of what the kernel and the host have printed outside of cells."""
        folder, lines = self._host.options.runtime, int(fields["lines"])
        found = [folder / runtime.KERNEL_LOG, self._host.options.log or folder / runtime.HOST_LOG]
        texts = await asyncio.to_thread(lambda: [_last_lines(file, lines) for file in found])
        return {"files": [{"path": str(file), "text": text} for file, text in zip(found, texts, strict=True)]}

    async def _op_vars(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What the kernel holds, as `%remote vars` has it; null while a cell runs there, which it is not to wait for, or while
        there is no kernel."""
        if self._host.kernel.asked or not self._host.kernel.is_alive or not self._host.kernel.is_ready:
            return {"vars": None}
        return {"vars": (await self._host.ask_kernel("farcell_vars_request", {}, _VARS_S)).get("vars", [])}

    async def _op_values(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """What the kernel holds, and the values of some names as data (`state/plain.py`), in JSON; null as for `vars`."""
        kernel, names = self._host.kernel, [str(name) for name in fields["names"]]
        if kernel.asked or not kernel.is_alive or not kernel.is_ready:
            return {"vars": None, "values": None}
        asked = {"names": names, "most_bytes": min(int(fields["most_bytes"]), _MOST_READ_BYTES)}
        told = await self._host.ask_kernel("farcell_values_request", asked, _VALUES_S)
        if told.get("status") != "ok":
            raise FarcellHostError(str(told.get("message")))
        return {"vars": told["vars"], "values": told["values"]}

    def _op_snapshots(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return self._host.retirement.offer()

    def _op_forget_snapshots(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return {"removed": self._host.retirement.forget()}

    def _op_status(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        return self._host.face.status()

    async def _op_watch(self, link: PeerLink, fields: dict[str, Any]) -> dict[str, Any]:
        """The status, once its `face` differs from the one that was `seen`, or `within_s` are over."""
        news = asyncio.Event()
        deadline = time.monotonic() + min(float(fields["within_s"]), _LONGEST_WATCH_S)
        self._host.watchers.add(news)
        try:
            while (face := self._host.face.now()) == fields.get("seen") and (left := deadline - time.monotonic()) > 0:
                news.clear()
                # What is on its way says nothing by itself.
                is_moving = self._host.kernel.run is not None or not self._host.delivery.is_empty
                await within(news, min(left, _MOVING_S) if is_moving else left)
        finally:
            self._host.watchers.discard(news)
        return {**self._host.face.status(), "face": face}


def _last_lines(file: Path, lines: int) -> str:
    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_BYTES))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(it cannot be read: {error.strerror})"
