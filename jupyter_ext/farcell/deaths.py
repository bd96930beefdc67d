"""Why something has ended or could not begin, and what to do next: one table, from evidence to words. Pure.

Evidence is what a process leaves (exit code, signal, its log's end, its control group's counters), what a scheduler calls a job's
state, and what ssh and sbatch print. Texts of other programs are quoted as these have them; the source stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farcell_host.reasons import Reason

if TYPE_CHECKING:
    from .run import KernelEnded

AGAIN = "Run the cell again"
_LESS = "hold less at a time (smaller batches, del what is not needed)"


@dataclass(frozen=True)
class Death:
    """`detail` goes on after the name of what ended: `was killed by SIGKILL`; `next_step` is a sentence."""

    reason: Reason
    detail: str
    next_step: str = ""


# -- a remote kernel: signal(7)

_SIGNALS = {
    "SIGSEGV": (Reason.CRASHED, "crashed in a library (SIGSEGV, a segmentation fault)", ""),
    "SIGABRT": (Reason.CRASHED, "was given up by a library (SIGABRT)", ""),
    "SIGFPE": (Reason.CRASHED, "crashed in a library (SIGFPE, a division that has no result)", ""),
    "SIGILL": (
        Reason.CRASHED,
        "crashed in a library (SIGILL, an instruction that this processor does not have)",
        "A package was built for another processor: install it anew on the target.",
    ),
    "SIGBUS": (
        Reason.CRASHED,
        "crashed (SIGBUS, memory that is not there: a full /dev/shm, or a mapped file that was cut short)",
        "See df -h /dev/shm on the target.",
    ),
    "SIGXCPU": (
        Reason.LIMIT,
        "was ended at its limit of processor time (SIGXCPU)",
        "Raise it by ulimit -t {where}.",
    ),
    "SIGXFSZ": (
        Reason.LIMIT,
        "was ended at its limit of a file's size (SIGXFSZ)",
        "Raise it by ulimit -f {where}.",
    ),
}
_CRASHED_NEXT = "The lines below say where. If it comes again, look for a newer version of that package."
_IN_LOG = (
    # C++'s own words for an allocation that failed, and Linux' strerror(3).
    (("std::bad_alloc", "Cannot allocate memory", "MemoryError"), Reason.OUT_OF_MEMORY, f"Use more memory there, or {_LESS}."),
    (
        ("CUDA error: out of memory", "CUDA_ERROR_OUT_OF_MEMORY"),
        Reason.GPU_OUT_OF_MEMORY,
        "%remote gpus shows who is on its GPUs.",
    ),
    (("Disk quota exceeded",), Reason.DISK_QUOTA, "Free some of your quota there (quota -s shows it)."),
    (("No space left on device",), Reason.DISK_FULL, "Free some space there (df -h shows where)."),
)


def of_kernel(ended: KernelEnded, backend: str = "local") -> Death:
    """Why a remote kernel's process has ended, from what its host has found."""
    memory = ended.memory or {}
    if ended.signal == "SIGKILL":
        return _killed(memory, backend)
    log = "\n".join(ended.log_tail)
    told = next((row for row in _IN_LOG if any(text in log for text in row[0])), None)
    how = ending(ended.exit_code, ended.signal)
    if told is not None and ended.signal in (None, "SIGABRT"):
        words, reason, next_step = told
        return Death(reason, f"{how}; its log says: {next(text for text in words if text in log)}", next_step)
    if ended.signal in _SIGNALS:
        reason, what, next_step = _SIGNALS[ended.signal]
        where = "before Jupyter starts" if backend.startswith("local") else "in setup of the target"
        return Death(reason, what, next_step.format(where=where) or (_CRASHED_NEXT if ended.crash else ""))
    if ended.signal is not None:
        return Death(Reason.KILLED, how, "Somebody or something there has sent that signal.")
    return Death(Reason.EXITED, how)


def _killed(memory: Mapping[str, Any], backend: str) -> Death:
    """The counters of its control group tell whether the system did it (cgroup-v2.rst, "memory.events")."""
    own, limit, machine = memory.get("own_peak"), memory.get("limit"), memory.get("machine")
    held = f"it held up to {in_memory(own)}" if own else "it is not known how much it held"
    if limit is not None and machine is not None and limit >= machine:
        limit = None
    room = limit or machine
    of = f", of the {in_memory(room)} that {'it may have' if limit else 'the machine has'}" if room else ""
    if memory.get("kills"):
        if limit and memory.get("peak"):
            of += f" together with what else counts ({in_memory(memory['peak'])} at most)"
        return Death(Reason.OUT_OF_MEMORY, f"was killed by SIGKILL as memory ran out: {held}{of}", _more_memory(limit, backend))
    if memory.get("kills") == 0:
        return Death(Reason.KILLED, f"was killed by SIGKILL, by hand or by another program: {held}{of}")
    return Death(Reason.KILLED, f"was killed by SIGKILL (by hand, or because the machine's memory ran out: {held}{of})")


