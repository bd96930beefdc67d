"""The file in which a host keeps what was used, where nobody comes for it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from farcell_host.protocol.messages import Channel, Message
from farcell_host.usage import KEPT_FILES, KEPT_RUNS, KEPT_S, Accounts, clear, job_of


def use(accounts: Accounts, *runs: str, status: str = "ok") -> None:
    for run in runs:
        accounts.sent(run, Message.build(Channel.SHELL, "farcell_run_request", {}))
        accounts.ended(run, Message.build(Channel.SHELL, "farcell_run_reply", {"status": status}))


def kept(accounts: Accounts) -> list[str]:
    return [run["id"] for run in accounts.records()["runs"]]


def test_without_a_ledger_it_does_not_grow_for_ever(tmp_path: Path) -> None:
    """The latest runs stay, in memory and in the file."""
    accounts = Accounts(tmp_path)
    for first in range(0, 5 * KEPT_RUNS, 100):
        use(accounts, *(f"r{number}" for number in range(first, first + 100)))
        accounts.flush()
    assert KEPT_RUNS // 2 <= len(kept(accounts)) <= KEPT_RUNS and kept(accounts)[-1] == f"r{5 * KEPT_RUNS - 1}"
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size < 1000 * KEPT_RUNS
    accounts.close()
    (left,) = Accounts(tmp_path).left()
    assert len(left["runs"]) == len(kept(accounts))


def test_the_last_line_may_be_half(tmp_path: Path) -> None:
    """Its host was killed while it wrote: the lines before it hold."""
    accounts = Accounts(tmp_path, target="gpu-a")
    use(accounts, "r1", status="error")
    accounts.close()
    (file,) = tmp_path.iterdir()
    with open(file, "ab") as stream:
        stream.write(b'{"run": {"id": "r2", "sta')
    (left,) = Accounts(tmp_path).left()
    assert (left["session"]["target"], [(run["id"], run["state"]) for run in left["runs"]]) == ("gpu-a", [("r1", "error")])


def test_a_file_without_a_line_is_a_session_all_the_same(tmp_path: Path) -> None:
    """So that it is taken, and removed."""
    (tmp_path / "s1.jsonl").write_bytes(b"\xff\x00 no line of ours\n[]\n")
    accounts = Accounts(tmp_path)
    (left,) = accounts.left()
    assert (left["session"]["id"], left["runs"]) == ("s1", [])
    accounts.drop_left(["s1"])
    assert accounts.left() == []


def test_what_nobody_comes_for_is_cleared_away(tmp_path: Path) -> None:
    """After half a year, and when there are very many; what a living host has stays."""
    living = Accounts(tmp_path)
    living.begin()
    (own,) = tmp_path.iterdir()
    os.utime(own, (1, 1))
    for number in range(KEPT_FILES + 5):
        (tmp_path / f"s{number}.jsonl").touch()
        os.utime(tmp_path / f"s{number}.jsonl", (time.time() - 1000 + number,) * 2)
    long_ago = time.time() - KEPT_S - 60
    os.utime(tmp_path / "s100.jsonl", (long_ago, long_ago))
    clear(tmp_path)
    left = {path.stem for path in tmp_path.iterdir()}
    assert own.stem in left and "s100" not in left and "s0" not in left
    assert f"s{KEPT_FILES + 4}" in left and len(left) <= KEPT_FILES + 1
    living.close(is_recorded=True)
    assert not own.exists()


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, {"id": "7.0", "scheduler_id": "7"}),
        (
            {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c", "SLURM_RESTART_COUNT": "2", "SLURM_GPUS_ON_NODE": "4"},
            {"id": "c:7.2", "scheduler_id": "7", "gpus": 4},
        ),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_START_TIME": "soon"}, {"id": "7.0", "scheduler_id": "7"}),
    ],
    ids=["none", "plain", "requeued", "untold"],
)
def test_a_job_by_its_environment(environment: dict[str, str], job: dict[str, object] | None) -> None:
    """A requeued job is another allocation, and clusters count alike."""
    assert job_of(environment) == job
