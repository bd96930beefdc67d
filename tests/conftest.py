"""What all tests stand on: a sandbox each, notebooks, and the rule that a test leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings
from notebooks import Notebook
from sandbox import Sandbox, end_processes, foreign_to, wait_for_end

pytest_plugins = ["services.fixtures"]

# How fast an example is made and tried is the machine's affair, and what else it does.
settings.register_profile("farcell", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farcell")

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")
UNIT = Path(__file__).parent / "unit"
OPTIONAL = "optional: "
"""A skip whose reason begins so is one that CI may take too: what it needs is not on every machine."""


@pytest.fixture(autouse=True)
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The test's own folders, set in this process's environment too; fails the test that leaves something behind.

    Unit tests, hundreds in a second, are checked for files here and for processes when the session ends.
    """
    place = Sandbox()
    for name, value in place.variables().items():
        if name != "TMPDIR":  # pytest's own tmp_path stays where it is
            monkeypatch.setenv(name, value)
    is_unit = UNIT in request.path.parents
    before = set() if is_unit else set(_descendants())
    yield place
    if is_unit:
        left = place.close_files()
    else:
        left = place.close()
        left += end_processes(wait_for_end(lambda: [p for p in _descendants(place) if p not in before], 5))
    _fail_if(left)


@pytest.fixture
def plain_notebook(sandbox: Sandbox) -> Iterator[Notebook]:
    """A notebook of this test's own in which farcell is not loaded."""
    with Notebook(sandbox) as notebook:
        yield notebook
        if notebook.is_alive and not notebook.is_busy:
            notebook.open_comms()


@pytest.fixture
def notebook(plain_notebook: Notebook) -> Notebook:
    """A notebook of this test's own, after `%load_ext farcell`."""
    plain_notebook.run("%load_ext farcell").check()
    return plain_notebook


@pytest.fixture(scope="module")
def shared_notebook() -> Iterator[Notebook]:
    """One notebook with farcell for all tests of a module, whose cells do not disturb each other: starts cost seconds."""
    place = Sandbox()
    with Notebook(place) as notebook:
        notebook.run("%load_ext farcell").check()
        yield notebook
    _fail_if(place.close())


def _fail_if(left: list[str]) -> None:
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


def _descendants(sandbox: Sandbox | None = None) -> list[psutil.Process]:
    living = filter(_lives, psutil.Process().children(recursive=True))
    return [p for p in living if sandbox is None or not foreign_to(sandbox, p)]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:  # it has ended since it was listed
        return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI what cannot be run is a failure: a suite that skips its way to green says nothing."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if OPTIONAL not in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped, but required in CI: {reason}"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing that a test started is alive when all are done."""
    left = end_processes(wait_for_end(_descendants, 5))
    if (said := _to_main_process(session.config)) is not None:
        said["left"] = left
        return
    left = [*_left_by_workers, *left]
    if left:
        print("\nleft behind by the session:\n  " + "\n  ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# With pytest-xdist's -n tests run in workers, whose last words the main process gets.
_left_by_workers: list[str] = []
_told_by_workers: list[str] = []


def _to_main_process(config: pytest.Config) -> dict[str, Any] | None:
    """What a worker fills; None in the main process."""
    return getattr(config, "workeroutput", None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    said = getattr(node, "workeroutput", {})
    _left_by_workers.extend(said.get("left", ()))
    _told_by_workers.extend(said.get("told", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told_by_workers:
        terminalreporter.write_line(line)
