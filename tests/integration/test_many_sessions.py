"""Twenty sessions that one notebook begins at the same moment, over one connection that may have ten (sshd's default)."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import psutil
import pytest
from notebooks import Notebook
from places import define_target, over_ssh
from sandbox import Sandbox
from services.sshd import Sshd

COUNT = 20
BEGIN_S = 150
END_S = 60
HOST_MB, NOTEBOOK_MB = 60, 80

BEGIN = f"""
import farcell
from concurrent.futures import ThreadPoolExecutor

def begin(number):
    farcell.connect(f"t{{number}}").run(f"made{{number}} = shared + {{number}}")

with ThreadPoolExecutor({COUNT}) as pool:
    list(pool.map(begin, range({COUNT})))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_sessions_at_once(openssh: None, sandbox: Sandbox, notebook: Notebook) -> None:
    """One login, no way around it, and all have their values; twenty ends as well."""
    with Sshd() as server:
        for number in range(COUNT):
            define_target(sandbox, f"t{number}", **over_ssh(sandbox, server))
        notebook.run("shared = 100").check()
        before_mb = psutil.Process(notebook.pid).memory_info().rss / 1e6
        notebook.run(BEGIN, timeout=BEGIN_S).check()
        values = ", ".join(f"made{number}" for number in range(COUNT))
        assert notebook.value(f"[{values}]") == [100 + number for number in range(COUNT)]
        assert server.log.count("Accepted publickey") == 1
        hosts = [json.loads(path.read_text()) for path in (sandbox.folder / "far" / "r").glob("*/host.json")]
        assert len(hosts) == COUNT
        host_mb = statistics.median(psutil.Process(host["pid"]).memory_info().rss / 1e6 for host in hosts)
        grown_mb = psutil.Process(notebook.pid).memory_info().rss / 1e6 - before_mb
        print(f"a kernel host has {host_mb:.0f} MB, the notebook {grown_mb:.0f} MB more than before")
        assert host_mb < HOST_MB and grown_mb < NOTEBOOK_MB
        notebook.close(within_s=END_S)
        assert not list(Path(sandbox.folder / "far" / "r").glob("*/host.json"))
