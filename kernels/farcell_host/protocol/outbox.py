"""What is to be written, by priority: control > stdin > shell and iopub > chunks; first in, first out inside each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from .messages import Buffer, Channel, byte_count


class Priority(IntEnum):
    CONTROL = 0  # handshake, requests, acknowledgements, the control channel
    STDIN = 1
    SHELL = 2  # shell, iopub and comms share one FIFO: their order is what the user sees
    CHUNK = 3


CHANNEL_PRIORITY = (Priority.CONTROL, Priority.STDIN, Priority.SHELL, Priority.SHELL)
assert len(CHANNEL_PRIORITY) == len(Channel)


class Outgoing(NamedTuple):
    """One frame: its buffers, descriptors that ride on its first byte, descriptors to close once it is written."""

    buffers: list[Buffer]
    fds: Sequence[int] = ()
    close_fds: Sequence[int] = ()


class Outbox:
    def __init__(self) -> None:
        self._queues: tuple[deque[tuple[Outgoing, int]], ...] = tuple(deque() for _ in Priority)
        self.queued_bytes = 0

    def put(self, priority: int, buffers: list[Buffer], fds: Sequence[int] = (), close_fds: Sequence[int] = ()) -> None:
        size = sum(map(byte_count, buffers))
        self.queued_bytes += size
        self._queues[priority].append((Outgoing(buffers, fds, close_fds), size))

    def put_frames(self, priority: int, frames: Iterable[list[Buffer]]) -> None:
        for frame in frames:
            self.put(priority, frame)

    def take(self, max_bytes: int) -> list[Outgoing]:
        """Frames in the order they are to be written, at least one if there is any; chunks never share a batch with
        what comes before them."""
        taken: list[Outgoing] = []
        left = max_bytes
        for queue in self._queues:
            while queue:
                outgoing, size = queue[0]
                if taken and size > left:
                    return taken
                queue.popleft()
                taken.append(outgoing)
                self.queued_bytes -= size
                left -= size
            if taken:
                return taken
        return taken

    def clear(self) -> list[Outgoing]:
        """Forgets everything; gives what was forgotten, for whoever owns its descriptors."""
        forgotten = [outgoing for queue in self._queues for outgoing, _ in queue]
        for queue in self._queues:
            queue.clear()
        self.queued_bytes = 0
        return forgotten

    def __bool__(self) -> bool:
        return any(self._queues)
