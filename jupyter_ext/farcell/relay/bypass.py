"""A way for comm messages past a shell that waits for a remote cell.

JupyterLab and Notebook 7 send the messages of a comm to a subshell of their own, which is free while the main shell waits. For
front ends that do not, ipykernel 7 reads its shell socket on a thread that only hands messages to the shell's thread: there
those for comms of targets are taken out while the shell's thread waits. This replaces a handler of ipykernel's that is not
public, so it is done only where there is the one that is known; elsewhere such messages wait for the cell's end.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_HANDLER = "shell_channel_thread_main"  # of ipykernel 7.0 to 7.4, with the message as its only argument


class Bypass:
    """Of one notebook kernel; does nothing with one of another kind. `takes` says of a comm whether its messages go by here."""

    def __init__(self, kernel: Any, takes: Callable[[str], bool], take: Callable[[Mapping[str, Any]], None]) -> None:
        self._kernel = kernel
        self._takes = takes
        self._take = take
        self._waits = 0
        self._handler: Any = None
        self._is_installed = False

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """While the main thread waits."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1

    def install(self) -> None:
        """Once there is a comm of a target."""
        if self._is_installed:
            return
        self._is_installed = True
        handler, thread = getattr(self._kernel, _HANDLER, None), getattr(self._kernel, "shell_channel_thread", None)
        stream, loop = getattr(self._kernel, "shell_stream", None), getattr(thread, "io_loop", None)
        if stream is None or loop is None or not inspect.iscoroutinefunction(handler):
            return
        if len(inspect.signature(handler).parameters) != 1:
            return
        self._handler = handler
        loop.add_callback(stream.on_recv, self._arrived, copy=False)

    async def _arrived(self, frames: Any) -> None:
        """On the thread that reads the shell socket."""
        if not self._waits or not self._is_taken(frames):
            await self._handler(frames)

    def _is_taken(self, frames: Any) -> bool:
        session = self._kernel.session
        try:
            _, parts = session.feed_identities(frames, copy=False)
            peeked = session.deserialize(parts, content=False, copy=False)
            header = peeked["header"]
            if header["msg_type"] not in ("comm_msg", "comm_close") or header.get("subshell_id") is not None:
                return False
            if not self._takes(str(session.unpack(peeked["content"]).get("comm_id"))):
                return False
            message = session.deserialize(parts, copy=False)
        except Exception:  # ipykernel says what is wrong with it
            return False
        try:
            self._take(message)
        except Exception:
            self._kernel.log.exception("farcell: a comm message could not be passed on")
        return True
