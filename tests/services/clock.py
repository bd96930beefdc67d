"""A wall clock that is wrong, for the processes of a target."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "clock" / "skew.c"


class WrongClock:
    """`environment()` has it, for processes whose C library lets functions be put in its functions' place (glibc)."""

    def __init__(self, ahead_s: int) -> None:
        self._ahead_s = ahead_s
        self._folder = Path(tempfile.mkdtemp(prefix="fcs-", dir="/tmp"))
        self._folder.chmod(0o755)

    def __enter__(self) -> WrongClock:
        options = ["-O2", "-Wall", "-Wextra", "-fPIC", "-shared"]
        command = [os.environ.get("CC", "cc"), *options, "-o", str(self._library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _library(self) -> Path:
        return self._folder / "skew.so"

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "SKEW_S": str(self._ahead_s)}
