"""Runs from the ledger and from living sessions in one list, what they have shown, and what was used."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farcell.ledger import Ledger
from jupyter_servers import JupyterServer
from ledgers import run, session
from notebooks import Notebook
from places import define_target


@pytest.fixture(scope="module")
def with_history() -> Iterator[JupyterServer]:
    """Whose ledger has 25 runs of two sessions that are long over."""
    with JupyterServer() as server:
        began = time.time() - 3 * 86400
        ledger = Ledger(server.box.ledger)
        ledger.record(
            session("s1", target="gpu-a", notebook="one.ipynb", started=began, ended=began + 7200, price_per_hour=2.0),
            session("s2", target="gpu-b", notebook="two.ipynb", started=began, ended=began + 7200),
            *(
                run(
                    f"run-{n:02}",
                    session_id="s2" if n % 5 == 0 else "s1",
                    started=began + 60 * (n // 2),  # two at a time
                    ended=began + 60 * (n // 2) + 30,
                    seconds=30.0,
                    state="error" if n % 7 == 0 else "ok",
                    sent_bytes=10,
                )
                for n in range(25)
            ),
        )
        yield server


@pytest.fixture
def server(with_history: JupyterServer) -> Iterator[JupyterServer]:
    yield with_history
    with_history.ask("DELETE", "watch/p")
    with_history.until(lambda snapshot: snapshot["watching"] == 0)


def ids(server: JupyterServer, query: str = "") -> list[str]:
    answer = server.get(f"runs?{query}")
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["runs"]]


def outputs(server: JupyterServer, id: str, limit: int = 200) -> list[dict[str, Any]]:
    """Of all pages."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = server.get(f"runs/{id}/log?after={after}&limit={limit}")
        assert page.status_code == 200, page.text
        assert len(page.json()["outputs"]) <= limit + 1
        found += page.json()["outputs"]
        after = page.json()["next"]
    return found


def test_runs_come_in_pages_the_newest_first(server: JupyterServer) -> None:
    """Each once, also those that began at the same moment."""
    found: list[str] = []
    query = "limit=7"
    for _ in range(4):
        page = server.get(f"runs?{query}").json()
        found += [each["id"] for each in page["runs"]]
        if page["next"] is None:
            break
        query = f"limit=7&before={page['next']}"
    assert found == [f"run-{n:02}" for n in reversed(range(25))]
    first = server.get("runs?limit=1").json()["runs"][0]
    assert (first["target"], first["notebook"], first["is_live"], first["seconds"]) == ("gpu-a", "one.ipynb", False, 30.0)
    assert first["cost"] == pytest.approx(2.0 * 30 / 3600) and first["part"] == pytest.approx(30 / 7200)


def test_runs_are_chosen(server: JupyterServer) -> None:
    assert ids(server, "target=gpu-b") == ["run-20", "run-15", "run-10", "run-05", "run-00"]
    assert ids(server, "session=s2&state=error") == ["run-00"]
    assert ids(server, "state=error&limit=2") == ["run-21", "run-14"]
    assert ids(server, "target=none") == []
    assert server.get("runs/run-07").json()["state"] == "error"
    assert server.get("runs/run-0").status_code == 404, "the beginning of an id is no id here"


def test_what_runs_now_is_in_the_list_with_what_waits(server: JupyterServer) -> None:
    """Though no notebook has told the ledger of them."""
    gate = server.box.folder / "gate"
    server.watch()
    with server.host("--target", "here", "--price-per-hour", "3.6") as host, host.driver() as driver:
        over = driver.start("1 / 0")
        driver.finish(over)
        going = driver.start(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
        waiting = driver.start("2")
        server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["waiting_runs"] == [waiting])
        runs = server.get("runs?target=here").json()["runs"]
        assert [(each["id"], each["state"], each["is_live"]) for each in runs] == [
            (waiting, "queued", True), (going, "running", True), (over, "error", True),
        ]  # fmt: skip
        assert {each["session"] for each in runs} == {host.runtime.name}
        assert ids(server, f"session={host.runtime.name}") == [waiting, going, over]
        assert ids(server, "state=queued") == [waiting]
        assert server.get(f"runs/{waiting}").json()["state"] == "queued"
        assert server.get(f"runs/{going}").json()["seconds"] > 0
        gate.touch()
        driver.finish(waiting).check()
    usage = server.get("usage").json()
    (row,) = [each for each in usage["today"] if each["key"] == "here"]
    assert row["runs"] >= 2 and row["cost"] > 0


