"""State in the remote kernel: installed before a run, collected after it, fetched meanwhile; a real Replica at both ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from farcell_host import bulk
from farcell_host.protocol.frames import Descriptor, encode_descriptor
from farcell_host.protocol.messages import Channel, Message
from farcell_host.state import ERROR, RESULT, Payload, Replica
from inkernel_client import Answer, KernelClient, RemoteKernelProcess


class Notebook:
    """The notebook's end: a namespace, its replica, and runs that carry state both ways."""

    def __init__(self, client: KernelClient) -> None:
        self.client = client
        self.values: dict[str, Any] = {}
        self.replica = Replica(self.values, side="local", hashes=["blake2b"])
        self.returned: dict[str, Any] = {}
        self.fetched: list[str] = []
        client.answer_fetch = self.answer_fetch  # type: ignore[method-assign]
        self._number = 0

    def run(self, code: str, names: tuple[str, ...] = (), on_message: Any = None, **content: Any) -> Answer:
        capture = self.replica.capture(names)
        payload = self.replica.pack(capture)
        request = self.client.request(code, names=list(capture.names), state=payload.header, **content)
        self._send(request, payload)
        answer = self.client.read_reply("farcell_run_reply", on_message)
        if answer.reply["status"] != "refused":
            self.replica.sent(payload)
        self.merge(answer)
        return answer

    def _send(self, message: Message, payload: Payload) -> None:
        entries = []
        for buffer in payload.bulk:
            self._number += 1
            fd = bulk.make_descriptor(buffer)
            size = memoryview(buffer).nbytes
            self.client.send_with_descriptor(encode_descriptor(Descriptor(self._number, fd, size)), fd)
            os.close(fd)
            entries.append({"size": size, "descriptor": self._number})
        self.client.send(Message(message.channel, message.with_metadata({"farcell_bulk": entries}).parts, tuple(payload.buffers)))

    def merge(self, answer: Answer) -> None:
        self.returned = {}
        if answer.reply.get("state"):
            delta = self.replica.unpack(Payload(answer.reply["state"], answer.buffers, answer.bulk))
            self.replica.apply(delta)
            self.returned = {name: delta.values[name] for name in (RESULT, ERROR) if name in delta.values}

    def answer_fetch(self, request: Message) -> None:
        names = request.content["names"]
        self.fetched += names
        capture = self.replica.capture([name for name in names if name in self.values])
        payload = self.replica.pack(capture)
        content = {
            "run": "r1",
            "found": list(capture.names),
            "missing": [name for name in names if name not in self.values],
            "error": None,
            "state": payload.header,
        }
        self._send(Message.build(Channel.STDIN, "farcell_fetch_reply", content, parent=request.header), payload)
        self.replica.sent(payload)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelClient]:
    process = RemoteKernelProcess(tmp_path_factory.mktemp("k"))
    client = process.connect()
    yield client
    client.close()
    process.stop()


@pytest.fixture
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    process = RemoteKernelProcess(tmp_path_factory.mktemp("k"))
    client = process.connect()
    yield Notebook(client)
    client.close()
    process.stop()


def test_state_goes_and_comes_back(notebook: Notebook) -> None:
    """A list is sent, appended to in place and merged into the same object; a new name and the result come back."""
    notebook.values["items"] = items = [1, 2]
    answer = notebook.run("items.append(3)\ntotal = sum(items)\ntotal * 2", ("items",))
    assert answer.reply["status"] == "ok" and notebook.values["items"] is items == [1, 2, 3]
    assert notebook.values["total"] == 6 and notebook.returned[RESULT] == 12


def test_state_survives_an_error(notebook: Notebook) -> None:
    """What the cell changed before it failed is merged; the exception object travels."""
    notebook.values["items"] = []
    answer = notebook.run("items.append(1)\nbound = 2\nraise ValueError('no')", ("items",))
    assert answer.reply["ename"] == "ValueError"
    assert notebook.values["items"] == [1] and notebook.values["bound"] == 2
    assert isinstance(notebook.returned[ERROR], ValueError)


def test_deleted_and_dropped_names(notebook: Notebook) -> None:
    """A name deleted there is deleted here; one dropped here is gone there and is not reported back."""
    notebook.values.update(a=[1], b=[2])
    notebook.run("del a", ("a", "b"))
    assert "a" not in notebook.values and notebook.values["b"] == [2]
    del notebook.values["b"]
    notebook.values["b"] = "rebound"
    answer = notebook.run("'b' in globals()", drop=["b"])
    assert notebook.returned[RESULT] is False and answer.reply["status"] == "ok"
    assert notebook.values["b"] == "rebound"


