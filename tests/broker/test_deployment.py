"""What docs/deployment.md tells an administrator to write: policy, hub, unit and Kubernetes, taken out of the document."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from brokers import User
from farcell_broker import cli
from farcell_broker.auth import ADMIN, USE
from farcell_broker.policy import Policy, parse
from hubs import ACCESS, BrokerHub
from sandbox import Sandbox

DOCUMENT = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HUB_SETTINGS = "services", "custom_scopes", "load_roles"


def block(first_line: str) -> str:
    """The one that begins so."""
    [found] = [text for _, text in BLOCK.findall(DOCUMENT) if text.startswith(first_line)]
    return str(found)


@pytest.fixture(scope="module")
def sample() -> Policy:
    return parse(block("# /etc/farcell-broker/policy.toml"))


def test_the_policy_is_right(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(block("# /etc/farcell-broker/policy.toml"))
    checked = check(file)
    assert checked.returncode == 0, checked.stderr
    assert "pool: ssh, 8 to lend, isolation account" in checked.stdout
    assert "is right: 3 targets, 2 groups, 1 users." in checked.stdout
    file.write_text(file.read_text().replace('isolation = "account"', 'isolation = "acount"'))
    checked = check(file)
    assert checked.returncode == 1 and "line 12, targets.pool.isolation: " in checked.stderr


def check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "farcell_broker", "check-config", "--policy", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_policy_says_what_its_comments_say(sample: Policy) -> None:
    nobody, ml, ada = (sample.allowance(user, groups) for user, groups in (("x", ()), ("y", ("ml",)), ("ada", ("ml",))))
    assert (nobody.targets, nobody.gpus, nobody.max_walltime_s) == (("sandbox",), 1, 4 * 3600)
    assert (ml.targets, ml.gpus, ml.gpu_hours_per_day, ml.weight) == (("pool", "sandbox"), 4, 48.0, 2.0)
    assert (ada.gpus, ada.targets, ada.gpu_hours_per_day) == (8, ml.targets, 48.0)
    [lesson] = sample.reservations
    assert sample.span(lesson)[1] - sample.span(lesson)[0] == 3 * 3600


def test_the_littlest_hubs_accounts_are_its_users(sample: Policy) -> None:
    target = parse(block('[targets.pool]\nbackend = "ssh"')).targets["pool"]
    assert target.account_of("ada") == "jupyter-ada"


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("optional: no systemd-analyze on this machine")
    text = block("# /etc/systemd/system/farcell-broker.service")
    assert text.count("/opt/farcell-broker/bin/farcell-broker ") == 2 and "KillMode=process" in text
    unit = tmp_path / "farcell-broker.service"
    unit.write_text(text.replace("/opt/farcell-broker/bin/farcell-broker ", f"{sys.executable} -m farcell_broker "))
    said = subprocess.run([verify, "verify", "--man=no", unit], capture_output=True, text=True, timeout=60)
    about = [line for line in said.stderr.splitlines() if "farcell-broker" in line]
    assert about == [], about


def test_the_commands_are_those_that_there_are() -> None:
    for line in re.findall(r"farcell-broker ((?:run|check-config|token) .*?)(?:`|\s+#|$)", DOCUMENT, re.MULTILINE):
        cli._parser().parse_args(line.split())
    deployment = manifests()["Deployment"]["spec"]["template"]["spec"]
    [container] = deployment["containers"]
    assert container["args"][0] == "farcell-broker"
    cli._parser().parse_args(container["args"][1:])


def test_the_charts_values_give_what_the_hubs_configuration_gives() -> None:
    """Scopes and roles of both are the same."""
    values = yaml.safe_load(block("# values.yaml"))
    hub = values["hub"]
    c = configured(block("# jupyterhub_config.py\nUSE"))
    assert hub["config"]["JupyterHub"]["custom_scopes"] == c["custom_scopes"]
    assert set(c["custom_scopes"]) == {USE, ADMIN}
    roles = {role["name"]: role for role in c["load_roles"]}
    assert {name: set(role["scopes"]) for name, role in hub["loadRoles"].items()} == {
        name: set(role["scopes"]) for name, role in roles.items()
    }
    assert hub["loadRoles"]["farcell-broker"]["services"] == roles["farcell-broker"]["services"] == ["farcell"]
    service = hub["services"]["farcell"]
    assert service["oauth_client_allowed_scopes"] == c["services"][0]["oauth_client_allowed_scopes"]
    assert values["singleuser"]["extraEnv"]["FARCELL_BROKER_URL"].endswith("/services/farcell/")


def test_the_parts_in_kubernetes_fit_together() -> None:
    found = manifests()
    service, deployment, claim = (found[kind] for kind in ("Service", "Deployment", "PersistentVolumeClaim"))
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    variables = {each["name"]: each for each in container["env"]}
    documented = dict(line.split("=", 1) for line in block("# /etc/farcell-broker/environment").splitlines()[1:])
    assert documented.keys() == variables.keys() - {"HOME"}
    key = variables["JUPYTERHUB_API_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert key == {"name": "hub", "key": "hub.services.farcell.apiToken"}
    port = service["spec"]["ports"][0]["port"]
    assert container["ports"] == [{"containerPort": port}] and variables["JUPYTERHUB_SERVICE_URL"]["value"].endswith(f":{port}")
    url = yaml.safe_load(block("# values.yaml"))["hub"]["services"]["farcell"]["url"]
    assert url == f"http://{service['metadata']['name']}:{port}"
    labels = pod["metadata"]["labels"]
    for selector in (service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes.keys()
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def manifests() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(block("# farcell-broker.yaml"))}


def configured(text: str) -> dict[str, Any]:
    """What a snippet of jupyterhub_config.py makes of nothing."""
    from traitlets.config import Config

    c = Config()
    exec(compile(text, "deployment.md", "exec"), {"c": c})
    found = c.JupyterHub
    return {
        "services": found.services.get_value([]),
        "custom_scopes": found.custom_scopes.get_value({}),
        "load_roles": found.load_roles.get_value([]),
    }


class DocumentedHub(BrokerHub):
    """With the document's configuration in the place of the tests' own; with `is_external` the broker is started beside it."""

    def __init__(self, box: Sandbox, is_external: bool) -> None:
        super().__init__(box, ("ada",), {"ml": ["ada"]})
        self._is_external = is_external

    def _write(self, own: list[str]) -> None:
        kept = [line for line in own if not line.startswith(tuple(f"c.JupyterHub.{name} = " for name in HUB_SETTINGS))]
        services = next(line for line in own if line.startswith("c.JupyterHub.services = "))
        roles = next(line for line in own if line.startswith("c.JupyterHub.load_roles = "))
        self.listens = re.findall(r"'url': '(http://127.0.0.1:\d+)'", services)[0]
        self._broker_token = os.urandom(16).hex()
        (self.box.folder / "farcell.token").write_text(self._broker_token)
        snippet = block("# jupyterhub_config.py\nUSE")
        if self._is_external:
            [first] = re.findall(r"^c\.JupyterHub\.services\.append\(.*?^\)\n", snippet, re.MULTILINE | re.DOTALL)
            snippet = snippet.replace(first, block("# jupyterhub_config.py, in the place of"))
        tests = [
            f"theirs, testers = {services.split(' = ', 1)[1]}, {roles.split(' = ', 1)[1]}",
            "# The snippet adds to what there is; of the tests' own that is what they ask the hub with.",
            "c.JupyterHub.services.append(theirs[0])",
            "c.JupyterHub.load_roles.append(testers[0])",
            "service = c.JupyterHub.services.get_value([])[0]",
            "if 'user' in service:",
            "    assert service.pop('user') == 'farcell-broker'",  # an account that only a real installation has
            f"    service['command'][:1] = [{sys.executable!r}, '-m', 'farcell_broker']",
            "    service['environment'].update(theirs[1]['environment'])",
        ]
        super()._write([*kept, self._with_places(snippet), *tests])

    def _with_places(self, text: str) -> str:
        """The document's text with the places of this test."""
        for place, here in (
            ("http://127.0.0.1:8086", self.listens),
            ("http://127.0.0.1:8000/services/farcell/", self.broker),
            ("http://127.0.0.1:8081/hub/api", f"{self.url}hub/api"),
            ("/etc/farcell-broker/policy.toml", str(self.policy)),
            ("/etc/jupyterhub/farcell.token", str(self.box.folder / "farcell.token")),
            ("/var/lib/farcell-broker", str(self._state_folder())),
            ("=/services/farcell/", "=/hubbed/services/farcell/"),
            ("_BASE_URL=/\n", "_BASE_URL=/hubbed/\n"),
            ("the token of farcell.token", self._broker_token),
        ):
            text = text.replace(place, here)
        return text

    def _state_folder(self) -> Path:
        self.state.mkdir(mode=0o700, exist_ok=True)
        return self.state

    def _start(self) -> None:
        if self._is_external:
            lines = self._with_places(block("# /etc/farcell-broker/environment")).splitlines()[1:]
            given = dict(line.split("=", 1) for line in lines)
            words = ["run", "--policy", str(self.policy), "--state-dir", str(self.state)]
            with open(self.box.folder / "broker.log", "wb") as log:
                self._external = subprocess.Popen(
                    [sys.executable, "-m", "farcell_broker", *words],
                    env={**self.box.environment(), **given},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                )
        try:
            super()._start()
        except BaseException:
            self._end_external()
            raise

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._end_external()

    def _end_external(self) -> None:
        if self._is_external:
            self._external.terminate()
            assert self._external.wait(30) == 0


