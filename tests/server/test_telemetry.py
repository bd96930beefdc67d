"""GPUs of each session while somebody watches, with the last minutes; that there is none is not that they cannot be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hostclient import launched
from jupyter_servers import JupyterServer
from services.nvml import DRIVER_NOT_LOADED, StubNvml

GIB = 1 << 30


@pytest.fixture
def with_gpus(server: JupyterServer, nvml: StubNvml) -> Iterator[JupyterServer]:
    """A session on a machine with two GPUs, watched."""
    with launched(server.box.runtime, "--target", "gpu-a", env=server.box.environment() | nvml.environment()):
        server.watch()
        server.until(lambda snapshot: snapshot["telemetry"] and snapshot["telemetry"][0]["state"] == "devices")
        yield server
    nvml.clear()


def test_gpus_are_told_and_their_changes_pushed(with_gpus: JupyterServer, nvml: StubNvml) -> None:
    server = with_gpus
    nvml.set(0, util=97, mem_used=70 * GIB, temp=71, power=650_500)
    seen = server.until(lambda snapshot: snapshot["telemetry"][0]["gpus"][0]["utilisation_percent"] == 97)
    first, second = seen["telemetry"][0]["gpus"]
    assert (first["memory_used_bytes"], first["temperature_c"], first["power_w"]) == (70 * GIB, 71, 650.5)
    assert first["name"] and first["memory_total_bytes"] > 70 * GIB and second["index"] == 1
    nvml.set(0, util=3)
    server.until(lambda snapshot: snapshot["telemetry"][0]["gpus"][0]["utilisation_percent"] == 3)
    told = server.get("telemetry").json()["sessions"][0]
    history = next(each for each in told["history"] if each["index"] == 0)
    values = [each["utilisation_percent"] for each in history["samples"]]
    assert values[-1] == 3 and 97 in values and values.index(97) < len(values) - 1
    times = [each["at"] for each in history["samples"]]
    assert times == sorted(times) and times[-1] <= time.time()
    later = server.get(f"telemetry?session={told['session']}&since={times[-1]}").json()["sessions"][0]
    assert len(later["history"][0]["samples"]) <= 2


def test_gpus_that_cannot_be_read_are_an_error(with_gpus: JupyterServer, nvml: StubNvml) -> None:
    nvml.set(error=DRIVER_NOT_LOADED)
    seen = with_gpus.until(
        lambda snapshot: (
            snapshot["telemetry"][0]["state"] == "error" or all(gpu["error"] for gpu in snapshot["telemetry"][0]["gpus"])
        )
    )
    assert seen["telemetry"][0]["message"] or seen["telemetry"][0]["gpus"][0]["error"]


def test_a_machine_without_gpus_says_so_and_why(server: JupyterServer) -> None:
    with server.host() as host:
        server.watch()

        def told(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
            """Of this session: that of the test before may still be listed."""
            own = [each for each in snapshot["telemetry"] if each["session"] == host.runtime.name]
            return [each for each in own if each["state"] != "unasked"]

        [gpus] = told(server.until(told))
        assert gpus["state"] == "none" and "NVML" in gpus["message"]
