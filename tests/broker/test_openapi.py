"""The broker's OpenAPI document says what is so: a fuzzer takes it at its word, against a running broker."""

from __future__ import annotations

import subprocess
import sys

import pytest
from brokers import BrokerProcess
from farcell_broker.openapi import OPERATIONS, document
from sandbox import Sandbox

FUZZ_S = 150
# Which targets there are, and which leases, only the broker knows: a right request may well be refused (409, 404).
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
"""


def test_each_operation_is_in_the_document_once() -> None:
    operations = [operation for item in document()["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == len(OPERATIONS)


@pytest.mark.slow
@pytest.mark.timeout(FUZZ_S + 60)
def test_no_request_finds_what_the_broker_s_document_does_not_say(sandbox: Sandbox) -> None:
    """Right and wrong ones by the hundred: no answer of 500, none of another form than is said, and wrong ones are refused."""
    with BrokerProcess(sandbox) as broker:
        ada = broker.user("ada", is_admin=True)
        held = ada.until(ada.lease()["id"], "running")
        (sandbox.folder / "schemathesis.toml").write_text(CONFIG)
        program = [sys.executable, "-m", "schemathesis.cli", "run", f"{broker.url}api/openapi.json", "--no-color", "--seed", "1"]
        program += ["--header", f"Authorization: token {ada.token}", "--max-examples", "10", "--rate-limit", "18/s"]
        program += ["--request-timeout", "60"]  # its own 10 s are short beside other work
        fuzzed = subprocess.run(
            program, cwd=sandbox.folder, env=sandbox.environment(), capture_output=True, text=True, timeout=FUZZ_S
        )
        assert fuzzed.returncode == 0, fuzzed.stdout[-8000:] + fuzzed.stderr[-2000:]
        assert f"Tested: {len(OPERATIONS)}" in fuzzed.stdout
        assert "Traceback" not in broker.log.read_text()
        ada.end(held["id"])
