"""A month of demand for one pool of GPUs, and what is fair in it: seeded, so that every run is the same.

Some users have steady demand: they always have requests in the queue, each in a style of their own (many small ones, a few large
ones), and ask anew when one is done. Most come now and then, on working days, with a few requests each. The wall time that they
ask for is more than what they use.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from farcell_broker.fairshare import Held, Wish
from farcell_broker.lease import Lease
from farcell_broker.plan import Room, plan
from leasing import DAY, HOUR, Office

MONTH = 30 * DAY
LONGEST_H = 8.0


@dataclass
class Person:
    name: str
    weight: float
    gpus: tuple[int, ...]
    hours: tuple[float, float]
    outstanding: int = 0
    """Requests that a user with steady demand always has open; 0: comes now and then."""

    @property
    def is_steady(self) -> bool:
        return self.outstanding > 0


@dataclass(eq=False)
class Job:
    """A request, what it really takes, and what became of it."""

    person: Person
    gpus: int
    asked_at: float
    took_s: float
    walltime_s: float
    began_at: float | None = None
    lease: Lease | None = None

    @property
    def wait_s(self) -> float:
        assert self.began_at is not None
        return self.began_at - self.asked_at


def people(seed: int, steady: int, casual: int, capacity: int) -> list[Person]:
    choice = random.Random(seed)
    found = []
    for number in range(steady):
        styles: list[tuple[tuple[int, ...], tuple[float, float]]] = [
            ((1,), (0.5, 2)), ((1, 2), (1, 4)), ((2, 4), (2, 6)), ((1, 8), (0.5, 3)), ((4,), (1, 8))
        ]  # fmt: skip
        gpus, hours = styles[number % len(styles)]
        gpus = tuple(min(each, capacity) for each in gpus)
        found.append(Person(f"steady{number:03}", choice.choice([1.0, 1.0, 1.0, 2.0]), gpus, hours, choice.randint(2, 6)))
    for number in range(casual):
        found.append(Person(f"casual{number:03}", 1.0, (1, 1, 1, 2, 4), (0.25, 4)))
    return found


class Demand:
    """Who asks for what and when."""

    def __init__(self, seed: int, crowd: list[Person], start: float, length_s: float, load: float, capacity: int) -> None:
        """`load`: the part of all GPU-hours that the casual users ask for."""
        self._choice = random.Random(seed)
        self.crowd, self.start, self.end = crowd, start, start + length_s
        casual = [person for person in crowd if not person.is_steady]
        self.arrivals: list[Job] = []
        asked, wanted = 0.0, load * capacity * length_s
        while asked < wanted:
            person = self._choice.choice(casual)
            day = self._choice.randrange(math.ceil(length_s / DAY))
            if day % 7 >= 5:
                continue
            at = start + day * DAY + self._choice.gauss(14, 3) * HOUR
            if start <= at < self.end - 2 * LONGEST_H * HOUR:
                for _ in range(self._choice.choice([1, 1, 2, 5])):
                    job = self.job(person, at)
                    asked += job.gpus * job.took_s
                    self.arrivals.append(job)
                    at += self._choice.uniform(0, 600)
        self.arrivals.sort(key=lambda job: job.asked_at)

    def first(self) -> list[Job]:
        """What steady users ask for at the start."""
        jobs = [self.job(person, self.start) for person in self.crowd for _ in range(person.outstanding)]
        self._choice.shuffle(jobs)
        return jobs

    def job(self, person: Person, at: float) -> Job:
        took = self._choice.uniform(*person.hours) * HOUR
        walltime = min(took * self._choice.uniform(1.0, 2.0), LONGEST_H * HOUR)
        return Job(person, self._choice.choice(person.gpus), at, min(took, walltime), walltime)

    def after(self, job: Job, now: float) -> Job | None:
        """What a steady user asks for when that is done."""
        return self.job(job.person, now) if job.person.is_steady and now < self.end else None


def live(demand: Demand, ask: Callable[[Job], None], grant: Callable[[float], Iterable[Job]], end: Callable[[Job], None],
         at: Callable[[float], None]) -> list[Job]:  # fmt: skip
    """The month: every job that was asked for, in the order of asking. Nothing is granted after its end."""
    numbers = itertools.count()
    events: list[tuple[float, int, str, Job]] = []
    jobs: list[Job] = []
    for job in [*demand.first(), *demand.arrivals]:
        heapq.heappush(events, (job.asked_at, next(numbers), "ask", job))
    while events and events[0][0] < demand.end:
        now = events[0][0]
        at(now)
        while events and events[0][0] == now:
            _, _, what, job = heapq.heappop(events)
            if what == "end":
                end(job)
                follower = demand.after(job, now)
                if follower is None:
                    continue
                job = follower
            ask(job)
            jobs.append(job)
        for job in grant(now):
            job.began_at = now
            heapq.heappush(events, (now + job.took_s, next(numbers), "end", job))
    return jobs


def with_broker(demand: Demand, office: Office) -> list[Job]:
    """Through the broker's own records, in its database. Fails as soon as there is one GPU too many."""
    open_jobs: dict[str, Job] = {}
    taken: set[int] = set()

    def ask(job: Job) -> None:
        job.lease = office.ask(job.person.name, job.gpus, job.walltime_s / HOUR)
        open_jobs[job.lease.id] = job

    def grant(now: float) -> list[Job]:
        begun = []
        for lease in office.leases.grant():
            assert len(lease.devices) == lease.gpus and taken.isdisjoint(lease.devices), lease
            taken.update(lease.devices)
            job = open_jobs[lease.id]
            job.lease = office.leases.running(lease.id, lease.fence, {})
            begun.append(job)
        return begun

    def end(job: Job) -> None:
        lease = job.lease
        assert lease is not None
        office.end(lease)
        taken.difference_update(lease.devices)
        del open_jobs[lease.id]

    def at(now: float) -> None:
        office.clock.now = now

    return live(demand, ask, grant, end, at)


