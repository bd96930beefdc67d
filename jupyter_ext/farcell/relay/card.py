"""The card of a detached run, in the output of the cell that began it: what it is, how it goes, its last lines, two buttons.

Standard MIME types, display ids and, where ipywidgets is installed, its buttons: it works in every front end, and the saved
notebook keeps how the run ended.
"""

from __future__ import annotations

import html
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from farcell_host.protocol.messages import Channel, Message

from ..threads import loop_thread
from .notebook import Notebook
from .text import Tail

TICK_S = 1.0
FEW_LINES = 5
_COLOURS = {"running": "#1976d2", "ended": "#1976d2", "done": "#388e3c", "failed": "#d32f2f", "lost": "#d32f2f"}
_OTHERWISE = "#f9a825"


@dataclass(frozen=True)
class Shown:
    """What the card says at one moment."""

    target: str
    run: str
    state: str
    text: str
    """What there is to know of the state: what was merged, how it failed, what to do."""
    seconds: float


class Card:
    """`look` is asked from the connection thread, once a second while the run goes on."""

    def __init__(self, notebook: Notebook, header: dict[str, Any], log: Tail, look: Callable[[], Shown]) -> None:
        self._notebook, self._header, self._log, self._look = notebook, header, log, look
        self._display_id = f"farcell-run-{uuid.uuid4().hex}"
        self._is_whole = False
        self._last: dict[str, str] | None = None
        self._lock = threading.Lock()
        self._ends = False
        self._buttons: Any = None

    def show(self) -> None:
        """Below what the cell shows already; again after something has cleared the cell's output."""
        self._last = None
        self._publish("display_data")

    def begin(self, cancel: Callable[[], None]) -> None:
        """In the cell that begins the run, on its thread."""
        self.show()
        if self._notebook.frames is None:
            return
        self._add_buttons(cancel)
        self._tick()

    def end(self) -> None:
        """The run's last word, on the main thread."""
        self._ends = True
        self.update()
        if self._buttons is not None:
            self._buttons.children[0].disabled = True

    def update(self) -> None:
        """From any thread."""
        if self._notebook.frames is not None:
            self._publish("update_display_data")

    def _tick(self) -> None:
        if self._ends:
            return
        self.update()
        loop = loop_thread().loop
        loop.call_soon_threadsafe(loop.call_later, TICK_S, self._tick)

    def _publish(self, msg_type: str) -> None:
        shown = self._look()
        lines = self._log.last(None if self._is_whole else FEW_LINES)
        data = {"text/plain": _plain(shown, lines), "text/html": _html(shown, lines, self._is_whole)}
        if self._notebook.frames is None:
            print(data["text/plain"].partition("\n")[0])
            return
        with self._lock:
            if data == self._last:
                return
            self._last = data
            content = {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}
            self._notebook.frames.publish(Message.build(Channel.IOPUB, msg_type, content, parent=self._header))

    def _add_buttons(self, cancel: Callable[[], None]) -> None:
        try:
            from ipywidgets import Button, HBox, Layout  # type: ignore[import-untyped]
        except ImportError:
            return
        from IPython.display import display

        def toggle(button: Any) -> None:
            self._is_whole = not self._is_whole
            button.description = "Hide log" if self._is_whole else "Show log"
            self.update()

        layout = Layout(width="auto")
        stop = Button(description="Cancel", icon="stop", layout=layout, tooltip="Interrupt this run")
        log = Button(description="Show log", icon="list", layout=layout, tooltip="All lines that are kept here")
        stop.on_click(lambda button: cancel())
        log.on_click(toggle)
        self._buttons = HBox([stop, log])
        display(self._buttons)  # type: ignore[no-untyped-call]


def duration(seconds: float) -> str:
    """`8 s`, `2 min 05 s`, `3 h 20 min`."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _title(shown: Shown) -> str:
    verb = {"running": "running for", "ended": "ended after", "done": "done in", "failed": "failed after"}.get(
        shown.state, f"{shown.state} after"
    )
    return f"run {shown.run} on {shown.target}: {verb} {duration(shown.seconds)}"


def _plain(shown: Shown, lines: list[str]) -> str:
    return "\n".join([f"farcell: {_title(shown)}", *([shown.text] if shown.text else []), *lines])


def _html(shown: Shown, lines: list[str], is_whole: bool) -> str:
    colour = _COLOURS.get(shown.state, _OTHERWISE)
    text = f"<div style='margin-top:2px'>{html.escape(shown.text)}</div>" if shown.text else ""
    height = "max-height:24em;" if is_whole else ""
    style = f"margin:4px 0 0;padding:0;white-space:pre-wrap;overflow:auto;{height}"
    log = f"<pre style='{style}'>{html.escape(chr(10).join(lines))}</pre>" if lines else ""
    return (
        f"<div style='border:1px solid var(--jp-border-color2,#bdbdbd);border-left:4px solid {colour};border-radius:3px;"
        "padding:6px 10px;margin:2px 0;font-size:var(--jp-ui-font-size1,13px)'>"
        f"<div><b>{html.escape(shown.target)}</b> &middot; run <code>{html.escape(shown.run)}</code> &middot; "
        f"<span style='color:{colour};font-weight:600'>{html.escape(_title(shown).partition(': ')[2])}</span></div>"
        f"{text}{log}</div>"
    )
