"""What squeue says, asked once for all sessions of a user on a cluster, whichever process they are in."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from farcell_host import runtime

from ...errors import TargetUnavailable
from .. import scripts
from ..filelock import locked
from ..shell import Shell, new_mark
from .jobs import SQUEUE, Job, jobs_of, parse_squeue

WATCHED_S = 10.0
"""So old may an answer be while somebody waits for a job."""
UNWATCHED_S = 60.0


@dataclass(frozen=True)
class Look:
    """`at`: seconds since the epoch, by this machine's clock. `fault`: why it is not newer."""

    at: float
    jobs: Mapping[str, Job]
    fault: str | None = None

    @property
    def age_s(self) -> float:
        return max(0.0, time.time() - self.at)


class Queue:
    """One cluster's; `key` names it among this machine's users' files."""

    def __init__(self, key: str) -> None:
        folder = runtime.secure(runtime.secure(runtime.root()) / "slurm")
        self._file = folder / f"{key}.queue.lock"

    async def look(self, shell: Shell, max_age_s: float) -> Look:
        """An answer that is at most so old, or the last one with the fault that is in the way of a newer one."""
        async with locked(self._file) as file:
            known = _read(file)
            if known is not None and known.age_s < max_age_s:
                return known
            mark = new_mark()
            try:
                answer = await shell.run(scripts.framed(mark, f"farcell_say squeue\n{SQUEUE}\n"), mark)
            except TargetUnavailable as error:
                return _failed(known, str(error))
            if answer.code != 0 or "squeue" not in answer.said:
                said = (answer.errors or answer.output).strip()[-500:]
                return _failed(known, f"squeue failed (exit code {answer.code}): {said}")
            look = Look(time.time(), parse_squeue(answer.output))
            _write(file, look)
            return look


def _failed(known: Look | None, fault: str) -> Look:
    return Look(known.at, known.jobs, fault) if known is not None else Look(0.0, {}, fault)


def _read(file: int) -> Look | None:
    """What the last who held the lock has left; nothing when it did not get to its end."""
    try:
        fields = json.loads(os.pread(file, os.fstat(file).st_size, 0))
        return Look(float(fields["at"]), jobs_of(fields["jobs"]))
    except (ValueError, KeyError, TypeError):
        return None


def _write(file: int, look: Look) -> None:
    data = json.dumps({"at": look.at, "jobs": {id: job.to_json() for id, job in look.jobs.items()}}).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, data, 0)
