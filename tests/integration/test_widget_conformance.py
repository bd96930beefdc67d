"""What is shown of widgets is the same wherever they were made: a front end has the same models after the same cell."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from front_end import FrontEnd
from notebooks import Notebook
from sandbox import Sandbox

pytest.importorskip("ipywidgets")

CELLS = {
    "every core widget as it is made": """
        import ipywidgets as w
        made = []
        for name, kind in sorted(vars(w).items()):
            if isinstance(kind, type) and issubclass(kind, w.Widget):
                try:
                    made.append(kind())
                except Exception as error:
                    print(name, type(error).__name__)
        print(len(made) > 60)
        """,
    "interact": """
        from ipywidgets import interact
        @interact(x=(0, 10), name=["a", "b"], on=True)
        def show(x=5, name="a", on=True):
            print(name * x, on)
        """,
    "interactive_output": """
        import ipywidgets as w
        a, b = w.IntSlider(3), w.IntSlider(4)
        out = w.interactive_output(lambda a, b: print(a * b), {"a": a, "b": b})
        display(w.VBox([w.HBox([a, b]), out]))
        """,
    "links": """
        import ipywidgets as w
        a, b, c = w.IntSlider(1), w.IntText(2), w.IntText(3)
        links = w.jslink((a, "value"), (b, "value")), w.jsdlink((a, "value"), (c, "value")), w.link((a, "max"), (b, "value"))
        a.max = 50
        w.VBox([a, b, c])
        """,
    "containers, layouts and styles": """
        import ipywidgets as w
        grid = w.GridspecLayout(2, 2); grid[0, :] = w.Button(description="top", layout=w.Layout(width="auto"))
        tab = w.Tab([w.HTML("<b>x</b>"), w.Accordion([w.Text("t")], titles=("inner",))], titles=("one", "two"))
        style = w.Button(style=w.ButtonStyle(button_color="red"))
        w.AppLayout(header=style, center=tab, footer=grid)
        """,
    "an Output widget that holds displays": """
        import ipywidgets as w
        from IPython.display import HTML
        out = w.Output()
        with out:
            print("inside"); display(HTML("<i>shown</i>")); 1 / 0
        out.append_stdout("more\\n")
        out
        """,
    "a progress bar": """
        from tqdm.notebook import tqdm
        for _ in tqdm(range(5), desc="steps", mininterval=0, miniters=1, bar_format="{l_bar}{bar}|"): pass
        """,
    "binary and validated traits": """
        import ipywidgets as w, datetime
        image, upload = w.Image(value=bytes(range(256)), format="png"), w.FileUpload(multiple=True)
        number = w.BoundedIntText(value=100, max=10)
        day = w.DatePicker(value=datetime.date(2024, 2, 29))
        w.VBox([image, upload, number, day, w.Play(interval=100), w.Select(options={"one": 1, "two": 2}, value=2)])
        """,
    "a widget class of the notebook's own": """
        import ipywidgets as w
        from traitlets import Dict, Unicode
        class Own(w.DOMWidget):
            _model_name, _model_module, _view_name = (Unicode(each).tag(sync=True) for each in ("OwnModel", "own", "OwnView"))
            data = Dict().tag(sync=True)
        own = Own(data={"a": [1, b"bytes"]})
        own.send({"hello": 1}, buffers=[b"x"])
        own
        """,
    "many changes in one cell": """
        import ipywidgets as w
        bar = w.IntProgress(max=200)
        display(bar)
        for bar.value in range(201): pass
        with bar.hold_sync():
            bar.description, bar.bar_style = "done", "success"
        """,
}


@pytest.fixture(scope="module")
def page() -> Iterator[FrontEnd]:
    box = Sandbox()
    with Notebook(box) as notebook:
        notebook.run("%load_ext farcell").check()
        yield FrontEnd(notebook)
    left = box.close()
    assert not left, f"left behind: {left}"


@pytest.mark.parametrize("code", CELLS.values(), ids=CELLS)
def test_the_front_end_has_the_same_models(page: FrontEnd, code: str) -> None:
    """Models in the order they were opened, outputs with their views, messages of the widgets' own."""
    here, there = (shown(page, magic + textwrap.dedent(code)) for magic in ("", "%%remote\n"))
    assert len(here["models"]) == len(there["models"])
    for ours, theirs in zip(here["models"], there["models"], strict=True):
        assert ours == theirs
    assert here == there


def shown(page: FrontEnd, code: str) -> dict[str, Any]:
    first, heard = len(page.opened), len(page.custom_messages)
    cell = page.notebook.run(code)
    models = page.opened[first:]
    names = {model: f"model {number}" for number, model in enumerate(models)}
    outputs = [{key: output[key] for key in output.keys() - {"execution_count", "traceback"}} for output in cell.outputs]
    described = {
        "models": [{"comm": names[model], **page.state(model)} for model in models],
        "messages": page.custom_messages[heard:],
        "outputs": outputs,
    }
    text = json.dumps(described, default=lambda value: f"bytes {bytes(value)!r}", sort_keys=True)
    for model, name in names.items():
        text = text.replace(model, name)
    return dict(json.loads(text))
