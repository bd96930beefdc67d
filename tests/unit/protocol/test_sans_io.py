"""The protocol does no input or output of its own, so both sides and every transport can use it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import farcell_host.protocol
import pytest

FILES = sorted(Path(farcell_host.protocol.__file__).parent.glob("*.py"))
FORBIDDEN = {"asyncio", "socket", "select", "selectors", "subprocess", "threading", "time", "os", "zmq", "tornado"}
OURS = {"errors", "protocol"}


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports; for a relative import the module inside farcell_host."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = node.module or ""
            names.add({0: inside.partition(".")[0], 1: "protocol", 2: inside.partition(".")[0]}[node.level])
    return names


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_module_imports_nothing_that_does_io(path: Path) -> None:
    """Only the standard library's pure parts, the errors and its neighbours."""
    names = imported(path)
    assert not names & FORBIDDEN
    assert names <= OURS | set(sys.stdlib_module_names)
