"""A notebook's cells as the sources of its two twins: all cells here, and some of them marked `%%remote`.

The plain twin has a comment where the marked one has the magic, in every cell, so that all line numbers agree and one plain
run serves for every choice of remote cells. A cell that begins with a cell magic (`%%time`) has no room for a comment above
it, and needs none: its body counts its own lines, whatever stands above.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import combinations

COMMENT, MAGIC = "# remote", "%%remote"
_LOCAL = re.compile(r"\A%%local$", re.MULTILINE)  # which a kernel without farcell does not know
_CELL_MAGIC = re.compile(r"\s*%%")


def plain(cell: str) -> str:
    cell = _LOCAL.sub(COMMENT, cell)
    if cell.startswith(COMMENT):
        return cell
    return cell if _CELL_MAGIC.match(cell) else f"{COMMENT}\n{cell}"


def marked(cell: str) -> str:
    return f"{MAGIC}\n{cell}"


def plain_twin(cells: Sequence[str]) -> list[str]:
    return [plain(cell) for cell in cells]


def marked_twin(cells: Sequence[str], remote: frozenset[int]) -> list[str]:
    """A cell that says `%%local` says so here."""
    return [marked(cell) if index in remote else cell if _LOCAL.match(cell) else plain(cell) for index, cell in enumerate(cells)]


def may_be_remote(cell: str) -> bool:
    """Cells that steer farcell itself, or say `%%local`, stay where they are."""
    return not re.search(r"^\s*%(?:%local|%?remote|load_ext|reload_ext|unload_ext)\b", cell, re.MULTILINE)


def placements(cells: Sequence[str], seed: int, halves: int = 2) -> list[frozenset[int]]:
    """All cells remote, all but the first (people set up here and work there), then random halves and what is left over by each;
    every subset where there are no more cells than halves. Never the same twice."""
    possible = [index for index, cell in enumerate(cells) if may_be_remote(cell)]
    found = [frozenset(possible), *[frozenset(possible[1:])][:halves]]
    if halves >= len(possible):  # so few cells: all there are
        found += [frozenset(each) for size in range(1, len(possible)) for each in combinations(possible, size)]
    chooser = random.Random(f"{seed} {len(cells)}")  # not of the cells: placements stay the same while a scenario is written
    for _ in range(halves):
        half = frozenset(index for index in possible if chooser.random() < 0.5)
        found += [half, frozenset(possible) - half]
    return [each for each in dict.fromkeys(found) if each]


def half(cells: Sequence[str], together: frozenset[int], seed: int) -> frozenset[int]:
    """A random half that has either all or none of the cells that belong together."""
    chooser = random.Random(f"{seed} {len(cells)}")
    possible = [index for index, cell in enumerate(cells) if may_be_remote(cell)]
    chosen = frozenset(index for index in possible if chooser.random() < 0.5)
    return (chosen | together if chooser.random() < 0.5 else chosen - together) & frozenset(possible)


def as_text(cells: Sequence[str], remote: frozenset[int]) -> str:
    """A program as a person would paste it."""
    return "\n\n".join(f"[{index + 1}] {source}" for index, source in enumerate(marked_twin(cells, remote)))
