"""What a run and this notebook have both changed: set aside, until the person says whose holds."""

from __future__ import annotations

from dataclasses import dataclass

from farcell_host.state import Delta

from .exchange import Exchange

ID_LENGTH = 8


@dataclass(frozen=True)
class Conflict:
    """`run` is the beginning of the run's id, as `%remote resolve` takes it; `names` are those that were not merged."""

    run: str
    target: str
    names: tuple[str, ...]
    exchange: Exchange
    aside: Delta
    is_detached: bool = False

    @classmethod
    def of(cls, run: str, target: str, exchange: Exchange, aside: Delta, is_detached: bool = False) -> Conflict:
        return cls(run[:ID_LENGTH], target, tuple(sorted(aside.names)), exchange, aside, is_detached)

    def settle(self, take: bool) -> list[str]:
        """With `take` the target's values are merged now, else they are let go of; the names that changed here."""
        return self.exchange.settle(self.aside, take)

    def __str__(self) -> str:
        what = ", ".join(self.names) or "An object without a name"
        if self.is_detached:
            return (
                f"{what}: this notebook has changed some of it too since run {self.run} began on {self.target!r}, so nothing of "
                f"the run was merged. %remote results {self.run} gives the run's values, %remote wait {self.run} --theirs merges "
                f"them here, %remote wait {self.run} --ours lets go of them."
            )
        return (
            f"{what}: changed in this notebook too (by a thread, a callback or another run) while run {self.run} changed it on "
            f"{self.target!r}. This notebook's values stand, nothing of the target's was merged. "
            f"%remote resolve {self.run} --remote takes the target's, %remote resolve {self.run} --local lets go of them."
        )
