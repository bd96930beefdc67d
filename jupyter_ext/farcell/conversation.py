"""What a session says to its remote kernel, one request at a time, and what becomes of the answers.

A request goes out with the state it needs; while it is waited for, names that the running cell reads and was not sent are
answered; what comes back is merged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from farcell_host.protocol import HAS_FILES
from farcell_host.protocol.messages import Buffer, Channel, Message
from farcell_host.state.modules import MODULES, find_source, import_quietly, local_module, reload_quietly
from farcell_host.state.payload import Capture, Payload
from farcell_host.state.watch import Watch
from farcell_host.threads import users

from .errors import Refused, cancelled
from .exchange import Exchange, Returned
from .life import Life
from .outcome import fail_if_ended
from .pending import Pending, blank_header
from .relay.comms import NotebookComms
from .relay.notebook import Notebook
from .relay.run_relay import RunRelay
from .run import Finish, Run, Started
from .transfers import Bulk
from .turns import Turns


class Conversation:
    """All methods but `tell` and `press` are for the turn's owner, once the session has started."""

    def __init__(self, life: Life, turns: Turns, notebook: Notebook, comms: NotebookComms) -> None:
        self.turns = turns
        self.known: Exchange | None = None
        """With the present kernel; None before the first."""
        self.pending: Pending | None = None
        self.is_touched = False
        """The target's own threads and tasks go on, or have gone on since the last exchange."""
        self.cells: set[str] = set()
        """Ids of the front end's requests that were passed on."""
        self.sent_bytes = 0
        self.received_bytes = 0
        self._life, self._notebook, self._comms = life, notebook, comms
        self._unsent: Payload | None = None  # of the present request, as long as the peer may not have installed it
        self._watch: Watch | None = None  # of the present run

    @property
    def exchange(self) -> Exchange:
        assert self.known is not None
        return self.known

    def run(
        self, relay: RunRelay, content: dict[str, Any], payload: Payload, timeout_s: float | None, watch: Watch
    ) -> tuple[Pending, Finish, Returned]:
        """One run to its end, however it ends.

        Ctrl-C before the request was sent raises KeyboardInterrupt, and nothing has happened; from then on it is a message.
        """
        return self._converse(relay, "farcell_run_request", content, payload, timeout_s, watch)

    def detach(
        self, relay: RunRelay, notebook: Notebook, content: dict[str, Any], payload: Payload, timeout_s: float | None
    ) -> tuple[Pending, Finish | None]:
        """Sends a run off, and returns when the remote kernel has its state; or its end, when it has not come to that.

        `notebook` is whom the run speaks to. What it brings back is merged by `settle`; until then there is no other request.
        """
        pending = self._new_pending(relay, timeout_s, notebook, self._refuse_fetch)
        content = {**content, "tell_installed": True, "allow_stdin": False}
        with self.turns.interrupts.telling(pending.press), self._under_way(pending, payload, None):
            self._send(pending, *self._request(pending, "farcell_run_request", content, payload))
            finish = pending.wait_until_installed()
            if finish is None:
                self._installed()
                assert self._life.connection is not None
                self._life.connection.uploaded()
        if finish is None:
            self.pending = pending
        return pending, finish

    def attach(self, relay: RunRelay, run: str) -> Pending:
        """For a run that goes on already, begun by an earlier kernel of this notebook: whoever has it waits for it."""
        self.pending = pending = self._new_pending(relay, answer_fetch=self._refuse_fetch, id=run)
        return pending

    def wait(self, pending: Pending) -> Finish:
        """For a run that was attached to."""
        with self.turns.interrupts.telling(pending.press):
            try:
                self._announce(pending)
                return pending.wait()
            finally:
                self.pending = None

    def settle(self, run: str, finish: Finish, watch: Watch) -> Returned:
        """Merges what a detached run has brought back, but for what has changed here since."""
        self.pending, self._watch = None, watch
        try:
            returned = self._merge(finish, self.exchange)
        finally:
            self._watch = None
        self.taken(run)
        self.received_bytes += returned.nbytes
        return returned

    def taken(self, run: str) -> None:
        """Tells the host, which has kept what a detached run brought back for another kernel of this notebook."""
        if self._life.is_started and self._life.connection is not None:
            self._life.connection.request("taken", run=run)

    def ask(
        self, msg_type: str, content: dict[str, Any], payload: Payload | None = None, watch: Watch | None = None
    ) -> tuple[dict[str, Any], Returned]:
        """A request that is no run, and its reply; raises Refused for one that says no."""
        reply, returned, _ = self._ask(msg_type, content, payload, watch)
        return reply, returned

    @property
    def can_copy(self) -> bool:
        """Whether the kernel serves `ask_files`: one that an older farcell has begun does not."""
        assert self._life.connection is not None
        return tuple(self._life.connection.welcome["protocol"]) >= HAS_FILES

    def ask_files(self, operation: str, contents: Iterable[Buffer] | None = None, **arguments: Any) -> tuple[Any, list[Buffer]]:
        """An operation of the target's `Files`: its answer, and the contents that it read; raises Refused."""
        if not self.can_copy:
            raise Refused(
                f"The session on {self._life.target!r} was begun by an older farcell, whose kernels cannot copy files so. "
                f"It goes on as it is; %remote stop {self._life.target} ends it, and the next one can."
            )
        content: dict[str, Any] = {"operation": operation, "arguments": arguments}
        payload = None
        if contents is not None:
            payload = Payload({})
            content["places"] = [payload.place(data) for data in contents]
        reply, _, back = self._ask("farcell_files_request", content, payload, None)
        return reply["answer"], [back.find(place) for place in reply["places"]]

    def _ask(
        self, msg_type: str, content: dict[str, Any], payload: Payload | None, watch: Watch | None
    ) -> tuple[dict[str, Any], Returned, Payload]:
        relay = RunRelay(self._notebook, self._notebook.execution_count)
        pending, finish, returned = self._converse(relay, msg_type, content, payload, watch=watch)
        fail_if_ended(finish, self._life.target, self._life.log_path)
        assert finish.reply is not None
        message = finish.reply.message
        reply = message.content
        if reply.get("status") == "aborted":
            raise cancelled(self._life.target)
        if reply.get("status", "ok") != "ok":
            raise Refused(f"{self._life.target!r}: {reply.get('message') or reply.get('status')}")
        if finish.interrupted or pending.pressed_late():
            raise KeyboardInterrupt
        return {**reply, "run": pending.id}, returned, Payload({}, list(message.buffers), list(finish.reply.bulk))

    def ask_state(
        self,
        capture: Capture | None = None,
        names: Iterable[str] = (),
        *,
        drop: Iterable[str] = (),
        watch: Watch | None = None,
        **options: Any,
    ) -> tuple[dict[str, Any], Returned]:
        """Installs a capture there and brings names here."""
        payload = self.exchange.pack(capture) if capture is not None else None
        install = payload.header if payload is not None and not payload.is_empty else None
        content = {"names": [*names], "drop": [*drop], "out": [], **options, "install": install}
        return self.ask("farcell_state_request", content, payload, watch)

    def ask_copies(self, names: Iterable[str]) -> dict[str, Any]:
        """What these names stand for there, made anew here beside all that both sides have."""
        wanted = [*names]
        relay = RunRelay(self._notebook, self._notebook.execution_count)
        content = {"names": wanted, "drop": [], "out": wanted, "copies": True, "install": None}
        _, finish, _ = self._converse(relay, "farcell_state_request", content, None)
        fail_if_ended(finish, self._life.target, self._life.log_path)
        assert finish.reply is not None
        message = finish.reply.message
        if message.content.get("status") != "ok":
            raise Refused(f"{self._life.target!r}: {message.content.get('message')}")
        alone = self._life.takes_data_alone
        beside = Exchange({}, self.exchange.epoch, (), lambda name, info: None, takes_data_alone=alone)
        beside.merge(message.content.get("copies"), message.buffers, finish.reply.bulk)
        return {name: beside.namespace[name] for name in wanted if name in beside.namespace}

    def _new_pending(
        self,
        relay: RunRelay,
        timeout_s: float | None = None,
        notebook: Notebook | None = None,
        answer_fetch: Callable[[Message], None] | None = None,
        id: str | None = None,
    ) -> Pending:
        life = self._life
        assert life.connection is not None and life.kernel is not None
        run = Run(life.target, timeout_s, needs_idle=not life.kernel.direct)
        answer = answer_fetch or self._answer_fetch
        return Pending(notebook or self._notebook, run, relay, life.connection, self.turns.interrupts, answer, id)

    def _converse(
        self,
        relay: RunRelay,
        msg_type: str,
        content: dict[str, Any],
        payload: Payload | None,
        timeout_s: float | None = None,
        watch: Watch | None = None,
    ) -> tuple[Pending, Finish, Returned]:
        assert self._life.connection is not None
        pending = self._new_pending(relay, timeout_s)
        finish, returned = self._converse_once(pending, msg_type, content, payload, watch)
        if finish.could_not_read:
            self._life.connection.reads_memory = False
            pending.check()
            pending = self._new_pending(relay, timeout_s)
            finish, returned = self._converse_once(pending, msg_type, content, payload, watch)
        self.received_bytes += returned.nbytes
        return pending, finish, returned

    def _converse_once(
        self, pending: Pending, msg_type: str, content: dict[str, Any], payload: Payload | None, watch: Watch | None
    ) -> tuple[Finish, Returned]:
        assert self._life.connection is not None and self._life.kernel is not None
        connection, exchange = self._life.connection, self.exchange
        with self.turns.interrupts.telling(pending.press), self._under_way(pending, payload, watch):
            request = self._request(pending, msg_type, content, payload, may_stay=self._life.kernel.direct)
            with self._comms.waiting(), connection.lent():
                self._send(pending, *request)
                finish = pending.wait()
            connection.uploaded()
            return finish, self._merge(finish, exchange)

    def _request(
        self, pending: Pending, msg_type: str, content: dict[str, Any], payload: Payload | None, may_stay: bool = False
    ) -> tuple[Message, Bulk | None]:
        """`may_stay`: the values stay as they are until the answer, so the remote kernel may read them where they are."""
        connection = self._life.connection
        assert connection is not None
        header = {**(self._notebook.run_header() or blank_header()), "farcell_run": pending.id}
        if content.get("tell_installed"):
            header["farcell_detached"] = True
        buffers = payload.buffers if payload is not None else ()
        told = {"run": pending.id, **({"trust": "data"} if self._life.takes_data_alone else {}), **content}
        self.cells.add(header["msg_id"])
        message = Message.build(Channel.SHELL, msg_type, told, header=header, buffers=tuple(buffers))
        bulk = connection.prepare(payload.bulk, pending.check, may_stay=may_stay) if payload is not None else None
        self.sent_bytes += payload.total_bytes if payload is not None else 0
        pending.relay.before()
        return message, bulk

    def _send(self, pending: Pending, message: Message, bulk: Bulk | None) -> None:
        assert self._life.connection is not None
        self._life.connection.send(message, bulk)
        self._announce(pending)

    def _announce(self, pending: Pending) -> None:
        pending.tell(Started(time.monotonic()))
        late = self._life.late_death
        if late is not None:
            pending.tell(late)

    @contextlib.contextmanager
    def _under_way(self, pending: Pending, payload: Payload | None, watch: Watch | None) -> Iterator[None]:
        self.pending, self._unsent, self._watch = pending, payload, watch
        try:
            yield
        finally:
            self.pending = self._unsent = self._watch = None

    def _installed(self) -> None:
        """The peer has shown that it installed the request's state."""
        payload, self._unsent = self._unsent, None
        if payload is not None and payload.receipt is not None and self.known is not None:
            self.known.sent(payload)

    def _merge(self, finish: Finish, exchange: Exchange) -> Returned:
        if finish.reply is None:
            return Returned()
        content = finish.reply.message.content
        if content.get("status") in ("ok", "error"):
            self._installed()
        self.is_touched = bool(content.get("background", self.is_touched))
        exchange.forget_modules(content.get("gone") or ())
        imported = self._import_too(content.get("imported") or {})
        if self._watch is not None and not self._watch.since_last:
            self._watch.in_place = self._watch.in_place or bool(users(threading.enumerate()))
        returned = exchange.merge(content.get("state"), finish.reply.message.buffers, finish.reply.bulk, self._watch)
        if returned.left:
            self._notebook.say(
                f"What the cell has changed cannot be changed in place here: {', '.join(returned.left)} in this notebook "
                "goes on with the old object. Bind it anew from a name of the notebook."
            )
        return dataclasses.replace(returned, imported=imported)

    def _import_too(self, versions: Mapping[str, str]) -> tuple[str, ...]:
        """What the run has imported or reloaded is so here before its values come, which may refer to it; without its prints."""
        done = []
        for name, version in versions.items():
            try:
                module = local_module(name)
                if module is None:
                    with self.exchange.drawing_nothing():
                        import_quietly(name)
                elif MODULES.see(module).source.version != version:
                    reload_quietly(module)
                done.append(name)
            except Exception as error:
                self._notebook.say(
                    f"{name}, imported on {self._life.target!r}, cannot be imported here: {type(error).__name__}: {error}"
                )
        return tuple(done)

    def _refuse_fetch(self, request: Message) -> None:
        """A detached run read a name it was not sent: what the notebook has by now is not what the run began with."""
        names = request.content.get("names", ())
        module = request.content.get("module")
        source = find_source(module, request.content.get("anew", False)) if module else None
        # Attached to, there is no exchange yet with the kernel that it runs in.
        there = [name for name in names if (self.known.has(name) if self.known is not None else name in self._notebook.namespace)]
        content = {
            "run": request.content.get("run"),
            "found": [],
            "missing": [] if there else [*names],
            "error": f"a detached run gets what its text reads when it begins. To send it along: --in {','.join(there)}"
            if there
            else None,
            "state": None,
            "source": dataclasses.asdict(source) if source is not None else None,
        }
        self._reply_fetch(request, content)

    def _reply_fetch(self, request: Message, content: dict[str, Any], payload: Payload | None = None, bulk: Any = None) -> None:
        assert self._life.connection is not None
        header = {**blank_header(), "farcell_run": self.pending.id if self.pending else ""}
        buffers = tuple(payload.buffers) if payload is not None else ()
        reply = Message.build(
            Channel.STDIN, "farcell_fetch_reply", content, header=header, parent=request.header, buffers=buffers
        )
        self._life.connection.send(reply, bulk)

    def _answer_fetch(self, request: Message) -> None:
        """The running cell read a name it was not sent: answered always, from the notebook as it is now, or it waits for ever."""
        assert self._life.connection is not None
        exchange = self.exchange
        self._installed()
        names = request.content.get("names", ())
        found = [name for name in names if exchange.has(name)]
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
                payload = exchange.pack(exchange.capture(found, ambient=False))  # the cell has its own by now
                bulk = self._life.connection.prepare(payload.bulk)
                content["state"] = None if payload.is_empty else payload.header
        except Exception as error:
            payload, bulk = None, None
            content.update(found=[], error=str(error).removesuffix(" The cell was not run."))
        self._reply_fetch(request, content, payload, bulk)
        if payload is not None:
            self.sent_bytes += payload.total_bytes
            exchange.sent(payload)
        if self._watch is not None:
            self._watch.add(content["found"], self._notebook.namespace)
