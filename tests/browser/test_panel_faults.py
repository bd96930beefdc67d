"""What the sidebar shows when a session comes to grief, and how it helps."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from browser.pages import NotebookPage
from browser.panels import Panel, badge, need_labextension
from browser.servers import Server
from farcell_host import runtime
from places import define_target, over_slurm
from playwright.sync_api import expect
from services.slurm import Slurm
from services.sshd import Sshd


@pytest.fixture(scope="module", params=["lab", "notebook7"])
def server(request: pytest.FixtureRequest, chromium: str) -> Iterator[Server]:
    need_labextension()
    with Server({"lab": "lab", "notebook7": "notebook"}[request.param], has_ledger=True) as server:
        yield server


def test_a_kernel_that_is_killed_is_shown_and_restarted(page: NotebookPage) -> None:
    """The cell says why, the session that its kernel has ended; a click gives it another one."""
    panel = Panel(page)
    cell = page.cell("%%remote\nimport threading\nprint('begun')\nthreading.Event().wait()").start()
    at = page.js("return panel.content.widgets.length - 1;")
    cell.wait_for_text("begun")
    expect(panel.session("local")).to_contain_text("busy")
    [host] = runtime.live_hosts(page.server.box.runtime)
    os.kill(host.fields["kernel_pid"], signal.SIGKILL)
    cell.wait_for_text("KernelDied")
    expect(panel.session("local")).to_contain_text("kernel ended")
    expect(panel.run("kernel died")).to_be_visible()
    expect(badge(page, at)).to_contain_text("failed")
    page.screenshot("ended")
    panel.session("local").get_by_role("button", name="Restart the kernel on local").click()
    page.page.locator(".jp-Dialog").get_by_role("button", name="Restart").click()
    expect(panel.session("local")).to_contain_text("idle")
    again = page.cell("%%remote\n6 * 7")
    again.run()
    assert again.outputs()[-1]["data"]["text/plain"] == "42"


def test_a_job_that_waits_is_cancelled(page: NotebookPage, slurm: Slurm, login_node: Sshd) -> None:
    """The queue's reason stands in the session and above the cell; the cell ends when its job is taken out."""
    define_target(page.server.box, "a100", **over_slurm(page.server.box, login_node, gpus=2))
    holding = [slurm.submit("sleep 600", "--gres=gpu:2") for _ in slurm.nodes]
    try:
        panel = Panel(page)
        cell = page.cell("%%remote a100\n1").start()
        expect(panel.session("a100")).to_contain_text("in the queue", timeout=90_000)
        expect(panel.session("a100")).to_contain_text("Resources")
        page.screenshot("queued")
        panel.session("a100").get_by_role("button", name="Cancel the job of a100").click()
        page.page.locator(".jp-Dialog").get_by_role("button", name="Cancel job").click()
        cell.wait_for_text("CANCELLED")
        expect(panel.session("a100")).to_have_count(0)
        page.screenshot("cancelled")
    finally:
        slurm.run("scancel", *holding)


def test_a_job_whose_wall_time_is_about_to_be_over_is_told_of(page: NotebookPage, slurm: Slurm, login_node: Sshd) -> None:
    """When, and that nothing keeps it. Once its session is gone that is no longer said."""
    define_target(page.server.box, "brief", **over_slurm(page.server.box, login_node, walltime="4m"))
    panel = Panel(page)
    page.cell("%%remote brief\nkept = 1").run()
    ends = page.page.locator(".Toastify__toast").filter(has_text="The job of brief ends at")
    expect(ends).to_contain_text("variables saved if they can be. Have what you need fetched.")
    expect(ends.get_by_role("button", name="Keep it")).to_have_count(0)
    expect(panel.session("brief")).to_contain_text(re.compile(r"ends in [0-3]:\d\d"))
    page.screenshot("wall-time")
    panel.close()
    ends.get_by_role("button", name="Show it").click()
    expect(panel.session("brief")).to_contain_text("ends soon")
    panel.session("brief").get_by_role("button", name="Stop the session on brief").click()
    page.page.locator(".jp-Dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(panel.session("brief")).to_have_count(0)
    expect(ends).to_have_count(0)


def test_a_server_that_was_restarted_is_known_as_another(page: NotebookPage) -> None:
    """While it is away that is said; then its snapshots count, though their revisions begin anew."""
    panel = Panel(page, "Targets")
    expect(panel.target("local")).to_be_visible()
    page.server.shut_down()
    header = panel.node.locator(".jp-farcell-Header")
    expect(header.get_by_role("alert")).to_contain_text("The notebook server cannot be reached.")
    define_target(page.server.box, "while-away", backend="local")
    page.server.start()
    expect(panel.target("while-away")).to_be_visible(timeout=90_000)
    expect(header).not_to_contain_text("The notebook server cannot be reached.")
