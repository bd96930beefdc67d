"""What one user may ask of the broker in a second and at once, so that nobody's flood is everybody's."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import BrokerError

RATE = 20.0
"""Requests a second, after a burst."""
BURST = 100
AT_ONCE = 64
"""Requests that wait for news, and, apart from them, streams."""
_KEPT = 10_000


class TooMany(BrokerError):
    """Of requests; `retry_s` is when one will be answered."""

    code = "too-many"

    def __init__(self, text: str, retry_s: float) -> None:
        super().__init__(text)
        self.retry_s = retry_s


@dataclass
class _User:
    left: float
    at: float


class Limits:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._users: OrderedDict[str, _User] = OrderedDict()
        self._at_once: dict[tuple[str, str], int] = {}

    def take(self, user: str) -> None:
        """One request; raises TooMany."""
        now = self._now()
        known = self._users.setdefault(user, _User(BURST, now))
        self._users.move_to_end(user)
        known.left, known.at = min(float(BURST), known.left + (now - known.at) * RATE), now
        if known.left < 1:
            raise TooMany(f"More than {RATE:g} requests a second: wait a moment.", (1 - known.left) / RATE)
        known.left -= 1
        while len(self._users) > _KEPT:
            self._users.popitem(last=False)

    @contextmanager
    def held(self, user: str, what: str) -> Iterator[None]:
        """While something goes on; raises TooMany."""
        release = self.hold(user, what)
        try:
            yield
        finally:
            release()

    def hold(self, user: str, what: str) -> Callable[[], None]:
        """Until what is returned is called."""
        key = (user, what)
        if self._at_once.get(key, 0) >= AT_ONCE:
            raise TooMany(f"{AT_ONCE} {what} of yours are open: close some.", 5.0)
        self._at_once[key] = self._at_once.get(key, 0) + 1

        def release() -> None:
            self._at_once[key] -= 1
            if not self._at_once[key]:
                del self._at_once[key]

        return release
