"""What a hub that is restarted, or that stops a user's server, does to those who run something through the broker."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from brokers import User, pool_policy
from hubs import BrokerHub, connection_file
from jupyter_client.blocking.client import BlockingKernelClient
from notebooks import Notebook
from sandbox import Sandbox

COUNTS = "import os, time\nfor n in range({count}):\n    print(n, flush=True)\n    time.sleep({pause})\nsame = pid == os.getpid()"


class ApartHub(BrokerHub):
    """Its proxy and the broker are processes that it has not started and does not end, as in a large installation."""

    def _write(self, lines: list[str]) -> None:
        at = next(n for n, line in enumerate(lines) if line.startswith("c.JupyterHub.services = "))
        services: list[dict[str, Any]] = eval(lines[at].partition(" = ")[2])
        broker = next(each for each in services if each["name"] == "farcell")
        self._command, given, self._key = broker.pop("command"), broker.pop("environment"), secrets.token_hex(16)
        broker["api_token"] = secrets.token_hex(16)
        lines[at] = f"c.JupyterHub.services = {services!r}"
        lines += [
            "c.ConfigurableHTTPProxy.should_start = False",
            f"c.ConfigurableHTTPProxy.auth_token = {self._key!r}",
            "c.JupyterHub.cleanup_servers = False",
        ]
        api = re.findall(r"api_url = 'http://127.0.0.1:(\d+)'", "\n".join(lines))[0]
        hub = re.findall(r"hub_port = (\d+)", "\n".join(lines))[0]
        public = re.findall(r"http://127.0.0.1:(\d+)/", self.url)[0]
        self._ways = ["--ip", "127.0.0.1", "--port", public, "--api-ip", "127.0.0.1", "--api-port", api]
        self._given = {
            **given,
            "JUPYTERHUB_API_TOKEN": broker["api_token"],
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub}/hubbed/hub/api",
            "JUPYTERHUB_BASE_URL": "/hubbed/",
            "JUPYTERHUB_SERVICE_NAME": "farcell",
            "JUPYTERHUB_SERVICE_PREFIX": "/hubbed/services/farcell/",
            "JUPYTERHUB_SERVICE_URL": broker["url"],
        }
        super()._write(lines)

    _beside: tuple[subprocess.Popen[bytes], ...] = ()

    def __enter__(self) -> ApartHub:
        try:
            super().__enter__()
        except BaseException:
            self._end_beside()
            raise
        return self

    def _start(self) -> None:
        if not self._beside:
            proxy = [self._proxy, *self._ways, "--error-target", f"{self.url}hub/error"]
            key = {"CONFIGPROXY_AUTH_TOKEN": self._key}
            self._beside = self._begin(proxy, key), self._begin(self._command, self._given)
        super()._start()

    def _begin(self, command: list[str], given: dict[str, str]) -> subprocess.Popen[bytes]:
        with open(self.box.folder / f"{Path(command[0]).name}.log", "ab") as log:
            return subprocess.Popen(
                command,
                env={**self.box.environment(), **given},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._end_beside()

    def _end_beside(self) -> None:
        beside, self._beside = self._beside, ()
        for each in beside:
            each.terminate()
            each.wait(30)


def policy(box: Sandbox) -> str:
    return pool_policy(box, slots=1) + '[admins]\nusers = ["root"]\n'


def begun(hub: BrokerHub, notebook: Notebook) -> User:
    """Ada's session is there."""
    ada = hub.user("ada")
    hub.define(hub.box, ada)
    notebook.run("%load_ext farcell").check()
    notebook.run("%%remote pool\nimport os\npid = os.getpid()").check()
    return ada


