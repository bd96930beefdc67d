"""People in accounts of their own on one machine: what is one's is refused to all others, and to the broker's account."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from hostclient import is_alive, wait_until
from lending import Lender, lease, shared
from sandbox import Sandbox
from services.people import BrokerOfPeople, People
from services.sshd import Sshd

SECRET = "what only ann may know"


@pytest.fixture
def anns(broker_of_people: BrokerOfPeople) -> dict[str, object]:
    host = broker_of_people.start("ann")
    broker_of_people("run", host=host, code=f"secret = {SECRET!r}; import sys; sys.secret = secret; print(secret)")
    return host


def test_a_host_runs_as_its_user_and_with_nothing_of_the_brokers(people: People, broker_of_people: BrokerOfPeople) -> None:
    host = broker_of_people.start("ann")
    said = broker_of_people(
        "run", host=host, code="import os; print(os.getresuid(), os.getresgid(), dict(os.environ), os.getcwd(), os.getgroups())"
    )
    entry = people.entry("ann")
    assert str((entry.pw_uid,) * 3) in said and str((entry.pw_gid,) * 3) in said and entry.pw_dir in said
    assert "'CUDA_VISIBLE_DEVICES': '1'" in said
    assert "JUPYTERHUB" not in said and "FARCELL_BROKER" not in said and "SUDO_" not in said
    assert broker_of_people("run", host=host, code="import os; print(oct(os.umask(0o077)))") == "0o77"
    code = "print(open('/proc/self/status').read())"
    assert "NoNewPrivs:\t1" in broker_of_people("run", host=host, code=code), "no setuid program helps it to another account"
    assert Path(people.runtime, people.name("ann")).stat().st_mode & 0o777 == 0o700


def test_processes_memory_and_environment_are_refused_to_others(
    people: People, broker_of_people: BrokerOfPeople, anns: dict[str, object]
) -> None:
    kernel = int(broker_of_people("ask", host=anns, op="gpus")["kernel_pid"])
    look = f"""
import ctypes, os
for pid in ({anns["pid"]}, {kernel}):
    for name in ("environ", "mem", "maps", "fd", "cwd", "root", "stack"):
        path = f"/proc/{{pid}}/{{name}}"
        try:
            os.listdir(path) if name in ("fd", "cwd", "root") else open(path, "rb").read(1)
            print("READ", path)
        except PermissionError:
            print("refused")
    libc = ctypes.CDLL(None, use_errno=True)
    print("TRACED" if libc.ptrace(16, pid, None, None) == 0 else "refused")
    for number in (0, 2, 9):
        try:
            os.kill(pid, number)
            print("SIGNALLED")
        except PermissionError:
            print("refused")
"""
    for who in ("bob", "p1", "broker"):
        done = people.python_of(who, look)
        assert done.stdout.split() == ["refused"] * 22, (who, done.stdout, done.stderr)
    assert people.python_of("ann", f"import os; os.kill({kernel}, 0); print('hers')").stdout == "hers\n"


def test_sockets_journals_chunks_and_runtime_folders_are_refused_to_others(people: People, anns: dict[str, object]) -> None:
    runtime, home = str(anns["runtime"]), people.entry("ann").pw_dir
    look = f"""
import os, socket
for name in ("socket", "attach.socket", "kernel.socket", "kernel-1"):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(os.path.join({runtime!r}, name))
            print("CONNECTED", name)
        except PermissionError:
            print("refused")
for path in ({runtime!r},
             {runtime!r} + "/journal", {runtime!r} + "/host.json", os.path.dirname({runtime!r}), {str(people.runtime)!r},
             {home!r}, {home!r} + "/.cache/farcell"):
    try:
        os.listdir(path) if "." not in os.path.basename(path) else open(path).read()
        print("READ", path)
    except PermissionError:
        print("refused")
"""
    for who in ("bob", "p1", "broker"):
        done = people.python_of(who, look)
        assert done.stdout.split() == ["refused"] * 11, (who, done.stdout, done.stderr)
    assert "CONNECTED socket" in people.python_of("ann", look).stdout, "the names are right"


def test_nobody_but_the_broker_may_run_the_helper(people: People, anns: dict[str, object]) -> None:
    session = str(anns["session"])
    for who in ("bob", "ann", "p1"):
        done = people.asked("attach", people.name("ann"), session, who=who)
        assert done.returncode != 0 and "password is required" in done.stderr
    done = people.run("broker", ["sudo", "-n", "/bin/sh", "-c", "id"])
    assert done.returncode != 0 and "password is required" in done.stderr, "the broker may run nothing else"
    direct = people.run("bob", [str(people.helper), "processes", people.name("ann"), "l", session])
    assert direct.returncode == 1 and "runs as root" in direct.stderr


def test_a_session_lives_on_without_the_broker_and_is_found_by_the_next(people: People, broker_of_people: BrokerOfPeople) -> None:
    host = broker_of_people.start("ann")
    broker_of_people("run", host=host, code="import sys; sys.kept = 41")
    restarted = BrokerOfPeople(people)
    again = restarted.start("ann")
    assert again == host
    assert restarted("run", host=again, code="import sys; print(sys.kept + 1)") == "42"
    restarted("save_and_end", host=again)
    assert restarted("status", host=again) is None
    restarted.close()


def test_an_end_takes_all_of_the_lease_and_nothing_else_of_its_user(people: People, broker_of_people: BrokerOfPeople) -> None:
    """Also what took the lease's mark out of its environment, where control groups hold it."""
    host, other = broker_of_people.start("ann"), broker_of_people.start("ann", fence=2)
    daemon = """
import os, subprocess
plain = subprocess.Popen(["sleep", "600"], start_new_session=True)
hidden = subprocess.Popen(["sleep", "601"], start_new_session=True, env={"PATH": os.environ["PATH"]})
print(plain.pid, hidden.pid)
"""
    pids = list(map(int, broker_of_people("run", host=host, code=daemon).split()))
    assert all(map(is_alive, pids))
    broker_of_people("end", host=host)
    assert wait_until(lambda: not is_alive(pids[0]))
    if _has_control_groups():
        others = people.asked("signal", people.name("bob"), str(other["lease"]), "KILL")
        assert others.returncode == 0, "another's account has no such lease"
        assert wait_until(lambda: not is_alive(pids[1]))
    else:
        os.kill(pids[1], 9)
    assert broker_of_people("status", host=host) is None
    assert broker_of_people("run", host=other, code="print('here')") == "here"


