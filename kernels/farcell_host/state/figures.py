"""matplotlib's figures whose canvas is a widget of the target's (ipympl): drawn there for as long as it is open.

Pickled, a figure leaves its canvas behind: the notebook would have a copy that is not the one that is seen, and what the person
zooms would be a change of both.
"""

from __future__ import annotations

import sys
from typing import Any

from . import context
from .refusals import Refused

_REASON = "a figure that is open as a widget"
_HINT = "Close it with plt.close() in a remote cell, and it comes here as a value"


def is_figure(kind: type) -> bool:
    base = getattr(sys.modules.get("matplotlib.figure"), "FigureBase", None)
    return base is not None and issubclass(kind, base)


def keep_open(figure: Any) -> None:
    """Raises Refused for a figure that the target draws. One of the notebook's travels: the target only changes it."""
    widget = getattr(sys.modules.get("ipywidgets.widgets.widget"), "Widget", None)
    canvas = getattr(figure, "canvas", None)
    if widget is None or not isinstance(canvas, widget) or canvas.comm is None or context.current().side != "remote":
        return
    raise Refused(figure, _REASON, _HINT)
