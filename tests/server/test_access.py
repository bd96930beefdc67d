"""Who may ask, what a wrong request is answered with, and that every path goes through the server's base URL."""

from __future__ import annotations

import concurrent.futures
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from farcell.server.app import FarcellApp
from farcell.server.routes import ROUTES, Route
from jupyter_servers import JupyterServer

# What any route's path may be, with something in its braces.
CALLS = [(route, re.sub(r"{\w+}", "nothing", route.path)) for route in ROUTES]
NAMES = [f"{route.method} {route.path}" for route in ROUTES]
READ_ONLY = """
from jupyter_server.auth.authorizer import Authorizer

class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "farcell" or action == "read"
"""


@pytest.fixture(scope="module")
def of_ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server as a hub starts it, for somebody who may only look."""
    folder = tmp_path_factory.mktemp("authorizer")
    (folder / "read_only.py").write_text(READ_ONLY)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    with JupyterServer("/user/ada/", "--ServerApp.authorizer_class=read_only.ReadOnly", PYTHONPATH=path) as server:
        yield server


@pytest.mark.parametrize(("route", "path"), CALLS, ids=NAMES)
def test_nothing_is_told_or_done_without_a_login(route: Route, path: str, server: JupyterServer) -> None:
    for token in (None, "wrong"):
        answer = server.ask(route.method, path, token=token, **({"json": {}} if route.body else {}))
        assert answer.status_code == 403 and answer.json()["message"]
    assert server.get("openapi.json", token=None).status_code == 403


@pytest.mark.parametrize(("route", "path"), CALLS, ids=NAMES)
def test_the_authorizer_is_asked_for_each(route: Route, path: str, of_ada: JupyterServer) -> None:
    """Below a hub's base URL: somebody who may only look can do all of that and nothing else."""
    answer = of_ada.ask(route.method, path, **({"json": {}} if route.body else {}))
    if route.action == "read":
        assert answer.status_code != 403
    else:
        assert answer.status_code == 403 and f"not allowed to {route.action} farcell" in answer.json()["message"]


def test_everything_is_below_the_base_url(of_ada: JupyterServer) -> None:
    assert of_ada.url.endswith("/user/ada/")
    assert of_ada.snapshot()["version"]
    assert of_ada.get("openapi.json").json()["servers"] == [{"url": "/user/ada/farcell/api"}]
    above = of_ada.url.removesuffix("user/ada/") + "farcell/api/snapshot"
    assert httpx.get(above, headers={"Authorization": f"token {of_ada.token}"}, trust_env=False).status_code == 404


def test_a_cookie_needs_the_xsrf_token(server: JupyterServer) -> None:
    """As any of Jupyter's own requests that change something, from a page of another origin too."""
    with httpx.Client(base_url=f"{server.url}farcell/api/", trust_env=False, follow_redirects=True) as page:
        page.get(f"{server.url}login?token={server.token}")
        page.get(f"{server.url}tree?token={server.token}")
        body = {"page": "p", "within_s": 30}
        refused = page.post("watch", json=body)
        assert refused.status_code == 403 and "XSRF" in refused.json()["message"].upper()
        xsrf = next(value for name, value in page.cookies.items() if name == "_xsrf")
        assert page.post("watch", json=body, headers={"X-XSRFToken": xsrf}).status_code == 200
        assert page.get("snapshot", headers={"Origin": "https://elsewhere.example"}).status_code in (403, 404)


def test_all_that_is_wrong_with_a_request_is_told(server: JupyterServer) -> None:
    answer = server.post("watch", {"page": "a b", "within_s": 0, "more": 1})
    assert answer.status_code == 400 and answer.json()["reason"] == "invalid"
    assert {each["field"] for each in answer.json()["fields"]} == {"page", "within_s", "more"}
    assert server.ask("POST", "watch", content=b"{").status_code == 400
    assert server.ask("POST", "watch", content=b"\xff").status_code == 400
    assert server.ask("POST", "watch", content=b"[]").status_code == 400
    wrong = server.get("runs?limit=0&before=yesterday&page=3")
    assert wrong.status_code == 400 and {each["field"] for each in wrong.json()["fields"]} == {"limit", "before"}
    assert server.get("usage?by=hour").json()["fields"][0]["field"] == "by"


def test_what_is_not_there_is_said(server: JupyterServer) -> None:
    for method, path in [
        ("GET", "sessions/s-none"), ("POST", "sessions/s-none/stop"), ("POST", "sessions/s-none/interrupt"),
        ("POST", "sessions/s-none/restart"), ("POST", "sessions/s-none/cancel"), ("GET", "targets/none"),
        ("POST", "sessions/s-none/keep"),
        ("DELETE", "targets/none"), ("POST", "targets/none/test"), ("GET", "tasks/none"), ("GET", "runs/none"),
        ("GET", "runs/none/log"), ("GET", "telemetry?session=none"),
    ]:  # fmt: skip
        answer = server.ask(method, path)
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown"), (method, path, answer.text)
        assert "none" in answer.json()["message"]
    assert server.ask("DELETE", "watch/none").status_code == 204


def test_a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes(server: JupyterServer) -> None:
    answer = server.ask("DELETE", "targets")
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, POST"


def test_twenty_pages_ask_at_once(server: JupyterServer) -> None:
    """And look: none of them waits for another's look."""
    with server.host(), concurrent.futures.ThreadPoolExecutor(20) as pages:
        watched = list(pages.map(lambda n: server.post("watch", {"page": f"page-{n}"}).status_code, range(20)))
        seen = list(pages.map(lambda _: len(server.get("sessions").json()["sessions"]), range(20)))
        assert (watched, seen) == ([200] * 20, [1] * 20)
        assert server.until(lambda snapshot: snapshot["watching"] == 20)
        assert list(pages.map(lambda n: server.ask("DELETE", f"watch/page-{n}").status_code, range(20))) == [204] * 20


def test_tokens_are_in_no_log(server: JupyterServer) -> None:
    server.get(f"usage?by=hour&token={server.token}", token=None)
    server.get(f"sessions/none?token={server.token}", token=None)
    assert server.token not in server.log


def test_a_hub_s_users_do_not_land_here() -> None:
    """JupyterHub sends them to the first default_url of an extension that is not /."""
    assert FarcellApp().default_url == "/"


def test_the_extension_is_enabled_by_what_the_wheel_brings(server: JupyterServer) -> None:
    """No option names it."""
    assert "farcell.server | extension was successfully loaded" in server.log
    root = Path(__file__).parents[2]
    assert '"jupyter-config/server-config" = "etc/jupyter/jupyter_server_config.d"' in (root / "pyproject.toml").read_text()
