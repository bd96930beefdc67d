"""A real ipykernel, driven as a front end drives it, in words a test can be read in.

    cell = notebook.run("1 + 1")
    assert cell.result == "2"

    running = notebook.start("train()")          # returns at once
    running.until("epoch 3")                     # bounded, shows what came instead
    notebook.interrupt()
    assert running.finish().error.name == "KeyboardInterrupt"

One thread reads all channels, when asked to: a message belongs to the cell whose request it answers (its parent), and
what answers no cell of ours (comms, prints of threads whose cell is long over, status of the start) is kept in
`notebook.stray`.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from sandbox import Sandbox

START_S = 60.0
STARTS = 3
CELL_S = 60.0
SHUTDOWN_S = 20.0
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

Message = dict[str, Any]


class CellTimeout(AssertionError):
    """A cell did not do in time what was waited for; the text says what it did."""


@dataclass(frozen=True)
class Error:
    name: str
    value: str
    traceback: str
    """Without colours."""


@dataclass
class Cell:
    """What became of one executed cell."""

    reply: dict[str, Any]
    outputs: list[dict[str, Any]]
    """As the notebook would store them: streams joined, clear_output and update_display obeyed."""
    messages: list[tuple[float, Message]]
    """Every iopub message with the seconds since the request was sent."""
    seconds: float
    """From execute_request to idle and reply."""

    def _stream(self, name: str) -> str:
        sent = (message["content"] for _, message in self.messages if message["msg_type"] == "stream")
        return "".join(content["text"] for content in sent if content["name"] == name)

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    @property
    def results(self) -> list[dict[str, Any]]:
        """The mime bundles of all execute_results: one at most, if all is well."""
        return [message["content"]["data"] for _, message in self.messages if message["msg_type"] == "execute_result"]

    @property
    def result(self) -> str | None:
        results = self.results
        return results[-1]["text/plain"] if results else None

    @property
    def displays(self) -> list[dict[str, Any]]:
        """Without lines of farcell's own, which say what is waited for and vanish."""
        contents = (message["content"] for _, message in self.messages if message["msg_type"] == "display_data")
        return [content["data"] for content in contents if not is_line(content)]

    @property
    def errors(self) -> list[Error]:
        """All error messages shown: one at most, if all is well."""
        contents = [message["content"] for _, message in self.messages if message["msg_type"] == "error"]
        return [Error(c["ename"], c["evalue"], without_colours("\n".join(c["traceback"]))) for c in contents]

    @property
    def error(self) -> Error | None:
        errors = self.errors
        return errors[-1] if errors else None

    @property
    def execution_count(self) -> int:
        return int(self.reply["execution_count"])

    def check(self) -> Cell:
        """The cell itself; its error, if it ended in one, fails the test."""
        if self.reply["status"] != "ok":
            shown = self.error.traceback if self.error else str(self.reply)
            raise AssertionError(f"the cell failed:\n{shown}\nstderr: {self.stderr}")
        return self


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


