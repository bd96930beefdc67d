"""Notebooks that are run without a front end: what is saved is what a local cell would have left."""

from __future__ import annotations

import json
import re
from typing import Any

import nbclient
import nbformat
import papermill
import pytest
from sandbox import Sandbox

pytest.importorskip("ipywidgets")
CELLS = {
    "text": "print('out')\nimport sys\nprint('err', file=sys.stderr)\n40 + 2",
    "a table": "import pandas as pd\npd.DataFrame({'a': [1, 2]})",
    "a figure": "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "an updated display": "from IPython.display import display\nh = display(1, display_id='same')\nh.update(2)",
    "cleared": "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')",
    "markup": "from IPython.display import HTML, Latex, Markdown\ndisplay(HTML('<b>b</b>'), Markdown('*m*'), Latex('$x$'))",
    "a bar": "from tqdm.notebook import tqdm\nfor n in tqdm(range(3)): pass",
    "widgets": (
        "import ipywidgets as w\nout = w.Output()\n"
        "box = w.VBox([w.IntSlider(3), w.Text('t'), w.Image(value=b'\\x00\\xff'), out])\n"
        "with out: print('inside')\ndisplay(box)"
    ),
    "rich": "import rich\nrich.print('[bold]loud[/bold]')",
}


def executed(cells: list[str], sandbox: Sandbox) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": sandbox.folder}}
    )
    client.execute(env=sandbox.environment())
    return notebook


@pytest.fixture(scope="module")
def both() -> Any:
    """The same cells, run here and sent away."""
    place = Sandbox()
    here = executed(["%load_ext farcell", *CELLS.values()], place)
    away = executed(["%load_ext farcell", *(f"%%remote\n{cell}" for cell in CELLS.values())], place)
    yield here, away
    left = place.close()
    assert not left, left


def plain(value: Any) -> Any:
    """Without ids of models, which are new each time, and without a line of farcell's own that has vanished."""
    text = json.dumps(value, sort_keys=True)
    names: dict[str, str] = {}
    return json.loads(re.sub(r"\b[0-9a-f]{32}\b", lambda match: names.setdefault(match[0], f"model {len(names)}"), text))


def outputs(cell: Any) -> Any:
    kept = [output for output in cell.outputs if output.get("data") != {}]
    return plain([{key: value for key, value in output.items() if key != "execution_count"} for output in kept])


@pytest.mark.parametrize("index", range(len(CELLS)), ids=list(CELLS))
def test_a_cell_leaves_the_same_outputs(both: Any, index: int) -> None:
    here, away = both
    assert outputs(away.cells[index + 1]) == outputs(here.cells[index + 1])


def content(states: dict[str, Any], model: str) -> Any:
    """A model with all that it consists of, without ids."""
    state = dict(states[model])
    text = json.dumps(state, sort_keys=True)
    parts = re.findall(r"IPY_MODEL_([0-9a-f]{32})", text)
    text = re.sub(r"\[\d\d:\d\d.*?it/s\]", "rate", text)  # of a bar
    return re.sub(r"[0-9a-f]{32}", "", text), [content(states, part) for part in parts if part in states]


def test_the_saved_state_of_widgets_is_the_same(both: Any) -> None:
    here, away = (notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"] for notebook in both)
    assert len(away) == len(here) > 10
    ours, theirs = ({str(content(states, model)) for model in states} for states in (away, here))
    assert ours - theirs == set() == theirs - ours


def test_nbconvert_shows_the_same(both: Any) -> None:
    from nbconvert import HTMLExporter

    def body(notebook: Any) -> str:
        for number, cell in enumerate(notebook.cells):
            cell.source, cell.id = "", f"cell-{number}"
            cell.outputs = [output for output in cell.outputs if output.get("data") != {}]
        notebook.metadata.pop("widgets", None)
        text, _ = HTMLExporter().from_notebook_node(notebook)
        return re.sub(r"id=\"?[\w-]+\"?|\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "", json.dumps(plain(text)))

    here, away = (nbformat.from_dict(json.loads(json.dumps(notebook))) for notebook in both)
    assert body(away) == body(here)


def test_papermill_runs_it_with_parameters(sandbox: Sandbox) -> None:
    source, result = sandbox.folder / "in.ipynb", sandbox.folder / "out.ipynb"
    cells = [nbformat.v4.new_code_cell("factor = 1", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(code) for code in ("%load_ext farcell", "%%remote\nprint(factor * 21)")]
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=language), source)
    papermill.execute_notebook(str(source), str(result), parameters={"factor": 2}, kernel_name="python3", progress_bar=False)
    (last,) = (output["text"] for output in nbformat.read(result, 4).cells[-1].outputs if output["output_type"] == "stream")
    assert last == "42\n"
