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
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from farcell_host.bundle import write_zipapp
from farcell_host.stream import from_pipes
from farcell_host.waiting import result_within

from ..errors import TargetUnavailable
from . import scripts
from .base import Opened, OpenedStream

SCRIPT_S = 120.0
BRIDGE_S = 60.0
Payloads = Mapping[str, "Sequence[bytes | Path]"]
"""What a script may ask for, by name: bytes and files, sent one after the other."""
NOTHING: Payloads = {}
_PIECE = 1 << 20
_LINE_BYTES = 1 << 22


class Watch:
    """What becomes of a script, for whoever waits; on the event loop."""

    def said(self, word: str, rest: str) -> None:
        """A marked line."""

    def sent(self, name: str, done: int, total: int) -> None:
        """So many bytes of a payload are on their way."""


UNWATCHED = Watch()


@dataclass(frozen=True)
class Answer:
    """What a script said: its marked lines by word, the output after the last of them, stderr and the exit code."""

    said: Mapping[str, str]
    output: str
    errors: str
    code: int


class Shell(Protocol):
    """Methods run on one event loop. They raise TargetUnavailable where there is no way to the shell."""

    async def run(
        self, script: str, mark: str, payloads: Payloads = NOTHING, timeout_s: float = SCRIPT_S, watch: Watch = UNWATCHED
    ) -> Answer:
        """Runs a script to its end. What it says `send NAME` for is sent; it may be silent for `timeout_s` while nothing is."""

    def bridge(self) -> subprocess.Popen[bytes]:
        """A shell whose stdin and stdout are to be a byte stream."""


class LocalShell:
    """`sh` on this machine."""

    _COMMAND = ("sh",)

    def __init__(self, target: str) -> None:
        self._target = target

    async def run(
        self, script: str, mark: str, payloads: Payloads = NOTHING, timeout_s: float = SCRIPT_S, watch: Watch = UNWATCHED
    ) -> Answer:
        answer = await converse(self._COMMAND, script, mark, payloads, timeout_s, watch)
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
    argv: Sequence[str], script: str, mark: str, payloads: Payloads, timeout_s: float, watch: Watch = UNWATCHED
) -> Answer | None:
    """Has the shell that `argv` starts run a script; None when nothing came from it, and nothing went to it, for too long."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=_LINE_BYTES,
    )
    try:
        conversation = _Conversation(process, mark, payloads, watch)
        going = asyncio.ensure_future(conversation.run(script.encode()))
        try:
            while not going.done():
                left = conversation.moved_at + timeout_s - time.monotonic()
                if left <= 0:
                    return None
                await asyncio.wait({going}, timeout=left)
            return going.result()
        finally:
            going.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class _Conversation:
    def __init__(self, process: asyncio.subprocess.Process, mark: str, payloads: Payloads, watch: Watch) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self.moved_at = time.monotonic()
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._start = mark.encode() + b" "
        self._payloads = payloads
        self._watch = watch

    async def run(self, script: bytes) -> Answer:
        errors = asyncio.ensure_future(self._stderr.read())
        try:
            return await self._run(script, errors)
        finally:
            errors.cancel()

    async def _run(self, script: bytes, errors: asyncio.Future[bytes]) -> Answer:
        said: dict[str, str] = {}
        output: list[bytes] = []
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._stdin.write(script)
            await self._stdin.drain()
            if not self._payloads:
                self._stdin.close()
        while line := await self._stdout.readline():
            self.moved_at = time.monotonic()
            if not line.startswith(self._start):
                output.append(line)
                continue
            output.clear()
            word, _, rest = line[len(self._start) :].decode(errors="replace").strip().partition(" ")
            said[word] = rest
            self._watch.said(word, rest)
            if word == scripts.SEND:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await self._send(rest)
        self._stdin.close()
        text = (await errors).decode(errors="replace")
        return Answer(said, b"".join(output).decode(errors="replace"), text, await self._process.wait())

    async def _send(self, name: str) -> None:
        parts = self._payloads[name]
        total = sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in parts)
        done = 0
        for piece in _pieces(parts):
            self._stdin.write(piece)
            await self._stdin.drain()
            done += len(piece)
            self.moved_at = time.monotonic()
            self._watch.sent(name, done, total)


def _pieces(parts: Iterable[bytes | Path]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        with open(part, "rb") as file:
            while piece := file.read(_PIECE):
                yield piece


def start_bridge(argv: Sequence[str]) -> subprocess.Popen[bytes]:
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
        await result_within(wait, BRIDGE_S)
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
