"""Isolation "container" for real: leases in containers of podman's, on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from farcell.backends.base import JobState
from farcell.errors import TargetUnavailable
from farcell_broker.hosts import Hosts, host_options
from farcell_broker.isolation.base import Wanted
from farcell_broker.isolation.container import Container
from hostclient import wait_until
from lending import Lender, lease, shared
from sandbox import Sandbox
from services.needs import PODMAN, ensure
from services.podman import IMAGE, Podman

POOL = shared(isolation="container", image=IMAGE, engine="podman", devices=(), gpus=0, slots=4)
COMMANDS = "[open(f'/proc/{each}/cmdline').read() for each in os.listdir('/proc') if each.isdigit()]"
FREE = {"devices": (), "gpus": 0}
TOKEN = "token-of-the-broker"


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """With the image, and no container."""
    ensure(PODMAN)
    with Podman() as made:
        yield made


@pytest.fixture
def lender(sandbox: Sandbox, podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lender]:
    """Whose hosts are ended when the test is over, and whose engine is the tests' own."""
    for name, value in {**podman.environment, "JUPYTERHUB_API_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    lender = Lender()
    yield lender
    lender.close()
    assert podman.containers() == []


def test_a_lease_has_a_container_without_privileges_and_nothing_of_the_machine(lender: Lender, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the machine")
    host = lender.start(lease(**FREE), POOL)
    seen = json.loads(
        lender.run(
            host,
            f"""
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({{
    "capabilities": status["CapEff"].strip(), "no new privileges": status["NoNewPrivs"].strip(),
    "sees": os.path.exists({str(secret)!r}), "environment": dict(os.environ),
    "commands": {COMMANDS},
    "runtime": oct(os.stat({host["runtime"]!r}).st_mode & 0o777),
}}))""",
        )
    )
    assert int(seen["capabilities"], 16) == 0 and seen["no new privileges"] == "1"
    assert not seen["sees"]
    assert TOKEN not in str(seen["environment"]) and "JUPYTERHUB_API_TOKEN" not in seen["environment"]
    assert seen["runtime"] == "0o700"
    assert len(seen["commands"]) < 10, "the machine has more processes than a container may see"
    assert not any(TOKEN in word for process in psutil.process_iter() for word in _words(process))


def test_two_leases_do_not_see_each_other(lender: Lender) -> None:
    ann, bob = (lender.start(lease(user, **FREE), POOL) for user in ("ann", "bob"))
    lender.run(ann, "open('/tmp/of ann', 'w').close(); import subprocess; sleeping = subprocess.Popen(['sleep', '1000'])")
    look = f"import os; print(os.listdir('/tmp'), {COMMANDS})"
    assert "of ann" in lender.run(ann, look) and "1000" in lender.run(ann, look)
    assert "of ann" not in lender.run(bob, look) and "1000" not in lender.run(bob, look)
    sessions = "import os; print(sorted(os.listdir('/run/farcell')))"
    assert lender.run(ann, sessions) != lender.run(bob, sessions)


def test_a_restarted_broker_finds_the_container(lender: Lender, podman: Podman) -> None:
    host = lender.start(lease(**FREE), POOL)
    assert TOKEN not in str(host)
    lender.run(host, "import sys; sys.kept = 41")
    restarted = Lender(Hosts({"pool": POOL}))
    status = restarted.do(restarted.hosts.status(host))
    assert status is not None and status["is_answering"] and status["state"] == "idle"
    assert restarted.run(host, "import sys; print(sys.kept + 1)") == "42"
    again = restarted.do(restarted.hosts.start(lease(**FREE), POOL), 120)
    assert again == host and podman.containers() == [host["name"]], "a start done twice is one container"
    restarted.do(restarted.hosts.end(host))
    assert restarted.do(restarted.hosts.status(host)) is None
    restarted.close()


def test_the_end_of_a_lease_is_the_end_of_all_in_its_container(lender: Lender, podman: Podman) -> None:
    host = lender.start(lease(**FREE), POOL)
    stubborn = """['sh', '-c', 'trap "" TERM HUP; sleep 98765']"""
    lender.run(host, f"import subprocess; subprocess.Popen({stubborn}, start_new_session=True)")
    inside = [each for each in psutil.process_iter() if "98765" in " ".join(_words(each))]
    assert inside
    lender.do(lender.hosts.end(host))
    assert podman.containers() == []
    assert wait_until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in inside))
    lender.do(lender.hosts.end(host))


def test_a_container_that_was_taken_away_is_known_to_be_gone(lender: Lender, podman: Podman) -> None:
    host = lender.start(lease(**FREE), POOL)
    podman.run("kill", host["name"])
    assert wait_until(lambda: not lender.is_there(host))


def test_an_image_that_is_not_there_is_told_and_leaves_nothing(lender: Lender, podman: Podman) -> None:
    lent = lease(**FREE)
    place = shared(isolation="container", image="localhost/never-made:1", engine="podman", devices=(), gpus=0, slots=1)
    wanted = Wanted(lent.id, lent.fence, lent.user, None, (), place, host_options(lent, place))
    container = Container()
    with pytest.raises(TargetUnavailable, match=r"podman did not start the container(.|\n)*never-made"):
        lender.do(container.start(wanted))
    lender.do(container.abandon(wanted))
    assert podman.containers() == []


def test_an_engine_that_cannot_be_asked_leaves_it_open_whether_a_container_is_there(
    lender: Lender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = lender.start(lease(**FREE), POOL)
    lent = lease(**FREE)
    options = host_options(lent, POOL)
    container = Container()
    with monkeypatch.context() as patch:
        patch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "none"))
        patch.setenv("PATH", str(tmp_path))
        assert lender.do(container.poll(host, options)) is not JobState.GONE
    assert lender.do(container.poll(host, options)) is JobState.RUNNING


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
