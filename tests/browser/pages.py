"""One notebook in a browser, in words a test can be read in.

    cell = page.cell(SLIDER).run()             # below all others, to its end
    page.drag(cell.output.locator(".noUi-handle"), 0.5)
    cell.wait_for_text("moved to 50")

What a cell shows is looked at in the page (`cell.output`), what the notebook keeps in its document (`cell.outputs()`): JupyterLab
and Notebook 7 are asked for it through `window.jupyterapp`, which their option --expose-app-in-browser sets. Cells are run by the
front end's own command, since a key press is now and then lost while a page is still building.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser.servers import Server
from playwright.sync_api import Locator, Page, expect

WAIT_S = 60.0
READY_S = 90.0

# `panel` is the notebook in front; `runs` tells how cells have ended that this page has started.
_PANEL = "const panel = window.jupyterapp?.shell?.currentWidget; const runs = (window.farcellRuns ??= {});"
_KERNEL = "panel?.sessionContext?.session?.kernel"
# The widgets' extension is up: it hears of comms that are opened.
_HEARS = f"panel?.context?.isReady && {_KERNEL}?._targetRegistry?.['jupyter.widget']"
_IS_IDLE = f"{_HEARS} && panel.sessionContext.isReady && {_KERNEL}.status === 'idle'"
# A kernel that is busy answers nothing, so that the front end cannot say more of it.
_IS_CONNECTED = f"{_HEARS} && {_KERNEL}._ws?.readyState === WebSocket.OPEN"


class NotebookPage:
    """Opened when the kernel is ready."""

    def __init__(self, page: Page, server: Server, file: str) -> None:
        self.page = page
        self.server = server
        self.artefacts = Path()
        """Where screenshots go."""
        self._said: list[str] = []
        page.on("pageerror", lambda error: self._said.append(f"uncaught: {error}"))
        page.on("console", lambda line: self._said.append(f"{line.type}: {line.text}"))
        self.open(file)

    def open(self, file: str) -> None:
        """Goes to another notebook of the same server."""
        self.file = file
        self.page.goto(self.server.address(file))
        self.wait_until_idle(READY_S)
        self._cells = 0

    def cell(self, code: str) -> Cell:
        """A new one at the end."""
        if self._cells:
            self.js("panel.model.sharedModel.addCell({ cell_type: 'code', source: given });", code)
        else:  # the one that a new notebook has
            self.js("panel.model.cells.get(0).sharedModel.setSource(given);", code)
        self._cells += 1
        return Cell(self, self._cells - 1)

    def nth(self, index: int) -> Cell:
        """One that the notebook had when it was opened, by its place among all."""
        return Cell(self, index)

    def run_all(self, timeout: float = WAIT_S) -> None:
        """To the end of the last; one that fails fails the test."""
        self.command("notebook:run-all-cells")
        self.wait_for(
            f"panel.content.widgets.every(cell => cell.model.type !== 'code' || cell.model.executionCount) && {_IS_IDLE}",
            timeout=timeout,
        )
        failed = self.js(
            "return panel.content.widgets.filter(cell => cell.model.type === 'code')"
            ".flatMap(cell => cell.model.outputs.toJSON()).filter(output => output.output_type === 'error');"
        )
        assert not failed, failed

    # -- conditions

    def wait_for(self, condition: str, given: Any = None, timeout: float = WAIT_S) -> None:
        """Until an expression is true in the page; it may use `panel`, `runs` and `given`."""
        self.page.wait_for_function(f"given => {{ {_PANEL} return {condition}; }}", arg=given, timeout=timeout * 1000)

    def wait_until_idle(self, timeout: float = WAIT_S) -> None:
        self.wait_for(_IS_IDLE, timeout=timeout)

    def watch_frames(self) -> None:
        """From now on the longest time is kept in which the page drew nothing and took no input."""
        self.js(
            "const watch = window.farcellWatch = { longest: 0, last: performance.now() };"
            "const step = now => { if (window.farcellWatch !== watch) return;"
            "  watch.longest = Math.max(watch.longest, now - watch.last); watch.last = now; requestAnimationFrame(step); };"
            "requestAnimationFrame(step);"
        )

    def longest_pause(self) -> float:
        """In seconds, up to the next time that the page draws."""
        return float(self.js("await new Promise(requestAnimationFrame); return window.farcellWatch.longest / 1000;"))

    # -- hands

    def drag(self, handle: Locator, fraction: float) -> None:
        """Takes the handle of a slider to a place between its ends."""
        handle.scroll_into_view_if_needed()
        track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]")
        self._drag(point_in(handle, 0.5, 0.5), point_in(track, fraction, 0.5))

    def drag_over(self, area: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place in an area to another one, both as fractions of its width and height."""
        area.scroll_into_view_if_needed()
        self._drag(point_in(area, *start), point_in(area, *end))

    def click_at(self, shape: Locator) -> None:
        """In the middle of something that lies under the layer which takes its clicks, as in charts."""
        shape.scroll_into_view_if_needed()
        self.page.mouse.move(*point_in(shape, 0.5, 0.5), steps=3)
        self.page.mouse.down()
        self.page.mouse.up()

    def command(self, name: str) -> None:
        """One of the front end's own, as from its menus."""
        self.js("await window.jupyterapp.commands.execute(given);", name)

    def reload(self, idle: bool = True) -> None:
        """Saves the notebook and loads the page anew; with `idle` False while its kernel is busy."""
        self.save()
        self.page.reload()
        self.wait_for(_IS_IDLE if idle else _IS_CONNECTED, timeout=READY_S)

    def save(self) -> Any:
        """As its menu does; returns what is in the file."""
        self.js("await panel.context.save();")
        return self.server.read(self.file)

    def screenshot(self, name: str) -> None:
        """With what scripts have said, beside each other."""
        self.artefacts.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.artefacts / f"{name}.png")
        (self.artefacts / f"{name}.log").write_text("\n".join(self._said))

    def js(self, body: str, given: Any = None) -> Any:
        return self.page.evaluate(f"async given => {{ {_PANEL} {body} }}", given)

    def _drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=10)
        mouse.up()


