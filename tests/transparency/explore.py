"""Looks for differences and shrinks each: `python -m transparency.explore [PROGRAMS] [FIRST SEED] [IGNORED]` from tests/.

IGNORED is a regular expression: differences whose text it is found in are left out, to see past what is known.

For a person at work on farcell; the tests proper use Hypothesis.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from itertools import pairwise

from .generator import FIRST, Program, seeded
from .runner import Harness, Verdict

TRIES = 150


def shape(verdict: Verdict) -> str:
    """What kind of difference it is, names and numbers left out."""
    if verdict.is_same:
        return ""
    first = verdict.differences[0]
    return re.sub(r"\b[a-h]\b|\d+", "x", f"{first.path}: {first.plain[:60]} / {first.marked[:60]}")


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """Fewer cells, fewer lines, fewer remote cells, as long as it still fails."""
    tries, changed = 0, True
    while changed and tries < TRIES:
        changed = False
        for smaller in _smaller(program):
            tries += 1
            if fails(smaller):
                program, changed = smaller, True
                break
    return program


def _smaller(program: Program) -> list[Program]:
    found = []
    for index in range(len(program.cells)):
        rest = program.cells[:index] + program.cells[index + 1 :]
        remote = frozenset(each - (each > index) for each in program.remote if each != index)
        if rest and remote:
            found.append(Program(rest, remote))
    for index in sorted(program.remote):
        if len(program.remote) > 1:
            found.append(Program(program.cells, program.remote - {index}))
    for index, cell in enumerate(program.cells):
        lines = cell.split("\n")
        starts = [n for n, line in enumerate(lines) if not line[:1].isspace()] + [len(lines)]
        for start, stop in pairwise(starts):
            if len(starts) > 2 and cell != FIRST:
                text = "\n".join(lines[:start] + lines[stop:])
                found.append(Program((*program.cells[:index], text, *program.cells[index + 1 :]), program.remote))
    return found


def main(count: int = 200, first: int = 0, ignored: str = "$^") -> None:
    known: dict[str, int] = {}
    began = time.monotonic()
    with Harness(confirm=False) as harness:

        def look(program: Program, confirm: bool = False) -> Verdict:
            verdict = harness.check(program.cells, program.remote, confirm=confirm)
            verdict.differences = [each for each in verdict.differences if not re.search(ignored, str(each))]
            return verdict

        for seed in range(first, first + count):
            program = seeded(seed)
            verdict = look(program)
            if verdict.is_same:
                continue
            kind = shape(verdict)
            known[kind] = known.get(kind, 0) + 1
            if known[kind] == 1:
                least = shrink(program, lambda each, kind=kind: kind in map(shape, [look(each)]))
                print(f"seed {seed}: {kind}\n{look(least, confirm=True)}\n", flush=True)
        seconds = time.monotonic() - began
        print(f"{count} programs, {seconds / max(1, harness.programs):.3f} s each")
    for kind, times in sorted(known.items(), key=lambda pair: -pair[1]):
        print(f"{times:5} {kind}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
