"""The README's cells, run top to bottom as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

from notebooks import Cell, Notebook

README = Path(__file__).parents[2] / "README.md"
CELL = re.compile(r"^```ipython\n(?P<code>.*?)^```\n(?:```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def shown(cell: Cell) -> str:
    return cell.stdout + (f"{cell.result}\n" if cell.result is not None else "")


def test_readme_cells_show_what_the_readme_says(plain_notebook: Notebook) -> None:
    """Each cell of the README runs, and its output is the one printed below it."""
    cells = list(CELL.finditer(README.read_text()))
    assert len(cells) >= 5
    for cell in cells:
        ran = plain_notebook.run(cell["code"].rstrip("\n")).check()
        if cell["output"] is not None:
            assert shown(ran) == cell["output"]


def headings(page: Path) -> set[str]:
    """As links to a heading spell them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w -]", "", found.lower()).replace(" ", "-") for found in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def test_links_lead_somewhere() -> None:
    """Every file that README, CONTRIBUTING and the pages of docs link to is in the repository, with the heading that is named."""
    for page in (README, README.with_name("CONTRIBUTING.md"), *(README.parent / "docs").glob("*.md")):
        for file, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            there = page.parent / file if file else page
            assert there.exists(), f"{page.name}: {file}"
            assert not heading or heading in headings(there), f"{page.name}: {file}#{heading}"
