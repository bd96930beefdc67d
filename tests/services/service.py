"""What the services have in common: a folder of their own, a shell script that does the work, and an end with nothing left."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import psutil

from services.needs import service_environment

Own = TypeVar("Own", bound="Service")

HERE = Path(__file__).parent
OWNER = "owner"
"""The file that says which process uses a folder."""
SCRIPT_S = 120
GRACE_S = 10
"""What a session's or job's processes may take to end after their client or job has."""


class ServiceError(Exception):
    """A service's script failed: its words."""


class Service:
    """A server in a folder of its own, run by the script named `script` beside this module."""

    script: ClassVar[str]
    last_verb: ClassVar[str] = "stop"
    """Leaves nothing of it but its folder."""

    def __init__(self) -> None:
        # Short for the sockets in it; and open, since other accounts use what lies there, which pytest's tmp_path is not.
        self.folder = Path(tempfile.mkdtemp(prefix="fcs-", dir="/tmp"))
        self.folder.chmod(0o755)
        owner = f"{os.getpid()} {psutil.Process().create_time()} {self.script} {self.last_verb}"
        (self.folder / OWNER).write_text(owner)

    def __enter__(self: Own) -> Own:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts what does not run. Returns when it can be used."""
        self._call("start")

    def close(self, grace_s: float = GRACE_S) -> list[str]:
        """Ends it, removes its folder, and says what tests had left running in it. Safe to call twice."""
        if not self.folder.exists():
            return []
        words = [f"process {process.pid}: {_words(process)}" for process in self._left(grace_s)]
        self._call(self.last_verb)
        shutil.rmtree(self.folder)
        return words

    def processes(self) -> list[psutil.Process]:
        """All that belong to it: servers, and what runs in their sessions or jobs."""
        return _living(self._call("pids"))

    def prefix(self) -> list[str]:
        """What the script's command begins with, say to run in another network namespace."""
        return []

    def variables(self) -> dict[str, str]:
        """The script's settings."""
        return {}

    def _left(self, grace_s: float) -> list[psutil.Process]:
        deadline = time.monotonic() + grace_s
        while processes := _living(self._call("left")):
            if time.monotonic() > deadline:
                break
            psutil.wait_procs(processes, timeout=0.2)
        return processes

    def _call(self, verb: str, *words: str) -> str:
        """What the script says. Raises ServiceError when it fails."""
        command = [*self.prefix(), str(HERE / self.script), verb, str(self.folder), *words]
        environment = service_environment() | self.variables()
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SCRIPT_S, check=False
        )
        if done.returncode != 0:
            raise ServiceError(f"{self.script} {' '.join([verb, *words])} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


def sweep() -> None:
    """Ends the services of test runs that were killed and could not do so themselves."""
    for file in Path("/tmp").glob(f"fcs-*/{OWNER}"):
        with contextlib.suppress(FileNotFoundError):
            pid, created, script, verb = file.read_text().split()
            if file.stat().st_uid == os.geteuid() and not _is_process(int(pid), float(created)):
                subprocess.run([HERE / script, verb, file.parent], env=service_environment(), timeout=SCRIPT_S, check=True)
                shutil.rmtree(file.parent)


def until(condition: Callable[[], object], within_s: float, what: str) -> None:
    """Returns when the condition holds. Raises TimeoutError, naming what was awaited."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)


Ended = subprocess.CompletedProcess[str]


def run(command: Sequence[str], environment: dict[str, str] | None = None, within_s: float = 60) -> Ended:
    """A command's end, whatever it is, with what it said."""
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s, check=False
    )


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie, of which its parent has not heard yet, has ended."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_process(pid: int, created: float) -> bool:
    try:
        return bool(psutil.Process(pid).create_time() == created)
    except psutil.NoSuchProcess:
        return False


def _living(pids: str) -> list[psutil.Process]:
    found = []
    for pid in pids.split():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(int(pid)))
    return [process for process in found if lives(process)]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:300]
    except psutil.Error:
        return "ended by now"
