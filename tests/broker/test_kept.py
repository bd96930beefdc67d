"""What a lease keeps of its target: enough to find and end its host when policy says something else, or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest
from brokers import BrokerProcess, pool_policy
from farcell.errors import TargetUnavailable
from farcell_broker.kept import kept, place_of
from farcell_broker.policy import parse
from hostclient import is_alive, wait_until
from notebooks import Notebook
from sandbox import Sandbox
from services.nvml import StubNvml

POLICY = """
[targets.pool]
backend = "ssh"
host = "gpu1"
user = "broker"
ssh = "ssh -p 2222"
gpus = 8
isolation = "account"
account_names = { ada = "lovelace" }
price_per_gpu_hour = 1.5
python = "/opt/python"
cwd = "/srv"
env = { A = "1", FARCELL_RUNTIME_DIR = "/run/x" }
idle_timeout_s = 1800.0
keep_s = 7200.0
setup = ["module load x"]
secrets = ["TOKEN"]
cache_dir = "/c"
confirm_bytes = "8GiB"
[targets.cluster]
backend = "slurm"
host = "login"
isolation = "none"
gpus = 4
mem = "16G"
partition = "x"
walltime = "4:00:00"
[targets.box]
isolation = "container"
image = "x/y:1"
devices = [1, 2]
[targets.accounts]
isolation = "pool"
accounts = ["p1", "p2"]
slots = 2
"""
OTHER = '\n[targets.other]\nslots = 1\nisolation = "none"\n[everyone]\ntargets = ["other"]\n[idle]\nwarning = "1s"\n'


def test_what_is_kept_is_the_target_but_for_its_secrets() -> None:
    for name, target in parse(POLICY).targets.items():
        definition = json.loads(json.dumps(kept(target)))
        then = place_of(name, definition, None)
        was, now = asdict(target.launch_options()), asdict(then.launch_options())
        assert {key for key in was if was[key] != now[key]} <= {"secrets", "price_per_hour"}, name
        assert (then.device_indexes, then.isolation, then.accounts) == (target.device_indexes, target.isolation, target.accounts)
        assert "TOKEN" not in str(definition)
    assert then.name == "accounts"


def test_policy_is_followed_where_the_lease_is_and_not_to_another_machine() -> None:
    then = parse(POLICY).targets["pool"]
    definition = kept(then)
    mended = parse(POLICY.replace("ssh -p 2222", "ssh -p 22 -i key").replace('user = "broker"', 'user = "lender"')).targets[
        "pool"
    ]
    assert place_of("pool", definition, mended) is mended
    for old, new in (('host = "gpu1"', 'host = "gpu2"'), ("/run/x", "/run/y")):
        moved = parse(POLICY.replace(old, new)).targets["pool"]
        assert place_of("pool", definition, moved).launch_options() == replace(then.launch_options(), secrets=())
    with pytest.raises(TargetUnavailable, match="put the target back until its last lease has ended"):
        place_of("pool", None, None)


@pytest.fixture
def broker(sandbox: Sandbox, nvml: StubNvml) -> Iterator[BrokerProcess]:
    env = {**sandbox.variables(), **nvml.environment(), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with BrokerProcess(sandbox, pool_policy(sandbox, slots=None, gpus=2, env=env)) as broker:
        yield broker


def test_a_target_that_policy_has_no_more_gives_back_what_was_lent_of_it(
    broker: BrokerProcess, nvml: StubNvml, plain_notebook: Notebook
) -> None:
    """Also to a broker that was started since, and never knew the target: hosts end, and leases when their GPUs are free."""
    notebook, ada, bob = plain_notebook, broker.user("ada"), broker.user("bob")
    broker.define(broker.box, ada)
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote pool\nkept = 1").check()
    (lease,) = ada.client.get("api/leases").json()["leases"]
    given_back = bob.until(bob.lease()["id"], "running")
    nvml.set(lease["devices"][0], procs=f"{os.getpid()}:1000")
    broker.kill()
    broker.policy.write_text(OTHER)
    broker.start()
    bob.client.delete(f"api/leases/{given_back['id']}").raise_for_status()
    assert bob.until(given_back["id"], "ended")["reason"] == "It was given back."
    over = ada.until(lease["id"], "releasing")
    assert over["reason"] == "The target is not in the broker's policy any more."
    assert wait_until(lambda: not is_alive(lease["pid"]), 30)
    broker.kill()
    broker.start()
    assert ada.look(lease["id"])["state"] == "releasing", "its GPU has a process still"
    nvml.set(lease["devices"][0], procs="")
    ada.until(lease["id"], "ended")
    assert not list(broker.box.runtime.glob("s-*/host.json"))
