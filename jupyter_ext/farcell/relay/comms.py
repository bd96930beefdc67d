"""Comms of remote kernels in this notebook's kernel: what the front end sends to one goes on to the target it was opened on.

A remote `comm_open` reaches the front end like any output. Here a `Proxy` with its id is put into the kernel's comm manager, to
which the front end's messages come; `comm_info_request` tells of it, too. The proxy passes each message on with the header that
it has, so that whatever its callback prints or displays on the target has the right parent, and returns when the target says
that it is idle again: as with a comm of this kernel's own, its idle follows all that the callback did, and a front end that
then forgets the message has missed nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from farcell_host.protocol.messages import Channel, Message

from .bypass import Bypass
from .notebook import Notebook, passed_on
from .widget_states import WidgetStates

MESSAGES = frozenset({"comm_open", "comm_msg", "comm_close"})

Send = Callable[[Message], bool]
"""Takes a message to the target; whether the target will say when it has dealt with it."""


class Proxy:
    """In the comm manager for a comm that lives on a target. Not a BaseComm, which closes the comm when it is collected."""

    def __init__(self, comms: Comms, comm_id: str, target_name: str) -> None:
        self.comm_id = comm_id
        self.target_name = target_name
        self.primary = False
        self.comms = comms
        self._closed = False

    def handle_msg(self, msg: Mapping[str, Any]) -> None:
        self.comms.pass_on(msg)

    def handle_close(self, msg: Mapping[str, Any]) -> None:
        self.comms.pass_on(msg)

    def _reply_subshell_for(self, data: Any, subshell_id: str | None) -> str | None:
        """ipykernel 7.4 asks a comm which subshell is to handle a message: the one that the front end has chosen."""
        return subshell_id


class NotebookComms:
    """What all sessions of a notebook share: its comm manager, the states of widgets, the way past a shell that waits."""

    def __init__(self, notebook: Notebook) -> None:
        self.manager = notebook.comm_manager
        self.states = WidgetStates(self.manager)
        self._bypass = Bypass(notebook.kernel, self._is_proxys, self._pass_by)

    def register(self, proxy: Proxy) -> None:
        self.manager.comms[proxy.comm_id] = proxy
        self._bypass.install()

    def unregister(self, proxy: Proxy) -> None:
        if self.manager.comms.get(proxy.comm_id) is proxy:
            del self.manager.comms[proxy.comm_id]

    def waiting(self) -> AbstractContextManager[None]:
        """While a thread waits for a remote cell."""
        return self._bypass.open()

    def _is_proxys(self, comm_id: str) -> bool:
        return isinstance(self.manager.comms.get(comm_id), Proxy)

    def _pass_by(self, msg: Mapping[str, Any]) -> None:
        proxy = self.manager.comms.get(msg["content"]["comm_id"])
        if isinstance(proxy, Proxy):
            proxy.comms.pass_by(msg)


class Comms:
    """Those of one session; `publish` gives the front end a message, `interrupt` ends a callback on the target."""

    def __init__(
        self, notebook: NotebookComms, send: Send, interrupt: Callable[[], None], publish: Callable[[Message], None]
    ) -> None:
        self._notebook = notebook
        self._send = send
        self._interrupt = interrupt
        self._publish = publish
        self._proxies: dict[str, Proxy] = {}
        self._waiting: dict[str, threading.Event] = {}
        self._passed_by: set[str] = set()

    # -- from the connection's thread, or the one that waits for a run

    def seen(self, message: Message) -> None:
        """A comm message from the target, before the front end gets it."""
        if self._notebook.manager is None:
            return
        content = message.content
        comm_id = str(content.get("comm_id"))
        if message.msg_type == "comm_open":
            self._proxies[comm_id] = proxy = Proxy(self, comm_id, str(content.get("target_name")))
            self._notebook.register(proxy)
        elif message.msg_type == "comm_close":
            self._drop(comm_id)
        self._notebook.states.seen(message)

    def status(self, message: Message) -> None:
        """The target is busy with a message of the front end's, or idle again."""
        msg_id, is_idle = str(message.parent_header.get("msg_id")), message.content.get("execution_state") == "idle"
        if msg_id in self._passed_by:
            self._publish(message)
            if is_idle:
                self._passed_by.discard(msg_id)
        done = self._waiting.get(msg_id)
        if done is not None and is_idle:
            done.set()

    def ended(self) -> None:
        """The target's kernel is no more: nobody waits for it any longer. What it has shown stays as it is."""
        self._passed_by.clear()
        for done in list(self._waiting.values()):
            done.set()

    # -- from threads of this kernel that got a message of the front end's

    def pass_on(self, msg: Mapping[str, Any]) -> None:
        """Takes it to the target, and waits until the target is idle again: this kernel is busy with it as long.

        Ctrl-C interrupts the callback there; once more, and it is no longer waited for.
        """
        message = self._prepared(msg)
        msg_id = str(message.header["msg_id"])
        done = self._waiting[msg_id] = threading.Event()
        try:
            if self._send(message):
                try:
                    done.wait()
                except KeyboardInterrupt:
                    self._interrupt()
                    done.wait()
        finally:
            del self._waiting[msg_id]

    def pass_by(self, msg: Mapping[str, Any]) -> None:
        """Takes it to the target, whose status the front end is told, since this kernel itself never handles the message."""
        message = self._prepared(msg)
        msg_id = str(message.header["msg_id"])
        self._passed_by.add(msg_id)
        if not self._send(message):
            self._passed_by.discard(msg_id)
            for state in ("busy", "idle"):  # widgets send the next change once they hear of the end of the one before
                self._publish(Message.build(Channel.IOPUB, "status", {"execution_state": state}, parent=message.header))

    def _prepared(self, msg: Mapping[str, Any]) -> Message:
        header, content = passed_on(msg["header"]), msg["content"]
        message = Message.build(
            Channel.SHELL,
            header["msg_type"],
            content,
            header=header,
            metadata=msg.get("metadata") or {},
            buffers=tuple(bytes(buffer) for buffer in msg.get("buffers") or ()),
        )
        if header["msg_type"] == "comm_close":
            self._drop(str(content.get("comm_id")))
        self._notebook.states.seen(message)
        return message

    def _drop(self, comm_id: str) -> None:
        proxy = self._proxies.pop(comm_id, None)
        if proxy is not None:
            self._notebook.unregister(proxy)