@dataclass
class _FirstCome:
    """The same pool, where who asks first is served first, with the same backfilling."""

    capacity: int
    waiting: dict[str, Job] = field(default_factory=dict)
    running: dict[str, tuple[Job, Held]] = field(default_factory=dict)
    numbers: Iterable[int] = field(default_factory=itertools.count)

    def ask(self, job: Job) -> None:
        self.waiting[str(next(iter(self.numbers)))] = job

    def grant(self, now: float) -> list[Job]:
        held = [held for _, held in self.running.values()]
        room = Room(self.capacity, self.capacity - sum(each.gpus for each in held), math.inf, held)
        order = (
            Wish(id, job.person.name, job.gpus, job.walltime_s, int(id), math.inf) for id, job in tuple(self.waiting.items())
        )
        begun = []
        for wish in plan(room, order, lambda wish: None, lambda wish: None, now).granted:
            job = self.waiting.pop(wish.id)
            self.running[wish.id] = job, Held(wish.user, wish.gpus, now, now + job.walltime_s)
            begun.append(job)
        return begun

    def end(self, job: Job) -> None:
        [id] = [id for id, (each, _) in self.running.items() if each is job]
        del self.running[id]


def first_come(demand: Demand, capacity: int) -> list[Job]:
    pool = _FirstCome(capacity)
    return live(demand, pool.ask, pool.grant, pool.end, lambda now: None)


def gpu_hours(jobs: Iterable[Job], until: float) -> dict[str, float]:
    """By user."""
    used: dict[str, float] = {}
    for job in jobs:
        if job.began_at is not None:
            hours = job.gpus * (min(job.began_at + job.took_s, until) - job.began_at) / HOUR
            used[job.person.name] = used.get(job.person.name, 0.0) + hours
    return used


def fair_waits(jobs: list[Job], capacity: int, until: float) -> dict[Job, float]:
    """Seconds: in what time each job's user would have been done with what was in hand when it was asked for (what the user's
    jobs that ran would still take, what was asked for before, and this) with exactly the user's share, which is at each moment
    the weight's part of the weights of all who held or wanted something then. Or the time until enough GPUs were free if nothing
    else had been granted, where that is longer: no lease is taken away for another.
    """
    last = max((_end(job, until) for job in jobs), default=until)
    changes = sorted([(job.asked_at, 1, job) for job in jobs] + [(_end(job, last), -1, job) for job in jobs], key=lambda c: c[:2])
    times, sums = [changes[0][0]], [0.0]
    open_jobs: dict[str, int] = {}
    weights = 0.0
    for at, change, job in changes:
        if at > times[-1]:
            times.append(at)
            sums.append(sums[-1] + (capacity / weights * (at - times[-2]) if weights > 1e-9 else 0.0))
        name = job.person.name
        before, open_jobs[name] = open_jobs.get(name, 0), open_jobs.get(name, 0) + change
        weights += job.person.weight * ((open_jobs[name] > 0) - (before > 0))
    by_user: dict[str, list[Job]] = {}
    ordered = sorted(jobs, key=lambda job: job.asked_at)
    fair: dict[Job, float] = {}
    running: list[Job] = []
    begun = deque(sorted((job for job in jobs if job.began_at is not None), key=lambda job: job.began_at or 0.0))
    for job in ordered:
        now = job.asked_at
        while begun and (begun[0].began_at or 0.0) < now:
            running.append(begun.popleft())
        running = [each for each in running if _end(each, last) > now]
        own = [each for each in by_user.get(job.person.name, []) if _end(each, last) > now]
        by_user[job.person.name] = [*own, job]
        in_hand = job.gpus * job.took_s + sum(each.gpus * min(each.took_s, _end(each, last) - now) for each in own)
        place = bisect.bisect_right(times, now) - 1
        target = _at(times, sums, now, place) + in_hand / job.person.weight
        there = bisect.bisect_left(sums, target)
        done = _when(times, sums, target, there) if there < len(sums) else math.inf
        fair[job] = max(done - now, _until_free(job, running, capacity, now))
    return fair


def _end(job: Job, otherwise: float) -> float:
    return otherwise if job.began_at is None else job.began_at + job.took_s


def _at(times: list[float], sums: list[float], now: float, place: int) -> float:
    if place + 1 >= len(times):
        return sums[-1]
    part = (now - times[place]) / (times[place + 1] - times[place])
    return sums[place] + part * (sums[place + 1] - sums[place])


def _when(times: list[float], sums: list[float], target: float, there: int) -> float:
    if there == 0:
        return times[0]
    part = (target - sums[there - 1]) / (sums[there] - sums[there - 1])
    return times[there - 1] + part * (times[there] - times[there - 1])


def _until_free(job: Job, running: list[Job], capacity: int, now: float) -> float:
    free = capacity - sum(each.gpus for each in running)
    for each in sorted(running, key=lambda each: (each.began_at or 0.0) + each.took_s):
        if free >= job.gpus:
            break
        free += each.gpus
        now = max(now, (each.began_at or 0.0) + each.took_s)
    return now - job.asked_at
