"""Hosts that the broker starts under its own account (isolation "none"): found again, told to save, ended whole."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest
from farcell.backends.local import launch_command
from farcell.errors import TargetUnavailable
from farcell_broker.errors import Refused
from farcell_broker.hosts import Hosts, host_options, notebook_key, session_name
from farcell_broker.isolation.base import Wanted
from farcell_broker.isolation.unisolated import Unisolated
from farcell_host import leased, runtime
from hostclient import is_alive, wait_until
from lending import Lender, lease, shared
from places import over_ssh
from sandbox import Sandbox
from services.nvml import StubNvml
from services.sshd import Sshd

SECRETS = {
    "JUPYTERHUB_API_TOKEN": "token-of-the-broker",
    "FARCELL_BROKER_DATABASE": "postgresql://broker:password@db/leases",
    "SSH_AUTH_SOCK": "/run/agent.socket",
    "AWS_SECRET_ACCESS_KEY": "key-of-the-broker",
}


def test_a_host_has_its_gpus_and_nothing_of_the_brokers_environment(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    host = lender.start(lease(devices=(0, 1), gpus=2), shared())
    environment = lender.run(host, "import os; print(dict(os.environ))")
    assert "'CUDA_VISIBLE_DEVICES': '0,1'" in environment and "'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'" in environment
    for name, value in SECRETS.items():
        assert name not in environment and value not in environment
    assert not any(value in str(host) for value in SECRETS.values()), "what is written into the lease holds no secret"
    for process in (psutil.Process(host["pid"]), *psutil.Process(host["pid"]).children(recursive=True)):
        assert not SECRETS.keys() & process.environ().keys()


def test_a_lease_without_gpus_sees_none(lender: Lender) -> None:
    host = lender.start(lease(devices=(), gpus=0), shared())
    assert lender.run(host, "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))") == "''"


def test_what_a_host_makes_is_for_its_own_user_alone(lender: Lender, tmp_path: Path) -> None:
    host = lender.start(lease(), shared())
    lender.run(host, f"open({str(tmp_path / 'made')!r}, 'w').close()")
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600
    assert Path(host["runtime"]).stat().st_mode & 0o777 == 0o700


def test_a_start_whose_answer_was_lost_finds_the_host_that_it_started(lender: Lender) -> None:
    host = lender.start(lease(), shared())
    assert lender.run(host, "import sys; sys.kept = 41; print(sys.kept)") == "41"
    again = Lender()
    found = again.do(again.hosts.start(lease(), shared()))
    assert (found["pid"], found["runtime"]) == (host["pid"], host["runtime"])
    assert again.run(found, "import sys; print(sys.kept + 1)") == "42"
    again.close()
    other = lender.start(lease(fence=2), shared())
    assert other["pid"] != host["pid"], "another grant is another host"


def test_a_restarted_broker_finds_its_hosts_by_what_the_leases_say(lender: Lender) -> None:
    host = lender.start(lease(), shared())
    lender.run(host, "kept = 1")
    restarted = Lender(Hosts({"pool": shared()}))
    status = restarted.do(restarted.hosts.status(host))
    assert status is not None and status["is_answering"] and status["state"] == "idle" and status["idle_s"] < 60
    restarted.do(restarted.hosts.end(host))
    assert restarted.do(restarted.hosts.status(host)) is None
    restarted.close()


def test_a_lease_that_is_over_saves_what_the_notebook_had_and_says_so(lender: Lender) -> None:
    host = lender.start(lease(), shared())
    with lender.driver(host) as driver:
        driver.run("kept = list(range(1000))").check()
        lender.do(lender.hosts.tell(host, "Your lease ends in 5 minutes."))
        told = driver.wait_message("farcell_notice")
        assert told.content["text"] == "Your lease ends in 5 minutes."
        lender.do(lender.hosts.save_and_end(host, 5.0, "bob waits for its GPU"))
        driver.wait(lambda: driver.lost)
        said = [message.content["text"] for message in driver.messages if message.msg_type == "farcell_notice"]
    assert any("The session ends: bob waits for its GPU" in text and "Saved: kept" in text for text in said)
    assert not lender.is_there(host) and not Path(host["runtime"]).exists()


def test_an_end_takes_along_what_the_lease_has_started_and_hidden(lender: Lender) -> None:
    host = lender.start(lease(), shared())
    daemon = """
import os
if (child := os.fork()) == 0:
    os.setsid()
    if (child := os.fork()) == 0:
        import subprocess
        print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
    os._exit(0)
