"""When silence means that a link is lost, of which no side is told.

An idle one answers a question at once. While much is sent the question waits behind it, on a slow link for many seconds; but then
the link goes on taking bytes, and one that is lost takes none. Between the two, when all is written and not yet through, the
time that this takes is waited for as well, at the rate at which the link took the bytes before.
"""

from __future__ import annotations

BEAT_S = 2.0
"""So long a stream from another machine may be silent before it is asked for a sign of life."""
MISSED_BEATS, MISSED_AT_MOST = 2, 15
"""So many unanswered ones are no lost link yet: of one that should answer at once, and of one where much is on its way."""
IN_FLIGHT_BYTES = 8 << 20
"""What the buffers of ssh and of the systems on the way hold at most."""
SLOW_BYTES_PER_S = 1e6
"""Where the rate is not known."""


class Silence:
    """Of one stream; `beat` is called every BEAT_S."""

    def __init__(self) -> None:
        self.missed = 0
        self._written = self._through = 0
        self._rate = SLOW_BYTES_PER_S
        self._was_blocked = False

    def beat(self, heard: bool, written: int, is_blocked: bool, is_welcome: bool) -> bool:
        """Whether the link is lost. `heard` anything since the last beat; `written` in all, which the system has taken from us;
        `is_blocked`: there is more, and it does not take it now; `is_welcome`: the other end has answered once."""
        moved, self._written = written - self._written, written
        if heard:
            self._through = written
        if is_blocked and self._was_blocked and moved:
            self._rate = moved / BEAT_S
        self._was_blocked = is_blocked
        self.missed = 0 if heard or (is_blocked and moved) else self.missed + 1
        return self.missed > self._allowed(is_blocked, is_welcome)

    def _allowed(self, is_blocked: bool, is_welcome: bool) -> float:
        if not is_welcome:
            return MISSED_AT_MOST
        if is_blocked:
            return MISSED_BEATS
        in_flight = min(self._written - self._through, IN_FLIGHT_BYTES)
        return min(MISSED_BEATS + in_flight / self._rate / BEAT_S, MISSED_AT_MOST)
