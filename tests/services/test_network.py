"""The link of the tests does what its class says."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.needs import NETNS, SLURM, ensure
from services.network import Link
from services.service import lives, until
from services.slurm import Slurm
from services.sshd import Sshd

SERVE = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1 << 20):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
with Server((sys.argv[1], 0), Echo) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""
TALK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60) as peer:
    for line in sys.stdin:
        peer.sendall(line.encode())
        print(peer.makefile().readline(), end="", flush=True)
"""
COUNT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    own.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: what arrived is not lost here
    own.bind((sys.argv[1], 0))
    own.settimeout(30)
    print(own.getsockname()[1], flush=True)
    count = 0
    while (got := own.recvfrom(100))[0] != b"end":
        count += 1
    print(count)
    for _ in range(50):
        own.sendto(b"heard", got[1])
"""
SEND = """
import contextlib, socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    own.connect((sys.argv[1], int(sys.argv[2])))
    own.settimeout(0.05)
    for _ in range(300):
        own.send(b"one")
    for _ in range(500):
        own.send(b"end")
        with contextlib.suppress(TimeoutError):
            own.recv(100)
            break
"""
TRIPS = """
import socket, sys, time
count, size = int(sys.argv[3]), int(sys.argv[4])
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as peer:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(count):
        began, missing = time.perf_counter(), size
        peer.sendall(bytes(size))
        while missing:
            missing -= len(peer.recv(1 << 20))
        print(time.perf_counter() - began)
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))"


class Echo:
    """A server in the cluster that sends back what it gets, and clients in the laptop."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.server = link.popen("cluster", [sys.executable, "-c", SERVE, link.cluster], stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        self.address = [link.cluster, self.server.stdout.readline().strip()]

    def trips_s(self, count: int = 1, size: int = 64) -> list[float]:
        """How long each round trip of so many bytes took."""
        done = self.link.run("laptop", [sys.executable, "-c", TRIPS, *self.address, str(count), str(size)])
        assert done.returncode == 0, done.stderr
        return [float(line) for line in done.stdout.split()]

    def connect(self, within_s: float = 1) -> str:
        """The last line of what a new client says: nothing when it is connected."""
        return self.link.run("laptop", [sys.executable, "-c", CONNECT, *self.address, str(within_s)]).stderr.strip()[-200:]


@pytest.fixture(scope="module")
def far_echo(module_link: Link) -> Iterator[Echo]:
    echo = Echo(module_link)
    yield echo
    echo.server.kill()
    echo.server.communicate(timeout=10)


@pytest.fixture
def echo(far_echo: Echo, link: Link) -> Echo:
    """On a link that is good again at the test's end."""
    return far_echo


def test_the_sides_are_other_networks(link: Link, echo: Echo) -> None:
    """The laptop reaches the cluster; this machine, outside, fails at once and does not send packets to a stranger."""
    assert echo.connect() == ""
    began = time.monotonic()
    with pytest.raises(subprocess.CalledProcessError) as error:
        subprocess.run([sys.executable, "-c", CONNECT, *echo.address, "10"], check=True, capture_output=True, text=True)
    assert "Network is unreachable" in error.value.stderr or "No route to host" in error.value.stderr
    assert time.monotonic() - began < 5


