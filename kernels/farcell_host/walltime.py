"""How long a job may still run, as its scheduler says on the job's node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable

from .waiting import result_within

ASK_S = 30.0
WARNINGS_S = (300.0, 60.0)
_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)")


def parse_left(text: str) -> float | None:
    """Seconds, from squeue's %L: `1-02:03:04`, `02:03:04`, `3:04`; None for UNLIMITED and what is no time. squeue(1)."""
    found = _LEFT.fullmatch(text.strip())
    if found is None:
        return None
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


async def time_left() -> float | None:
    """Of this job; None when there is no limit or nobody says."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        process = await asyncio.create_subprocess_exec(
            "squeue", "--noheader", f"--jobs={job}", "--format=%L",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            out, _ = await result_within(process.communicate(), ASK_S)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            raise
        return parse_left(out.decode(errors="replace"))
    return None


async def watch(
    left: Callable[[], Awaitable[float | None]],
    lead_s: Callable[[], float],
    on_warning: Callable[[float], None],
    on_end: Callable[[], None],
) -> None:
    """Calls `on_warning(seconds left)` five minutes and one minute before the end, and `on_end` once, `lead_s()` seconds before.

    The scheduler is asked at the beginning and again at each of these moments, since a job may be given more time.
    """
    loop = asyncio.get_running_loop()
    warned: set[float] = set()
    while True:
        remaining = await left()
        if remaining is None:
            return
        end, lead = loop.time() + remaining, lead_s()
        due = [each for each in WARNINGS_S if each not in warned and each > lead]
        passed = [each for each in due if remaining <= each]
        if remaining <= lead:
            return on_end()
        if passed:
            on_warning(remaining)
            warned.update(passed)
            continue
        moment = max((each for each in due if each < remaining), default=lead)
        await asyncio.sleep(max(0.05, end - moment - loop.time()))
