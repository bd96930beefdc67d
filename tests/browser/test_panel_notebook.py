"""In notebooks: bytes on badges, uploads, completions, keys, notifications, and the way to another notebook."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.pages import NotebookPage
from browser.panels import Panel, badge, need_labextension, violations
from browser.servers import Server
from places import define_target, over_ssh
from playwright.sync_api import Locator, expect
from services.sshd import Sshd

LONG_S = 2
IDLE_S = 32  # of which a quarter is left when its end is told of
TARGETS = f"""
[targets.second]
backend = "local"

[targets.short]
backend = "local"
idle_timeout_s = {IDLE_S}
"""
SLOW_LINE = """
import os, socket, sys, threading, time
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))

def back():
    while data := there.recv(65536):
        os.write(1, data)
    os._exit(0)

threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    there.sendall(data)
    time.sleep(len(data) / 4e6)
"""


@pytest.fixture(scope="module", params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest, chromium: str) -> Iterator[Server]:
    need_labextension()
    front_end = {"lab": "lab", "notebook7": "notebook"}[request.param]
    with Server(front_end, has_ledger=True, preferences={"farcell:cells": {"notifyAfterS": LONG_S}}) as server:
        server.write_targets(TARGETS)
        yield server


def last(page: NotebookPage) -> int:
    return int(page.js("return panel.content.widgets.length - 1;"))


def select(page: NotebookPage, index: int) -> None:
    page.js("panel.content.activeCellIndex = given; panel.content.deselectAll();", index)


def source(page: NotebookPage) -> str:
    return str(page.js("return panel.content.activeCell.model.sharedModel.getSource();"))


def notification(page: NotebookPage, text: str) -> Locator:
    return page.page.locator(".Toastify__toast").filter(has_text=text)


def write(page: NotebookPage, text: str) -> None:
    """Into the active cell, key by key, in place of what is there."""
    page.js("panel.content.activeCell.model.sharedModel.setSource(''); panel.content.mode = 'edit'; panel.content.activate();")
    page.js("await panel.content.activeCell.ready; panel.content.activeCell.editor.focus();")
    page.page.keyboard.type(text)


def test_what_a_run_sent_and_received_stands_above_its_cell(page: NotebookPage) -> None:
    """And in the list of runs."""
    page.cell("data = bytes(3_000_000)").run()
    page.cell("%%remote second\nreturned = data[:2_000_000] + b'!'").run()
    expect(badge(page, last(page))).to_have_text(re.compile(r"^second · done · 0:\d\d · ↑ 3\.0 MB ↓ 2\.0 MB$"))
    expect(badge(page, last(page))).to_have_attribute("title", re.compile("3.0 MB sent\n2.0 MB received"))
    expect(Panel(page).run("done")).to_contain_text(re.compile(r"↑ 3\.0 MB ↓ 2\.0 MB"))
    page.cell("%%remote second\n1").run()
    expect(badge(page, last(page))).to_have_text(re.compile(r"^second · done · 0:\d\d · ↑ \d+(\.\d)? k?B ↓ \d+(\.\d)? k?B$"))


def test_an_upload_is_told_while_it_goes(page: NotebookPage, sshd: Sshd, tmp_path: Path) -> None:
    """Over a slow line: how much of what the cell needs is there, above the cell and in the list of runs."""
    line = tmp_path / "line.py"
    line.write_text(SLOW_LINE)
    slowly = shlex.join([sys.executable, str(line), str(sshd.port)])
    keys = over_ssh(page.server.box, sshd, ssh=shlex.join([*sshd.client, "-o", f"ProxyCommand={slowly}"]))
    define_target(page.server.box, "far", **keys)
    page.cell("import os\nmuch = os.urandom(24_000_000)").run()
    page.cell("%%remote far\n1").run(90)
    panel = Panel(page)
    panel.node.get_by_role("button", name="Ask all places now").click()
    expect(panel.session("far")).to_contain_text("idle")
    cell = page.cell("%%remote far\nlen(much)").start()
    expect(badge(page, last(page))).to_have_text(re.compile(r"^far · [\d.]+ MB of 24\.0 MB sent"))
    going = panel.section("Runs").get_by_role("progressbar", name="Sent")
    expect(going).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))
    page.screenshot("upload")
    cell.finish(90)
    expect(badge(page, last(page))).to_have_text(re.compile(r"^far · done · 0:\d\d · ↑ 24\.0 MB"))
    expect(going).to_have_count(0)


def test_targets_and_options_are_completed_before_the_kernel_has_loaded_farcell(page: NotebookPage) -> None:
    """And once each when it has."""
    page.open(page.server.new_notebook())
    offered = page.page.locator(".jp-Completer-item .jp-Completer-match")
    for typed, whole in (("%%remote sec", "second"), ("%%remote --det", "--detach")):
        write(page, typed)
        page.page.keyboard.press("Tab")
        expect(offered).to_have_text(whole)
        page.page.keyboard.press("Enter")
        page.wait_for("panel.content.activeCell.model.sharedModel.getSource() === given", f"%%remote {whole}")
    write(page, "%remote rest")
    page.page.keyboard.press("Tab")
    expect(offered).to_have_text(["restart", "restore"])
    page.screenshot("completer")
    page.page.keyboard.press("Escape")
    page.cell("%load_ext farcell").run()
    write(page, "%%remote s")
    page.page.keyboard.press("Tab")
    expect(offered).to_have_text(["second", "short"])
    page.page.keyboard.press("Escape")


def test_keys_send_a_cell_away_and_show_the_sidebar(page: NotebookPage) -> None:
    page.cell("x = 1")
    select(page, last(page))
    page.js("panel.content.mode = 'command'; panel.content.activate();")
    keyboard = page.page.keyboard
    keyboard.type("tt")
    page.wait_for("panel.content.activeCell.model.sharedModel.getSource() === '%%remote\\nx = 1'")
    keyboard.type("td")
    page.wait_for("panel.content.activeCell.model.sharedModel.getSource() === '%%remote --detach\\nx = 1'")
    keyboard.type("tt")
    page.wait_for("panel.content.activeCell.model.sharedModel.getSource() === 'x = 1'")
    panel = Panel(page)
    panel.close()
    page.js("panel.content.activate();")
    keyboard.press("Control+Shift+Y")
    expect(panel.node).to_be_visible()


def test_a_long_run_that_ends_out_of_sight_is_told_of(page: NotebookPage) -> None:
    """And one that is seen, or is short, is not."""
    page.open(page.server.new_notebook())
    page.cell("%load_ext farcell").run()
    page.cell(f"%%remote second\nimport time\ntime.sleep({LONG_S + 0.5})").run()
    page.js("Object.defineProperty(document, 'hidden', { value: true, configurable: true });")
    page.cell("%%remote second\n1").run()
    page.cell(f"%%remote second\ntime.sleep({LONG_S + 0.5})\n1 / 0").start()
    failed = notification(page, "A cell on second has failed after 0:0")
    expect(failed).to_be_visible()
    assert notification(page, "A cell on second").count() == 1
    page.screenshot("long")
    page.js("delete document.hidden; panel.content.activeCellIndex = 0;")
    failed.get_by_role("button", name="Show it").click()
    page.wait_for("panel.content.activeCellIndex === given", last(page))
    expect(failed).to_have_count(0)


def test_a_session_that_is_about_to_end_is_told_of(page: NotebookPage) -> None:
    """Why, when, and what keeps it, also while the sidebar is hidden. Once it is kept that is no longer said."""
    panel = Panel(page)
    panel.close()
    page.cell("%%remote short\nkept = 1").run()
    ends = notification(page, "Nothing was run on short for long: its session ends at")
    expect(ends).to_be_visible()
    expect(ends).to_contain_text("Any cell on it keeps it.")
    page.screenshot("ends")
    page.command("farcell:show")
    expect(panel.session("short")).to_contain_text("ends soon")
    expect(panel.session("short")).to_contain_text(re.compile(r"ends in 0:0\d"))
    page.screenshot("ends-panel")
    assert violations(page, "#farcell-panel") == []
    ends.get_by_role("button", name="Keep it").click()
    expect(panel.session("short")).not_to_contain_text("ends soon")
    expect(ends).to_have_count(0)
    panel.session("short").get_by_role("button", name="Stop the session on short").click()
    page.page.locator(".jp-Dialog").get_by_role("button", name="Stop", exact=True).click()


def test_a_notebook_that_is_not_open_is_opened_at_its_cell(page: NotebookPage) -> None:
    """In JupyterLab in a tab, in Notebook 7 in a page of its own, which is used again."""
    first = page.server.new_notebook()
    page.open(first)
    page.cell("%load_ext farcell").run()
    page.cell("%%remote second\n'from the first'").run()
    page.cell("at_the_end = True").run()
    cell = page.js("return panel.content.widgets[1].model.id;")
    page.save()
    page.open(page.server.new_notebook())
    panel = Panel(page)
    run = panel.run("done").filter(has_text=first)
    expect(run).to_be_visible()
    go = run.get_by_role("button", name=f"Go to the cell in {first}")
    link = panel.session("second").get_by_role("button", name=first)
    if page.server.front_end == "lab":
        go.click()
        page.wait_for("panel?.context?.path === given", first)
        page.wait_for("panel.content.activeCell?.model.id === given", cell)
        return
    with page.page.expect_popup() as opened:
        go.click()
    other = opened.value
    other.wait_for_function("given => window.jupyterapp?.shell?.currentWidget?.content?.activeCell?.model.id === given", arg=cell)
    assert re.search(rf"/notebooks/{first}(\?.*)?#cell-id={cell}$", other.url)
    other.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
    count = len(page.page.context.pages)
    link.click()
    other.wait_for_load_state()
    assert len(page.page.context.pages) == count
    other.close()
