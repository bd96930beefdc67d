"""From evidence to a reason, words and the next step. Texts of other programs are quoted; where they are from stands beside."""

from __future__ import annotations

from pathlib import Path

import pytest
from farcell.deaths import of_exception, of_job, of_kernel, of_login, of_refusal, of_session, of_text
from farcell.errors import KernelDied
from farcell.run import KernelEnded
from farcell_host.lastwords import canceller, crash_of, job_ending
from farcell_host.memorylimits import MemoryGroup
from farcell_host.reasons import Reason

MIB = 1 << 20
LIMITED = {"kills": 1, "limit": 100 * MIB, "peak": 100 * MIB, "own_peak": 96 * MIB, "machine": 8 << 30}
WITHOUT = {"kills": 0, "limit": None, "peak": None, "own_peak": 96 * MIB, "machine": 8 << 30}
PAGE = Path(__file__).parents[3] / "docs" / "troubleshooting.md"


def test_a_kernel_that_the_system_killed_for_memory() -> None:
    """With the most it had and its limit; what to do depends on whose limit it is."""
    death = of_kernel(KernelEnded(None, "SIGKILL", memory=LIMITED))
    assert death.reason is Reason.OUT_OF_MEMORY
    assert death.detail == (
        "was killed by SIGKILL as memory ran out: it held up to 96 MiB, of the 100 MiB that it may have together with what else "
        "counts (100 MiB at most)"
    )
    assert "control group" in death.next_step
    assert "%%remote --mem 64G" in of_kernel(KernelEnded(None, "SIGKILL", memory=LIMITED), "slurm").next_step
    machine = of_kernel(KernelEnded(None, "SIGKILL", memory=WITHOUT | {"kills": 1}))
    assert "of the 8.0 GiB that the machine has" in machine.detail and "more memory" in machine.next_step


def test_a_kernel_that_somebody_killed() -> None:
    """Only where the system has killed nobody is that known; an older host tells nothing."""
    assert of_kernel(KernelEnded(None, "SIGKILL", memory=WITHOUT)).detail.startswith(
        "was killed by SIGKILL, by hand or by another"
    )
    assert "(by hand, or because" in of_kernel(KernelEnded(None, "SIGKILL")).detail


@pytest.mark.parametrize(
    ("signal", "exit_code", "log", "reason"),
    [
        ("SIGSEGV", None, "", Reason.CRASHED),
        ("SIGBUS", None, "", Reason.CRASHED),
        ("SIGILL", None, "", Reason.CRASHED),
        ("SIGABRT", None, "", Reason.CRASHED),
        # libstdc++'s verbose terminate handler
        ("SIGABRT", None, "terminate called after throwing an instance of 'std::bad_alloc'", Reason.OUT_OF_MEMORY),
        ("SIGXCPU", None, "", Reason.LIMIT),
        ("SIGTERM", None, "", Reason.KILLED),
        (None, 3, "", Reason.EXITED),
        (None, 1, "OSError: [Errno 28] No space left on device: '/tmp/x'", Reason.DISK_FULL),
        (None, 1, "OSError: [Errno 122] Disk quota exceeded: '/home/ada/x'", Reason.DISK_QUOTA),
        (None, None, "", Reason.EXITED),
    ],
)
def test_other_ends_of_a_kernel(signal: str | None, exit_code: int | None, log: str, reason: Reason) -> None:
    assert of_kernel(KernelEnded(exit_code, signal, tuple(log.splitlines()))).reason is reason


def test_a_limit_is_raised_where_it_can_be() -> None:
    """On this machine no `setup` runs."""
    ended = KernelEnded(None, "SIGXCPU")
    assert of_kernel(ended, "ssh").next_step == "Raise it by ulimit -t in setup of the target."
    assert of_kernel(ended, "local-attach").next_step == "Raise it by ulimit -t before Jupyter starts."


# Python 3.11, a read of address 0 by ctypes beside another thread
FAULT = """\
before
Fatal Python error: Segmentation fault

Thread 0x00007f483aefe6c0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 982 in run

Current thread 0x00007f4843452b80 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/tmp/seg.py", line 4 in f
  File "/usr/lib/python3/IPython/core/interactiveshell.py", line 3526 in run_code

Extension modules: numpy._core._multiarray_umath, numpy.linalg._umath_linalg (total: 2)
"""