@dataclass
class Running:
    """A cell on its way; `finish` waits for its end."""

    notebook: Notebook
    message_id: str
    code: str
    answers: list[str]
    sent_at: float
    messages: list[tuple[float, Message]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    """Content of the input_requests so far."""
    reply: dict[str, Any] | None = None
    idle_at: float | None = None
    replied_at: float | None = None

    @property
    def text(self) -> str:
        """Both streams so far, as they came."""
        return "".join(m["content"]["text"] for _, m in self.messages if m["msg_type"] == "stream")

    @property
    def lines(self) -> list[str]:
        """What farcell said so far that it waits for."""
        contents = [m["content"] for _, m in self.messages if m["msg_type"] in ("display_data", "update_display_data")]
        return [content["data"]["text/plain"] for content in contents if is_line(content) and content["data"]]

    def models(self) -> list[str]:
        """Ids of the widgets that are shown so far."""
        return models_of(as_stored(message for _, message in self.messages))

    @property
    def is_over(self) -> bool:
        return self.reply is not None and self.idle_at is not None

    def until(self, what: str | Callable[[Running], bool], timeout: float = CELL_S) -> float:
        """Waits until the streams contain a text, or until `what(self)`. Returns the seconds since the request."""
        reached = what if callable(what) else lambda running: what in running.text
        self.notebook.pump(lambda: reached(self) or self.is_over, timeout, self)
        if not reached(self):
            raise CellTimeout(f"the cell ended without {what!r}; it printed {self.text[-2000:]!r}, replied {self.reply}")
        return time.perf_counter() - self.sent_at

    def answer(self, text: str) -> None:
        """Answers the prompt of an input() that the cell waits in."""
        self.notebook.client.input(text)

    def finish(self, timeout: float = CELL_S) -> Cell:
        self.notebook.pump(lambda: self.is_over, timeout, self)
        assert self.reply is not None and self.idle_at is not None and self.replied_at is not None
        self.notebook.forget(self)
        ended = max(self.idle_at, self.replied_at)
        return Cell(self.reply, as_stored(m for _, m in self.messages), self.messages, ended - self.sent_at)

    # -- called by the notebook as messages come ---------------------------------------------------------------------

    def take_iopub(self, message: Message) -> None:
        now = time.perf_counter()
        self.messages.append((now - self.sent_at, message))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            self.idle_at = now

    def take_reply(self, message: Message) -> None:
        self.reply = message["content"]
        self.replied_at = time.perf_counter()

    def take_stdin(self, message: Message) -> None:
        self.prompts.append(message["content"])
        if self.answers:
            self.answer(self.answers.pop(0))


class Notebook:
    """One ipykernel and one front end. `python` may be another interpreter that has ipykernel; use as a context manager."""

    def __init__(
        self,
        sandbox: Sandbox,
        python: str = sys.executable,
        cwd: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> None:
        """`name`: of the notebook's file, as Jupyter Server tells its kernel; else its connection file says who it is."""
        self.sandbox = sandbox
        self.stray: list[Message] = []
        self.listeners: list[Callable[[Message], None]] = []
        """Hear of every iopub message."""
        self._running: dict[str, Running] = {}
        self._comms: set[str] = set()
        named = {} if name is None else {"JPY_SESSION_NAME": name}
        environment, folder = sandbox.environment() | named, os.fspath(cwd or sandbox.folder)
        for left in reversed(range(STARTS)):
            try:
                self._launch(python, environment, folder)
                return
            except RuntimeError:  # died before it was ready: one of the ports that were free is somebody else's by now
                self._discard()
                if not left:
                    raise

    def _launch(self, python: str, environment: dict[str, str], folder: str) -> None:
        self._manager = KernelManager()
        self._manager._kernel_spec = KernelSpec(
            argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], display_name="test", language="python"
        )
        # 8 s: a kernel host may say good-bye to its remote kernel first; the manager kills what has not ended by then.
        self._manager.shutdown_wait_time = 8.0
        self._manager.start_kernel(env=environment, cwd=folder)
        self._connect()

    def _discard(self) -> None:
        """Of a kernel that has died: what is left of it and of its client."""
        self.client.stop_channels()
        self.client.context.destroy(linger=0)
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def _connect(self) -> None:
        client = self._manager.client()
        client.start_channels()
        self.client: BlockingKernelClient = client
        client.wait_for_ready(timeout=START_S)
        self._poller = zmq.Poller()
        for channel in (client.shell_channel, client.iopub_channel, client.stdin_channel, client.control_channel):
            self._poller.register(channel.socket, zmq.POLLIN)

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- cells -------------------------------------------------------------------------------------------------------

    def run(self, code: str, timeout: float = CELL_S, answers: Iterable[str] = (), **request: Any) -> Cell:
        """Runs a cell to its end. `answers` are typed at its prompts; `request` are further fields of execute_request."""
        return self.start(code, answers, **request).finish(timeout)

    def start(self, code: str, answers: Iterable[str] = (), cell_id: str | None = None, **request: Any) -> Running:
        """Sends a cell and returns at once; several may be on their way. `cell_id`: what JupyterLab would call it."""
        sent_at = time.perf_counter()
        self.client.session.metadata = {} if cell_id is None else {"cellId": cell_id}
        message_id = self.client.execute(code, **{"stop_on_error": False, **request})
        running = Running(self, message_id, code, list(answers), sent_at)
        self._running[message_id] = running
        return running

    def forget(self, running: Running) -> None:
        self._running.pop(running.message_id, None)

    def value(self, expression: str) -> Any:
        """The value of an expression in the notebook, by its repr (so: literals only)."""
        cell = self.run(f"__import__('sys').stdout.write(repr({expression}))", store_history=False).check()
        return ast.literal_eval(cell.stdout)

    # -- the kernel --------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return int(self._manager.provisioner.process.pid)

    @property
    def is_alive(self) -> bool:
        return bool(self._manager.is_alive())

    @property
    def is_busy(self) -> bool:
        """Whether a cell that was started has not been finished."""
        return bool(self._running)

    def interrupt(self) -> None:
        """As the stop button does it: SIGINT to the kernel's process group."""
        self._manager.interrupt_kernel()

    def restart(self, now: bool = False) -> None:
        """As the restart button does it; cells on their way are given up. With `now` the kernel has no time for a last word."""
        if now:
            self._kill()
        self.client.stop_channels()
        self._running.clear()
        self._comms.clear()
        self._manager.restart_kernel(now=now)
        self._connect()

    def kill(self) -> None:
        """The kernel dies without a word (SIGKILL)."""
        self._kill()
        self._manager.shutdown_kernel(now=True)

    def _kill(self) -> None:
        """Not by the manager, which interrupts the kernel first: whether that is still felt would be a matter of luck."""
        process = self._manager.provisioner.process
        process.kill()
        process.wait()

    def close(self, within_s: float | None = None) -> None:
        """An explicit shutdown, as when the notebook's tab is closed for good; what has not ended within that time is killed."""
        if within_s is not None:
            self._manager.shutdown_wait_time = within_s
        try:
            if self.is_alive:
                self._manager.shutdown_kernel(now=False)
        finally:
            self.client.stop_channels()
            self._manager.cleanup_resources()

    def open_comms(self) -> set[str]:
        """Comms that the kernel holds; one that only one side knows of has been left behind, which fails."""
        code = "list(get_ipython().kernel.comm_manager.comms)"
        held = set(self.value(code))
        if held != self._comms:
            raise AssertionError(f"comms the kernel alone knows: {held - self._comms}, the front end alone: {self._comms - held}")
        return held

    # -- messages ----------------------------------------------------------------------------------------------------

    def pump(self, done: Callable[[], bool], timeout: float, waiter: Running | None = None) -> None:
        """Hands messages to their cells until `done()`."""
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                said = f"{waiter.code!r} printed {waiter.text[-2000:]!r}, replied {waiter.reply}" if waiter else ""
                raise CellTimeout(f"nothing after {timeout} s; kernel alive: {self.is_alive}; {said}")
            # A second at most, so that a dead kernel is noticed.
            ready = self._poller.poll(min(left, 1.0) * 1000)
            if not ready and not self.is_alive:
                raise CellTimeout(f"the notebook kernel is dead, waiting for {waiter.code if waiter else 'a message'!r}")
            self._dispatch({socket for socket, _ in ready})

    def _dispatch(self, ready: set[Any]) -> None:
        for channel, take in (
            (self.client.stdin_channel, Running.take_stdin),
            (self.client.iopub_channel, Running.take_iopub),
            (self.client.shell_channel, Running.take_reply),
        ):
            if channel.socket not in ready:
                continue
            message = channel.get_msg(timeout=0)
            self.follow_comm(message)
            if channel is self.client.iopub_channel:
                for listener in self.listeners:
                    listener(message)
            running = self._running.get(message["parent_header"].get("msg_id", ""))
            if running is None:
                self.stray.append(message)
            else:
                take(running, message)
        if self.client.control_channel.socket in ready:
            self.stray.append(self.client.control_channel.get_msg(timeout=0))

    def follow_comm(self, message: Message) -> None:
        """Of either side."""
        if message["msg_type"] == "comm_open":
            self._comms.add(message["content"]["comm_id"])
        elif message["msg_type"] == "comm_close":
            self._comms.discard(message["content"]["comm_id"])


def is_line(content: Mapping[str, Any]) -> bool:
    """Whether a display is a line of farcell's own, which says what is waited for."""
    return str(content.get("transient", {}).get("display_id", "")).startswith("farcell-line-")


def models_of(outputs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the widgets that outputs show."""
    shown = (output["data"].get(WIDGET_VIEW) for output in outputs if "data" in output)
    return [view["model_id"] for view in shown if view is not None]


def as_stored(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The outputs of a cell as a front end would keep them."""
    outputs: list[dict[str, Any]] = []
    clear_at_next = False
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            clear_at_next = bool(content["wait"])
            if not clear_at_next:
                outputs.clear()
        elif kind == "update_display_data":
            _update(outputs, content)
        elif kind in ("stream", "display_data", "execute_result", "error"):
            if clear_at_next:
                outputs.clear()
                clear_at_next = False
            _append(outputs, kind, content)
    return [output for output in outputs if output.get("data") != {}]  # an emptied display shows nothing


def _append(outputs: list[dict[str, Any]], kind: str, content: dict[str, Any]) -> None:
    last = outputs[-1] if outputs else None
    if kind == "stream" and last is not None and last["output_type"] == "stream" and last["name"] == content["name"]:
        last["text"] += content["text"]
    else:
        outputs.append({"output_type": kind, **content})


def _update(outputs: list[dict[str, Any]], content: dict[str, Any]) -> None:
    display_id = content["transient"]["display_id"]
    for output in outputs:
        if output.get("transient", {}).get("display_id") == display_id:
            output["data"], output["metadata"] = content["data"], content["metadata"]
