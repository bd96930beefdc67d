"""The sidebar of remote cells: what it shows of real sessions, and what it does to them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.pages import NotebookPage
from browser.panels import LUMINO_MENU, Panel, badge, in_theme, need_labextension, violations
from browser.servers import Server
from farcell.ledger import Ledger
from hostclient import wait_until
from ledgers import run, session
from playwright.sync_api import Route, expect

TARGETS = """currency = "EUR"

[targets.second]
backend = "local"
price_per_hour = 36
budget = { day = 5 }

[targets.nowhere]
backend = "ssh"
host = "127.0.0.1"
ssh = "ssh -p 9"
"""
LOOP = """%%remote second
import time
for n in range(1200):
    print("step", n)
    time.sleep(0.1)
"""
API = re.compile("/farcell/api/")
QUIET_S = 6.0


@pytest.fixture(scope="module", params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest, chromium: str) -> Iterator[Server]:
    """With a ledger, which the other tests' servers do without."""
    need_labextension()
    with Server({"lab": "lab", "notebook7": "notebook"}[request.param], has_ledger=True) as server:
        server.write_targets(TARGETS)
        yield server


@pytest.fixture(autouse=True)
def as_it_was(page: NotebookPage) -> Iterator[None]:
    yield
    page.js(
        "for (const area of ['main', 'down']) for (const widget of [...window.jupyterapp.shell.widgets(area)])"
        " if (/^farcell-/.test(widget.id)) widget.dispose();"
    )


def test_a_run_is_seen_from_its_start_to_its_end(page: NotebookPage) -> None:
    """Its session, its state and its badge change without a reload; a click interrupts it."""
    panel = Panel(page)
    expect(panel.node).to_contain_text("No remote session")
    page.screenshot("empty")
    cell = page.cell(LOOP).start()
    at = page.js("return panel.content.widgets.length - 1;")
    expect(badge(page, at)).to_have_text(re.compile(r"second · (starting|running) · 0:\d\d"))
    expect(panel.session("second")).to_contain_text("busy")
    expect(panel.run("running")).to_contain_text("notebook-")
    cell.wait_for_text("step 3")
    page.screenshot("running")
    panel.session("second").get_by_role("button", name="Interrupt second").click()
    cell.wait_for_text("KeyboardInterrupt")
    expect(panel.session("second")).to_contain_text("idle")
    expect(panel.run("failed")).to_be_visible()
    expect(badge(page, at)).to_have_text(re.compile(r"second · failed · 0:\d\d"))
    assert "farcell" not in json.dumps(page.save().cells[at].metadata)


def test_a_runs_log_is_shown(page: NotebookPage) -> None:
    """With results and errors, as the notebook shows them."""
    page.cell("%%remote\nimport sys\nprint('hello from there')\nprint('beware', file=sys.stderr)\n{'answer': 42}").run()
    panel = Panel(page)
    panel.run("done").locator(".jp-farcell-Row-open").click()
    log = page.page.locator(".jp-farcell-Log")
    for text in ("hello from there", "beware", "{'answer': 42}", "over"):
        expect(log).to_contain_text(text)
    page.screenshot("log")