def test_missed_names_are_fetched(notebook: Notebook) -> None:
    """Names that the request did not bring are fetched while the cell runs, from threads too, and are current."""
    notebook.values.update(first=[1], second=2)
    code = """
import threading
got = []
thread = threading.Thread(target=lambda: got.append(second)); thread.start(); thread.join()
first.append(got[0])
"""
    answer = notebook.run(code)
    assert answer.reply["status"] == "ok", answer.reply
    assert sorted(notebook.fetched) == ["first", "second"]
    assert notebook.values["first"] == [1, 2]
    notebook.values["second"] = 3
    notebook.run("second")
    assert notebook.returned[RESULT] == 3


def test_large_arrays_go_as_open_files(notebook: Notebook) -> None:
    """A large array is mapped, writable, and what the cell writes does not touch the sender's copy before the merge."""
    numpy = pytest.importorskip("numpy")
    notebook.values["array"] = array = numpy.ones(1 << 18)
    seen: list[float] = []

    def look(message: Message) -> None:
        seen.append(float(array[0]))

    answer = notebook.run(
        "array[0] = 5\nprint('written', flush=True)\ndoubled = array * 2", ("array",), look, limit_bytes=1 << 24
    )
    assert answer.reply["status"] == "ok", answer.reply
    assert seen == [1.0] and notebook.values["array"] is array and array[0] == 5
    assert notebook.values["doubled"][0] == 10 and answer.bulk


def test_missing_module_is_named(notebook: Notebook) -> None:
    """State that needs a module which the target lacks is refused before anything runs, with the command that helps."""
    import sys
    import types
    from importlib.machinery import ModuleSpec

    module = types.ModuleType("nowhere_installed")
    module.__spec__ = ModuleSpec("nowhere_installed", None)
    sys.modules["nowhere_installed"] = module
    try:
        notebook.values["module"] = module
        answer = notebook.run("print('not reached')", ("module",))
    finally:
        del sys.modules["nowhere_installed"]
    assert answer.reply["status"] == "refused" and answer.stdout == ""
    assert "'nowhere_installed'" in answer.reply["message"] and "%pip install nowhere_installed" in answer.reply["message"]
    del notebook.values["module"]
    assert notebook.run("1 + 1").reply["status"] == "ok"


def test_interrupt_while_state_is_collected(notebook: Notebook) -> None:
    """A signal during the collection is kept: the reply says KeyboardInterrupt and carries the whole state."""
    code = """
import os, signal
class Slow(set):
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGINT)
        return (list, ())
slow, other = Slow(), [1]
"""
    answer = notebook.run(code)
    assert answer.reply["ename"] == "KeyboardInterrupt"
    assert notebook.values["other"] == [1] and "slow" in notebook.values
    assert notebook.run("print('next')").stdout == "next\n"


def test_interrupt_while_state_is_installed(notebook: Notebook) -> None:
    """A signal before the first line: the state is installed, nothing of the cell runs, the next cell is as ever."""
    notebook.values["text"] = "x" * 100
    timer = threading.Timer(0.0, notebook.client.interrupt)
    for delay_s in (0.0, 0.0005, 0.001, 0.002):
        timer = threading.Timer(delay_s, notebook.client.interrupt)
        timer.start()
        answer = notebook.run("import time\ntime.sleep(0.05)", ("text",))
        timer.join()
        assert answer.reply["status"] in ("ok", "error")
        time.sleep(0.05)
        assert notebook.run("print(len(text))", ("text",)).stdout == "100\n"


def test_push_and_pull(notebook: Notebook) -> None:
    """farcell_state_request installs names and sends names back, outside of any cell."""
    notebook.values["pushed"] = {"a": 1}
    payload = notebook.replica.pack(notebook.replica.capture(["pushed"]))
    content = {"install": payload.header, "names": ["pushed", "nowhere"], "drop": [], "out": []}
    header = notebook.client.header()
    notebook._send(Message.build(Channel.SHELL, "farcell_state_request", content, header=header), payload)
    answer = notebook.client.read_reply("farcell_state_reply")
    notebook.replica.sent(payload)
    assert answer.reply["status"] == "ok" and answer.reply["missing"] == ["nowhere"]
    notebook.run("pushed['b'] = 2", ("pushed",))
    assert notebook.values["pushed"] == {"a": 1, "b": 2}