def test_a_cut_link_says_nothing_and_heals(link: Link, echo: Echo) -> None:
    """New connections time out; what an open one sends meanwhile comes through when the link has healed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with link.popen("laptop", [sys.executable, "-c", TALK, *echo.address], text=True, **pipes) as client:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write("before\n")
        client.stdin.flush()
        assert client.stdout.readline() == "before\n"
        link.cut()
        client.stdin.write("meanwhile\n")
        client.stdin.flush()
        assert "timed out" in echo.connect()
        assert select.select([client.stdout], [], [], 0)[0] == []
        link.heal()
        assert client.stdout.readline() == "meanwhile\n"
        client.stdin.close()
    assert client.returncode == 0
    assert echo.connect() == ""


def test_a_device_that_is_down_is_told_at_once(link: Link, echo: Echo) -> None:
    """The laptop has no network: connecting fails without waiting, until the device is up."""
    link.down()
    assert "Network is unreachable" in echo.connect(30)
    link.up()
    assert echo.connect() == ""


def test_delay_is_added_to_each_way(link: Link, echo: Echo) -> None:
    """50 ms one way make a round trip of 100 ms or a little more, and none is quicker."""
    link.delay(50)
    trips = echo.trips_s(5)
    assert 0.1 <= min(trips) < 0.2
    link.delay(0)
    assert min(echo.trips_s(5)) < 0.05


def test_rate_limits_each_direction(link: Link, echo: Echo) -> None:
    """2 MB at 16 Mbit/s take a second at least; both directions at once, as they are two."""
    link.rate(16)
    (took,) = echo.trips_s(1, 2_000_000)
    assert 0.9 < took < 10


def test_a_full_queue_loses_packets(link: Link, echo: Echo) -> None:
    """With room for 2 KB before a slow link, most of 300 datagrams that come at once are lost."""
    assert _arrived(link) == 300
    link.rate(0.1)
    link.queue(2)
    assert 50 < _arrived(link) < 150


def test_loss_is_random_and_tcp_repairs_it(link: Link, echo: Echo) -> None:
    """With 20 % lost, about 240 of 300 datagrams arrive; over TCP 2 MB come through 2 % all the same."""
    link.loss(20)
    assert 200 < _arrived(link) < 280
    link.loss(2)
    assert len(echo.trips_s(1, 2_000_000)) == 1


def test_an_ssh_server_at_the_far_end(link: Link, openssh: None) -> None:
    """A login from the laptop works; a client that watches its connection ends when the link is cut, and may come back."""
    with Sshd(link=link) as server:
        assert server.run(server.user, "echo far").stdout == "far\n"
        watch = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"]
        client = subprocess.Popen(server.command(server.user, "echo $$; exec sleep 300", *watch), stdout=subprocess.PIPE)
        try:
            assert client.stdout is not None
            command = psutil.Process(int(client.stdout.readline()))
            link.cut()
            assert client.wait(20) == 255
            assert lives(command)
            link.heal()
            assert server.run(server.user, "echo again").stdout == "again\n"
        finally:
            client.kill()
            client.communicate(timeout=10)
    assert not lives(command)


def test_a_cluster_at_the_far_end(link: Link, openssh: None) -> None:
    """Slurm and its login node are reached from the laptop, and run a job; nothing of it outlives them."""
    ensure(SLURM)
    with Slurm(nodes=1, gpus=1, link=link) as cluster, Sshd(link=link, environment=cluster.environment()) as login_node:
        job = login_node.run(login_node.root, "sbatch --parsable --wrap='exec sleep 300' --output=/dev/null").stdout.strip()
        until(lambda: cluster.state(job) == "RUNNING", 30, "the job runs")
        own = cluster.processes()
        assert cluster.run("scancel", job).returncode == 0
    assert [process for process in own if lives(process)] == []


def test_nothing_outlives_the_link() -> None:
    """The wire and what still runs inside are gone by pid, and the latter is named; so are namespaces and the route outside."""
    ensure(NETNS)
    with Link() as link:
        server = link.popen("cluster", ["sleep", "300"])
        own = link.processes()
        assert server.pid in [process.pid for process in own] and len(own) == 2
        assert link.close(grace_s=0.2) == [f"process {server.pid}: sleep 300"]
        server.wait(10)
        assert [process for process in own if lives(process)] == []
    assert not list(Path("/run/netns").glob(f"{link.folder.name}-*"))


def _arrived(link: Link) -> int:
    """Of 300 datagrams."""
    with link.popen("cluster", [sys.executable, "-c", COUNT, link.cluster], stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port = receiver.stdout.readline().strip()
        assert link.run("laptop", [sys.executable, "-c", SEND, link.cluster, port]).returncode == 0
        return int(receiver.stdout.read())
