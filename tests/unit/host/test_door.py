"""Streams over TCP: who has the session's key comes in, nobody else does, and bytes are as they were."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from farcell.backends.slurm.identity import new_identity
from farcell_host.door import Door

LIMIT_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With a key of the session's, another's, and a socket that sends back whatever comes."""
    for name in ("own.pem", "other.pem"):
        (tmp_path / name).write_bytes(new_identity())
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "inner"))
    server.listen()
    threading.Thread(target=echo, args=(server,), daemon=True).start()
    yield tmp_path
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def echo(server: socket.socket) -> None:
    while True:
        try:
            sock, _ = server.accept()
        except OSError:
            return
        with sock, contextlib.suppress(ConnectionError):  # the other end may go while its last bytes are on their way
            while data := sock.recv(1 << 20):
                sock.sendall(data)


@pytest.fixture
def door(folder: Path) -> Iterator[Door]:
    door = Door(folder / "own.pem", folder / "inner")
    yield door
    door.close()


def reach(identity: Path, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "farcell_host", "reach", "--identity", str(identity), "--to", address, "--mark", "m"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_bytes_are_as_they_were(folder: Path, door: Door) -> None:
    """Both ways at once, more of them than all buffers on the way hold."""
    sent = random.Random(1).randbytes(20_000_001)
    process = reach(folder / "own.pem", f"127.0.0.1:{door.port}")
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"m run\n"
    writing = threading.Thread(target=process.stdin.write, args=(sent,))
    writing.start()
    came = bytearray()
    while len(came) < len(sent) - len(sent) % 4096:
        came += os.read(process.stdout.fileno(), 1 << 20)
    writing.join(LIMIT_S)
    process.stdin.flush()
    while len(came) < len(sent):
        came += os.read(process.stdout.fileno(), 1 << 20)
    assert came == sent
    process.stdin.close()
    assert process.wait(LIMIT_S) == 0
    process.stdout.close()


@pytest.mark.parametrize("who", ["another session's key", "nothing at all", "no TLS"])
def test_a_stranger_does_not_come_in(who: str, folder: Path, door: Door) -> None:
    """And does not disturb who comes after."""
    if who == "another session's key":
        said, _ = reach(folder / "other.pem", f"127.0.0.1:{door.port}").communicate(timeout=LIMIT_S)
        assert b"certificate verify failed" in said and b"m run" not in said
    else:
        with socket.create_connection(("127.0.0.1", door.port), LIMIT_S) as sock:
            if who == "no TLS":
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(100)[:1] in (b"", b"\x15")  # closed, or TLS's own alert
    process = reach(folder / "own.pem", f"127.0.0.1:{door.port}")
    said, _ = process.communicate(b"hello", timeout=LIMIT_S)
    assert said.startswith(b"m run\n")


def test_a_door_that_is_not_the_hosts_is_not_believed(folder: Path) -> None:
    """Whoever listens at the address: without the session's key there is no stream."""
    false = Door(folder / "other.pem", folder / "inner")
    try:
        said, _ = reach(folder / "own.pem", f"127.0.0.1:{false.port}").communicate(timeout=LIMIT_S)
    finally:
        false.close()
    assert b"certificate verify failed" in said and b"m run" not in said


def test_where_nobody_listens_is_said(folder: Path) -> None:
    process = reach(folder / "own.pem", "127.0.0.1:1")
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1 and b"127.0.0.1:1: " in said and b"refused" in said
