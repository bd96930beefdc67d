"""The card of a run that nobody waits for."""

from __future__ import annotations

from pathlib import Path

from browser.pages import NotebookPage

CODE = """%%remote --detach
import os, time
for n in range(8): print("epoch", n)
while not os.path.exists({gate!r}): time.sleep(0.02)
made = 5
"""


def test_the_card_shows_how_a_run_goes(page: NotebookPage, tmp_path: Path) -> None:
    """Other cells run meanwhile; its buttons work; at its end it says what was merged, and so does a cell."""
    gate = tmp_path / "gate"
    card = page.cell(CODE.format(gate=str(gate))).run()
    card.wait_for_text("epoch 7")
    assert page.cell("print('meanwhile')").run().text == "meanwhile\n"
    card.output.get_by_role("button", name="Show log").click()
    card.wait_for_text("epoch 0")
    page.screenshot("running")
    gate.touch()
    card.wait_for_text("Merged: made")
    assert page.cell("print(made)").run().text == "5\n"
    stopped = page.cell(CODE.format(gate=str(tmp_path / "never"))).run()
    stopped.wait_for_text("epoch 7")
    stopped.output.get_by_role("button", name="Cancel").click()
    stopped.wait_for_text("cancelled after")
    page.screenshot("ended")
