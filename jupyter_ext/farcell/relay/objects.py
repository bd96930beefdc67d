"""Remote iopub messages shown through this process's own objects, in order, on the thread that waits for the run.

For `%%capture`, redirect_stdout, display hooks, IPython in a terminal and plain Python: whoever replaced `sys.stdout`,
the display publisher or a hook wants to see the output, and frames put on the IOPub thread would pass them by.
"""

from __future__ import annotations

import sys
from typing import Any

from farcell_host.protocol.messages import Message
from IPython.core.displayhook import CapturingDisplayHook, DisplayHook

from .notebook import Notebook, message_text


class ObjectPublisher:
    """What each iopub message means in terms of `sys` and IPython's display objects."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self.unshown_result = False  # a hook of the user's wants the value itself, once it is here

    def publish(self, message: Message) -> None:
        show = getattr(self, f"_{message.msg_type}", None)
        if show is not None:
            show(message)
        elif self._notebook.frames is not None:
            self._notebook.frames.publish(message)

    def _stream(self, message: Message) -> None:
        content = message.content
        stream = sys.stderr if content.get("name") == "stderr" else sys.stdout
        stream.write(content.get("text", ""))
        if self._notebook.kernel is None:
            stream.flush()

    def _display_data(self, message: Message, update: bool = False) -> None:
        content = message.content
        if self._notebook.shell is None:
            print(message_text(message))
            return
        self._notebook.shell.display_pub.publish(
            data=content.get("data", {}),
            metadata=content.get("metadata", {}),
            transient=content.get("transient", {}),
            update=update,
        )

    def _update_display_data(self, message: Message) -> None:
        self._display_data(message, update=True)

    def _clear_output(self, message: Message) -> None:
        if self._notebook.shell is not None:
            self._notebook.shell.display_pub.clear_output(bool(message.content.get("wait")))

    def _error(self, message: Message) -> None:
        if self._notebook.frames is not None:
            self._notebook.frames.publish(message)  # a local kernel's own goes there too, whatever captures
        else:
            print(message_text(message), file=sys.stderr)

    def _execute_result(self, message: Message) -> None:
        data, metadata = message.content.get("data", {}), message.content.get("metadata", {})
        shell, hook = self._notebook.shell, sys.displayhook
        if shell is None:
            print(message_text(message))
        elif isinstance(hook, CapturingDisplayHook):
            hook.outputs.append({"data": data, "metadata": metadata})
        elif isinstance(hook, DisplayHook) or hook is sys.__displayhook__ or _is_ipykernels(hook):
            _show(shell.displayhook, data, metadata)
        else:
            self.unshown_result = True


def _is_ipykernels(hook: Any) -> bool:
    return type(hook).__module__ == "ipykernel.displayhook"


def _show(hook: Any, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """DisplayHook.__call__ from a bundle instead of an object, in its own order, so that registered hooks see the message."""
    hook.start_displayhook()
    hook.write_output_prompt()
    if data:
        hook.write_format_data(data, metadata)
    hook.finish_displayhook()