def test_a_run_is_on_the_list_at_each_moment(server: JupyterServer) -> None:
    """From when it is seen to run, and once its end is seen with how it ended, however short ago the list was asked for."""
    server.watch()
    gate = server.box.folder / "gate-3"
    with server.host("--target", "short") as host, host.driver() as driver:
        server.until(lambda snapshot: [each for each in snapshot["sessions"] if each["state"] == "idle"])
        for number in range(3):
            path = f"{gate}-{number}"
            assert len(ids(server, "target=short")) == number
            run = driver.start(f"import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)")
            server.until(lambda snapshot, run=run: [each for each in snapshot["runs_in_progress"] if each["id"] == run])
            assert server.get("runs?target=short").json()["runs"][0]["state"] == "running"
            Path(path).touch()
            driver.finish(run).check()
            server.until(lambda snapshot: not [each for each in snapshot["runs_in_progress"] if each["state"] == "running"])
            assert (ids(server, "target=short")[0], server.get(f"runs/{run}").json()["state"]) == (run, "ok")


def test_a_run_names_its_cell_while_it_runs_and_afterwards(server: JupyterServer) -> None:
    """So that a front end finds it; its log is that of the notebook's own run."""
    server.watch()
    with Notebook(server.box) as notebook:
        notebook.run("%load_ext farcell").check()
        running = notebook.start("%%remote local\nprint('begun')\nimport time\nwhile True: time.sleep(0.02)", cell_id="a-cell")
        running.until("begun")
        seen = server.until(lambda snapshot: snapshot["runs_in_progress"])
        (run,) = seen["runs_in_progress"]
        assert (run["cell"], run["state"]) == ("a-cell", "running") and 0 <= time.time() - run["started"] < 60
        notebook.interrupt()
        running.finish()
        answer = server.get(f"runs/{run['id']}")
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["cell"], told["state"], told["session"]) == ("a-cell", "error", run["session"])
        assert outputs(server, run["id"])[0]["text"] == "begun\n"
        notebook.run("%remote stop local").check()


