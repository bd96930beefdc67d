"""Import time, and the first remote cell of a notebook against the start of a bare ipykernel."""

from __future__ import annotations

import os
import subprocess
import sys

from figures import Figure, interleave, ratio
from frontend import FrontEnd, compiled

TIMED = "import time; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"


def measure() -> list[Figure]:
    imports = interleave({"farcell": lambda: _python("import farcell"), "IPython": lambda: _python("import IPython")}, 11, 2)
    starts = interleave({"bare kernel": _bare_start, "first remote cell": _first_cell}, 5, 1)
    first = ratio(starts, "first remote cell", "bare kernel")
    return [
        Figure("import, to IPython's", ratio(imports, "farcell", "IPython"), 0.5, True, samples=imports),
        Figure("first remote cell, to a bare kernel's start", first, 1.5, True, samples=starts),
    ]


def _python(code: str) -> float:
    command = [sys.executable, "-c", TIMED.format(code=code)]
    done = subprocess.run(command, env=compiled(os.environ), capture_output=True, text=True, check=True)
    return float(done.stdout)


def _bare_start() -> float:
    with FrontEnd() as front_end:
        return front_end.start_seconds


def _first_cell() -> float:
    with FrontEnd("%load_ext farcell") as front_end:
        return front_end.run("%%remote\n1").seconds
