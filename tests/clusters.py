"""What tests ask a cluster and the file system that all its nodes see."""

from __future__ import annotations

from pathlib import Path

from sandbox import Sandbox
from services.slurm import Slurm

ASKED = "import os; (os.environ['SLURM_JOB_ID'], os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ['SLURMD_NODENAME'])"
"""A cell."""


def jobs(slurm: Slurm) -> list[str]:
    """Ids of jobs that are not over."""
    return slurm.run("squeue", "--noheader", "--format=%i").stdout.split()


def session_folder(sandbox: Sandbox) -> Path:
    """The one there is."""
    (found,) = (sandbox.folder / "far" / "state" / "sessions").iterdir()
    return found
