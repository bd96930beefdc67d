"""The example notebooks of the digital twins, opened and run as a person does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.pages import NotebookPage
from browser.servers import Server
from playwright.sync_api import Browser, expect

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN_S = 150.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(server: Server, browser: Browser) -> Iterator[NotebookPage]:
    """Of the examples; each test goes to its own."""
    expect.set_options(timeout=60_000)
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        context.set_default_timeout(60_000)
        yield NotebookPage(context.new_page(), server, server.add(EXAMPLES / "factory_twin.ipynb"))
    server.end_kernels()


@pytest.mark.timeout(300)
def test_the_factory_decides_anew_when_a_slider_moves(page: NotebookPage) -> None:
    """Six hundred futures on the target for each step; the notebook has the decision."""
    page.run_all(RUN_S)
    dashboard = page.nth(6)
    dashboard.scroll_to()
    expect(dashboard.output).to_contain_text("futures of 12 s")
    picture = dashboard.output.locator("img")
    before = picture.get_attribute("src")
    page.screenshot("factory")
    page.drag(dashboard.output.locator(".noUi-handle").first, 0.9)
    expect(dashboard.output).not_to_contain_text("futures of 12 s")
    expect(picture).not_to_have_attribute("src", before or "")
    page.screenshot("moved")
    shown = page.nth(8).run()
    assert shown.outputs()[0]["data"]["text/plain"].count("'horizon'") == 1
    assert "'horizon': 12.0" not in shown.outputs()[0]["data"]["text/plain"]


@pytest.mark.timeout(300)
def test_the_patients_card_and_forecast_are_live(page: NotebookPage) -> None:
    """The run is over when all cells are: its card says so, and the picture below it is the last one."""
    page.open(page.server.add(EXAMPLES / "patient_twin.ipynb"))
    page.run_all(RUN_S)
    card = page.nth(7)
    card.scroll_to()
    expect(card.output).to_contain_text("ALARM after")
    expect(card.output).to_contain_text("Merged: ")
    expect(card.output.locator("img")).to_have_count(1)
    page.screenshot("card")
    page.nth(13).scroll_to()
    expect(page.nth(13).output.locator("img")).to_be_visible()
    page.screenshot("learned")
