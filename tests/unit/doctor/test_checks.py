"""What the doctor says to what was answered. ssh's and Slurm's words are as OpenSSH 9.2 and Slurm 22.05 write them, logind's
as in the manuals of systemd 252."""

from __future__ import annotations

from typing import Any

import pytest
from farcell.backends.base import LaunchOptions
from farcell.backends.resources import Resources
from farcell.doctor import cluster, machine, script, way
from farcell.doctor.checks import Check, Verdict
from farcell.doctor.machine import Answers
from farcell.doctor.way import Reached

REFUSED = """\
'gpu-a' (gpu-a) needs authentication: run %remote reconnect gpu-a. ssh said:
    ada@gpu-a: Permission denied (publickey,keyboard-interactive)."""
CHANGED = """\
    Add correct host key in /home/ada/.ssh/known_hosts to get rid of this message.
    Host key for gpu-a has changed and you have requested strict checking.
    Host key verification failed."""


def say(check: Check) -> tuple[str, str]:
    return check.verdict.value, check.found


# -- the way


def test_where_ssh_goes_is_read_from_ssh_itself() -> None:
    found = way.settings("user ada\nhostname 10.0.0.7\nport 2222\nproxyjump none\nidentityfile ~/.ssh/a\nidentityfile ~/.ssh/b\n")
    assert found["identityfile"] == "~/.ssh/a" and way.goes_directly(found)
    assert say(way.configuration("gpu-a", 0, found, "")) == ("ok", "gpu-a is ada@10.0.0.7:2222")
    jump = {**found, "proxyjump": "login"}
    assert not way.goes_directly(jump)
    assert say(way.configuration("gpu-a", 0, jump, ""))[1].endswith("through login")
    bad = way.configuration("gpu-a", 255, {}, "/home/ada/.ssh/config: line 3: Bad configuration option: hots\n")
    assert bad.verdict is Verdict.WRONG and "Bad configuration option: hots" in bad.found


@pytest.mark.parametrize(
    ("reached", "verdict"),
    [
        (Reached("SSH-2.0-OpenSSH_9.2p1", seconds=0.01), Verdict.OK),
        (Reached("HTTP/1.1 400 Bad Request"), Verdict.WRONG),
        (Reached(""), Verdict.WRONG),
        (Reached(fault="name", detail="Name or service not known"), Verdict.WRONG),
        (Reached(fault="refused"), Verdict.WRONG),
        (Reached(fault="silent", detail="no answer in 6 s"), Verdict.WRONG),
    ],
)
def test_only_an_ssh_server_is_one(reached: Reached, verdict: Verdict) -> None:
    check = way.network("gpu-a", "22", reached)
    assert check.verdict is verdict and bool(check.fix) == (verdict is Verdict.WRONG)


def test_a_login_that_fails_is_told_by_what_ssh_said() -> None:
    key, login = way.not_logged_in("gpu-a", "gpu-a", REFUSED, can_ask=False)
    assert key.verdict is Verdict.OK
    assert say(login) == ("wrong", "refused; it takes: publickey,keyboard-interactive") and "From a terminal" in login.fix
    key, login = way.not_logged_in("gpu-a", "gpu-a", CHANGED, can_ask=True)
    assert key.verdict is Verdict.WRONG and "ssh-keygen -R gpu-a" in key.fix and login.verdict is Verdict.UNCHECKED
    _, login = way.not_logged_in("gpu-a", "gpu-a", "kex_exchange_identification: Connection closed by remote host", can_ask=True)
    assert say(login) == ("wrong", "kex_exchange_identification: Connection closed by remote host")


def test_a_shell_that_speaks_by_itself_is_told_from_one_that_does_not_work() -> None:
    assert way.login_shell(0, "", "", 0.1, "gpu-a").verdict is Verdict.OK
    assert say(way.login_shell(0, "Welcome\n\n", "quota at 93 %\n", 0.1, "gpu-a")) == (
        "note", "prints by itself: Welcome; quota at 93 %",
    )  # fmt: skip
    assert way.login_shell(0, "", "", 4.0, "gpu-a").verdict is Verdict.NOTE
    nologin = way.login_shell(1, "This account is currently not available.\n", "", 0.1, "gpu-a")
    assert nologin.verdict is Verdict.WRONG and "currently not available" in nologin.found


