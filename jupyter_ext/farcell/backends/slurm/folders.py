"""What the folders of sessions tell that all nodes of a cluster see, and what squeue adds: one status a session.

about.json       who it is for, written with the job
job              the job's id, and where the kernel host's bytes lie
rendezvous.json  where its host is, while it lives
state.json       what the host said of itself last, once a minute at least
ended.json       why it has ended
journal/         what the kernel has said: left when a node dies, or when nobody has taken a run's results
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .jobs import Job
from .queue import Look

FORGOTTEN_S = 60.0
"""A job that squeue does not list so long after it was submitted is none any more."""
EXPIRY_S = 86400.0
"""A folder in which nobody can find anything is removed then; whoever sees its job end may ask why until then."""
_FILES = {"about.json": "about", "rendezvous.json": "rendezvous", "state.json": "state", "ended.json": "ended"}


@dataclass
class Folder:
    """One session's, as the login node has read it; a file that is not there is an empty dict."""

    path: str
    job: str = ""
    pyz: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    rendezvous: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    ended: dict[str, Any] = field(default_factory=dict)
    has_journal: bool = False

    @property
    def session(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def submitted(self) -> float:
        return float(self.about.get("submitted") or 0.0)

    @property
    def lived_until(self) -> float:
        """The last sign of life, by the cluster's clock."""
        return float(self.ended.get("at") or self.state.get("at") or self.rendezvous.get("started") or self.submitted)


def parse_folders(text: str) -> list[Folder]:
    """From the output of `scripts.folders`; lines that are none of it are passed over, and files that are not whole."""
    found: list[Folder] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "session":
            found.append(Folder(rest))
        elif not found:
            continue
        elif word == "job":
            found[-1].job = rest
        elif word == "pyz":
            found[-1].pyz = rest
        elif word == "journal":
            found[-1].has_journal = True
        elif word in _FILES:
            setattr(found[-1], _FILES[word], _fields(rest))
    return [folder for folder in found if folder.job and folder.about]


def _fields(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_over(folder: Folder, look: Look) -> bool | None:
    """Whether its job has ended; None when nobody can say."""
    job = look.jobs.get(folder.job)
    if job is not None:
        return job.is_over if job.is_known else None
    if look.at == 0.0:
        return None
    return look.at - folder.submitted > FORGOTTEN_S


def runs_left(folder: Folder) -> list[str]:
    """Of a session that is over: those whose output its journal has, and whose results nobody has taken."""
    state = folder.state
    return [*([state["run"]] if state.get("run") else ()), *(state.get("untaken_runs") or ())] if folder.has_journal else []


def status_of(folder: Folder, look: Look) -> dict[str, Any]:
    """As a host tells it (`status` of docs/architecture.md), and beside it what a connection to the host needs.

    Of a job that is over: `is_over`, and either `ended`, its host's last words, or `ended_unheard`, when that was.
    """
    job, over = look.jobs.get(folder.job), is_over(folder, look)
    about, state = folder.about, folder.state
    fields: dict[str, Any] = {
        **folder.rendezvous,
        "runtime": folder.rendezvous.get("runtime") or folder.path,
        "pid": folder.rendezvous.get("pid") or 0,
        "socket": folder.rendezvous.get("socket") or "",
        "notebook": about.get("notebook"),
        "target": about.get("target"),
        "started": folder.rendezvous.get("started") or folder.submitted,
        "session": folder.path,
        "job": folder.job,
        "pyz": folder.pyz,
        "command": about.get("command"),
    }
    if over:
        end = job.end_text() if job is not None else str(folder.ended.get("reason") or "forgotten by squeue")
        found = {**fields, "is_over": True, "state": end, "untaken_runs": runs_left(folder), "connections": []}
        if folder.ended:
            return {**found, "ended": folder.ended}
        return {**found, "ended_unheard": end_of(folder, look.jobs)}
    if job is not None and job.is_waiting:
        waiting = [about["run"]] if about.get("run") else []
        return {**fields, "is_waiting": True, "state": job.waiting_text(), "waiting_runs": waiting, "connections": []}
    if not folder.rendezvous:
        waiting = [about["run"]] if about.get("run") else []
        text = "submitted" if job is None else f"{job.state.lower()}, its kernel starts"
        return {**fields, "is_waiting": True, "state": text, "waiting_runs": waiting, "connections": []}
    said = {key: state[key] for key in ("run", "waiting_runs", "untaken_runs", "connections", *_MEMORY) if key in state}
    known: dict[str, Any] = {**fields, "state": state.get("state") or "starting", **said}
    if state.get("state") == "idle":
        known["idle_s"] = max(0.0, float(state.get("idle_s") or 0.0) + time.time() - float(state["at"]))
    return known


_MEMORY = ("memory_bytes", "kernel_memory_bytes")


def is_litter(folder: Folder, look: Look) -> bool:
    """Whether nobody will ask for it any more."""
    return bool(is_over(folder, look)) and not runs_left(folder) and time.time() - folder.lived_until > EXPIRY_S


def end_of(folder: Folder, jobs: Mapping[str, Job]) -> float:
    """When its job ended, as Slurm says; else when it was last heard of. Seconds since the epoch."""
    job = jobs.get(folder.job)
    return job.end if job is not None and job.is_over and job.end is not None else folder.lived_until
