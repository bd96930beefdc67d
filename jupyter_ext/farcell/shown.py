"""What subcommands show: tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .tables import Table

if TYPE_CHECKING:
    from .backends.shipment import Shipment
    from .copying import Copied
    from .environment import Comparison
    from .exchange import PlanRow


def packages_table(target: str, found: Comparison) -> Table:
    rows = [[each.name, each.here, each.there or "not installed"] for each in found.differences]
    title = f"Packages on {target!r} (Python {found.python} in {found.prefix})"
    empty = "this notebook's own" if found.is_own else f"no difference in {found.compared}"
    return Table(title, ["package", "here", "there"], rows, empty)


def shipped_text(target: str, found: Shipment) -> str:
    sent = (
        f"{found.sent} of {found.wheels} wheels ({size_text(found.sent_bytes)})"
        if found.wheels
        else "nothing, as nothing is lacking"
    )
    return f"Sent to {target!r}: {sent}. Its kernels run with {found.python}."


def copied_text(copied: Copied, way: str, verb: str) -> str:
    size = size_text(copied.bytes)
    if not copied.sent:
        text = f"Nothing to copy {way}: {copied.files} file{'s' * (copied.files != 1)}, the same there."
    elif len(copied.sent) == copied.files:
        text = f"{verb} {len(copied.sent)} file{'s' * (copied.files != 1)} ({size}) {way}."
    else:
        text = f"{verb} {len(copied.sent)} of {copied.files} files ({size}) {way}; the others are the same there."
    if copied.travelled < copied.bytes:
        text += f" Of that {size_text(copied.travelled)} travelled."
    if copied.skipped:
        text += f" Left out, being neither files nor folders: {', '.join(copied.skipped[:5])}."
    return text


def plan_table(target: str, rows: Sequence[PlanRow]) -> Table:
    total = sum(row.send for row in rows)
    title = f"Plan for {target!r}: {size_text(total)} to send"
    cells = [[r.name, r.why, r.type, size_text(r.size), "yes" if r.there else "no", size_text(r.send)] for r in rows]
    columns = ["name", "needed because", "type", "size", "there already", "to send"]
    return Table(title, columns, cells, "the cell reads no variables")


def size_text(size: int | None) -> str:
    if size is None:
        return "-"
    from .refs import human_bytes

    return human_bytes(size)


def gpu_texts(peaks: Mapping[str, Any]) -> tuple[str, str]:
    """The most memory at one time, and the mean and the highest utilisation."""
    mean, highest = peaks.get("utilisation_mean_percent"), peaks.get("utilisation_peak_percent")
    return size_text(peaks.get("memory_bytes")), "-" if mean is None else f"{mean:.0f} % (up to {highest} %)"


def first_line(code: str) -> str:
    lines = (line.strip() for line in code.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def shape_text(shape: Any) -> str:
    return "-" if not shape else "x".join(map(str, shape)) if isinstance(shape, (list, tuple)) else str(shape)
