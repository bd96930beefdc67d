"""Ten million printed lines: the memory of kernel host and remote kernel stays bounded. Takes minutes."""

from __future__ import annotations

import time

import psutil
from figures import Figure
from frontend import FrontEnd

LINES = 10_000_000
EVERY_S = 0.5
PROCESSES = "[(s.status().pid, s.status().kernel_pid) for s in workspace().sessions.values()][0]"


def measure() -> list[Figure]:
    with FrontEnd("%load_ext farcell\nfrom farcell.api import workspace") as front_end:
        front_end.run("%%remote\nfor i in range(1000):\n    print(i)")
        host, kernel = (psutil.Process(pid) for pid in front_end.value(PROCESSES))
        before = kernel.memory_info().rss
        sizes: dict[str, list[float]] = {"kernel host, MB": [], "remote kernel, MB": []}
        last = 0.0

        def sample(_: str) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY_S:
                last = time.monotonic()
                sizes["kernel host, MB"].append(host.memory_info().rss / 1e6)
                sizes["remote kernel, MB"].append(kernel.memory_info().rss / 1e6)

        code = f"%%remote\nfor i in range({LINES}):\n    print(i)"
        printed = front_end.run(code, keep=False, on_text=sample, poll_s=EVERY_S).stdout_bytes
    expected = sum(9 * 10 ** (digits - 1) * (digits + 1) for digits in range(1, 8)) + len("0\n")
    assert printed == expected, f"{printed} bytes of output came, not {expected}"
    return [
        Figure("10 million lines: kernel host", max(sizes["kernel host, MB"]), 150, True, " MB", sizes),
        Figure("10 million lines: remote kernel grows by", max(sizes["remote kernel, MB"]) - before / 1e6, 100, True, " MB"),
    ]
