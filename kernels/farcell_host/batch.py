"""The kernel host as the batch step of a scheduler's job.

Sockets and locks lie on the node; what must outlive it lies in the session's folder, which all nodes see: the journal, and where
the host is to be found (`rendezvous.json`, complete or absent). The notebook believes none of it without the certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import runtime, walltime
from .door import Door
from .errors import FarcellHostError
from .lastwords import canceller, job_ending
from .reasons import Reason
from .retirement import write_whole
from .usage import job_of
from .waiting import result_within, within

if TYPE_CHECKING:
    from .host import Host

RENDEZVOUS = "rendezvous.json"
IDENTITY = "identity.pem"
JOURNAL = "journal"
LOG = "job.log"
RELEASED = "released"
SNAPSHOTS = "snapshots"
ENDED = "ended.json"
STATE = "state.json"
QUEUED, QUEUED_AGAIN = "queued", "queued-again"
"""A run that was left with the job: begun once, or whenever the job begins."""
STATE_S = 1.0
"""So often what the kernel has said is made to outlive the node."""
PAUSE_S = 0.5
"""Between two writes of news."""
FRESH_S = 60.0
"""So often it is written without any, as a sign of life."""
_TOLD = ("state", "run", "waiting_runs", "untaken_runs", "connections")
_MEASURED = ("idle_s", "memory_bytes", "kernel_memory_bytes")
WALL_TIME = "its wall time is over"
_ENDS = {
    Reason.WALL_TIME: WALL_TIME,
    Reason.PREEMPTED: "its job was preempted",
    Reason.CANCELLED: "its job was cancelled",
    Reason.NODE_FAILURE: "its node has failed",
}
_LOG_END_BYTES = 64 << 10
_ACCOUNTS_S = 2.0
"""There are 30 s between the signal and the end (KillWait), which the save needs."""

log = logging.getLogger("farcell.host")


def serve_batch(session: Path, serve: Callable[[Path, Mapping[str, Path], Callable[[Host], None]], None]) -> int:
    """Until the host ends. `serve` gets the runtime folder, paths among the host's options, and what to call when it listens."""
    folder = runtime.root() / session.name
    runtime.check_length(folder)
    runtime.secure(folder)
    shutil.rmtree(session / JOURNAL, ignore_errors=True)  # of this job before it was requeued: another host's
    os.environ[runtime.IN_A_JOB] = "1"
    doors: list[Door] = []
    hosts: list[Host] = []

    def on_listening(host: Host) -> None:
        hosts.append(host)
        door = Door(session / IDENTITY, folder / "attach.socket")
        doors.append(door)
        ledger = {"session": host.info()["session"], "job": (job_of(os.environ) or {}).get("id")}
        fields = {**host.info(), **place(), "ledger": ledger, "addresses": [f"{each}:{door.port}" for each in addresses()]}
        write_whole(session / RENDEZVOUS, fields)
        _watch_over(host, session)
        host.beside(_keep_known(host, session))

    try:
        places = {
            "journal": session / JOURNAL,
            "snapshots": session.parent.parent / SNAPSHOTS,
            "report": session / ENDED,
            "log": session / LOG,
        }
        serve(folder, places, on_listening)
    finally:
        for door in doors:
            door.close()
        with contextlib.suppress(OSError):
            (session / RENDEZVOUS).unlink()
        if any(host.leaves_journal for host in hosts):
            with contextlib.suppress(OSError):
                write_whole(session / STATE, _told(hosts[0]))
        else:
            shutil.rmtree(session / JOURNAL, ignore_errors=True)
    return 0


def _told(host: Host) -> dict[str, Any]:
    status = host.face.status()
    return {"at": time.time(), **{key: status[key] for key in (*_TOLD, *_MEASURED)}}


