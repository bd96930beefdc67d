"""Real notebooks: those inside installed packages, in this repository's examples, and in folders that one names.

FARCELL_NOTEBOOKS lists further folders, as PATH does.
"""

from __future__ import annotations

import json
import os
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .program import may_be_remote

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAMPLE = 24
_SEED = 3
_ELSEWHERE = re.compile(
    r"getpass|(?<![\w.])input\(|!pip|%pip|%load_ext|urlopen|requests\.get|google\.colab|fetch_|%matplotlib notebook"
)
"""Needs a person, a network or a front end: not a program that runs twice alike."""


def shipped() -> list[Path]:
    """Of installed packages a sample by seed, else all."""
    packages = _in(Path(sysconfig.get_path("purelib")))
    chosen = random.Random(_SEED).sample(packages, min(SAMPLE, len(packages)))
    named = [Path(each) for each in os.environ.get("FARCELL_NOTEBOOKS", "").split(os.pathsep) if each]
    return [*sorted(chosen), *(path for folder in (EXAMPLES, *named) for path in _in(folder))]


def _in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.ipynb") if _runs_anywhere(path))


def _runs_anywhere(path: Path) -> bool:
    try:
        text = "\n".join(_cells(path))
    except (ValueError, KeyError, UnicodeDecodeError):
        return False
    return bool(text.strip()) and not _ELSEWHERE.search(text)


def code_cells(path: Path) -> tuple[str, ...]:
    """As typed, `%%remote` taken off: which cells are remote is the harness' choice."""
    return tuple(cell.removeprefix("%%remote\n") for cell in _cells(path) if may_be_remote(cell.removeprefix("%%remote\n")))


def _cells(path: Path) -> Iterator[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python") != "python":
        return
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.strip():
            yield source
