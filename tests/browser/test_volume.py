"""Much output of a remote cell: the notebook has all of it, and the page goes on answering."""

from __future__ import annotations

from browser.pages import NotebookPage

LINES = """
for n in range(100_000):
    print("line", n)
"""
UPDATES = """
shown = display("begins", display_id=True)
for n in range(1_000):
    shown.update(f"update {n}")
"""


def test_much_output_arrives_whole(page: NotebookPage) -> None:
    """100,000 lines and 1,000 updates of a display; the page pauses for no longer than with those of a local cell."""
    page.cell("%%remote\n'ready'").run()
    cells, pauses = [], []
    for code in (LINES, "%%remote\n" + LINES, UPDATES, "%%remote\n" + UPDATES):
        cells.append(page.cell(code))
        page.watch_frames()
        cells[-1].run()
        pauses.append(page.longest_pause())
    lines, remote_lines, updates, remote_updates = cells
    assert lines.text == remote_lines.text == "".join(f"line {n}\n" for n in range(100_000))
    for cell in (updates, remote_updates):
        assert [output["data"]["text/plain"] for output in cell.outputs()] == ["'update 999'"]
    saved = [cell.outputs for cell in page.save().cells]
    assert saved[2] == saved[3] and saved[4] == saved[5]
    # What a page does with a long stream takes some seconds, and more of them beside other work.
    assert pauses[1] < 2 * pauses[0] + 5 and pauses[3] < 2 * pauses[2] + 5, pauses