# -- the machine


def test_pythons_are_named_with_what_is_wrong_with_each() -> None:
    tried = ("python3", "python3.13", "python3.12")
    answers = Answers({"python-0": "83 3.6.8", "python-1": "127 sh: 1: python3.13: not found", "python-2": "127 not found"})
    assert say(machine.pythons(LaunchOptions(), tried, answers)) == ("wrong", "python3 is Python 3.6.8, older than 3.10")
    nothing = Answers({f"python-{number}": "127 not found" for number in range(3)})
    assert say(machine.pythons(LaunchOptions(), tried, nothing)) == ("wrong", "there is no python3")
    named = machine.pythons(LaunchOptions(python="/opt/python"), ("/opt/python",), Answers({"python-0": "126 Permission denied"}))
    assert say(named) == ("wrong", "/opt/python cannot be run (exit code 126): Permission denied")


@pytest.mark.parametrize(
    ("told", "verdict", "fix"),
    [
        ({"systemd": "no"}, Verdict.OK, ""),
        ({"systemd": "yes", "kill": ""}, Verdict.UNCHECKED, ""),
        ({"systemd": "yes", "kill": "b false", "linger": "no"}, Verdict.OK, ""),
        ({"systemd": "yes", "kill": "b true", "linger": "yes", "scope": "works"}, Verdict.OK, ""),
        ({"systemd": "yes", "kill": "b true", "linger": "no", "scope": "works"}, Verdict.WRONG, "loginctl enable-linger"),
        (
            {"systemd": "yes", "kill": "b true", "linger": "no", "scope": "Failed to connect to bus"},
            Verdict.WRONG,
            "administrator",
        ),
        ({"systemd": "yes", "kill": "b true", "linger": "no", "scope": "works", "account": "root /root"}, Verdict.OK, ""),
        ({"systemd": "no", "cpu": "1800"}, Verdict.NOTE, "administrator"),
        ({"systemd": "no", "cpu": "unlimited"}, Verdict.OK, ""),
    ],
)
def test_what_becomes_of_a_session_after_its_login(told: dict[str, str], verdict: Verdict, fix: str) -> None:
    check = machine.leaving(told)
    assert check.verdict is verdict and fix in check.fix


@pytest.mark.parametrize(("there", "text"), [(1000, "as here"), (1100, "100 s ahead"), (900, "99 s behind"), (1003, "as here")])
def test_clocks_are_compared_within_what_the_question_took(there: int, text: str) -> None:
    check = machine.clock(Answers({"clock": f"{there}"}, sent_at=1000.2, heard_at=1000.4))
    assert check.found.startswith(text) and (check.verdict is Verdict.OK) == (text == "as here")


def probe(**folders: Any) -> Answers:
    good = {
        "path": "/d",
        "at": "/d",
        "exists": True,
        "owner": 7,
        "is_link": False,
        "mount": "ext4",
        "free_bytes": 1 << 40,
        "fsync_s": 0.01,
    }
    found: dict[str, Any] = {"uid": 7, "sockets": {"longest": 60}, "installers": ["pip", "venv"], "ipykernel": True}
    found |= {name: {**good, **folders.get(name, {})} for name in ("runtime", "cache", "temporary", "shm")}
    return Answers({}, found)


def test_session_folders_must_be_ones_own_and_the_machines_own() -> None:
    assert [check.verdict for check in machine.session_folders(probe())] == [Verdict.OK, Verdict.OK]
    for fault in ({"owner": 0}, {"is_link": True}, {"mount": "nfs4"}, {"lock_error": "No locks available"}):
        check = machine.session_folders(probe(runtime=fault))[0]
        assert check.verdict is Verdict.WRONG and "FARCELL_RUNTIME_DIR" in check.fix
    full = machine.session_folders(probe(runtime={"error": "Disk quota exceeded", "errno": "EDQUOT"}))[0]
    assert say(full) == ("wrong", "/d: the quota is used up")


