"""A cluster for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import jobs
from notebooks import Notebook
from sandbox import Sandbox
from services.service import until
from services.slurm import Slurm


@pytest.fixture
def cluster(slurm: Slurm, sandbox: Sandbox, notebook: Notebook) -> Iterator[Slurm]:
    """Whose jobs are ended when the test is over."""
    yield slurm
    notebook.close()
    for job in jobs(slurm):
        slurm.run("scancel", job)
    until(lambda: not jobs(slurm), 30, "an empty queue")
