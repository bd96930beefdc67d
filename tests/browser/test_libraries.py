"""Libraries with widgets of their own: they draw and compute on the target."""

from __future__ import annotations

from browser.pages import WAIT_S, NotebookPage
from hostclient import wait_until
from playwright.sync_api import Locator, expect

FIGURE = """%%remote
%matplotlib widget
import ipywidgets as widgets
import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(5, 3))
ax.plot(range(100), [x * x for x in range(100)])
view = widgets.Label()
def changed(axes):
    low, high = axes.get_xlim()
    view.value = f"x from {low:.0f} to {high:.0f}"
ax.callbacks.connect("xlim_changed", changed)
display(view)
plt.show()
"""
ANYWIDGET = """%%remote
import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = '''
    function render({ model, el }) {
      const button = document.createElement("button");
      const draw = () => { button.textContent = `count is ${model.get("value")}`; };
      button.addEventListener("click", () => { model.set("value", model.get("value") + 1); model.save_changes(); });
      model.on("change:value", draw);
      draw();
      el.appendChild(button);
    }
    export default { render };
    '''
    value = traitlets.Int(0).tag(sync=True)
    @traitlets.observe("value")
    def _full(self, change):
        if change.new == 3:
            self.value = 100
counter = Counter()
counter
"""
PLOTLY = """%%remote
import ipywidgets as widgets
import plotly.graph_objects as go
chart = go.FigureWidget(go.Scatter(x=[1, 2, 3], y=[2, 1, 3], mode="markers", marker_size=30))
chart.update_layout(width=500, height=300)
out = widgets.Label("nothing yet")
def clicked(trace, points, state):
    out.value = f"point {points.point_inds}"
chart.data[0].on_click(clicked)
widgets.VBox([chart, out])
"""
BQPLOT = """%%remote
import bqplot, ipywidgets as widgets
scales = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}
bars = bqplot.Bars(x=[1, 2, 3], y=[5, 3, 4], scales=scales)
out = widgets.Label("nothing yet")
bars.on_element_click(lambda mark, event: setattr(out, "value", f"bar {event['data']['index']}"))
widgets.VBox([bqplot.Figure(marks=[bars], layout=widgets.Layout(width="500px", height="300px")), out])
"""
MAP = """%%remote
import ipyleaflet, ipywidgets as widgets
# Without tiles, which would come from the network.
chart = ipyleaflet.Map(center=(50, 10), zoom=4, layers=[], layout=widgets.Layout(width="500px", height="300px"))
chart.add(ipyleaflet.CircleMarker(location=(50, 10), radius=20))
place = widgets.Label("not moved")
chart.observe(lambda change: setattr(place, "value", f"moved {'east' if change.new[1] > 10 else 'west'}"), "center")
widgets.VBox([chart, place])
"""


def test_a_matplotlib_figure_is_zoomed_and_panned(page: NotebookPage) -> None:
    """Matplotlib on the target draws what the person has framed."""
    cell = page.cell(FIGURE).run()
    expect(cell.output.locator(".jp-OutputArea-child")).to_have_count(2)  # the label, and one figure
    canvas = cell.output.locator(".jupyter-matplotlib-canvas-container canvas").first
    view = cell.output.locator(".widget-label").first
    expect(canvas).to_be_visible()
    wait_for_new_picture(page, canvas, "")
    whole = picture(canvas)
    cell.output.locator(".jupyter-matplotlib-canvas-container").hover()  # which shows the toolbar
    cell.output.locator("button[title^='Zoom']").click()
    page.drag_over(canvas, (0.3, 0.4), (0.6, 0.7))
    cell.wait_for_text("x from")
    wait_for_new_picture(page, canvas, whole)
    page.screenshot("zoomed")
    zoomed, framed = picture(canvas), view.inner_text()
    cell.output.locator("button[title^='Left button pans']").click()
    page.drag_over(canvas, (0.5, 0.5), (0.7, 0.5))
    expect(view).not_to_have_text(framed)
    wait_for_new_picture(page, canvas, zoomed)


PICTURE = """(canvas => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some(byte => byte) ? canvas.toDataURL() : "";
})"""


def picture(canvas: Locator) -> str:
    return str(canvas.evaluate(f"canvas => {PICTURE}(canvas)"))


def wait_for_new_picture(page: NotebookPage, canvas: Locator, old: str) -> None:
    """Until the canvas shows another one, and nothing at all is none."""
    page.page.wait_for_function(
        f"([canvas, old]) => ![old, ''].includes({PICTURE}(canvas))", arg=[canvas.element_handle(), old], timeout=WAIT_S * 1000
    )


def test_an_anywidget_counts(page: NotebookPage) -> None:
    """Its script comes from the target, and so does the answer to the third click."""
    cell = page.cell(ANYWIDGET).run()
    for shown in ("count is 1", "count is 2", "count is 100"):
        cell.output.get_by_role("button", name="count").click()
        cell.wait_for_text(shown)


def test_a_click_into_a_chart_calls_back(page: NotebookPage) -> None:
    cell = page.cell(PLOTLY).run()
    point = cell.output.locator(".scatterlayer .point").nth(1)

    def is_heard() -> bool:
        """A click while the chart is still being drawn is none for it."""
        page.click_at(point)
        return wait_until(lambda: "point [1]" in cell.output.inner_text(), 5)

    assert wait_until(is_heard, 60)
    cell = page.cell(BQPLOT).run()
    page.click_at(cell.output.locator(".bqplot rect.bar").nth(2))
    cell.wait_for_text("bar 2")


def test_a_map_tells_where_it_was_moved(page: NotebookPage) -> None:
    cell = page.cell(MAP).run()
    chart = cell.output.locator(".leaflet-container")
    expect(chart.locator("path.leaflet-interactive")).to_be_visible()
    page.drag_over(chart, (0.6, 0.7), (0.3, 0.7))
    cell.wait_for_text("moved east")
