"""The example notebooks, as a person runs them: cell by cell in a real kernel, and with a hand on their sliders."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from front_end import FrontEnd
from notebooks import Cell, Notebook

pytest.importorskip("ipywidgets")
EXAMPLES = Path(__file__).parents[2] / "examples"


def run_all(notebook: Notebook, name: str) -> list[Cell]:
    cells = nbformat.read(EXAMPLES / name, as_version=4).cells
    return [notebook.run(cell.source, timeout=150).check() for cell in cells if cell.cell_type == "code"]


@pytest.mark.slow
def test_the_factory_decides_by_what_its_sliders_say(plain_notebook: Notebook) -> None:
    page = FrontEnd(plain_notebook)
    cells = run_all(plain_notebook, "factory_twin.ipynb")
    assert "plan" in str(cells[4].result)
    caution = next(model for model in page.opened if page.state(model).get("description") == "caution")
    picture = next(model for model in page.opened if page.state(model).get("_model_name") == "ImageModel")
    plans = set()
    for value in (0.0, 0.96):
        before = bytes(page.state(picture)["value"])
        page.update(caution, {"value": value})
        assert bytes(page.state(picture)["value"]) != before
        decision = plain_notebook.value("decision")
        assert decision["caution"] == value
        plans.add(decision["plan"])
    assert len(plans) == 2
    assert "caution 0.95: " in cells[-1].stdout


@pytest.mark.slow
def test_the_patient_is_warned_of_in_time(plain_notebook: Notebook) -> None:
    cells = run_all(plain_notebook, "patient_twin.ipynb")
    meanwhile, waited = cells[-3], cells[-2]
    assert "readings are below 70 mg/dl" in meanwhile.stdout
    assert "minutes before the first low reading" in waited.stdout
    middle, low, high = zip(*plain_notebook.value("estimates"), strict=True)
    assert low[-1] < 3.5 < high[-1] and abs(middle[60] - 1) < 0.3  # after the walk, and before it
