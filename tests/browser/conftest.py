"""Real front ends: JupyterLab and Notebook 7 servers with a page in headless Chromium. Screenshots go to `.artefacts`.

The browser lives as long as a module and no longer: Playwright has an asyncio loop running meanwhile, with which no test that
uses pytest-asyncio could run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.chromium import FLAGS, find_chromium
from browser.pages import NotebookPage
from browser.servers import Server
from playwright.sync_api import Browser, expect, sync_playwright
from sandbox import Sandbox

ARTEFACTS = Path(__file__).parent / ".artefacts"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The machine's own: what Playwright would download comes from a place that not every machine reaches."""
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium on this machine; on Debian or Ubuntu: sudo apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def lab(chromium: str) -> Iterator[Server]:
    with Server("lab") as server:
        yield server


@pytest.fixture(scope="session")
def notebook7(chromium: str) -> Iterator[Server]:
    with Server("notebook") as server:
        yield server


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    place = Sandbox()  # Chromium begins helpers of its own when it likes, which are no single test's
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, env=dict(place.environment()))
        yield browser
        browser.close()
    left = place.close()
    assert not left, "left behind:\n  " + "\n  ".join(left)


@pytest.fixture(scope="module", params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest) -> Server:
    """All tests with both front ends."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="module")
def page(server: Server, browser: Browser) -> Iterator[NotebookPage]:
    """A notebook with farcell loaded, one for all tests of a module: to open one costs seconds."""
    expect.set_options(timeout=60_000)
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        context.set_default_timeout(60_000)
        page = NotebookPage(context.new_page(), server, server.new_notebook())
        page.cell("%load_ext farcell").run()
        yield page
    server.end_kernels()


@pytest.fixture(autouse=True)
def pictures(page: NotebookPage, request: pytest.FixtureRequest) -> Iterator[None]:
    """What there is to see at the end of each test, under the name of its front end; a test may take more."""
    page.artefacts = ARTEFACTS / request.node.originalname.removeprefix("test_") / request.node.callspec.params["server"]
    yield
    page.screenshot("end")
