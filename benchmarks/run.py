"""`make bench`: every figure of the README, as JSON in benchmarks/results/ and as a table.

`make bench BENCH="latency bulk"` runs some groups.

Ratios compare variants that took turns in one run, through one front end: numbers of different runs or machines do not compare.
A figure that misses its goal is marked; the exit status is 1 only if a benchmark could not be run.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from figures import Figure, table

GROUPS = (
    "latency",
    "bulk",
    "lookups",
    "printing",
    "interrupts",
    "transfers",
    "starting",
    "state",
    "replicas",
    "widgets",
    "flood",
    "links",
    "broker",
    "broker_leases",
    "broker_floods",
    "panel",
)
PACKAGES = ("farcell", "ipykernel", "ipython", "ipyparallel", "jupyter_client", "numpy", "pyzmq")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all, if none is named")
    groups = parser.parse_args().groups or GROUPS
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    began = machine()
    print(f"{began['processor']}, {began['cores']} cores, load {began['load']}, Python {began['python']}", flush=True)
    for group in groups:
        since = time.perf_counter()
        try:
            measured = importlib.import_module(group).measure()
        except Exception as error:  # the other groups still tell something
            failed[group] = f"{type(error).__name__}: {error}"
            print(f"\n{group} could not be run: {failed[group]}", flush=True)
            continue
        figures += measured
        print(f"\n{group} ({time.perf_counter() - since:.0f} s)\n{table(measured)}", flush=True)
    print(f"\n{table(figures)}\n\nwritten to {write(began, figures, failed)}")
    return 1 if failed else 0


def machine() -> dict[str, object]:
    """Where and with what this was measured."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return models[0] if models else platform.machine()


def write(began: dict[str, object], figures: list[Figure], failed: dict[str, str]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%S}.json"
    rows = [{**dataclasses.asdict(figure), "is_met": figure.is_met} for figure in figures]
    path.write_text(json.dumps({**began, "figures": rows, "failed": failed}, indent=1))
    return path


if __name__ == "__main__":
    sys.exit(main())