@pytest.fixture(scope="module", params=["started by the hub", "beside the hub"])
def hub(request: pytest.FixtureRequest) -> Iterator[DocumentedHub]:
    box = Sandbox()
    with DocumentedHub(box, is_external=request.param == "beside the hub") as hub:
        yield hub
    left = box.close()
    assert not left, "left behind:\n  " + "\n  ".join(left)


@pytest.mark.slow
def test_a_hub_configured_by_the_document_lends_to_its_users(hub: DocumentedHub) -> None:
    """Its own scopes let nobody else in; the token is of the kind that a user's server has."""
    ada: User = hub.user("ada")
    assert ada.client.get("api/me").json() == {"name": "ada", "groups": ["ml"], "is_admin": False}
    assert hub.user("ada", ACCESS).client.get("api/me").status_code == 401
    lease = ada.until(ada.lease()["id"], "running")
    ada.end(lease["id"])
    role = hub.api("users/ada")["roles"]
    assert role == ["user"]


@pytest.mark.slow
def test_a_users_server_knows_the_way_to_the_broker(hub: DocumentedHub) -> None:
    """By its environment and its own token, as kernels have them."""
    url = hub.serve("ada")
    terminal = hub.client.post(f"{url}api/terminals", json={})
    assert terminal.is_success, terminal.text
    [server] = [each for each in hub.box.processes() if "jupyterhub-singleuser" in " ".join(each.cmdline())]
    environment = server.environ()
    assert environment["FARCELL_BROKER_URL"] == hub.broker
    token = environment["JUPYTERHUB_API_TOKEN"]
    answer = hub.client.get(f"{hub.broker}api/targets", headers={"Authorization": f"token {token}"})
    assert [each["name"] for each in answer.json()["targets"]] == ["pool"]
    hub.client.delete(f"{url}api/terminals/{terminal.json()['name']}")
