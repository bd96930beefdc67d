"""Serves the kernel host on the kernel's own event loop: a run takes neither zmq's hops nor ipykernel's flushes and
sleeps.

Requests that are ipykernel's own (comms, completion, inspection) go through its own handlers, with the link as their
stream.
"""

# mypy: disable-error-code="no-untyped-call"
# ipykernel and IPython annotate only some of what is called here.

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ..protocol.messages import Channel, Message
from .exchange import Reply
from .execution import Runner
from .interrupts import InterruptGuard
from .link import Link
from .shell import RemoteKernel
from .streams import LinkSession

_COMM = {"comm_open", "comm_msg", "comm_close"}
_DELIMITER = b"<IDS|MSG>"


class DirectServer:
    """Listens on `path`; the last connection is the link."""

    def __init__(self, kernel: RemoteKernel, runner: Runner, guard: InterruptGuard, path: str) -> None:
        self._kernel = kernel
        self._runner = runner
        self._guard = guard
        self._path = path
        self._session: LinkSession = kernel.session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()
        self._ready: dict[str, Any] = {}
        self._link: Link | None = None
        self._really_send = kernel.iopub_thread._really_send

    def start(self, loop: asyncio.AbstractEventLoop, ready: dict[str, Any]) -> None:
        """Listens; each connection is told `ready` first. With `direct: false` there it is served over zmq only."""
        self._loop = loop
        self._ready = ready
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            Path(self._path).unlink()
        before = os.umask(0o177)
        try:
            listener.bind(self._path)
        finally:
            os.umask(before)
        listener.listen(4)
        listener.setblocking(False)
        loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        assert self._loop is not None
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(True)
        if self._link is not None:
            self._link.close()
        iopub = (self._kernel.iopub_socket, self._kernel.iopub_thread)
        self._link = link = Link(sock, self._loop, self._guard, iopub, self._received, self._lost)
        link.send(Message.build(Channel.CONTROL, "farcell_kernel_ready", self._ready))
        if self._ready["direct"]:
            self.use(link)

    def use(self, link: Link) -> None:
        """From now on outputs and questions go over `link`."""
        self._kernel.link = self._session.link = link
        self._kernel.iopub_thread._really_send = self._send_raw

    def _lost(self, link: Link) -> None:
        if self._kernel.link is link:
            self._kernel.link = self._session.link = None
            self._kernel.iopub_thread._really_send = self._really_send

    def _send_raw(self, frames: list[Any], *args: Any, **kwargs: Any) -> None:
        """In place of IOPubThread._really_send: what a forked child printed arrives here, packed and signed."""
        link = self._session.link
        if link is None or os.getpid() != link.pid:
            self._really_send(frames, *args, **kwargs)
            return
        parts = [bytes(frame) for frame in frames]
        if _DELIMITER not in parts:
            return
        start = parts.index(_DELIMITER) + 2
        link.send_parts(self._kernel.iopub_socket, tuple(parts[start : start + 4]), parts[start + 4 :])

    # Requests

    def _received(self, link: Link, message: Message) -> None:
        assert self._loop is not None
        # Context variables that a cell sets (the decimal context, np.seterr) are there in the next one, as in a plain kernel.
        task = self._context.run(self._loop.create_task, self._serve(link, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: Link, message: Message) -> None:
        """Never raises: an exception that reaches the loop's top would only be logged, and the notebook would wait for ever."""
        msg_type = message.msg_type
        try:
            await self._dispatch(link, message, msg_type)
        except Exception as error:
            self._kernel.log.exception("farcell: %s failed", msg_type)
            if msg_type.endswith("_request"):
                self._fail(link, message, error)
        if msg_type == "farcell_run_request":
            self._context = contextvars.copy_context()

    async def _dispatch(self, link: Link, message: Message, msg_type: str) -> None:
        if msg_type in _COMM:
            await self._serve_comm(link, message)
        elif msg_type == "farcell_run_request":
            async with self._kernel.cell_lock:
                self._install_late(link)
                reply = await self._runner.run(link.request_of(message), link)
                self._send_reply(link, reply, message)
        elif msg_type == "farcell_state_request":
            async with self._kernel.cell_lock:
                self._install_late(link)
                self._send_reply(link, self._runner.exchange_state(link.request_of(message)), message)
        elif msg_type == "farcell_modules_request":
            async with self._kernel.cell_lock:
                self._send_reply(link, self._runner.meet_modules(link.request_of(message)), message)
        elif msg_type == "farcell_files_request":
            async with self._kernel.cell_lock:
                self._send_reply(link, self._runner.serve_files(link.request_of(message)), message)
        elif msg_type == "farcell_environment_request":
            async with self._kernel.cell_lock:
                self._send_reply(link, self._runner.describe_environment(link.request_of(message)), message)
        elif msg_type in ("farcell_save_request", "farcell_restore_request"):
            answer = self._runner.save if msg_type == "farcell_save_request" else self._runner.restore
            async with self._kernel.cell_lock:
                self._send_reply(link, answer(link.request_of(message)), message)
        elif msg_type == "farcell_vars_request":
            async with self._kernel.cell_lock:
                self._send_reply(link, self._runner.describe_names(), message)
        elif msg_type == "farcell_values_request":
            async with self._kernel.cell_lock:
                self._send_reply(link, self._runner.tell_values(link.request_of(message)), message)
        elif msg_type in self._kernel.shell_handlers:
            async with self._kernel.cell_lock:
                await self._serve_upstream(link, message)

    def _send_reply(self, link: Link, reply: Reply, message: Message) -> None:
        try:
            link.send_reply(reply, message.header)
        except OSError as error:  # no memory for the bulk buffers
            self._fail(link, message, error)

    def _fail(self, link: Link, message: Message, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        content: dict[str, Any] = {
            "run": message.content.get("run"),
            "status": "error",
            "ename": type(error).__name__,
            "evalue": str(error),
            "traceback": [],
            "message": f"The remote kernel could not answer: {text}",
            "execution_count": message.content.get("execution_count"),
            "user_expressions": {},
            "payload": [],
            "has_result": False,
            "state": None,
        }
        link.send_reply(Reply(message.msg_type.replace("_request", "_reply"), content), message.header)

    def _install_late(self, link: Link) -> None:
        for reply in link.take_late_fetch_replies():
            self._runner.install_fetched(reply)

    async def _serve_upstream(self, link: Link, message: Message) -> None:
        """Runs ipykernel's own handler; what it replies goes to `link.replies`."""
        parent = _as_dict(message)
        self._kernel.set_parent(link.ident, parent, "shell")
        with self._guard.serving():
            try:
                with self._guard.released():  # callbacks of comms are the user's code
                    result = self._kernel.shell_handlers[message.msg_type](link.replies, link.ident, parent)
                    if inspect.isawaitable(result):
                        await result
            except KeyboardInterrupt:
                self._kernel.log.error("KeyboardInterrupt caught in %s", message.msg_type)
        self._runner.flush()

    async def _serve_comm(self, link: Link, message: Message) -> None:
        """As ipykernel 7 does, at once when an async cell waits; but always between busy and idle, which front ends count on."""
        async with self._beside_cell(link):
            self._status(link, "busy", message)
            await self._serve_upstream(link, message)
            self._status(link, "idle", message)

    @contextlib.asynccontextmanager
    async def _beside_cell(self, link: Link) -> AsyncIterator[None]:
        lock = self._kernel.cell_lock
        if not lock.locked():
            async with lock:
                yield
            return
        parent = self._kernel.get_parent("shell")
        try:
            yield
        finally:
            self._kernel.set_parent(link.ident, parent, "shell")

    def _status(self, link: Link, state: str, message: Message) -> None:
        content = {"execution_state": state}
        link.send(Message.build(Channel.IOPUB, "status", content, parent=message.header))


def _as_dict(message: Message) -> dict[str, Any]:
    header = message.header
    return {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": header["msg_type"],
        "parent_header": message.parent_header,
        "metadata": message.metadata,
        "content": message.content,
        "buffers": [memoryview(bytes(buffer)) for buffer in message.buffers],
    }