def test_a_target_is_added_by_its_form_and_runs_a_cell(page: NotebookPage) -> None:
    """What is wrong is said beside the field, in the words of the file's checks; then the toolbar has it."""
    panel = Panel(page, "Targets")
    expect(panel.target("local")).to_be_visible()
    panel.node.get_by_role("button", name="Add a target").click()
    form = page.page.get_by_role("form", name="A new target")
    form.get_by_label("Name").fill("made-here")
    form.get_by_label("Backend").select_option("local")
    form.get_by_label("Working folder").fill("not/whole")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form.locator(".validationErrors").filter(has_text="must be a whole path on the target")).to_be_visible()
    page.screenshot("refused")
    form.get_by_label("Working folder").fill(str(page.server.folder))
    form.get_by_role("button", name="Save and test", exact=True).click()
    expect(form).to_have_count(0)
    expect(panel.target("made-here")).to_contain_text("The test went well.", timeout=90_000)
    page.screenshot("tested")
    cell = page.cell("import os\nos.getcwd()")
    page.js(
        "panel.content.activeCellIndex = given; panel.content.deselectAll();", page.js("return panel.content.widgets.length - 1;")
    )
    where = page.page.get_by_label("Where the selected cells run")
    where.focus()
    where.select_option("made-here")
    assert page.js("return panel.content.activeCell.model.sharedModel.getSource();").startswith("%%remote made-here\n")
    cell.run()
    assert str(page.server.folder) in cell.outputs()[-1]["data"]["text/plain"]
    where.select_option("Run here")
    assert page.js("return panel.content.activeCell.model.sharedModel.getSource();") == "import os\nos.getcwd()"
    panel.target("made-here").get_by_role("button", name="Remove made-here").click()
    page.page.locator(".jp-Dialog").get_by_role("button", name="Remove").click()
    expect(panel.target("made-here")).to_have_count(0)


def test_a_place_that_cannot_be_asked_says_why(page: NotebookPage) -> None:
    """Beside what is known of all others."""
    panel = Panel(page, "Targets")
    expect(panel.target("nowhere")).to_contain_text("cannot be asked")
    expect(panel.node.locator(".jp-farcell-Header")).to_contain_text("nowhere cannot be asked")
    panel.target("nowhere").get_by_text("Why").click()
    expect(panel.target("nowhere")).to_contain_text("ssh")
    page.screenshot("fault")


def test_a_session_is_stopped_after_a_question(page: NotebookPage) -> None:
    page.cell("%%remote\nkept = 1").run()
    panel = Panel(page)
    stop = panel.session("local").get_by_role("button", name="Stop the session on local")
    stop.click()
    dialog = page.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Stop the session on local?")
    page.screenshot("question")
    dialog.get_by_role("button", name="Keep it").click()
    expect(panel.session("local")).to_be_visible()
    stop.click()
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(panel.session("local")).to_have_count(0)


def test_what_a_session_holds_is_shown(page: NotebookPage) -> None:
    page.cell("%%remote second\nheld = list(range(5))").run()
    panel = Panel(page)
    panel.session("second").get_by_role("button", name="second", exact=True).click()
    dialog = page.page.locator(".jp-Dialog")
    expect(dialog.get_by_role("row").filter(has_text="held")).to_contain_text("list")
    page.screenshot("variables")
    dialog.get_by_role("button", name="Ok").click()


def test_a_run_leads_to_its_cell_and_the_cell_to_its_log(page: NotebookPage) -> None:
    panel = Panel(page)
    page.cell("%%remote second\nprint('found again')").run()
    index = page.js("return panel.content.widgets.length - 1;")
    page.js("panel.content.activeCellIndex = 0;")
    newest = panel.section("Runs").locator("li[aria-posinset='1']").filter(has_text="done")

    def leads_there() -> bool:
        """The newest on the list may still be an earlier one."""
        newest.get_by_role("button", name="Go to the cell").click()
        return bool(page.js("return panel.content.activeCellIndex;") == index)

    assert wait_until(leads_there, 60)
    page.js("panel.content.deselectAll(); void window.jupyterapp.commands.execute('farcell:show-cell-log');")
    expect(page.page.locator(".jp-farcell-Log")).to_contain_text("found again")


def test_a_detached_cell_is_marked_until_its_run_is_over(page: NotebookPage) -> None:
    """Also on a page that is loaded meanwhile."""
    page.cell("%%remote second --detach\nimport time\ntime.sleep(15)").run()
    index = page.js("return panel.content.widgets.length - 1;")
    Panel(page)
    expect(badge(page, index)).to_have_text(re.compile(r"second · detached · running · 0:\d\d"))
    page.reload()
    page.js("await panel.content.scrollToItem(given);", index)
    expect(badge(page, index)).to_have_text(re.compile(r"second · detached · running · 0:\d\d"))
    expect(badge(page, index)).to_have_text("second · detached", timeout=60_000)


