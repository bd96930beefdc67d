"""Where in a TOML file a key is, and what its writer may have meant: for messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_MANY = 12
"""A list longer than this helps nobody who has only misspelt something."""


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """Says so, with what there is."""
    return f"unknown {what} {value!r}. {choices(value, known)}"


def choices(value: str, known: Iterable[str]) -> str:
    """What there is, and which of it is likely to be meant."""
    all_of_them = list(known)
    close = difflib.get_close_matches(value, all_of_them, 1)
    meant = f"Did you mean {close[0]!r}?" if close else ""
    if close and len(all_of_them) > _MANY:
        return meant
    return f"Known: {', '.join(all_of_them)}. {meant}".rstrip()


_HEADER = re.compile(r"\s*(\[+)\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"\s*((?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """Line numbers of tables and keys; a table of an array has its number in its path, ("reservations", "0").

    For messages, so a multi-line string that looks like TOML may mislead it and no more.
    """
    found: dict[tuple[str, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header is not None:
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            path = table
        elif key is not None:
            path = (*table, *_parts(key[1]))
        else:
            continue
        for end in range(1, len(path) + 1):
            found.setdefault(path[:end], number)
        found[path] = number
    return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(double or single or bare for double, single, bare in _PART.findall(dotted))
