"""A place of its own for each test, and the search for what a test leaves behind.

Everything farcell and Jupyter write goes under one short folder in /tmp (a Unix socket's path may have 107 bytes;
pytest's tmp_path is too long). What belongs to a sandbox is found by that folder's path: processes have it in their
environment or command line, however they were daemonised; sockets and files lie in it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

GRACE_S = 10.0
"""A host that was told to end may take this long; it usually takes a few tenths."""


class Sandbox:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fct-", dir="/tmp"))
        self.runtime = self.folder / "r"
        """FARCELL_RUNTIME_DIR: one folder a session."""
        self.cache = self.folder / "c"
        self.jupyter_config = self.folder / "config"
        """Where a test may write its targets.toml."""
        self.temporary = self.folder / "tmp"
        self.ledger = Path(os.devnull)
        """FARCELL_LEDGER: none, unless a test says where, since its packages take half a second of each notebook's first cell."""
        for folder in (self.runtime, self.cache, self.jupyter_config, self.temporary):
            folder.mkdir(mode=0o700)

    def variables(self) -> dict[str, str]:
        return {
            "FARCELL_RUNTIME_DIR": str(self.runtime),
            "FARCELL_CACHE_DIR": str(self.cache),
            "FARCELL_LEDGER": str(self.ledger),
            "JUPYTER_CONFIG_DIR": str(self.jupyter_config),
            "JUPYTER_CONFIG_PATH": "",
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "jr"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "TMPDIR": str(self.temporary),
        }

    def environment(self) -> dict[str, str]:
        """This process's environment with the sandbox's variables: for a subprocess.

        Not that it is under pytest: a kernel that knows leaves descriptors 1 and 2 as they are, which users' kernels watch.
        """
        return {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"} | self.variables()

    def processes(self) -> list[psutil.Process]:
        """All that live and belong to this sandbox, this process apart."""
        mine = [process for process in psutil.process_iter() if process.pid != os.getpid()]
        return [process for process in mine if _mentions(process, str(self.folder))]

    def files(self) -> list[Path]:
        """What lies in the runtime folder, and farcell's own temporary files."""
        temporary = [path for path in self.temporary.rglob("*") if "farcell" in path.name]
        left = [path for path in self.runtime.rglob("*") if not path.is_dir() or path.name.startswith("s-")]
        # A lock's file is never removed: who waits for it would hold another one.
        return sorted(path for path in left if path.suffix != ".lock") + temporary

    def close(self, grace_s: float = GRACE_S) -> list[str]:
        """Ends what still runs after the grace, removes the folder, and says what was there."""
        left = end_processes(wait_for_end(self.processes, grace_s))
        left += self.close_files()
        return left

    def close_files(self) -> list[str]:
        """Removes the folder and says what was there; no look at processes, which costs some milliseconds."""
        left = [f"file {path}" for path in self.files()]
        shutil.rmtree(self.folder, ignore_errors=True)
        return left


def _mentions(process: psutil.Process, text: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return text in process.environ().get("FARCELL_RUNTIME_DIR", "") or any(text in word for word in process.cmdline())
    except psutil.Error:
        return False


def wait_for_end(find: Callable[[], list[psutil.Process]], grace_s: float) -> list[psutil.Process]:
    """Calls `find()` until it returns nothing or the time is over; waits on the processes meanwhile."""
    deadline = time.monotonic() + grace_s
    while processes := find():
        left = deadline - time.monotonic()
        if left <= 0:
            break
        # In short turns: a zombie whose parent does not wait for it never "ends" for psutil, and find() drops it.
        psutil.wait_procs(processes, timeout=min(left, 0.3))
    return processes


def foreign_to(sandbox: Sandbox, process: psutil.Process) -> bool:
    """Whether it belongs to another sandbox, say that of a notebook shared by a module, which looks after it itself.

    So do its children, some of which write over their environment (Chromium's do, for a title).
    """
    try:
        return any(_is_of_another(sandbox, each) for each in (process, *process.parents()))
    except psutil.Error:
        return True


def _is_of_another(sandbox: Sandbox, process: psutil.Process) -> bool:
    runtime = process.environ().get("FARCELL_RUNTIME_DIR", "")
    return runtime not in ("", str(sandbox.runtime)) and Path(runtime).parent.name.startswith("fct-")


def end_processes(processes: list[psutil.Process]) -> list[str]:
    """Kills each and says what it was."""
    said = []
    for process in processes:
        try:
            words = " ".join(process.cmdline())
            process.kill()
        except psutil.Error:
            continue
        said.append(f"process {process.pid}: {words[:300]}")
    psutil.wait_procs(processes, timeout=5)
    return said
