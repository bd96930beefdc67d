"""Two people in one notebook (jupyter-collaboration), each in a browser of their own, before one server and one kernel."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from browser.pages import WAIT_S, Cell, NotebookPage
from browser.panels import Panel, badge, need_labextension
from browser.servers import Server
from browser.test_running import TRAINING
from browser.test_widgets import SLIDER
from playwright.sync_api import Browser, TimeoutError, expect

pytest.importorskip("jupyter_server_ydoc", reason="optional: jupyter-collaboration takes Python 3.11")

ABOVE = """%%remote
above = display("none yet", display_id=True)
print("below")
display("last")
for step in range(1, 4):
    above.update(f"step {step}")
"""
DETACHED = """%%remote --detach
for epoch in range(3):
    print("epoch", epoch)
learned = "by both"
"""
STEPS = """%%remote
import threading
goes_on = threading.Event()
for step in range(200):
    print("step", step)
"""


@pytest.fixture(scope="module", params=["lab"])
def server(chromium: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    need_labextension()
    with Server(request.param, collaborates=True, has_ledger=True) as server:
        yield server


@pytest.fixture(scope="module")
def file(server: Server) -> str:
    return server.new_notebook()


@pytest.fixture(scope="module")
def page(server: Server, browser: Browser, file: str) -> Iterator[NotebookPage]:
    """The one who opened it first, and loaded farcell."""
    expect.set_options(timeout=WAIT_S * 1000)
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        context.set_default_timeout(WAIT_S * 1000)
        page = NotebookPage(context.new_page(), server, file)
        page.cell("%load_ext farcell").run()
        yield page
    server.end_kernels()


@pytest.fixture(scope="module")
def other(server: Server, browser: Browser, file: str, page: NotebookPage) -> Iterator[NotebookPage]:
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        context.set_default_timeout(WAIT_S * 1000)
        yield NotebookPage(context.new_page(), server, file)


@dataclass
class Shared:
    """A cell of the notebook, as its author has it and as the other one does."""

    author: NotebookPage
    reader: NotebookPage
    place: int

    @property
    def own(self) -> Cell:
        return self.author.nth(self.place)

    @property
    def seen(self) -> Cell:
        return self.reader.nth(self.place)

    def run(self) -> Shared:
        """To its end, for both."""
        self.own.run()
        return self.settle()

    def settle(self) -> Shared:
        """Until the reader's page has what the author's has; a difference that stays fails the test."""
        outputs = self.own.outputs()
        try:
            self.reader.wait_for(_HAS, {"place": self.place, "outputs": outputs}, timeout=20)
        except TimeoutError:
            assert self.seen.outputs() == outputs
        return self


# The keys of objects come in no order from a shared document.
_HAS = """(() => {
    const sorted = value => Array.isArray(value) ? value.map(sorted) : value && typeof value === 'object' ?
        Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])])) : value;
    const has = panel.content.widgets[given.place].model.outputs.toJSON();
    return JSON.stringify(sorted(has)) === JSON.stringify(sorted(given.outputs));
})()"""


def write(author: NotebookPage, reader: NotebookPage, code: str, is_trusted: bool = True) -> Shared:
    """A new cell at the end, trusted by its reader, too."""
    place = int(author.js("return panel.content.widgets.length;"))
    author.js("panel.model.sharedModel.addCell({ cell_type: 'code', source: given });", code)
    for each in (author, reader):
        each.wait_for("panel.content.widgets[given]", place)
    if is_trusted:
        reader.js("panel.content.widgets[given].model.trusted = true;", place)
    return Shared(author, reader, place)


def outputs_of(cell: Cell) -> list[dict[str, Any]]:
    """Without the emptied one that has told how the run began."""
    return [output for output in cell.outputs() if output.get("data") != {}]


def test_both_see_what_a_remote_cell_shows_and_each_output_once(page: NotebookPage, other: NotebookPage) -> None:
    """Whoever of the two runs it; so does the file."""
    for author, reader in ((page, other), (other, page)):
        cell = write(author, reader, "%%remote\nfor step in range(30):\n    print('step', step)\nstep").run()
        [printed, result] = outputs_of(cell.seen)
        assert "".join(printed["text"]) == "".join(f"step {step}\n" for step in range(30))
        assert result["data"]["text/plain"] == "29"
        saved = author.save()["cells"][cell.place]["outputs"]
        assert [output.get("text") or output["data"] for output in saved if output.get("data") != {}] == [
            printed["text"],
            result["data"],
        ]


def test_an_output_that_is_drawn_anew_stays_in_its_place_for_both(page: NotebookPage, other: NotebookPage) -> None:
    """JupyterLab by itself would put it last on the reader's page, and throw out those below it."""
    cell = write(page, other, ABOVE).run()
    assert [output["output_type"] for output in outputs_of(cell.seen)] == ["display_data", "stream", "display_data"]
    assert re.findall("step 3|below|last", cell.seen.output.inner_text()) == ["step 3", "below", "last"]


def test_both_see_the_card_of_a_detached_run(page: NotebookPage, other: NotebookPage) -> None:
    cell = write(other, page, DETACHED).run()
    for each in (cell.own, cell.seen):
        each.wait_for_text("Merged: ")
    cell.settle()
    assert cell.seen.output.inner_text().count("epoch 2") == 1
    assert write(page, other, "print(learned)").run().seen.text == "by both\n"


