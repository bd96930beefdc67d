"""The corpus: every scenario that a module of `corpus/` lists; and whether all of it is asked for (`make transparency`)."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from pathlib import Path

from .scenario import Scenario

FULL = os.environ.get("FARCELL_TRANSPARENCY") == "full"


@functools.cache
def by_topic() -> dict[str, tuple[Scenario, ...]]:
    names = sorted(path.stem for path in (Path(__file__).parent / "corpus").glob("*.py") if path.stem != "__init__")
    return {name: tuple(importlib.import_module(f"transparency.corpus.{name}").SCENARIOS) for name in names}


def scenarios() -> list[Scenario]:
    return [each for topic in by_topic().values() for each in topic if not missing(each)]


def missing(scenario: Scenario) -> list[str]:
    return [name for name in scenario.needs if importlib.util.find_spec(name) is None]
