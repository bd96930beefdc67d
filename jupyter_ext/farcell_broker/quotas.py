"""What policy says of one request: never, or not now. Sentences for the user who asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from farcell.backends.resources import clock, seconds
from farcell.tomlplaces import choices
from sqlalchemy import Connection

from .errors import Refused
from .fairshare import Wish
from .lease import Request, State, Who
from .mirror import Mirror
from .policy import Allowance, Limits, Policy, SharedTarget
from .spent import Spent, has_budget, spent

GONE = "The target is not in the broker's policy any more."


class Quotas:
    """Of one moment, in one transaction; counts what is granted in it."""

    def __init__(self, connection: Connection, policy: Policy, mirror: Mirror, now: float) -> None:
        self._connection, self._policy, self._mirror, self._now = connection, policy, mirror, now
        self._spent: dict[tuple[str, str], Spent] = {}
        self._more: dict[tuple[str, str], int] = {}

    def granted(self, row: Any) -> None:
        """In this transaction."""
        for key in (("user", row.user), *(("group", name) for name in self._charged(row))):
            self._more[key] = self._more.get(key, 0) + row.gpus

    def not_now(self, row: Any) -> str | None:
        """Why this user may have no more at this moment, as far as the user and the user's groups are concerned."""
        why = self.not_any_more(row)
        if why is not None or row.is_first:
            return why  # what an administrator has put first is only kept by what there is
        allowance = self._mirror.allowance(row)
        for scope, name, limits, whose in self._limits(row.user, self._charged(row), allowance):
            if limits.gpus is not None and self._holds(scope, name) + row.gpus > limits.gpus:
                return f"{whose} limit is {limits.gpus} GPUs at once."
            if has_budget(limits):
                for hours, words in self.spent(scope, name).left(limits):
                    if hours <= 0:
                        return f"{whose} {words} are used up."
        return None

    def not_any_more(self, row: Any) -> str | None:
        """Why this request, or lease, would not be allowed if it were asked for now."""
        target = self._policy.targets.get(row.target)
        if target is None:
            return GONE
        allowance = self._mirror.allowance(row)
        if row.target not in allowance.targets:
            return f"You may not use {row.target} any more: ask an administrator."
        if allowance.gpus is not None and row.gpus > allowance.gpus:
            return f"Your limit is {allowance.gpus} GPUs now."
        if row.gpus > target.capacity:
            return f"{row.target} has only {target.capacity} GPUs now."
        return None

    def check(self, who: Who, request: Request) -> SharedTarget:
        """Raises Refused when waiting would not help."""
        groups = tuple(sorted(who.groups))
        allowance = self._mirror.allowed(who.name, groups)
        if request.target not in allowance.targets:
            there = f"You may use: {', '.join(allowance.targets)}." if allowance.targets else "You may use none."
            known = f" {choices(request.target, allowance.targets)}" if request.target not in self._policy.targets else ""
            raise Refused(f"The broker has no target {request.target!r} for you. {known or there}".replace("  ", " "))
        target = self._policy.targets[request.target]
        self._check_size(request, target, allowance)
        longest = _longest(target, allowance)
        if request.walltime_s is not None and request.walltime_s <= 0:
            raise Refused("A wall time must be longer than nothing.")
        if longest is not None and request.walltime_s is not None and request.walltime_s > longest:
            raise Refused(f"You may have {request.target} for {clock(int(longest))} at most; ask for less wall time.")
        charged = self._policy.charged(who.name, who.groups, request.target)
        for scope, name, limits, whose in self._limits(who.name, charged, allowance):
            if limits.gpus is not None and request.gpus > limits.gpus:
                raise Refused(f"{whose} limit is {limits.gpus} GPUs at once, and {request.gpus} were asked for.")
            if has_budget(limits):
                for hours, words in self.spent(scope, name).left(limits):
                    if hours <= 0:
                        raise Refused(f"{whose} {words} are used up; `%remote usage` shows by what.")
        waiting = sum(1 for row in self._mirror.of(who.name) if row.state == State.WAITING.value)
        if waiting >= allowance.waiting:
            raise Refused(f"You have {waiting} requests in queues, which is the most you may; cancel one or wait.")
        return target

    def walltime(self, who: Who, request: Request) -> float | None:
        """What was asked for, else as long as policy allows."""
        if request.walltime_s is not None:
            return float(request.walltime_s)
        target = self._policy.targets[request.target]
        return _longest(target, self._mirror.allowed(who.name, tuple(sorted(who.groups))))

    def budgets(self, row: Any) -> Iterable[tuple[float, str]]:
        """For each budget of this lease: hours until it is used up as things go, and a sentence that says so."""
        for scope, name, limits, whose in self._limits(row.user, row.charged, self._mirror.allowance(row)):
            if has_budget(limits):
                for hours, words in self.spent(scope, name).left(limits):
                    yield hours, f"{whose} {words} are used up."

    def spent(self, scope: str, name: str) -> Spent:
        found = self._spent.get((scope, name))
        if found is None:
            held = self._mirror.held_by(name) if scope == "user" else self._mirror.charged_to(name)
            found = self._spent[scope, name] = spent(self._connection, self._policy, scope, name, held, self._now)
        return found

    def _holds(self, scope: str, name: str) -> int:
        return self._mirror.gpus(scope, name) + self._more.get((scope, name), 0)

    def _check_size(self, request: Request, target: SharedTarget, allowance: Allowance) -> None:
        has = len(target.device_indexes)
        if request.gpus < 0 or (request.gpus == 0 and has and target.slots is None):
            raise Refused(f"{request.target} lends GPUs: ask for at least one.")
        if request.gpus > has:
            raise Refused(f"{request.target} has {has} GPUs to lend, and {request.gpus} were asked for.")

    def _limits(self, user: str, charged: Iterable[str], allowance: Allowance) -> Iterable[tuple[str, str, Any, str]]:
        yield "user", user, allowance, "Your"
        for name in charged:
            group = self._policy.groups.get(name)
            if group is not None and group.together != _NONE:
                yield "group", name, group.together, f"Group {name}'s"

    def _charged(self, row: Any) -> tuple[str, ...]:
        return self._policy.charged(row.user, row.groups, row.target)


_NONE = Limits()


def _longest(target: SharedTarget, allowance: Allowance) -> float | None:
    own = float(seconds(target.walltime)) if target.walltime else None
    limits = [each for each in (own, allowance.max_walltime_s) if each is not None]
    return min(limits) if limits else None


def wish_of(id: str, who: Who, request: Request, walltime_s: float | None, allowance: Allowance) -> Wish:
    """Before it is in the queue."""
    return Wish(id, who.name, request.gpus, walltime_s, 0, 0.0, allowance.weight, allowance.priority)
