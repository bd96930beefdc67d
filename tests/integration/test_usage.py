"""What a person's runs have used, from their hosts into the ledger, and budgets held against it; real notebooks throughout."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from farcell.ledger import Ledger, SessionReport
from farcell.ledger.schema import REVISIONS
from farcell_host import runtime
from hostclient import LaunchedHost, wait_until
from ledgers import at_revision, sql
from notebooks import CELL_S, Notebook
from places import define_target, over_slurm
from sandbox import Sandbox
from services.nvml import StubNvml
from services.service import until
from services.slurm import Slurm
from services.sshd import Sshd

pytestmark = pytest.mark.timeout(150)
GIB = 1 << 30


@pytest.fixture
def ledger(sandbox: Sandbox) -> Path:
    """The file in which notebooks started from now on keep what they use."""
    sandbox.ledger = sandbox.folder / "ledger" / "ledger.sqlite"
    return sandbox.ledger


@pytest.fixture
def start(sandbox: Sandbox) -> Iterator[Callable[[], Notebook]]:
    """Starts a notebook with farcell, which ends with the test."""
    started: list[Notebook] = []

    def make() -> Notebook:
        started.append(Notebook(sandbox))
        started[-1].run("%load_ext farcell").check()
        return started[-1]

    yield make
    for notebook in started:
        notebook.close()


def rows(ledger: Path, table: str) -> list[dict[str, Any]]:
    """What the ledger has, behind its back; nothing while there is none."""
    if not ledger.exists() or not sql(ledger, "SELECT name FROM sqlite_master WHERE name = ?", table):
        return []
    names = [column[1] for column in sql(ledger, f"PRAGMA table_info({table})")]
    return [dict(zip(names, row, strict=True)) for row in sql(ledger, f"SELECT * FROM {table} ORDER BY started")]


def shown(notebook: Notebook, line: str) -> list[list[str]]:
    """The rows of the table that it shows, its head first."""
    text = notebook.run(line).check().displays[0]["text/plain"]
    return [re.split(" {2,}", each.strip()) for each in text.splitlines()[1:] if not set(each) <= {"-", " "}]


def test_a_run_knows_its_cell(ledger: Path, sandbox: Sandbox, start: Callable[[], Notebook]) -> None:
    """As JupyterLab and Notebook 7 name cells: while it runs, for whoever looks at its session, and in the ledger; a cell without
    a name has none."""
    notebook = start()
    running = notebook.start("%%remote\nimport threading\nprint('begun')\nthreading.Event().wait()", cell_id="a-cell")
    running.until("begun")
    [host] = runtime.live_hosts(sandbox.runtime)
    with LaunchedHost(Path(host.runtime), host.fields).driver(role="observer", messages=False) as observer:
        status = observer.ask("watch", within_s=0).fields
    assert status["face"]["cells"] == {status["run"]: "a-cell"}
    assert 0 < time.time() - status["run_started"] < CELL_S
    notebook.interrupt()
    running.finish()
    notebook.run("%%remote\n1").check()
    notebook.run("%remote usage").check()
    assert [(row["id"] == status["run"], row["cell"]) for row in rows(ledger, "runs")] == [(True, "a-cell"), (False, None)]


def test_a_run_is_on_record_with_the_name_in_its_message(ledger: Path, start: Callable[[], Notebook]) -> None:
    """Whatever that is; a message without one has none. It is the same session all the same."""
    notebook = start()
    for name in ("bob", "", "x" * 1000):
        notebook.client.session.username = name
        notebook.run("%%remote\n1").check()
    notebook.run("%remote usage").check()
    found = rows(ledger, "runs")
    assert [row["said_by"] for row in found] == ["bob", None, "x" * 200]
    assert len({row["session_id"] for row in found}) == 1


def targets(sandbox: Sandbox, text: str) -> None:
    folder = sandbox.jupyter_config / "farcell"
    folder.mkdir(exist_ok=True)
    (folder / "targets.toml").write_text(text)


def spend(ledger: Path, target: str, cost: float) -> None:
    """A session that somebody has had there until now, so short that all of it was today."""
    now, seconds = time.time(), 0.5
    report = SessionReport(
        id=f"spent-{target}", as_of=now, target=target, started=now - seconds, ended=now, price_per_hour=cost * 3600 / seconds
    )
    assert Ledger(ledger).record(report)


def recorded(notebook: Notebook) -> str:
    """Waits until the ledger has been told of all that was used so far; what was said meanwhile."""
    return notebook.run("from farcell.recorder import recorder\nassert recorder().collect()").check().stderr


# -- recording


def test_runs_are_in_the_ledger_by_themselves(sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]) -> None:
    """Soon after them: the session with its target, notebook and price, each run with how it ended and what it took."""
    targets(sandbox, 'currency = "EUR"\n[targets.big]\nprice_per_hour = 36\n')
    notebook = start()
    notebook.run("import numpy as np\ndata = np.zeros(100_000)").check()
    notebook.run("%%remote big\nimport time\ntime.sleep(0.2)\ntotal = data.sum()").check()
    notebook.run("%%remote big\n1 / 0")
    assert wait_until(lambda: len(rows(ledger, "runs")) == 2, 30)
    (session,) = rows(ledger, "sessions")
    assert (session["target"], session["backend"], session["price_per_hour"]) == ("big", "local", 36)
    assert session["notebook"] and session["host"] == os.uname().nodename and session["ended"] is None
    first, second = rows(ledger, "runs")
    assert (first["state"], second["state"]) == ("ok", "error")
    assert 0.2 <= first["seconds"] < 60 and first["sent_bytes"] > 800_000 and first["session_id"] == session["id"]


def test_the_table_counts_until_now(sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]) -> None:
    """What has just run is in it; cost is that of the session, idle or not, in the currency of the targets."""
    targets(sandbox, 'currency = "EUR"\n[targets.big]\nprice_per_hour = 360000\n')
    notebook = start()
    assert notebook.run("%remote usage").check().displays[0]["text/plain"] == "Usage by target: nothing yet"
    notebook.run("%%remote big\n1").check()
    notebook.run("%%remote\n1").check()
    head, big, local = shown(notebook, "%remote usage")
    assert head == ["target", "time", "in runs", "runs", "sent", "received", "cost EUR"]
    assert (big[0], big[3], local[0], local[3], local[6]) == ("big (1 open)", "1", "local (1 open)", "1", "-")
    assert float(big[6]) > 10  # 100 a second
    assert [row[0].split(" ")[0] for row in shown(notebook, "%remote usage --by day")[1:]] == [time.strftime("%Y-%m-%d")]
    assert len(shown(notebook, "%remote usage --by notebook")) == 2
    notebook.run("%remote stop big").check()
    assert [row[0] for row in shown(notebook, "%remote usage")[1:]] == ["big", "local (1 open)"]
    assert notebook.value("[(row.key, row.runs) for row in __import__('farcell').usage()]") == [("big", 1), ("local", 1)]
    assert notebook.value("__import__('farcell').usage(until=1.0)") == []
    cell = notebook.run("%remote usage --by week")
    assert "invalid choice: 'week'" in cell.stderr


def test_the_end_of_a_notebook_is_the_end_of_its_sessions(ledger: Path, start: Callable[[], Notebook]) -> None:
    """What it has not told by then it tells at its end, and hosts leave nothing behind."""
    notebook = start()
    notebook.run("%%remote\nlast = 1").check()
    notebook.close()
    (session,) = rows(ledger, "sessions")
    assert session["ended"] is not None
    assert [run["state"] for run in rows(ledger, "runs")] == ["ok"]


def test_two_notebooks_write_at_once(ledger: Path, start: Callable[[], Notebook]) -> None:
    """Each its own; nothing is lost and nothing counts twice."""
    one, other = start(), start()
    for _ in range(3):
        both = [notebook.start("%%remote\n1") for notebook in (one, other)]
        for running in both:
            running.finish().check()
    assert wait_until(lambda: len(rows(ledger, "runs")) == 6, 30)
    (row,) = shown(one, "%remote usage")[1:]
    assert (row[0], row[3]) == ("local (2 open)", "6")


def test_a_killed_notebook_loses_nothing(sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]) -> None:
    """Its host keeps what was used, and the next notebook's tells it, once."""
    targets(sandbox, "[targets.big]\nkeep_s = 1\nprice_per_hour = 3\n")
    before = start()
    before.run("%%remote big\nkept = 1").check()
    # The run is with the host and in no ledger yet: this kernel dies before its thread has asked.
    before.run("%%remote big --detach\nimport time\ntime.sleep(0.5)").check()
    before.kill()
    known = {run["id"] for run in rows(ledger, "runs")}
    folder = sandbox.cache / "usage"
    assert wait_until(lambda: any('"ended"' in line for file in folder.glob("*.jsonl") for line in session_lines(file)), 40)
    after = start()
    after.run("%%remote\n1").check()
    assert wait_until(lambda: len(rows(ledger, "runs")) == 3, 30)
    session = next(row for row in rows(ledger, "sessions") if row["target"] == "big")
    assert session["ended"] is not None and session["price_per_hour"] == 3
    assert len({run["id"] for run in rows(ledger, "runs")} - known) >= 2
    assert [row[3] for row in shown(after, "%remote usage")[1:]] == ["2", "1"]


