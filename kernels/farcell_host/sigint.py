"""Who handles SIGINT, which changes several times a cell.

`signal`'s own functions look a handler up among the members of an enumeration, where it is not: 8 us a call, by an exception.
Those in C beneath them do the same without.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

_c: Any = sys.modules.get("_signal", signal)


def handler() -> Any:
    """None for one that was not installed from Python, which could not be put back."""
    return _c.getsignal(signal.SIGINT)


def handle_by(new: Any) -> Any:
    """On the main thread; the answer is the handler before."""
    return _c.signal(signal.SIGINT, new)
