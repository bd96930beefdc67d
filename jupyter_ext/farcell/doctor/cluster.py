"""A Slurm cluster, as seen from where jobs are submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backends.base import LaunchOptions
from .checks import Check, note, ok, unchecked, wrong
from .machine import FEW_BYTES, folder_check, locks
from .script import LINES

COMMANDS, TRIAL, NODES, GRES, STATE, STATE_LOCKS = (
    "Slurm",
    "job as asked for",
    "way to nodes",
    "GPUs",
    "state_dir",
    "its locks and fsync",
)


def commands(said: Mapping[str, str]) -> Check:
    path, _, version = said.get("sbatch", "").partition(" ")
    if not path.startswith("/"):
        fix = 'Set host of the target to a login node, or setup to what makes Slurm known there, such as ["module load slurm"].'
        return wrong(COMMANDS, "sbatch is not found", fix)
    queue = _lines(said.get("squeue", ""))
    if queue:
        return wrong(COMMANDS, f"squeue fails: {queue[-1]}", "Does the controller answer? What does scontrol ping say there?")
    return ok(COMMANDS, f"{version}: {path}")


def trial(options: LaunchOptions, said: Mapping[str, str]) -> Check:
    """sbatch --test-only with the target's own options: nothing is submitted."""
    code, _, text = said.get("trial", "").partition(" ")
    asked = f"{options.resources}"
    words = _lines(text)
    if code == "0":
        when = next((line.removeprefix("sbatch: ") for line in reversed(words) if "to start at" in line), "")
        return ok(TRIAL, f"Slurm takes it ({asked}){f'; {when}' if when else ''}")
    shown = "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in words[-2:]) or f"exit code {code}"
    fix = "Mend partition, account, qos, gpus, mem, walltime or sbatch of the target: sinfo lists partitions, sacctmgr accounts."
    return wrong(TRIAL, f"Slurm refuses it ({asked}): {shown}", fix)


def nodes(options: LaunchOptions, found: list[dict[str, Any]] | None) -> Check:
    """A session's stream goes by TCP from here to its node; slurmd stands for the session's door, which is not there yet."""
    if options.route == "srun":
        return ok(NODES, "by srun, as route says; no node need be reached")
    if not found:
        return unchecked(NODES, "scontrol shows no node that is up")
    away = [node for node in found if "error" in node]
    if not away:
        return ok(NODES, f"{', '.join(str(node['name']) for node in found)} can be reached from where jobs are submitted")
    what = "; ".join(f"{node['name']} ({node['address']}): {node['error']}" for node in away)
    if options.route == "tcp":
        return wrong(NODES, f"not by TCP: {what}", 'Set route of the target to "auto" or "srun".')
    return note(NODES, f"not by TCP: {what}; sessions go by srun, which is slower", "")


def gpus(options: LaunchOptions, said: Mapping[str, str]) -> Check:
    kinds = [line for line in _lines(said.get("gres", "")) if line != "(null)"]
    if not kinds:
        return note(GRES, "no node has any, says sinfo") if options.resources.gpus else ok(GRES, "no node has any")
    return ok(GRES, f"on nodes: {', '.join(kinds)}")


def state(folder: Mapping[str, Any]) -> list[Check]:
    """Where what outlives a node is kept; whether nodes see it too shows when a job runs."""
    move = "Set state_dir of the target to a folder that all nodes see and you can write."
    return [folder_check(STATE, folder, move, FEW_BYTES), locks(STATE_LOCKS, folder, move)]


def _lines(text: str) -> list[str]:
    return [line for line in text.split(LINES) if line.strip()]