def test_usage_is_told_against_the_budget(page: NotebookPage) -> None:
    page.cell("%%remote second\n1").run()
    panel = Panel(page, "Usage")
    usage = panel.section("Usage")
    expect(usage.get_by_role("row").filter(has_text="second").first).to_contain_text("EUR")
    expect(usage.get_by_role("meter", name="Today")).to_have_attribute("aria-valuetext", re.compile(r"/ 5\.00 EUR"))
    page.screenshot("usage")


def test_a_plan_is_shown_without_running_the_cell(page: NotebookPage) -> None:
    page.cell("needed = list(range(1000))").run()
    cell = page.cell("%%remote\nprint(len(needed))")
    page.js(
        "panel.content.activeCellIndex = given; panel.content.deselectAll();", page.js("return panel.content.widgets.length - 1;")
    )
    page.js("void window.jupyterapp.commands.execute('farcell:show-plan');")
    dialog = page.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("needed")
    page.screenshot("plan")
    dialog.get_by_role("button", name="Ok").click()
    assert cell.outputs() == [] and cell.number is None


def test_unwatched_it_asks_for_nothing(page: NotebookPage) -> None:
    """Nor while its panel is hidden, however long."""
    panel = Panel(page)
    with page.page.expect_response(lambda answer: "/watch/" in answer.url and answer.request.method == "DELETE"):
        panel.close()  # cells that have just ended have the server look a little longer
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url) if API.search(request.url) else None)
    page.page.wait_for_timeout(QUIET_S * 1000)
    assert asked == []
    panel.open("Sessions")
    page.wait_for("given.length || true", asked)
    assert any("/watch" in url for url in asked)


def test_a_server_that_is_gone_is_told_of(page: NotebookPage) -> None:
    """What was known stays; when it answers again all is current."""
    panel = Panel(page)
    expect(panel.session("second")).to_be_visible()

    def fail(route: Route) -> None:
        route.abort()

    page.page.route(API, fail)
    page.js("await window.jupyterapp.commands.execute('farcell:refresh').catch(() => 0);")
    header = panel.node.locator(".jp-farcell-Header")
    expect(header.get_by_role("alert")).to_contain_text("The notebook server cannot be reached.")
    expect(panel.session("second")).to_be_visible()
    page.screenshot("offline")
    with page.page.expect_request(API):  # while it is away: once back, the panel may find that by itself
        header.get_by_role("button", name="Try again").click()
    expect(header.get_by_role("alert")).to_contain_text("The notebook server cannot be reached.")
    page.page.unroute(API, fail)
    page.js("await window.jupyterapp.commands.execute('farcell:refresh').catch(() => 0);")
    expect(header).not_to_contain_text("The notebook server cannot be reached.")