class Cell:
    """One of a page's, by its place."""

    def __init__(self, page: NotebookPage, index: int) -> None:
        self._page = page
        self._index = index

    def run(self, timeout: float = WAIT_S) -> Cell:
        """To its end; one that fails fails the test."""
        return self.start().finish(timeout)

    def start(self) -> Cell:
        """Returns at once."""
        self._page.js(
            "panel.content.activeCellIndex = given; panel.content.deselectAll(); runs[given] = 'running';"
            "window.jupyterapp.commands.execute('notebook:run-cell').then("
            "  () => { runs[given] = 'over'; }, error => { runs[given] = String(error); });",
            self._index,
        )
        return self

    def finish(self, timeout: float = WAIT_S) -> Cell:
        """Waits for the end of a cell that was started since the page was loaded."""
        self._page.wait_for("runs[given] !== 'running'", self._index, timeout)
        failed = [output for output in self.outputs() if output["output_type"] == "error"]
        assert not failed, failed
        return self

    def scroll_to(self) -> None:
        """To its output, also where the front end keeps only what is near the window in the page."""
        self._page.js("await panel.content.scrollToItem(given, 'start');", self._index)
        self.output.scroll_into_view_if_needed()

    @property
    def output(self) -> Locator:
        """What the page shows below it."""
        return self._page.page.locator(".jp-Notebook .jp-Cell").nth(self._index).locator(".jp-Cell-outputWrapper")

    def wait_for_text(self, text: str, timeout: float = WAIT_S) -> None:
        """Until the page shows it below the cell."""
        expect(self.output).to_contain_text(text, timeout=timeout * 1000)

    def outputs(self) -> list[dict[str, Any]]:
        """Of the notebook's document."""
        return list(self._page.js("return panel.content.widgets[given].model.outputs.toJSON();", self._index))

    @property
    def text(self) -> str:
        """All of its standard output that the document has."""
        streams = [output["text"] for output in self.outputs() if output.get("name") == "stdout"]
        return "".join(text if isinstance(text, str) else "".join(text) for text in streams)

    @property
    def number(self) -> int | None:
        """As it stands beside the cell."""
        count = self._page.js("return panel.content.widgets[given].model.executionCount;", self._index)
        return None if count is None else int(count)


def point_in(area: Locator, x: float, y: float) -> tuple[float, float]:
    box = area.bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]