@pytest.mark.parametrize("is_watched", [True, False])
def test_a_run_that_was_over_at_once_is_known_at_once(server: JupyterServer, is_watched: bool) -> None:
    """Though all runs were asked for right before it, and there are as few in progress after it as there were then."""
    if is_watched:
        server.watch()
    with server.host() as host, host.driver() as driver:
        if is_watched:
            server.until(lambda snapshot: snapshot["sessions"] and snapshot["sessions"][0]["is_live"])
        for n in range(5):
            known = ids(server)
            id = driver.start(str(n))
            driver.finish(id).check()
            assert id not in known
            answer = server.get(f"runs/{id}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] in ("running", "ok")


SHOWS = """\
import sys
from IPython.display import HTML, display, clear_output
print("first")
print("aside", file=sys.stderr)
for n in range(6): print(n, flush=True)
display(HTML("<b>bold</b>"), display_id="d")
clear_output(wait=True)
1 / 0
"""


def test_what_a_run_has_shown_is_told_in_pages(server: JupyterServer) -> None:
    """As text and mime bundles, each once and in order; the error that has ended it, too."""
    with server.host("--target", "here") as host, host.driver() as driver:
        driver.run("print('another run')").check()
        id = driver.start(SHOWS)
        assert driver.finish(id).reply["status"] == "error"
        driver.run("print('another run')").check()
        for limit in (200, 2):
            shown = outputs(server, id, limit)
            text = "".join(each["text"] for each in shown if each["name"] == "stdout")
            assert text == "first\n0\n1\n2\n3\n4\n5\n"
            assert "".join(each["text"] for each in shown if each["name"] == "stderr") == "aside\n"
            (bold,) = [each for each in shown if each["type"] == "display_data"]
            assert bold["data"]["text/html"] == "<b>bold</b>" and bold["display_id"] == "d"
            assert [each["wait"] for each in shown if each["type"] == "clear_output"] == [True]
            assert shown[-1]["type"] == "error" and shown[-1]["ename"] == "ZeroDivisionError"
            assert [each["number"] for each in shown] == sorted({each["number"] for each in shown})
        page = server.get(f"runs/{id}/log").json()
        assert (page["is_over"], page["is_whole"], page["target"], page["session"]) == (True, True, "here", host.runtime.name)


def test_the_log_of_a_run_that_goes_on_is_read_on(server: JupyterServer) -> None:
    gate = server.box.folder / "gate-2"
    with server.host() as host, host.driver() as driver:
        id = driver.start(
            f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n'end'"
        )
        driver.wait_message("stream")
        page = server.get(f"runs/{id}/log").json()
        assert not page["is_over"] and page["next"] is None and page["outputs"][0]["text"] == "begun\n"
        gate.touch()
        driver.finish(id).check()
        rest = server.get(f"runs/{id}/log?after={page['outputs'][-1]['number']}").json()
        assert rest["is_over"] and [each["data"]["text/plain"] for each in rest["outputs"]] == ["'end'"]


def test_an_output_that_is_too_large_is_said_to_be_left_out(server: JupyterServer) -> None:
    code = "from IPython.display import display\ndisplay({'text/plain': 'x' * (3 << 20)}, raw=True)\nprint('after')"
    with server.host() as host, host.driver() as driver:
        id = driver.start(code)
        driver.finish(id).check()
        large, after = outputs(server, id)
        assert large["left_out_bytes"] > 3 << 20 and large["data"] is None and after["text"] == "after\n"


def test_the_log_of_a_run_whose_session_is_over_is_not_there(server: JupyterServer) -> None:
    answer = server.get("runs/run-07/log")
    assert answer.status_code == 404 and "ended with its session" in answer.json()["message"]


def test_usage_is_held_against_budgets(server: JupyterServer) -> None:
    define_target(server.box, "gpu-a", budget={"day": 1.0, "month": 1000.0})
    file = server.box.jupyter_config / "farcell" / "targets.toml"
    file.write_text('currency = "EUR"\nbudget = { month = 4.0 }\n' + file.read_text())
    try:
        usage = server.get("usage?by=notebook").json()
        assert usage["currency"] == "EUR" and usage["by"] == "notebook"
        budgets = {each["target"]: each for each in usage["budgets"]}
        assert budgets["gpu-a"]["state"] == "ok" and budgets["gpu-a"]["day"] == {"limit": 1.0, "cost": 0.0, "unpriced_s": 0.0}
        assert budgets[None]["month"]["limit"] == 4.0
    finally:
        file.unlink()


def test_what_travelled_for_a_run_is_told_right_after_it(server: JupyterServer) -> None:
    """Before any ledger has it, and where notebooks are that it may be of."""
    with server.host("--target", "t") as host, host.driver() as driver:
        server.watch()
        server.until(lambda snapshot: snapshot["sessions"])
        id = driver.start("'x' * 5000")
        driver.finish(id).check()
        snapshot = server.until(lambda snapshot: any(run["id"] == id for run in snapshot["runs_ended"]))
        [ended] = [run for run in snapshot["runs_ended"] if run["id"] == id]
        assert ended["session"] == host.runtime.name and ended["sent_bytes"] > 0 and ended["received_bytes"] > 0
        assert snapshot["root"] == str(server.box.folder / "notebooks")


def test_without_a_ledger_it_says_so_and_how_to_have_one() -> None:
    """Sessions and their logs are seen all the same."""
    with JupyterServer(FARCELL_LEDGER="/dev/null") as server:
        for path in ("runs", "runs/abc", "usage"):
            answer = server.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (503, "no-ledger")
            assert "FARCELL_LEDGER" in answer.json()["message"]
        with server.host() as host, host.driver() as driver:
            id = driver.start("print(1)")
            driver.finish(id).check()
            assert outputs(server, id)[0]["text"] == "1\n"


WITHOUT_SQLALCHEMY = """
import importlib.util as util

find = util.find_spec
util.find_spec = lambda name, *more: None if name == "sqlalchemy" else find(name, *more)
"""


def test_without_its_packages_it_names_the_command_that_installs_them(tmp_path: Path) -> None:
    """As `pip install farcell[server]` leaves it."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_SQLALCHEMY)
    with JupyterServer(PYTHONPATH=":".join([str(tmp_path), *sys.path])) as server:
        answer = server.get("runs")
        assert answer.status_code == 503 and "pip install 'sqlalchemy>=2' alembic" in answer.json()["message"]
        assert json.loads(answer.text)["reason"] == "no-ledger"
