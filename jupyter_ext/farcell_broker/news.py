"""Who waits for something to change is woken when something may have: a lease was granted, ended, or moved in its queue."""

from __future__ import annotations

import asyncio


class News:
    """On one loop's thread. Another process of the broker may change things too, so who waits also looks by itself."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def next(self) -> asyncio.Event:
        """To be taken before one looks: set by whatever changes afterwards."""
        return self._changed
