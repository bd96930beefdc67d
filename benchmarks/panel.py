"""How long the sidebar takes to show fifty sessions, against JupyterLab's own list of as many running kernels, in one page.

Kernels and sessions are real. A first opening is that of a page which was just loaded, while nobody watches; the server has
looked at nothing before, or a while ago. It is over when all rows are on the list and those in sight are drawn.
"""

from __future__ import annotations

import concurrent.futures
import random
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import Figure, ratio
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.chromium import FLAGS, find_chromium
from browser.servers import Server
from hostclient import command

ROWS = 50
FIRST_ROUNDS, AGAIN_ROUNDS = 7, 5
AT_ONCE = 3
TIMEOUT_MS = 60_000
SETTLED_S = 3.0
"""After a page has opened, or a panel was shown for the first time: what each of them does then is not the other's time."""
FARCELL, RUNNING = "farcell-panel", "jp-running-sessions"
IS_OPEN = {
    FARCELL: f"document.querySelector('#farcell-sessions li')?.getAttribute('aria-setsize') === '{ROWS}'",
    RUNNING: f"document.querySelectorAll('#{RUNNING} .jp-RunningSessions-item').length >= {ROWS}",
}
STATES_ARE_TOLD = (
    f"{IS_OPEN[FARCELL]} && document.querySelector('#farcell-sessions .jp-farcell-State')"
    " && !document.querySelector('#farcell-sessions .jp-farcell-State.jp-mod-unheard')"
)
OPEN = """async ([id, condition, most]) => {
  const isSo = new Function(`return ${condition};`);
  const began = performance.now();
  window.jupyterapp.shell.activateById(id);
  do { await new Promise(requestAnimationFrame); } while (!isSo() && performance.now() - began < most);
  await new Promise(requestAnimationFrame);
  return (performance.now() - began) / 1000;
}"""


def measure() -> list[Figure]:
    chromium = find_chromium()
    if chromium is None:
        raise FileNotFoundError("there is no Chromium on this machine; on Debian or Ubuntu: sudo apt-get install chromium")
    first: dict[str, list[float]] = {FARCELL: [], RUNNING: [], "states": []}
    again: dict[str, list[float]] = {FARCELL: [], RUNNING: []}
    with Server("lab", has_ledger=True) as server, _sessions(server), sync_playwright() as playwright:
        _start_kernels(server)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        order = random.Random(0)
        for number in range(FIRST_ROUNDS + 1):  # the first warms up the server and the machine
            with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
                page = context.new_page()
                _load(page, server)
                for panel in order.sample([FARCELL, RUNNING], 2):
                    seconds = _open(page, panel, IS_OPEN[panel])
                    if panel == FARCELL:
                        told = seconds + float(page.evaluate(OPEN, [panel, STATES_ARE_TOLD, TIMEOUT_MS]))
                    time.sleep(SETTLED_S)
                    _close(page)
                    if number:
                        first[panel].append(seconds)
                        if panel == FARCELL:
                            first["states"].append(told)
                for _ in range(AGAIN_ROUNDS):
                    for panel in order.sample([FARCELL, RUNNING], 2):
                        seconds = _open(page, panel, IS_OPEN[panel])
                        _close(page)
                        if number:
                            again[panel].append(seconds)
        browser.close()
    name = f"the sidebar with {ROWS} sessions opened, to JupyterLab's own with {ROWS} kernels"
    return [
        Figure(name, ratio(first, FARCELL, RUNNING), 2, True, samples=first),
        Figure("the same, until each has told what it does", ratio(first, "states", RUNNING), 2, True, samples=first),
        Figure("the same, opened again", ratio(again, FARCELL, RUNNING), 2, True, samples=again),
    ]


def _load(page: Page, server: Server) -> None:
    page.goto(server.home)
    page.wait_for_function(
        "given => given.every(id => [...(window.jupyterapp?.shell?.widgets('left') ?? [])].some(each => each.id === id))",
        arg=[FARCELL, RUNNING],
        timeout=TIMEOUT_MS,
    )
    page.evaluate("window.jupyterapp.restored.then(() => 0)")
    _close(page)
    time.sleep(SETTLED_S)


def _open(page: Page, panel: str, condition: str) -> float:
    seconds = float(page.evaluate(OPEN, [panel, condition, TIMEOUT_MS]))
    if seconds * 1000 >= TIMEOUT_MS:
        raise TimeoutError(f"{panel} has not shown {ROWS} rows in {TIMEOUT_MS / 1000:g} s")
    return seconds


def _close(page: Page) -> None:
    """Another one is in its place, which has no rows of running things."""
    page.evaluate("window.jupyterapp.shell.activateById('table-of-contents')")
    time.sleep(0.5)


@contextmanager
def _sessions(server: Server) -> Iterator[None]:
    """Of as many notebooks, begun by other processes."""

    def begin(number: int) -> Path:
        folder = server.box.runtime / f"s-{uuid.uuid4().hex[:12]}"
        done = command(
            "launch", "--runtime", str(folder), "--target", "local", "--notebook", f"remote-{number}.ipynb", env=environment
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return folder

    environment = server.environment()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        begun = list(pool.map(begin, range(ROWS)))
    try:
        yield
    finally:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda folder: command("stop", "--runtime", str(folder), env=environment), begun))


def _start_kernels(server: Server) -> None:
    """Without a notebook: each is one row, where a notebook's kernel would be two."""
    for _ in range(ROWS):
        server.jupyter("POST", "api/kernels", {"name": "python3"})
