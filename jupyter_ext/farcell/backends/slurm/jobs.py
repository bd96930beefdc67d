"""Slurm's commands and what they answer, as pure pairs: what is asked, and how the answer is read.

sbatch(1), squeue(1), scancel(1), srun(1) of Slurm 20.11 and later; no sacct, which many clusters do not have.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..resources import Resources, clock

OVER = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT")
)
WAITING = frozenset(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"))
RUNNING = frozenset(("RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"))
"""squeue(1), JOB STATE CODES. A state that is in none of these is not known, which is no error."""

_FIELDS = "%A|%T|%Q|%S|%e|%N|%r"
SQUEUE = f"SLURM_TIME_FORMAT=%s squeue --noheader --states=all --user=\"$(id -un)\" --format='{_FIELDS}'"
"""All jobs of mine, ended ones too for as long as the controller remembers them (MinJobAge, 5 minutes)."""
_MEANS = {
    "Resources": "until there is room for it",
    "Priority": "behind jobs of higher priority",
    "Dependency": "for another job",
    "ReqNodeNotAvail": "for a node that is not available",
    "Reservation": "for its reservation to begin",
    "BeginTime": "for its begin time",
    "Licenses": "for a licence",
    "PartitionTimeLimit": "for ever: its wall time is longer than the partition allows",
    "PartitionNodeLimit": "for ever: it wants more nodes than the partition has",
    "JobHeldUser": "until it is released: scontrol release",
    "JobHeldAdmin": "until an administrator releases it",
    "launch failed requeued held": "until it is released: its launch failed",
}
_SIGNAL_S = 120
_JOB_ID = re.compile(r"(\d+)(?:;\S+)?")


@dataclass(frozen=True)
class Job:
    """One line of squeue. Times are seconds since the epoch, None where Slurm has none."""

    id: str
    state: str
    priority: int | None = None
    start: float | None = None
    end: float | None = None
    nodes: str = ""
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING

    @property
    def is_known(self) -> bool:
        return self.state in OVER or self.state in WAITING or self.state in RUNNING

    def waiting_text(self) -> str:
        """Why it waits and for how long still, as far as Slurm says."""
        reason = "" if self.reason in ("None", "") else self.reason
        means = next((text for word, text in _MEANS.items() if reason.startswith(word)), "")
        said = [f"{self.state.lower()}" + (f" {means}" if means else "") + (f" ({reason})" if reason else "")]
        if self.priority is not None:
            said.append(f"priority {self.priority}")
        if self.start is not None and self.is_waiting:
            said.append(f"expected to start at {_moment(self.start)}")
        return ", ".join(said)

    def end_text(self) -> str:
        """How it ended, in Slurm's words."""
        return self.state + (f" ({self.reason})" if self.reason not in ("", "None", self.state) else "")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def parse_squeue(text: str) -> dict[str, Job]:
    """By id; lines that are none are left out, such as those of a login shell."""
    jobs = {}
    for line in text.splitlines():
        parts = line.strip().split("|", 6)
        if len(parts) == 7 and parts[0].isdigit():
            id, state, priority, start, end, nodes, reason = parts
            jobs[id] = Job(id, state, int(priority) if priority.isdigit() else None, _time(start), _time(end), nodes, reason)
    return jobs


def jobs_of(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Job]:
    return {id: Job(**each) for id, each in fields.items()}


def sbatch_options(name: str, resources: Resources) -> list[str]:
    """Words for sbatch. The host's own clock tells it when to save; where squeue does not work on nodes, SIGUSR1 to the batch
    step does, which Slurm may send up to a minute early (sbatch(1), --signal)."""
    r = resources
    gpu = f"gpu:{r.gpu_type}" if r.gpu_type else "gpu"
    pairs = (
        ("job-name", name),
        ("gres", f"{gpu}:{r.gpus}" if r.gpus else None),
        ("cpus-per-task", r.cpus),
        ("mem", r.mem),
        ("time", clock(r.walltime_s) if r.walltime_s else None),
        ("nodes", r.nodes),
        ("partition", r.partition),
        ("account", r.account),
        ("qos", r.qos),
        ("constraint", r.constraint),
        ("reservation", r.reservation),
        ("signal", f"B:USR1@{_SIGNAL_S}"),
    )
    return ["--parsable", "--no-requeue", *(f"--{key}={value}" for key, value in pairs if value is not None), *r.sbatch]


def parse_sbatch(text: str) -> str | None:
    """The job's id from the last line of `sbatch --parsable`: `12` or `12;cluster`."""
    lines = text.strip().splitlines()
    found = _JOB_ID.fullmatch(lines[-1].strip()) if lines else None
    return found[1] if found else None


def step_command(job: str, node: str) -> list[str]:
    """A second step on the job's node, whose stdin and stdout are bytes: without -u what follows the last newline would wait."""
    return ["srun", f"--jobid={job}", "--overlap", "--quiet", "--unbuffered", "--nodes=1", "--ntasks=1", f"--nodelist={node}"]


def _time(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def _moment(at: float) -> str:
    today = time.strftime("%x", time.localtime()) == time.strftime("%x", time.localtime(at))
    return time.strftime("%H:%M" if today else "%a %d %b %H:%M", time.localtime(at))