def test_a_run_that_is_taken_over_counts_once(ledger: Path, start: Callable[[], Notebook]) -> None:
    """Its notebook's kernel was restarted while it went on; both have told of it."""
    notebook = start()
    notebook.run("%%remote --detach\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\nfound = 7").check()
    recorded(notebook)
    (going,) = rows(ledger, "runs")
    assert (going["state"], going["ended"]) == ("running", None)
    notebook.restart(now=True)
    notebook.run("%load_ext farcell").check()
    (notebook.sandbox.folder / "go").touch()
    notebook.run("%remote attach").check()
    assert notebook.value("found") == 7
    recorded(notebook)
    (over,) = rows(ledger, "runs")
    assert (over["id"], over["state"]) == (going["id"], "ok") and over["seconds"] >= going["seconds"]
    assert shown(notebook, "%remote usage")[1][3] == "1"


def test_the_log_has_each_runs_share_of_the_cost(sandbox: Sandbox, start: Callable[[], Notebook]) -> None:
    """Its seconds of the session's price; it needs no ledger."""
    targets(sandbox, 'currency = "EUR"\n[targets.big]\nprice_per_hour = 36000\n')
    notebook = start()
    notebook.run("%%remote big\nimport time\ntime.sleep(0.3)").check()
    notebook.run("%%remote\n1").check()
    head, big, local = shown(notebook, "%remote log")
    cost = head.index("cost EUR")
    assert float(big[cost]) >= 3 and local[cost] == "-"


