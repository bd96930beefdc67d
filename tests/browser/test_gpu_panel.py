"""GPUs in the sidebar, as a stand-in for NVIDIA's library tells of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.pages import NotebookPage
from browser.panels import Panel, need_labextension
from browser.servers import Server
from playwright.sync_api import expect
from services.nvml import StubNvml

GIB = 1 << 30


@pytest.fixture(scope="module", params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest, chromium: str, session_nvml: StubNvml) -> Iterator[Server]:
    """Whose kernels, and so the local target, see two boards."""
    need_labextension()
    front_end = {"lab": "lab", "notebook7": "notebook"}[request.param]
    with Server(front_end, has_ledger=True, variables=session_nvml.environment()) as server:
        yield server


def test_bars_move_with_the_boards(page: NotebookPage, nvml: StubNvml) -> None:
    """Use and memory, with a line of the last minutes; a board that is lost says so."""
    page.cell("%%remote\n1").run()
    nvml.set(0, util=63, mem_used=30 * GIB, temp=54)
    panel = Panel(page, "GPUs")
    boards = panel.section("GPUs").locator(".jp-farcell-Gpu")
    expect(boards).to_have_count(2)
    use = boards.first.get_by_role("meter", name="Use")
    expect(use).to_have_attribute("aria-valuetext", "63 %")
    expect(boards.first.get_by_role("meter", name="Memory")).to_have_attribute("aria-valuetext", re.compile(r"32\.2 GB / "))
    expect(boards.first).to_contain_text("54 °C")
    nvml.set(0, util=97)
    expect(use).to_have_attribute("aria-valuetext", "97 %")
    expect(boards.first.get_by_role("img", name="Use of the last five minutes")).to_be_visible()
    page.screenshot("boards")
