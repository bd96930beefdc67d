"""Tells what the mask hid, whatever became of the tests."""

from __future__ import annotations

import pytest
from transparency.tally import TALLIES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for kind, tally in TALLIES.items():
        terminalreporter.write_line(f"{kind}: {tally}")
