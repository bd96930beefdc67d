"""Comms of remote kernels in this notebook's kernel: what the front end sends to one goes on to the target it was opened on.

A remote `comm_open` reaches the front end like any output. Here a `Proxy` with its id is put into the kernel's comm manager, to
which the front end's messages come; `comm_info_request` tells of it, too. The proxy passes each message on with the header that it
has, so that whatever its callback prints or displays on the target has the right parent, and returns when the target says that it
is idle again: as with a comm of this kernel's own, its idle follows all that the callback did, and a front end that then forgets
the message has missed nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from farcell_host.protocol.messages import Channel, Message

from .widget_states import WidgetStates

MESSAGES = frozenset({"comm_open", "comm_msg", "comm_close"})

Send = Callable[[Message], bool]
"""Takes a message to the target; False when it cannot go there any more."""


class Proxy:
    """In the comm manager for a comm that lives on a target. Not a BaseComm, which closes the comm when it is collected."""

    def __init__(self, comms: Comms, comm_id: str, target_name: str) -> None:
        self.comm_id = comm_id
        self.target_name = target_name
        self.primary = False
        self._comms = comms
        self._closed = False

    def handle_msg(self, msg: Mapping[str, Any]) -> None:
        self._comms.pass_on(msg)

    def handle_close(self, msg: Mapping[str, Any]) -> None:
        self._comms.pass_on(msg)

    def _reply_subshell_for(self, data: Any, subshell_id: str | None) -> str | None:
        """ipykernel 7.4 asks a comm which subshell is to handle a message: the one that the front end has chosen."""
        return subshell_id


class Comms:
    """Those of one session. `manager` is the kernel's, None where there is no kernel."""

    def __init__(self, manager: Any, states: WidgetStates, send: Send) -> None:
        self._manager = manager
        self._states = states
        self._send = send
        self._proxies: dict[str, Proxy] = {}
        self._waiting: dict[str, threading.Event] = {}

    # -- from the connection's thread, or the one that waits for a run

    def seen(self, message: Message) -> None:
        """A comm message from the target, before the front end gets it."""
        if self._manager is None:
            return
        content = message.content
        comm_id = str(content.get("comm_id"))
        if message.msg_type == "comm_open":
            self._proxies[comm_id] = proxy = Proxy(self, comm_id, str(content.get("target_name")))
            self._manager.comms[comm_id] = proxy
        elif message.msg_type == "comm_close":
            self._drop(comm_id)
        self._states.seen(message)

    def idle(self, message: Message) -> None:
        """The target has dealt with a message that was passed on."""
        done = self._waiting.get(str(message.parent_header.get("msg_id")))
        if done is not None:
            done.set()

    def ended(self) -> None:
        """The target's kernel is no more: nobody waits for it any longer. What it has shown stays as it is."""
        for done in list(self._waiting.values()):
            done.set()

    # -- from the thread of a shell of this kernel

    def pass_on(self, msg: Mapping[str, Any]) -> None:
        """Takes a message of the front end's to the target, and waits until the target is idle again."""
        header = {key: value for key, value in msg["header"].items() if key != "subshell_id"}
        msg_id, content = str(header["msg_id"]), msg["content"]
        message = Message.build(
            Channel.SHELL,
            header["msg_type"],
            content,
            header={**header, "date": str(header.get("date", ""))},
            metadata=msg.get("metadata") or {},
            buffers=tuple(bytes(buffer) for buffer in msg.get("buffers") or ()),
        )
        if header["msg_type"] == "comm_close":
            self._drop(str(content.get("comm_id")))
        self._states.seen(message)
        done = self._waiting[msg_id] = threading.Event()
        try:
            if self._send(message):
                done.wait()
        finally:
            del self._waiting[msg_id]

    def _drop(self, comm_id: str) -> None:
        proxy = self._proxies.pop(comm_id, None)
        if proxy is not None and self._manager.comms.get(comm_id) is proxy:
            del self._manager.comms[comm_id]
