"""Budgets, held against the ledger before a run begins: a word at 80 %, no new run at 100 %, and what runs goes on.

A target's budget refuses; a person's own, over all targets together, is advisory. What cannot be known holds up nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

from .errors import Refused
from .ledger import Budget, BudgetState, BudgetVerdict, faults, open_ledger
from .recorder import check_now, missing_packages, recorder
from .targets import Limits, Target, Targets


class Budgets:
    """One notebook's: each warning is said once a day."""

    def __init__(self) -> None:
        self._said: set[tuple[datetime.date, str | None, BudgetState]] = set()

    def check(self, target: Target, targets: Targets, say: Callable[[str], None]) -> None:
        """Raises Refused when the target's budget is used up; nothing was sent or started then."""
        for limits, name in ((target.budget, target.name), (targets.budget, None)):
            if limits is None:
                continue
            verdict = _verdict(budget_of(limits, name, targets.currency), name)
            if not verdict.may_run:
                raise Refused(f"{verdict.text} Nothing was run on {target.name!r}.")
            key = datetime.date.today(), name, verdict.state
            if verdict.text and key not in self._said:
                self._said.add(key)
                say(verdict.text)


def budget_of(limits: Limits, name: str | None, currency: str) -> Budget:
    return Budget(limits.day, limits.month, advisory=name is None, currency=currency)


def _verdict(budget: Budget, name: str | None) -> BudgetVerdict:
    keeper = recorder()
    if keeper is not None:
        return keeper.check(budget, name)
    missing = missing_packages()
    if missing:
        text = f"The budget cannot be checked, runs go on. {faults.packages(f'no module named {missing[0]!r}')}"
        return BudgetVerdict(BudgetState.UNKNOWN, text)
    return check_now(open_ledger(), budget, name)
