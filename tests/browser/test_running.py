"""Widgets of a cell that still runs."""

from __future__ import annotations

from browser.pages import NotebookPage

TRAINING = """%%remote
import asyncio, ipywidgets as widgets
stop, rate = widgets.Button(description="Stop"), widgets.IntSlider(0, 0, 100, description="rate")
epochs = widgets.Label("epoch 0")
display(stop, rate, epochs)
goes_on, used = True, set()
def pressed(_):
    global goes_on
    goes_on = False
stop.on_click(pressed)
epoch = 0
while goes_on:
    await asyncio.sleep(0.05)
    epoch += 1
    epochs.value = f"epoch {epoch}, rate {rate.value}"
    used.add(rate.value)
print("stopped by hand")
"""
THREAD = """%%remote
import ipywidgets as widgets, threading
stop, state = widgets.Button(description="Stop"), widgets.Label("begins")
asked = threading.Event()
stop.on_click(lambda _: asked.set())
def loop():
    steps = 0
    while not asked.wait(0.05):
        steps += 1
        state.value = f"step {steps}"
    state.value = f"stopped after {steps} steps"
display(stop, state)
thread = threading.Thread(target=loop)
thread.start()
"""


def test_a_button_stops_the_cell_that_drew_it(page: NotebookPage) -> None:
    """And a slider changes what its loop works with, while it runs."""
    cell = page.cell(TRAINING).start()
    cell.wait_for_text("epoch 3")
    page.drag(cell.output.locator(".noUi-handle"), 0.5)
    cell.wait_for_text("rate 50")
    page.screenshot("running")
    cell.output.get_by_role("button", name="Stop").click()
    assert cell.finish().text == "stopped by hand\n"
    assert page.cell("%%remote\nprint(max(used))").run().text == "50\n"


def test_a_button_stops_a_thread_of_its_cell(page: NotebookPage) -> None:
    """Which goes on after the cell, as a local thread does."""
    cell = page.cell(THREAD).run()
    cell.wait_for_text("step 3")
    cell.output.get_by_role("button", name="Stop").click()
    cell.wait_for_text("stopped after")
    assert page.cell("%%remote\nthread.join(10)\nprint(thread.is_alive())").run().text == "False\n"