def _more_memory(limit: int | None, backend: str) -> str:
    if backend == "slurm":
        return f"Ask for more (%%remote --mem 64G, or mem of the target), or {_LESS}."
    if limit:
        return f"Raise the limit there (of the control group, service or container that the session is in), or {_LESS}."
    return f"Use a machine with more memory, or {_LESS}."


def ending(exit_code: int | None, died_of: str | None) -> str:
    """`was killed by SIGKILL` or `exited with code 3`."""
    if died_of is not None:
        return f"was killed by {died_of}"
    return f"exited with code {exit_code}" if exit_code is not None else "ended"


def in_memory(size: int | None) -> str:
    """In the units in which memory is given out: `64.0 GiB`."""
    if size is None:
        return "an unknown amount"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


# -- a scheduler's job: squeue(1), JOB STATE CODES

_NEW_JOB = f"{AGAIN}: it gets a new job."
_STATES = {
    "OUT_OF_MEMORY": (Reason.OUT_OF_MEMORY, "ran out of memory", _more_memory(None, "slurm")),
    "TIMEOUT": (
        Reason.WALL_TIME,
        "has reached its wall time",
        "Ask for more (%%remote --walltime 8h, or walltime of the target).",
    ),
    "DEADLINE": (Reason.WALL_TIME, "has reached its deadline", _NEW_JOB),
    "NODE_FAIL": (Reason.NODE_FAILURE, "has lost its node", f"{AGAIN}: it gets a new job, on another node."),
    "BOOT_FAIL": (Reason.NODE_FAILURE, "got a node that did not start", f"{AGAIN}: it gets a new job, on another node."),
    "PREEMPTED": (
        Reason.PREEMPTED,
        "was preempted by one of higher priority",
        f"{AGAIN}: it gets a new job; a cell with --restartable does so by itself.",
    ),
    "CANCELLED": (Reason.CANCELLED, "was cancelled", _NEW_JOB),
    "REVOKED": (Reason.CANCELLED, "was taken over by another cluster", _NEW_JOB),
    "FAILED": (Reason.JOB_FAILED, "has failed", "What it printed says why."),
    "COMPLETED": (Reason.ENDED, "has ended", _NEW_JOB),
}
_STATE_OF = {
    Reason.WALL_TIME: "TIMEOUT",
    Reason.PREEMPTED: "PREEMPTED",
    Reason.CANCELLED: "CANCELLED",
    Reason.NODE_FAILURE: "NODE_FAIL",
}


def of_job(job: str, state: str, words: str, *, is_waiting: bool = False) -> Death:
    """Of a job that is over, or back in the queue; `words` are Slurm's own."""
    if is_waiting:
        return Death(
            Reason.REQUEUED, f"its job {job} was put back into the queue", f"%remote stop withdraws it; {_NEW_JOB.lower()}"
        )
    reason, what, next_step = _STATES.get(state, (Reason.UNKNOWN, "has ended", _NEW_JOB))
    return Death(reason, f"its job {job} {what} ({words})", next_step)


def of_session(why: str, reason: Reason) -> Death:
    """Of a host that has said itself why it ends."""
    state = _STATE_OF.get(reason)
    return Death(reason, why, _STATES[state][2] if state is not None else "")


# -- ssh's words: sshconnect.c and sshconnect2.c of OpenSSH, getaddrinfo(3), connect(2)


@dataclass(frozen=True)
class _Login:
    """In templates: `target` and `host`."""

    texts: tuple[str, ...]
    reason: Reason
    what: str


