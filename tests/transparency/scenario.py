"""What a module of `corpus/` is written in: one behaviour of a notebook, as the cells that show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Scenario:
    name: str
    """One behaviour, readable: "two names on one list stay one list"."""
    cells: tuple[str, ...]
    """As a user writes them, none marked; which are remote is the harness' choice."""
    refuses: str | None = None
    """Part of the refusal's message, where some placement of remote cells is rightly refused."""
    own: frozenset[str] = frozenset()
    """Names that hold what is the target's own on purpose ("pid"): not compared."""
    needs: tuple[str, ...] = ()
    """Packages; the scenario is skipped where one is missing."""


def scenario(name: str, *cells: str, refuses: str | None = None, own: Iterable[str] = (), needs: Iterable[str] = ()) -> Scenario:
    """A scenario from cells that may be indented as the code around them is."""
    if not cells:
        raise ValueError(f"{name!r} has no cells")
    if isinstance(own, str) or isinstance(needs, str):
        raise TypeError(f"{name!r}: own and needs are collections of names")
    return Scenario(name, tuple(dedent(cell).strip("\n") for cell in cells), refuses, frozenset(own), tuple(needs))
