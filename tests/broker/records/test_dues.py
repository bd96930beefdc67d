"""When a lease ends without its user: wall time, idleness, policy. And that there is a warning before."""

from __future__ import annotations

import pytest
from farcell_broker.errors import Forbidden
from farcell_broker.lease import Lease, State, Who
from leasing import POOL, Office

IDLE = POOL + '[idle]\nafter = "30m"\nwarning = "10m"\nunattached = "15m"\n[admins]\nusers = ["root"]\n'
MINUTE = 1 / 60


@pytest.fixture
def room(small_office: Office) -> Office:
    small_office.rules(IDLE)
    return small_office


def warn(office: Office) -> Lease:
    [due] = office.leases.due()
    assert due.what == "warn"
    return office.leases.warn(due.lease.id, due.lease.fence, due.reason)


def test_a_lease_is_warned_before_its_wall_time_and_ends_at_it(room: Office) -> None:
    """Used or not."""
    lease = room.start("ada", hours=1)
    room.passes(49 * MINUTE)
    room.leases.active(lease.id, lease.fence)
    assert room.due() == []
    room.passes(1 * MINUTE)
    assert room.due() == [("ada", "warn", "Its wall time of 01:00:00 is over.")]
    assert warn(room).state is State.ENDING
    room.passes(9 * MINUTE)
    assert room.leases.active(lease.id, lease.fence).state is State.ENDING and room.due() == []
    room.passes(1 * MINUTE)
    assert room.due() == [("ada", "end", "Its wall time of 01:00:00 is over.")]


def test_an_idle_lease_is_warned_and_ends_and_a_used_one_does_not(room: Office) -> None:
    """Who comes back in time keeps it, as if there had been no warning."""
    lease = room.start("ada", hours=8)
    room.passes(30 * MINUTE)
    assert room.due() == [("ada", "warn", "Nobody has used it for 30 min.")]
    assert warn(room).reason == "Nobody has used it for 30 min."
    room.passes(9 * MINUTE)
    assert room.due() == []
    back = room.leases.active(lease.id, lease.fence)
    assert (back.state, back.warned_at, back.reason) == (State.RUNNING, None, None)
    room.passes(30 * MINUTE)
    warn(room)
    room.passes(10 * MINUTE)
    assert room.due() == [("ada", "end", "Nobody has used it for 30 min.")]


def test_a_lease_that_nobody_attaches_to_ends(room: Office) -> None:
    """There is nobody to warn."""
    room.ask("ada")
    [lease] = room.leases.grant()
    room.leases.running(lease.id, lease.fence, {})
    room.passes(14 * MINUTE)
    assert room.due() == []
    room.passes(1 * MINUTE)
    assert room.due() == [("ada", "end", "Nobody has used it in the 15 min since it began.")]


def test_a_user_who_is_taken_out_of_the_group_is_warned_and_then_the_lease_ends(room: Office) -> None:
    """If the administrator thinks better of it in time, the warning is withdrawn."""
    room.rules(IDLE.replace("[everyone]", "[groups.ml]"))
    room.groups["ada"] = frozenset({"ml"})
    lease = room.start("ada")
    waiting = room.ask("ada", 8)
    room.tell(Who("ada"))
    gone = "You may not use pool any more: ask an administrator."
    assert room.due() == [("ada", "warn", gone), ("ada", "end", gone)]
    assert room.leases.release(waiting.id, waiting.fence, gone).state is State.ENDED
    warn(room)
    room.tell(Who("ada", frozenset({"ml"})))
    assert room.due() == [] and room.leases.get(lease.id).state is State.RUNNING
    room.tell(Who("ada"))
    warn(room)
    room.passes(10 * MINUTE)
    assert room.due() == [("ada", "end", gone)]


def test_a_target_that_is_taken_out_of_the_policy_ends_its_leases(room: Office) -> None:
    """After a warning."""
    room.start("ada")
    room.rules(IDLE.replace("pool", "other"))
    assert room.due() == [("ada", "warn", "The target is not in the broker's policy any more.")]


def test_an_administrator_s_warning_is_not_withdrawn_by_use(room: Office) -> None:
    """It ends when the time of warnings is over."""
    lease = room.start("ada")
    with pytest.raises(Forbidden):
        room.leases.warn_as(Who("ben"), lease.id, "maintenance")
    room.leases.warn_as(Who("root"), lease.id, "maintenance")
    assert room.leases.active(lease.id, lease.fence).state is State.ENDING and room.due() == []
    room.passes(10 * MINUTE)
    assert room.due() == [("ada", "end", "maintenance (root, an administrator)")]


def test_a_lease_that_is_told_to_save_stays_so(room: Office) -> None:
    """Use does not bring it back."""
    lease = room.start("ada")
    assert room.leases.ending(lease.id, lease.fence, "it is to save").state is State.ENDING
    room.leases.active(lease.id, lease.fence)
    room.leases.due()
    assert room.leases.get(lease.id).state is State.ENDING
