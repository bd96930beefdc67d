"""What is the machine's own is masked, also where two plain runs agree on it by themselves."""

from __future__ import annotations

from transparency.runner import Harness

MEASURES = """
import psutil
before = psutil.Process().memory_info().rss
grown = psutil.Process().memory_info().rss - before
del before
"""


def test_how_much_memory_something_took_is_no_difference() -> None:
    with Harness() as harness:
        verdict = harness.check_fresh([MEASURES, "doubled = [grown] * 2"], {0})
    assert verdict.is_same, str(verdict)
    assert verdict.masked > 0
