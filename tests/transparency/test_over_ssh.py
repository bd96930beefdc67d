"""The promise over ssh, with a Python of another minor version there: a sample of the scenarios, and a few generated programs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import ipykernel
import numpy
import pytest
from places import over_ssh
from pythons import another_minor, environment
from services.sshd import Sshd
from transparency.corpus_of import by_topic
from transparency.generator import seeded
from transparency.program import placements
from transparency.runner import Harness
from transparency.scenario import Scenario

TOPICS = ("aliasing", "arrays", "callables", "classes", "containers", "control", "exceptions", "functions", "reads", "tuples")
PROGRAMS = 10
VERSIONS_OWN = {"a protocol checked at run time"}
"""docs/limits.md: the order in which `typing` puts its own names into a class is that of the Python that made it."""

SAMPLE = [
    pytest.param(each, id=f"{topic}: {each.name}")
    for topic in TOPICS
    for each in [one for one in by_topic()[topic] if not one.needs and one.refuses is None and one.name not in VERSIONS_OWN][::12]
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def harness(sshd: Sshd) -> Iterator[Harness]:
    wanted = (f"ipykernel=={ipykernel.__version__}", f"numpy=={numpy.__version__}")
    real = another_minor(newer=True)
    python = environment(f"over-ssh-{zlib.crc32(real.encode()):x}", real, wanted)
    with Harness(most_confirmed=1, far=lambda box: over_ssh(box, sshd, python=str(python))) as shared:
        version = "__import__('farcell').connect().run('print(__import__(\"sys\").version_info[:2])')"
        assert (
            shared.warm.notebook.run(version).check().stdout
            != shared.warm.notebook.run("print(__import__('sys').version_info[:2])").stdout
        )
        yield shared


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SAMPLE)
def test_a_scenario_is_the_same_on_another_python_over_ssh(scenario: Scenario, harness: Harness) -> None:
    harness.masks_all = True
    remote = placements(scenario.cells, zlib.crc32(scenario.name.encode()))[0]
    verdict = harness.check(scenario.cells, remote, scenario.own, scenario.refuses)
    assert verdict.is_same, str(verdict)


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_program_is_the_same_on_another_python_over_ssh(seed: int, harness: Harness) -> None:
    program = seeded(seed)
    verdict = harness.check(program.cells, program.remote)
    assert verdict.is_same, str(verdict)
