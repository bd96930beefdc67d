"""What a command shows: tables for people, JSON for programs."""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any

from ..tables import Table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_NO_END = 10_000
"""Columns of what is no terminal: nothing is folded there."""


@functools.lru_cache(1)
def console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else _NO_END
    return Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def show(table: Table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    if not table.rows:
        print(f"{table.title}: {table.empty}")
        return
    shown = RichTable(title=table.title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name, is_right in zip(table.columns, table.right, strict=True):
        shown.add_column(name, justify="right" if is_right else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    put(shown)


def put(shown: RenderableType) -> None:
    """Where it goes into a file or a pipe, without the blanks that fill a terminal's lines."""
    if sys.stdout.isatty():
        console().print(shown)
        return
    with console().capture() as captured:
        console().print(shown)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), flush=True)


def show_json(found: Any) -> None:
    print(json.dumps(found, indent=2, default=str))


def say(text: str) -> None:
    """Beside what was asked for."""
    print(f"farcell: {text}", file=sys.stderr, flush=True)


def person() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()
