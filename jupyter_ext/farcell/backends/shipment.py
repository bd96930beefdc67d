"""Wheels for a target that reaches no package index: chosen and downloaded here, sent over its shell, installed there."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from farcell_host.bootstrap.needs import REQUIREMENTS
from farcell_host.bootstrap.progress import Reading
from farcell_host.bootstrap.running import HEARTBEAT_S, LIMIT_S
from farcell_host.waiting import result_within

from ..errors import FarcellError, Refused
from .base import LaunchOptions, Tell
from .bootstrap import Bootstrap, NoEnvironment
from .shell import Shell
from .wheels import Closure, Wheel, download_command

T = TypeVar("T")

_ROUNDS = 8
"""Each finds what the packages of the one before need; ordinary ones are complete after two."""
_TAIL = 8
_SILENCE = "\0"


@dataclass(frozen=True)
class Shipment:
    """What has been done: `wheels` that make a kernel or packages there, of which some were sent now."""

    python: str
    """There, which runs kernels from now on."""
    wheels: int
    sent: int
    sent_bytes: int


async def ship(shell: Shell, options: LaunchOptions, packages: Sequence[str], tell: Tell) -> Shipment:
    """Sends what a kernel needs, where the target has no Python for one yet, and these packages (as an installer is told).

    Raises TargetUnavailable, Refused, and FarcellError where they cannot be downloaded here.
    """
    bootstrap = Bootstrap(shell, options, tell)
    there = await bootstrap.describe()
    lacks = there["lacking"] is not None and there["environment"] is None
    if lacks and options.environment == "never":
        raise Refused(
            f"{options.target!r} has {there['lacking']}, and makes no environment: "
            f'environment = "never" is in targets.toml. Nothing was sent.'
        )
    kernel = REQUIREMENTS if lacks else ()
    if not kernel and not packages:
        return Shipment((await bootstrap.prepare()).python, 0, 0, 0)
    requirements = [*kernel, *packages, "pip"]  # pip installs them there
    with tempfile.TemporaryDirectory(prefix="farcell-") as folder:
        found = await _download(there, requirements, Path(folder), options, tell)
        return await _send(bootstrap, there, found, kernel, packages, requirements)


async def supplied(shell: Shell, options: LaunchOptions, tell: Tell, start: Callable[[], Awaitable[T]]) -> T:
    """What `start` gives, which may need an environment; what that lacks is sent first where the target says so."""
    try:
        return await start()
    except NoEnvironment as error:
        if options.environment != "ship" or not error.is_mended_by_wheels:
            raise
    await ship(shell, options, (), tell)
    return await start()


async def _send(
    bootstrap: Bootstrap,
    there: Mapping[str, Any],
    folder: Path,
    kernel: Sequence[str],
    packages: Sequence[str],
    requirements: Sequence[str],
) -> Shipment:
    loop = asyncio.get_running_loop()
    paths = Closure(folder, requirements, there["markers"]).wheels
    wheels = [await loop.run_in_executor(None, Wheel.at, path) for path in paths]
    sent = [wheel for wheel in wheels if there["wheels"].get(wheel.name) != wheel.size]
    own = {path.name for path in Closure(folder, kernel, there["markers"]).wheels}
    meets = {"family": there["family"], "requirements": [*kernel]} if kernel else None
    rest = [wheel for wheel in wheels if wheel.name not in own]
    for what, members in ((meets, [wheel for wheel in wheels if wheel.name in own]), (None, rest)):
        if members:
            manifest = {"meets": what, "wheels": [wheel.as_json(wheel in sent) for wheel in members]}
            await bootstrap.receive(manifest, [wheel.path for wheel in members if wheel in sent])
    if packages:
        await bootstrap.add(packages)
    python = (await bootstrap.prepare()).python
    return Shipment(python, len(wheels), len(sent), sum(wheel.size for wheel in sent))


async def _download(
    there: Mapping[str, Any], requirements: Sequence[str], folder: Path, options: LaunchOptions, tell: Tell
) -> Path:
    """The folder with all that these need there."""
    wanted = [*requirements]
    for number in range(_ROUNDS):  # anew each time: pip may choose other versions, and has what it downloaded in its cache
        found = folder / str(number)
        found.mkdir()
        await _run(download_command(there, wanted, found), options, there["python"], tell)
        loop = asyncio.get_running_loop()
        closure = await loop.run_in_executor(None, Closure, found, requirements, there["markers"])
        if not closure.missing:
            return found
        wanted += closure.missing.values()
    raise FarcellError(
        f"The wheels for Python {there['python']} on {options.target!r} are not complete after {_ROUNDS} rounds; these lack: "
        f"{', '.join(closure.missing.values())}. Nothing was sent. Name them in the command too."
    )


async def _run(command: Sequence[str], options: LaunchOptions, python: str, tell: Tell) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    reading = Reading("looking for wheels")
    said: deque[str] = deque(maxlen=_TAIL)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT_S
    try:
        while line := await _line(process.stdout):
            if loop.time() > deadline:
                raise FarcellError(
                    f"pip was not done with the wheels for {options.target!r} after {LIMIT_S:.0f} s. Nothing was sent."
                )
            if line != _SILENCE:
                said.append(line.rstrip())
                reading.see(line)
            tell(f"{reading.text} for {options.target!r}")
        code = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if code != 0:
        words = "\n".join(f"    {line}" for line in said)
        raise FarcellError(
            f"The wheels for Python {python} on {options.target!r} could not be downloaded here (exit code {code} of pip). "
            f"Nothing was sent. It said:\n{words}"
        )


async def _line(output: asyncio.StreamReader) -> str:
    """The next line, nothing at the end; a large wheel takes a while without any."""
    try:
        return (await result_within(output.readline(), HEARTBEAT_S)).decode(errors="replace")
    except asyncio.TimeoutError:
        return _SILENCE
