"""What the way through a broker costs: a JupyterHub's proxy and the relay, against ssh and against a bare WebSocket.

Needs an SSH server as tests/services has it, and configurable-http-proxy on the PATH; without them that is said.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, interleave, ratio
from frontend import FrontEnd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from brokers import User
from farcell.backends.broker.pipe import Pipe
from hubs import BrokerHub
from ports import free_ports
from sandbox import Sandbox
from services.needs import SSH, missing
from services.sshd import Sshd
from tornado.websocket import websocket_connect

MIB = 1 << 20
BULK_BYTES, PIECE_BYTES = 128 * MIB, 256 << 10
CELL_ROUNDS, BULK_ROUNDS, LEASE_ROUNDS = 100, 7, 40
PIPE = """
import asyncio, socket, subprocess, sys
from farcell.backends.base import OpenedStream
from farcell_broker.relay import Relay
from farcell_host.stream import from_socket
from tornado.web import Application
from tornado.websocket import WebSocketHandler
SIZE, HOST = int(sys.argv[2]), sys.argv[3]
class Relayed(WebSocketHandler):
    def open(self):
        near, far = socket.socketpair()
        subprocess.Popen([sys.executable, "-S", "-c", HOST, str(far.fileno()), str(SIZE)], pass_fds=[far.fileno()])
        far.close()
        self.relay = Relay(self, OpenedStream(from_socket(near)))
    def on_message(self, message):
        return self.relay.receive(message)
    def on_close(self):
        self.relay.close(1000, "")
class Pipe(WebSocketHandler):
    left = None
    async def on_message(self, message):
        if self.left is None and message == b"down":
            piece = bytes(256 << 10)
            for _ in range(SIZE // len(piece)):
                await self.write_message(piece, binary=True)
        elif self.left is None:
            self.left = SIZE
        else:
            self.left -= len(message)
            if self.left <= 0:
                await self.write_message(b"done", binary=True)
async def main():
    routes = [(".*/relay", Relayed), (".*/pipe", Pipe)]
    Application(routes, websocket_max_message_size=4 << 20).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())
