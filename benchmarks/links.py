"""Targets over ssh, on this machine and at the far end of a link that is slow or was cut; against ssh itself.

Servers and link are those of tests/services. Where they cannot be started, that is said and nothing is measured.
"""

from __future__ import annotations

import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import Figure, interleave, ratio
from frontend import FrontEnd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from services.needs import NETNS, SSH, missing
from services.network import Link
from services.sshd import Sshd

MIB = 1 << 20
BULK_BYTES = 256 * MIB
TRIVIAL_ROUNDS, BULK_ROUNDS, START_ROUNDS, CUT_ROUNDS = 100, 5, 5, 5
ONE_WAY_MS = 25.0
BULK_MBIT = 1000.0
"""Without a limit all processes of both sides would share the cores of one machine, which two machines do not."""
CUT_S = 11.0
"""Long enough for the loss to be noticed, and for ssh's own connection to end."""
COUNT = "import time\nfor n in range(3000):\n    print(n, flush=True)\n    time.sleep(0.02)\n    if os.path.exists(gate): break"
PING = "import os, sys\nwhile data := os.read(0, 64): os.write(1, data)"
LAST = "workspace().runs[-1].summary"


def measure() -> list[Figure]:
    figures: list[Figure] = []
    for need, measured in ((SSH, _near), (NETNS, _far)):
        if reason := missing(need):
            print(f"not measured: {need.service}: {reason}")
            break
        figures += measured()
    return figures


@contextmanager
def _at(server: Sshd, targets: int = 1) -> Iterator[FrontEnd]:
    """A notebook with targets far0, far1, ..., all the same machine, with a session on the first."""
    with FrontEnd() as front_end:
        for number in range(targets):
            front_end.define_target(
                f"far{number}",
                backend="ssh",
                host=server.root,
                ssh=shlex.join(server.client),
                python=sys.executable,
                cache_dir=str(front_end.cache / "far"),
                keep_s=60.0,
            )
        front_end.run("%load_ext farcell\nimport os\nimport numpy as np\nfrom farcell.api import workspace")
        front_end.run("%%remote far0\n1")
        yield front_end
        for number in range(targets):
            front_end.run(f"%remote stop far{number}")


def _near() -> list[Figure]:
    with Sshd() as server, _at(server, targets=START_ROUNDS + 2) as front_end:
        trivial = interleave(
            {
                "local": lambda: front_end.run("%%remote local\nx = 1").seconds,
                "ssh": lambda: front_end.run("%%remote far0\nx = 1").seconds,
            },
            TRIVIAL_ROUNDS,
            10,
        )
        starts = _starts(server, front_end)
    bare = statistics.median(starts["bare kernel"]) + statistics.median(starts["ssh"])
    return [
        Figure("warm trivial cell over ssh, to the local target", ratio(trivial, "ssh", "local"), 1.2, True, samples=trivial),
        Figure(
            "first cell of a session over ssh, to a bare kernel's start and one ssh",
            statistics.median(starts["farcell"]) / bare,
            1.3,
            True,
            samples=starts,
        ),
    ]


def _timed(command: list[str], **options: object) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]
    return time.perf_counter() - began


def _there(server: Sshd, front_end: FrontEnd) -> dict[str, list[float]]:
    file = server.folder / "bulk"
    front_end.run(f"source = np.random.default_rng(0)\nfresh = lambda: source.integers(0, 1 << 62, {BULK_BYTES // 8})")

    def farcell() -> float:
        front_end.run("a = fresh()")
        seconds = front_end.run("%%remote far0\na[0]").seconds
        assert front_end.value(f"{LAST}.sent_bytes") >= BULK_BYTES
        return seconds

    def ssh() -> float:
        front_end.run(f"fresh().tofile({str(file)!r})")
        with open(file, "rb") as source:
            return _timed(server.command(f"{server.root}-mux", "cat >/dev/null"), stdin=source)

    return interleave({"farcell": farcell, "ssh": ssh}, BULK_ROUNDS, 1)