def streams_opened(hub: BrokerHub) -> int:
    answer = hub.user("root").client.get("api/audit", params={"action": "stream.opened"})
    return len(answer.json()["entries"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stream_is_taken_up_without_a_gap_when_hub_proxy_and_broker_are_restarted(
    sandbox: Sandbox, plain_notebook: Notebook, number: signal.Signals
) -> None:
    """As an update of a small installation is, or a hub that was killed, whose broker is told by nobody: the run goes on
    meanwhile, and the token is the one it was."""
    notebook = plain_notebook
    with BrokerHub(sandbox, ("ada", "root"), policy=policy(sandbox)) as hub:
        ada = begun(hub, notebook)
        (before,) = ada.client.get("api/leases").json()["leases"]
        running = notebook.start(f"%%remote pool\n{COUNTS.format(count=200, pause=0.05)}")
        running.until("5\n")
        hub.stop(number)
        hub.until(lambda: not [each for each in sandbox.processes() if "farcell_broker" in each.cmdline()])
        hub.start()
        cell = running.finish(90).check()
        assert cell.stdout.split() == [str(n) for n in range(200)]
        assert notebook.value("same") is True
        (after,) = ada.client.get("api/leases").json()["leases"]
        assert (after["id"], after["fence"], after["state"]) == (before["id"], before["fence"], "running")
        notebook.run("%remote stop pool").check()
        ada.until(before["id"], "ended")


@pytest.mark.slow
def test_an_open_stream_outlives_the_hub_where_proxy_and_broker_are_apart(sandbox: Sandbox, plain_notebook: Notebook) -> None:
    """Nobody new is let in while the hub is away; the cell that runs is not touched, and neither is its stream."""
    notebook = plain_notebook
    with ApartHub(sandbox, ("ada", "root"), policy=policy(sandbox)) as hub:
        ada = begun(hub, notebook)
        before = streams_opened(hub)
        running = notebook.start(f"%%remote pool\n{COUNTS.format(count=320, pause=0.1)}")
        running.until("5\n")
        hub.stop()
        running.until("100\n")  # the broker remembers for ten seconds who was let in
        assert ada.client.get("api/me").status_code == 503
        running.until("260\n")  # it asks for an open stream's token every twenty
        hub.start()
        cell = running.finish(90).check()
        assert cell.stdout.split() == [str(n) for n in range(320)]
        assert notebook.value("same") is True
        assert streams_opened(hub) == before
        (lease,) = ada.client.get("api/leases").json()["leases"]
        notebook.run("%remote stop pool").check()
        ada.until(lease["id"], "ended")


@pytest.mark.slow
def test_a_run_goes_on_when_its_user_s_server_is_culled_is_counted_and_picked_up_after_the_next_start(sandbox: Sandbox) -> None:
    """By the request that jupyterhub-idle-culler makes. The run ends while no server of the user's is there."""
    done = sandbox.folder / "done"
    with BrokerHub(sandbox, ("ada", "root"), policy=policy(sandbox)) as hub:
        ada = hub.user("ada")
        url = hub.serve("ada")
        with Kernel(hub, url) as kernel:
            pid = int(kernel.run("import os\nprint(os.getpid())"))
            kernel.run("%load_ext farcell")
            waits = f"import os, time\nwhile not os.path.exists({str(done)!r}):\n    time.sleep(0.05)"
            kernel.run(f"%%remote pool --detach\nprint('begun', flush=True)\n{waits}\nprint('over')\nmade = 6 * 7")
            (before,) = ada.client.get("api/leases").json()["leases"]
            hub.api("users/ada/server", "DELETE")
            hub.until(lambda: hub.api("users/ada").get("server") is None)
        hub.until(lambda: not psutil.pid_exists(pid))
        (during,) = ada.client.get("api/leases", params={"status": 1}).json()["leases"]
        assert (during["id"], during["state"]) == (before["id"], "running") and during["status"]["run"]
        done.touch()
        hub.until(lambda: not ada.client.get("api/leases", params={"status": 1}).json()["leases"][0]["status"]["run"])
        hub.until(lambda: rows(ada)[0]["runs"] == 1)
        assert rows(ada)[0]["open"] == 1
        with Kernel(hub, hub.serve("ada")) as kernel:
            kernel.run("%load_ext farcell")
            assert kernel.run("%remote attach").split() == ["begun", "over"]
            assert "made is 42" in kernel.run("print(f'made is {made}')")
            kernel.run("%remote stop pool")
        ended = ada.until(before["id"], "ended")
        assert (ended["fence"], rows(ada)[0]["runs"]) == (before["fence"], 1)


def rows(user: User) -> list[dict[str, Any]]:
    return list(user.client.get("api/accounts", params={"by": "user"}).json()["rows"])


class Kernel:
    """The kernel of a notebook on a user's server, as JupyterLab starts it."""

    def __init__(self, hub: BrokerHub, url: str) -> None:
        body = {"path": "work.ipynb", "name": "work.ipynb", "type": "notebook", "kernel": {"name": "python3"}}
        answer = hub.client.post(f"{url}api/sessions", json=body)
        assert answer.is_success, answer.text
        file = connection_file(hub.box, answer.json()["kernel"]["id"])
        self._client = BlockingKernelClient(connection_file=str(file))

    def __enter__(self) -> Kernel:
        self._client.load_connection_file()
        self._client.start_channels()
        while "ready" not in self.run("print('ready')"):  # what it says before we listen is not heard
            pass
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.stop_channels()

    def run(self, code: str) -> str:
        """All that it shows; fails when it raises."""
        said: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            said.append(content.get("text") or content.get("data", {}).get("text/plain") or "")

        reply = self._client.execute_interactive(code, output_hook=take, timeout=90, allow_stdin=False)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said)
