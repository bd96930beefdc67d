"""Notebooks that are run without a front end: what is saved is what a local cell would have left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
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
    "an Output widget of an earlier cell": (
        "print(len(out.outputs), out.outputs[0]['text'])\n"
        "with out:\n    display(w.HTML('<b>shown</b>'))\n    handle = display('first', display_id=True)\n"
        "    handle.update('second')\n    1 / 0"
    ),
    "what it has taken": (
        "print([kind['output_type'] for kind in out.outputs])\nout.clear_output(wait=True)\nwith out: print('new')"
    ),
    "interact": "@w.interact(n=(0, 9), word=['a', 'b'])\ndef show(n=3, word='b'): print(word * n)",
    "live": (
        "from rich.progress import BarColumn, Progress, TextColumn\n"
        "with Progress(TextColumn('{task.description}'), BarColumn(), auto_refresh=False) as progress:\n"
        "    task = progress.add_task('steps', total=2)\n"
        "    for n in range(2): progress.update(task, advance=1, refresh=True)"
    ),
    "bqplot": (
        "import bqplot, numpy as np\nx, y = bqplot.LinearScale(), bqplot.LinearScale()\n"
        "lines = bqplot.Lines(x=np.arange(4.0), y=np.arange(4.0) ** 2, scales={'x': x, 'y': y})\nbqplot.Figure(marks=[lines])"
    ),
    "plotly": ("import plotly.graph_objects as go\ngo.FigureWidget([go.Scatter(y=np.arange(3.0)), go.Bar(y=[2, 1])])"),
    "ipyleaflet": "import ipyleaflet\nipyleaflet.Map(center=(52, 4), layers=[ipyleaflet.Marker(location=(52, 4))])",
    "anywidget": (
        "import anywidget, traitlets\nclass Own(anywidget.AnyWidget):\n    _esm = 'export default {}'\n"
        "    data = traitlets.Any(b'\\x80').tag(sync=True)\nOwn()"
    ),
    "ipympl": "%matplotlib widget\nfigure = plt.figure(figsize=(2, 2)).number\nplt.plot([1, 2])\nplt.show()",
}

TAKEN = ("widgets", "an Output widget of an earlier cell", "what it has taken", "interact", "live")
"""Cells whose outputs are taken by an Output widget."""

STATES = "application/vnd.jupyter.widget-state+json"
ID = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])")


class Client(nbclient.NotebookClient):
    """Misses no reply: nbclient 0.11 sends what an Output widget has taken past zmq's asyncio socket, which then may not hear of
    a reply that comes meanwhile until the cell's timeout is over. So it does with plain notebooks."""

    def process_message(self, *arguments: Any) -> Any:
        try:
            return super().process_message(*arguments)
        finally:
            self.kc.shell_channel.socket._schedule_remaining_events()


def executed(cells: list[str], sandbox: Sandbox) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = Client(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": sandbox.folder}})
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
    """Without ids of models and addresses, which are new each time."""
    text = re.sub(r"\b0x[0-9a-f]+", "0x", json.dumps(value, sort_keys=True))
    names: dict[str, str] = {}
    return json.loads(ID.sub(lambda match: names.setdefault(match[0], f"id {len(names)}"), text))


def outputs(cell: Any) -> Any:
    """Without a line of farcell's own that has vanished."""
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
    return ID.sub("", text), [content(states, part) for part in parts if part in states]


def assert_same_states(here: dict[str, Any], away: dict[str, Any]) -> None:
    ours, theirs = (sorted(str(content(states, model)) for model in states) for states in (here, away))
    assert len(ours) > 30
    assert [state for state in theirs if state not in ours] == [] == [state for state in ours if state not in theirs]
    assert theirs == ours


def test_the_saved_state_of_widgets_is_the_same(both: Any) -> None:
    assert_same_states(*(notebook.metadata.widgets[STATES]["state"] for notebook in both))


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


def test_nbconvert_executes(sandbox: Sandbox) -> None:
    """`jupyter nbconvert --execute --to html`: the page has the same outputs, and widgets to be drawn without a kernel."""
    quiet = [cell for name, cell in CELLS.items() if name not in TAKEN]
    pages = []
    for magic in ("", "%%remote\n"):
        cells = [nbformat.v4.new_code_cell(code) for code in ("%load_ext farcell", *(magic + cell for cell in quiet))]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), sandbox.folder / "in.ipynb")
        options = ["--execute", "--to", "html", "--no-input", "--no-prompt", "--ExecutePreprocessor.timeout=100"]
        command = [sys.executable, "-m", "nbconvert", *options, "in.ipynb"]
        done = subprocess.run(command, cwd=sandbox.folder, env=sandbox.environment(), capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
        pages.append((sandbox.folder / "in.html").read_text())
    states = [re.search(rf'<script type="{re.escape(STATES)}">(.*?)</script>', page, re.DOTALL) for page in pages]
    here, away = (json.loads(found[1])["state"] for found in states if found)
    assert_same_states(here, away)
    here_text, away_text = (re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL) for page in pages)
    assert away_text == here_text and "inside" not in here_text


def test_papermill_runs_it_with_parameters(sandbox: Sandbox) -> None:
    source, result = sandbox.folder / "in.ipynb", sandbox.folder / "out.ipynb"
    cells = [nbformat.v4.new_code_cell("factor = 1", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(code) for code in ("%load_ext farcell", "%%remote\nprint(factor * 21)")]
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=language), source)
    papermill.execute_notebook(str(source), str(result), parameters={"factor": 2}, kernel_name="python3", progress_bar=False)
    (last,) = (output["text"] for output in nbformat.read(result, 4).cells[-1].outputs if output["output_type"] == "stream")
    assert last == "42\n"
