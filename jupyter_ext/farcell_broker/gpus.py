"""Whether a target's GPUs are free: asked where they are, of the driver, since only its processes make a GPU busy.

Whose a process is does not matter, and nothing that cannot be told counts as free.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from farcell.backends import scripts
from farcell.backends.base import ShellBackend, backend_named
from farcell.backends.local import plain_environment
from farcell.backends.shell import host_zipapp, new_mark
from farcell.errors import TargetUnavailable
from farcell_host.waiting import result_within

from .policy import SharedTarget

READ_S = 30.0
"""A GPU that hangs keeps the driver for seconds."""


async def busy_devices(target: SharedTarget) -> set[int] | None:
    """Of those that the target lends, by index; None when nobody answers."""
    lent = set(target.device_indexes)
    if not lent or target.backend == "slurm":  # a scheduler gives a GPU only when it is free
        return set()
    try:
        said = await (_read_there(target) if target.backend == "ssh" else _read_here(target))
    except (TargetUnavailable, OSError, ValueError, asyncio.TimeoutError):
        return None
    return lent - free_devices(said) if said.get("state") == "devices" else None


def free_devices(reading: Mapping[str, Any]) -> set[int]:
    """Those of which the driver says that no process is on them (`farcell_host.gpus`)."""
    return {
        int(device["index"]) for device in reading["devices"] if device.get("error") is None and device.get("processes") == []
    }


async def _read_here(target: SharedTarget) -> dict[str, Any]:
    """In a process of its own: a driver that hangs takes nobody along."""
    options = target.launch_options()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farcell_host", "gpus"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**plain_environment(os.environ), **options.env},
        start_new_session=True,
    )
    try:
        out, _ = await result_within(process.communicate(), READ_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return _reading(out)


async def _read_there(target: SharedTarget) -> dict[str, Any]:
    options = target.launch_options()
    backend = backend_named(target.backend)
    assert isinstance(backend, ShellBackend)
    shell = await backend.shell(options)
    digest, data = host_zipapp()
    place = scripts.Place(digest, len(data), options.python, options.setup, options.env, options.cache_dir)
    mark = new_mark()
    answer = await shell.run(scripts.host_here(mark, place, ["gpus"]), mark, {scripts.HOST: [data]}, timeout_s=READ_S)
    if scripts.ERROR in answer.said:
        raise TargetUnavailable(f"{target.name!r}: {answer.said[scripts.ERROR]}")
    return _reading(answer.output.encode())


def _reading(output: bytes) -> dict[str, Any]:
    lines = output.splitlines()
    said = json.loads(lines[-1]) if lines else None
    if not isinstance(said, dict):
        raise ValueError("no reading")
    return said
