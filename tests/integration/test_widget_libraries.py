"""Libraries of widgets in use: two notebooks, one plain and one whose cells are sent away, say the same to a front end.

What the front end sends is what each library's JavaScript sends. Compared is all that comes back, in order and with its binary
parts, from cells and from callbacks, and every model as it is in the end. Callbacks say which process they ran in.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from front_end import FrontEnd
from notebooks import Message, Notebook
from sandbox import Sandbox

CURSOR = "_cursor"
"""matplotlib's is a waiting one when a figure is drawn a second after the last time: a matter of luck."""
NEVER_SHOWN = ("status", "execute_input")
_RANDOM = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])")


class Side:
    """One of the two notebooks."""

    def __init__(self, notebook: Notebook, magic: str) -> None:
        self.notebook = notebook
        self.page = FrontEnd(notebook)
        self._magic = magic
        self._first = 0
        self.said: list[Any] = []
        """What came back to each thing that was done, in an order that does not depend on when texts are flushed."""

    def begin(self) -> None:
        self._first, self.said = len(self.page.opened), []

    def cell(self, code: str, options: str = "") -> None:
        """`options` are those of the magic."""
        cell = self.notebook.run(self._magic.replace("\n", f" {options}\n") + textwrap.dedent(code)).check()
        self._note((message for _, message in cell.messages), str(cell.messages[0][1]["parent_header"]["msg_id"]))

    def custom(self, model: str, content: Mapping[str, Any], buffers: list[bytes] | None = None) -> None:
        answer = self.page.custom(model, content, buffers)
        self._note(answer.messages, answer.msg_id)

    def update(self, model: str, state: Mapping[str, Any], buffers: Mapping[str | tuple[str, ...], bytes] | None = None) -> None:
        answer = self.page.update(model, state, buffers)
        self._note(answer.messages, answer.msg_id)

    def model(self, name: str) -> str:
        """The last that was opened of the models so named in JavaScript."""
        return [each for each in self.opened if self.page.state(each)["_model_name"] == name][-1]

    @property
    def opened(self) -> list[str]:
        return self.page.opened[self._first :]

    def value(self, expression: str) -> str:
        """Of the side where cells run."""
        return self.notebook.run(f"{self._magic}print({expression})").check().stdout.strip()

    def models(self) -> list[Any]:
        states = (self.page.state(model) for model in self.opened)
        return [{key: value for key, value in state.items() if key != CURSOR} for state in states]

    def _note(self, messages: Iterable[Message], msg_id: str) -> None:
        heard = [message for message in messages if message["msg_type"] not in NEVER_SHOWN]
        texts = {name: "".join(_text(message, name) for message in heard) for name in ("stdout", "stderr")}
        others = [
            [message["msg_type"], message["content"], [*message["buffers"]]]
            for message in heard
            if message["msg_type"] != "stream" and (message["content"].get("data") or {}).get("state", {}).keys() != {CURSOR}
        ]
        self.said.append(json.loads(_plain([others, texts]).replace(msg_id, "this message")))


def _text(message: Message, name: str) -> str:
    content = message["content"]
    return str(content["text"]) if message["msg_type"] == "stream" and content["name"] == name else ""


def _plain(value: Any) -> str:
    """As JSON without ids and numbers that are new each time."""
    names: dict[str, str] = {}
    text = json.dumps(value, default=_binary, sort_keys=True)
    text = _RANDOM.sub(lambda match: names.setdefault(match[0], f"id {len(names)}"), text)
    text = re.sub(r"\b0x[0-9a-f]+|(?:Cell|In) ?\[\d+\]", "...", text)  # an address, a cell
    return re.sub(r'"execution_count": \d+', '"execution_count": 0', text)


def _binary(value: Any) -> str:
    data = bytes(value)
    return f"{len(data)} bytes {data[:8]!r} {hashlib.sha256(data).hexdigest()}"


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    place = Sandbox()
    with Notebook(place) as here, Notebook(place) as away:
        away.run("%load_ext farcell").check()
        away.run("%%remote\npass").check()
        yield Side(here, "# of as many lines\n"), Side(away, "%%remote\n")
    left = place.close()
    assert not left, left


def same(sides: tuple[Side, Side], use: Callable[[Side], None], calls_back: bool = True) -> Side:
    """The side whose cells are sent away, after the same use of both."""
    here, away = sides
    for side in sides:
        side.begin()
        use(side)
    found = [*differences(here.said, away.said, "said")]
    found += differences(*(json.loads(_plain(side.models())) for side in sides), "models")
    assert not found, "\n".join(found)
    if calls_back:
        assert here.value("where") == str({here.notebook.pid})
        assert away.value("where") == str({int(away.value("os.getpid()"))}) != str({away.notebook.pid})
    return away


