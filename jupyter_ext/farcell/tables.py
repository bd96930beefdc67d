"""Tables that read well as plain text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

_MAX_CELL = 60


class Table:
    """A title, a head and rows of strings; columns whose cells are all numbers or sizes stand to the right."""

    def __init__(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        empty: str = "nothing",
        longest: int | None = _MAX_CELL,
    ) -> None:
        """A cell with more than `longest` characters is cut."""
        self.title = title
        self.columns = list(columns)
        self.rows = [[_text(cell, longest) for cell in row] for row in rows]
        self.empty = empty

    def __repr__(self) -> str:
        if not self.rows:
            return f"{self.title}: {self.empty}"
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]
        right = self.right

        def line(cells: Sequence[str]) -> str:
            placed = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True))
            return "  ".join(placed).rstrip()

        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.title, line(self.columns), rule, *map(line, self.rows)])

    def _repr_html_(self) -> str:
        title = f"<div><b>{html.escape(self.title)}</b></div>"
        if not self.rows:
            return f"{title}<div>{html.escape(self.empty)}</div>"
        align = ["right" if right else "left" for right in self.right]
        head = "".join(
            f'<th style="text-align:{side}">{html.escape(name)}</th>' for name, side in zip(self.columns, align, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:{side}">{html.escape(cell)}</td>' for cell, side in zip(row, align, strict=True))
            + "</tr>"
            for row in self.rows
        )
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    @property
    def right(self) -> list[bool]:
        """Which columns stand to the right."""
        return [all(row[i][:1].isdigit() or row[i] in ("", "-") for row in self.rows) for i in range(len(self.columns))]


def _text(cell: Any, longest: int | None) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    text = " ".join(str(cell).split())
    return text if longest is None or len(text) <= longest else text[: longest - 3] + "..."
