"""A session whose variables others may read, as a teacher's: as data, while it lasts, and without a say in it."""

from __future__ import annotations

import pytest
from brokers import BrokerProcess, User, error_of
from notebooks import Notebook

LESSON = """%%remote pool
import numpy as np
weights = np.arange(6.0).reshape(2, 3)
history = {"loss": [0.5, 0.25], "best": {"epoch": 2}}
class Model:
    def __reduce__(self):
        return exec, ("import builtins; builtins.owned = True",)
model = Model()
big = np.zeros(3_000_000)
"""


@pytest.mark.timeout(240)
def test_a_class_reads_what_a_teachers_session_holds(broker: BrokerProcess, notebook: Notebook, reader: Notebook) -> None:
    ada, bob, eve = (broker.user(name) for name in ("ada", "bob", "eve"))
    broker.define(notebook.sandbox, ada, "pool")
    broker.define(reader.sandbox, bob, "pool")
    notebook.run(LESSON).check()
    said = notebook.run("%remote share --session pool --with bob --for 2h").check().stdout
    assert said.startswith("bob can read the variables of this session on 'pool' while it lasts, until ")
    share = said.split("%remote shared ")[1].split()[0]

    reader.run("%load_ext farcell").check()
    assert "the session" in reader.run("%remote shared").check().outputs[0]["data"]["text/plain"]
    held = reader.run(f"%remote shared {share}").check().outputs[0]["data"]["text/plain"]
    assert "'ada' shares a session on 'pool', which holds" in held
    assert all(each in held for each in ("weights", "2x3", "history", "model")), held

    reader.run("mine = 1").check()
    reader.run(f"%remote shared {share} --pull weights,history").check()
    history = {"loss": [0.5, 0.25], "best": {"epoch": 2}}
    assert reader.value("(weights.tolist(), history, mine)") == ([[0, 1, 2], [3, 4, 5]], history, 1)
    reader.run("history['loss'].append(9)").check()
    assert notebook.run("%%remote pool\nlen(history['loss'])").check().result == "2", "who reads changes nothing there"

    notebook.run("%%remote pool\nhistory['loss'].append(0.125)").check()
    reader.run(f"%remote shared {share} --pull history").check()
    assert reader.value("history['loss']") == [0.5, 0.25, 0.125], "it is read as it is now"

    for name, why in (("model", "trust"), ("big", "larger than"), ("nothing", "no such variable"), ("Out", "no such variable")):
        error = reader.run(f"%remote shared {share} --pull {name}").error
        assert error is not None and error.name == "UsageError" and name in error.value and why in error.value, error
    assert not reader.value("hasattr(__import__('builtins'), 'owned')")

    answer = eve.client.post(f"api/shares/{share}/values", json={"names": ["weights"]})
    assert (answer.status_code, error_of(answer)) == (404, "not-found")
    assert eve.client.get(f"api/shares/{share}").status_code == 404
    told = bob.client.get(f"api/shares/{share}").json()
    assert told["is_session"] and not {"lease_id", "fence"} & told.keys() and told["outputs"] == []
    lease = ada.client.get("api/leases").json()["leases"][0]["id"]
    answer = eve.client.post("api/shares", json={"readers": ["bob"], "lease": lease})
    assert (answer.status_code, error_of(answer)) == (404, "not-found")

    notebook.run("%remote stop pool", answers=["y"]).check()  # though `big` is there alone
    ada.until(lease, "ended")
    over = reader.run(f"%remote shared {share} --pull weights").error
    assert over is not None and f"There is no share '{share}' of yours or for you" in over.value
    assert ada.client.get("api/shares").json() == {"shares": []}


@pytest.mark.timeout(240)
def test_who_reads_does_not_wait_for_a_cell_nor_keep_a_session(broker: BrokerProcess, notebook: Notebook) -> None:
    ada, bob = broker.user("ada"), broker.user("bob")
    broker.define(notebook.sandbox, ada, "pool")
    notebook.run("%%remote pool\nx = 1").check()
    lease = ada.client.get("api/leases").json()["leases"][0]["id"]
    share = ada.client.post("api/shares", json={"readers": ["bob"], "lease": lease}).json()["id"]
    idle_s = _idle_s(ada)
    assert {each["name"] for each in bob.client.post(f"api/shares/{share}/values", json={}).json()["vars"]} == {"x"}
    assert _idle_s(ada) > idle_s, "nobody has used it meanwhile"
    running = notebook.start("%%remote pool\ninput('go? ')")
    running.until(lambda cell: bool(cell.prompts))
    assert bob.client.post(f"api/shares/{share}/values", json={"names": ["x"]}).json() == {"vars": None, "values": None}
    running.answer("on")
    running.finish().check()
    notebook.run("%remote stop pool").check()


def _idle_s(user: User) -> float:
    return float(user.client.get("api/leases", params={"status": 1}).json()["leases"][0]["status"]["idle_s"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease": "x", "run": "r1", "outputs": []},
        {"lease": "x", "outputs": []},
        {"run": "r1"},
        {},
        {"lease": ""},
    ],
)
def test_a_share_is_of_a_run_or_of_a_session(broker: BrokerProcess, wrong: dict[str, object]) -> None:
    answer = broker.user("ada").client.post("api/shares", json={"readers": ["bob"], **wrong})
    assert answer.status_code == 400, answer.text


def test_a_run_that_is_shared_has_no_values(broker: BrokerProcess) -> None:
    ada, bob = broker.user("ada"), broker.user("bob")
    share = ada.client.post("api/shares", json={"run": "r1", "readers": ["bob"], "outputs": []}).json()["id"]
    answer = bob.client.post(f"api/shares/{share}/values", json={"names": []})
    assert (answer.status_code, error_of(answer)) == (409, "refused")