def test_two_thousand_runs_stay_smooth(page: NotebookPage) -> None:
    """Only those in sight are in the page; scrolling reads the older ones."""
    old = time.time() - 86400
    runs = [run(f"many-{n}", old + n, session_id="many", started=old + n, seconds=1.0, state="ok") for n in range(2000)]
    ledger = Ledger(page.server.ledger)
    assert ledger.record(session("many", old, started=old, target="second"))
    assert all(ledger.record(*runs[at : at + 500]) for at in range(0, 2000, 500))
    panel = Panel(page, "Runs")
    listed = panel.section("Runs").get_by_role("list")
    box = panel.section("Runs").locator(".jp-farcell-Windowed")
    page.reload()
    panel.open("Runs")
    expect(listed.locator("li").first).to_be_visible()
    page.watch_frames()
    seen = 0
    while seen < 2000:
        box.evaluate("node => { node.scrollTop = node.scrollHeight; }")
        count = "Number(document.querySelector('#farcell-runs li')?.getAttribute('aria-setsize'))"
        page.wait_for(f"{count} > given", seen)
        seen = page.js(f"return {count};")
        assert listed.locator("li").count() < 60
    assert page.longest_pause() < 1.0


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_can_be_read_by_all(page: NotebookPage, theme: str) -> None:
    """No violation that axe finds, in either theme, and it works in 250 pixels."""
    with in_theme(page, theme):
        panel = Panel(page, "Sessions", "Runs", "Targets", "GPUs", "Usage")
        expect(panel.target("second")).to_be_visible()
        assert violations(page, "#farcell-panel") == []
        page.screenshot("light" if "Light" in theme else "dark")
        width = panel.node.evaluate(
            "node => [...node.querySelectorAll('.jp-farcell-Row')].every(row => row.scrollWidth <= row.clientWidth)"
        )
        assert width


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_all_that_it_opens_can_be_read_by_all(page: NotebookPage, theme: str) -> None:
    """The form of a target with a fault in it, a log, what a session holds, what a cell would send, a question, and menus."""
    found: dict[str, Any] = {}
    name = "light" if "Light" in theme else "dark"
    dialog = page.page.locator(".jp-Dialog")

    def looked_at(what: str, selector: str, *passed_over: str) -> None:
        page.screenshot(f"{what}-{name}")
        found[what] = violations(page, selector, passed_over)

    with in_theme(page, theme):
        page.cell("kept = [1, 2]").run()
        page.cell("%%remote second\nprint('shown', kept)\nkept.append(3)").run()
        index = page.js("return panel.content.widgets.length - 1;")
        expect(badge(page, index)).to_contain_text("done")
        looked_at("badge", ".jp-farcell-Badge")
        looked_at("where", ".jp-farcell-Where")
        page.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-InputArea-prompt").click(button="right")
        page.page.locator(".lm-Menu-item").filter(has_text="Run Cells On").hover()
        expect(page.page.locator(".lm-Menu-item").filter(has_text="Show What It Would Send")).to_be_visible()
        looked_at("menu", ".lm-Menu:last-of-type", *LUMINO_MENU)
        page.page.keyboard.press("Escape")
        page.page.keyboard.press("Escape")
        page.js("void window.jupyterapp.commands.execute('farcell:show-plan');")
        expect(dialog).to_contain_text("kept")
        looked_at("plan", ".jp-Dialog")
        dialog.get_by_role("button", name="Ok").click()
        panel = Panel(page)
        panel.session("second").get_by_role("button", name="second", exact=True).click()
        expect(dialog.get_by_role("row").filter(has_text="kept")).to_be_visible()
        looked_at("variables", ".jp-Dialog")
        dialog.get_by_role("button", name="Ok").click()
        panel.session("second").get_by_role("button", name="Stop the session on second").click()
        looked_at("question", ".jp-Dialog")
        dialog.get_by_role("button", name="Keep it").click()
        page.js("void window.jupyterapp.commands.execute('farcell:show-cell-log');")
        expect(page.page.locator(".jp-farcell-Log")).to_contain_text("shown")
        looked_at("log", ".jp-farcell-Log")
        page.command("farcell:add-target")
        form = page.page.get_by_role("form", name="A new target")
        form.get_by_label("Name").fill("not-right")
        form.get_by_label("Working folder").fill("not/whole")
        form.get_by_role("button", name="Save", exact=True).click()
        expect(form.locator(".validationErrors").filter(has_text="must be a whole path")).to_be_visible()
        looked_at("form", ".jp-farcell-FormPage")
    assert {what: each for what, each in found.items() if each} == {}


def test_the_page_of_a_notebook_is_as_before(page: NotebookPage, tmp_path: Path) -> None:
    """A badge comes back with a reload, and the file has none of it."""
    page.cell("%%remote second\n'here'").run()
    index = page.js("return panel.content.widgets.length - 1;")
    page.js("await panel.content.scrollToItem(given);", index)
    expect(badge(page, index)).to_contain_text("second · done")
    page.reload()
    page.js("await panel.content.scrollToItem(given);", index)
    expect(badge(page, index)).to_contain_text("second")
    assert "jp-farcell" not in (page.server.folder / page.file).read_text()
