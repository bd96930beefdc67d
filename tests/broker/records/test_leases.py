"""A lease from the asking to the end, on both kinds of database."""

from __future__ import annotations

from pathlib import Path

import pytest
from farcell_broker.errors import Forbidden, NoSuchLease, Refused, Stale
from farcell_broker.lease import Request, State, Who
from leasing import NOON, POOL, Office, in_processes


def test_a_lease_goes_from_the_queue_to_a_host_and_its_gpus_are_free_when_their_processes_are_gone(office: Office) -> None:
    """Its GPUs are nobody else's from the grant until `freed`, not only until `release`."""
    first = office.ask("ada", gpus=6, hours=1, notebook="a.ipynb")
    assert (first.state, first.place, first.fence, first.devices) == (State.WAITING, 1, 0, ())
    [granted] = office.leases.grant()
    assert (granted.id, granted.state, granted.devices, granted.place) == (first.id, State.GRANTED, (0, 1, 2, 3, 4, 5), None)
    office.passes(0.5)
    running = office.leases.running(granted.id, granted.fence, {"pid": 7, "folder": "/run/x"})
    assert (running.state, running.host, running.ends_at) == (State.RUNNING, {"pid": 7, "folder": "/run/x"}, NOON + 1.5 * 3600)
    other = office.ask("ben", gpus=4)
    assert office.granted() == []
    assert office.leases.release(granted.id, granted.fence, "done").state is State.RELEASING
    assert office.granted() == []
    ended = office.leases.freed(granted.id, granted.fence)
    assert (ended.state, ended.reason, ended.ended_at) == (State.ENDED, "done", NOON + 1800)
    [next_one] = office.leases.grant()
    assert (next_one.id, next_one.devices) == (other.id, (0, 1, 2, 3)) and next_one.fence > granted.fence


def test_what_is_asked_twice_is_asked_once(office: Office) -> None:
    """With the same key; another user's same key is another request, and for something else it is refused."""
    lease = office.ask("ada", key="k")
    assert office.ask("ada", key="k").id == lease.id
    assert office.ask("ben", key="k").id != lease.id
    with pytest.raises(Refused, match="The key 'k' was used for 1 GPUs of pool: choose another"):
        office.ask("ada", gpus=2, key="k")
    office.leases.cancel(office.who("ada"), lease.id)
    assert office.ask("ada", key="k").state is State.ENDED


def test_an_old_fence_changes_nothing(office: Office) -> None:
    """Whoever holds it speaks for a grant that is over."""
    lease = office.start("ada")
    for late in (
        lambda: office.leases.running(lease.id, lease.fence - 1, {}),
        lambda: office.leases.active(lease.id, lease.fence - 1),
        lambda: office.leases.release(lease.id, lease.fence - 1, "late"),
        lambda: office.leases.freed(lease.id, 0),
    ):
        with pytest.raises(Stale, match=f"was granted as number {lease.fence}, and .* is over"):
            late()
    assert office.leases.get(lease.id).state is State.RUNNING


def test_to_release_and_free_twice_is_to_do_it_once(office: Office) -> None:
    """And what is used is counted once."""
    lease = office.start("ada", gpus=2)
    office.passes(1)
    ended = office.end(lease)
    office.passes(1)
    assert office.end(lease, "again") == ended
    assert office.leases.standing(office.who("ada")).day.gpu_hours == pytest.approx(2)


def test_a_lease_that_is_over_cannot_come_back(office: Office) -> None:
    """A host that came up late is told so."""
    lease = office.ask("ada")
    [lease] = office.leases.grant()
    office.leases.release(lease.id, lease.fence, "given back")
    with pytest.raises(Stale, match="is releasing: given back"):
        office.leases.running(lease.id, lease.fence, {})
    office.leases.freed(lease.id, lease.fence)
    with pytest.raises(Stale):
        office.leases.active(lease.id, lease.fence)


def test_only_its_user_and_administrators_cancel_a_lease(office: Office) -> None:
    """A waiting one is over at once, one with GPUs when they are free."""
    office.also('[admins]\nusers = ["root"]')
    waiting, held = office.ask("ada", gpus=8), office.ask("ada", gpus=8)
    office.leases.grant()
    with pytest.raises(Forbidden):
        office.leases.cancel(Who("ben"), waiting.id)
    assert office.leases.cancel(Who("root"), waiting.id).reason == "root, an administrator, has ended it."
    assert office.leases.get(waiting.id).state is State.RELEASING
    assert office.leases.cancel(office.who("ada"), held.id).state is State.ENDED
    with pytest.raises(NoSuchLease):
        office.leases.get("none")


