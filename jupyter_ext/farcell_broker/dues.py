"""Why a lease must end, and when: wall time, idleness, policy, budgets. Whoever is there is warned before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from farcell.backends.resources import clock

from .lease import Lease, State
from .policy import Policy
from .quotas import Quotas

ENDING = "ending"
"""It was told to save and ends by itself: no longer withdrawn."""
ASKED = "asked"
"""Somebody wants it to end."""


class Due(NamedTuple):
    """`what` is "warn" or "end"."""

    lease: Lease
    what: str
    reason: str


@dataclass(frozen=True)
class Cause:
    """Infinite: not yet."""

    kind: str
    warn_at: float
    end_at: float
    reason: str


def causes(row: Any, policy: Policy, quotas: Quotas, now: float) -> Iterator[Cause]:
    """All there are for this lease, as things are now."""
    warning = policy.idle.warning_s
    after_warning = row.warned_at + warning if row.warned_at is not None else math.inf
    why = quotas.not_any_more(row)
    if why is not None and row.state == State.WAITING.value:
        yield Cause("policy", math.inf, now, why)
    if row.state == State.WAITING.value:
        return
    if why is not None:
        yield Cause("policy", now, now if row.state == State.GRANTED.value else after_warning, why)
    if row.ends_at is not None:
        yield Cause("walltime", row.ends_at - warning, row.ends_at, f"Its wall time of {clock(int(row.walltime_s))} is over.")
    if not row.is_first:
        for hours, text in quotas.budgets(row):
            at = now + hours * 3600.0
            yield Cause("budget", at - warning, at, text)
    if row.running_at is None:
        return
    if row.last_active_at is None:
        at = row.running_at + policy.idle.unattached_s
        yield Cause("unattached", math.inf, at, f"Nobody has used it in the {_span(policy.idle.unattached_s)} since it began.")
    elif policy.idle.after_s is not None:
        # An idle lease that was warned for something else is not kept alive by that.
        end = after_warning if row.warned_for == "idle" else math.inf
        yield Cause(
            "idle", row.last_active_at + policy.idle.after_s, end, f"Nobody has used it for {_span(policy.idle.after_s)}."
        )
    if row.warned_for == ASKED:
        yield Cause(ASKED, -math.inf, after_warning, row.reason or "An administrator wants it to end.")


def due(found: list[Cause], row: Any, now: float) -> tuple[str, Cause] | None:
    """What is to be done, and for which cause."""
    for cause in found:
        if cause.end_at <= now:
            return "end", cause
    if row.state == State.RUNNING.value:
        for cause in found:
            if cause.warn_at <= now:
                return "warn", cause
    return None


def stands(found: list[Cause], row: Any, now: float) -> bool:
    """Whether what the lease was warned for still holds."""
    return row.warned_for == ENDING or any(cause.kind == row.warned_for and cause.warn_at <= now for cause in found)


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
