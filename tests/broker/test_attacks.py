"""What somebody would try who wants more than is lent, or what is another's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from brokers import BrokerProcess
from farcell_broker.auth import ADMIN, USE, who_of
from farcell_broker.errors import PolicyError, Refused
from farcell_broker.lease import Request, State, Who
from farcell_broker.leases import Leases
from farcell_broker.news import News
from farcell_broker.policy import SharedTarget, parse
from farcell_broker.supervisor import Supervisor
from hostclient import is_alive
from lending import Lender, shared
from sandbox import Sandbox

POLICY = """
[targets.pool]
gpus = 2
isolation = "none"
[everyone]
targets = ["pool"]
"""


def test_a_lease_that_is_given_back_while_its_host_starts_leaves_none(lender: Lender, tmp_path: Path) -> None:
    """The broker died when the host was up and the database did not know: nothing of it may use the GPU when it is another's."""
    policy = parse(POLICY)
    leases = Leases(f"sqlite:///{tmp_path / 'leases.sqlite'}", lambda: policy)
    who = Who("mallory")
    asked = leases.ask(who, Request("12345678", "pool"))
    (granted,) = leases.grant()
    host = lender.start(granted, policy.targets["pool"])
    assert is_alive(host["pid"])
    leases.cancel(who, asked.id)

    async def supervised() -> None:
        with ThreadPoolExecutor(2) as pool:
            supervisor = Supervisor(leases, lender.hosts, policy.targets.__getitem__, News(), pool)
            running = asyncio.ensure_future(supervisor.run())
            while leases.get(asked.id).state is not State.ENDED:
                assert not running.done()
                await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await supervisor.close()

    # No driver answers here: a slot, whose GPUs nobody could ask about, stands for a GPU that is idle just now.
    policy = parse(POLICY.replace("gpus = 2", "slots = 2"))
    lender.do(supervised(), 150)
    assert not is_alive(host["pid"]), "the host outlived the lease"
    leases.database.close()


def test_what_two_targets_would_lend_at_once_is_refused() -> None:
    """A GPU or an account of a pool that two tables name would be two people's."""
    twice = POLICY + '[targets.big]\ngpus = 1\nisolation = "none"\n'
    with pytest.raises(PolicyError, match="GPU 0 of this machine is lent by 'pool' already"):
        parse(twice)
    assert parse(twice.replace("gpus = 1", "devices = [2]")).targets["big"].device_indexes == (2,)
    assert parse(twice.replace("gpus = 1", 'gpus = 1\nbackend = "ssh"\nhost = "other"')).targets["big"].host == "other"
    pools = "".join(f'[targets.{name}]\nslots = 1\nisolation = "pool"\naccounts = ["p1"]\n' for name in ("a", "b"))
    with pytest.raises(PolicyError, match="account p1 of this machine is lent by 'a' already"):
        parse(pools)


def test_an_account_is_never_two_peoples() -> None:
    """Mallory signs up at the hub under the name of the account that ada was given."""
    target = shared(isolation="account", account_names={"ada": "lovelace"})
    assert target.account_of("ada") == "lovelace" and target.account_of("bob") == "bob"
    with pytest.raises(Refused, match="is another user's"):
        target.account_of("lovelace")
    with pytest.raises(ValueError, match="gives one account to two users"):
        shared(isolation="account", account_names={"ada": "x", "bob": "x"})
    with pytest.raises(ValueError, match="or all users would share one account"):
        shared(isolation="account", account_name="everybody")


def test_isolation_is_never_less_than_policy_says() -> None:
    """Nothing said is an account each; what cannot be had is refused, and never less."""
    assert SharedTarget(name="pool", gpus=1).isolation == "account"
    for kind in ("account", "pool", "container"):
        with pytest.raises(ValueError, match="is for the backends local and ssh"):
            SharedTarget(
                name="pool", gpus=1, backend="slurm", isolation=kind, accounts=["p"] if kind == "pool" else [], image="x"
            )
    with pytest.raises(ValueError):
        SharedTarget(name="pool", gpus=1, isolation="nothing")
    for helper in ("relative", "/bin/sh -c id", "/a;b", "/a\nb"):
        with pytest.raises(ValueError):
            SharedTarget(name="pool", gpus=1, helper=helper)
    for image in ("--privileged", "-v/:/host", "a b", "$(id)"):
        with pytest.raises(ValueError):
            SharedTarget(name="pool", gpus=1, isolation="container", image=image)


def test_a_user_of_the_hub_is_never_taken_for_a_service() -> None:
    scopes = [USE, "access:services!service=farcell"]
    assert who_of({"kind": "service", "name": "cull", "scopes": scopes}, set()) == Who("service:cull")
    assert who_of({"kind": "user", "name": "service:cull", "scopes": scopes}, set()) is None
    assert who_of({"kind": "user", "name": "ada", "scopes": [ADMIN, USE], "groups": ["ml"]}, set()) == Who(
        "ada", frozenset({"ml"}), True
    )
    assert who_of({"kind": "user", "name": "ada", "scopes": []}, set()) is None


def test_a_token_in_a_url_is_in_no_log(sandbox: Sandbox) -> None:
    """Also where the request is known by its header, and is wrong."""
    with BrokerProcess(sandbox) as broker:
        ada = broker.user("ada")
        for path in ("api/leases", "api/leases/x", "api/leases/x/stream", "api/audit", "api/nothing", "leases/x/first"):
            assert ada.client.get(f"{path}?token=fcb_secret_in_url&wait_s=-1").status_code in (400, 403, 404, 405, 426)
        assert ada.client.post("api/leases?token=fcb_secret_in_url", content="{").status_code == 400
    assert "fcb_secret_in_url" not in broker.log.read_text()