def test_a_hundred_who_ask_at_the_same_moment_for_eight_gpus_get_eight_leases(url: str, tmp_path: Path) -> None:
    """From four processes, each of which grants too: no GPU is given twice, and the rest wait in the order of asking."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POOL)
    names = [f"user{number:03}" for number in range(100)]
    granted = [user for users in in_processes(url, policy, (names[start::4] for start in range(4))) for user in users]
    office = Office.at(url)
    holding = office.leases.all({State.GRANTED})
    assert sorted(granted) == sorted(lease.user for lease in holding) and len(granted) == 8
    assert sorted(device for lease in holding for device in lease.devices) == list(range(8))
    assert len({lease.fence for lease in holding}) == 8
    waiting = office.leases.all({State.WAITING})
    assert [lease.place for lease in waiting] == list(range(1, 93))
    assert sorted(lease.user for lease in (*holding, *waiting)) == names
    assert [lease.id for lease in office.leases.all()[:8]] == [lease.id for lease in holding]
    office.database.close()


def test_the_order_is_that_of_asking_among_those_who_have_used_nothing(office: Office) -> None:
    """Eight are served, the others know their places, and move up."""
    for number in range(12):
        office.ask(f"user{number:02}")
    assert office.granted() == [f"user{number:02}" for number in range(8)]
    assert office.queue() == ["user08", "user09", "user10", "user11"]
    office.end(office.leases.of("user03")[0])
    assert office.granted() == ["user08"]
    assert [lease.place for lease in office.leases.of("user11")] == [3]


def test_two_processes_see_each_others_changes(office: Office, url: str) -> None:
    """What one has in memory is brought up to date by what the other has written."""
    other = Office.at(url, office.clock)
    lease = office.start("ada", gpus=8)
    waiting = other.ask("ben", gpus=8)
    assert other.granted() == [] and office.queue() == ["ben"]
    assert other.end(lease).state is State.ENDED
    assert office.granted() == ["ben"]
    assert other.leases.get(waiting.id).state is State.GRANTED
    assert other.leases.standing(Who("ada")).leases == ()
    other.database.close()


def test_devices_on_which_something_else_runs_are_not_lent(office: Office) -> None:
    """None: nothing can be said of the target, so nothing of it is free."""
    office.ask("ada", gpus=2)
    assert office.leases.grant({"pool": None}) == []
    [lease] = office.leases.grant({"pool": {0, 2, 3}})
    assert lease.devices == (1, 4)


def test_a_gpu_is_not_lent_again_under_another_name_of_its_target(office: Office) -> None:
    """Whoever renames a target in the policy, or splits it, does not lend what is held of it a second time."""
    held = office.start("ada", gpus=3)
    office.rules(POOL.replace("pool", "pool2"))
    office.ask("ben", gpus=6, target="pool2")
    small = office.ask("cyd", gpus=1, target="pool2", hours=1)
    assert [(lease.id, lease.devices) for lease in office.leases.grant()] == [(small.id, (3,))]
    office.end(office.leases.get(small.id))
    office.rules(POOL.replace("pool", "pool2").replace("gpus = 8", 'gpus = 8\nbackend = "ssh"\nhost = "other"'))
    assert office.granted() == ["ben"], "another machine's GPUs are others"
    office.end(held)
    accounts = POOL.replace("gpus = 8", 'slots = 2\nisolation = "pool"\naccounts = ["p1", "p2"]').replace("gpus = ", "# ")
    office.rules(accounts)
    assert office.start("dan", gpus=0).account == "p1"
    office.rules(accounts.replace("pool]", "other]").replace('"pool"]', '"other"]'))
    assert office.start("eve", gpus=0, target="other").account == "p2"
    office.ask("fay", gpus=0, target="other")
    assert office.granted() == []


def test_the_request_s_own_words_are_kept(office: Office) -> None:
    """Options and notebook come back as they were."""
    request = Request("k", "pool", 1, 1800.5, "übung 'ä'.ipynb", {"env": {"A": "1"}, "cwd": "/x y"})
    lease = office.leases.ask(Who("zoë", frozenset({"b", "a"})), request)
    assert (lease.notebook, lease.options, lease.walltime_s) == (request.notebook, request.options, 1800.5)
    assert (lease.user, lease.groups) == ("zoë", ("a", "b"))


def test_fences_grow_though_the_database_is_restored_from_a_copy(tmp_path: Path) -> None:
    """The copy knows only older numbers; a host of after the copy must not be taken for one of a new grant."""
    office = Office.at(f"sqlite:///{tmp_path / 'broker.sqlite'}")
    office.start("ada")
    office.database.close()
    copy = (tmp_path / "broker.sqlite").read_bytes()
    office.passes(1)
    fence = office.start("ben").fence
    office.database.close()
    for file in tmp_path.glob("broker.sqlite*"):
        file.unlink()
    (tmp_path / "broker.sqlite").write_bytes(copy)
    office.passes(0.01)
    restored = Office.at(f"sqlite:///{tmp_path / 'broker.sqlite'}", office.clock)
    assert restored.start("cyd").fence > fence
    assert [lease.user for lease in restored.leases.all()] == ["ada", "cyd"]
    restored.database.close()
