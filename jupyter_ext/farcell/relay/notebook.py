"""The notebook a session belongs to: an ipykernel, IPython in a terminal, or plain Python.

Everything farcell wants from the front end goes through here: the running cell's header and number, questions to the
person, the result of the last expression. What lies behind it is looked up at each call, since users replace it
(`sys.stdout`, `display_pub`).
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from farcell_host.protocol.messages import CELL_KEY, Message
from IPython.core.interactiveshell import InteractiveShell

from .frames import FramePublisher

_DISPLAY_FAILED = "_last_traceback_during_displayhook"  # since ipykernel 7
_LONGEST_ID = 64  # of a cell: nbformat 4.5
END_OF_INPUT = "\x04"  # ipykernel's raw_input turns it into EOFError


class Notebook:
    """`shell` is None in plain Python; `kernel` is None outside an ipykernel."""

    def __init__(self, namespace: dict[str, Any], shell: InteractiveShell | None = None) -> None:
        self.namespace = namespace
        self.shell: Any = shell  # IPython's display objects are not typed
        self.kernel: Any = getattr(shell, "kernel", None)
        self.frames: FramePublisher | None = None
        if self.kernel is not None and getattr(self.kernel, "iopub_thread", None) is not None:
            self.frames = FramePublisher(self.kernel)

    @property
    def name(self) -> str:
        """Who this notebook is, also for its next kernel: Jupyter's session name, else the kernel's id, else this process."""
        session = os.environ.get("JPY_SESSION_NAME")
        if session:
            return session
        file = getattr(getattr(self.kernel, "parent", None), "connection_file", "") if self.kernel is not None else ""
        return Path(str(file)).stem or f"pid-{os.getpid()}"

    def cell_header(self) -> dict[str, Any]:
        """The running cell's own header, scalars only: ipykernel makes a frozenset of it. Empty outside a cell."""
        if self.kernel is None:
            return {}
        return passed_on((self.kernel.get_parent("shell") or {}).get("header") or {})

    def run_header(self) -> dict[str, Any]:
        """The same with the cell's id, by which JupyterLab and Notebook 7 find it again: `metadata.cellId` of their request."""
        header = self.cell_header()
        cell = (self.kernel.get_parent("shell").get("metadata") or {}).get("cellId") if header else None
        return {**header, CELL_KEY: cell[:_LONGEST_ID]} if isinstance(cell, str) and cell else header

    @property
    def execution_count(self) -> int:
        """The number that the present cell's result has as `Out[number]`."""
        return int(self.shell.displayhook.prompt_count) if self.shell is not None else 0

    def filename(self, code: str) -> str | None:
        """The file name under which this IPython compiles a cell's code."""
        if self.shell is None:
            return None
        return str(self.shell.compile.get_code_name(code, code, self.execution_count))

    @property
    def cells(self) -> dict[str, int]:
        """IPython's own: file name -> cell number, by which its tracebacks name cells."""
        return getattr(self.shell.compile, "_filename_map", {}) if self.shell is not None else {}

    @property
    def comm_manager(self) -> Any:
        """Of the notebook's kernel; None where there is none."""
        return getattr(self.kernel, "comm_manager", None)

    @property
    def allow_stdin(self) -> bool:
        return bool(self.kernel._allow_stdin) if self.kernel is not None else True

    def is_restarting(self, within_s: float) -> bool:
        """Whether this kernel is told to restart within that time: Jupyter interrupts it right before.

        The request is handled on the control thread (messaging spec, "Kernel shutdown"), and nothing tells others of it.
        """
        deadline = time.monotonic() + within_s
        while getattr(self.kernel, "control_thread", None) is not None and time.monotonic() < deadline:
            message = getattr(self.kernel, "_shutdown_message", None)
            if message is not None:
                return bool(message["content"].get("restart"))
            time.sleep(within_s / 20)
        return False

    def ask(self, prompt: str, password: bool = False) -> str:
        """One line from the person, as this notebook's input() and getpass() give it; the end of input is a character."""
        try:
            if self.kernel is not None:
                return str(self.kernel.getpass(prompt) if password else self.kernel.raw_input(prompt))
            return getpass.getpass(prompt) if password else input(prompt)
        except EOFError:
            return END_OF_INPUT

    def confirm(self, question: str) -> bool | None:
        """Yes or no; None when nobody can be asked."""
        if not self.allow_stdin or (self.kernel is None and (sys.stdin is None or not sys.stdin.isatty())):
            return None
        return self.ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    def say(self, text: str) -> None:
        """A line about the run, beside the cell's own output."""
        print(f"farcell: {text}", file=sys.stderr, flush=self.kernel is None)

    def write_payloads(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """`obj?`, `%load` and `%edit` of the remote cell, for the local execute_reply (messaging spec, "Payloads")."""
        if self.shell is not None:
            for payload in payloads:
                self.shell.payload_manager.write_payload(dict(payload), single=False)

    def set_result(self, value: Any, shown: Message | None = None) -> None:
        """What a DisplayHook does with a value beside showing it: `_`, `__`, `___`, `_N`, `Out[N]`, the cell's result."""
        if self.shell is None or not _fills_out(sys.displayhook):
            return
        hook = self.shell.displayhook
        hook.check_for_underscore()
        hook.update_user_ns(value)
        hook.fill_exec_result(value)
        if shown is not None:
            hook.log_output(shown.content.get("data", {}))

    def replace_result(self, old: object, new: object) -> None:
        """In `Out`, and in what the display hook takes for its own `_` and not for the user's."""
        outputs = self.namespace.get("_oh") or {}
        for number in [number for number, value in outputs.items() if value is old]:
            outputs[number] = new
        hook = self.shell.displayhook if self.shell is not None else None
        for name in ("_", "__", "___"):
            if getattr(hook, name, None) is old:
                setattr(hook, name, new)

    def fail_display(self, traceback: Iterable[str]) -> None:
        """Showing the result has failed: ipykernel's reply says so, and its error is on the screen already."""
        if hasattr(self.shell, _DISPLAY_FAILED):
            setattr(self.shell, _DISPLAY_FAILED, True)
            self.shell._last_traceback = [*traceback]


def _fills_out(hook: Any) -> bool:
    """Hooks put in sys.displayhook's place by the user or by %%capture keep results for themselves."""
    return hook is sys.__displayhook__ or (
        type(hook).__module__.startswith(("ipykernel.", "IPython.core.displayhook"))
        and (type(hook).__name__ != "CapturingDisplayHook")
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, datetime))


def passed_on(header: Mapping[str, Any]) -> dict[str, Any]:
    """A header of the front end's as a target gets it: the subshell is this kernel's own affair."""
    return {key: _scalar(value) for key, value in header.items() if key != "subshell_id" and _is_plain(value)}


def _scalar(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def message_text(message: Message) -> str:
    """A message as text, for a place that shows text only."""
    content = message.content
    if message.msg_type == "error":
        return "\n".join(content.get("traceback", []))
    return str(content.get("data", {}).get("text/plain", json.dumps(content)))
