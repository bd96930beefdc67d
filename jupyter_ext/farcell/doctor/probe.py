"""Run by a target's Python from its stdin, alone: what it and the folders there are, as one JSON line. Python 3.10 and later.

Arguments: whether for a job ("slurm"), the cache folder, the folder of sessions (or ""), and `scontrol show node --oneliner`.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TRIED_BYTES = 1 << 20
NODES = 3
CONNECT_S = 3.0


def folder(path: str) -> dict[str, object]:
    """Of the folder, or of the one above it in which it would be made."""
    at = path
    while not os.path.lexists(at) and at != "/":
        at = os.path.dirname(at)
    found: dict[str, object] = {"path": path, "at": at, "exists": at == path}
    try:
        status = os.lstat(at)
        found.update(owner=status.st_uid, is_link=os.path.islink(at), mount=mount(at))
        about = os.statvfs(at)
        found.update(free_bytes=about.f_bavail * about.f_frsize, noexec=bool(about.f_flag & os.ST_NOEXEC))
        tried(at, found)
    except OSError as error:
        found.update(error=error.strerror or str(error), errno=errno.errorcode.get(error.errno or 0, ""))
    return found


def tried(at: str, found: dict[str, object]) -> None:
    """Writes, forces to the disk and locks a file there. Raises OSError."""
    import fcntl

    with tempfile.NamedTemporaryFile(prefix=".farcell-doctor-", dir=at) as file:
        began = time.perf_counter()
        file.write(bytes(TRIED_BYTES))
        file.flush()
        try:
            os.fsync(file.fileno())
            found["fsync_s"] = time.perf_counter() - began
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            found["fsync_error"] = error.strerror
        other = os.open(file.name, os.O_RDWR)
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found["lock_error"] = "two hold one lock"
            except BlockingIOError:
                pass
        except OSError as error:
            found["lock_error"] = error.strerror
        finally:
            os.close(other)


def mount(path: str) -> str:
    """The kind of file system, as /proc/mounts has it."""
    best, kind = "", ""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                place = line.split()[1].replace("\\040", " ")
                inside = os.path.realpath(path)
                if (inside == place or inside.startswith(place.rstrip("/") + "/")) and len(place) >= len(best):
                    best, kind = place, line.split()[2]
    except (OSError, IndexError):
        pass
    return kind


def sockets(root: str) -> dict[str, object]:
    """Whether a session's sockets fit, and can be made where they would be."""
    longest = os.path.join(root, "s-01234567", "kernel.socket")
    found: dict[str, object] = {"longest": len(os.fsencode(longest))}
    at = root
    while not os.path.isdir(at) and at != "/":
        at = os.path.dirname(at)
    try:
        with tempfile.TemporaryDirectory(prefix=".fcd-", dir=at) as inside, socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.join(inside, "s"))
    except OSError as error:
        found["error"] = error.strerror or str(error)
    return found


def gpus() -> dict[str, object]:
    try:
        import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return listed_gpus()
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(each) for each in range(pynvml.nvmlDeviceGetCount())]
        names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
        return {"names": [name.decode() if isinstance(name, bytes) else name for name in names], "by": "nvidia-ml-py"}
    except pynvml.NVMLError as error:
        is_there = error.value != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
        return {**listed_gpus(), **({"error": str(error)} if is_there else {})}


def listed_gpus() -> dict[str, object]:
    """Without NVIDIA's library for Python: what the driver's own program and the devices tell."""
    found = []
    if shutil.which("nvidia-smi"):
        try:
            done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
            found = re.findall(r"GPU \d+: (.*?) \(UUID", done.stdout)
        except (OSError, subprocess.SubprocessError):
            pass
    devices = [name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]
    amd = os.path.exists("/dev/kfd")
    return {"names": found or ["NVIDIA" for _ in devices], "by": "nvidia-smi" if found else "devices", "amd": amd}


def nodes(told: str) -> list[dict[str, object]]:
    """Some of those that are up: whether their slurmd can be reached from here, as the door of a session is."""
    found = []
    for line in told.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S+)", line))
        state = fields.get("State", "")
        if "NodeAddr" not in fields or not state.startswith(("IDLE", "MIXED", "ALLOCATED")) or "*" in state:
            continue
        address = (fields["NodeAddr"], int(fields.get("Port", "6818")))
        node: dict[str, object] = {"name": fields.get("NodeName"), "address": f"{address[0]}:{address[1]}"}
        try:
            socket.create_connection(address, CONNECT_S).close()
        except OSError as error:
            node["error"] = error.strerror or str(error)
        found.append(node)
        if len(found) == NODES:
            break
    return found


def main() -> None:
    kind, cache, state, told = sys.argv[1:5]
    runtime = os.environ.get("FARCELL_RUNTIME_DIR") or f"/tmp/farcell-{os.getuid()}"
    shm = "/dev/shm"
    found = {
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "uid": os.getuid(),
        "ipykernel": importlib.util.find_spec("ipykernel") is not None,
        "installers": [each for each in ("pip", "ensurepip", "venv") if importlib.util.find_spec(each) is not None]
        + (["uv"] if shutil.which("uv") else []),
        "runtime": folder(runtime),
        "sockets": sockets(runtime),
        "cache": folder(cache),
        "state": folder(state) if state else None,
        "temporary": folder(os.environ.get("TMPDIR") or "/tmp"),
        "shm": folder(shm) if os.path.isdir(shm) else None,
        "gpus": gpus(),
        "nodes": nodes(told) if kind == "slurm" else None,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