def differences(here: Any, away: Any, where: str) -> Iterator[str]:
    """The places at which two values of JSON are not the same, with what is there."""
    if isinstance(here, dict) and isinstance(away, dict) and here.keys() == away.keys():
        for key in here:
            yield from differences(here[key], away[key], f"{where}.{key}")
    elif isinstance(here, list) and isinstance(away, list) and len(here) == len(away):
        for index, (one, other) in enumerate(zip(here, away, strict=True)):
            yield from differences(one, other, f"{where}[{index}]")
    elif here != away:
        yield f"{where}: here {str(here)[:1000]}, away {str(away)[:1000]}"


def texts(side: Side) -> str:
    return "".join(streams["stdout"] for _, streams in side.said)


def test_ipympl(sides: tuple[Side, Side]) -> None:
    """A figure is zoomed, reset, changed, resized and saved: each picture is rendered where the figure is."""

    def use(side: Side) -> None:
        side.cell(
            """
            %matplotlib widget
            import os
            import matplotlib.pyplot as plt
            where = set()
            fig, ax = plt.subplots(figsize=(3, 2))
            line, = ax.plot([0, 1, 4, 9])
            def pressed(event):
                where.add(os.getpid())
                print("pressed", round(event.xdata, 3), round(event.ydata, 3))
            fig.canvas.mpl_connect("button_press_event", pressed)
            plt.show()
            """,
            "--keep fig,ax,line",
        )
        canvas = side.model("MPLCanvasModel")

        def say(kind: str, **content: Any) -> None:
            side.custom(canvas, {"type": kind, "figure_id": canvas, **content})

        def mouse(kind: str, x: int, y: int) -> None:
            say(kind, x=x, y=y, button=0, buttons=1, step=0, modifiers=[], guiEvent={"isTrusted": True})

        for kind in ("send_image_mode", "refresh", "initialized", "draw"):
            say(kind)
        say("toolbar_button", name="zoom")
        mouse("button_press", 80, 60)
        mouse("motion_notify", 200, 140)
        mouse("button_release", 200, 140)
        say("draw")
        side.cell("print([round(float(edge), 6) for edge in (*ax.get_xlim(), *ax.get_ylim())])")
        for name in ("home", "back", "pan"):
            say("toolbar_button", name=name)
            say("draw")
        side.cell("line.set_ydata([9, 4, 1, 0]); ax.set_title('changed'); fig.canvas.draw_idle()")
        say("draw")
        say("resize", width=400, height=300)
        say("draw")
        say("key_press", key="g", guiEvent={})
        say("draw")
        say("toolbar_button", name="save_figure")
        side.cell("plt.close(fig)")

    away = same(sides, use)
    assert texts(away).startswith("pressed ")
    pictures = [message[2][0] for messages, _ in away.said for message in messages if message[2]]
    assert len({*pictures}) >= 6 and all("PNG" in picture for picture in pictures)


def test_plotly(sides: tuple[Side, Side]) -> None:
    """A FigureWidget is zoomed, clicked, selected from, restyled; a callback changes it and adds a trace."""

    def use(side: Side) -> None:
        side.cell("""
            import os
            import numpy as np
            import plotly.graph_objects as go
            where = set()
            fig = go.FigureWidget([go.Scatter(x=np.arange(5.0), y=np.arange(5.0) ** 2, name="a"), go.Bar(y=[3, 1, 2], name="b")])
            def moved(layout, x_range, title):
                where.add(os.getpid())
                print("moved", x_range, title.text)
            def clicked(trace, points, state):
                print("clicked", trace.name, points.point_inds, state)
                with fig.batch_update():
                    fig.data[0].marker.size = 20
                    fig.layout.title.text = "clicked"
            def selected(trace, points, selector):
                print("selected", points.point_inds, selector)
                fig.add_scatter(y=np.arange(3.0), name="chosen")
            fig.layout.on_change(moved, "xaxis.range", "title")
            fig.data[0].on_click(clicked)
            fig.data[0].on_selection(selected)
            fig
            """)
        figure = side.model("AnyModel")

        def say(name: str, **content: Any) -> None:
            side.update(figure, {f"_js2py_{name}": {"source_view_id": "view", **content}})

        say("relayout", relayout_data={"xaxis.range[0]": 1, "xaxis.range[1]": 3.5})
        points = {"trace_indexes": [0, 0], "point_indexes": [1, 2], "xs": [1, 2], "ys": [1, 4]}
        buttons = {"alt": False, "ctrl": False, "meta": False, "shift": True, "button": 0, "buttons": 1}
        say("pointsCallback", event_type="plotly_click", points=points, device_state=buttons, selector=None)
        box = {"type": "box", "selector_state": {"xrange": [0, 2], "yrange": [0, 4]}}
        say("pointsCallback", event_type="plotly_selected", points=points, device_state=None, selector=box)
        say("restyle", style_data={"marker.color": ["red"]}, style_traces=[0])
        say("update", style_data={"opacity": [0.5]}, style_traces=[1], layout_data={"title.text": "both"})
        side.cell("print(fig.data[0].marker.color, fig.data[1].opacity, len(fig.data), fig.layout.xaxis.range)")
        side.cell("fig.data[0].y = fig.data[0].y[::-1]; fig.data = fig.data[:2]")

    away = same(sides, use)
    assert texts(away).splitlines()[0] == "moved (1, 3.5) None" and "selected [1, 2] BoxSelector" in texts(away)
    assert texts(away).splitlines()[-1] == "red 0.5 3 (1, 3.5)"


