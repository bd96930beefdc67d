"""What was used, from the ledger: `farcell.usage()` and the table of `%remote usage`."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import LedgerError, UsageError
from .ledger import UsageRow, faults, open_ledger
from .ledger.accounts import By
from .recorder import missing_packages, recorder
from .refs import human_bytes
from .relay.card import duration
from .tables import Table


def usage(by: By = "target", since: float | None = None, until: float | None = None) -> list[UsageRow]:
    """What this user's sessions have used, a row each target, day or notebook.

    `since` and `until` are UTC epoch seconds; days begin at midnight here. What runs now is counted until now. Raises LedgerError
    when the ledger cannot be read or its packages are missing, UsageError for another `by`.
    """
    missing = missing_packages()
    if missing:
        raise faults.packages(f"no module named {missing[0]!r}")
    ledger = open_ledger()
    if ledger.path is None:
        raise UsageError("No ledger is kept: FARCELL_LEDGER says so. Without it what is used is recorded.")
    keeper = recorder()
    if keeper is not None:
        keeper.collect()
    if ledger.fault is not None and not ledger.path.exists():  # else what is there is told
        raise LedgerError(ledger.fault.fault, str(ledger.fault))
    return ledger.usage(since, until, by)


def is_kept() -> bool:
    """Whether there is a ledger to ask."""
    return not missing_packages() and open_ledger().path is not None


def usage_table(by: str, rows: Sequence[UsageRow], currency: str = "") -> Table:
    measured = any(row.gpu_seconds or row.peak_gpu_bytes for row in rows)
    priced = any(row.cost is not None for row in rows)
    columns = [by, "time", "in runs", "runs", "sent", "received"]
    columns += ["GPU time", "GPU memory", "GPU use"] if measured else []
    columns += [f"cost {currency}".rstrip()] if priced else []
    cells = []
    for row in rows:
        name = f"{row.key} ({row.open} open)" if row.open else row.key
        line = [name, duration(row.seconds), duration(row.run_seconds), row.runs]
        line += [human_bytes(row.sent_bytes), human_bytes(row.received_bytes)]
        if measured:
            use = "-" if row.gpu_utilisation is None else f"{100 * row.gpu_utilisation:.0f} %"
            line += [duration(row.gpu_seconds), "-" if row.peak_gpu_bytes is None else human_bytes(row.peak_gpu_bytes), use]
        if priced:
            line.append(_cost(row))
        cells.append(line)
    return Table(f"Usage by {by}", columns, cells, "nothing yet")


def _cost(row: UsageRow) -> str:
    if row.cost is None:
        return "-"
    return f"{row.cost:.2f}" + (f", and {duration(row.unpriced_s)} without a price" if row.unpriced_s else "")
