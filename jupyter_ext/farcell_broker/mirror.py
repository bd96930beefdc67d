"""What is open, in memory, and brought up to date by what has changed since: a lease costs as much among many as among few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, select

from .fairshare import Held, Wish
from .kept import Machine, machine_in
from .lease import HOLDING, State
from .policy import Allowance, Policy
from .schema import STATE, LeaseRow, StateRow, UserRow

_LEASES = LeaseRow.__table__
_OPEN = select(_LEASES).where(_LEASES.c.state != State.ENDED.value)
_CHANGED = select(_LEASES).where(_LEASES.c.number > bindparam("seen")).order_by(_LEASES.c.number)
_USERS = select(UserRow.name, UserRow.used, UserRow.as_of)
_CHANGED_USERS = _USERS.where(UserRow.number > bindparam("seen"))
_STATE = select(StateRow.value).where(StateRow.name == STATE)
_HOLDING = frozenset(state.value for state in HOLDING)


class Mirror:
    """Of one process. Not to be used by two threads at once."""

    def __init__(self) -> None:
        self.seen = -1
        self.has_news = False
        """That another process has changed something; whoever asks sets it back."""
        self.open: dict[str, Any] = {}
        """Rows of leases by id."""
        self.used: dict[str, tuple[float, float]] = {}
        """By user: usage of leases that have ended, and when it was so."""
        self._waiting: dict[str, dict[str, Any]] = {}
        self._of: dict[str, dict[str, Any]] = {}
        self._crowds: dict[str, _Crowd] = {}
        self._held: dict[str, Any] = {}
        self._lent: dict[str, Lent] = {}
        self._lent_on: dict[Machine | None, dict[str, Lent]] = {}
        """By the machine that a lease keeps as its own, and by the target's name then."""
        self._gpus: dict[tuple[str, str], int] = {}
        self._policy: Policy | None = None
        self._allowances: dict[tuple[str, tuple[str, ...]], Allowance] = {}
        self._wishes: dict[str, Wish] = {}

    def sync(self, connection: Connection, policy: Policy) -> None:
        """Reads what others, and this process, have committed. Under the lock, or in one consistent view."""
        if policy is not self._policy:
            self._policy = policy
            self._allowances.clear()
            self._wishes.clear()
            self._crowds.clear()
            for row in self.open.values():
                self._enter(row)
        last = connection.execute(_STATE).scalar_one()
        if last == self.seen:
            return
        self.has_news = True
        if last < self.seen or self.seen < 0:  # less: another database, restored from a copy
            self.forget()
            for row in connection.execute(_OPEN):
                self._put(row)
            self._count(connection.execute(_USERS))
            self.seen = last
        else:
            self.take(connection, last)

    def take(self, connection: Connection, last: int, with_users: bool = True) -> dict[str, Any]:
        """What has changed since, `last` being the number given last: the rows by id, also of leases that have ended."""
        changed = {row.id: row for row in connection.execute(_CHANGED, {"seen": self.seen})}
        for row in changed.values():
            self._put(row)
        if with_users:
            self._count(connection.execute(_CHANGED_USERS, {"seen": self.seen}))
        self.seen = last
        return changed

    def waiting(self, target: str) -> dict[str, Any]:
        """Rows by id."""
        return self._waiting.get(target, {})

    @property
    def targets_with_queues(self) -> list[str]:
        return [name for name, rows in self._waiting.items() if rows]

    @property
    def held(self) -> list[Any]:
        """Rows of the leases whose GPUs are nobody else's."""
        return list(self._held.values())

    def lent(self, target: str) -> Lent:
        return self._lent.get(target, _NOTHING)

    def lent_by_others(self, machine: Machine, target: str) -> list[Lent]:
        """What is held of the same machine under other names: policy has renamed the target since."""
        return [lent for name, lent in self._lent_on.get(machine, {}).items() if name != target]

    def gpus(self, scope: str, name: str) -> int:
        """That a user or the members of a group hold."""
        return self._gpus.get((scope, name), 0)

    def held_by(self, user: str) -> list[Any]:
        return [row for row in self.of(user) if row.id in self._held]

    def charged_to(self, group: str) -> list[Any]:
        return [row for row in self._held.values() if group in row.charged]

    def of(self, user: str) -> list[Any]:
        return list(self._of.get(user, {}).values())

    def weights(self, target: str, user: str, weight: float) -> float:
        """The sum of all who hold or want something there, and of this user."""
        crowd = self._crowds.get(target)
        return weight if crowd is None else crowd.weight + (0.0 if user in crowd.counts else weight)

    def allowance(self, row: Any) -> Allowance:
        """Of the user of this lease, with the groups that the user was last seen with."""
        return self.allowed(row.user, tuple(row.groups))

    def allowed(self, user: str, groups: tuple[str, ...]) -> Allowance:
        found = self._allowances.get((user, groups))
        if found is None:
            assert self._policy is not None
            found = self._allowances[user, groups] = self._policy.allowance(user, groups)
        return found

    def wishes(self, target: str) -> list[Wish]:
        return [self._wish(row) for row in self.waiting(target).values()]

    def wishes_of(self, user: str) -> list[Wish]:
        return [self._wish(row) for row in self.of(user) if row.state == State.WAITING.value]

    def _wish(self, row: Any) -> Wish:
        wish = self._wishes.get(row.id)
        if wish is None:
            allowance = self.allowance(row)
            wish = self._wishes[row.id] = Wish(
                row.id,
                row.user,
                row.gpus,
                row.walltime_s,
                row.asked_no,
                row.overdue_at,
                allowance.weight,
                allowance.priority,
                row.is_first,
            )
        return wish

    def _put(self, row: Any) -> None:
        before = self.open.pop(row.id, None)
        if before is not None:
            self._waiting.get(before.target, {}).pop(row.id, None)
            if self._held.pop(row.id, None) is not None:
                self._lend(before, -1)
            self._wishes.pop(row.id, None)
            self._of[row.user].pop(row.id)
            if not self._of[row.user]:
                del self._of[row.user]
            self._crowds[row.target].leave(row.user)
        if row.state == State.ENDED.value:
            return
        self.open[row.id] = row
        self._of.setdefault(row.user, {})[row.id] = row
        self._enter(row)
        if row.state == State.WAITING.value:
            self._waiting.setdefault(row.target, {})[row.id] = row
        elif row.state in _HOLDING:
            self._held[row.id] = row
            self._lend(row, 1)

    def _lend(self, row: Any, sign: int) -> None:
        self._lent.setdefault(row.target, Lent()).change(row, sign)
        self._lent_on.setdefault(machine_in(row.definition), {}).setdefault(row.target, Lent()).change(row, sign)
        for key in (("user", row.user), *(("group", name) for name in row.charged)):
            self._gpus[key] = self._gpus.get(key, 0) + sign * row.gpus
            if not self._gpus[key]:
                del self._gpus[key]

    def _enter(self, row: Any) -> None:
        self._crowds.setdefault(row.target, _Crowd()).enter(row.user, self.allowance(row).weight)

    def _count(self, users: Iterable[Any]) -> None:
        for name, used, as_of in users:
            self.used[name] = (used, as_of)

    def forget(self) -> None:
        """All of it: the next look reads everything."""
        self.seen = -1
        for each in (
            self.open,
            self.used,
            self._waiting,
            self._of,
            self._crowds,
            self._held,
            self._lent,
            self._lent_on,
            self._gpus,
            self._wishes,
        ):
            each.clear()