_ = os.waitpid(child, 0)
"""
    lender.run(host, daemon)
    assert wait_until(lambda: any(map(_is_sleep_of_ann, psutil.process_iter())))  # of a child that the cell does not wait for
    (sleeping,) = [each.pid for each in psutil.process_iter() if _is_sleep_of_ann(each)]
    neighbour = lender.start(lease("bob"), shared())
    lender.do(lender.hosts.end(host))
    assert wait_until(lambda: not is_alive(sleeping))
    lender.do(lender.hosts.end(host))
    assert lender.run(neighbour, "print('here')") == "here"


def _is_sleep_of_ann(process: psutil.Process) -> bool:
    try:
        return process.cmdline() == ["sleep", "600"] and process.environ().get("FARCELL_LEASE") == lease().id
    except psutil.Error:
        return False


def test_a_gpu_is_free_only_when_its_processes_are_gone(lender: Lender, nvml: StubNvml) -> None:
    target = shared(env=nvml.environment())
    assert lender.do(lender.hosts.busy_devices(target)) == set()
    nvml.set(1, procs=f"{os.getpid()}:1000")
    assert lender.do(lender.hosts.busy_devices(target)) == {1}
    assert lender.do(lender.hosts.busy_devices(shared(env=nvml.environment(), gpus=4))) == {1, 2, 3}, (
        "a GPU that is not there is not free"
    )
    assert lender.do(lender.hosts.busy_devices(shared())) is None, "no driver answers: nothing is known to be free"
    assert lender.do(lender.hosts.busy_devices(shared(gpus=None, slots=2))) == set()


def test_two_peoples_notebooks_of_one_name_are_two_and_neither_is_told() -> None:
    ann, bob = notebook_key("ann", "work.ipynb"), notebook_key("bob", "work.ipynb")
    assert ann != bob and notebook_key("ann", None) is None
    assert ann is not None and "work" not in ann and "ann" not in ann
    assert session_name(lease(fence=1)) != session_name(lease(fence=2))


def test_secrets_of_the_broker_go_to_no_host() -> None:
    target = shared(secrets=("WANDB_KEY", "JUPYTERHUB_API_TOKEN"))
    with pytest.raises(Refused, match="JUPYTERHUB_API_TOKEN among its secrets, which are the broker's own"):
        host_options(lease(), target)


def test_nobody_learns_what_another_one_has_sent_though_one_account_has_both(lender: Lender) -> None:
    """The chunk store answers for its own user alone: neither that a chunk is there, nor what is in it."""
    anns, bobs = lender.start(lease("ann"), shared()), lender.start(lease("bob"), shared())
    secret = b"salary of ann: 1 million" * 100
    with lender.driver(anns) as driver:
        address = driver.send_chunk(secret)
        assert driver.ask("missing", addresses=[address]).fields["missing"] == []
    with lender.driver(bobs) as driver:
        assert driver.ask("missing", addresses=[address]).fields["missing"] == [address]
        assert driver.ask("chunks", addresses=[address]).fields["missing"] == [address]
        assert driver.chunks == {}
    again = lender.start(lease("ann", fence=2), shared())
    with lender.driver(again) as driver:
        assert driver.ask("missing", addresses=[address]).fields["missing"] == [], (
            "in her own next session it need not be sent again"
        )


def test_a_host_cannot_say_of_itself_what_the_broker_says(lender: Lender) -> None:
    host = lender.start(lease(), shared())
    os.kill(host["pid"], 19)
    try:
        status = lender.do(lender.hosts.status(host))
    finally:
        os.kill(host["pid"], 18)
    assert status is not None and not status["is_answering"], "a host that is stopped is there, and says nothing"


def test_what_a_failed_start_has_left_is_ended(lender: Lender) -> None:
    """Its answer was lost: it must not be there when its GPUs are somebody else's."""
    lent, target = lease(), shared()
    host = lender.start(lent, target)
    wanted = Wanted(lent.id, lent.fence, lent.user, None, lent.devices, target, host_options(lent, target))
    lender.do(Unisolated().abandon(wanted))
    assert not lender.is_there(host) and not is_alive(host["pid"])


def test_a_start_that_is_not_over_is_ended_too(lender: Lender, tmp_path: Path) -> None:
    """By its name and its mark, wherever it is: the kernel's Python is one that takes its time."""
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/begun\nexec sleep 600\n")
    slow.chmod(0o755)
    lent, target = lease(), shared(python=str(slow))
    wanted = Wanted(lent.id, lent.fence, lent.user, None, lent.devices, target, host_options(lent, target))
    command = launch_command(wanted.options, str(runtime.root() / str(wanted.options.session)))
    starting = subprocess.Popen(command, env={**os.environ, **wanted.options.env}, start_new_session=True)
    assert wait_until(lambda: (tmp_path / "begun").exists() and bool((tmp_path / "begun").read_text()), 30)
    lender.do(Unisolated().abandon(wanted))
    starting.wait(30)
    assert not is_alive(int((tmp_path / "begun").read_text()))
    assert not list(runtime.live_hosts()) and not list(leased.processes(lent.id))


@pytest.mark.timeout(600)
def test_hosts_on_another_machine_are_reached_over_ssh(lender: Lender, sandbox: Sandbox, sshd: Sshd, nvml: StubNvml) -> None:
    place = over_ssh(sandbox, sshd)
    target = shared(**{**place, "env": {**dict(place["env"]), **nvml.environment()}})  # type: ignore[call-overload]
    host = lender.start(lease(), target)
    assert lender.run(host, "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])") == "1"
    nvml.set(0, procs=f"{os.getpid()}:1000")
    assert lender.do(lender.hosts.busy_devices(target)) == {0}
    restarted = Lender(Hosts({"pool": target}))
    status = restarted.do(restarted.hosts.status(host))
    assert status is not None and status["is_answering"]
    restarted.do(restarted.hosts.save_and_end(host, 5.0))
    assert not restarted.is_there(host)
    restarted.close()
    unheard, again = lease(fence=2), lender.start(lease(fence=2), target)
    for _ in range(2):
        lender.do(lender.hosts.abandon(unheard, target))
    assert not lender.is_there(again) and not is_alive(again["pid"])
    sshd.stop()
    try:
        assert lender.do(lender.hosts.busy_devices(target)) is None, "nobody answers: nothing of it is free"
        with pytest.raises(TargetUnavailable):
            lender.do(lender.hosts.status(host))
    finally:
        sshd.start()
