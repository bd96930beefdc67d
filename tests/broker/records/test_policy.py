"""The policy's file: what it says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from farcell_broker.errors import PolicyError
from farcell_broker.lease import Who
from farcell_broker.policy import PolicyFile, parse
from leasing import DAY, HOUR, NOON, POOL

GROUPS = """
[targets.a]
gpus = 4
[targets.b]
backend = "ssh"
host = "other"
gpus = 8
[groups.ml]
targets = ["a"]
gpus = 2
max_walltime = "2h"
gpu_hours_per_day = 10.0
weight = 3.0
[groups.physics]
targets = ["b"]
gpus = 4
max_walltime = "1d"
priority = 5
[users.ada]
gpus = 8
weight = 0.5
[everyone]
targets = ["a"]
gpus = 1
"""


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    return list(caught.value.faults)


def test_what_several_groups_say_is_put_together_in_the_user_s_favour() -> None:
    """The greatest number, and no limit where one group sets none."""
    found = parse(GROUPS).allowance("ben", ["ml", "physics", "unknown"])
    assert (found.targets, found.gpus, found.max_walltime_s, found.gpu_hours_per_day) == (("a", "b"), 4, DAY, None)
    assert (found.weight, found.priority) == (3.0, 5)


def test_a_user_s_own_table_holds_key_by_key() -> None:
    """And what it does not say is the groups'."""
    found = parse(GROUPS).allowance("ada", ["ml"])
    assert (found.targets, found.gpus, found.weight, found.max_walltime_s) == (("a",), 8, 0.5, 2 * HOUR)


def test_everyone_is_whoever_is_in_no_group_that_is_known() -> None:
    """Without that table they may use nothing."""
    assert parse(GROUPS).allowance("cyd", ["other"]).targets == ("a",)
    assert parse("[targets.a]\ngpus = 1").allowance("cyd", []).targets == ()


def test_every_fault_is_told_with_its_place() -> None:
    """All at once, with what may have been meant."""
    assert faults(
        'curency = "EUR"\n[targets.pool]\nbackend = "shh"\ngpus = 8\n[groups.ml]\ntargts = ["pool"]\nmax_walltime = 3\n'
        '[groups.ml.together]\ngpu = 6\n[users]\nada = 3\n[[reservations]]\ntarget = "pool"\ngpus = 2\n'
        "start = 2027-01-01T00:00:00\nend = 2027-01-02T00:00:00\n"
    ) == [
        "line 1, curency: unknown key 'curency'. Known: currency, timezone, targets, groups, users, everyone, fair_share, idle, "
        "left, reservations, admins. Did you mean 'currency'?",
        "line 3, targets.pool.backend: unknown backend 'shh'. Known: local, local-attach, slurm, ssh. Did you mean 'ssh'?",
        "line 6, groups.ml.targts: unknown key 'targts'. Known: gpus, gpu_hours_per_day, gpu_hours_per_month, money_per_day, "
        "money_per_month, targets, max_walltime, weight, priority, waiting, together. Did you mean 'targets'?",
        "line 7, groups.ml.max_walltime: must be a time such as '30m', '2h' or '7d', not 3",
        "line 9, groups.ml.together.gpu: unknown key 'gpu'. Known: gpus, gpu_hours_per_day, gpu_hours_per_month, money_per_day, "
        "money_per_month. Did you mean 'gpus'?",
        "line 11, users.ada: must be a table, not 3",
        "line 12, reservations.0: needs users or groups, for whom it is",
    ]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("", "needs gpus, how many may be lent, or slots, how many leases at once"),
        ("gpus = 2\ndevices = [1, 1]", "devices names one twice"),
        ("gpus = 3\ndevices = [1, 2]", "gpus is 3, but devices names 2: leave gpus out"),
        (
            'gpus = 1\nisolation = "pool"',
            'isolation "pool" needs accounts, the Unix accounts that are leased with the GPUs',
        ),
        ('gpus = 1\naccounts = ["x"]', "accounts are for isolation \"pool\", and this is 'account'"),
        ('gpus = 1\nisolation = "container"', 'isolation "container" needs image'),
        (
            "gpus = 1\nbudget = { day = 1.0 }",
            "budgets are of users and groups here: money_per_day, money_per_month",
        ),
    ],
)
def test_a_target_that_cannot_be_lent_so_is_refused(table: str, fault: str) -> None:
    """What is missing, or does not go together."""
    assert faults(f"[targets.pool]\n{table}\n") == [f"line 1, targets.pool: {fault}"]


