"""What is on a machine, by the answers of `script` and `probe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farcell_host.bundle import OLDEST, TOO_OLD
from farcell_host.runtime import PATH_BYTES

from ..backends.base import LaunchOptions
from ..refs import human_bytes
from .checks import Check, note, ok, unchecked, wrong

PYTHON, RUNTIME, SOCKETS, CACHE, LOCKS = "Python", "session folders", "sockets", "cache folder", "locks and fsync"
TEMPORARY, SHM, LEAVING, CLOCK, GPUS, KERNEL = "temporary files", "/dev/shm", "after logout", "clock", "GPUs", "kernel's packages"
ENVIRONMENT_BYTES = 300 << 20
"""What making an environment takes, downloads included."""
FEW_BYTES = 20 << 20
SMALL_SHM_BYTES = 128 << 20
SLOW_FSYNC_S = 1.0
SKEW_S = 5.0
NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p", "afs")
"""Kinds of file systems that several machines see; sockets and locks of one machine belong elsewhere."""
_FULL = ("ENOSPC", "EDQUOT")


@dataclass(frozen=True)
class Answers:
    """`said` are the script's words; `probe` what the probe found, None where no Python ran it."""

    said: Mapping[str, str]
    probe: Mapping[str, Any] | None = None
    sent_at: float = 0.0
    """Our clock before the script was sent, and when its answer was here."""
    heard_at: float = 0.0


def pythons(options: LaunchOptions, tried: Sequence[str], answers: Answers) -> Check:
    """Of the command lines that were tried, in their order."""
    told = [(name, *_code(answers.said.get(f"python-{number}"))) for number, name in enumerate(tried)]
    told = [each for each in told if each[1] is not None]
    oldest = ".".join(map(str, OLDEST))
    fix = f"Set python of the target to a Python {oldest} or later that is there: its whole path, or a command line."
    for name, code, text in told:
        if code == 0:
            if answers.probe is None:
                return wrong(PYTHON, f"{name} ({text}) did not run what it was sent on its stdin", fix)
            return ok(PYTHON, f"{name} is Python {answers.probe['python']} ({answers.probe['executable']})")
    faults = [
        f"{name} is Python {text}, older than {oldest}" if code == TOO_OLD else f"{name} cannot be run (exit code {code}): {text}"
        for name, code, text in told
    ]
    if options.python is None:
        faults = [fault for fault in faults if "cannot be run (exit code 127)" not in fault] or ["there is no python3"]
    return wrong(PYTHON, "; ".join(faults) or "the shell did not look for one", fix)


def _code(text: str | None) -> tuple[int | None, str]:
    code, _, rest = (text or "").partition(" ")
    return (int(code), rest) if code.isdigit() else (None, "")


def session_folders(answers: Answers) -> list[Check]:
    """Where sessions have their sockets: on the machine itself, its owner's alone, and with a short path."""
    probe = _probe(answers)
    folder, sockets = probe["runtime"], probe["sockets"]
    move = (
        "Set FARCELL_RUNTIME_DIR, in env of the target, to a folder of the machine's own disk that is yours, such as /var/tmp/me."
    )
    found = [folder_check(RUNTIME, folder, move, FEW_BYTES)]
    if folder["exists"] and (folder.get("owner") != probe["uid"] or folder.get("is_link")):
        what = "is a symbolic link" if folder.get("is_link") else f"belongs to user {folder.get('owner')}, not to you"
        found = [wrong(RUNTIME, f"{folder['path']} {what}", move)]
    elif folder.get("mount") in NETWORKED:
        found = [wrong(RUNTIME, f"{folder['path']} is on {folder['mount']}, which other machines see", move)]
    elif folder.get("lock_error"):
        found = [wrong(RUNTIME, f"{folder['path']}: files cannot be locked ({folder['lock_error']})", move)]
    shorter = "Set FARCELL_RUNTIME_DIR, in env of the target, to a shorter folder, such as /tmp/fc."
    if sockets["longest"] > PATH_BYTES:
        found.append(
            wrong(SOCKETS, f"below {folder['path']} a socket's path has {sockets['longest']} bytes; {PATH_BYTES} fit", shorter)
        )
    elif "error" in sockets and "error" not in folder:
        found.append(wrong(SOCKETS, f"below {folder['at']} none can be made: {sockets['error']}", move))
    elif "error" in sockets:
        found.append(unchecked(SOCKETS, "nothing can be written there"))
    else:
        found.append(ok(SOCKETS, f"a path has {sockets['longest']} of {PATH_BYTES} bytes"))
    return found


