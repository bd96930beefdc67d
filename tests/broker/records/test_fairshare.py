"""The order in which requests are served, backfilling and reservations: pure, and in the broker's own records."""

from __future__ import annotations

import math

import pytest
from farcell_broker.fairshare import Held, Wish, charge, decayed, fair_wait, in_order, jain
from farcell_broker.lease import State
from farcell_broker.plan import Reserved, Room, plan
from hypothesis import given, settings
from hypothesis import strategies as st
from leasing import DAY, HOUR, NOON, POOL, Office


def wish(user: str, number: int, gpus: int = 1, hours: float | None = 1.0, **more: object) -> Wish:
    walltime_s = None if hours is None else hours * HOUR
    return Wish(f"{user}{number}", user, gpus, walltime_s, number, more.pop("overdue_at", math.inf), **more)  # type: ignore[arg-type]


def order(*wishes: Wish, used: dict[str, float] | None = None, now: float = 0.0) -> list[str]:
    return [each.id for each in in_order(wishes, used or {}, now)]


def test_who_has_used_least_for_the_weight_is_next() -> None:
    """Twice the weight is worth twice the usage."""
    wishes = wish("ada", 1), wish("ben", 2), wish("cyd", 3, weight=4.0)
    assert order(*wishes, used={"ada": 3.0, "ben": 2.0, "cyd": 4.0}) == ["cyd3", "ben2", "ada1"]


def test_ten_requests_of_one_do_not_go_before_the_first_of_another() -> None:
    """Each one counts as soon as it is put in the order."""
    wishes = [*(wish("ada", number) for number in range(1, 4)), wish("ben", 4), wish("ben", 5)]
    assert order(*wishes) == ["ada1", "ben4", "ada2", "ben5", "ada3"]


def test_priority_goes_before_usage_and_what_is_overdue_before_priority() -> None:
    """In the order in which it became so; what an administrator has put first is before that."""
    wishes = (
        wish("ada", 1),
        wish("ben", 2, priority=1),
        wish("cyd", 3, overdue_at=50.0),
        wish("dan", 4, overdue_at=40.0),
        wish("eva", 5, is_first=True),
        wish("fay", 6, overdue_at=101.0),
    )
    assert order(*wishes, now=100.0) == ["eva5", "dan4", "cyd3", "ben2", "ada1", "fay6"]


def test_what_was_used_counts_half_after_the_half_life() -> None:
    """A lease that has ended counts as the sum of its moments."""
    assert decayed(8.0, NOON, NOON + 7 * DAY, 7 * DAY) == pytest.approx(4.0)
    parts = sum(charge(2, NOON + n * HOUR, NOON + (n + 1) * HOUR, NOON + 3 * DAY, DAY) for n in range(10))
    assert parts == pytest.approx(charge(2, NOON, NOON + 10 * HOUR, NOON + 3 * DAY, DAY))
    assert charge(1, NOON, NOON + 1, NOON + 1 + DAY, DAY) == pytest.approx(0.5, rel=1e-4)


def test_a_fair_wait_is_the_time_in_which_the_share_does_what_is_in_hand() -> None:
    """A quarter of eight GPUs, and six GPU-hours: three hours. Nobody can be served before enough is free."""
    one = wish("ada", 3, gpus=2, hours=2)
    own = [wish("ada", 1, gpus=1, hours=1), Held("ada", 1, 0.0, HOUR)]
    assert fair_wait(one, own, [], 4.0, 8, None, 0.0) == 3 * HOUR
    assert fair_wait(one, own, [], 4.0, 8, 1, 0.0) == 6 * HOUR
    busy = [Held("ben", 7, 0.0, 5 * HOUR), Held("cyd", 1, 0.0, HOUR)]
    assert fair_wait(one, own, busy, 4.0, 8, None, 0.0) == 5 * HOUR


def test_jain_s_index_is_one_when_all_have_the_same() -> None:
    """And one of so many when one has all."""
    assert (jain([3, 3, 3]), jain([5, 0, 0, 0]), jain([])) == (1.0, 0.25, 1.0)