def test_bqplot(sides: tuple[Side, Side]) -> None:
    """Clicks on marks, a brush whose bounds are binary, a picture that the front end makes."""

    def use(side: Side) -> None:
        side.cell("""
            import os
            import bqplot
            import numpy as np
            where = set()
            x, y = bqplot.LinearScale(), bqplot.LinearScale()
            marks = bqplot.Scatter(x=np.arange(5.0), y=np.arange(5.0) ** 2, scales={"x": x, "y": y})
            brush = bqplot.interacts.BrushSelector(x_scale=x, y_scale=y, marks=[marks])
            def clicked(mark, event):
                where.add(os.getpid())
                print("clicked", event["data"]["index"])
                mark.y = mark.y * 2
            def brushed(change):
                print("brushed", change.new, brush.selected_x, marks.selected)
            marks.on_element_click(clicked)
            marks.on_hover(lambda mark, event: print("over", event))
            brush.observe(brushed, "brushing")
            axes = [bqplot.Axis(scale=x), bqplot.Axis(scale=y, orientation="vertical")]
            figure = bqplot.Figure(marks=[marks], axes=axes, interaction=brush)
            figure
            """)
        marks, brush, figure = (side.model(name) for name in ("ScatterModel", "BrushSelectorModel", "FigureModel"))
        side.custom(marks, {"event": "element_click", "data": {"index": 2, "x": 2, "y": 4}})
        side.custom(marks, {"event": "hover", "point": 1})
        for brushing, (low, high) in ((True, (0.5, 2.5)), (False, (1.5, 3.5))):
            bounds = np.array([low, high])
            told = {"dtype": "float64", "shape": [2], "type": None}
            side.update(brush, {"selected_x": told, "brushing": brushing}, {("selected_x", "value"): bounds.tobytes()})
            side.update(marks, {"selected": [1, 2, 3]})
        side.cell("figure.get_png_data(lambda data: print('picture', bytes(data)))")
        side.custom(figure, {"event": "upload_png"}, [b"\x89PNG"])
        side.cell("print(marks.y, marks.selected, brush.selected_x)")

    away = same(sides, use)
    assert texts(away).startswith("clicked 2\nover ") and "brushed True [0.5 2.5]" in texts(away)
    assert texts(away).endswith("picture b'\\x89PNG'\n[ 0.  2.  8. 18. 32.] [1 2 3] [1.5 3.5]\n")


