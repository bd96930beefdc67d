"""What the broker's process does to keep to itself what it holds: tokens, the database's address, users' bytes on their way."""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4


def forbid_inspection() -> None:
    """From now on nobody but root reads this process's memory or environment, also no other process of its own account; and it
    leaves no core. Programs that it starts are not meant: hosts of isolation "none" run under its account (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE is refused")
