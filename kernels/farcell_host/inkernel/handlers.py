"""The same requests over zmq, for ipykernel 6 and wherever the direct link's self-test fails."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import zmq

from .exchange import Check, Reply, Request
from .execution import Runner
from .shell import RemoteKernel

_TURN_MS = 50  # zmq's poll swallows the wake-up by a signal


class ZmqChannel:
    """The way back to the client whose identity is `ident`."""

    def __init__(self, kernel: RemoteKernel, ident: Any) -> None:
        self.ident = ident
        self._kernel = kernel

    def send_fetch(self, content: dict[str, Any], parent: dict[str, Any]) -> None:
        self._kernel.session.send(self._kernel.stdin_socket, "farcell_fetch_request", content, parent, ident=self.ident)

    def wait_fetch_reply(self, timeout_s: float | None) -> Request | None:
        """Reads the stdin socket as ipykernel's own input() does."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        socket = self._kernel.stdin_socket
        while deadline is None or time.monotonic() < deadline:
            if not socket.poll(_TURN_MS, zmq.POLLIN):
                continue
            _, message = self._kernel.session.recv(socket, mode=0)
            if message is not None and message["header"]["msg_type"] == "farcell_fetch_reply":
                return request_of(message)
        return None


def request_of(message: dict[str, Any]) -> Request:
    """zmq's memory is read-only, so each buffer is copied once; the trailing ones are the bulk buffers."""
    buffers = [bytearray(buffer) for buffer in message.get("buffers") or ()]
    count = len(message["metadata"].get("farcell_bulk", ()))
    split = len(buffers) - count
    return Request(message["header"], message["content"], buffers[:split], [partial(_given, each) for each in buffers[split:]])


def _given(buffer: bytearray, check: Check) -> bytearray:
    return buffer


def register(kernel: RemoteKernel, runner: Runner) -> None:
    """Makes ipykernel dispatch our requests like its own."""

    def send(stream: Any, ident: Any, parent: dict[str, Any], reply: Reply) -> None:
        metadata = {}
        if reply.bulk:
            metadata["farcell_bulk"] = [{"size": memoryview(buffer).nbytes} for buffer in reply.bulk]
        kernel.session.send(
            stream,
            reply.msg_type,
            reply.content,
            parent,
            ident=ident,
            buffers=[*reply.buffers, *reply.bulk],
            metadata=metadata,
        )

    async def run(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, await runner.run(request_of(parent), ZmqChannel(kernel, ident)))

    async def exchange_state(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.exchange_state(request_of(parent)))

    async def describe_names(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.describe_names())

    async def meet_modules(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.meet_modules(request_of(parent)))

    async def describe_environment(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.describe_environment(request_of(parent)))

    async def serve_files(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.serve_files(request_of(parent)))

    async def save(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.save(request_of(parent)))

    async def tell_values(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.tell_values(request_of(parent)))

    async def restore(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        send(stream, ident, parent, runner.restore(request_of(parent)))

    kernel.shell_handlers["farcell_save_request"] = save
    kernel.shell_handlers["farcell_restore_request"] = restore
    kernel.shell_handlers["farcell_run_request"] = run
    kernel.shell_handlers["farcell_files_request"] = serve_files
    kernel.shell_handlers["farcell_environment_request"] = describe_environment
    kernel.shell_handlers["farcell_modules_request"] = meet_modules
    kernel.shell_handlers["farcell_state_request"] = exchange_state
    kernel.shell_handlers["farcell_vars_request"] = describe_names
    kernel.shell_handlers["farcell_values_request"] = tell_values