def session_lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.startswith('{"session"')]


def test_a_run_that_its_kernel_does_not_survive_has_been_used(ledger: Path, start: Callable[[], Notebook]) -> None:
    """Until it died."""
    notebook = start()
    assert notebook.run("%%remote\nimport os\nos._exit(3)").error is not None
    assert wait_until(lambda: [run["state"] for run in rows(ledger, "runs")] == ["died"], 30)


def test_gpus_are_counted(
    sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook], nvml: StubNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPU-seconds of the devices that the session has been on, and the peaks of its runs."""
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        pytest.skip("optional: in a container a PID alone says nothing: run on the machine itself")
    for name, value in nvml.environment().items():
        monkeypatch.setenv(name, value)
    notebook = start()
    notebook.run("%%remote\nimport os, time\nkernel = os.getpid()").check()
    nvml.set(1, util=75, procs=f"{notebook.value('kernel')}:{12 * 10**9}")
    notebook.run("%%remote\ntime.sleep(0.7)").check()
    head, row = shown(notebook, "%remote usage")
    assert head[6:] == ["GPU time", "GPU memory", "GPU use"]
    assert row[7:] == ["12.0 GB", "75 %"] and row[6] == row[1]
    assert [run["peak_gpu_bytes"] for run in rows(ledger, "runs")] == [None, 12 * 10**9]


def test_a_job_is_paid_from_its_start_to_its_end(
    slurm: Slurm, login_node: Sshd, sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]
) -> None:
    """With all GPUs that it holds, whether they are used or not."""
    define_target(sandbox, "a100", **over_slurm(sandbox, login_node, gpus=2, price_per_hour=36))
    notebook = start()
    number = notebook.run("%%remote a100\nimport os\nos.environ['SLURM_JOB_ID']", timeout=120).check().result
    recorded(notebook)
    (job,) = rows(ledger, "jobs")
    assert (job["scheduler_id"], job["gpus"], job["target"], job["ended"]) == (str(number).strip("'"), 2, "a100", None)
    head, row = shown(notebook, "%remote usage")
    assert (row[0], head[6], head[-1]) == ("a100 (1 open)", "GPU time", "cost")
    notebook.run("%remote stop a100").check()
    recorded(notebook)
    (job,) = rows(ledger, "jobs")
    assert (job["state"], job["reason"]) == ("ended", "a notebook asked for it")
    seconds = job["ended"] - job["started"]
    (total,) = Ledger(ledger).usage()
    assert (total.seconds, total.gpu_seconds, total.cost) == pytest.approx((seconds, 2 * seconds, seconds / 100))
    until(lambda: not slurm.run("squeue", "--noheader").stdout, 60, "an empty queue")


# -- faults


def test_without_the_packages_nothing_is_recorded(ledger: Path, start: Callable[[], Notebook]) -> None:
    """Cells run, silently; who asks is told what to install."""
    notebook = start()
    notebook.run("import sys\nsys.modules['alembic'] = None").check()
    assert notebook.run("%%remote\n1").check().stderr == ""
    cell = notebook.run("%remote usage")
    assert cell.error is not None and cell.error.name == "LedgerError"
    assert "pip install 'sqlalchemy>=2' alembic" in cell.error.value
    notebook.run("%remote stop").check()
    assert not ledger.exists()


def test_a_ledger_that_is_not_wanted_is_not_kept(sandbox: Sandbox, start: Callable[[], Notebook]) -> None:
    """FARCELL_LEDGER=/dev/null."""
    notebook = start()
    notebook.run("%%remote\n1").check()
    error = notebook.run("%remote usage").error
    assert error is not None and error.value.startswith("No ledger is kept: FARCELL_LEDGER says so.")


def test_a_ledger_that_cannot_be_written_is_said_once(ledger: Path, start: Callable[[], Notebook]) -> None:
    """Runs go on as fast as ever; the records are there once it can be written again."""
    ledger.mkdir(parents=True)  # a folder in its place
    notebook = start()
    said = [notebook.run("%%remote\n1").check().stderr + recorded(notebook) for _ in range(4)]
    assert "".join(said).count("cannot be opened") == 1
    ledger.rmdir()
    assert shown(notebook, "%remote usage")[1][3] == "4"


def test_a_place_that_takes_no_ledger_fails_no_cell(sandbox: Sandbox, start: Callable[[], Notebook]) -> None:
    """Not even root writes there: said once, also after the session has ended; who asks for usage gets the same words."""
    sandbox.ledger = Path("/proc/farcell/ledger.sqlite")
    notebook = start()
    said = [notebook.run("%%remote\n6 * 7").check().stderr + recorded(notebook) for _ in range(2)]
    said.append(notebook.run("%remote stop").check().stderr + recorded(notebook))
    assert "".join(said).count("/proc/farcell/ledger.sqlite cannot be opened") == 1
    error = notebook.run("%remote usage").error
    assert error is not None and error.name == "LedgerError" and "cannot be opened" in error.value
    assert list((sandbox.cache / "usage").glob("*.jsonl"))  # kept for a ledger that can be written


def test_a_newer_farcells_ledger_is_read_only(ledger: Path, start: Callable[[], Notebook]) -> None:
    """It is said once; what was used stays with the host for the farcell that can write it."""
    at_revision(ledger, "head")
    sql(ledger, "UPDATE alembic_version SET version_num = '9999'")
    notebook = start()
    said = [notebook.run("%%remote\n1").check().stderr + recorded(notebook) for _ in range(2)]
    assert "".join(said).count("was written by a newer farcell") == 1
    assert notebook.run("%remote usage").check().displays[0]["text/plain"] == "Usage by target: nothing yet"
    notebook.run("%remote stop").check()
    sql(ledger, "UPDATE alembic_version SET version_num = ?", REVISIONS[-1])
    after = start()
    after.run("%%remote\n1").check()
    assert shown(after, "%remote usage")[1][3] == "3"


# -- budgets


def test_a_budget_warns_and_refuses(sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]) -> None:
    """Once at 80 %; at 100 % before a session is even started. A raised budget counts from the next cell on."""
    targets(
        sandbox,
        'currency = "EUR"\n[targets.big]\nprice_per_hour = 10\nbudget = { month = 10.0 }\n[targets.dear]\nbudget = { day = 5 }\n',
    )
    spend(ledger, "big", 9.0)
    notebook = start()
    warned = notebook.run("%%remote big\n1").check()
    assert re.search(
        r"Target 'big' cost 9\.\d\d of 10\.00 EUR this month \(9\d %\), by this ledger\. New runs are", warned.stderr
    )
    assert notebook.run("%%remote big\n2").check().stderr == ""
    spend(ledger, "dear", 6.0)
    refused = notebook.run("%%remote dear\nran = 1")
    assert refused.error is not None and refused.error.name == "Refused"
    assert re.search(
        r"Target 'dear' cost 6\.00 of 5\.00 EUR .* No new run begins; what runs goes on\. Raise", refused.error.value
    )
    assert "Nothing was run on 'dear'" in refused.error.value
    status = notebook.run("%remote status").check().displays[0]["text/plain"]
    assert "dear" not in status or "not started" in status
    refused = notebook.run("seen = 1\n%remote push seen --target dear")
    assert refused.error is not None and refused.error.name == "Refused"
    targets(sandbox, 'currency = "EUR"\n[targets.dear]\nbudget = { day = 50 }\n')
    assert notebook.run("%%remote dear\nran = 2").check().stderr == ""


def test_a_budget_reached_meanwhile_ends_no_run(sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]) -> None:
    """What goes on goes on; the run after it is refused."""
    targets(sandbox, "[targets.big]\nprice_per_hour = 3600000\nbudget = { day = 1000.0 }\n")
    notebook = start()
    notebook.run("%%remote big\nimport time\ntime.sleep(1.5)\nwhole = True").check()
    assert notebook.value("whole")
    assert notebook.value("bool(__import__('farcell').usage())")
    refused = notebook.run("%%remote big\n1")
    assert refused.error is not None and refused.error.name == "Refused"
    assert notebook.run("%%remote local\n1").check().stderr == ""


def test_a_personal_budget_is_advisory(sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook]) -> None:
    """It says so, and refuses nothing."""
    targets(sandbox, "budget = { day = 1.0 }\n[targets.big]\nprice_per_hour = 10\n")
    spend(ledger, "big", 2.0)
    cell = start().run("%%remote\n6 * 7").check()
    assert "All targets together cost 2.00 of 1.00 today (200 %)" in cell.stderr
    assert "This budget is advisory: runs go on." in cell.stderr
    assert cell.result == "42"


@pytest.mark.parametrize("without", ["packages", "ledger"])
def test_a_budget_that_cannot_be_checked_holds_up_nothing(
    sandbox: Sandbox, ledger: Path, start: Callable[[], Notebook], without: str
) -> None:
    """It is said once why."""
    targets(sandbox, "[targets.big]\nbudget = { day = 1.0 }\n")
    if without == "ledger":
        sandbox.ledger = Path(os.devnull)
    notebook = start()
    if without == "packages":
        notebook.run("import sys\nsys.modules['sqlalchemy'] = None").check()
    said = notebook.run("%%remote big\n1").check().stderr
    assert "The budget cannot be checked, runs go on" in said
    assert ("pip install" if without == "packages" else "FARCELL_LEDGER") in said
    assert notebook.run("%%remote big\n1").check().stderr == ""
