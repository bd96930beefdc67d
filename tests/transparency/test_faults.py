"""The harness itself is tested: faults planted into farcell are found by the corpus or by generated programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from transparency.corpus_of import FULL, scenarios
from transparency.faults import FAULTS
from transparency.generator import seeded
from transparency.program import may_be_remote
from transparency.runner import Harness

MOST_PROGRAMS = 1_000
FEW = (
    "a changed list is not merged",
    "a name bound anew keeps its old value",
    "names that share an object travel apart",
    "each function gets closure cells of its own",
    "an exception's message is dropped",
)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound() -> Iterator[Harness]:
    with Harness(confirm=False) as harness:
        yield harness


def _programs() -> Iterator[tuple[tuple[str, ...], frozenset[int], frozenset[str], str | None]]:
    """Generated ones and the corpus in turn."""
    corpus = iter(scenarios())
    for seed in range(MOST_PROGRAMS // 2):
        program = seeded(seed)
        yield program.cells, program.remote, frozenset(), None
        for each in (next(corpus, None),):
            if each is not None:
                there = (index for index in range(seed % 2, len(each.cells)) if may_be_remote(each.cells[index]))
                yield each.cells, frozenset(there), each.own, each.refuses


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [each.name for each in FAULTS] if FULL else FEW)
def test_a_planted_fault_is_found(name: str, sound: Harness) -> None:
    """What counts is a difference that farcell without the fault does not show."""
    with Harness(faults=[name], confirm=False) as faulty:
        for count, (cells, remote, own, refuses) in enumerate(_programs(), 1):
            verdict = faulty.check(cells, remote, own, refuses)
            if verdict.is_same:
                continue
            usual = {str(each) for each in sound.check(cells, remote, own, refuses).differences}
            new = [each for each in verdict.differences if str(each) not in usual]
            if new:
                print(f"{name}: program {count}: {new[0]}")
                return
    pytest.fail(f"not found in {count} programs: {name}")