class Lent:
    """What is held of one target."""

    def __init__(self) -> None:
        self.leases: dict[str, Held] = {}
        self.devices: set[int] = set()
        self.accounts: set[str] = set()
        self.units = 0

    def change(self, row: Any, sign: int) -> None:
        """A lease more, or, with -1, one less."""
        lease = held(row)
        self.units += sign * lease.units
        if sign > 0:
            self.leases[row.id] = lease
            self.devices.update(row.devices)
        else:
            del self.leases[row.id]
            self.devices.difference_update(row.devices)
        if row.account is not None:
            (self.accounts.add if sign > 0 else self.accounts.discard)(row.account)


_NOTHING = Lent()


class _Crowd:
    """Who holds or wants something of one target, and the sum of their weights."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._weights: dict[str, float] = {}
        self.weight = 0.0

    def enter(self, user: str, weight: float) -> None:
        self.counts[user] = self.counts.get(user, 0) + 1
        self.weight += weight - self._weights.get(user, 0.0)
        self._weights[user] = weight

    def leave(self, user: str) -> None:
        self.counts[user] -= 1
        if not self.counts[user]:
            del self.counts[user]
            self.weight -= self._weights.pop(user)


def held(row: Any) -> Held:
    return Held(row.user, row.gpus, row.granted_at, row.ends_at)
