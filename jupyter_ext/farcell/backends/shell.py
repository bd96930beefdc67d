"""A shell somewhere: it runs scripts (`scripts.py`), or becomes a byte stream. This machine's is here, another one's in `ssh`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import secrets
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from farcell_host.bundle import write_zipapp
from farcell_host.stream import from_pipes

from ..errors import TargetUnavailable
from . import scripts
from .base import Opened, OpenedStream

SCRIPT_S = 120.0
BRIDGE_S = 60.0
Payloads = Mapping[str, bytes]
"""What a script may ask for, by name."""
NOTHING: Payloads = {}


@dataclass(frozen=True)
class Answer:
    """What a script said: its marked lines by word, the output after the last of them, stderr and the exit code."""

    said: Mapping[str, str]
    output: str
    errors: str
    code: int


class Shell(Protocol):
    """Methods run on one event loop. They raise TargetUnavailable where there is no way to the shell."""

    async def run(self, script: str, mark: str, payloads: Payloads = NOTHING, timeout_s: float = SCRIPT_S) -> Answer:
        """Runs a script to its end. What it says `send NAME` for is sent."""

    def bridge(self) -> subprocess.Popen[bytes]:
        """A shell whose stdin and stdout are to be a byte stream."""


class LocalShell:
    """`sh` on this machine."""

    _COMMAND = ("sh",)

    def __init__(self, target: str) -> None:
        self._target = target

    async def run(self, script: str, mark: str, payloads: Payloads = NOTHING, timeout_s: float = SCRIPT_S) -> Answer:
        answer = await converse(self._COMMAND, script, mark, payloads, timeout_s)
        if answer is None:
            raise TargetUnavailable(f"{self._target!r}: this machine did not answer in {timeout_s:.0f} s.")
        return answer

    def bridge(self) -> subprocess.Popen[bytes]:
        return start_bridge(self._COMMAND)


def new_mark() -> str:
    """What tells a script's own lines from those that a login shell prints."""
    return f"farcell-{secrets.token_hex(8)}"


@functools.lru_cache(1)
def host_zipapp() -> tuple[str, bytes]:
    """(digest, bytes) of the kernel host, as it is sent."""
    with tempfile.TemporaryDirectory(prefix="farcell-") as folder:
        file = Path(folder) / "host.pyz"
        write_zipapp(file)
        data = file.read_bytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest(), data


async def converse(
    argv: tuple[str, ...] | list[str], script: str, mark: str, payloads: Payloads, timeout_s: float
) -> Answer | None:
    """Has the shell that `argv` starts run a script; None when it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        return await asyncio.wait_for(_converse(process, script.encode(), mark, payloads), timeout_s)
    except asyncio.TimeoutError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _converse(process: asyncio.subprocess.Process, script: bytes, mark: str, payloads: Payloads) -> Answer:
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read())
    said: dict[str, str] = {}
    output: list[bytes] = []
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(script)
        await process.stdin.drain()
        if not payloads:
            process.stdin.close()
    start = mark.encode() + b" "
    while line := await process.stdout.readline():
        if not line.startswith(start):
            output.append(line)
            continue
        output.clear()
        word, _, rest = line[len(start) :].decode(errors="replace").strip().partition(" ")
        said[word] = rest
        if word == scripts.SEND:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(payloads[rest])
                await process.stdin.drain()
    process.stdin.close()
    text = (await errors).decode(errors="replace")
    return Answer(said, b"".join(output).decode(errors="replace"), text, await process.wait())


def start_bridge(argv: tuple[str, ...] | list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


async def bridged(shell: Shell, script: str, mark: str) -> Opened:
    """The stream that a shell becomes: `script` says `run` and ends in `exec` of the bridge. Raises TargetUnavailable."""
    process = shell.bridge()
    assert process.stdin is not None and process.stdout is not None
    try:
        loop = asyncio.get_running_loop()
        wait = loop.run_in_executor(None, _until_ready, process, script.encode(), f"{mark} run\n".encode())
        await asyncio.wait_for(wait, BRIDGE_S)
        endpoint = from_pipes(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
    except BaseException:
        _end(process)
        raise
    process.stdin.close()
    process.stdout.close()
    return OpenedStream(endpoint, lambda: _end(process))


def _until_ready(process: subprocess.Popen[bytes], script: bytes, ready: bytes) -> None:
    """Until the shell has become the bridge: not a byte of the stream may be sent before, it would be the shell's."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(script)
    process.stdin.flush()
    said = b""
    while not said.endswith(ready):
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            text = said.decode(errors="replace")[-300:]
            raise TargetUnavailable(f"The bridge to the kernel host ended before it began: {text}")
        said += byte


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
