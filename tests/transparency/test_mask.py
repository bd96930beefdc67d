"""What two plain runs do not agree on is no difference, and what they agree on is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from transparency.runner import Harness

COUNT = """
def run_number():
    with open({path!r}, "a+") as file:
        file.write("x")
        file.seek(0)
        return len(file.read())
"""


@pytest.mark.parametrize("line", ["late = run_number() > 2", "late = run_number() == 3"])
def test_what_one_plain_run_in_several_does_otherwise(line: str, tmp_path: Path) -> None:
    """The first two plain runs agree, the marked one is the third, and those after it are plain again."""
    cells = [COUNT.format(path=str(tmp_path / "runs")), line]
    with Harness() as harness:
        verdict = harness.check_fresh(cells, {1})
    assert verdict.is_same == (line == "late = run_number() > 2"), str(verdict)
