"""A budget warns, then refuses, and never ends what runs."""

from __future__ import annotations

import pytest
from farcell.ledger import Budget, BudgetState
from farcell.ledger.budget import Spent
from hypothesis import given
from hypothesis import strategies as st

OK, WARN, REFUSE = BudgetState.OK, BudgetState.WARN, BudgetState.REFUSE
COSTS = st.floats(0, 1e9)


def state(budget: Budget, day: float, month: float) -> BudgetState:
    return budget.check("gpu-a", Spent(day), Spent(month)).state


@pytest.mark.parametrize(
    ("spent", "expected"), [(0, OK), (7.99, OK), (8, WARN), (9.99, WARN), (10, REFUSE), (99, REFUSE)], ids=str
)
def test_it_warns_at_80_percent_and_refuses_at_100(spent: float, expected: BudgetState) -> None:
    """By the day and by the month alike."""
    assert state(Budget(day=10), spent, spent) is expected
    assert state(Budget(month=10), 0, spent) is expected


def test_the_tighter_limit_decides() -> None:
    """A fresh day does not help when the month is used up."""
    verdict = Budget(day=10, month=100).check("gpu-a", Spent(8.5), Spent(101.0))
    assert verdict.state is REFUSE and not verdict.may_run
    assert verdict.text == (
        "Target 'gpu-a' cost 101.00 of 100.00 this month (101 %), by this ledger. "
        "No new run begins; what runs goes on. Raise the budget in targets.toml, or wait."
    )


def test_a_warning_has_the_numbers() -> None:
    """What was spent, of how much, and what will come of it."""
    verdict = Budget(day=10).check("gpu-a", Spent(9.999, 5400), Spent(20))
    assert verdict.text == (
        "Target 'gpu-a' cost 10.00 of 10.00 today (99 %), by this ledger, which knows no price for 1.5 h of it. "
        "New runs are refused at 100 %."
    )
    assert (verdict.day, verdict.month) == (Spent(9.999, 5400), Spent(20))


def test_an_advisory_budget_never_refuses_and_says_so() -> None:
    """A person's own, over all targets."""
    verdict = Budget(month=100, advisory=True).check(None, Spent(), Spent(150.0))
    assert (verdict.state, verdict.may_run) == (WARN, True)
    assert verdict.text.startswith("All targets together cost 150.00 of 100.00 this month (150 %)")
    assert verdict.text.endswith("This budget is advisory: runs go on.")


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_is_above_zero(limit: float) -> None:
    """Nothing is 80 % of nothing."""
    with pytest.raises(ValueError, match="a budget's day must be above zero"):
        Budget(day=limit)


@given(COSTS, COSTS, st.floats(1e-3, 1e9))
def test_spending_more_never_loosens(first: float, second: float, limit: float) -> None:
    """The verdict only tightens as costs rise."""
    order = [OK, WARN, REFUSE]
    low, high = sorted((first, second))
    assert order.index(state(Budget(month=limit), 0, low)) <= order.index(state(Budget(month=limit), 0, high))