def test_ipyleaflet(sides: tuple[Side, Side]) -> None:
    """A map is clicked and moved, a marker dragged; a callback puts new things on it."""

    def use(side: Side) -> None:
        side.cell("""
            import os
            import ipyleaflet
            where = set()
            place = ipyleaflet.Map(center=(52.0, 4.0), zoom=9)
            marker = ipyleaflet.Marker(location=(52.1, 4.1))
            square = {"type": "Feature", "properties": {"name": "square"}, "geometry": {"type": "Point", "coordinates": [4, 52]}}
            areas = ipyleaflet.GeoJSON(data=square)
            place.add(marker)
            place.add(areas)
            def acted(**event):
                where.add(os.getpid())
                print("acted", event)
                if event["type"] == "click":
                    place.add(ipyleaflet.Circle(location=event["coordinates"], radius=50))
            place.on_interaction(acted)
            marker.on_move(lambda **event: print("moved", event))
            marker.observe(lambda change: print("marker", change.new), "location")
            place.observe(lambda change: print("zoom", change.new), "zoom")
            areas.on_click(lambda **event: print("area", event["feature"]["properties"]))
            place
            """)
        place, marker, areas = (side.model(name) for name in ("LeafletMapModel", "LeafletMarkerModel", "LeafletGeoJSONModel"))
        for kind in ("mousemove", "click"):
            side.custom(place, {"event": "interaction", "type": kind, "coordinates": [52.2, 4.2]})
        side.update(place, {"zoom": 11, "center": [52.3, 4.3], "south": 52.0, "north": 52.5, "west": 4.0, "east": 4.5})
        side.custom(marker, {"event": "move"})
        side.update(marker, {"location": [52.4, 4.4]})
        side.custom(areas, {"event": "click", "feature": {"properties": {"name": "square"}}, "properties": {}, "id": "1"})
        side.cell("print(place.zoom, place.center, place.bounds, len(place.layers), marker.location)")
        side.cell("place.remove(marker); marker.close()")

    away = same(sides, use)
    assert "zoom 11.0\n" in texts(away) and "marker [52.4, 4.4]\n" in texts(away) and "area {'name': 'square'}\n" in texts(away)
    assert away.page.state(away.model("LeafletCircleModel"))["location"] == [52.2, 4.2]


def test_anywidget(sides: tuple[Side, Side]) -> None:
    """A class of the notebook's own: messages with binary parts both ways, commands that the front end invokes."""

    def use(side: Side) -> None:
        side.cell("""
            import os
            import anywidget
            import traitlets
            from anywidget.experimental import command
            where = set()
            class Counter(anywidget.AnyWidget):
                _esm = "export default { render({ model, el }) { el.innerText = model.get('value') } }"
                _css = ".counter { color: red }"
                value = traitlets.Int(0).tag(sync=True)
                data = traitlets.Any(b"").tag(sync=True)
                @command
                def reversed(self, message, buffers):
                    where.add(os.getpid())
                    return {"got": message, "value": self.value}, [bytes(each)[::-1] for each in buffers]
            def heard(widget, content, buffers):
                print("heard", content, [bytes(each) for each in buffers])
                1 / content.get("hello", 1)
                widget.send({"echo": content}, [b"\\x00" + bytes(each) for each in buffers])
            counter = Counter(value=3, data=bytes(range(256)))
            counter.on_msg(heard)
            counter.observe(lambda change: print("now", change.new), ["value"])
            counter
            """)
        counter = side.model("AnyModel")
        for hello in (1, 0):
            side.custom(counter, {"hello": hello}, [b"\xff\x00", b""])
        invoke = {"id": "call-1", "kind": "anywidget-command", "name": "reversed", "msg": {"a": 1}}
        side.custom(counter, invoke, [b"abc\xff"])
        side.update(counter, {"value": 8}, {"data": b"\x80new"})
        side.cell("counter.value += 1; print(counter.value, bytes(counter.data)); counter.close()")

    away = same(sides, use)
    assert "heard {'hello': 1} [b'\\xff\\x00', b'']\n" in texts(away)
    assert texts(away).endswith("now 9\n9 b'\\x80new'\n")
    assert [content["ename"] for messages, _ in away.said for kind, content, _ in messages if kind == "error"] == [
        "ZeroDivisionError"
    ]


def test_anywidget_without_ipywidgets(sides: tuple[Side, Side]) -> None:
    """A dataclass that is shown as a widget: it opens its comm by itself and hears changes by its own handler."""

    def use(side: Side) -> None:
        side.cell("""
            import os
            from anywidget.experimental import dataclass
            where = set()
            @dataclass(esm="export default {}")
            class Point:
                x: int = 0
                name: str = "p"
            point = Point(2)
            def heard(new):
                where.add(os.getpid())
                print("x is", new)
            point.events.x.connect(heard)
            point
            """)
        (model,) = side.opened
        side.update(model, {"x": 5, "name": "q"})
        side.cell("point.x = 6; print(point)")

    away = same(sides, use)
    assert texts(away) == "x is 5\nx is 6\nPoint(x=6, name='q')\n"


