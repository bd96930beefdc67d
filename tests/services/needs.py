"""What each service needs of the machine, and the one rule for when it is not there.

System packages are installed by tools/need.sh when the first test wants them, only as root where no systemd runs. Where that
does not do, the test skips with a reason that names the command; a service that the environment variable FARCELL_REQUIRE
names (`FARCELL_REQUIRE=ssh,slurm,netns,nvml,postgres,podman`) fails instead.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

NEED = Path(__file__).parents[2] / "tools" / "need.sh"
INSTALL_S = 500
SEARCHED = os.defpath + ":/usr/local/sbin:/usr/sbin:/sbin"
"""Servers lie where an ordinary user's PATH does not look."""

CAP_SYS_ADMIN = 21
CAP_MKNOD = 27
HEADERS = "echo '#include <stdio.h>' | cc -E -"
"""A compiler without the C library's headers compiles nothing."""


@dataclass(frozen=True)
class Need:
    service: str
    """Its name in FARCELL_REQUIRE."""
    proof: str
    """A shell command that succeeds when the packages are there."""
    packages: tuple[str, ...]
    """Debian's."""
    obstacle: Callable[[], str | None] = lambda: None
    """What else is in the way, which these packages do not change, and what to do about it."""


def _slurm_obstacle() -> str | None:
    if os.geteuid() != 0:
        return "slurmd runs as root only: run the tests as root"
    if not os.path.ismount("/sys/fs/cgroup"):
        return "slurmd wants a file system mounted on /sys/fs/cgroup: mount -t tmpfs none /sys/fs/cgroup"
    with tempfile.TemporaryDirectory(prefix="fcs-", dir="/tmp") as folder:
        try:
            os.mknod(Path(folder) / "gpu", 0o020666, os.makedev(1, 3))
        except OSError as error:
            return f"Slurm's GPUs are device nodes, and this machine refuses to make one ({error}): docker run --cap-add MKNOD"
    return None


def _netns_obstacle() -> str | None:
    if not _has_capability(CAP_SYS_ADMIN):
        return "network namespaces need CAP_SYS_ADMIN: run the tests as root (in a container: docker run --privileged)"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"the link is made of tun devices ({error}): modprobe tun (in a container: docker run --device /dev/net/tun)"
    return None


def _users_obstacle() -> str | None:
    return None if os.geteuid() == 0 else "Unix accounts are made by root only: run the tests as root"


def _podman_obstacle() -> str | None:
    if os.geteuid() != 0 or not _has_capability(CAP_SYS_ADMIN):
        return "containers need root and CAP_SYS_ADMIN: run the tests as root (in a container: docker run --privileged)"
    return None


def _nvml_obstacle() -> str | None:
    return None if importlib.util.find_spec("pynvml") else "pynvml is missing: pip install nvidia-ml-py"


def _postgres_obstacle() -> str | None:
    return None if importlib.util.find_spec("psycopg") else "psycopg is missing: pip install 'psycopg[binary]'"


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(effective, 16) >> number & 1)


SSH = Need("ssh", "test -x /usr/sbin/sshd && command -v ssh", ("openssh-server", "openssh-client"))
SLURM = Need("slurm", "command -v slurmctld && command -v slurmd && command -v munged", ("slurm-wlm", "munge"), _slurm_obstacle)
NETNS = Need("netns", f"command -v ip && {HEADERS}", ("iproute2", "gcc", "libc6-dev"), _netns_obstacle)
SHELLS = Need("shells", "command -v tcsh && command -v fish", ("tcsh", "fish"))
NVML = Need("nvml", HEADERS, ("gcc", "libc6-dev"), _nvml_obstacle)
USERS = Need("users", "command -v sudo && command -v useradd && command -v pgrep", ("sudo", "passwd", "procps"), _users_obstacle)
POSTGRES = Need(
    "postgres",
    "command -v initdb || ls /usr/lib/postgresql/*/bin/initdb",
    ("postgresql", "postgresql-client"),
    _postgres_obstacle,
)
PODMAN = Need(
    "podman",
    "command -v podman && command -v runc && test -x /usr/libexec/podman/catatonit",
    ("podman", "runc", "catatonit"),
    _podman_obstacle,
)
ALL = (SSH, SHELLS, SLURM, NETNS, NVML, POSTGRES, USERS, PODMAN)


def ensure(need: Need) -> None:
    """Returns when the service can be started; otherwise skips the test, or fails it where FARCELL_REQUIRE names the service."""
    if reason := missing(need):
        if need.service in required_services(os.environ):
            pytest.fail(f"FARCELL_REQUIRE names {need.service}, but {reason}", pytrace=False)
        pytest.skip(f"optional: {need.service}: {reason}")


def missing(need: Need) -> str | None:
    """What is missing still, after an attempt to install it where that is allowed."""
    if obstacle := need.obstacle():
        return obstacle
    said = ""
    if not _proven(need):
        command = ["sh", str(NEED), "--service", need.proof, *need.packages]
        done = subprocess.run(command, env=service_environment(), capture_output=True, text=True, timeout=INSTALL_S, check=False)
        said = done.stderr.strip()
        if not _proven(need):
            return f"{said[-500:]}; install with: apt-get install --no-install-recommends {' '.join(need.packages)}"
    return None


def required_services(environment: Mapping[str, str]) -> set[str]:
    """The services that FARCELL_REQUIRE names. Raises pytest.UsageError for a name that no service has."""
    names = {name.strip() for name in environment.get("FARCELL_REQUIRE", "").split(",")} - {""}
    known = {need.service for need in ALL}
    if unknown := sorted(names - known):
        raise pytest.UsageError(f"FARCELL_REQUIRE names {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
    return names


def service_environment() -> dict[str, str]:
    """This process's environment without what a test's sandbox has set: a shared server outlives the test that started it."""
    foreign = ("FARCELL_", "JUPYTER_", "IPYTHON", "PYTEST_", "SLURM_")
    own = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    own.pop("TMPDIR", None)
    return own | {"PATH": f"{os.environ.get('PATH', '')}:{SEARCHED}", "LC_ALL": "C"}


def _proven(need: Need) -> bool:
    proof = subprocess.run(["sh", "-c", need.proof], env=service_environment(), capture_output=True, check=False)
    return proof.returncode == 0
