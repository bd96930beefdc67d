"""Who is served next: fair share by decayed usage, in an order in which nobody waits for ever. No clock, no database.

A user's usage is units (GPUs, or slots where a target has none) times seconds, halved with every half-life, and with what the
user's leases may still use by their wall times. The user with the least usage for the weight is next; each request that is put in
the order counts at once, so that ten requests of one user do not go before the first of another. Who is alone has no one before.

The fair wait of a request is the time in which its user's share of the target (the weight's part of the weights of all who hold
or want something there, and never more than the user may hold) does what the user has in hand there: what the user's leases have
left by wall time, what was asked for before, and this; or the time until enough leases have ended by wall time, if that is
longer. A request that has waited OVERDUE fair waits goes before all others, in the order of the times at which that was reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

OVERDUE = 1.0
"""Of fair waits, after which a request goes first. It then waits until enough has ended, and others are overdue too: in a month's
demand (tests/broker/records/test_month.py) none waited over 2.6 fair waits, with other seeds up to 2.93; with 1.5, nearly 5."""
GUESS_S = 4 * 3600.0
"""What a lease without a wall time is thought to last, for the order only."""


@dataclass(frozen=True)
class Wish:
    """A request that waits."""

    id: str
    user: str
    gpus: int
    walltime_s: float | None
    asked_no: int
    overdue_at: float
    weight: float = 1.0
    priority: int = 0
    is_first: bool = False
    """An administrator has put it before all others."""

    @property
    def units(self) -> int:
        return max(self.gpus, 1)

    @cached_property
    def cost(self) -> float:
        return self.units * (GUESS_S if self.walltime_s is None else self.walltime_s)


@dataclass(frozen=True)
class Held:
    """A lease that holds GPUs."""

    user: str
    gpus: int
    granted_at: float
    ends_at: float | None

    @property
    def units(self) -> int:
        return max(self.gpus, 1)

    def left(self, now: float) -> float:
        """Units times seconds that it may still use."""
        return self.units * (max(self.ends_at - now, 0.0) if self.ends_at is not None else GUESS_S)


def decayed(used: float, as_of: float, now: float, half_life_s: float) -> float:
    return used * 2.0 ** (-(now - as_of) / half_life_s) if used else 0.0


def charge(units: float, start: float, end: float, now: float, half_life_s: float) -> float:
    """What `units` held from `start` to `end` count at `now`: each moment halved by the half-lives since."""
    rate = math.log(2) / half_life_s
    return units / rate * (math.exp(-rate * (now - end)) - math.exp(-rate * (now - start)))


def in_order(wishes: Iterable[Wish], used: Mapping[str, float], now: float) -> Iterator[Wish]:
    """All of one target's, the next first. `used`: each user's usage with what is held; nobody who is missing has any."""
    firsts: list[Wish] = []
    overdue: list[Wish] = []
    rest: list[Wish] = []
    for wish in wishes:
        (firsts if wish.is_first else overdue if wish.overdue_at <= now else rest).append(wish)
    usage: dict[str, float] = {}
    firsts.sort(key=lambda wish: wish.asked_no)
    overdue.sort(key=lambda wish: (wish.overdue_at, wish.asked_no))
    for wish in (*firsts, *overdue):
        usage[wish.user] = usage.get(wish.user, used.get(wish.user, 0.0)) + wish.cost
        yield wish
    rest.sort(key=lambda wish: (-wish.priority, wish.asked_no))
    entries = []
    for wish in rest:
        user = wish.user
        before = usage.get(user)
        if before is None:
            before = used.get(user, 0.0)
        usage[user] = before + wish.cost
        entries.append((-wish.priority, before / wish.weight, wish.asked_no, wish))
    entries.sort()
    for entry in entries:
        yield entry[3]


def fair_wait(
    wish: Wish, own: Sequence[Wish | Held], held: Sequence[Held], weights: float, capacity: int, most: int | None, now: float
) -> float:
    """Seconds; see above. `own` is what the user holds and has asked for before, `held` all that is held on the target; `weights`
    the sum of all who hold or want something there, this user included; `most` what the user may hold.
    """
    share = capacity * wish.weight / max(weights, wish.weight)
    if most is not None:
        share = min(share, max(most, 1))
    in_hand = wish.cost + sum(each.left(now) if isinstance(each, Held) else each.cost for each in own)
    return max(in_hand / share, until_free(wish.units, held, capacity, now))


def until_free(units: int, held: Sequence[Held], capacity: int, now: float) -> float:
    """Seconds until so many units are free if nothing else is granted, by wall times."""
    free = capacity - sum(each.units for each in held)
    if free >= units:
        return 0.0
    ends = sorted((now + GUESS_S if each.ends_at is None else max(each.ends_at, now), each.units) for each in held)
    for end, freed in ends:
        free += freed
        if free >= units:
            return end - now
    return 0.0


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all have the same, 1/n when one has all."""
    total, squares = sum(values), sum(value * value for value in values)
    return total * total / (len(values) * squares) if squares else 1.0
