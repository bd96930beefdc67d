"""Quotas and budgets: what is refused, what waits, and what ends."""

from __future__ import annotations

import pytest
from farcell_broker.errors import Forbidden, Refused
from farcell_broker.lease import State, Who
from leasing import DAY, HOUR, POOL, Office

QUOTAS = """
[targets.pool]
gpus = 8
price_per_gpu_hour = 2.0
[targets.other]
backend = "ssh"
host = "other"
gpus = 2
[groups.ml]
targets = ["pool", "other"]
gpus = 4
max_walltime = "8h"
gpu_hours_per_day = 10.0
waiting = 3
[groups.ml.together]
gpus = 6
money_per_month = 100.0
[idle]
warning = "30m"
"""
ML = frozenset({"ml"})


@pytest.fixture
def ml(small_office: Office) -> Office:
    small_office.rules(QUOTAS)
    small_office.groups = dict.fromkeys(("ada", "ben", "cyd"), ML)
    return small_office


def refusal(office: Office, user: str, **asked: object) -> str:
    with pytest.raises(Refused) as caught:
        office.ask(user, **asked)  # type: ignore[arg-type]
    assert user not in {lease.user for lease in office.leases.all({State.WAITING})}
    return str(caught.value)


def test_what_will_never_be_is_refused_with_the_reason(ml: Office) -> None:
    """Nothing is queued."""
    assert refusal(ml, "eve") == "The broker has no target 'pool' for you. You may use none."
    assert refusal(ml, "ada", target="pol") == (
        "The broker has no target 'pol' for you. Known: pool, other. Did you mean 'pool'?"
    )
    assert refusal(ml, "ada", gpus=5) == "Your limit is 4 GPUs at once, and 5 were asked for."
    assert refusal(ml, "ada", gpus=3, target="other") == "other has 2 GPUs to lend, and 3 were asked for."
    assert refusal(ml, "ada", gpus=0) == "pool lends GPUs: ask for at least one."
    assert refusal(ml, "ada", hours=9) == "You may have pool for 08:00:00 at most; ask for less wall time."


def test_who_has_as_much_as_is_allowed_waits_and_others_do_not(ml: Office) -> None:
    """Over all targets together; the place in the queue does not keep anybody behind."""
    ml.start("ada", 3)
    ml.ask("ada", 2)
    ml.ask("ben", 1)
    assert ml.granted() == ["ben"]
    [waiting] = [lease for lease in ml.leases.of("ada") if lease.is_waiting]
    assert waiting.reason == "Your limit is 4 GPUs at once."
    ml.ask("ada", 1, target="other")
    assert ml.granted() == ["ada"]


def test_a_user_s_later_request_does_not_put_off_the_earlier_one(ml: Office) -> None:
    """Of the same target: three of four are held, two are asked for, then one, which would fit."""
    ml.start("ada", 3)
    ml.ask("ada", 2)
    ml.ask("ada", 1)
    assert ml.granted() == []


def test_a_group_has_limits_for_all_its_members_together(ml: Office) -> None:
    """Whoever of them comes next waits."""
    ml.start("ada", 4)
    ml.start("ben", 2)
    ml.ask("cyd", 1)
    assert ml.granted() == []
    assert ml.leases.of("cyd")[0].reason == "Group ml's limit is 6 GPUs at once."


def test_a_used_up_day_is_refused_until_midnight(ml: Office) -> None:
    """And a request that waits already waits until then."""
    lease = ml.start("ada", 4)
    waiting = ml.ask("ada", 1)
    ml.passes(2.5)
    ml.end(lease)
    assert refusal_of_waiting(ml, waiting.id) == "Your 10 GPU-hours a day are used up."
    with pytest.raises(Refused, match="Your 10 GPU-hours a day are used up; `%remote usage` shows"):
        ml.ask("ada", 1)
    ml.passes(10)
    assert ml.granted() == ["ada"]


def refusal_of_waiting(office: Office, id: str) -> str | None:
    assert office.leases.grant() == []
    return office.leases.get(id).reason


