"""Targets are listed, defined, tried and taken out over REST; their file stays a person's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farcell.server.form import FORM
from farcell.targets import KEYS
from jupyter_servers import JupyterServer
from notebooks import Notebook
from places import over_ssh
from services.sshd import Sshd

BEFORE = '# mine\n[targets.big]   # the old one\nbackend = "local"\nkeep_s = inf  # for ever\n'


@pytest.fixture
def file(server: JupyterServer) -> Iterator[Path]:
    """targets.toml of this server, which is not there at first."""
    path = server.box.jupyter_config / "farcell" / "targets.toml"
    yield path
    path.unlink(missing_ok=True)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def listed(server: JupyterServer) -> dict[str, Any]:
    return {target["name"]: target for target in server.get("targets").json()["targets"]}


def test_the_built_in_ones_are_there(server: JupyterServer, file: Path) -> None:
    found = listed(server)
    assert set(found) == {"local", "local-attach"}
    assert found["local"]["is_default"] and found["local"]["is_builtin"] and not found["local"]["is_own"]
    assert server.get("targets").json()["file"] == str(file)


def test_a_target_is_defined_and_all_else_in_the_file_stays(server: JupyterServer, file: Path) -> None:
    write(file, BEFORE)
    file.chmod(0o640)
    keys = {"backend": "ssh", "host": "gpu-a", "setup": ["module load cuda"], "keep_s": "inf", "user": None, "env": {"N": "8"}}
    answer = server.post("targets", {"name": "gpu-a", "keys": keys})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["keys"] == {key: value for key, value in keys.items() if value is not None}
    assert told["is_own"] and told["where"] == "gpu-a" and told["state"] == "unasked" and 'host = "gpu-a"' in told["text"]
    text = file.read_text()
    assert text.startswith(BEFORE) and "keep_s = inf" in text.removeprefix(BEFORE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [each["name"] for each in server.snapshot()["targets"]] == ["big", "gpu-a", "local", "local-attach"]


def test_one_of_the_same_name_is_only_replaced(server: JupyterServer, file: Path) -> None:
    write(file, BEFORE)
    again = server.post("targets", {"name": "big", "keys": {}})
    assert (again.status_code, again.json()["reason"]) == (409, "exists") and file.read_text() == BEFORE
    replaced = server.ask("PUT", "targets/big", json={"keys": {"keep_s": 30}})
    assert replaced.status_code == 200 and replaced.json()["keys"] == {"keep_s": 30}
    assert file.read_text().startswith("# mine\n") and "inf" not in file.read_text()
    assert server.ask("PUT", "targets/none", json={"keys": {}}).status_code == 404


def test_what_is_wrong_is_told_by_field_and_not_written(server: JupyterServer, file: Path) -> None:
    keys = {"backend": "shh", "keep_s": -1, "cwd": "work", "env": {"A=B": "c"}, "cpu": 1, "budget": {"day": 0}}
    answer = server.post("targets", {"name": "t", "keys": keys})
    assert answer.status_code == 400
    fields = {each["field"]: each["message"] for each in answer.json()["fields"]}
    assert "greater than 0" in fields["keys.keep_s"] and "whole path" in fields["keys.cwd"]
    assert "keys.env.A=B" in fields and "keys.budget.day" in fields and "keys.cpu" in fields
    assert not file.exists()
    one = server.post("targets", {"name": "t", "keys": {"backend": "shh"}})
    assert one.status_code == 400 and "Did you mean 'ssh'?" in one.json()["message"]
    assert server.post("targets", {"name": "a b", "keys": {}}).json()["fields"][0]["field"] == "name"
    without_host = server.post("targets", {"name": "t", "keys": {"backend": "ssh"}})
    assert without_host.json()["fields"] == [{"field": "keys", "message": "a target with backend ssh needs its host"}]
    assert not file.exists()


def test_a_target_is_taken_out(server: JupyterServer, file: Path) -> None:
    write(file, f'default = "big"\n{BEFORE}[targets.other]\n')
    kept = server.ask("DELETE", "targets/big")
    assert (kept.status_code, kept.json()["reason"]) == (409, "default")
    assert server.ask("DELETE", "targets/other").status_code == 204
    assert file.read_text() == f'default = "big"\n{BEFORE}'
    not_own = server.ask("DELETE", "targets/local")
    assert (not_own.status_code, not_own.json()["reason"]) == (409, "not-own")


def test_a_file_that_is_edited_by_hand_counts_at_once(server: JupyterServer, file: Path) -> None:
    """Also a wrong one: it is listed with what is wrong, and can be put right over REST."""
    write(file, BEFORE + "[targets.bad]\nkeep_s = -1\n")
    bad = listed(server)["bad"]
    assert bad["state"] == "wrong" and "greater than 0" in bad["problems"][0] and "line 6" in bad["problems"][0]
    assert server.get("targets/bad").json()["keys"] == {"keep_s": -1}
    assert server.ask("PUT", "targets/bad", json={"keys": {"keep_s": 1}}).json()["problems"] == []
    write(file, "[targets\n")
    assert "line 1" in server.get("targets").json()["problems"][0]
    assert server.snapshot()["target_problems"]
    refused = server.post("targets", {"name": "t", "keys": {}})
    assert refused.status_code == 400 and file.read_text() == "[targets\n"


def test_a_file_that_cannot_be_written_is_said(server: JupyterServer, file: Path) -> None:
    if os.geteuid() == 0:
        file.parent.mkdir(exist_ok=True)
        file.symlink_to("/proc/version")
    else:
        write(file, BEFORE)
        file.parent.chmod(0o500)
    try:
        answer = server.post("targets", {"name": "t", "keys": {}})
        assert answer.status_code in (400, 503) and answer.json()["message"]
    finally:
        file.parent.chmod(0o700)


def test_a_form_has_words_for_every_key(server: JupyterServer) -> None:
    """And for none that is not there."""
    assert set(FORM) == set(KEYS)
    schema = server.get("targets/schema").json()
    assert schema["order"][:2] == ["backend", "host"] and schema["backends"] == ["broker", "local", "slurm", "ssh"]
    properties = schema["json_schema"]["properties"]
    assert all(each["title"] and each["description"] for each in properties.values()) and "name" not in properties
    assert properties["gpus"]["x-backends"] == ["slurm"] and {"const": "inf", "type": "string"} in properties["keep_s"]["anyOf"]


def test_a_target_added_over_rest_runs_a_cell(server: JupyterServer, file: Path) -> None:
    """In a notebook that was there before; and its session shows under that name."""
    with Notebook(server.box) as notebook:
        notebook.run("%load_ext farcell").check()
        env = {"ANSWER": "42"}
        assert server.post("targets", {"name": "added", "keys": {"backend": "local", "env": env}}).status_code == 201
        assert notebook.run("%%remote added\nimport os\nos.environ['ANSWER']").check().result == "'42'"
        (session,) = server.get("sessions").json()["sessions"]
        assert (session["target"], session["is_driven"]) == ("added", True)
        notebook.run("%remote stop added").check()


@pytest.mark.parametrize("way", ["local", "ssh"])
def test_a_target_is_tried(way: str, server: JupyterServer, file: Path, sshd: Sshd) -> None:
    """By a task, whose steps are in the snapshot as they are done."""
    name = "local"
    if way == "ssh":
        name = "far"
        assert server.post("targets", {"name": name, "keys": over_ssh(server.box, sshd)}).status_code == 201
    begun = server.post(f"targets/{name}/test")
    assert begun.status_code == 202 and begun.json()["state"] == "running"
    assert server.post(f"targets/{name}/test").status_code == 409
    id = begun.json()["id"]
    seen = server.until(lambda snapshot: [t for t in snapshot["tasks"] if t["id"] == id and t["state"] != "running"], 90)
    (task,) = [each for each in seen["tasks"] if each["id"] == id]
    assert task["state"] == "ok", task
    assert [step["step"] for step in task["steps"]] == ["session started", "first cell", "second cell", "session ended"]
    assert server.get(f"tasks/{id}").json() == task


def test_a_target_that_does_not_work_is_told(server: JupyterServer, file: Path) -> None:
    keys = {"backend": "ssh", "host": "no-such-host.invalid"}
    assert server.post("targets", {"name": "far", "keys": keys}).status_code == 201
    id = server.post("targets/far/test").json()["id"]
    server.until(lambda snapshot: [t for t in snapshot["tasks"] if t["id"] == id and t["state"] != "running"], 90)
    task = server.get(f"tasks/{id}").json()
    assert task["state"] == "failed" and "no-such-host.invalid" in task["message"] and "farcell doctor far" in task["message"]