"""
HOST = """
import socket, sys
end, size = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
if end.recv(4) == b"down":
    piece = bytes(256 << 10)
    for _ in range(size // len(piece)):
        end.sendall(piece)
else:
    buffer = bytearray(256 << 10)
    while size > 0:
        size -= end.recv_into(buffer)
    end.sendall(b"done")
end.recv(1)
"""
"""What a kernel host's place is taken by: all that the relay costs, and nothing of what farcell does with the bytes."""


def measure() -> list[Figure]:
    if reason := missing(SSH):
        print(f"not measured: ssh: {reason}")
        return []
    if shutil.which("configurable-http-proxy") is None:
        print("not measured: there is no configurable-http-proxy: npm install -g configurable-http-proxy")
        return []
    box = Sandbox()
    (port,) = free_ports(1)
    pipe = subprocess.Popen([sys.executable, "-c", PIPE, str(port), str(BULK_BYTES), HOST], stdin=subprocess.DEVNULL)
    try:
        services = ({"name": "pipe", "url": f"http://127.0.0.1:{port}"},)
        with BrokerHub(box, ("ada",), services=services) as hub, Sshd() as server, FrontEnd() as front_end:
            return _measure(hub, server, front_end)
    finally:
        pipe.terminate()
        pipe.wait()
        box.close()


def _measure(hub: BrokerHub, server: Sshd, front_end: FrontEnd) -> list[Figure]:
    ada = hub.user("ada")
    token = front_end.cache / "token"
    token.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(ada.token)
    front_end.define_target("pool", backend="broker", url=hub.broker, token_file=str(token))
    front_end.define_target(
        "far",
        backend="ssh",
        host=server.root,
        ssh=shlex.join(server.client),
        python=sys.executable,
        cache_dir=str(front_end.cache),
    )
    front_end.run("%load_ext farcell\nimport numpy as np\nfrom farcell.api import workspace")
    front_end.run("%%remote pool\n1")
    front_end.run("%%remote far\n1")
    cells = interleave(
        {
            "broker": lambda: front_end.run("%%remote pool\nx = 1").seconds,
            "ssh": lambda: front_end.run("%%remote far\nx = 1").seconds,
        },
        CELL_ROUNDS,
        10,
    )
    front_end.run("%remote stop pool")
    front_end.run("%remote stop far")
    bulk = _bulk(f"{hub.url.replace('http', 'ws', 1)}services/pipe/")
    leases = _leases(hub, ada)
    return [
        Figure("warm trivial cell through the broker, to one over ssh", ratio(cells, "broker", "ssh"), 1.5, True, samples=cells),
        Figure("bulk there through the relay, to a bare WebSocket", ratio(bulk, "pipe up", "relay up"), 0.8, False, samples=bulk),
        Figure("bulk back through the relay, to a bare WebSocket", ratio(bulk, "pipe down", "relay down"), 0.8, False),
        Figure("a lease asked for, to a GET of the hub's", ratio(leases, "lease", "hub"), 5.0, True, samples=leases),
    ]


def _bulk(url: str) -> dict[str, list[float]]:
    """From and to a notebook's end of the stream, against the same library's WebSocket alone; through the same proxy."""
    variants = {
        "relay up": lambda: asyncio.run(_relayed(f"{url}relay", "up")),
        "relay down": lambda: asyncio.run(_relayed(f"{url}relay", "down")),
        "pipe up": lambda: asyncio.run(_piped(f"{url}pipe", "up")),
        "pipe down": lambda: asyncio.run(_piped(f"{url}pipe", "down")),
    }
    return interleave(variants, BULK_ROUNDS, 1)


async def _relayed(url: str, way: str) -> float:
    pipe = Pipe(await websocket_connect(url))
    end = pipe.endpoint.sock
    assert end is not None
    end.setblocking(True)

    def work() -> float:
        end.sendall(way.ljust(4).encode())
        began, left = time.perf_counter(), BULK_BYTES
        if way == "up":
            piece = bytes(PIECE_BYTES)
            for _ in range(BULK_BYTES // len(piece)):
                end.sendall(piece)
            end.recv(4)
        buffer = bytearray(PIECE_BYTES)
        while way == "down" and left > 0:
            left -= end.recv_into(buffer)
        return time.perf_counter() - began

    try:
        return await asyncio.get_running_loop().run_in_executor(None, work)
    finally:
        pipe.close()
        end.close()


async def _piped(url: str, way: str) -> float:
    pipe = await websocket_connect(url)
    await pipe.write_message(way.encode(), binary=True)
    began, left = time.perf_counter(), BULK_BYTES
    if way == "up":
        piece = bytes(PIECE_BYTES)
        for _ in range(BULK_BYTES // len(piece)):
            await pipe.write_message(piece, binary=True)
        await pipe.read_message()
    while way == "down" and left > 0:
        message = await pipe.read_message()
        assert isinstance(message, bytes)
        left -= len(message)
    seconds = time.perf_counter() - began
    pipe.close()
    return seconds


def _leases(hub: BrokerHub, ada: User) -> dict[str, list[float]]:
    """Through the same proxy, each with the user's own token; what is asked for is given back, unmeasured."""

    def lease() -> float:
        began = time.perf_counter()
        made = ada.lease()
        seconds = time.perf_counter() - began
        ada.end(made["id"])
        return seconds

    def get() -> float:
        began = time.perf_counter()
        answer = hub.client.get(f"{hub.url}hub/api/user", headers={"Authorization": f"token {ada.token}"})
        assert answer.is_success
        return time.perf_counter() - began

    samples = interleave({"lease": lease, "hub": get}, LEASE_ROUNDS, 3)
    print(f"a lease {1000 * statistics.median(samples['lease']):.1f} ms, a GET {1000 * statistics.median(samples['hub']):.1f} ms")
    return samples
