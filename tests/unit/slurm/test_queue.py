"""One squeue for everybody, whose age is known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from farcell.backends.shell import Answer, LocalShell, Payloads
from farcell.backends.slurm.queue import Look, Queue

LINE = "7|PENDING|1|N/A|N/A||Resources\n"


class Cluster(LocalShell):
    """A shell in which squeue is a script of the test's."""

    def __init__(self, folder: Path) -> None:
        super().__init__("t")
        self.folder = folder
        self.asked = 0
        self.says(f"printf '{LINE}'")

    def says(self, script: str) -> None:
        file = self.folder / "squeue"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    async def run(self, script: str, mark: str, payloads: Payloads = {}, timeout_s: float = 10) -> Answer:  # noqa: B006
        self.asked += 1
        return await super().run(f"PATH={self.folder}:$PATH\n{script}", mark, payloads, timeout_s)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("FARCELL_RUNTIME_DIR", str(tmp_path / "r"))
    return Cluster(tmp_path)


def look(cluster: Cluster, age_s: float, queue: Queue | None = None) -> Look:
    return asyncio.run((queue or Queue("c")).look(cluster, age_s))


def test_an_answer_that_is_new_enough_is_everybodys(cluster: Cluster) -> None:
    """Also another process's: it lies in a file."""
    first = look(cluster, 60)
    assert first.jobs["7"].reason == "Resources" and first.fault is None
    assert look(cluster, 60, Queue("c")) == first and cluster.asked == 1
    assert look(cluster, 0).at >= first.at and cluster.asked == 2


def test_two_who_look_at_once_ask_once(cluster: Cluster) -> None:
    async def both() -> list[Look]:
        return list(await asyncio.gather(Queue("c").look(cluster, 60), Queue("c").look(cluster, 60)))

    one, other = asyncio.run(both())
    assert one == other and cluster.asked == 1


def test_a_controller_that_does_not_answer_leaves_what_was_known(cluster: Cluster) -> None:
    """With its age, and the reason why it is not newer."""
    known = look(cluster, 60)
    cluster.says("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    stale = look(cluster, 0)
    assert stale.jobs == known.jobs and stale.at == known.at
    assert stale.fault is not None and "Unable to contact slurm controller" in stale.fault
    cluster.says(f"printf '{LINE}'")
    assert look(cluster, 0).fault is None


def test_what_was_not_written_to_its_end_counts_as_nothing(cluster: Cluster, tmp_path: Path) -> None:
    look(cluster, 60)
    (file,) = (tmp_path / "r" / "slurm").glob("*.lock")
    file.write_bytes(file.read_bytes()[:10])
    assert look(cluster, 60).jobs and cluster.asked == 2