def cache(answers: Answers, makes_environment: bool) -> list[Check]:
    """Where the kernel host, environments, sent data and snapshots are kept."""
    folder = _probe(answers)["cache"]
    move = "Set cache_dir of the target to another folder, on a disk with room."
    found = [folder_check(CACHE, folder, move, ENVIRONMENT_BYTES if makes_environment else FEW_BYTES)]
    if makes_environment and folder.get("noexec") and "error" not in folder:
        found = [
            wrong(CACHE, f"{folder['path']} is on a disk mounted noexec: an environment there cannot load its libraries", move)
        ]
    return [*found, locks(LOCKS, folder, move)]


def locks(name: str, folder: Mapping[str, Any], move: str) -> Check:
    if "error" in folder:
        return unchecked(name, f"nothing can be written to {folder['at']}")
    if "lock_error" in folder:
        where = f"{folder['at']}{_of_kind(folder)}"
        return note(
            name, f"{where}: files cannot be locked ({folder['lock_error']}); two sessions may do the same work twice", move
        )
    if "fsync_error" in folder:
        return wrong(name, f"{folder['at']}: what is written cannot be forced to the disk ({folder['fsync_error']})", move)
    seconds = folder.get("fsync_s", 0.0)
    text = f"{folder['at']}{_of_kind(folder)}: files are locked, 1 MB is on the disk in {seconds * 1000:.0f} ms"
    return ok(name, text) if seconds < SLOW_FSYNC_S else note(name, text, move)


def folder_check(name: str, folder: Mapping[str, Any], fix: str, wanted_bytes: int) -> Check:
    where = folder["path"] if folder["exists"] else f"{folder['path']} (to be made in {folder['at']})"
    if folder.get("errno") in _FULL or ("error" not in folder and folder["free_bytes"] < wanted_bytes):
        free = f"{human_bytes(folder['free_bytes'])} free" if "free_bytes" in folder else "no room"
        if folder.get("errno") == "EDQUOT":
            return wrong(name, f"{where}: the quota is used up", f"Remove something there, or: {fix}")
        return wrong(name, f"{where}: {free}, {human_bytes(wanted_bytes)} wanted", f"Remove something there, or: {fix}")
    if "error" in folder:
        return wrong(name, f"{where} cannot be written: {folder['error']}", fix)
    return ok(name, f"{where}, {human_bytes(folder['free_bytes'])} free{_of_kind(folder)}")


def _of_kind(folder: Mapping[str, Any]) -> str:
    return f" ({folder['mount']})" if folder.get("mount") else ""


def temporary(answers: Answers) -> list[Check]:
    probe = _probe(answers)
    folder, shm = probe["temporary"], probe["shm"]
    elsewhere = "Set TMPDIR, in env of the target, to another folder."
    found = [folder_check(TEMPORARY, folder, elsewhere, FEW_BYTES)]
    if folder.get("noexec") and "error" not in folder:
        text = f"{folder['path']} is mounted noexec: what is compiled while it runs (torch.compile, triton) cannot be loaded"
        found = [note(TEMPORARY, text, elsewhere)]
    if shm is None or "error" in shm:
        why = "there is none" if shm is None else str(shm["error"])
        found.append(note(SHM, f"{why}: farcell does without, worker processes that share memory (torch's DataLoader) do not"))
    elif shm["free_bytes"] < SMALL_SHM_BYTES:
        text = f"{human_bytes(shm['free_bytes'])} free: worker processes that share memory (torch's DataLoader) may die of SIGBUS"
        found.append(note(SHM, text, "In a container: --shm-size=8g, or num_workers=0."))
    else:
        found.append(ok(SHM, f"{human_bytes(shm['free_bytes'])} free"))
    return found