_LOGINS = (
    _Login(
        ("REMOTE HOST IDENTIFICATION HAS CHANGED",),
        Reason.HOST_KEY_CHANGED,
        "the host's key is not the one that is known: the machine was set up anew, or another answers in its place. Ask who runs "
        "it; if the change was on purpose, remove the old key with ssh-keygen -R {host}, log in once with ssh, then "
        "%remote reconnect {target}.",
    ),
    _Login(
        ("Host key verification failed",),
        Reason.HOST_KEY_UNKNOWN,
        "the host's key is not known yet, and nobody has said that it is right. Log in once with ssh {host} and compare it, then "
        "%remote reconnect {target}; a cell asks for it where the front end can.",
    ),
    _Login(
        ("Too many authentication failures",),
        Reason.LOGIN_REFUSED,
        "needs authentication: run %remote reconnect {target}. Too many keys were offered: name the right one in ~/.ssh/config "
        "(IdentityFile, with IdentitiesOnly yes).",
    ),
    _Login(
        ("Permission denied, please try again",),
        Reason.LOGIN_REFUSED,
        "needs authentication: run %remote reconnect {target}. The password was not accepted.",
    ),
    _Login(
        ("Permission denied", "Authentication failed"),
        Reason.LOGIN_REFUSED,
        "needs authentication: run %remote reconnect {target}. No key was accepted; a first cell there asks for a password or a "
        "code, too, where the front end can.",
    ),
    _Login(
        ("Could not resolve hostname",),
        Reason.UNREACHABLE,
        "cannot be reached: no such name is known here. Is host of the target right, and are you on its network (VPN)?",
    ),
    _Login(
        ("Connection refused",),
        Reason.UNREACHABLE,
        "cannot be reached: the machine answers, but no SSH server does. Is the port right, and is sshd running?",
    ),
    _Login(
        ("timed out", "No route to host", "Network is unreachable"),
        Reason.UNREACHABLE,
        "cannot be reached: nothing answers. Is the machine on, and are you on its network (VPN)?",
    ),
    _Login(
        ("Connection closed by", "Connection reset by", "kex_exchange_identification", "closed by remote host"),
        Reason.UNREACHABLE,
        "cannot be reached: the connection was closed before the login. A busy server, or one that bans for a while, does "
        "that: wait a minute.",
    ),
)


def of_login(said: str, target: str, host: str) -> tuple[Reason, str]:
    """Why ssh did not get there, by what it printed; in words that go on after the target's name."""
    row = next((row for row in _LOGINS if any(text in said for text in row.texts)), None)
    if row is None:
        return Reason.UNREACHABLE, "cannot be reached"
    return row.reason, row.what.format(target=target, host=host)


# -- sbatch's words: slurm_errno.c of Slurm, and its own; all seen with 22.05

_REFUSALS = (
    (("invalid partition", "Invalid partition"), "sinfo lists the partitions; set partition of the target."),
    (("Invalid account", "Invalid qos"), "sacctmgr show associations user=$USER lists what you may use; set account and qos."),
    (
        ("Memory specification", "node configuration is not available"),
        "No node has that much: sinfo -o '%n %c %m %G' shows them.",
    ),
    (("Invalid generic resource",), "sinfo -o '%n %G' shows how GPUs are called; set gpu_type of the target, or leave it out."),
    (("Invalid feature",), "sinfo -o '%n %f' shows the features that nodes have; set constraint of the target."),
    (("reservation",), "scontrol show reservations lists them; set reservation of the target."),
    (("time limit",), "Ask for less (walltime); sinfo -o '%P %l' shows what a partition allows."),
    (
        ("job submit limit", "MaxSubmit", "QOSMax", "Assoc"),
        "You have too many jobs, or they want too much: squeue --me lists them.",
    ),
    (("Unable to contact slurm controller",), "The controller is away: sinfo says when it is back; then run the cell again."),
    (("not found",), "Is Slurm there? Set host of the target to a login node of the cluster."),
)


def of_refusal(said: str) -> str:
    """What to do when sbatch has refused a job; "" where its own words must do."""
    return next((next_step for texts, next_step in _REFUSALS if any(text in said for text in texts)), "")


# -- exceptions of the user's own

_GPU_FULL = (
    "CUDA out of memory",  # PyTorch, c10/cuda/CUDACachingAllocator.cpp
    "HIP out of memory",
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",  # the driver's name for it; numba, JAX
    "CUBLAS_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED: Out of memory",  # JAX (XLA)
    "OOM when allocating tensor",  # TensorFlow
    "Out of memory allocating",  # CuPy
)


def of_exception(ename: str, evalue: str, target: str) -> Death | None:
    """What to do about an exception that a cell raised because the target ran out of something; None for all others."""
    if any(text in evalue for text in _GPU_FULL):
        return Death(
            Reason.GPU_OUT_OF_MEMORY,
            f"a GPU of {target!r} has no memory left",
            f"%remote gpus {target} shows who has how much. Free what this session holds (del, then torch.cuda.empty_cache()), "
            f"take smaller batches, or %remote restart {target}.",
        )
    if evalue.startswith("[Errno 122]"):
        return Death(Reason.DISK_QUOTA, f"your disk quota on {target!r} is used up", "Free some of it there; quota -s shows it.")
    if evalue.startswith("[Errno 28]"):
        return Death(
            Reason.DISK_FULL, f"a disk of {target!r} is full", "Free some space there, or write elsewhere; df -h shows where."
        )
    if ename == "MemoryError":
        return Death(Reason.OUT_OF_MEMORY, f"{target!r} gave no more memory", f"Use more memory there, or {_LESS}.")
    return None


def of_text(text: str) -> Reason:
    """For what a script over there has said: whether a disk is in the way."""
    if "Disk quota exceeded" in text:
        return Reason.DISK_QUOTA
    if "No space left on device" in text or "is the disk or the quota full" in text:
        return Reason.DISK_FULL
    return Reason.UNKNOWN
