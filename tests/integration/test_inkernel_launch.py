"""How the remote kernel lives: without the direct link, with a flood, without its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from inkernel_client import WAIT_S, RemoteKernelProcess
from jupyter_client.blocking.client import BlockingKernelClient


class ZmqClient:
    """The same requests over zmq, as the host sends them when there is no direct link."""

    def __init__(self, process: RemoteKernelProcess) -> None:
        self.client = BlockingKernelClient()
        self.client.load_connection_info(process.connection)
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT_S)
        self.count = 0

    def close(self) -> None:
        self.client.stop_channels()

    def run(self, code: str, **content: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The reply's content, and the iopub messages up to idle."""
        self.count += 1
        body = {"run": "r1", "code": code, "execution_count": self.count, "allow_stdin": True, "names": [], **content}
        message = self.client.session.msg("farcell_run_request", {"state": None, **body})
        self.client.shell_channel.send(message)
        outputs = []
        while True:
            output = self.client.get_iopub_msg(timeout=WAIT_S)
            if output["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if output["msg_type"] == "status":
                if output["content"]["execution_state"] == "idle":
                    break
                continue
            outputs.append(output)
        return self.client.get_shell_msg(timeout=WAIT_S)["content"], outputs


@pytest.fixture
def fallback(tmp_path: Path) -> Iterator[ZmqClient]:
    process = RemoteKernelProcess(tmp_path, env={"FARCELL_DIRECT": "0"})
    direct = process.connect()
    assert direct.ready["direct"] is False and direct.ready["reason"] == "FARCELL_DIRECT=0 is set"
    direct.close()
    client = ZmqClient(process)
    yield client
    client.close()
    process.stop()


def test_runs_over_zmq(fallback: ZmqClient) -> None:
    """Without the direct link the same request is served over zmq: outputs, result, error, hidden names."""
    reply, outputs = fallback.run("print('a')\nx = 1\n6 * 7", execution_count=5)
    assert reply["status"] == "ok" and reply["has_result"] and reply["execution_count"] == 5
    assert [output["msg_type"] for output in outputs] == ["stream", "execute_result"]
    assert outputs[1]["content"]["execution_count"] == 5
    reply, outputs = fallback.run("1 / 0")
    assert reply["ename"] == "ZeroDivisionError" and outputs == []
    reply, outputs = fallback.run("import asyncio\nawait asyncio.sleep(0.01)\n'slept'")
    assert outputs[0]["content"]["data"]["text/plain"] == "'slept'"


def test_fetch_over_zmq(fallback: ZmqClient) -> None:
    """A name that was not sent is asked for on the stdin socket."""
    message = fallback.client.session.msg(
        "farcell_run_request", {"run": "r1", "code": "never_sent", "execution_count": 1, "names": [], "state": None}
    )
    fallback.client.shell_channel.send(message)
    request = fallback.client.get_stdin_msg(timeout=WAIT_S)
    assert request["msg_type"] == "farcell_fetch_request" and request["content"]["names"] == ["never_sent"]
    content = {"run": "r1", "found": [], "missing": ["never_sent"], "error": None, "state": None}
    fallback.client.stdin_channel.send(fallback.client.session.msg("farcell_fetch_reply", content))
    assert fallback.client.get_shell_msg(timeout=WAIT_S)["content"]["ename"] == "NameError"


def test_interrupt_over_zmq(fallback: ZmqClient) -> None:
    """SIGINT ends a cell that runs over zmq too."""
    reply, _ = fallback.run(
        "import os, signal, threading, time\nthreading.Timer(0.2, os.kill, (os.getpid(), 2)).start()\ntime.sleep(30)"
    )
    assert reply["ename"] == "KeyboardInterrupt"
    assert fallback.run("1 + 1")[0]["status"] == "ok"


@pytest.mark.slow
def test_print_flood_is_held_back(tmp_path: Path) -> None:
    """A flood waits for its reader: a million lines do not pile up in the remote kernel's memory."""
    process = RemoteKernelProcess(tmp_path)
    try:
        client = process.connect()
        client.run("import gc")
        before = psutil.Process(process.process.pid).memory_info().rss
        peak = 0
        lines = 0

        def on_message(message: Any) -> None:
            nonlocal peak, lines
            lines += message.content["text"].count("\n")
            peak = max(peak, psutil.Process(process.process.pid).memory_info().rss)

        client.run("for i in range(1_000_000): print(i)", on_message)
        assert lines == 1_000_000
        assert peak - before < 30 << 20
        client.close()
    finally:
        process.stop()


def test_kernel_ends_with_its_parent(tmp_path: Path) -> None:
    """When the host is killed, the kernel and its process group end; children with a session of their own are spared."""
    code = textwrap.dedent("""
        import sys, pathlib, time
        sys.path.insert(0, sys.argv[2])
        from inkernel_client import RemoteKernelProcess
        process = RemoteKernelProcess(pathlib.Path(sys.argv[1]))
        client = process.connect()
        print(client.run('''
        import subprocess
        inside = subprocess.Popen(['sleep', '60'])
        outside = subprocess.Popen(['sleep', '60'], start_new_session=True)
        print(inside.pid, outside.pid)
        '''.replace('        ', '')).stdout.strip(), process.process.pid, flush=True)
        time.sleep(60)
    """)
    tests = str(Path(__file__).parent.parent)
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), tests], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    inside, outside, kernel = map(int, parent.stdout.readline().split())
    parent.kill()
    parent.wait(WAIT_S)
    parent.stdout.close()
    try:
        deadline = time.monotonic() + 5
        while (_runs(inside) or _runs(kernel)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _runs(inside) and not _runs(kernel) and _runs(outside)
    finally:
        os.kill(outside, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
