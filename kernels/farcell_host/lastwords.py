"""What processes and schedulers write as something ends, found in a log. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .reasons import Reason

_FATAL = re.compile(r"Fatal Python error: .*|Windows fatal exception: .*")
_FRAMES = 12
_IPYTHON = "IPython/core/interactiveshell.py"
"""Runs the cell: from there on frames tell nothing of it."""
_JOB_ENDS = re.compile(r"\*\*\* (?:JOB|STEP) (\S+) ON \S+ (?:CANCELLED|FAILED).*?(?: DUE TO (.+?))? \*\*\*")
_DUE_TO = {
    "TIME LIMIT": Reason.WALL_TIME,
    "PREEMPTION": Reason.PREEMPTED,
    "NODE FAILURE": Reason.NODE_FAILURE,
    "JOB REQUEUE": Reason.REQUEUED,
}


def crash_of(log: str) -> list[str]:
    """What Python's fault handler has written last: its headline, and the frames of the thread that crashed, innermost first.

    Other threads' and the list of extension modules are left out. See faulthandler, "Example".
    """
    lines = log.splitlines()
    at = next((number for number in range(len(lines) - 1, -1, -1) if _FATAL.fullmatch(lines[number])), None)
    if at is None:
        return []
    found = [lines[at]]
    inside = False
    for line in lines[at + 1 :]:
        if line.startswith(("Current thread", "Stack (most recent call first)")):
            inside = True
        elif inside and line.startswith("  ") and len(found) <= _FRAMES and _IPYTHON not in line:
            found.append(line)
        elif inside:
            break
    return found


def job_ending(log: str, job: str) -> Reason | None:
    """Why Slurm ends a job, as its slurmstepd writes into the job's own output before the signal comes.

    The words are those of slurmstepd (src/slurmd/slurmstepd/req.c of Slurm), seen with 22.05; None where it has written none.
    """
    found = None
    for ends in _JOB_ENDS.finditer(log):
        if ends[1].partition(".")[0] == job:
            found = ends
    if found is None:
        return None
    why = found[2]
    if why is None:
        return Reason.CANCELLED
    return next((reason for words, reason in _DUE_TO.items() if why.startswith(words)), Reason.CANCELLED)


def canceller(lines: Iterable[str]) -> str | None:
    """Whose doing it was: the uid in what `sacct --format=State` says, `CANCELLED by 1000`. See sacct(1), "State"."""
    for line in lines:
        state, _, uid = line.strip().partition(" by ")
        if state == "CANCELLED" and uid.isdigit():
            return uid
    return None