RICH = {
    "print": """
        import rich
        from rich.panel import Panel
        rich.print("[bold red]loud[/bold red]", {"a": [1, 2]}, Panel("inside"))
        rich.print_json('{"b": null}')
        """,
    "a console, tables and tracebacks": """
        from rich.console import Console
        from rich.table import Table
        console, table = Console(width=60), Table("a", "b")
        table.add_row("1", "[green]2[/green]")
        console.print(table)
        console.rule("line")
        console.out("plain")
        table
        """,
    "progress": """
        from rich.progress import BarColumn, Progress, TextColumn
        with Progress(TextColumn("{task.description}"), BarColumn(), auto_refresh=False) as progress:
            task = progress.add_task("steps", total=3)
            for n in range(3):
                progress.console.print("step", n)
                progress.update(task, advance=1, refresh=True)
        """,
    "live": """
        from rich.live import Live
        with Live("begin", auto_refresh=False) as live:
            for n in range(4):
                live.update(f"[b]frame {n}[/b]", refresh=True)
            print("printed within")
        """,
    "status": """
        from rich.console import Console
        with Console().status("working") as status:
            status.update("still working")
        """,
}


@pytest.mark.parametrize("code", RICH.values(), ids=RICH)
def test_rich(sides: tuple[Side, Side], code: str) -> None:
    """In a remote cell it knows that it is in a notebook."""

    def use(side: Side) -> None:
        side.cell(code)
        if "status" in code:  # a thread draws it: how often is a matter of luck
            (messages, text) = side.said[-1]
            side.said[-1] = [[each for n, each in enumerate(messages) if each not in messages[:n]], text]

    away = same(sides, use, calls_back=False)
    assert "text/html" in str(away.said)


TQDM = {
    "nested bars": """
        from tqdm.notebook import trange
        for a in trange(3, desc="outer", bar_format="{desc} {n}", mininterval=0, miniters=1):
            for b in trange(2, desc="inner", bar_format="{desc} {n}", mininterval=0, miniters=1, leave=False):
                pass
        """,
    "a bar of tqdm.auto, with words beside it": """
        from tqdm.auto import tqdm
        with tqdm(total=4, bar_format="{desc} {n}{postfix}", mininterval=0, miniters=1) as bar:
            for n in range(4):
                bar.set_postfix_str(f"loss {n}")
                bar.update()
                tqdm.write(f"step {n}")
        """,
    "an exception in the loop": """
        from tqdm.notebook import tqdm
        try:
            for n in tqdm(range(4), bar_format="{n}", mininterval=0, miniters=1):
                1 / (n - 2)
        except ZeroDivisionError:
            print("caught")
        """,
}


@pytest.mark.parametrize("code", TQDM.values(), ids=TQDM)
def test_tqdm(sides: tuple[Side, Side], code: str) -> None:
    """Each step of each bar."""
    away = same(sides, lambda side: side.cell(code), calls_back=False)
    assert "HBoxModel" in str(away.models())


def test_a_figure_open_on_the_target_stays_there_until_it_is_closed(notebook: Notebook) -> None:
    """One figure, the one that is seen; a cell here that reads it is told where it is. Closed, it can be fetched."""
    draw = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(); line, = ax.plot([0, 1, 4])\nplt.show()"
    shown = notebook.run(f"%%remote\n%matplotlib widget\n{draw}").check()
    assert ["application/vnd.jupyter.widget-view+json" in each["data"] for each in shown.outputs] == [True]
    assert notebook.run("type(fig).__name__, type(line).__name__").check().result == "('Ref', 'Ref')"
    FrontEnd(notebook)
    changed = notebook.run("%%remote\nline.set_ydata([4, 1, 0]); ax.set_title('changed'); fig.axes[0] is ax and line in ax.lines")
    assert changed.check().result == "True"
    read = notebook.run("fig.axes[0].get_title()")
    assert read.error is not None and "a figure that is open as a widget" in read.error.value + read.stderr
    notebook.run("%%remote\nplt.close(fig)").check()
    assert notebook.run("fig.fetch(); ax.fetch(); line.fetch(); fig.axes[0].get_title(), line in ax.lines").check().result == (
        "('changed', True)"
    )


def test_a_figure_open_here_goes_there_and_comes_back(notebook: Notebook) -> None:
    """It stays this notebook's, whatever a remote cell draws into it."""
    notebook.run(
        "%matplotlib widget\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots(); was, canvas = fig, fig.canvas"
    ).check()
    assert not notebook.run("%%remote\nax.set_title('changed there')").check().stderr
    assert notebook.run("ax.get_title(), fig is was, fig.canvas is canvas").check().result == "('changed there', True, True)"
