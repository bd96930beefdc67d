"""Which of the waiting requests of a target are granted now: fair share's order, what is free, limits, reservations, backfilling.

The first request in order that does not fit keeps what is free for itself: others go before it only if they end, by their wall
time, before it could have begun, or need nothing that it will (backfilling as EASY does it; Lifka 1995). So a request for all
GPUs is not starved by small ones. When it is overdue and nobody can say when it could begin, since a lease has no wall time,
nothing goes before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from farcell.backends.resources import clock

from .fairshare import Held, Wish


@dataclass(frozen=True)
class Reserved:
    """A reservation, in epoch seconds."""

    gpus: int
    start: float
    end: float
    admits: Callable[[str], bool]
    """By the user's name."""


@dataclass
class Room:
    """One target at one moment. `free` GPUs may be lent now; `seats` is how many leases more there may be."""

    capacity: int
    free: int
    seats: float
    held: list[Held]
    reservations: Sequence[Reserved] = ()

    def take(self, wish: Wish, now: float) -> None:
        self.free -= wish.gpus
        self.seats -= 1
        self.held.append(Held(wish.user, wish.gpus, now, None if wish.walltime_s is None else now + wish.walltime_s))

    def fits(self, wish: Wish) -> bool:
        return wish.gpus <= self.free and self.seats >= 1

    def reserved(self, wish: Wish, now: float) -> str | None:
        """Why a reservation for others is in the way, if one is."""
        end = math.inf if wish.walltime_s is None else now + wish.walltime_s
        others = [each for each in self.reservations if now < each.end and each.start < end and not each.admits(wish.user)]
        for moment in {max(now, each.start) for each in others}:
            active = [each for each in others if each.start <= moment < each.end]
            lasting = [each for each in self.held if each.ends_at is None or each.ends_at > moment]
            inside = sum(each.gpus for each in lasting if any(one.admits(each.user) for one in active))
            outside = sum(each.gpus for each in lasting) - inside
            if outside + max(inside, sum(each.gpus for each in active)) + wish.gpus > self.capacity:
                until = max(each.end for each in active)
                begins = f"in {clock(round(moment - now))}" if moment > now else "now"
                return f"GPUs are reserved for others: {begins}, for {clock(round(until - moment))}."
        return None


@dataclass(frozen=True)
class Plan:
    """`granted` in order; `whys` says of others what keeps them, where it is not the queue."""

    granted: list[Wish] = field(default_factory=list)
    whys: dict[str, str] = field(default_factory=dict)


def plan(
    room: Room, order: Iterable[Wish], limit: Callable[[Wish], str | None], took: Callable[[Wish], None], now: float
) -> Plan:
    """Takes from `order` until nothing is left to give. `limit` says why a user may have no more now; `took` hears each grant."""
    made = Plan()
    stuck: set[str] = set()
    head: _Head | None = None
    for wish in order:
        if room.seats < 1 or (room.free < 1 and room.capacity > 0 and wish.gpus > 0 and not _any_slot(room)):
            break
        if wish.user in stuck:
            continue
        why = limit(wish)
        if why is not None:
            # In the user's own order: what she asked for first is not put off by what she asked for later.
            stuck.add(wish.user)
            made.whys[wish.id] = why
            continue
        if not room.fits(wish):
            head = head or _Head(wish, room, now)
            continue
        why = room.reserved(wish, now)
        if why is not None:
            made.whys[wish.id] = why
            continue
        if head is not None and not head.lets(wish, now):
            continue
        room.take(wish, now)
        took(wish)
        made.granted.append(wish)
    return made


def _any_slot(room: Room) -> bool:
    """Whether leases without GPUs are to be had where GPUs are: then the order is gone through to its end."""
    return room.seats != math.inf


class _Head:
    """The first that does not fit: when it could begin, and what is left beside it then."""

    def __init__(self, wish: Wish, room: Room, now: float) -> None:
        self._is_overdue = wish.overdue_at <= now or wish.is_first
        free, seats, self._begins = room.free, room.seats, math.inf
        for held in sorted(room.held, key=lambda each: math.inf if each.ends_at is None else each.ends_at):
            if held.ends_at is None:
                break
            free += held.gpus
            seats += 1
            if free >= wish.gpus and seats >= 1:
                self._begins = max(held.ends_at, now)
                break
        is_known = self._begins < math.inf
        self._spare = free - wish.gpus if is_known else 0
        self._spare_seats = seats - 1 if is_known else 0.0

    def lets(self, wish: Wish, now: float) -> bool:
        """Whether this one may go before it; remembers what that takes of the rest."""
        if self._begins == math.inf:
            return not self._is_overdue
        if wish.walltime_s is not None and now + wish.walltime_s <= self._begins:
            return True
        if wish.gpus <= self._spare and self._spare_seats >= 1:
            self._spare -= wish.gpus
            self._spare_seats -= 1
            return True
        return False