def leaving(said: Mapping[str, str]) -> Check:
    """Whether a session outlives the login that started it (logind.conf(5), KillUserProcesses; loginctl(1), enable-linger)."""
    limit = said.get("cpu", "unlimited")
    if limit.isdigit():
        text = f"a process there is killed after {limit} s of processor time (ulimit -t)"
        return note(LEAVING, text, "Ask the administrator for another limit, or use the machine's scheduler.")
    kills = said.get("kill", "")
    if kills != "b true" or said.get("account", "").startswith("root "):  # whom logind leaves alone (KillExcludeUsers)
        if not kills and said.get("systemd") == "yes":
            return unchecked(LEAVING, "logind does not say whether it kills what a login leaves")
        return ok(
            LEAVING, "what a login of yours leaves running goes on" if kills else "no logind, which would end what a login leaves"
        )
    if not said.get("scope", "").endswith("works"):
        why = said.get("scope") or "there is none"
        text = f"logind kills what a login leaves (KillUserProcesses=yes), and systemd-run cannot help: {why}"
        return wrong(LEAVING, text, "Ask the administrator for KillUserProcesses=no in logind.conf, or for user services.")
    if said.get("linger") != "yes":
        text = "logind kills what a login leaves (KillUserProcesses=yes) soon after the last one ends: a lost link ends a session"
        return wrong(LEAVING, text, "Run there, once: loginctl enable-linger")
    return ok(LEAVING, "logind kills what a login leaves; sessions are started in a scope of their own, which lingers")


def clock(answers: Answers) -> Check:
    text = answers.said.get("clock", "")
    if not text.isdigit():
        return unchecked(CLOCK, "date +%s says nothing there")
    there = float(text)  # whole seconds: it is up to one later
    off = (
        there - answers.heard_at
        if there > answers.heard_at
        else there + 1 - answers.sent_at
        if there + 1 < answers.sent_at
        else 0.0
    )
    if abs(off) <= SKEW_S:
        return ok(CLOCK, "as here")
    what = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    return note(CLOCK, f"{what}: ages of snapshots and times in logs are off by that", "Set the clocks by NTP (timedatectl).")


def gpus(answers: Answers) -> Check:
    found = _probe(answers)["gpus"]
    names = found["names"]
    if found.get("error") and not names:
        return note(GPUS, f"NVIDIA's library is there and fails: {found['error']}", "What does nvidia-smi say there?")
    if not names:
        return ok(GPUS, "AMD's: /dev/kfd is there" if found.get("amd") else "none")
    shown = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if found.get("error"):
        return note(
            GPUS, f"{shown}; nvidia-ml-py fails: {found['error']}", "Use is not measured until the driver and its library agree."
        )
    return ok(GPUS, shown)


def own_kernel(python: str, answers: Answers) -> Check:
    """Of a target on this machine, where no environment is made."""
    if _probe(answers)["ipykernel"]:
        return ok(KERNEL, f"{python} has ipykernel")
    return wrong(KERNEL, f"{python} has no ipykernel", f"{python} -m pip install ipykernel")


def kernel(options: LaunchOptions, python: str, described: Mapping[str, Any], answers: Answers) -> Check:
    """`described`: what `Bootstrap.describe` says."""
    lacking, environment = described.get("lacking"), described.get("environment")
    if lacking is None:
        return ok(KERNEL, f"{python} has what a kernel needs")
    if environment is not None:
        return ok(KERNEL, f"{python} has {lacking}; the environment that was made for it is {environment}")
    if options.environment == "never":
        fix = f'There: {python} -m pip install ipykernel. Or environment = "auto" for the target: one is made beside it.'
        return wrong(KERNEL, f'{python} has {lacking}, and environment = "never"', fix)
    if options.environment == "ship":
        return ok(KERNEL, f"{python} has {lacking}; the first cell makes an environment, from wheels that are sent from here")
    has = set(_probe(answers)["installers"])
    installer = "uv" if "uv" in has else "pip" if has & {"pip", "ensurepip"} else None
    if installer is None or "venv" not in has:
        lacks = "neither uv, pip nor ensurepip" if installer is None else "no venv module"
        fix = f"On Debian or Ubuntu: sudo apt-get install python3-venv. Or, in a notebook: %remote env ship {options.target}"
        return wrong(KERNEL, f"{python} has {lacking}, and {lacks} to make an environment with", fix)
    text = f"{python} has {lacking}; the first cell makes an environment with {installer}, from the index that is set up there"
    return note(KERNEL, text, f'If it reaches no index: %remote env ship {options.target}, or environment = "ship".')


def _probe(answers: Answers) -> Mapping[str, Any]:
    assert answers.probe is not None
    return answers.probe
