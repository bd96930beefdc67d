"""How much is done for an exchange, in calls of functions: what a clock would tell only on a machine with nothing else to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

LISTS = 10_000


def calls_of(work: Callable[[], Any]) -> int:
    """Of functions in Python and in C."""
    found = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


def test_names_that_a_cell_does_not_read_cost_nothing(pair):
    """Neither those that both sides have, but for a look at whether they are still bound, nor those that never travelled."""

    def cell() -> None:
        pair.cell("x += 1")
        pair.run("x += 1", "x")

    pair.cell("x = 0")
    cell()
    few = calls_of(cell)
    pair.cell("for number in range(2000): globals()[f'v{number}'] = {'key': number, 'list': [number]}")
    assert calls_of(cell) < 1.2 * few


def test_of_a_large_graph_little_is_done_for_what_has_stayed(pair):
    """One list of many is changed here, then one there: there and back, both sides' work."""
    pair.cell(f"graph = [[number] for number in range({LISTS})]")
    pair.ship("graph")

    def change() -> None:
        pair.cell("graph[1].append(None)")
        pair.run("graph[2].append(None)", "graph")

    change()
    assert calls_of(change) < 6 * LISTS
    assert pair.here["graph"][1:3] == [[1, None, None], [2, None, None]] and pair.there["graph"] == pair.here["graph"]
