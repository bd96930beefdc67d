"""The local target through `attach`: the same host, reached over a child's stdin and stdout as every remote one is.

Bulk goes as chunks here. It runs the whole contract suite, and faults of the bridge are tested on it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from farcell_host.stream import from_pipes

from .base import Allocation, Opened, OpenedStream
from .local import LocalBackend


class LocalAttachBackend(LocalBackend):
    """One `attach` process a stream; it may die at any time."""

    name = "local-attach"

    async def open_stream(self, allocation: Allocation) -> Opened:
        process = subprocess.Popen(
            [sys.executable, "-m", "farcell_host", "attach", "--runtime", allocation.runtime],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # or Jupyter's interrupt to the process group would end it
        )
        assert process.stdin is not None and process.stdout is not None
        endpoint = from_pipes(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
        process.stdin.close()
        process.stdout.close()
        return OpenedStream(endpoint, lambda: _end(process))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills and reaps; waiting for a killed child takes no time worth a thread."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
