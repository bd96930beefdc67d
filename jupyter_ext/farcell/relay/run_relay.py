"""The outputs of one run, and which way they go.

The error that ends a run comes in its reply only and is raised in the notebook, so it is shown once; an iopub `error`
is of something that the cell went on after (a nested run_cell) and is shown like any output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from farcell_host.protocol.messages import Message

from .notebook import Notebook
from .objects import ObjectPublisher

HIDDEN = frozenset({"status", "execute_input", "iopub_welcome", "farcell_installed"})


class RunRelay:
    """`receive` is called on the connection thread and says whether the waiting thread must `publish` the message itself."""

    def __init__(self, notebook: Notebook, count: int) -> None:
        self._notebook = notebook
        self._count = count
        self._objects = ObjectPublisher(notebook)
        self.result: Message | None = None
        self.uses_frames = notebook.frames is not None and has_stock_outputs(notebook)

    def before(self) -> None:
        """Local output so far comes first."""
        if self._notebook.frames is not None and self.uses_frames:
            self._notebook.frames.flush_local()

    def receive(self, message: Message) -> bool:
        """True when the message has been dealt with."""
        if message.msg_type in HIDDEN:
            return True
        if not self.uses_frames:
            return False
        self.publish(message)
        return True

    def publish(self, message: Message) -> None:
        if message.msg_type == "execute_result":
            message = self.result = self._counted(message)
        elif message.msg_type == "farcell_output_dropped":
            message = dropped(message)
        if self.uses_frames and self._notebook.frames is not None:
            self._notebook.frames.publish(message)
        else:
            self._objects.publish(message)

    def receive_stray(self, message: Message) -> None:
        """Output outside any run, on the connection thread: there is no thread that waits for it."""
        if message.msg_type in HIDDEN:
            return
        if self._notebook.frames is not None:
            self._notebook.frames.publish(message)
        else:
            self._objects.publish(message)

    def publish_status(self, message: Message) -> None:
        """Of a message that the target alone handles."""
        if self._notebook.frames is not None:
            self._notebook.frames.publish(message)

    def show_value(self, value: Any) -> None:
        """A display hook of the user's is called with the value itself, which came with the reply."""
        if self._objects.unshown_result:
            sys.displayhook(value)

    def _counted(self, message: Message) -> Message:
        """With the local cell's number: a nested cell on the target may have moved the remote one."""
        content = message.content
        if content.get("execution_count") == self._count:
            return message
        return Message.build(
            message.channel,
            message.msg_type,
            {**content, "execution_count": self._count},
            header=message.header,
            parent=message.parent_header,
            metadata=message.metadata,
            buffers=message.buffers,
        )


class ReplayRelay(RunRelay):
    """Outputs of a run that another cell began, in the present one."""

    def __init__(self, notebook: Notebook, count: int) -> None:
        super().__init__(notebook, count)
        self._parent = json.dumps(notebook.cell_header()).encode()

    def publish(self, message: Message) -> None:
        header, _, metadata, content = message.parts
        super().publish(Message(message.channel, (header, self._parent, metadata, content), message.buffers))


def has_stock_outputs(notebook: Notebook) -> bool:
    """Whether all output of this process goes straight to the notebook kernel's IOPub thread, with nobody in between."""
    shell = notebook.shell
    if shell is None or notebook.kernel is None:
        return False
    own = notebook.kernel.iopub_thread
    streams = all(_is_stock_stream(stream, own) for stream in (sys.stdout, sys.stderr))
    return streams and all(_is_stock(hook) for hook in (shell.display_pub, shell.displayhook, sys.displayhook))


def _is_stock_stream(stream: Any, iopub_thread: Any) -> bool:
    return (
        type(stream).__module__ == "ipykernel.iostream"
        and getattr(stream, "pub_thread", None) is iopub_thread
        and not getattr(stream, "_hooks", None)
    )


def _is_stock(hook: Any) -> bool:
    if hook is sys.__displayhook__:
        return True
    return type(hook).__module__ in ("ipykernel.zmqshell", "ipykernel.displayhook") and not getattr(hook, "_hooks", None)


def dropped(message: Message) -> Message:
    """What to show in the place of the host's word that older output is gone."""
    content = message.content
    text = (
        f"farcell: {content.get('messages', 0)} messages ({content.get('bytes', 0)} bytes) of older output were dropped on the "
        "target: its journal's disk quota was reached.\n"
    )
    return Message.build(
        message.channel, "stream", {"name": "stderr", "text": text}, header=message.header, parent=message.parent_header
    )
