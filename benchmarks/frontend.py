"""The one client that all figures are measured with: a front end of a real ipykernel, from execute_request to idle and reply."""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

TIMEOUT_S = 600.0


class CellFailed(Exception):
    """A cell of the benchmark itself ended in an error: no figure can be had from it."""


def compiled(environment: Mapping[str, str]) -> dict[str, str]:
    """With modules compiled once, as they are for a user; ours would be compiled at every start beside packages that are."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Measured:
    """One executed cell."""

    seconds: float
    first_output_s: float | None
    stdout_bytes: int
    stdout: str
    """Empty when the cell was run with `keep=False`."""
    error: str | None


class FrontEnd:
    """A notebook kernel in folders of its own; use as a context manager."""

    def __init__(self, setup: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fcb-", dir="/tmp"))
        self._manager = KernelManager()
        self._manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], display_name="bench", language="python"
        )
        self._manager.shutdown_wait_time = 10.0
        began = time.perf_counter()
        self._manager.start_kernel(env=self._environment(), cwd=str(self._folder))
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._poller = zmq.Poller()
        self._poller.register(self._client.iopub_channel.socket, zmq.POLLIN)
        self._poller.register(self._client.shell_channel.socket, zmq.POLLIN)
        self.run("1")
        self.start_seconds = time.perf_counter() - began
        """From nothing to the end of a first trivial cell."""
        if setup:
            self.run(setup)

    def _environment(self) -> dict[str, str]:
        runtime = self._folder / "r"
        runtime.mkdir(mode=0o700)
        own = {
            "FARCELL_RUNTIME_DIR": runtime,
            "FARCELL_CACHE_DIR": self._folder / "c",
            "IPYTHONDIR": self._folder / "ipython",
            "JUPYTER_CONFIG_DIR": self._folder / "config",
            "JUPYTER_RUNTIME_DIR": self._folder / "jr",
        }
        return {**compiled(os.environ), **{name: str(path) for name, path in own.items()}}

    def __enter__(self) -> FrontEnd:
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.shutdown_kernel()
        self._client.stop_channels()
        self._manager.cleanup_resources()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self, code: str, keep: bool = True, fails: bool = False, on_text: Callable[[str], None] | None = None, poll_s: float = 1.0
    ) -> Measured:
        """Runs a cell. `on_text` sees each piece of stdout as it comes, and "" after `poll_s` seconds without a message."""
        channels = {self._client.iopub_channel.socket: self._client.iopub_channel}
        channels[self._client.shell_channel.socket] = self._client.shell_channel
        began = time.perf_counter()
        request = self._client.execute(code)
        texts: list[str] = []
        size, first, error, replied, idle = 0, None, None, False, False
        while not (replied and idle):
            ready = self._poller.poll(int(poll_s * 1000))
            if not ready:
                self._check_alive(began, code)
                if on_text is not None:
                    on_text("")
            for socket, _ in ready:
                message = channels[socket].get_msg(timeout=0)
                if message["parent_header"].get("msg_id") != request:
                    continue
                kind, content = message["msg_type"], message["content"]
                if kind == "stream" and content["name"] == "stdout":
                    first = time.perf_counter() - began if first is None else first
                    size += len(content["text"])
                    if keep:
                        texts.append(content["text"])
                    if on_text is not None:
                        on_text(content["text"])
                elif kind == "execute_reply":
                    replied = True
                    error = f"{content['ename']}: {content['evalue']}" if content["status"] == "error" else None
                elif kind == "status":
                    idle = content["execution_state"] == "idle"
        seconds = time.perf_counter() - began
        if error is not None and not fails:
            raise CellFailed(f"{code!r} ended in {error}")
        return Measured(seconds, first, size, "".join(texts), error)

    def update(self, model: str, state: dict[str, Any]) -> float:
        """As when a person changes a widget; seconds until its callbacks are done."""
        session, shell = self._client.session, self._client.shell_channel
        data = {"method": "update", "state": state, "buffer_paths": []}
        message = session.msg("comm_msg", {"comm_id": model, "data": data})
        began = time.perf_counter()
        shell.send(message)
        while True:
            answer = self._client.iopub_channel.get_msg(timeout=TIMEOUT_S)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return time.perf_counter() - began

    def _check_alive(self, began: float, code: str) -> None:
        if not self._manager.is_alive():
            raise CellFailed(f"the kernel died in {code!r}")
        if time.perf_counter() - began > TIMEOUT_S:
            raise CellFailed(f"{code!r} was not over after {TIMEOUT_S} s")

    def value(self, expression: str) -> Any:
        """A literal out of the kernel."""
        return ast.literal_eval(self.run(f"print(repr({expression}), end='')").stdout)

    @property
    def pid(self) -> int:
        return int(self._manager.provisioner.process.pid)

    @property
    def cache(self) -> Path:
        """Where a kernel host on this machine keeps the chunks it was sent."""
        return self._folder / "c"

    def define_target(self, name: str, **keys: object) -> None:
        """One more table in this notebook's targets.toml."""
        folder = self._folder / "config" / "farcell"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "targets.toml", "a") as file:
            file.write(f"[targets.{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()