async def _keep_known(host: Host, session: Path) -> None:
    """What it says of itself lies in the session's folder, for whoever cannot reach the node, or comes when that is no more."""
    written: dict[str, Any] = {"at": 0.0}
    synced = 0
    left = {session / QUEUED, session / QUEUED_AGAIN}
    while True:
        for file in [file for file in left if file.exists()]:
            left.remove(file)
            try:
                host.take(await asyncio.to_thread(file.read_bytes))
                if file.name == QUEUED:
                    file.unlink()
            except (OSError, FarcellHostError) as error:
                log.error("The run in %s cannot be begun: %s", file, error)
                host.notify(f"The run that was left with this job cannot be begun: {error}")
        told, last = _told(host), host.last
        try:
            if last != synced:
                await host.sync_journal()
            if any(told[key] != written.get(key) for key in _TOLD) or told["at"] - written["at"] > FRESH_S:
                written = told  # told again when it is news again: a full disk is not worn out
                await asyncio.to_thread(write_whole, session / STATE, told)
        except OSError as error:
            log.warning("What the session does cannot be written into %s: %s", session, error)
        synced = last
        await asyncio.sleep(PAUSE_S)
        await within(host.news, STATE_S - PAUSE_S)
        host.news.clear()


def _watch_over(host: Host, session: Path) -> None:
    """The scheduler's signals, and its clock. What ends us without a word in the session's folder is not the notebook's doing."""
    loop = asyncio.get_running_loop()
    retirement = host.retirement

    def terminated() -> None:
        if (session / RELEASED).exists():
            host.stop("its notebook has released it")
        else:
            host.beside(ended())

    async def ended() -> None:
        """What the scheduler has written into the job's output says why it does so; it comes before the signal."""
        reason = _why_ended(session / LOG)
        by = await _canceller() if reason is Reason.CANCELLED else ""
        retirement.begin(f"{_ENDS.get(reason, 'the scheduler ends its job')}{by}", reason)

    def warn(seconds: float) -> None:
        minutes = max(1, round(seconds / 60))
        what = "a run that goes on is interrupted then, and what only the job has is saved"
        host.notify(f"The job's wall time ends in {minutes} min: {what}.")

    loop.add_signal_handler(signal.SIGTERM, terminated)

    async def warned() -> None:
        """By Slurm, which may be a minute early: our own clock knows better, where there is one."""
        left = await walltime.time_left()
        if left is None or left <= host.save_lead_s():
            retirement.begin(WALL_TIME, Reason.WALL_TIME)

    loop.add_signal_handler(signal.SIGUSR1, lambda: host.beside(warned()))

    async def left() -> float | None:
        seconds = await walltime.time_left()
        host.wall_time_left(seconds)
        return seconds

    host.beside(walltime.watch(left, host.save_lead_s, warn, lambda: retirement.begin(WALL_TIME, Reason.WALL_TIME)))


def _why_ended(log: Path) -> Reason:
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.stat(file.fileno()).st_size - _LOG_END_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return Reason.UNKNOWN
    return job_ending(text, os.environ.get("SLURM_JOB_ID", "")) or Reason.UNKNOWN


async def _canceller() -> str:
    """` by ada`, where the cluster keeps accounts that tell, else nothing. sacct(1)."""
    job = os.environ.get("SLURM_JOB_ID", "")
    words = ["sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={job}", "--format=State"]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return ""
    try:
        out, _ = await result_within(process.communicate(), _ACCOUNTS_S)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return ""
    uid = canceller(out.decode(errors="replace").splitlines())
    if uid is None:
        return ""
    try:
        return f" by {pwd.getpwuid(int(uid)).pw_name}"
    except KeyError:
        return f" by user {uid}"


def place() -> dict[str, Any]:
    """The node's name for the scheduler, and which start of the job this is."""
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    return {"node": node, "job": os.environ.get("SLURM_JOB_ID"), "restarts": int(os.environ.get("SLURM_RESTART_COUNT") or 0)}


def addresses() -> list[str]:
    """By which this node may be known to others, best first."""
    name = socket.gethostname()
    found = [name, *([node] if (node := os.environ.get("SLURMD_NODENAME")) else [])]
    with contextlib.suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)]
    return [each for each in dict.fromkeys(found) if each]
