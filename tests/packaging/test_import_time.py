"""What loading farcell costs; the exact figure is in `make bench`."""

from __future__ import annotations

import statistics
import subprocess
import sys

from notebooks import Notebook

TIMED = "import time; began = time.perf_counter(); import {name}; print(time.perf_counter() - began)"


def seconds_to_import(name: str) -> float:
    done = subprocess.run([sys.executable, "-c", TIMED.format(name=name)], capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)


def test_importing_farcell_is_quick() -> None:
    """Importing farcell takes well under the time that importing IPython takes."""
    seconds_to_import("farcell")  # writes the .pyc files
    pairs = [(seconds_to_import("farcell"), seconds_to_import("IPython")) for _ in range(5)]
    ours, ipython = (statistics.median(times) for times in zip(*pairs, strict=True))
    # Half is the promise; the rest is slack for a machine that does other things too.
    assert ours <= 0.75 * ipython


def test_loading_the_extension_starts_nothing(plain_notebook: Notebook) -> None:
    """%load_ext farcell starts no process and no thread, and imports no numpy."""
    plain_notebook.run("import sys, threading, psutil\nthreads = threading.active_count()").check()
    plain_notebook.run("%load_ext farcell").check()
    assert plain_notebook.value("threading.active_count() - threads") == 0
    assert plain_notebook.value("[p.pid for p in psutil.Process().children()]") == []
    assert plain_notebook.value("'numpy' in sys.modules") is False