def test_the_place_of_a_crash_is_shown() -> None:
    """Of the thread that crashed, as far as the cell's own code."""
    crash = crash_of(FAULT)
    assert crash == FAULT.splitlines()[1:2] + FAULT.splitlines()[7:9]
    assert crash_of("all is well\n") == []
    ended = KernelEnded(None, "SIGSEGV", ("before",), tuple(crash))
    error = KernelDied("gpu-a", ended, ended.death)
    assert error.reason is Reason.CRASHED
    assert str(error).endswith('    File "/tmp/seg.py", line 4 in f')


# slurmstepd of Slurm 22.05, in the job's own output
ENDINGS = {
    "slurmstepd-gpu1: error: *** JOB 1 ON gpu1 CANCELLED AT 2026-11-30T04:54:28 ***": Reason.CANCELLED,
    "slurmstepd-gpu1: error: *** JOB 1 ON gpu1 CANCELLED AT 2026-11-30T04:54:55 DUE TO PREEMPTION ***": Reason.PREEMPTED,
    "slurmstepd-gpu1: error: *** JOB 1 ON gpu1 CANCELLED AT 2026-11-30T04:54:55 DUE TO TIME LIMIT ***": Reason.WALL_TIME,
    "slurmstepd-gpu1: error: *** JOB 12 ON gpu1 CANCELLED AT 2026-11-30T04:54:55 DUE TO TIME LIMIT ***": None,
    "nothing of that": None,
}


@pytest.mark.parametrize("line", ENDINGS)
def test_why_a_scheduler_ends_a_job(line: str) -> None:
    assert job_ending(f"a line\n{line}\n", "1") is ENDINGS[line]


def test_who_has_cancelled_a_job() -> None:
    """sacct(1): "CANCELLED by" and the uid."""
    assert canceller(["CANCELLED by 1000\n"]) == "1000"
    assert canceller(["CANCELLED\n", ""]) is None


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("OUT_OF_MEMORY", Reason.OUT_OF_MEMORY),
        ("TIMEOUT", Reason.WALL_TIME),
        ("NODE_FAIL", Reason.NODE_FAILURE),
        ("PREEMPTED", Reason.PREEMPTED),
        ("CANCELLED", Reason.CANCELLED),
        ("FAILED", Reason.JOB_FAILED),
        ("A_NEW_STATE", Reason.UNKNOWN),
    ],
)
def test_states_of_a_job(state: str, reason: Reason) -> None:
    """squeue(1), JOB STATE CODES."""
    death = of_job("12", state, state)
    assert death.reason is reason and death.detail.endswith(f"({state})") and death.next_step


def test_a_host_that_says_itself_why_it_ends() -> None:
    death = of_session("its job was preempted", Reason.PREEMPTED)
    assert death.detail == "its job was preempted" and "--restartable" in death.next_step
    assert Reason.of("something-newer") is Reason.UNKNOWN


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [  # OpenSSH 9.2
        ("ssh: Could not resolve hostname gpu-x: Name or service not known", Reason.UNREACHABLE, "no such name"),
        ("ssh: connect to host gpu-a port 22: Connection refused", Reason.UNREACHABLE, "no SSH server does"),
        ("ssh: connect to host gpu-a port 22: Connection timed out", Reason.UNREACHABLE, "nothing answers"),
        ("ssh: connect to host gpu-a port 22: No route to host", Reason.UNREACHABLE, "nothing answers"),
        ("kex_exchange_identification: Connection closed by remote host", Reason.UNREACHABLE, "closed before the login"),
        ("ada@gpu-a: Permission denied (publickey).", Reason.LOGIN_REFUSED, "No key was accepted"),
        (
            "Permission denied, please try again.\nada@gpu-a: Permission denied (publickey,password).",
            Reason.LOGIN_REFUSED,
            "The password was not accepted",
        ),
        (
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures",
            Reason.LOGIN_REFUSED,
            "IdentitiesOnly",
        ),
        (
            "No ED25519 host key is known for gpu-a and you have requested strict checking.\nHost key verification failed.",
            Reason.HOST_KEY_UNKNOWN,
            "not known yet",
        ),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
            Reason.HOST_KEY_CHANGED,
            "ssh-keygen -R gpu-a",
        ),
        ("something else", Reason.UNREACHABLE, "cannot be reached"),
    ],
)
def test_what_ssh_says(said: str, reason: Reason, words: str) -> None:
    found, what = of_login(said, "t", "gpu-a")
    assert found is reason and words in what


