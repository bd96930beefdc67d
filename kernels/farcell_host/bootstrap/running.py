"""An installer's process: its lines as they come, and its end when it takes too long or nobody listens any more."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from .faults import NobodyListens

HEARTBEAT_S = 1.0
"""So often whoever waits hears that it goes on: a launch that says nothing for two minutes is given up."""
LIMIT_S = 1800.0


class TooLong(Exception):
    """The process was ended: it had taken longer than it may."""


def lines_of(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    listener: int | None,
    limit_s: float = LIMIT_S,
) -> int:
    """Runs a command to its end and gives its exit code; `on_line` gets each line, and "" when nothing comes for a while.

    `listener` is a descriptor that somebody reads: when nobody does any more, the command is ended too, with all that it has
    started. Raises TooLong, NobodyListens, OSError.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            for line in _lines(process.stdout.fileno(), listener, time.monotonic() + limit_s):
                on_line(line)
        return process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(output: int, listener: int | None, deadline: float) -> Iterator[str]:
    watch = select.poll()
    watch.register(output, select.POLLIN)
    if listener is not None:
        watch.register(listener, 0)  # errors and hang-ups are told unasked
    rest = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooLong
        ready = dict(watch.poll(1000 * min(HEARTBEAT_S, left)))
        if listener is not None and ready.get(listener, 0) & (select.POLLERR | select.POLLHUP):
            raise NobodyListens
        if output not in ready:
            yield ""
            continue
        data = os.read(output, 1 << 16)
        if not data:
            if rest:
                yield rest.decode(errors="replace")
            return
        *whole, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            if line.strip():
                yield line.decode(errors="replace").rstrip()
