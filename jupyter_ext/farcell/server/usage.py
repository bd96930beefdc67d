"""What was used today and this month, and the budgets that it is held against. Blocks: it reads the ledger."""

from __future__ import annotations

from datetime import datetime

from ..budgets import budget_of
from ..ledger import BudgetVerdict, Ledger, faults, open_ledger
from ..ledger.accounts import By, start_of_day, start_of_month
from ..recorder import check_now, missing_packages
from ..targets import Limits, Targets
from .faults import Fault
from .schemas import BudgetFace, Spent, Usage


def ledger_kept() -> Ledger:
    """This user's; a 503 Fault where none is kept."""
    missing = missing_packages()
    if missing:
        raise Fault(503, "no-ledger", str(faults.packages(f"no module named {missing[0]!r}")))
    ledger = open_ledger()
    if ledger.path is None:
        raise Fault(503, "no-ledger", "No ledger is kept: FARCELL_LEDGER says so. Without it what is used is recorded.")
    return ledger


def told(targets: Targets, by: By, now: datetime) -> Usage:
    ledger = ledger_kept()
    limited = [(target.name, target.budget) for target in targets.known.values() if target.budget is not None]
    all_together = [(None, targets.budget)] if targets.budget is not None else []
    return Usage(
        by=by,
        currency=targets.currency,
        today=ledger.usage(start_of_day(now), None, by),
        month=ledger.usage(start_of_month(now), None, by),
        budgets=[_budget(ledger, name, limits, targets.currency) for name, limits in (*limited, *all_together)],
    )


def _budget(ledger: Ledger, name: str | None, limits: Limits, currency: str) -> BudgetFace:
    verdict: BudgetVerdict = check_now(ledger, budget_of(limits, name, currency), name)
    spent = [
        None if used is None else Spent(limit=limit, cost=used.cost, unpriced_s=used.unpriced_s)
        for used, limit in ((verdict.day, limits.day), (verdict.month, limits.month))
    ]
    return BudgetFace(target=name, state=verdict.state.value, text=verdict.text, day=spent[0], month=spent[1])
