"""The OpenAPI document says what is so: a fuzzer takes it at its word, against a running server."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from farcell.server.openapi import document
from farcell.server.routes import ROUTES
from farcell.server.schemas import Problem, Snapshot
from jupyter_servers import JupyterServer

FUZZ_S = 170
# Jupyter answers who is not logged in with 403, as it always has. A target's keys obey rules that JSON Schema cannot say (a
# backend needs its host), so that not all which the document allows is right.
CONFIG = """
[checks]
missing_required_header.enabled = false

[[operations]]
include-path-regex = "^/targets"
checks.positive_data_acceptance.enabled = false
"""


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    operations = {(method.upper(), path.strip("/")) for path, item in document()["paths"].items() for method in item}
    assert operations == {(route.method, route.path) for route in ROUTES}
    ids = [operation["operationId"] for item in document()["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]
    assert {"Snapshot", "Problem", "WatchRequest", "Changed"} <= set(schemas)
    referred = set(re.findall(r"#/components/schemas/(\w+)", str(document())))
    assert referred <= set(schemas)


def test_the_page_in_docs_has_the_same_routes() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+ [^`]+)` \| (\w+) \|", page, re.M))
    assert rows == {f"{route.method} {route.path}": route.action for route in ROUTES} | {"GET openapi.json": "read"}


def test_the_server_serves_the_document(server: JupyterServer) -> None:
    served = server.get("openapi.json").json()
    assert served["servers"] == [{"url": "/farcell/api"}]
    assert {**served, "servers": None} == {**document(), "servers": None}
    Snapshot.model_validate(server.snapshot())
    Problem.model_validate(server.get("targets/none").json())


@pytest.mark.slow
@pytest.mark.timeout(FUZZ_S + 60)
def test_no_request_finds_what_the_document_does_not_say() -> None:
    """Right and wrong ones by the hundred: no answer of 500, none of another form than is said, and wrong ones are refused."""
    with JupyterServer() as server, server.host("--target", "t"):
        folder = server.box.folder / "fuzz"
        folder.mkdir()
        (folder / "schemathesis.toml").write_text(CONFIG)
        program = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}farcell/api/openapi.json", "--no-color"]
        program += ["--header", f"Authorization: token {server.token}", "--seed", "1", "--max-examples", "10"]
        program += ["--request-timeout", "60"]  # its own 10 s are short beside other work
        fuzzed = subprocess.run(program, cwd=folder, env=server.box.environment(), capture_output=True, text=True, timeout=FUZZ_S)
        assert fuzzed.returncode == 0, fuzzed.stdout[-8000:] + fuzzed.stderr[-2000:]
        assert f"Tested: {len(ROUTES)}" in fuzzed.stdout
        assert "Traceback" not in server.log
