"""The promise: any subset of a notebook's cells may be remote, and nothing differs.

`make test` takes a sample; FARCELL_TRANSPARENCY=full (`make transparency`) all of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from transparency.corpus_of import FULL, by_topic, missing, scenarios
from transparency.generator import Program, programs
from transparency.notebooks_of import code_cells, shipped
from transparency.program import half, placements
from transparency.runner import Harness, ProgramFailed
from transparency.scenario import Scenario
from transparency.tally import MOST_MASKED, TALLIES, count

NOTEBOOK_CELL_S = 60.0
GENERATED = "generated: any program"
# What is not yet as promised, one behaviour a line. An entry that holds again fails `make transparency`: the list only shrinks.
KNOWN = frozenset((Path(__file__).parent / "known_differences.txt").read_text().splitlines())

GENERATOR = settings(
    deadline=None,
    derandomize=not FULL,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Shrinking costs some hundred runs of a program that is told in any case.
    phases=(Phase.generate, Phase.shrink) if FULL else (Phase.generate,),
    print_blob=False,
)

pytestmark = pytest.mark.slow


def known(name: str) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.xfail(reason="a known difference", strict=FULL),) if name in KNOWN else ()


ALL = [
    pytest.param(each, id=f"{topic}: {each.name}", marks=known(f"{topic}: {each.name}"))
    for topic, found in by_topic().items()
    for each in found
]


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    # Fresh kernels take seconds: where many scenarios fail, the first few say whether it is the warm kernel's doing.
    with Harness(most_confirmed=1_000_000 if FULL else 3) as shared:
        yield shared


@pytest.fixture(scope="module")
def harness_with_thread() -> Iterator[Harness]:
    with Harness(most_confirmed=1_000_000 if FULL else 3, has_thread=True) as shared:
        yield shared


@pytest.mark.parametrize("scenario", ALL)
def test_a_scenario_is_the_same_wherever_its_cells_run(scenario: Scenario, harness: Harness) -> None:
    """All cells remote, all but the first, and halves of them by seed; a sample: all, and one of the others."""
    if missing(scenario):
        pytest.skip(f"optional: needs {', '.join(missing(scenario))}")
    seed = zlib.crc32(scenario.name.encode())
    chosen = placements(scenario.cells, seed, halves=3)
    if not FULL:
        chosen = [chosen[0], *chosen[1:][seed % 3 :][:1]]
    harness.masks_all = True
    verdicts = [count("scenarios", harness.check(scenario.cells, remote, scenario.own, scenario.refuses)) for remote in chosen]
    assert all(each.is_same for each in verdicts), "\n\n".join(str(each) for each in verdicts if not each.is_same)
    if scenario.refuses is not None:
        assert any(scenario.refuses in text for each in verdicts for text in each.refused), "no placement was refused"


@pytest.mark.skipif(not FULL, reason="optional: minutes, make transparency runs them")
@pytest.mark.parametrize("scenario", ALL if FULL else ())
def test_a_scenario_is_the_same_beside_a_thread(scenario: Scenario, harness_with_thread: Harness) -> None:
    """A thread that might change values here, and does not."""
    if missing(scenario):
        pytest.skip(f"optional: needs {', '.join(missing(scenario))}")
    whole = placements(scenario.cells, zlib.crc32(scenario.name.encode()), halves=0)[0]
    verdict = count("scenarios", harness_with_thread.check(scenario.cells, whole, scenario.own, scenario.refuses))
    assert verdict.is_same, str(verdict)


def test_few_scenarios_declare_a_refusal() -> None:
    """The message of each stands in docs/limits.md."""
    declared = [each.name for each in scenarios() if each.refuses is not None]
    assert len(declared) < 0.03 * len(scenarios()), declared


def test_known_differences_are_scenarios() -> None:
    """A scenario that was renamed or removed leaves nothing behind in the list."""
    names = {GENERATED, *(f"{topic}: {each.name}" for topic, found in by_topic().items() for each in found)}
    assert {line for line in KNOWN if line and not line.startswith("#")} <= names


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("", [pytest.param(id=GENERATED, marks=known(GENERATED))])
@settings(GENERATOR, max_examples=10_000 if FULL else 50)
@given(program=programs())
def test_a_generated_program_is_the_same_wherever_its_cells_run(program: Program, harness: Harness) -> None:
    """Any difference is a bug."""
    harness.masks_all = FULL
    verdict = count("programs", harness.check(program.cells, program.remote))
    assert verdict.is_same, str(verdict)


@pytest.mark.timeout(7200)
@settings(GENERATOR, max_examples=2_000 if FULL else 20)
@given(program=programs())
def test_a_generated_program_is_the_same_beside_a_thread(program: Program, harness_with_thread: Harness) -> None:
    harness_with_thread.masks_all = FULL
    verdict = count("programs", harness_with_thread.check(program.cells, program.remote))
    assert verdict.is_same, str(verdict)


@pytest.mark.skipif(not FULL, reason="optional: minutes each, make transparency runs them")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in (shipped() if FULL else ())])
def test_a_shipped_notebook_is_the_same_wherever_its_cells_run(path: Path, harness: Harness) -> None:
    """All cells remote, none, and a half; in kernels of their own, since packages keep counters in their modules.

    Cells that change what a package's module holds stay together: it stays where it is, by design. So do values that cannot
    travel: they are told, and the notebook is run whole only.
    """
    cells = code_cells(path)
    try:
        together = harness.plain_fresh(cells, cell_s=NOTEBOOK_CELL_S).set_libraries
    except ProgramFailed as error:
        pytest.skip(f"optional: does not end here in time: {error}"[:300])
    whole = next(iter(placements(cells, 1, halves=0)), frozenset())
    chosen = [whole, frozenset[int](), half(cells, together, zlib.crc32(path.name.encode()))]
    for remote in dict.fromkeys(chosen):
        verdict = count("notebooks", harness.check_fresh(cells, remote, cell_s=NOTEBOOK_CELL_S, may_stay=remote == whole))
        assert verdict.is_same, str(verdict)
        assert not verdict.refused, verdict.refused
        assert verdict.masked <= MOST_MASKED * verdict.items, f"the mask hides {verdict.masked} of {verdict.items} items"
        if verdict.stayed:
            break  # cells beside those that made such values would ask for them, and be told that they cannot have them


def test_the_mask_hides_little() -> None:
    """The last test of this module: how much it hid of all before."""
    assert all(tally.share <= MOST_MASKED for tally in TALLIES.values()), {kind: str(each) for kind, each in TALLIES.items()}
