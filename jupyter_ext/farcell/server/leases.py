"""Who watches: pages with a time each. Pure: time is passed in, seconds of a monotonic clock."""

from __future__ import annotations


class Leases:
    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def take(self, page: str, until: float) -> None:
        """Begins or renews it; it may also be made shorter."""
        self._until[page] = until

    def give_back(self, page: str) -> None:
        self._until.pop(page, None)

    def expire(self, now: float) -> float | None:
        """Drops what has run out; when the next one does."""
        self._until = {page: until for page, until in self._until.items() if until > now}
        return min(self._until.values(), default=None)
