"""The remote kernel's process: started in a session of its own, watched, interrupted, killed.

Its output goes to `kernel.log`, never to the caller's. It runs the host's own copy of `farcell_host`, reached through a
folder that holds nothing else: the site-packages of the host's Python must not leak into another Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import capabilities, runtime
from .archive import own_archive
from .lastwords import crash_of
from .memorylimits import MemoryGroup

LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 64 << 10
_POLL_S = 0.2  # only where there is no pidfd

_BOOT = """\
import sys
sys.path.append({location!r})
import farcell_host
if farcell_host.__version__ != {version!r}:
    for name in [name for name in sys.modules if name.partition('.')[0] == 'farcell_host']:
        del sys.modules[name]
    sys.path.insert(0, sys.path.pop())
from farcell_host.inkernel.launch import main
main()
"""


def package_location(folder: Path) -> str:
    """What to put on another Python's path to import this very farcell_host: the zipapp, or `folder`, made to link to it."""
    archive = own_archive()
    if archive is not None:
        return archive
    package = Path(__file__).resolve().parent
    folder.mkdir(exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.symlink(package, folder / package.name, target_is_directory=True)
    return str(folder)


def kernel_command(python: str, folder: Path, direct: bool) -> list[str]:
    """The argv of the remote kernel; `direct` asks it to listen on its own socket beside zmq."""
    from . import __version__

    boot = _BOOT.format(location=package_location(folder / "lib"), version=__version__)
    argv = [python, "-c", boot, "-f", str(folder / "kernel.json")]
    return [*argv, "--direct", str(folder / runtime.KERNEL_SOCKET)] if direct else argv


def write_connection_file(folder: Path) -> dict[str, str | int]:
    """A new key and fresh ipc sockets for a new kernel; what the old one left is removed."""
    ports = {f"{name}_port": number for number, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), 1)}
    info: dict[str, str | int] = {
        "transport": "ipc",
        "ip": str(folder / "kernel"),
        **ports,
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "farcell",
    }
    for name in (runtime.KERNEL_SOCKET, *(f"kernel-{port}" for port in ports.values())):
        (folder / name).unlink(missing_ok=True)
    path = folder / "kernel.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(info, file)
    return info


class KernelProcess:
    """One remote kernel's process; a restart makes a new object."""

    def __init__(self, folder: Path, python: str, cwd: str | None = None, direct: bool = True) -> None:
        self.folder = folder
        self.direct = direct and capabilities.has_descriptors()
        self.connection_info = write_connection_file(folder)
        self._log = folder / runtime.KERNEL_LOG
        self._pidfd: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        with open(self._log, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                kernel_command(python, folder, self.direct),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=_environment(),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._memory = MemoryGroup(self.pid)
        self._peak_bytes: int | None = None

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Calls `on_exit` once on the running loop when the process has ended."""
        self._loop = asyncio.get_running_loop()
        self._pidfd = capabilities.open_process(self.pid)
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, self._ended, on_exit)
        else:
            self._poll(on_exit)

    def _poll(self, on_exit: Callable[[], None]) -> None:
        assert self._loop is not None
        if self.returncode is None:
            self._timer = self._loop.call_later(_POLL_S, self._poll, on_exit)
        else:
            self._ended(on_exit)

    def _ended(self, on_exit: Callable[[], None]) -> None:
        self.unwatch()
        self._reap()
        on_exit()

    def unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pidfd is not None and self._loop is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    @property
    def returncode(self) -> int | None:
        """As subprocess: negative is the signal that ended it; None while it runs."""
        return self._reap(os.WNOHANG)

    def _reap(self, options: int = 0) -> int | None:
        """As Popen.wait and poll, which do not tell the most memory that it had."""
        process = self._process
        if process.returncode is None:
            try:
                pid, status, used = os.wait4(self.pid, options)
            except ChildProcessError:  # somebody else has waited for it
                process.returncode = 0
                return 0
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._peak_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return process.returncode

    def started(self) -> None:
        """It may have moved to a control group of its own meanwhile."""
        self._memory = MemoryGroup(self.pid)

    def run_began(self) -> None:
        self._memory.begin()

    def last_words(self) -> dict[str, Any]:
        """Of a process that has ended, what may tell why: for `farcell_kernel_died`."""
        log = self._log_text()
        memory = {**self._memory.evidence().as_fields(), "own_peak": self._peak_bytes}
        return {"log_tail": log.splitlines()[-LOG_TAIL_LINES:], "crash": crash_of(log), "memory": memory}

    def signal(self, number: int) -> None:
        """To the kernel and the processes it started, as a terminal would."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def interrupt(self, run: str | None) -> None:
        """SIGINT. The kernel may not have begun the run: it will read there whether the run it begins is meant."""
        named = self.folder / f"{runtime.INTERRUPTED_FILE}.new"
        with contextlib.suppress(OSError):  # a full disk: most runs have begun
            named.write_text(run or "")
            named.replace(self.folder / runtime.INTERRUPTED_FILE)
        self.signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends it and its process group, and waits for it."""
        self.unwatch()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reap()

    def _log_text(self) -> str:
        """The end of what this kernel wrote outside of cells: why it could not start, or its last words."""
        with open(self._log, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")


def _environment() -> dict[str, str]:
    """The host's environment; ipykernel ends by itself when the process named here is not its parent any more."""
    environment = dict(os.environ, JPY_PARENT_PID=str(os.getpid()))
    for name in ("JPY_SESSION_NAME", "PYTHONEXECUTABLE"):
        environment.pop(name, None)
    return environment


def default_python() -> str:
    return sys.executable