def test_a_cache_without_locks_or_a_slow_disk_is_a_note() -> None:
    assert machine.cache(probe(cache={"lock_error": "No locks available"}), False)[1].verdict is Verdict.NOTE
    assert machine.cache(probe(cache={"fsync_s": 3.0}), False)[1].verdict is Verdict.NOTE
    assert machine.cache(probe(cache={"noexec": True}), False)[0].verdict is Verdict.OK
    assert machine.cache(probe(cache={"noexec": True}), True)[0].verdict is Verdict.WRONG
    assert machine.cache(probe(cache={"free_bytes": 100 << 20}), True)[0].verdict is Verdict.WRONG


def test_what_a_kernel_lacks_is_answered_with_the_way_to_it() -> None:
    lacks = {"lacking": "no ipykernel", "environment": None}
    options = LaunchOptions("t")
    assert machine.kernel(options, "python3", {"lacking": None}, probe()).verdict is Verdict.OK
    assert machine.kernel(options, "python3", {**lacks, "environment": "/c/bin/python"}, probe()).verdict is Verdict.OK
    assert machine.kernel(options, "python3", lacks, probe()).verdict is Verdict.NOTE
    never = machine.kernel(LaunchOptions("t", environment="never"), "python3", lacks, probe())
    assert never.verdict is Verdict.WRONG and "python3 -m pip install ipykernel" in never.fix
    bare = probe()
    assert bare.probe is not None
    bare.probe["installers"] = []  # type: ignore[index]
    assert "%remote env ship t" in machine.kernel(options, "python3", lacks, bare).fix


def test_shared_memory_and_gpus_are_told_as_they_are() -> None:
    small = machine.temporary(probe(shm={"free_bytes": 64 << 20}))[1]
    assert small.verdict is Verdict.NOTE and "SIGBUS" in small.found
    answers = probe()
    assert answers.probe is not None
    two = {**answers.probe, "gpus": {"names": ["H100", "H100"]}}
    assert say(machine.gpus(Answers({}, two))) == ("ok", "2 x H100")
    broken = {**answers.probe, "gpus": {"names": [], "error": "Driver/library version mismatch"}}
    assert machine.gpus(Answers({}, broken)).verdict is Verdict.NOTE
    assert say(machine.gpus(Answers({}, {**answers.probe, "gpus": {"names": []}}))) == ("ok", "none")


# -- a cluster


def test_slurm_is_told_in_its_own_words() -> None:
    options = LaunchOptions("t", backend="slurm", resources=Resources(partition="gpu2"))
    assert cluster.commands({"sbatch": " sh: 1: sbatch: not found"}).verdict is Verdict.WRONG
    asked = {"sbatch": "/usr/bin/sbatch slurm-wlm 22.05.8"}
    assert say(cluster.commands(asked)) == ("ok", "slurm-wlm 22.05.8: /usr/bin/sbatch")
    away = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    assert away in cluster.commands({**asked, "squeue": away}).found
    refused = (
        f"1 sbatch: error: invalid partition specified: gpu2{script.LINES}allocation failure: Invalid partition name specified"
    )
    check = cluster.trial(options, {"trial": refused})
    assert check.verdict is Verdict.WRONG and "invalid partition specified: gpu2; allocation failure" in check.found
    taken = "0 sbatch: Job 7 to start at 2026-11-30T05:00:00 using 1 processors on nodes gpu0 in partition gpu"
    assert "to start at 2026-11-30T05:00:00" in cluster.trial(options, {"trial": taken}).found


def test_nodes_that_cannot_be_reached_matter_by_the_route() -> None:
    away = [{"name": "gpu0", "address": "10.0.0.8:6818", "error": "timed out"}]
    verdicts = {"auto": Verdict.NOTE, "tcp": Verdict.WRONG, "srun": Verdict.OK}
    for route, verdict in verdicts.items():
        assert cluster.nodes(LaunchOptions("t", route=route), away).verdict is verdict
    assert cluster.nodes(LaunchOptions("t"), []).verdict is Verdict.UNCHECKED