@pytest.mark.parametrize(
    ("said", "next_step"),
    [  # sbatch of Slurm 22.05
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", "sinfo lists the partitions"),
        ("sbatch: error: Memory specification can not be satisfied", "No node has that much"),
        ("sbatch: error: Batch job submission failed: Invalid feature specification", "constraint"),
        ("sbatch: error: Invalid generic resource (gres) specification", "gpu_type"),
        ("sbatch: error: Batch job submission failed: Requested reservation is invalid", "scontrol show reservations"),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            "controller is away",
        ),
        ("sh: 1: sbatch: not found", "login node"),
        ("sbatch: unrecognized option '--x'", ""),
    ],
)
def test_what_sbatch_says(said: str, next_step: str) -> None:
    found = of_refusal(said)
    assert next_step in found and bool(found) == bool(next_step)


@pytest.mark.parametrize(
    ("ename", "evalue", "reason"),
    [
        # PyTorch 2, c10/cuda/CUDACachingAllocator.cpp
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...", Reason.GPU_OUT_OF_MEMORY),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes", Reason.GPU_OUT_OF_MEMORY),
        ("OutOfMemoryError", "Out of memory allocating 8,589,934,592 bytes", Reason.GPU_OUT_OF_MEMORY),  # CuPy
        ("OSError", "[Errno 122] Disk quota exceeded: 'x'", Reason.DISK_QUOTA),
        ("OSError", "[Errno 28] No space left on device", Reason.DISK_FULL),
        ("MemoryError", "", Reason.OUT_OF_MEMORY),
        ("ValueError", "no space", None),
    ],
)
def test_exceptions_of_a_target_that_lacks_something(ename: str, evalue: str, reason: Reason | None) -> None:
    death = of_exception(ename, evalue, "gpu-a")
    assert (death.reason if death is not None else None) is reason
    assert death is None or ("gpu-a" in death.detail and death.next_step)


def test_a_disk_that_a_script_could_not_write() -> None:
    assert of_text("could not be written into /x: is the disk or the quota full?") is Reason.DISK_FULL
    assert of_text("Disk quota exceeded") is Reason.DISK_QUOTA and of_text("no python") is Reason.UNKNOWN


def test_every_reason_is_on_the_page() -> None:
    """docs/troubleshooting.md has a row for each."""
    page = PAGE.read_text()
    assert [each.value for each in Reason if f"| `{each.value}` |" not in page] == []


# -- control groups: files as cgroup-v2.rst and cgroup-v1/memory.rst have them


def proc(folder: Path, cgroup: str, mount: str) -> Path:
    (folder / "proc" / "7").mkdir(parents=True)
    (folder / "proc" / "self").mkdir()
    (folder / "proc" / "7" / "cgroup").write_text(cgroup)
    (folder / "proc" / "self" / "mountinfo").write_text(mount)
    return folder / "proc"


def test_version_2_counts_in_the_group_and_limits_around_it(tmp_path: Path) -> None:
    """A job's limit is that of a group above its step's."""
    job = tmp_path / "cg" / "job_12"
    step = job / "step_batch"
    step.mkdir(parents=True)
    for folder, limit, peak in ((tmp_path / "cg", "max", 9), (job, 1000, 990), (step, "max", 800)):
        (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n")
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.peak").write_text(f"{peak}\n")
    group = MemoryGroup(7, proc(tmp_path, "0::/job_12/step_batch\n", f"30 1 0:26 / {tmp_path}/cg rw - cgroup2 cgroup2 rw\n"))
    (step / "memory.events").write_text("oom 1\noom_kill 3\n")
    found = group.evidence()
    assert (found.kills, found.limit, found.peak) == (1, 1000, 990)
    group.begin()
    assert group.evidence().kills == 0


def test_version_1_in_a_container_that_sees_a_part_of_the_tree(tmp_path: Path) -> None:
    top = tmp_path / "cg"
    top.mkdir()
    (top / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    (top / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    mount = f"30 1 0:26 /docker/abc {top} rw - cgroup cgroup rw,memory\n"
    group = MemoryGroup(7, proc(tmp_path, "4:memory:/docker/abc\n0::/\n", mount))
    found = group.evidence()
    assert (found.kills, found.limit) == (0, None)


def test_where_there_are_no_groups_nothing_is_claimed(tmp_path: Path) -> None:
    assert MemoryGroup(7, tmp_path).evidence().kills is None
