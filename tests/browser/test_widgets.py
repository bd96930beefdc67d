"""Widgets and live outputs of remote cells under a person's hands."""

from __future__ import annotations

import re

import pytest
from browser.pages import Cell, NotebookPage
from playwright.sync_api import expect

SLIDER = """%%remote
import ipywidgets as widgets
slider, out = widgets.IntSlider(0, 0, 100, description="speed"), widgets.Output()
def moved(change):
    with out:
        print("moved to", change.new)
slider.observe(moved, "value")
widgets.VBox([slider, out])
"""
DISPLAYED = """%%remote
import ipywidgets as widgets
number = widgets.IntSlider(0, 0, 100)
doubled = widgets.interactive(lambda x: print("twice is", 2 * x), x=number)
doubled
"""
LOGGED = """%%remote
import ipywidgets as widgets
button = widgets.Button(description="Say it")
button.on_click(lambda _: print("said on the target"))
button
"""
BAR = """from tqdm.notebook import tqdm
for step in tqdm(range(40), desc="steps"):
    pass
"""
RICH = """import rich
from rich.table import Table
table = Table("planet", "moons")
table.add_row("Mars", "2")
rich.print(table, "[bold red]all of it[/]")
"""


def test_a_slider_calls_back_to_the_target(page: NotebookPage) -> None:
    """What the callback prints is shown in its Output widget while the slider moves; the target has the value."""
    cell = page.cell(SLIDER).run()
    page.drag(cell.output.locator(".noUi-handle"), 0.5)
    cell.wait_for_text("moved to 50")
    assert page.cell("%%remote\nprint(slider.value)").run().text == "50\n"


def test_interact_draws_its_output_anew(page: NotebookPage) -> None:
    cell = page.cell(DISPLAYED).run()
    cell.wait_for_text("twice is 0")
    page.drag(cell.output.locator(".noUi-handle"), 0.25)
    cell.wait_for_text("twice is 50")
    expect(cell.output).not_to_contain_text("twice is 0")


@pytest.mark.parametrize("server", ["lab"], indirect=True)
def test_a_callbacks_print_goes_to_the_log_console(page: NotebookPage) -> None:
    """As that of a local widget's callback; Notebook 7 has no such panel."""
    cell = page.cell(LOGGED).run()
    page.command("logconsole:open")
    cell.output.get_by_role("button", name="Say it").click()
    expect(page.page.locator(".jp-LogConsolePanel")).to_contain_text("said on the target")
    assert cell.text == ""


def test_progress_bars_and_rich_text_are_drawn(page: NotebookPage) -> None:
    """As those of local cells."""
    for code, text in ((BAR, "40/40"), (RICH, "Mars")):
        here, there = page.cell(code).run(), page.cell("%%remote\n" + code).run()
        here.wait_for_text(text)
        there.wait_for_text(text)
        assert drawn(there) == drawn(here)
    expect(there.output.get_by_text("all of it")).to_have_css("font-weight", "700")


def drawn(cell: Cell) -> str:
    """Its HTML, without the time that the progress bar tells."""
    return re.sub(r"\[00:\d\d.*?\]|\d+%|id=\S+", "", cell.output.inner_html())
