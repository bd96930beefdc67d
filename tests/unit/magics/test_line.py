"""A line of farcell's own: it comes late, keeps up to date, and goes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from farcell.relay import line
from farcell.relay.line import Line, transfer, waiting


class Frames:
    def __init__(self) -> None:
        self.shown: list[tuple[str, Any]] = []
        self.several = threading.Event()

    def publish(self, message: Any) -> None:
        self.shown.append((message.msg_type, message.content["data"].get("text/plain")))
        if len(self.shown) > 2:
            self.several.set()


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(line, "TICK_S", 0.01)
    return SimpleNamespace(frames=Frames(), cell_header=dict)


def test_a_short_wait_shows_nothing(notebook: Any) -> None:
    with Line(notebook, waiting("waiting")):
        pass
    assert notebook.frames.shown == []


def test_a_long_wait_is_said_and_vanishes(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SHOW_AFTER_S", 0.01)
    with Line(notebook, waiting("waiting for it")):
        assert notebook.frames.several.wait(10)
    kinds, texts = zip(*notebook.frames.shown, strict=True)
    assert kinds[0] == "display_data" and set(kinds[1:]) == {"update_display_data"}
    assert texts[0] == "farcell: waiting for it (0 s)" and texts[-1] is None and None not in texts[:-1]


def test_a_transfer_ends_by_itself(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SHOW_AFTER_S", 0.01)
    left = [(1_000_000, 4_000_000), (3_000_000, 4_000_000)]
    Line(notebook, transfer("sending to 'gpu'", lambda: left.pop(0) if left else None)).begin()
    assert notebook.frames.several.wait(10)
    texts = [text for _, text in notebook.frames.shown]
    assert "sending to 'gpu': " in texts[0] and " 25%" in texts[0] and "1.00M/4.00M" in texts[0] and texts[-1] is None
