"""Large buffers through the kernel host: as open files on one machine, as chunks elsewhere; and the host as one file."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farcell_host import bulk
from farcell_host.protocol.frames import Descriptor
from farcell_host.state import Replica
from hostclient import Done, Driver, command, launched, wait_until
from sandbox import Sandbox

SIZE = 3 << 20
CODE = "total = int(a.sum()); a[0] += 1; a[-1] += 1"


def packed(values: dict[str, Any]) -> Any:
    replica = Replica(values, side="local", hashes=list(bulk.available_hashes()))
    return replica.pack(replica.capture(list(values)))


def start_with(driver: Driver, code: str, values: dict[str, Any], by: str) -> str:
    """Sends a run whose state has bulk, by `descriptors` or by `chunks`; the chunks themselves are the test's to send."""
    payload = packed(values)
    descriptors: list[Descriptor] = []
    entries: list[dict[str, Any]] = []
    for number, buffer in enumerate(payload.bulk, 1):
        size = memoryview(buffer).nbytes
        if by == "descriptors":
            descriptors.append(Descriptor(number, bulk.make_descriptor(buffer), size))
            entries.append({"size": size, "descriptor": number})
        else:
            entries.append({"size": size, "chunks": [bulk.address_of(piece) for piece in bulk.pieces(buffer)]})
    assert entries
    return driver.start(
        code,
        {"farcell_bulk": entries},
        buffers=tuple(payload.buffers),
        descriptors=tuple(descriptors),
        state=payload.header,
        names=list(values),
        limit_bytes=1 << 30,
    )


def returned_bulk(driver: Driver, run: str) -> list[bytes]:
    """The bulk buffers of the run's reply, however they came."""
    (reply,) = [m for m in driver.messages if m.msg_type == "farcell_run_reply" and m.parent_header["farcell_run"] == run]
    found = []
    for entry in reply.metadata["farcell_bulk"]:
        if "descriptor" in entry:
            found.append(bytes(bulk.map_descriptor(driver.descriptors[entry["descriptor"]].fd, entry["size"])))
        else:
            missing = driver.ask("chunks", addresses=entry["chunks"]).fields["missing"]
            assert not missing
            driver.wait(lambda entry=entry: all(address in driver.chunks for address in entry["chunks"]))
            found.append(b"".join(driver.chunks[address] for address in entry["chunks"]))
    return found


