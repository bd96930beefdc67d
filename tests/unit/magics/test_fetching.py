"""A bar shows how far a fetch before a local cell is, when that takes longer than a moment."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from farcell import magics


@pytest.mark.parametrize(("seconds", "is_shown"), [(0.0, False), (0.4, True)])
def test_a_slow_fetch_shows_a_bar(
    seconds: float, is_shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bytes to come; a quick one shows nothing."""
    monkeypatch.setattr(magics, "SHOW_BAR_AFTER_S", 0.1)
    fetched = []

    def fetch() -> None:
        time.sleep(seconds)
        fetched.append(1)

    magics._fetch([SimpleNamespace(info=SimpleNamespace(size_bytes=2_000_000), fetch=fetch)] * 2)  # type: ignore[list-item]
    assert fetched == [1, 1]
    shown = capsys.readouterr().err
    assert ("Fetching" in shown and "4.00M" in shown) is is_shown and bool(shown) is is_shown