def test_names_that_are_nowhere_are_told() -> None:
    """Of targets and groups."""
    assert faults(
        '[targets.pool]\ngpus = 1\n[groups.ml]\ntargets = ["pol"]\n[[reservations]]\ntarget = "pool"\ngpus = 2\n'
        'groups = ["m"]\nstart = 2027-01-01T00:00:00\nend = 2027-01-02T00:00:00\n'
    ) == [
        "line 4, groups.ml.targets: unknown target 'pol'. Known: pool. Did you mean 'pool'?",
        "line 7, reservations.0.gpus: pool has 1, not 2",
        "line 8, reservations.0.groups: no [groups.m]. Known: ml. Did you mean 'ml'?",
    ]


def test_an_environment_s_values_are_not_shown() -> None:
    """They may be secrets."""
    [fault] = faults("[targets.pool]\ngpus = 1\n[targets.pool.env]\nTOKEN = 12345\n")
    assert "TOKEN" in fault and "12345" not in fault


def test_a_lease_s_target_asks_the_scheduler_for_the_lease_s_gpus_and_time() -> None:
    """And has nothing of how it is shared."""
    target = (
        parse('[targets.c]\nbackend = "slurm"\nisolation = "none"\ngpus = 8\npartition = "gpu"\nprice_per_gpu_hour = 1.0')
        .targets["c"]
        .lent(2, 90.2)
    )
    assert (target.gpus, target.walltime, target.partition, type(target).__name__) == (2, "00:01:31", "gpu", "Target")


def test_days_begin_at_midnight_where_the_policy_says(tmp_path: Path) -> None:
    """Also where a day has 23 hours."""
    policy = parse('timezone = "Europe/Berlin"')
    assert policy.period_starts(NOON) == (NOON - 13 * HOUR, NOON - 13 * HOUR - 14 * DAY)
    assert policy.next_day(NOON) == NOON + 11 * HOUR
    spring = 1_806_188_400.0  # 2027-03-28 00:00 in Berlin
    assert policy.next_day(spring) == spring + 23 * HOUR


def test_administrators_are_those_that_the_file_or_the_hub_names() -> None:
    """By user or group."""
    policy = parse('[admins]\nusers = ["root"]\ngroups = ["staff"]')
    found = [Who("root"), Who("eve", frozenset({"staff"})), Who("hub", is_admin=True), Who("ada", frozenset({"ml"}))]
    assert [policy.is_admin(who) for who in found] == [True, True, True, False]


def test_a_file_that_has_become_wrong_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    """And says so, once; when it is right again, that holds."""
    path, told = tmp_path / "policy.toml", list[str]()
    path.write_text(POOL)
    file = PolicyFile(path, told.append)
    before = file.current()
    path.write_text(POOL.replace("gpus = 8", "gpus = none"))
    assert file.current() is before and file.current() is before
    assert file.fault is not None and told == [file.fault]
    assert "The policy of before stays in force." in file.fault and str(path) in file.fault
    path.unlink()
    assert file.current() is before and "cannot be read" in (file.fault or "")
    path.write_text(POOL.replace("gpus = 8", "gpus = 16"))
    assert file.current().targets["pool"].gpus == 16 and file.fault is None
    assert told[-1] == f"The policy {path} was read again."


def test_a_wrong_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    """There is no policy of before."""
    with pytest.raises(PolicyError, match="cannot be read"):
        PolicyFile(tmp_path / "none.toml")
