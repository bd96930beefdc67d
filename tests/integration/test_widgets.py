"""Widgets of remote cells, seen from a front end that speaks the messages of ipywidgets' JavaScript."""

from __future__ import annotations

import pytest
from front_end import FrontEnd
from notebooks import Cell, Notebook, models_of

pytest.importorskip("ipywidgets")

SLIDER = """
import ipywidgets as widgets
slider = widgets.IntSlider(value=3, description="speed")
def moved(change):
    print("moved to", change.new)
    seen.append(change.new)
seen = []
slider.observe(moved, "value")
slider
"""


@pytest.fixture
def page(notebook: Notebook) -> FrontEnd:
    return FrontEnd(notebook)


def models(cell: Cell) -> list[str]:
    """Ids of the widgets that its outputs show."""
    return models_of(cell.outputs)


@pytest.mark.parametrize("magic", ["", "%%remote\n"], ids=["local", "remote"])
def test_a_callback_runs_where_its_widget_was_made(page: FrontEnd, magic: str) -> None:
    """What it prints belongs to the front end's message and comes before its idle; what it changes is there."""
    cell = page.notebook.run(magic + SLIDER).check()
    (model,) = models(cell)
    assert page.state(model)["value"] == 3
    answer = page.update(model, {"value": 7})
    assert answer.stdout == "moved to 7\n"
    assert [message["content"]["execution_state"] for message in answer.of("status")] == ["busy", "idle"]
    assert page.notebook.run("print(seen)").check().stdout == "[7]\n"
    assert page.notebook.run(magic + "print(slider.value, seen)").check().stdout == "7 [7]\n"
    page.notebook.run(magic + "slider.value = 9").check()
    assert page.state(model)["value"] == 9


def test_binary_parts_arrive_whole_in_both_directions(page: FrontEnd) -> None:
    """A file that is uploaded, and an image that is drawn there."""
    cell = page.notebook.run("%%remote\nimport ipywidgets as w\nimage = w.Image(value=b'\\x00\\x01\\xff' * 9)\nimage").check()
    (model,) = models(cell)
    assert bytes(page.state(model)["value"]) == b"\x00\x01\xff" * 9
    page.update(model, {}, buffers={"value": b"new\x00\xff"})
    assert page.notebook.run("%%remote\nprint(bytes(image.value))").check().stdout == "b'new\\x00\\xff'\n"


def test_all_widgets_come_back_when_the_page_is_reloaded(page: FrontEnd) -> None:
    """Those of this kernel and those of the target, binary parts included; also when the target is gone."""
    page.notebook.run("import ipywidgets\nhere = ipywidgets.IntText(5)").check()
    (slider,) = models(page.notebook.run("%%remote\n" + SLIDER).check())
    (image,) = models(page.notebook.run("%%remote\nwidgets.Image(value=b'\\xff\\x00')").check())
    page.update(slider, {"value": 8})
    for _ in range(2):
        states = page.reload()
        assert states[slider]["model_name"] == "IntSliderModel" and states[slider]["model_module"] == "@jupyter-widgets/controls"
        assert states[slider]["state"]["value"] == 8 and bytes(states[image]["state"]["value"]) == b"\xff\x00"
        here = page.notebook.value("here.model_id")
        assert states[here]["state"]["value"] == 5
        assert states[states[slider]["state"]["layout"].removeprefix("IPY_MODEL_")]["model_name"] == "LayoutModel"
        page.notebook.run("%remote stop --no-fetch", allow_stdin=False).check()
    answer = page.update(slider, {"value": 1})  # nobody is there to hear of it, and nothing waits
    assert answer.stdout == ""


def test_widgets_come_back_in_a_notebook_without_ipywidgets(page: FrontEnd) -> None:
    """And once it imports them, its own come too."""
    code = "def make():\n    from ipywidgets import IntSlider\n    return IntSlider(3)\nslider = make()\nslider"
    (slider,) = models(page.notebook.run("%%remote\n" + code).check())
    page.notebook.run("import sys; assert 'ipywidgets' not in sys.modules").check()
    assert page.reload()[slider]["state"]["value"] == 3
    page.notebook.run("import ipywidgets\nhere = ipywidgets.IntText(5)").check()
    assert {slider, page.notebook.value("here.model_id")} <= page.reload().keys()


def test_a_closed_widget_is_forgotten(page: FrontEnd) -> None:
    """On both sides, whoever closes it."""
    (first,) = models(page.notebook.run("%%remote\n" + SLIDER).check())
    (second,) = models(page.notebook.run("%%remote\nother = widgets.IntText()\nother").check())
    page.notebook.run("%%remote\nslider.close()").check()
    assert first not in page.notebook.open_comms() and second in page.notebook.open_comms()
    page.close(second)
    assert page.notebook.run("%%remote\nprint(other.comm._closed)").check().stdout == "True\n"
    assert not {first, second} & page.reload().keys()


def test_output_of_a_callback_lands_in_an_output_widget(page: FrontEnd) -> None:
    """The widget names the message whose outputs it takes, by the id that the front end gave it."""
    code = """
import ipywidgets as widgets
out, button = widgets.Output(), widgets.Button()
@out.capture()
def pressed(_):
    print("pressed")
button.on_click(pressed)
widgets.VBox([button, out])
"""
    for magic in ("", "%%remote\n"):
        (box,) = models(page.notebook.run(magic + code).check())
        button, out = (each.removeprefix("IPY_MODEL_") for each in page.state(box)["children"])
        answer = page.custom(button, {"event": "click"})
        taken = [state["msg_id"] for state in answer.updates(out) if "msg_id" in state]
        assert taken == [answer.msg_id, ""], magic
        assert answer.stdout == "pressed\n"


LOOP = """
import ipywidgets as widgets, asyncio
stop, rate = widgets.Button(description="Stop"), widgets.FloatSlider(0.5)
display(stop, rate)
goes_on, rates = True, []
def pressed(_):
    global goes_on
    goes_on = False
    print("stopping")
stop.on_click(pressed)
rate.observe(lambda change: rates.append(change.new), "value")
print("ready")
while goes_on:
    await asyncio.sleep(0.01)
rates
"""


@pytest.mark.parametrize("subshells", [True, False], ids=["subshell", "without"])
def test_a_button_stops_the_cell_that_drew_it(page: FrontEnd, subshells: bool) -> None:
    """A running cell hears of its widgets; with a subshell, as JupyterLab has one for comms, and without."""
    header = {"subshell_id": page.subshell()} if subshells else {}
    running = page.notebook.start("%%remote\n" + LOOP)
    running.until("ready")
    stop, rate = running.models()
    page.update(rate, {"value": 0.25}, **header)
    answer = page.custom(stop, {"event": "click"}, **header)
    assert "stopping\n" in answer.stdout
    assert running.finish().check().result == "[0.25]"


def test_an_interrupt_ends_a_callback(page: FrontEnd) -> None:
    """As it ends a local one: the kernel is free again."""
    code = """
import ipywidgets as widgets, time
button = widgets.Button()
def pressed(_):
    print("pressed", flush=True)
    time.sleep(60)
button.on_click(pressed)
button
"""
    for magic in ("", "%%remote\n"):
        (button,) = models(page.notebook.run(magic + code).check())
        answer = page.send("comm_msg", {"comm_id": button, "data": {"method": "custom", "content": {"event": "click"}}})
        page.notebook.pump(lambda answer=answer: "pressed\n" in answer.stdout, 20)
        page.notebook.interrupt()
        page.wait(answer, 20)
        assert page.notebook.run(magic + "1 + 1").check().result == "2"