def test_the_brokers_own_process_is_closed_to_hosts_of_its_own_account(people: People, broker_of_people: BrokerOfPeople) -> None:
    """Isolation "none" on the broker's machine: its files are open to whoever runs there, its memory and environment are not."""
    host = broker_of_people.start("ann", "none")
    code = f"""
import ctypes, os
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/{broker_of_people.pid}/{{name}}", "rb").read(1)
        print("READ", name)
    except PermissionError:
        print("refused")
print("TRACED" if ctypes.CDLL(None).ptrace(16, {broker_of_people.pid}, None, None) == 0 else "refused", os.getuid())
"""
    assert broker_of_people("run", host=host, code=code).split() == ["refused"] * 4 + [str(people.entry("broker").pw_uid)]


def test_accounts_of_the_system_and_those_that_nobody_names_are_refused(people: People, broker_of_people: BrokerOfPeople) -> None:
    for account in ("root", "daemon", "nobody", people.name("broker"), "no-such-account", "../root", "-ann", "ann;id", ""):
        done = people.asked("start", account, "lease", "s-0123456789", given="{}")
        assert done.returncode == 1 and done.stdout == "", (account, done.stderr)
    with pytest.raises(RuntimeError, match=r"Refused: .* is no account on 'shared'"):
        broker_of_people.start("x" * 40)
    with pytest.raises(RuntimeError, match="there is no account"):
        broker_of_people.start("eve")
    with pytest.raises(RuntimeError, match="names no account"):
        broker_of_people.start("broker")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("start", "ANN", "lease", "../../etc"), "{}"),
        (("start", "ANN", "le/ase", "s-0123456789"), "{}"),
        (("start", "ANN", "lease", "s-0123456789", "more"), "{}"),
        (("signal", "ANN", "lease", "STOP"), ""),
        (("run", "ANN", "id"), ""),
        ((), ""),
        (("start", "ANN", "lease", "s-0123456789"), "[]"),
        (("start", "ANN", "lease", "s-0123456789"), '{"env": {"A=B": "1"}}'),
        (("start", "ANN", "lease", "s-0123456789"), '{"flags": {"runtime": "/etc"}}'),
        (("start", "ANN", "lease", "s-0123456789"), '{"flags": {"cwd": "relative"}}'),
        (("start", "ANN", "lease", "s-0123456789"), '{"flags": {"target": "--zmq"}}'),
        (("start", "ANN", "lease", "s-0123456789"), '{"argv": ["/bin/sh"]}'),
        (("start", "ANN", "lease", "s-0123456789"), json.dumps({"env": {"A": "x" * 70000}})),
        (("wipe", "ANN", "lease"), ""),
    ],
)
def test_the_helper_takes_only_what_it_knows(people: People, arguments: tuple[str, ...], given: str) -> None:
    words = [people.name("ann") if word == "ANN" else word for word in arguments]
    done = people.asked(*words, given=given)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith("farcell-broker-helper: "), done
    assert "Traceback" not in done.stderr


def test_a_configuration_that_others_could_have_written_is_not_believed(people: People) -> None:
    people.config.chmod(0o666)
    done = people.asked("processes", people.name("ann"), "lease", "s-0123456789")
    assert done.returncode == 1 and "must be root's own" in done.stderr
    people.configure()
    assert people.asked("processes", people.name("ann"), "lease", "s-0123456789").returncode == 0


def test_the_configuration_that_the_document_shows_is_one(people: People) -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    (shown,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    people.config.write_text(shown.replace("accounts = pool01", f"accounts = {people.name('p1')} pool01"))
    done = people.asked("processes", people.name("p1"), "lease", "s-0123456789")
    assert done.returncode == 0 and json.loads(done.stdout) == {"host": False, "pids": []}, done.stderr
    assert people.asked("processes", people.name("ann"), "lease", "s-0123456789").returncode == 1, "it does not name her"
    people.configure()


def _has_control_groups() -> bool:
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file if " - cgroup2 " in line]
    return any(os.access(os.path.join(point, "cgroup.procs"), os.W_OK) for point in points)


@pytest.mark.timeout(600)
def test_accounts_on_another_machine_are_reached_over_ssh(people: People, lender: Lender, sandbox: Sandbox, sshd: Sshd) -> None:
    """The account that the broker logs in with may run the helper, and is none of those that it starts hosts in."""
    people.allow(sshd.account(sshd.user).pw_name, "ssh")
    target = shared(
        backend="ssh",
        host=sshd.user,
        ssh=shlex.join(sshd.client),
        ssh_persist_s=2.0,
        isolation="account",
        helper=str(people.helper),
        account_name=people.name("{user}"),
    )
    host = lender.start(lease("cid"), target)
    who = people.entry("cid").pw_uid
    assert lender.run(host, "import os; print(os.getuid(), os.environ['CUDA_VISIBLE_DEVICES'])") == f"{who} 1"
    assert lender.run(host, "print('x' * 300000)") == "x" * 300000
    lender.do(lender.hosts.end(host))
    assert not lender.is_there(host)
