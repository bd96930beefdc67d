"""What the page does while nobody looks: nothing of ours, for a minute."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.pages import NotebookPage
from browser.panels import Panel, need_labextension
from browser.servers import Server
from playwright.sync_api import expect

QUIET_S = 60.0
SETTLED_MS = 3000
"""For what is under way."""
API = re.compile("/farcell/api/")

# Timers and frames are kept that were asked for by code of ours, or by what one of them has run.
TIMERS = """(() => {
  Error.stackTraceLimit = 200;
  const fired = (window.farcellFired = []);
  let isWithin = false;
  const isOwn = () => isWithin || /\\/extensions\\/farcell\\//.test(new Error().stack ?? '');
  for (const name of ['setTimeout', 'setInterval', 'requestAnimationFrame', 'requestIdleCallback']) {
    const plain = window[name];
    window[name] = (call, ...rest) =>
      typeof call === 'function' && isOwn()
        ? plain.call(window, (...given) => {
            fired.push(name);
            const before = isWithin;
            isWithin = true;
            try { call(...given); } finally { isWithin = before; }
          }, ...rest)
        : plain.call(window, call, ...rest);
  }
})();"""
# A poll goes on in promises, where no stack tells whose it is.
POLL = "return window.jupyterapp.pluginRegistry._plugins.get('farcell:model').service._poll.state.phase;"


@pytest.fixture(scope="module", params=["lab"])
def server(request: pytest.FixtureRequest, chromium: str) -> Iterator[Server]:
    need_labextension()
    with Server(request.param, has_ledger=True) as server:
        yield server


@pytest.mark.slow
def test_for_a_minute_it_asks_for_nothing_and_has_no_timer(page: NotebookPage) -> None:
    """With a session that lives, and the panel hidden. In sight there is what is counted here."""
    page.page.add_init_script(TIMERS)
    page.cell("%%remote\n1").run()
    page.reload()
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url) if API.search(request.url) else None)
    panel = Panel(page)
    expect(panel.session("local")).to_contain_text("idle")
    page.wait_for("window.farcellFired.length > 0")
    assert asked and page.js(POLL) != "stopped"
    with page.page.expect_request(lambda request: request.method == "DELETE"):  # the lease is given back
        panel.close()
    page.page.wait_for_timeout(SETTLED_MS)
    asked.clear()
    page.js("window.farcellFired.length = 0;")
    page.page.wait_for_timeout(QUIET_S * 1000)
    assert (asked, page.js("return window.farcellFired;"), page.js(POLL)) == ([], [], "stopped")