def test_either_moves_a_slider_of_the_target(page: NotebookPage, other: NotebookPage) -> None:
    """Its callback is called once for each move, and what it prints is shown to both."""
    cell = write(page, other, SLIDER).run()
    for mover, fraction, value in ((other, 0.5, 50), (page, 0.25, 25)):
        mover.drag(mover.nth(cell.place).output.locator(".noUi-handle"), fraction)
        for each in (cell.own, cell.seen):
            # as the last line: a slow drag may have passed that value before
            expect(each.output).to_have_text(re.compile(rf"moved to {value}\s*$"), use_inner_text=True, timeout=WAIT_S * 1000)
            expect(each.output.locator(".widget-readout")).to_have_text(str(value))
    lines = cell.own.output.inner_text().split("\n")
    assert lines == cell.seen.output.inner_text().split("\n")
    assert lines.count("moved to 50") == 1
    assert write(other, page, "%%remote\nprint(slider.value)").run().own.text == "25\n"


def test_who_trusts_the_notebook_later_sees_the_widgets_then_and_nobody_sees_one_twice(
    page: NotebookPage, other: NotebookPage
) -> None:
    """JupyterLab shows other people's widgets by their text until then."""
    cells = [write(page, other, code, is_trusted=False).run() for code in (SLIDER, SLIDER.replace("%%remote\n", ""))]
    for cell in cells:
        expect(cell.own.output.locator(".noUi-handle")).to_have_count(1)
        assert "VBox(children=" in cell.seen.output.inner_text()
    other.js("void window.jupyterapp.commands.execute('notebook:trust');")
    other.page.locator(".jp-Dialog").get_by_role("button", name="Trust").click()
    for cell in cells:
        expect(cell.seen.output.locator(".noUi-handle")).to_have_count(1)
        cell.settle()
        expect(cell.own.output.locator(".noUi-handle")).to_have_count(1)


def test_cells_that_both_run_at_once_have_their_own_outputs(page: NotebookPage, other: NotebookPage) -> None:
    code = "%%remote\nfor step in range(50):\n    print({name!r}, step)"
    cells = [write(page, other, code.format(name="one")), write(other, page, code.format(name="two"))]
    for cell in cells:
        cell.own.start()
    for cell, name in zip(cells, ("one", "two"), strict=True):
        cell.own.finish()
        assert cell.settle().seen.text == "".join(f"{name} {step}\n" for step in range(50))


def test_one_stops_the_cell_that_the_other_runs_by_its_button(page: NotebookPage, other: NotebookPage) -> None:
    cell = write(page, other, TRAINING)
    cell.own.start()
    cell.seen.wait_for_text("epoch 3")
    other.drag(cell.seen.output.locator(".noUi-handle"), 0.5)
    for each in (cell.own, cell.seen):
        each.wait_for_text("rate 50")
    cell.seen.output.get_by_role("button", name="Stop").click()
    cell.own.finish()
    assert cell.settle().seen.text == "stopped by hand\n"


def test_a_prompt_asks_who_has_run_the_cell(page: NotebookPage, other: NotebookPage) -> None:
    for author, reader, name in ((page, other, "Ann"), (other, page, "Bob")):
        cell = write(author, reader, "%%remote\nprint('hello', input('who? '))")
        cell.own.start()
        prompt = author.page.locator(".jp-Stdin-input")
        prompt.wait_for()
        reader.wait_for("panel.content.widgets[given].model.executionState === 'running'", cell.place)
        expect(reader.page.locator(".jp-Stdin-input")).to_have_count(0)
        prompt.fill(name)
        prompt.press("Enter")
        cell.own.finish()
        assert cell.settle().seen.text == f"hello {name}\n"


def test_both_pages_tell_how_a_remote_cell_has_ended(page: NotebookPage, other: NotebookPage) -> None:
    done = write(page, other, "%%remote\n1").run()
    failed = write(page, other, "%%remote\n1 / 0")
    failed.own.start()
    for each in (page, other):
        expect(badge(each, done.place)).to_contain_text("local · done")
        expect(badge(each, failed.place)).to_contain_text("local · failed")


def test_a_page_that_is_loaded_anew_during_a_run_misses_nothing(page: NotebookPage, other: NotebookPage) -> None:
    """And has nothing twice."""
    cell = write(page, other, STEPS + "goes_on.wait(3)\nprint('the end')")
    cell.own.start()
    cell.seen.wait_for_text("step 199")
    other.reload(idle=False)
    cell.own.finish()
    cell.seen.wait_for_text("the end")
    cell.settle()
    assert cell.seen.text == "".join(f"step {step}\n" for step in range(200)) + "the end\n"


def test_runs_are_on_record_with_the_name_that_their_page_tells(page: NotebookPage, other: NotebookPage, server: Server) -> None:
    """Which nobody has checked: sessions and runs are the server's owner's, in whose one ledger they are, whoever ran them."""
    names = [each.js("return window.jupyterapp.serviceManager.user.identity.name;") for each in (page, other)]
    assert names[0] != names[1]
    places = [write(author, reader, "%%remote\nwho = 1").run().place for author, reader in ((page, other), (other, page))]
    ids = page.js("return given.map(place => panel.content.widgets[place].model.id);", places)
    write(page, other, "import farcell\nprint(sum(row.runs for row in farcell.usage()))").run()
    with sqlite3.connect(f"file:{server.ledger}?mode=ro", uri=True) as ledger:
        said = dict(ledger.execute("SELECT cell, said_by FROM runs"))
        sessions = ledger.execute("SELECT count(DISTINCT session_id) FROM runs").fetchone()[0]
    ledger.close()
    assert [said[each] for each in ids] == names
    assert sessions == 1
    runs = Panel(page, "Runs").section("Runs")
    for name in names:
        expect(runs.locator(f"[title*='by {name}, as the page said that ran it']").first).to_be_visible()