def granted(room: Room, *wishes: Wish, now: float = 0.0) -> list[str]:
    return [each.id for each in plan(room, wishes, lambda each: None, lambda each: None, now).granted]


def test_small_requests_go_before_a_large_one_only_if_that_does_not_put_it_off() -> None:
    """Two of eight are free; the large one can begin in two hours, and leaves one GPU over then."""
    held = [Held("x", 4, 0.0, 1 * HOUR), Held("y", 2, 0.0, 2 * HOUR)]
    room = Room(8, 2, math.inf, held)
    large, short, spare, long = wish("a", 1, 7, 1), wish("b", 2, 1, 2), wish("c", 3, 1, 8), wish("d", 4, 1, 8)
    assert granted(room, large, long, spare, short) == ["d4", "b2"]


def test_nothing_goes_before_an_overdue_request_of_which_nobody_knows_when_it_can_begin() -> None:
    """Leases without a wall time may last for ever; as long as it is not overdue, GPUs do not stand still for it."""
    held = [Held("x", 6, 0.0, None)]
    late, large, small = wish("a", 1, 8, 1, overdue_at=-1.0), wish("a", 1, 8, 1), wish("b", 2, 1, 1)
    assert granted(Room(8, 2, math.inf, list(held)), late, small) == []
    assert granted(Room(8, 2, math.inf, list(held)), large, small) == ["b2"]


def test_reserved_gpus_are_lent_to_nobody_else_who_would_hold_them_then() -> None:
    """From an hour on six of eight are for ada."""
    reserved = [Reserved(6, 1 * HOUR, 3 * HOUR, lambda user: user == "ada")]

    def room(now: float = 0.0) -> Room:
        return Room(8, 8, math.inf, [], reserved)

    assert granted(room(), wish("ben", 1, 8, 1)) == ["ben1"]
    assert granted(room(), wish("ben", 1, 3, 2), wish("cyd", 2, 2, 2)) == ["cyd2"]
    assert granted(room(), wish("ben", 1, 3, None)) == []
    assert granted(room(), wish("ada", 1, 8, 8)) == ["ada1"]
    assert granted(room(), wish("ben", 1, 3, 2), now=2 * HOUR) == []
    assert granted(room(), wish("ben", 1, 8, 2), now=3 * HOUR) == ["ben1"]


def test_what_the_reservation_s_own_users_hold_is_taken_from_it() -> None:
    """Not from what is left for the others."""
    reserved = [Reserved(6, 0.0, 9 * HOUR, lambda user: user == "ada")]
    held = [Held("ada", 5, 0.0, 5 * HOUR)]
    assert granted(Room(8, 3, math.inf, held, reserved), wish("ben", 1, 2, 1), wish("ben", 2, 1, 1)) == ["ben1"]


requests = st.builds(
    lambda number, user, gpus, hours, overdue: wish(user, number, gpus, hours, overdue_at=overdue),
    st.integers(1, 10**6),
    st.sampled_from("abcdef"),
    st.integers(1, 8),
    st.one_of(st.none(), st.floats(0.1, 8)),
    st.sampled_from([-1.0, math.inf]),
)
leases = st.builds(
    Held, st.sampled_from("abcdef"), st.integers(1, 3), st.just(-HOUR), st.one_of(st.none(), st.floats(0, 8 * HOUR))
)


@settings(max_examples=300)
@given(st.lists(requests, max_size=12, unique_by=lambda each: each.id), st.lists(leases, max_size=4), st.floats(1, 6))
def test_a_plan_never_lends_more_than_there_is_and_does_not_put_off_its_first(
    wishes: list[Wish], held: list[Held], seats: float
) -> None:
    """Whatever is asked for: with what it lends, the first that did not fit can begin no later than without."""
    free = 16 - sum(each.gpus for each in held)
    order = list(in_order(wishes, {}, 0.0))
    room = Room(16, free, math.floor(seats), list(held))
    made = plan(room, order, lambda each: None, lambda each: None, 0.0).granted
    assert sum(each.gpus for each in made) <= free and len(made) <= seats
    refused = next((each for each in order if each not in made), None)
    if refused is None or any(each.ends_at is None for each in held) or len(made) >= seats:
        return
    before = made[: order.index(refused)]
    first = [Held(each.user, each.gpus, 0.0, (each.walltime_s or math.inf)) for each in before]
    rest = [Held(each.user, each.gpus, 0.0, (each.walltime_s or math.inf)) for each in made if each not in before]
    assert _begin(refused.gpus, [*held, *first, *rest]) <= _begin(refused.gpus, [*held, *first])


