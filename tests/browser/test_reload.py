"""A page that is loaded anew, while nothing runs, while a cell runs, and when the target is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from browser.pages import Cell, NotebookPage
from playwright.sync_api import expect

WIDGETS = """%%remote
import ipywidgets as widgets
slider, text, out = widgets.IntSlider(10, 0, 100), widgets.Text("typed"), widgets.Output()
inner = widgets.Checkbox(True, description="inner")
def moved(change):
    out.clear_output(wait=True)
    with out:
        print("at", change.new)
slider.observe(moved, "value")
widgets.VBox([slider, widgets.Tab([widgets.HBox([text, inner])], titles=["tab"]), out])
"""
CHANGE = "%%remote\ntext.value = 'changed'"

LONG = """
import ipywidgets as widgets, os, time
bar = widgets.IntProgress(0, 0, 10)
display(bar)
shown = display("first", display_id=True)
print("before")
while not os.path.exists({gate!r}):
    time.sleep(0.02)
bar.value = 10
shown.update("last")
print("after")
"end"
"""


def test_widgets_come_back_and_go_on(page: NotebookPage) -> None:
    """In the state they had, and they still call back; when the target is gone they are shown all the same."""
    cell, change = page.cell(WIDGETS).run(), page.cell(CHANGE).run()
    page.drag(cell.output.locator(".noUi-handle"), 0.5)
    cell.wait_for_text("at 50")

    page.reload()
    assert_restored(cell, 50)
    page.screenshot("reloaded")
    page.drag(cell.output.locator(".noUi-handle"), 0.75)
    cell.wait_for_text("at 75")
    change.run()

    page.cell("%remote stop --no-fetch").run()
    page.reload()
    assert_restored(cell, 75)
    page.drag(cell.output.locator(".noUi-handle"), 0.25)
    page.cell("1 + 1").run()  # what was done to a widget of nobody's holds nothing up
    expect(cell.output).to_contain_text("at 75")


def assert_restored(cell: Cell, value: int) -> None:
    expect(cell.output.locator(".widget-readout").first).to_have_text(str(value))
    expect(cell.output).to_contain_text(f"at {value}")
    expect(cell.output.locator("input[type=text]").first).to_have_value("changed")
    expect(cell.output.get_by_role("checkbox")).to_be_checked()


def test_a_cell_goes_on_while_its_page_is_reloaded(page: NotebookPage, tmp_path: Path) -> None:
    """It is then as an identical local cell that was treated the same, in the page and in the document."""
    page.cell("%%remote\n'ready'").run()
    seen = []
    for magic, gate in (("", tmp_path / "local"), ("%%remote", tmp_path / "remote")):
        cell = page.cell(magic + LONG.format(gate=str(gate))).start()
        cell.wait_for_text("before")
        page.reload(idle=False)
        gate.touch()
        page.wait_until_idle()
        expect(cell.output.locator(".progress")).to_be_visible()
        seen.append(look_of(cell))
    assert seen[0] == seen[1]
    assert page.cell("%%remote\nprint(bar.value)").run().text == "10\n"


def look_of(cell: Cell) -> dict[str, Any]:
    """What the page shows and the document has of a cell, without what differs between two local cells."""
    document = json.dumps(cell.outputs())
    return {
        "document": re.sub(r'"model_id": "\w+"|"execution_count": \d+', "", document),
        "bars": cell.output.locator(".progress-bar").evaluate_all("bars => bars.map(bar => bar.style.width)"),
        "text": cell.output.inner_text(),
        "has a number": cell.number is not None,
    }
