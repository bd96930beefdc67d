"""What Slurm is asked, and how its answers are read: recorded from Slurm 22.05 unless a line says otherwise."""

from __future__ import annotations

import time

import pytest
from farcell.backends.resources import Resources, clock, memory, seconds
from farcell.backends.slurm.jobs import Job, parse_sbatch, parse_squeue, sbatch_options
from farcell_host.walltime import parse_left

SQUEUE = """\
Welcome to the cluster
7|PENDING|4294901758|1732700000|N/A||Resources
8|RUNNING|4294901757|1732690000|1732697200|gpu[1-2]|None
9|PENDING|4294901756|N/A|N/A||ReqNodeNotAvail, UnavailableNodes:gpu1|2
10|A_NEW_STATE|1|N/A|N/A||None
11|NODE_FAIL|1|1732690000|1732690100|gpu1|NodeDown
slurm_load_jobs error: Unable to contact slurm controller
"""


def test_squeue_is_read_line_by_line() -> None:
    """What is no job of ours is passed over."""
    jobs = parse_squeue(SQUEUE)
    assert list(jobs) == ["7", "8", "9", "10", "11"]
    assert jobs["7"] == Job("7", "PENDING", 4294901758, 1732700000.0, None, "", "Resources")
    assert jobs["8"].nodes == "gpu[1-2]" and not jobs["8"].is_waiting and not jobs["8"].is_over
    assert jobs["9"].reason == "ReqNodeNotAvail, UnavailableNodes:gpu1|2"
    assert jobs["11"].is_over and jobs["11"].end_text() == "NODE_FAIL (NodeDown)"


def test_a_state_never_met_is_not_known_and_no_fault() -> None:
    job = parse_squeue(SQUEUE)["10"]
    assert not job.is_known and not job.is_over and not job.is_waiting


def test_waiting_says_why_and_until_when() -> None:
    jobs = parse_squeue(SQUEUE)
    moment = time.strftime("%H:%M", time.localtime(1732700000))
    text = jobs["7"].waiting_text()
    assert text.startswith("pending until there is room for it (Resources), priority 4294901758, expected to start at ")
    assert text.endswith(moment)
    assert "for a node that is not available (ReqNodeNotAvail" in jobs["9"].waiting_text()


@pytest.mark.parametrize(
    ("text", "job"),
    [("12\n", "12"), ("12;cluster\n", "12"), ("sbatch: a remark\n13\n", "13"), ("", None), ("Submitted batch job\n", None)],
)
def test_the_job_is_in_the_last_line(text: str, job: str | None) -> None:
    assert parse_sbatch(text) == job


def test_resources_are_options_of_sbatch() -> None:
    asked = Resources(gpus=2, gpu_type="a100", cpus=8, mem="64G", walltime_s=5400, qos="high", sbatch=("--exclusive",))
    options = sbatch_options("farcell-a", asked)
    for option in (
        "--gres=gpu:a100:2",
        "--cpus-per-task=8",
        "--mem=64G",
        "--time=01:30:00",
        "--qos=high",
        "--job-name=farcell-a",
    ):
        assert option in options
    assert options[-1] == "--exclusive" and "--no-requeue" in options
    assert not [option for option in sbatch_options("farcell-a", Resources()) if option.startswith(("--gres", "--time", "--mem"))]


@pytest.mark.parametrize(
    ("text", "found"),
    [("2h", 7200), ("90m", 5400), ("1d12h", 129600), ("30s", 30), ("1:30:00", 5400), ("2-12:00", 216000), ("2-00:00:30", 172830)],
)
def test_times_are_read(text: str, found: int) -> None:
    assert seconds(text) == found
    assert seconds(clock(found)) == found


@pytest.mark.parametrize("text", ["", "2", "90", "1:30", "2 hours", "-2h", "0m"])
def test_a_time_that_could_mean_two_things_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|may be"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "found"), [("64G", "64G"), ("64GB", "64G"), ("1.5T", "1536G"), ("500 m", "500M"), ("2GiB", "2G")]
)
def test_sizes_are_read(text: str, found: str) -> None:
    assert memory(text) == found


@pytest.mark.parametrize("text", ["", "64", "many", "-1G"])
def test_a_size_without_its_unit_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        memory(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("1:05\n", 65.0), ("02:03:04", 7384.0), ("1-02:03:04", 93784.0), ("UNLIMITED", None), ("INVALID", None), ("", None)],
)
def test_what_is_left_is_read(text: str, found: float | None) -> None:
    """squeue(1), %L."""
    assert parse_left(text) == found
