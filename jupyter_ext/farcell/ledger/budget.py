"""A limit to what a target, or everything together, may cost in a day and in a month.

It is held against what this ledger knows. Nothing that runs is ever ended for it: at 80 % a new run is told so, at 100 % it is
refused, or only told when the budget is advisory, as a person's own over all targets is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

WARN_AT = 0.8


class BudgetState(Enum):
    """UNKNOWN: the ledger could not be read, and the run is not held up for that."""

    OK = "ok"
    WARN = "warn"
    REFUSE = "refuse"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Spent:
    """The cost in a period; `unpriced_s` are the allocated seconds that no price is known for."""

    cost: float = 0.0
    unpriced_s: float = 0.0


@dataclass(frozen=True)
class BudgetVerdict:
    """`text` says it with the numbers; empty when there is nothing to say."""

    state: BudgetState
    text: str = ""
    day: Spent | None = None
    month: Spent | None = None

    @property
    def may_run(self) -> bool:
        return self.state is not BudgetState.REFUSE


@dataclass(frozen=True)
class Budget:
    """Limits in the currency of the targets' prices; None is no limit. Raises ValueError for one that is not above zero."""

    day: float | None = None
    month: float | None = None
    advisory: bool = False
    currency: str = ""

    def __post_init__(self) -> None:
        for name in ("day", "month"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"a budget's {name} must be above zero, not {limit!r}")

    def check(self, target: str | None, day: Spent, month: Spent) -> BudgetVerdict:
        """Whether a new run may begin; `target` is named in the text, None for all targets together."""
        whose = f"Target {target!r}" if target is not None else "All targets together"
        limits = [("today", day, self.day), ("this month", month, self.month)]
        used = [(spent.cost / limit, period, spent, limit) for period, spent, limit in limits if limit is not None]
        reached = [(part, period, spent, limit) for part, period, spent, limit in used if part >= WARN_AT]
        if not reached:
            return BudgetVerdict(BudgetState.OK, "", day, month)
        part, period, spent, limit = max(reached, key=lambda each: each[0])
        amount = f"{limit:.2f} {self.currency}".rstrip()
        text = f"{whose} cost {spent.cost:.2f} of {amount} {period} ({math.floor(part * 100)} %), by this ledger"
        text += f", which knows no price for {spent.unpriced_s / 3600:.1f} h of it." if spent.unpriced_s else "."
        if self.advisory:
            return BudgetVerdict(BudgetState.WARN, f"{text} This budget is advisory: runs go on.", day, month)
        if part < 1:
            return BudgetVerdict(BudgetState.WARN, f"{text} New runs are refused at 100 %.", day, month)
        return BudgetVerdict(
            BudgetState.REFUSE,
            f"{text} No new run begins; what runs goes on. Raise the budget in targets.toml, or wait.",
            day,
            month,
        )
