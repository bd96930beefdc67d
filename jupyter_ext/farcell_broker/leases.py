"""Leases: asking for GPUs, granting them, and taking them back. Each call is one short transaction, right under concurrency.

Synchronous and from any thread, of any number of processes; one call at a time in each. A call that comes with a fence which is
not the lease's own raises Stale and changes nothing: whoever makes it speaks for a grant that is over.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, bindparam, select

from . import audit
from .change import LEASES, Change
from .database import Clock, Database
from .dues import ASKED, ENDING, Cause, Due, causes, due, stands
from .errors import Forbidden, NoSuchLease, Refused, Stale
from .fairshare import OVERDUE, Wish, charge, decayed, fair_wait, in_order
from .kept import kept
from .lease import HOLDING, OPEN, USABLE, Lease, Request, Standing, State, Use, Who
from .mirror import Mirror, held
from .plan import Reserved, Room, plan
from .policy import Policy, Reservation, SharedTarget
from .quotas import Quotas, wish_of
from .spent import add as add_spent

ACTIVE_STEP_S = 10.0
"""So often at most it is written down that a lease is used."""
GIVEN_BACK = "It was given back."
KEY_CHARS = 200
HOUR = 3600.0
_UNWARNED = {"state": State.RUNNING.value, "warned_at": None, "warned_for": None, "reason": None}

log = logging.getLogger("farcell.broker")
_BY_ID = select(LEASES).where(LEASES.c.id == bindparam("id"))
_BY_KEY = select(LEASES).where(LEASES.c.user == bindparam("user"), LEASES.c.key == bindparam("key"))
_ENDED = select(LEASES).where(LEASES.c.state == State.ENDED.value)


class Leases:
    """All of them, in one database."""

    def __init__(self, database: Database | str, policy: Callable[[], Policy], now: Clock = time.time) -> None:
        self.database = Database(database) if isinstance(database, str) else database
        self._policy, self._now = policy, now
        # Taken before a transaction begins and given back after it: in the other order two threads could wait for each other.
        self._lock = threading.Lock()
        self._mirror = Mirror()
        self._places: dict[str, tuple[object, dict[str, int]]] = {}
        self._whys: dict[str, str] = {}

    # -- what users do

    def ask(self, who: Who, request: Request) -> Lease:
        """Puts the request in its target's queue; the same key again gives what became of it. Raises Refused."""
        if not 0 < len(request.key) <= KEY_CHARS:
            raise Refused(f"A request needs a key of 1 to {KEY_CHARS} characters.")
        with self._changing() as change:
            row = change.connection.execute(_BY_KEY, {"user": who.name, "key": request.key}).one_or_none()
            if row is None:
                self._regroup(change, who)
                change.tell(self._put_in_queue(change, who, request))
            elif (row.target, row.gpus) != (request.target, request.gpus):
                raise Refused(f"The key {request.key!r} was used for {row.gpus} GPUs of {row.target}: choose another.")
            else:
                change.tell(row.id)
        return change.lease

    def cancel(self, who: Who, id: str, reason: str | None = None) -> Lease:
        """Ends it, waiting or not: its own user, or an administrator. Raises Forbidden, NoSuchLease."""
        with self._changing() as change:
            row = self._row(change.connection, id)
            is_own = row.user == who.name
            if not is_own and not change.policy.is_admin(who):
                raise Forbidden(f"Lease {id} is not yours.")
            text = reason or (GIVEN_BACK if is_own else f"{who.name}, an administrator, has ended it.")
            self._let_go(change, row, text, who.name)
            change.tell(id)
        return change.lease

    def get(self, id: str) -> Lease:
        """Raises NoSuchLease. Who may see it is the caller's to say."""
        with self._looking() as (connection, policy):
            return self._lease(self._row(connection, id), policy)

    def of(self, user: str, ended: int = 0) -> list[Lease]:
        """The user's open leases in the order of asking, after so many of the last that have ended."""
        with self._looking() as (connection, policy):
            rows = sorted(self._mirror.of(user), key=lambda row: row.asked_no)
            if ended:
                query = _ENDED.where(LEASES.c.user == user).order_by(LEASES.c.ended_at.desc()).limit(ended)
                rows = [*reversed(connection.execute(query).all()), *rows]
            return [self._lease(row, policy) for row in rows]

    def all(self, states: Collection[State] = OPEN) -> list[Lease]:
        """Everybody's, in the order of asking. With ENDED: all that there have ever been."""
        wanted = {state.value for state in states}
        with self._looking() as (connection, policy):
            rows = [row for row in self._mirror.open.values() if row.state in wanted]
            if State.ENDED in states:
                rows += connection.execute(_ENDED).all()
            return [self._lease(row, policy) for row in sorted(rows, key=lambda row: row.asked_no)]

    def standing(self, who: Who) -> Standing:
        """Where this user stands."""
        with self._looking() as (connection, policy):
            now = self._now()
            allowance = self._mirror.allowed(who.name, tuple(sorted(who.groups)))
            quotas = Quotas(connection, policy, self._mirror, now)
            spent = quotas.spent("user", who.name)
            used = self._used(policy, now, self._mirror.used, is_promised=False)
            total = sum(used.values())
            weights = {row.user: self._mirror.allowance(row).weight for row in self._mirror.open.values()}
            weights.setdefault(who.name, allowance.weight)
            rows = sorted(self._mirror.of(who.name), key=lambda row: row.asked_no)
            return Standing(
                user=who.name,
                targets=allowance.targets,
                held=self._mirror.gpus("user", who.name),
                max_gpus=allowance.gpus,
                day=Use(spent.day_gpu_hours, spent.day_money, allowance.gpu_hours_per_day, allowance.money_per_day),
                month=Use(spent.month_gpu_hours, spent.month_money, allowance.gpu_hours_per_month, allowance.money_per_month),
                share=allowance.weight / sum(weights.values()),
                used_share=used.get(who.name, 0.0) / total if total else 0.0,
                leases=tuple(self._lease(row, policy) for row in rows),
            )

    # -- what the broker does

    def grant(self, busy: Mapping[str, Collection[int] | None] | None = None) -> list[Lease]:
        """One pass over all queues; the leases that have GPUs now.

        `busy`: by target, devices on which something runs that no lease holds; None: that cannot be told, and nothing is lent.
        """
        with self._changing() as change:
            if self._mirror.targets_with_queues:
                quotas = Quotas(change.connection, change.policy, self._mirror, change.now)
                self._whys.clear()
                for name, target in change.policy.targets.items():
                    foreign = (busy or {}).get(name, ())
                    if foreign is not None and self._mirror.waiting(name):
                        self._grant(change, target, foreign, quotas)
        return change.leases

    def running(self, id: str, fence: int, host: Mapping[str, Any]) -> Lease:
        """Its host is up, and its wall time begins."""
        with self._changing() as change:
            row = self._fenced(change.connection, id, fence)
            if row.state == State.GRANTED.value:
                ends_at = None if row.walltime_s is None else change.now + row.walltime_s
                change.update(row, state=State.RUNNING.value, host=dict(host), running_at=change.now, ends_at=ends_at)
            elif row.state in USABLE:
                change.update(row, host=dict(host))
            else:
                raise Stale(f"Lease {id} is {row.state}: {row.reason}")
            change.tell(id)
        return change.lease

    def active(self, id: str, fence: int) -> Lease:
        """Somebody uses it. A warning that it is idle is withdrawn."""
        with self._looking() as (connection, policy):
            row = self._fenced(connection, id, fence)
            last = row.last_active_at
            if row.state == State.RUNNING.value and last is not None and self._now() - last < ACTIVE_STEP_S:
                return self._lease(row, policy)
        with self._changing() as change:
            row = self._fenced(change.connection, id, fence)
            if row.state not in USABLE:
                raise Stale(f"Lease {id} is {row.state}: {row.reason}")
            is_idle_no_more = row.warned_for == "idle" and row.state == State.ENDING.value
            change.update(row, last_active_at=change.now, **(_UNWARNED if is_idle_no_more else {}))
            change.tell(id)
        return change.lease

    def warn(self, id: str, fence: int, reason: str, who: str = audit.BROKER) -> Lease:
        """Its user is to be told that it ends, and why; policy says when. Withdrawn when the reason is gone."""
        with self._changing() as change:
            row = self._fenced(change.connection, id, fence)
            if row.state == State.RUNNING.value:
                found = due(self._causes(change.connection, change.policy, row), row, change.now)
                kind = ASKED if found is None or found[1].reason != reason else found[1].kind
                change.update(row, state=State.ENDING.value, warned_at=change.now, warned_for=kind, reason=reason)
                change.audit(who, "lease.warned", row, reason=reason)
            change.tell(id)
        return change.lease

    def ending(self, id: str, fence: int, reason: str) -> Lease:
        """It is told to save; nothing withdraws that."""
        with self._changing() as change:
            row = self._fenced(change.connection, id, fence)
            if row.state in USABLE:
                warned_at = change.now if row.warned_at is None else row.warned_at
                change.update(row, state=State.ENDING.value, warned_at=warned_at, warned_for=ENDING, reason=reason)
            change.tell(id)
        return change.lease

    def release(self, id: str, fence: int, reason: str) -> Lease:
        """Its host is told to end; a waiting one has ended. Its GPUs stay its own until `freed`. Again does nothing."""
        with self._changing() as change:
            self._let_go(change, self._fenced(change.connection, id, fence), reason, audit.BROKER)
            change.tell(id)
        return change.lease

    def freed(self, id: str, fence: int) -> Lease:
        """The processes on its GPUs are gone: they are anybody's, and what was used is counted. Again does nothing."""
        with self._changing() as change:
            row = self._fenced(change.connection, id, fence)
            if row.state in HOLDING:
                reason = row.reason or "Its host has ended."
                host = None if row.host is None else {key: value for key, value in row.host.items() if key != "definition"}
                change.update(row, state=State.ENDED.value, ended_at=change.now, reason=reason, host=host, definition=None)
                self._count(change, row)
                hours = row.gpus * (change.now - row.granted_at) / HOUR
                change.audit(audit.BROKER, "lease.ended", row, user=row.user, reason=reason, gpu_hours=hours)
            change.tell(id)
        return change.lease

    def due(self, now: float | None = None) -> list[Due]:
        """Which leases are to be warned, or to end, and why. Warnings whose reason is gone are withdrawn."""
        at = self._now() if now is None else now
        found: list[Due] = []
        withdrawn: list[tuple[str, int]] = []
        with self._looking() as (connection, policy):
            quotas = Quotas(connection, policy, self._mirror, at)
            for row in self._mirror.open.values():
                if row.state == State.RELEASING.value:
                    continue
                why = list(causes(row, policy, quotas, at))
                told = due(why, row, at)
                if told is not None:
                    found.append(Due(self._lease(row), told[0], told[1].reason))
                elif row.state == State.ENDING.value and not stands(why, row, at):
                    withdrawn.append((row.id, row.fence))
        for id, fence in withdrawn:
            self._withdraw(id, fence)
        return found

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed something since this was asked last."""
        with self._looking():
            changed, self._mirror.has_news = self._mirror.has_news, False
            return changed

    def seen(self, who: Who) -> None:
        """The groups that the hub says the user is in now: from here on they decide what open leases may."""
        groups = sorted(who.groups)
        with self._looking():
            if all(row.groups == groups for row in self._mirror.of(who.name)):
                return
        with self._changing() as change:
            self._regroup(change, who)

    # -- what administrators do

    def put_first(self, who: Who, id: str) -> Lease:
        """Before all others of its target, whatever the quotas say; what runs there is not ended for it. Raises Forbidden."""
        with self._changing() as change:
            self._admin(change.policy, who)
            row = self._row(change.connection, id)
            if row.state != State.WAITING.value:
                raise Refused(f"Lease {id} does not wait: it is {row.state}.")
            change.update(row, is_first=True)
            change.audit(who.name, "lease.put_first", row, user=row.user)
            change.tell(id)
        return change.lease

    def warn_as(self, who: Who, id: str, reason: str) -> Lease:
        """It ends after the time that policy gives for warnings, and its user is told why. Raises Forbidden."""
        with self._looking() as (connection, policy):
            self._admin(policy, who)
            row = self._row(connection, id)
        return self.warn(id, row.fence, f"{reason} ({who.name}, an administrator)", who.name)

    # -- inside

    @contextmanager
    def _changing(self) -> Iterator[Change]:
        policy, now, is_ours = self._policy(), self._now(), False
        with self._lock:
            try:
                with self.database.writing(now) as writing:
                    self._mirror.sync(writing.connection, policy)
                    change = Change(writing, policy, now)
                    yield change
                    changed: Mapping[str, Any] = {}
                    if writing.changed:
                        is_ours = True
                        changed = self._mirror.take(writing.connection, writing.last, change.has_counted)
                    rows = [changed.get(id) or self._row(writing.connection, id) for id in change.asked_for]
            except BaseException:
                if is_ours:  # in memory, and perhaps not in the database
                    self._mirror.forget()
                raise
            change.leases = [self._lease(row, policy) for row in rows]

    @contextmanager
    def _looking(self) -> Iterator[tuple[Connection, Policy]]:
        policy = self._policy()
        with self._lock, self.database.reading() as connection:
            self._mirror.sync(connection, policy)
            yield connection, policy

    def _row(self, connection: Connection, id: str) -> Any:
        row = self._mirror.open.get(id) or connection.execute(_BY_ID, {"id": id}).one_or_none()
        if row is None:
            raise NoSuchLease(f"There is no lease {id!r}.")
        return row

    def _fenced(self, connection: Connection, id: str, fence: int) -> Any:
        row = self._row(connection, id)
        if row.fence != fence:
            raise Stale(f"Lease {id} was granted as number {row.fence}, and {fence} is over. Let go of it.")
        return row

    def _admin(self, policy: Policy, who: Who) -> None:
        if not policy.is_admin(who):
            raise Forbidden("That is for administrators.")

    def _regroup(self, change: Change, who: Who) -> None:
        groups = sorted(who.groups)
        for row in self._mirror.of(who.name):
            if row.groups != groups:
                change.update(row, groups=groups)
                change.audit(audit.BROKER, "lease.groups", row, user=who.name, groups=groups)

    def _put_in_queue(self, change: Change, who: Who, request: Request) -> str:
        policy, now = change.policy, change.now
        quotas = Quotas(change.connection, policy, self._mirror, now)
        target = quotas.check(who, request)
        walltime_s = quotas.walltime(who, request)
        id = uuid.uuid4().hex
        allowance = self._mirror.allowed(who.name, tuple(sorted(who.groups)))
        wish = wish_of(id, who, request, walltime_s, allowance)
        change.insert(
            id=id,
            key=request.key,
            user=who.name,
            groups=sorted(who.groups),
            charged=list(policy.charged(who.name, who.groups, request.target)),
            target=request.target,
            gpus=request.gpus,
            asked_at=now,
            overdue_at=now + OVERDUE * self._fair_wait(target, wish, allowance.gpus, now),
            walltime_s=walltime_s,
            notebook=request.notebook,
            options=dict(request.options),
        )
        detail = {"gpus": request.gpus, "notebook": request.notebook}
        audit.add(change.connection, now, who.name, "lease.asked", id, request.target, **detail)
        return id

    def _fair_wait(self, target: SharedTarget, wish: Wish, most: int | None, now: float) -> float:
        lent, waiting = self._mirror.lent(target.name), self._mirror.waiting(target.name)
        own = [held(row) for row in self._mirror.held_by(wish.user) if row.id in lent.leases]
        before = [each for each in self._mirror.wishes_of(wish.user) if each.id in waiting]
        weights = self._mirror.weights(target.name, wish.user, wish.weight)
        is_full = lent.units + wish.units > target.capacity
        there = list(lent.leases.values()) if is_full else []
        return fair_wait(wish, [*own, *before], there, weights, target.capacity, most, now)

    def _grant(self, change: Change, target: SharedTarget, foreign: Collection[int], quotas: Quotas) -> None:
        policy, now = change.policy, change.now
        lent, indexes = self._mirror.lent(target.name), target.device_indexes
        renamed = self._mirror.lent_by_others(target.machine, target.name)
        taken = lent.devices.union(foreign, *(other.devices for other in renamed))
        taken_accounts = lent.accounts.union(*(other.accounts for other in renamed))
        free = sorted(set(indexes) - taken)
        accounts = [each for each in target.accounts if each not in taken_accounts]
        seats = math.inf if target.slots is None else float(target.slots - len(lent.leases))
        if target.isolation == "pool":
            seats = min(seats, len(accounts))
        room = Room(len(indexes), len(free), seats, list(lent.leases.values()), self._reserved(policy, target))
        if room.seats < 1 or (room.capacity and not free and target.slots is None):
            return
        rows = self._mirror.waiting(target.name)
        wishes = self._mirror.wishes(target.name)
        order = in_order(wishes, self._used(policy, now, {wish.user for wish in wishes}), now)
        made = plan(room, order, lambda wish: quotas.not_now(rows[wish.id]), lambda wish: quotas.granted(rows[wish.id]), now)
        self._whys.update(made.whys)
        for wish in made.granted:
            row = rows[wish.id]
            devices, free = free[: wish.gpus], free[wish.gpus :]
            account = accounts.pop(0) if target.isolation == "pool" else None
            fence = change.grant(
                row,
                devices=devices,
                account=account,
                ends_at=None if row.walltime_s is None else now + row.walltime_s,
                charged=list(policy.charged(row.user, row.groups, row.target)),
                price_per_hour=target.price_per_hour_of(row.gpus),
                definition=kept(target),
            )
            how = {"devices": devices, "fence": fence, "isolation": target.isolation, "account": account}
            change.audit(audit.BROKER, "lease.granted", row, user=row.user, **how)
            change.tell(row.id)

    def _reserved(self, policy: Policy, target: SharedTarget) -> list[Reserved]:
        of_target = [each for each in policy.reservations if each.target == target.name]
        if not of_target:
            return []
        groups = {row.user: tuple(row.groups) for row in self._mirror.open.values() if row.target == target.name}

        def admits(reservation: Reservation) -> Callable[[str], bool]:
            return lambda user: reservation.admits(user, groups.get(user, ()))

        return [Reserved(each.gpus, *policy.span(each), admits(each)) for each in of_target]

    def _used(self, policy: Policy, now: float, users: Collection[str], is_promised: bool = True) -> dict[str, float]:
        """Usage with what is held until now and, if it `is_promised`, until its wall time."""
        half_life, known = policy.fair_share.half_life_s, self._mirror.used
        used = {user: decayed(*known[user], now, half_life) for user in users if user in known}
        for row in self._mirror.held if not is_promised else [row for user in users for row in self._mirror.held_by(user)]:
            lease = held(row)
            count = charge(lease.units, lease.granted_at, now, now, half_life) + (lease.left(now) if is_promised else 0.0)
            used[row.user] = used.get(row.user, 0.0) + count
        return used

    def _let_go(self, change: Change, row: Any, reason: str, who: str) -> None:
        if row.state == State.WAITING.value:
            change.update(row, state=State.ENDED.value, ended_at=change.now, reason=reason)
            change.audit(who, "lease.withdrawn", row, reason=reason)
        elif row.state in HOLDING and row.state != State.RELEASING.value:
            change.update(row, state=State.RELEASING.value, released_at=change.now, reason=reason)
            change.audit(who, "lease.released", row, reason=reason)

    def _count(self, change: Change, row: Any) -> None:
        now, half_life = change.now, change.policy.fair_share.half_life_s
        used, as_of = self._mirror.used.get(row.user, (0.0, now))
        total = decayed(used, as_of, now, half_life) + charge(held(row).units, row.granted_at, now, now, half_life)
        change.count(row.user, total)
        for scope, name in (("user", row.user), *(("group", group) for group in row.charged)):
            add_spent(change.connection, change.policy, scope, name, row.granted_at, now, row.gpus, row.price_per_hour)

    def _causes(self, connection: Connection, policy: Policy, row: Any) -> list[Cause]:
        now = self._now()
        return list(causes(row, policy, Quotas(connection, policy, self._mirror, now), now))

    def _withdraw(self, id: str, fence: int) -> None:
        with self._changing() as change:
            row = self._mirror.open.get(id)
            if row is None or row.fence != fence or row.state != State.ENDING.value:
                return
            if not stands(self._causes(change.connection, change.policy, row), row, change.now):
                change.update(row, **_UNWARNED)
                change.audit(audit.BROKER, "lease.warning_withdrawn", row)

    def _lease(self, row: Any, policy: Policy | None = None) -> Lease:
        """As a value; with `policy` a waiting one has its place."""
        is_waiting = row.state == State.WAITING.value
        place = self._place(row, policy) if is_waiting and policy is not None else None
        return Lease(
            id=row.id,
            key=row.key,
            user=row.user,
            groups=tuple(row.groups),
            target=row.target,
            gpus=row.gpus,
            devices=tuple(row.devices),
            fence=row.fence,
            state=State(row.state),
            asked_at=row.asked_at,
            granted_at=row.granted_at,
            ends_at=row.ends_at,
            reason=self._whys.get(row.id, row.reason) if is_waiting else row.reason,
            host=row.host,
            place=place,
            notebook=row.notebook,
            warned_at=row.warned_at,
            account=row.account,
            last_active_at=row.last_active_at,
            options=row.options,
            walltime_s=row.walltime_s,
            ended_at=row.ended_at,
            definition=row.definition,
        )

    def _place(self, row: Any, policy: Policy) -> int | None:
        now = self._now()
        # Between two changes the order is worked out once a second: usage of those who hold something grows.
        stamp = (self._mirror.seen, id(policy), int(now))
        known = self._places.get(row.target)
        if known is None or known[0] != stamp:
            wishes = self._mirror.wishes(row.target)
            order = in_order(wishes, self._used(policy, now, {wish.user for wish in wishes}), now)
            known = self._places[row.target] = (stamp, {wish.id: place for place, wish in enumerate(order, 1)})
        return known[1].get(row.id)