@pytest.mark.parametrize("way", ["descriptors", "zmq"])
def test_an_array_goes_and_comes_as_an_open_file(sandbox: Sandbox, way: str) -> None:
    """A large array is used by the cell; what the cell made comes back; the sender's copy stays as it was."""
    array = np.arange(SIZE // 8)
    options = ["--zmq"] if way == "zmq" else []
    with launched(sandbox.runtime, *options) as host, host.driver() as driver:
        driver.acknowledges = False
        run = start_with(driver, "b = a * 2\nprint(int(a.sum()))", {"a": array}, "descriptors")
        done = driver.finish(run).check()
        assert done.text == f"{array.sum()}\n" and array[0] == 0
        assert (array * 2).tobytes() in returned_bulk(driver, run)


def test_only_missing_chunks_are_sent(sandbox: Sandbox) -> None:
    """Through attach: the run waits for its chunks; the same data needs none the second time, in a new session too."""
    array = np.arange(SIZE // 8)
    chunks = {bulk.address_of(piece): bytes(piece) for piece in bulk.pieces(array)}
    for is_new in (True, False):
        with launched(sandbox.runtime) as host, host.driver(attach=True) as driver:
            assert not driver.welcome["descriptors"]
            driver.acknowledges = False
            driver.run("print('up')").check()
            assert (len(driver.ask("missing", addresses=list(chunks)).fields["missing"]) == len(chunks)) == is_new
            run = start_with(driver, "b = a * 2\nprint(int(a.sum()))", {"a": array}, "chunks")
            if is_new:
                *first, last = chunks.values()
                for data in first:
                    driver.send_chunk(data)
                assert driver.ask("status").fields["waiting_runs"] == [run]
                there = array.nbytes - len(last)
                assert watcher_sees(driver, run, [there, array.nbytes])
                driver.send_chunk(last)
            assert driver.finish(run).check().text == f"{array.sum()}\n"
            assert (array * 2).tobytes() in returned_bulk(driver, run)


def watcher_sees(driver: Driver, run: str, arriving: list[int]) -> bool:
    """What of a run's buffers is there, and the whole: told to whoever watches, without another message of the driver."""

    def told() -> bool:
        face = driver.ask("watch", within_s=0).fields["face"]
        return bool(face["arriving"].get(run) == arriving)

    return wait_until(told)


def test_bulk_is_held_until_it_is_acknowledged(sandbox: Sandbox) -> None:
    """A cut before the acknowledgement: the result comes again, buffers and all; afterwards the host keeps no file open."""
    array = np.arange(SIZE // 8)
    with launched(sandbox.runtime) as host, host.driver() as driver:
        driver.acknowledges = False
        run = start_with(driver, "b = a * 2", {"a": array}, "descriptors")
        driver.finish(run).check()
        files = len(os.listdir(f"/proc/{host.pid}/fd"))
        client = driver.client
        client.cursor = 0  # as a client that was killed before it had handled anything
        driver.cut()
        driver.messages.clear()
        driver.connect()
        driver.finish(run).check()
        assert (array * 2).tobytes() in returned_bulk(driver, run)
        client.acknowledge(driver.sequences[-1])
        driver.ask("status")
        assert len(os.listdir(f"/proc/{host.pid}/fd")) < files


def refusal(driver: Driver, run: str) -> str:
    done: Done = driver.finish(run)
    assert done.reply["status"] == "refused"
    return str(done.reply["message"])


def test_a_full_chunk_store_refuses_the_run(sandbox: Sandbox) -> None:
    """No room for the chunks: the run is refused with the reason and the way out, and the session goes on."""
    array = np.arange(SIZE // 8)
    blocked = sandbox.cache / "chunks"
    blocked.mkdir()
    for name in bulk.available_hashes():
        (blocked / name).symlink_to("/dev/full")
    with launched(sandbox.runtime) as host, host.driver(attach=True) as driver:
        run = start_with(driver, CODE, {"a": array}, "chunks")
        for piece in bulk.pieces(array):
            driver.send_chunk(bytes(piece))
        message = refusal(driver, run)
        assert "cannot keep" in message and "FARCELL_CACHE_DIR" in message
        assert driver.run("print('on we go')").check().text == "on we go\n"


def test_a_damaged_chunk_refuses_the_run(sandbox: Sandbox) -> None:
    """Bytes that do not match their address never reach the cell."""
    array = np.arange(SIZE // 8)
    first, *_ = [bulk.address_of(piece) for piece in bulk.pieces(array)]
    with launched(sandbox.runtime) as host, host.driver(attach=True) as driver:
        run = start_with(driver, CODE, {"a": array}, "chunks")
        driver.send_chunk(b"something else", first)
        assert "damaged" in refusal(driver, run)


def test_an_interrupt_during_an_upload_cancels_the_run(sandbox: Sandbox) -> None:
    """A run whose chunks are still on their way has not begun: it is cancelled, and what comes late is only kept."""
    array = np.arange(SIZE // 8)
    with launched(sandbox.runtime) as host, host.driver(attach=True) as driver:
        driver.run("print('up')").check()
        run = start_with(driver, CODE, {"a": array}, "chunks")
        assert driver.ask("interrupt", run=run).fields["done"] == "cancelled"
        assert driver.finish(run).reply["status"] == "aborted"
        for piece in bulk.pieces(array):
            driver.send_chunk(bytes(piece))
        assert driver.run("print('a' in globals())").check().text == "False\n"


def test_a_descriptor_that_did_not_come_refuses_the_run(sandbox: Sandbox) -> None:
    """A message that names an open file which is not there is answered, not waited for."""
    with launched(sandbox.runtime) as host, host.driver() as driver:
        run = driver.start("pass", {"farcell_bulk": [{"size": 10, "descriptor": 5}]})
        assert "none came" in refusal(driver, run)


def test_the_zipapp_is_the_same_for_the_same_sources(sandbox: Sandbox) -> None:
    """Two builds give the same bytes, so a target knows that it has them."""
    first, second = sandbox.folder / "one.pyz", sandbox.folder / "two.pyz"
    assert command("zipapp", str(first)).returncode == 0
    assert command("zipapp", str(second)).returncode == 0
    assert first.read_bytes() == second.read_bytes()
    with launched(sandbox.runtime, program=(sys.executable, "-S", str(first))) as host, host.driver() as driver:
        assert driver.run("import farcell_host; print(farcell_host.__version__ != '')").check().text == "True\n"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_zipapp_runs_with_ipykernel_alone(sandbox: Sandbox) -> None:
    """A venv with nothing but ipykernel: the one file starts a host whose kernel runs cells."""
    place = sandbox.folder / "env with space"
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "ipykernel>=7"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"ipykernel cannot be installed here: {installed.stderr[-300:]}")
    pyz = sandbox.folder / "farcell_host.pyz"
    assert command("zipapp", str(pyz)).returncode == 0
    with launched(sandbox.runtime, program=(python, str(pyz)), cwd=str(sandbox.folder)) as host, host.driver() as driver:
        done = driver.run("import sys; print(sys.prefix)\ndef f(x): return x + 1\nf(1)").check()
        assert Path(done.text.strip()) == place
        assert driver.ask("status").fields["direct"]
