"""The sidebar of remote cells, in words a test can be read in.

panel = Panel(page)
panel.session("local").get_by_role("button", name="Interrupt local").click()
panel.run("done").wait_for()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import farcell
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.pages import NotebookPage
from playwright.sync_api import Locator, expect

SECTIONS = ("Sessions", "Runs", "Targets", "GPUs", "Usage")
BUILT = Path(farcell.__file__).parent / "labextension" / "static"


def need_labextension() -> None:
    if not BUILT.is_dir():
        pytest.skip("optional: the JupyterLab extension was not built: its packages could not be fetched")


class Panel:
    """Shown, with the named sections open and all others closed."""

    def __init__(self, page: NotebookPage, *sections: str) -> None:
        self.page = page
        self.node = page.page.locator("#farcell-panel")
        self.open(*(sections or ("Sessions", "Runs")))

    def open(self, *sections: str) -> None:
        self.page.command("farcell:show")
        expect(self.node).to_be_visible()
        for name in SECTIONS:
            title = self.title(name)
            if (title.get_attribute("aria-expanded") == "true") != (name in sections):
                title.click()
            expect(title).to_have_attribute("aria-expanded", "true" if name in sections else "false")

    def close(self) -> None:
        """As by a click on its icon, or in Notebook 7 by its cross."""
        self.page.command("farcell:hide")
        expect(self.node).to_be_hidden()

    def title(self, section: str) -> Locator:
        return self.node.locator(".lm-AccordionPanel-title").filter(has_text=section)

    def section(self, name: str) -> Locator:
        return self.node.locator(f"#farcell-{name.lower()}")

    def session(self, target: str) -> Locator:
        name = self.page.page.locator(".jp-farcell-Name").get_by_text(target, exact=True)
        return self.section("Sessions").get_by_role("listitem").filter(has=name)

    def run(self, state: str) -> Locator:
        """The newest in this state."""
        word = self.page.page.locator(".jp-farcell-State").get_by_text(state, exact=True)
        return self.section("Runs").get_by_role("listitem").filter(has=word).first

    def target(self, name: str) -> Locator:
        word = self.page.page.locator(".jp-farcell-Name").get_by_text(name, exact=True)
        return self.section("Targets").get_by_role("listitem").filter(has=word)


@contextmanager
def in_theme(page: NotebookPage, theme: str) -> Iterator[None]:
    """Until the end of the block, when all colours are those of the theme."""
    _change_theme(page, theme)
    try:
        yield
    finally:
        _change_theme(page, "JupyterLab Light")


def _change_theme(page: NotebookPage, theme: str) -> None:
    page.js("await window.jupyterapp.commands.execute('apputils:change-theme', { theme: given });", theme)
    page.wait_for(f"document.body.dataset.jpThemeLight === '{str('Light' in theme).lower()}'")
    settle(page)


def settle(page: NotebookPage) -> None:
    """Until nothing moves any more, but for what does so for ever."""
    page.js(
        "await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);"
        "const ends = each => Number.isFinite(each.effect?.getComputedTiming().endTime);"
        "await Promise.all(document.getAnimations().filter(ends).map(each => each.finished.catch(() => 0)));"
    )


LUMINO_MENU = ("aria-required-children", "presentation-role-conflict")
"""What axe finds in each menu of JupyterLab that has a separator."""


def violations(page: NotebookPage, selector: str, passed_over: Sequence[str] = ()) -> list[tuple[str, list[str]]]:
    """What axe finds in it: each rule, with what breaks it."""
    settle(page)
    # Titles of Lumino's sections are third-level headings, whatever stands above them.
    rules = {rule: {"enabled": False} for rule in ("heading-order", *passed_over)}
    found = Axe().run(page.page, selector, {"resultTypes": ["violations"], "rules": rules})
    return [
        (said["id"], [f"{node['html'][:200]} | {str(node.get('failureSummary', ''))[:200]}" for node in said["nodes"]])
        for said in found.response["violations"]
    ]


def badge(page: NotebookPage, index: int) -> Locator:
    """Of a cell, by its place in the notebook."""
    return page.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-farcell-Badge")
