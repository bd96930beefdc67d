"""What the broker's process does to keep to itself what it holds: tokens, the database's address, users' bytes on their way;
and that it does not outlive the hub that has started it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4


def end_with_hub() -> None:
    """A hub that was killed starts its services again and finds the port taken by the one it had: so that one ends with it, if it
    is the hub that has started us (prctl(2), PR_SET_PDEATHSIG). No host does."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    try:
        is_hub = b"jupyterhub" in Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return
    if is_hub:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it was faster
            os.kill(os.getpid(), signal.SIGTERM)


def forbid_inspection() -> None:
    """From now on nobody but root reads this process's memory or environment, also no other process of its own account; and it
    leaves no core. Programs that it starts are not meant: hosts of isolation "none" run under its account (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE is refused")
