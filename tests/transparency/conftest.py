"""Tells what the mask hid, whatever became of the tests."""

from __future__ import annotations

import pytest
from transparency.tally import TALLIES


def _lines() -> list[str]:
    return [f"{kind}: {tally}" for kind, tally in TALLIES.items()]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist has no terminal: the main process shows it (`tests/conftest.py`)."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = _lines()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _lines():
        terminalreporter.write_line(line)
