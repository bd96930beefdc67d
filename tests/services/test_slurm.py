"""The Slurm cluster of the tests does what its class says."""

from __future__ import annotations

import os

import psutil
import pytest

from services.service import ServiceError, lives, until
from services.slurm import Slurm
from services.sshd import Sshd

SOON_S = 30
DETECTED_S = 60
"""SlurmdTimeout is 15 s, looked at every few seconds."""


def test_a_job_sees_the_gpus_it_asked_for(slurm: Slurm) -> None:
    """Two GPUs are 0 and 1; a job of one has one."""
    job = slurm.submit("echo $CUDA_VISIBLE_DEVICES of $SLURMD_NODENAME", "--gres=gpu:2", "--nodelist=gpu2")
    until(lambda: slurm.state(job) == "COMPLETED", SOON_S, "the job's end")
    assert _output(slurm, job) == "0,1 of gpu2\n"
    job = slurm.submit("echo $CUDA_VISIBLE_DEVICES", "--gres=gpu:1")
    until(lambda: slurm.state(job) == "COMPLETED", SOON_S, "the job's end")
    assert _output(slurm, job) in ("0\n", "1\n")


def test_two_jobs_share_a_nodes_gpus(slurm: Slurm) -> None:
    """Each has a GPU of its own; a third waits for resources, and an impossible one is refused with Slurm's words."""
    jobs = [slurm.submit("echo $CUDA_VISIBLE_DEVICES; exec sleep 300", "--gres=gpu:1", "--nodelist=gpu1") for _ in range(2)]
    try:
        until(lambda: {_output(slurm, job) for job in jobs} == {"0\n", "1\n"}, SOON_S, "both run")
        third = slurm.submit("true", "--gres=gpu:1", "--nodelist=gpu1")
        jobs.append(third)
        until(lambda: slurm.run("squeue", "-h", "-o", "%r", "-j", third).stdout == "Resources\n", SOON_S, "the reason it waits")
        with pytest.raises(ServiceError, match="Requested node configuration is not available"):
            slurm.submit("true", "--gres=gpu:5")
    finally:
        _cancel(slurm, *jobs)


def test_an_ordinary_account_submits_on_the_login_node(slurm: Slurm, login_node: Sshd) -> None:
    """Over SSH sbatch finds the cluster, and the job runs as who submitted it."""
    output = f"{login_node.account(login_node.user).pw_dir}/job.out"
    done = login_node.run(login_node.user, f"printf '#!/bin/sh\\nid -un\\n' | sbatch --parsable --output={output}")
    assert done.stderr == ""
    job = done.stdout.strip()
    until(lambda: slurm.state(job) == "COMPLETED", SOON_S, "the job's end")
    assert login_node.run(login_node.user, f"cat {output}").stdout == login_node.account(login_node.user).pw_name + "\n"


@pytest.mark.slow
def test_a_crashed_node_fails_its_job(slurm: Slurm) -> None:
    """The job and what it daemonised are gone at once; Slurm says NODE_FAIL; the other node goes on; the node comes back."""
    job = slurm.submit("setsid sleep 300 & echo $! $$; exec sleep 300", "--nodelist=gpu1", "--no-requeue")
    other = slurm.submit("exec sleep 300", "--nodelist=gpu2")
    try:
        until(lambda: _output(slurm, job).count(" ") == 1, SOON_S, "the job runs")
        until(lambda: slurm.state(other) == "RUNNING", SOON_S, "the other job runs")
        processes = [psutil.Process(int(pid)) for pid in _output(slurm, job).split()]
        slurm.crash_node("gpu1")
        until(lambda: not any(map(lives, processes)), 5, "the job's processes are gone")
        assert slurm.state(job) == "RUNNING"
        until(lambda: slurm.state(job) == "NODE_FAIL", DETECTED_S, "Slurm finds out")
        assert slurm.state(other) == "RUNNING"
    finally:
        slurm.start_node("gpu1")
        _cancel(slurm, other)
    job = slurm.submit("true", "--nodelist=gpu1")
    until(lambda: slurm.state(job) == "COMPLETED", SOON_S, "a job on the node that is back")


@pytest.mark.slow
def test_jobs_outlive_the_controller(slurm: Slurm) -> None:
    """While it is dead Slurm's commands fail; it comes back and knows the job, which has gone on."""
    job = slurm.submit("echo $$; exec sleep 300")
    try:
        until(lambda: _output(slurm, job) != "", SOON_S, "the job runs")
        process = psutil.Process(int(_output(slurm, job)))
        slurm.kill_controller()
        with pytest.raises(ServiceError):
            slurm.state(job)
        with pytest.raises(ServiceError):
            slurm.submit("true")
        assert lives(process)
        slurm.restart()
        until(lambda: slurm.state(job) == "RUNNING", SOON_S, "the controller knows the job")
        assert lives(process)
    finally:
        slurm.restart()
        _cancel(slurm, job)


def test_a_nodes_daemon_dies_and_its_job_does_not(slurm: Slurm) -> None:
    """The node's job goes on, and slurmd finds it again."""
    job = slurm.submit("echo $$; exec sleep 300", "--nodelist=gpu2")
    try:
        until(lambda: _output(slurm, job) != "", SOON_S, "the job runs")
        process = psutil.Process(int(_output(slurm, job)))
        slurm.kill_node_daemon("gpu2")
        assert lives(process)
        slurm.start_node("gpu2")
        assert (slurm.state(job), lives(process)) == ("RUNNING", True)
    finally:
        slurm.restart()
        _cancel(slurm, job)


@pytest.mark.slow
def test_nothing_outlives_the_cluster(slurm: Slurm) -> None:
    """Daemons, a running job and what it daemonised are gone by pid, and named; a second cluster runs beside the first."""
    with Slurm(nodes=1, gpus=1) as cluster:
        job = cluster.submit("setsid sleep 300 & echo $! $$; exec sleep 300")
        until(lambda: _output(cluster, job).count(" ") == 1, SOON_S, "the job runs")
        pids = {int(pid) for pid in _output(cluster, job).split()}
        own = cluster.processes()
        assert pids < {process.pid for process in own}
        assert {"munged", "slurmctld", "slurmd", "slurmstepd"} <= {process.name() for process in own}
        left = cluster.close(grace_s=0.2)
        assert sorted(left) == sorted(f"process {pid}: sleep 300" for pid in pids)
        assert [process for process in own if lives(process)] == []
        assert not cluster.folder.exists()
    assert slurm.run("sinfo", "-h", "-o", "%D").stdout.split()[0] == str(len(slurm.nodes))


def _output(slurm: Slurm, job: str) -> str:
    path = slurm.folder / f"{job}.out"
    return path.read_text() if path.exists() else ""


def _cancel(slurm: Slurm, *jobs: str) -> None:
    assert slurm.run("scancel", *jobs).returncode == 0
    ended = ("CANCELLED", "COMPLETED")
    until(lambda: all(slurm.state(job) in ended for job in jobs), SOON_S, "the jobs' end")


def test_the_cluster_is_for_every_account(slurm: Slurm, sshd: Sshd) -> None:
    """No folder above its configuration is closed to others."""
    if os.geteuid() == 0:
        done = slurm.run("sinfo", "--noheader", "--format=%P", user=sshd.account(sshd.user).pw_name)
        assert (done.stdout.split(), done.stderr) == (["gpu*", "debug", "low"], "")
