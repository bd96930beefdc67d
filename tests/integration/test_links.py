"""Targets at the far end of a bad link: cut, slow, lossy, down, with a machine behind it that is started again.

Notebook and servers are on this machine; only what ssh sends goes over the link, as it would between two.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import cast

import psutil
import pytest
from notebooks import Notebook
from places import Place, define_target, over_ssh
from sandbox import Sandbox
from services.clock import WrongClock
from services.network import Link
from services.service import until
from services.sshd import Sshd

COUNT = "import time\nfor n in range({count}):\n    print(n, flush=True)\n    time.sleep(0.1)"
MIB = 1 << 20
SEEN_S = 20.0
"""The line is there after 8 to 10 s on a machine that has time; this bounds what a busy one takes."""
IN_FLIGHT_BYTES = 24 * MIB
"""What buffers hold at the moment of a cut: TCP's on both sides, the window of ssh's channel, pipes."""


@pytest.fixture(scope="module")
def server(openssh: None, module_link: Link) -> Iterator[Sshd]:
    with Sshd(link=module_link) as server:
        yield server


@pytest.fixture(scope="module")
def module_far(server: Sshd) -> Iterator[Place]:
    """A notebook with a session at the other end of the link, the same for all tests; they use `far`."""
    box = Sandbox()
    define_target(box, "t", **over_ssh(box, server))
    with Notebook(box) as notebook:
        notebook.run("%load_ext farcell").check()
        yield Place(notebook, "t", "ssh")
    left = box.close()
    assert not left, left


@pytest.fixture
def far(module_far: Place, link: Link) -> Place:
    """Its session is up, and the link is good."""
    module_far.far("1").check()
    return module_far


def numbers(text: str) -> list[int]:
    return [int(line) for line in text.split() if line.isdigit()]


def sent_bytes(link: Link) -> int:
    """By the laptop, everything counted that its device was given."""
    line = next(line for line in link.run("laptop", ["cat", "/proc/net/dev"]).stdout.splitlines() if "wire:" in line)
    return int(line.split(":")[1].split()[8])


def stay(notebook: Notebook, seconds: float) -> None:
    """The time goes by, with what comes meanwhile taken."""
    over = time.monotonic() + seconds
    notebook.pump(lambda: time.monotonic() > over, seconds + 30)


@pytest.mark.slow
def test_a_minute_without_a_link(far: Place, link: Link) -> None:
    """In one notebook's run, and in the middle of another's upload: all that was printed comes, once, and what has arrived of
    the upload is not sent again."""
    with Notebook(far.notebook.sandbox) as other:
        other.run("%load_ext farcell\nimport numpy as np\ndata = np.random.default_rng(5).bytes(256 << 20)").check()
        other.run("%%remote t\n1").check()
        running = far.start(COUNT.format(count=700))
        running.until("5\n")
        link.rate(600)
        before = sent_bytes(link)
        uploading = other.start("%%remote t\nimport hashlib\nhashlib.blake2b(data).hexdigest()")
        until(lambda: sent_bytes(link) - before > 100 * MIB, 30, "the upload is under way")
        link.cut()
        cut_at = time.monotonic()
        running.until(lambda cell: any("reconnecting to 't', " in line for line in cell.lines), 30)
        seen_s = time.monotonic() - cut_at
        stay(far.notebook, 60 - seen_s)
        link.heal()
        assert numbers(running.finish(60).check().stdout) == list(range(700))
        cell = uploading.finish(60).check()
        sent = sent_bytes(link) - before
        assert cell.result == repr(other.value("__import__('hashlib').blake2b(data).hexdigest()"))
        assert sent < 256 * MIB * 1.03 + IN_FLIGHT_BYTES, f"{sent / MIB:.0f} MiB were sent"
        assert seen_s < SEEN_S, f"it showed after {seen_s:.1f} s"


RECONNECTS = "__import__('farcell.api').api.workspace().sessions['t']._life.connection.reconnects"
STATUS = "__import__('farcell.api').api.workspace().sessions[{name!r}]._life.ask('status')"
LINES = {"100 ms away": "delay 50", "10 Mbit/s": "rate 10", "5 % lost": "loss 5"}


@pytest.mark.parametrize("line", LINES)
def test_a_poor_line_carries_everything(line: str, far: Place, link: Link) -> None:
    """Output, values there and back, a question, and the stop button; nothing takes it for a cut one."""
    verb, number = LINES[line].split()
    getattr(link, verb)(float(number))
    reconnects = far.notebook.value(RECONNECTS)
    far.here("import os\ndata = os.urandom(1 << 20)")
    assert far.far("back = data[::-1]\nfor n in range(100): print(n)").check().stdout == "".join(f"{n}\n" for n in range(100))
    assert far.notebook.value("back == data[::-1]")
    assert far.notebook.run("%%remote t\ninput('which? ')", answers=["this"]).check().result == "'this'"
    running = far.start("import time\nprint('begun', flush=True)\ntime.sleep(60)")
    running.until("begun")
    far.notebook.interrupt()
    stopped = running.finish(20)
    assert stopped.error is not None and stopped.error.name == "KeyboardInterrupt"
    assert not running.lines or "reconnecting" not in str(running.lines)
    assert far.notebook.value(RECONNECTS) == reconnects


@pytest.mark.slow
def test_a_device_that_goes_down_and_comes_up(far: Place, link: Link) -> None:
    running = far.start(COUNT.format(count=100))
    running.until("5\n")
    link.down()
    running.until(lambda cell: any("reconnecting to 't', " in line for line in cell.lines), 30)
    link.up()
    assert numbers(running.finish(60).check().stdout) == list(range(100))


@pytest.mark.slow
def test_a_kernel_that_is_restarted_while_the_link_is_down(far: Place, link: Link) -> None:
    """The new one says that the machine cannot be reached, and takes the run over once it can."""
    far.far("brought = bytes(1 << 20)").check()
    far.start(COUNT.format(count=30)).until("5\n")
    link.down()
    far.notebook.restart(now=True)
    far.notebook.run("%load_ext farcell").check()
    unreachable = far.notebook.run("%remote attach")
    assert "cannot be reached" in unreachable.stderr and unreachable.error is not None
    link.up()
    attached = far.notebook.run("%remote attach --takeover").check()
    assert numbers(attached.stdout) == list(range(30))
    assert far.far("n").check().result == "29"


def test_a_server_that_is_restarted(far: Place, server: Sshd) -> None:
    """sshd alone, with all its connections: what it had started goes on."""
    running = far.start(COUNT.format(count=50))
    running.until("5\n")
    daemons = [each for each in server.processes() if each.name().startswith("sshd")]
    for process in daemons:
        process.kill()
    psutil.wait_procs(daemons, 10)
    running.until(lambda cell: any("reconnecting to 't', " in line for line in cell.lines), 30)
    server.start()
    assert numbers(running.finish().check().stdout) == list(range(50))


def test_a_machine_that_is_started_again(far: Place, server: Sshd) -> None:
    """Everything on it is gone: the cell says so, and the next one has a new session."""
    running = far.start(COUNT.format(count=600))
    running.until("5\n")
    server.stop()
    server.start()
    cell = running.finish()
    assert cell.error is not None and cell.error.name == "HostDied"
    assert "'t'" in cell.error.value and "Run the cell again" in cell.error.value
    assert far.far("6 * 7").check().result == "42"


def test_the_bridge_may_be_killed(far: Place, openssh: None, link: Link) -> None:
    """Where no socket is forwarded: `attach`, the process over there that carries the bytes."""
    with Sshd(link=link, extra=["AllowStreamLocalForwarding no"]) as server:
        define_target(far.notebook.sandbox, "bridged", **over_ssh(far.notebook.sandbox, server))
        running = far.notebook.start("%%remote bridged\n" + COUNT.format(count=40))
        running.until("5\n")
        bridges = [each for each in server.processes() if "attach" in each.cmdline()]
        assert bridges
        for process in bridges:
            process.kill()
        assert numbers(running.finish().check().stdout) == list(range(40))
        far.notebook.run("%remote stop bridged").check()


@pytest.mark.parametrize("ahead_s", [-7200, 7200], ids=["behind", "ahead"])
def test_a_clock_that_is_wrong(ahead_s: int, far: Place, server: Sshd) -> None:
    """By hours: time-outs, ages and what is measured are by durations."""
    name = "behind" if ahead_s < 0 else "ahead"
    with WrongClock(ahead_s) as clock:
        keys = over_ssh(far.notebook.sandbox, server)
        env = {**clock.environment(), **cast(dict[str, str], keys["env"])}
        define_target(far.notebook.sandbox, name, **{**keys, "env": env, "idle_timeout_s": 600.0, "keep_s": 600.0})
        there = float(far.notebook.run(f"%%remote {name}\nimport time\ntime.time()").check().result or 0)
        assert abs(there - time.time() - ahead_s) < 10
        running = far.notebook.start(f"%%remote {name}\n" + COUNT.format(count=30))
        running.until("5\n")
        server.drop()
        assert numbers(running.finish().check().stdout) == list(range(30))
        listed = far.notebook.value(STATUS.format(name=name))
        assert listed["idle_s"] < 5 and listed["age_s"] < 30
        far.notebook.run(f"%remote stop {name}").check()


@pytest.mark.slow
def test_two_notebooks_on_one_session(server: Sshd, link: Link, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is cut off; the second, elsewhere, is told whose the run is, and takes it over: the first hears of it."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/one.ipynb")
    elsewhere = Sandbox()
    define_target(sandbox, "t", **over_ssh(sandbox, server))
    inside = shlex.join(link.command("cluster", ["ssh", "-F", str(server.config)]))
    define_target(elsewhere, "t", **over_ssh(sandbox, server, ssh=inside))
    with Notebook(sandbox) as first, Notebook(elsewhere) as second:
        for notebook in (first, second):
            notebook.run("%load_ext farcell").check()
        running = first.start("%%remote t\n" + COUNT.format(count=60))
        running.until("5\n")
        link.cut()
        refused = second.run("%remote attach")
        assert refused.error is not None and "--takeover" in refused.error.value, refused
        taken = second.start("%remote attach --takeover")
        taken.until("20\n")
        link.heal()
        assert numbers(taken.finish().check().stdout) == list(range(60))
        ended = running.finish(60)
        assert ended.error is not None and "Another notebook took this remote session over" in ended.error.value, ended
        second.run("%remote stop t").check()
    assert not elsewhere.close()
