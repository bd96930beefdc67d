"""Whether text hashes alike on both sides: it does when both were started with the same PYTHONHASHSEED."""

from __future__ import annotations

_TEXT = "farcell"


def probe() -> int:
    """Differs where the order of sets of text may."""
    return hash(_TEXT)