def test_a_lease_ends_when_its_budget_does_after_a_warning(ml: Office) -> None:
    """Four GPUs use ten GPU-hours in two and a half hours."""
    ml.start("ada", 4)
    ml.passes(1.99)
    assert ml.due() == []
    ml.passes(0.02)
    assert ml.due() == [("ada", "warn", "Your 10 GPU-hours a day are used up.")]
    [due] = ml.leases.due()
    ml.leases.warn(due.lease.id, due.lease.fence, due.reason)
    assert ml.due() == []
    ml.passes(0.5)
    assert ml.due() == [("ada", "end", "Your 10 GPU-hours a day are used up.")]


def test_a_group_s_money_is_counted_over_its_members_and_the_month(ml: Office) -> None:
    """A hundred a month at two for a GPU-hour; a new month begins anew."""
    for _ in range(3):
        for user in ("ada", "ben"):
            lease = ml.start(user, 3)
            ml.passes(3)
            ml.end(lease)
        ml.clock.now += DAY - 6 * HOUR
    assert "Group ml's budget of 100 a month are used up" in refusal(ml, "cyd")
    ml.clock.now += 16 * DAY
    assert ml.ask("cyd").state is State.WAITING


def test_so_many_requests_may_wait_and_no_more(ml: Office) -> None:
    """A flood of requests does not fill the queue."""
    for _ in range(3):
        ml.ask("ada", 4)
    with pytest.raises(Refused, match="You have 3 requests in queues, which is the most you may; cancel one or wait"):
        ml.ask("ada", 4)


def test_usage_is_split_where_the_day_ends(ml: Office) -> None:
    """From 22 to 2 o'clock: half of it is today's, and all of it the month's."""
    ml.passes(10)
    lease = ml.start("ada", 2)
    ml.passes(4)
    standing = ml.leases.standing(ml.who("ada"))
    assert (standing.day.gpu_hours, standing.month.gpu_hours, standing.month.money) == pytest.approx((4, 8, 16))
    ml.end(lease)
    after = ml.leases.standing(ml.who("ada"))
    assert (after.day, after.month) == (standing.day, standing.month)
    assert (after.day.max_gpu_hours, after.held, after.max_gpus) == (10.0, 0, 4)


def test_an_administrator_puts_a_request_before_all_others_whatever_its_quota(ml: Office) -> None:
    """It takes what is free next; nobody else may do that."""
    ml.also('[admins]\nusers = ["root"]\n[users.ada]\ngpus = 4')
    ml.start("ben", 5)
    ml.start("ada", 3)
    ml.ask("cyd", 1)
    urgent = ml.ask("ada", 3)
    with pytest.raises(Forbidden):
        ml.leases.put_first(ml.who("ada"), urgent.id)
    assert ml.leases.put_first(Who("root"), urgent.id).place == 1
    assert ml.granted() == []
    ml.end(ml.leases.of("ben")[0])
    assert ml.granted() == ["ada", "cyd"]


def test_slots_and_accounts_are_limits_where_there_are_no_gpus(small_office: Office) -> None:
    """Each lease has an account of its own, which is given anew only when it is free."""
    small_office.rules(
        '[targets.cpu]\nslots = 3\nisolation = "pool"\naccounts = ["a1", "a2"]\nprice_per_hour = 3.0\n'
        '[everyone]\ntargets = ["cpu"]'
    )
    first, second, third = (small_office.ask(user, 0, target="cpu") for user in ("ada", "ben", "cyd"))
    leases = small_office.leases.grant()
    assert [(lease.id, lease.account, lease.devices) for lease in leases] == [(first.id, "a1", ()), (second.id, "a2", ())]
    small_office.passes(2)
    small_office.end(leases[0])
    [after] = small_office.leases.grant()
    assert (after.id, after.account) == (third.id, "a1")
    assert small_office.leases.standing(Who("ada")).day.money == 6.0


def test_a_target_s_own_wall_time_holds_too(small_office: Office) -> None:
    """The shorter of the two."""
    small_office.rules(POOL.replace("gpus = 8", 'gpus = 8\nwalltime = "1h"'))
    assert small_office.ask("ada").walltime_s == HOUR