def _back(server: Sshd, front_end: FrontEnd) -> dict[str, list[float]]:
    file = server.folder / "bulk"
    numbers = iter(range(1000))

    def farcell() -> float:
        name = f"back{next(numbers)}"
        make = f"import numpy as np\n{name} = np.random.default_rng().integers(0, 1 << 62, {BULK_BYTES // 8})"
        front_end.run(f"%%remote far0 --keep {name}\n{make}")
        seconds = front_end.run(f"{name}[0]").seconds
        front_end.run(f"del {name}")
        return seconds

    def ssh() -> float:
        return _timed(server.command(f"{server.root}-mux", f"cat {file}"), stdout=subprocess.DEVNULL)

    return interleave({"farcell": farcell, "ssh": ssh}, BULK_ROUNDS, 1)


def _starts(server: Sshd, front_end: FrontEnd) -> dict[str, list[float]]:
    """Each a session of its own, over the connection that is there."""
    numbers = iter(range(1, 1000))
    shared = f"{server.root}-mux"
    server.run(shared, "true")

    def bare() -> float:
        with FrontEnd() as other:
            return other.start_seconds

    def session() -> float:
        return front_end.run(f"%%remote far{next(numbers)}\n1").seconds

    return interleave(
        {"farcell": session, "bare kernel": bare, "ssh": lambda: _timed(server.command(shared, "true"))}, START_ROUNDS, 1
    )


def _far() -> list[Figure]:
    with Link() as link, Sshd(link=link) as server, _at(server) as front_end:
        cut = _reconnects(link, server, front_end)
        link.delay(ONE_WAY_MS)
        with _ping(server) as ping:
            slow = interleave(
                {
                    "local": lambda: front_end.run("%%remote local\nx = 1").seconds,
                    "ssh": lambda: front_end.run("%%remote far0\nx = 1").seconds,
                    "round trip": ping,
                },
                TRIVIAL_ROUNDS // 4,
                3,
            )
        link.reset()
        link.rate(BULK_MBIT)
        there, back = _there(server, front_end), _back(server, front_end)
    medians = {name: statistics.median(values) for name, values in slow.items()}
    extra = (medians["ssh"] - medians["local"]) / medians["round trip"]
    return [
        Figure("warm trivial cell 50 ms away, beyond the local target, in round trips", extra, 1, True, samples=slow),
        Figure("output again after a cut, to a fresh ssh", ratio(cut, "farcell", "ssh"), 2, True, samples=cut),
        Figure("256 MB by 1 Gbit/s, rate to ssh's own", ratio(there, "ssh", "farcell"), 0.9, False, samples=there),
        Figure("256 MB back by 1 Gbit/s, rate to ssh's own", ratio(back, "ssh", "farcell"), 0.9, False, samples=back),
    ]


@contextmanager
def _ping(server: Sshd) -> Iterator[Callable[[], float]]:
    """Seconds of 64 bytes there and back through an ssh session that is open."""
    command = server.command(server.root, shlex.join([sys.executable, "-c", PING]))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as client:
        assert client.stdin is not None and client.stdout is not None
        writing, reading = client.stdin, client.stdout

        def ping() -> float:
            began = time.perf_counter()
            writing.write(bytes(64))
            reading.read(64)
            return time.perf_counter() - began

        yield ping
        writing.close()


def _reconnects(link: Link, server: Sshd, front_end: FrontEnd) -> dict[str, list[float]]:
    """From the moment that the link has healed to what the cell prints next."""
    taken: dict[str, list[float]] = {"farcell": [], "ssh": []}
    for number in range(CUT_ROUNDS):
        gate = server.folder / f"gate{number}"
        front_end.run(f"gate = {str(gate)!r}")
        cut = _Cut(link, gate, CUT_S + 0.37 * number)
        front_end.run(f"%%remote far0\nimport os\n{COUNT}", on_text=cut.on_text, poll_s=0.005)
        taken["farcell"].append(cut.seconds)
        taken["ssh"].append(_timed(server.command(server.root, "true")))
    return taken


class _Cut:
    """Cuts the link when the cell has printed something, heals it `after_s` seconds later."""

    def __init__(self, link: Link, gate: Path, after_s: float) -> None:
        self._link, self._gate, self._after_s = link, gate, after_s
        self._cut_at = self._healed_at = self.seconds = 0.0

    def on_text(self, text: str) -> None:
        now = time.perf_counter()
        if not self._cut_at:
            self._link.cut()
            self._cut_at = time.perf_counter()
        elif not self._healed_at and now > self._cut_at + self._after_s:
            self._link.heal()
            self._healed_at = time.perf_counter()
        elif self._healed_at and text and not self.seconds:
            self.seconds = now - self._healed_at
            self._gate.touch()
