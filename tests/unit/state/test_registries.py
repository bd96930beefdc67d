"""Figures of matplotlib, whose registries of callbacks count how often they were asked for their state."""

from __future__ import annotations

import pytest


def test_a_figure_that_is_left_alone_is_not_sent_again(pair):
    """Neither side takes its own look for a change."""
    pytest.importorskip("matplotlib")
    pair.cell("from matplotlib.figure import Figure\nfig = Figure(); ax = fig.subplots()")
    number = next(pair.here["fig"]._canvas_callbacks._cid_gen)
    pair.ship("fig", "ax")
    pair.ship("fig", "ax")
    assert not pair.last.header["streams"]
    pair.collect("fig", "ax")
    assert not pair.last.header["streams"]
    assert next(pair.here["fig"]._canvas_callbacks._cid_gen) == number + 1
    pair.run("line, = ax.plot([1, 2]); ax.set_title('T')", "ax")
    assert pair.here["ax"].lines[0] is pair.here["line"] and pair.here["fig"].axes[0].get_title() == "T"