def _begin(gpus: int, held: list[Held]) -> float:
    free, at = 16 - sum(each.gpus for each in held), 0.0
    for each in sorted(held, key=lambda each: each.ends_at or 0.0):
        if free >= gpus:
            break
        free, at = free + each.gpus, max(at, each.ends_at or 0.0)
    return at if free >= gpus else math.inf


def test_a_lone_user_may_use_everything(small_office: Office) -> None:
    """There is nobody to share with, whatever has been used before."""
    lease = small_office.start("ada", 8, hours=8)
    small_office.passes(8)
    small_office.end(lease)
    small_office.start("ada", 8)
    assert small_office.leases.standing(small_office.who("ada")).share == 1.0


def test_who_has_used_much_waits_behind_who_has_used_little(small_office: Office) -> None:
    """However often and early it is asked; in the standing it can be read."""
    hers = small_office.start("ada", 8)
    small_office.passes(4)
    for _ in range(3):
        small_office.ask("ada", 8, hours=1)
    small_office.ask("ben", 8, hours=1)
    small_office.end(hers)
    assert small_office.queue() == ["ben", "ada", "ada", "ada"]
    standing = small_office.leases.standing(small_office.who("ben"))
    assert (standing.share, standing.used_share) == (0.5, 0.0)
    assert small_office.granted() == ["ben"]


def test_a_request_for_all_gpus_is_served_though_small_ones_come_all_the_time(small_office: Office) -> None:
    """By a user who has used a lot: she waits for her share, and no longer than three times the time it takes."""
    large = small_office.start("ada", 8, hours=8)
    small_office.passes(8)
    small_office.end(large)
    running = [small_office.start(f"user{number}", 1, hours=1) for number in range(8)]
    wanted = small_office.ask("ada", 8, hours=1)
    asked_at, number = small_office.clock.now, 8
    while small_office.leases.get(wanted.id).state is State.WAITING:
        small_office.passes(0.125)
        if running:
            small_office.end(running.pop(0))
        small_office.ask(f"user{number}", 1, hours=1)
        number += 1
        for lease in small_office.leases.grant():
            if lease.id != wanted.id:
                running.append(small_office.run(lease))
        assert small_office.clock.now - asked_at < 3 * 10 * HOUR
    fair = 8 * HOUR / (8 / 9)
    assert small_office.clock.now - asked_at <= 3 * fair


def test_reservations_come_from_the_policy_in_its_time_zone(small_office: Office) -> None:
    """From two o'clock in Berlin, an hour after noon in UTC, four are for the course."""
    small_office.rules(
        'timezone = "Europe/Berlin"\n' + POOL + '[groups.course]\ntargets = ["pool"]\n[[reservations]]\ntarget = "pool"\n'
        'gpus = 4\ngroups = ["course"]\nstart = 2027-01-15T14:00:00\nend = 2027-01-15T16:00:00\n'
    )
    small_office.groups["eva"] = frozenset({"course"})
    small_office.ask("ben", 5, hours=2)
    small_office.ask("cyd", 5, hours=1)
    assert small_office.granted() == ["cyd"]
    [waiting] = small_office.leases.of("ben")
    assert waiting.reason == "GPUs are reserved for others: in 01:00:00, for 02:00:00."
    small_office.passes(1.5)
    small_office.end(small_office.leases.of("cyd")[0])
    small_office.ask("dan", 4, hours=4)
    small_office.ask("eva", 4, hours=4)
    assert small_office.granted() == ["dan", "eva"]
