"""What was used of quotas and budgets today and this month: sums of days for leases that have ended, and what is held now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from .policy import Limits, Policy
from .schema import DayRow

HOUR = 3600.0
_ADD = (
    update(DayRow)
    .where(DayRow.scope == bindparam("of_scope"), DayRow.name == bindparam("of_name"), DayRow.day == bindparam("of_day"))
    .values(gpu_seconds=DayRow.gpu_seconds + bindparam("more_gpu_seconds"), money=DayRow.money + bindparam("more_money"))
)
_BEGIN = insert(DayRow)
_SINCE = select(DayRow.day, DayRow.gpu_seconds, DayRow.money).where(
    DayRow.scope == bindparam("scope"), DayRow.name == bindparam("name"), DayRow.day >= bindparam("first")
)


@dataclass(frozen=True)
class Spent:
    """GPU-hours and money of one user or group, and how fast it grows by what is held: an hour of time costs so much."""

    day_gpu_hours: float
    day_money: float
    month_gpu_hours: float
    month_money: float
    gpus: int
    money_per_hour: float

    def left(self, limits: Any) -> Iterator[tuple[float, str]]:
        """For each limit: hours until it is reached as things go, infinite if nothing is held, and the limit in words."""
        for period, hours, money in (
            ("day", self.day_gpu_hours, self.day_money),
            ("month", self.month_gpu_hours, self.month_money),
        ):
            for used, limit, rate, words in (
                (hours, getattr(limits, f"gpu_hours_per_{period}"), self.gpus, "{:g} GPU-hours"),
                (money, getattr(limits, f"money_per_{period}"), self.money_per_hour, "budget of {:g}"),
            ):
                if limit is not None:
                    rest = limit - used
                    yield (0.0 if rest <= 0 else rest / rate if rate else float("inf")), f"{words.format(limit)} a {period}"


def has_budget(limits: Any) -> bool:
    """Whether anything of it needs what was used."""
    return any(getattr(limits, key) is not None for key in Limits.model_fields if key != "gpus")


def add(connection: Connection, policy: Policy, scope: str, name: str, start: float, end: float, gpus: int, price: float) -> None:
    """Counts a lease that has ended to the days on which it was held. Under the lock of leases."""
    for day, seconds in days(policy, start, end):
        values = {"gpu_seconds": gpus * seconds, "money": price * seconds / HOUR}
        more = {"of_scope": scope, "of_name": name, "of_day": day, **{f"more_{key}": value for key, value in values.items()}}
        if not connection.execute(_ADD, more).rowcount:
            connection.execute(_BEGIN, {"scope": scope, "name": name, "day": day, **values})


def days(policy: Policy, start: float, end: float) -> Iterator[tuple[str, float]]:
    """The days of a time, by the policy's time zone, each with its seconds."""
    while start < end:
        until = min(policy.next_day(start), end)
        yield day_of(policy, start), until - start
        start = until


def day_of(policy: Policy, moment: float) -> str:
    return datetime.fromtimestamp(moment, policy.zone).date().isoformat()


def spent(connection: Connection, policy: Policy, scope: str, name: str, held: Iterable[Any], now: float) -> Spent:
    """`held`: rows of the leases that hold GPUs and count for it."""
    day, month = policy.period_starts(now)
    today, first = day_of(policy, day), day_of(policy, month)
    hours = {day: 0.0, month: 0.0}
    money = {day: 0.0, month: 0.0}
    for row in connection.execute(_SINCE, {"scope": scope, "name": name, "first": first}):
        for start in {month, day} if row.day == today else {month}:
            hours[start] += row.gpu_seconds / HOUR
            money[start] += row.money
    gpus, rate = 0, 0.0
    for lease in held:
        gpus += lease.gpus
        rate += lease.price_per_hour
        for start in {month, day}:
            time = max(0.0, now - max(start, lease.granted_at)) / HOUR
            hours[start] += lease.gpus * time
            money[start] += lease.price_per_hour * time
    return Spent(hours[day], money[day], hours[month], money[month], gpus, rate)
