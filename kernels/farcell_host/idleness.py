"""When a session that nobody uses is warned of its end, and when it ends.

Activity is what a person does: a run, a push or pull, a comm, an answer to `input`, all of which come from the driver. What the
kernel says by itself, connections and observers are none. What else keeps a session (a program on a GPU) sets the host's clock.
"""

from __future__ import annotations

from enum import Enum

_LEAD_S = 300.0
_PART = 4  # of a short time-out: so much of it is left when the warning comes


class Verdict(Enum):
    GOES_ON = "goes on"
    WARN = "warn"
    RELEASE = "release"


class Idleness:
    """Pure: told how long nothing has happened, whenever somebody looks."""

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` may be infinite."""
        self.timeout_s = timeout_s
        self.lead_s = min(_LEAD_S, timeout_s / _PART)
        self._is_warned = False

    def left_s(self, idle_s: float) -> float:
        """Until the session is released if nothing happens."""
        return max(0.0, self.timeout_s - idle_s)

    def look(self, idle_s: float) -> Verdict:
        """WARN once in each spell of idleness, always before RELEASE."""
        if idle_s < self.timeout_s - self.lead_s:
            self._is_warned = False
            return Verdict.GOES_ON
        if not self._is_warned:
            self._is_warned = True
            return Verdict.WARN
        return Verdict.RELEASE if idle_s > self.timeout_s else Verdict.GOES_ON


def spoken(seconds: float) -> str:
    """`40 s`, `5 min`, `3 h`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
