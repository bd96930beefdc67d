"""The broker's pages: nothing that axe finds, in light and dark, and they fit a narrow window."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from brokers import BrokerProcess
from playwright.sync_api import Browser, Page
from sandbox import Sandbox

NARROW = {"width": 360, "height": 640}


@pytest.fixture(autouse=True)
def pictures() -> None:
    """Those of other tests are of notebooks."""


@pytest.fixture(scope="module")
def warm_browser(browser: Browser) -> Browser:
    """With the processes that it starts for its first page and keeps."""
    page = browser.new_page()
    page.goto("data:text/html,<title>x</title>")
    Axe().run(page)
    page.close()
    return browser


@pytest.fixture
def broker(sandbox: Sandbox) -> Iterator[BrokerProcess]:
    with BrokerProcess(sandbox, slots=1) as broker:
        yield broker


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible_in_both_themes_and_in_a_narrow_window(
    broker: BrokerProcess, warm_browser: Browser, theme: str
) -> None:
    """With a lease that runs and one that waits; an administrator sees all of it."""
    root = broker.user("root", is_admin=True)
    held = root.until(root.lease(notebook="a.ipynb")["id"], "running")
    waiting = root.lease()
    headers = {"Authorization": f"token {root.token}"}
    with warm_browser.new_context(color_scheme=theme, extra_http_headers=headers, bypass_csp=True, viewport=NARROW) as context:  # type: ignore[arg-type]
        page = context.new_page()
        for path, heading in (("", "My GPUs"), ("admin", "Everybody's GPUs"), ("admin?by=colour", "Conflict")):
            page.goto(broker.url + path)
            assert page.locator("h1").inner_text() == heading
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
            assert is_dark(page) == (theme == "dark")
    for lease in (waiting, held):
        root.end(lease["id"])


def is_dark(page: Page) -> bool:
    """Whether the page's own background is."""
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) < 3 * 128
