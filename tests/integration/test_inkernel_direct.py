"""Runs over the remote kernel's own socket, in a real ipykernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from farcell_host.protocol.messages import Channel, Message
from inkernel_client import KernelClient, RemoteKernelProcess


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteKernelProcess]:
    process = RemoteKernelProcess(tmp_path_factory.mktemp("k"))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def client(kernel: RemoteKernelProcess) -> Iterator[KernelClient]:
    client = kernel.connect()
    assert client.ready["direct"], client.ready
    yield client
    client.close()


def test_output_in_order_under_the_cells_header(client: KernelClient) -> None:
    """Prints, displays and the result come in order and belong to the notebook's cell."""
    code = "import sys\nprint('a'); print('b', file=sys.stderr)\ndisplay('c')\nprint('d')\n'e'"
    answer = client.run(code)
    assert answer.types == ["stream", "stream", "display_data", "stream", "execute_result"]
    assert answer.stdout == "a\nd\n" and answer.stderr == "b\n"
    result = answer.messages[-1].content
    assert result["data"]["text/plain"] == "'e'" and result["execution_count"] == client.count
    parents = [message.parent_header for message in answer.messages]
    assert all(parent["session"] == "notebook" and parent["msg_type"] == "execute_request" for parent in parents)
    assert answer.reply["status"] == "ok" and answer.reply["has_result"]


def test_semicolon_hides_the_result(client: KernelClient) -> None:
    """`1;` and None show nothing and are no result."""
    assert not client.run("1;").reply["has_result"]
    answer = client.run("None")
    assert not answer.reply["has_result"] and answer.types == []


def test_error_comes_once_with_true_lines(client: KernelClient) -> None:
    """The error is in the reply alone, with the user's frames and the cell's own line numbers."""
    answer = client.run("# %%remote\ndef f():\n    return 1 / 0\nf()", execution_count=7)
    text = "\n".join(answer.reply["traceback"])
    assert answer.reply["ename"] == "ZeroDivisionError" and "error" not in answer.types
    plain = "".join(part.partition("m")[2] for part in ("m" + text).split("\x1b"))
    assert "Cell In[7], line 4" in plain and "Cell In[7], line 3" in plain
    assert "interactiveshell" not in plain and "execution.py" not in plain


def test_nested_error_is_shown_and_is_not_the_cells(client: KernelClient) -> None:
    """An error of a nested run_cell is an output; the cell goes on."""
    answer = client.run("get_ipython().run_cell('1/0')\nprint('on')")
    assert answer.types == ["error", "stream"] and answer.reply["status"] == "ok"


def test_syntax_error(client: KernelClient) -> None:
    """A cell that cannot be parsed is an error of the reply."""
    answer = client.run("x = (")
    names = ("SyntaxError", "_IncompleteInputError")  # the latter from 3.13 on
    assert answer.reply["ename"] in names and answer.types == [] and answer.reply["traceback"]


def test_usage_error_is_not_printed_twice(client: KernelClient) -> None:
    """A wrong magic's message comes in the reply alone; %remote says that the cell already runs on the target."""
    answer = client.run("%remote status")
    assert answer.reply["ename"] == "UsageError" and "already runs on the target" in answer.reply["evalue"]
    assert answer.stderr == ""
    assert client.run("%%remote gpu\n1").reply["ename"] == "UsageError"


def test_system_exit(client: KernelClient) -> None:
    """SystemExit ends the cell and not the kernel."""
    assert client.run("raise SystemExit(3)").reply["ename"] == "SystemExit"
    answer = client.run("exit()")
    assert [payload["source"] for payload in answer.reply["payload"]] == ["ask_exit"]
    time.sleep(0.3)
    assert client.run("print('alive')").stdout == "alive\n"


def test_async_cell(client: KernelClient) -> None:
    """A cell that awaits runs on the kernel's loop; its last expression is shown."""
    answer = client.run("import asyncio\nawait asyncio.sleep(0.01)\nasyncio.current_task() is not None")
    assert answer.messages[-1].content["data"]["text/plain"] == "True"


def test_magics_and_shell_run_on_the_target(client: KernelClient) -> None:
    """Nested magics and !commands work in a cell; os.system's output arrives too."""
    answer = client.run("%time n = 1\n!echo from the shell\nimport os\npid = os.getpid()\nprint(pid)")
    assert "Wall time" in answer.stdout and "from the shell" in answer.stdout
    assert str(client.pid) in answer.stdout


def test_payloads_and_expressions(client: KernelClient) -> None:
    """`obj?` and set_next_input arrive as payloads, user_expressions as values."""
    payload = client.run("len?").reply["payload"]
    assert payload[0]["source"] == "page" and "Return the number of items" in payload[0]["data"]["text/plain"]
    assert client.run("get_ipython().set_next_input('next')").reply["payload"][0]["text"] == "next"
    expressions = client.run("v = 20", user_expressions={"twice": "v * 2"}).reply["user_expressions"]
    assert expressions["twice"]["data"]["text/plain"] == "40"


def test_names_not_verified_are_asked_for(client: KernelClient) -> None:
    """A run never reads a stale copy: what its request does not name is asked of the notebook, once."""
    client.run("kept = 1")
    client.fetched.clear()
    answer = client.run("try:\n    kept\nexcept NameError:\n    print('asked')\n'kept' in globals()")
    assert answer.stdout == "asked\n" and client.fetched == [["kept"]]
    assert answer.messages[-1].content["data"]["text/plain"] == "False"
    assert client.run("kept", names=["kept"]).reply["has_result"]
    client.fetched.clear()
    assert client.run("kept = 5").reply["status"] == "ok" and client.fetched == []
    assert client.run("kept", names=["kept"]).messages[-1].content["data"]["text/plain"] == "5"


def test_fetch_from_a_thread(client: KernelClient) -> None:
    """A thread of the cell may read a name that was not sent, while the main thread waits for it."""
    code = """
import threading
def read():
    try: nowhere_to_be_found
    except NameError as error: print(error)
thread = threading.Thread(target=read); thread.start(); thread.join()
"""
    assert client.run(code).stdout == "name 'nowhere_to_be_found' is not defined\n"


def test_fetch_error_is_told(client: KernelClient) -> None:
    """When the notebook cannot send a name, the NameError says why."""

    def refuse(request: Message) -> None:
        content = {"run": "r1", "found": [], "missing": [], "error": "log: an open file", "state": None}
        client.send(Message.build(Channel.STDIN, "farcell_fetch_reply", content, parent=request.header))

    answer_fetch, client.answer_fetch = client.answer_fetch, refuse  # type: ignore[method-assign]
    try:
        reply = client.run("log").reply
    finally:
        client.answer_fetch = answer_fetch  # type: ignore[method-assign]
    assert reply["ename"] == "NameError" and "log: an open file" in reply["evalue"]


def test_input_and_getpass(client: KernelClient) -> None:
    """input() and getpass ask the notebook, prompt and all."""
    asked = []

    def reply(message: Message) -> None:
        if message.msg_type == "input_request":
            asked.append((message.channel, message.content))
            client.send(Message.build(Channel.STDIN, "input_reply", {"value": "abc"}, parent=message.header))

    answer = client.run("import getpass\nprint('before')\nprint(input('name? ') + getpass.getpass('pw? '))", reply)
    assert answer.stdout == "before\nabcabc\n"
    assert asked == [
        (Channel.STDIN, {"prompt": "name? ", "password": False}),
        (Channel.STDIN, {"prompt": "pw? ", "password": True}),
    ]
    refused = client.run("input()", allow_stdin=False).reply
    assert refused["ename"] == "StdinNotImplementedError"


def test_results_are_not_pinned(client: KernelClient) -> None:
    """Out, `_` and their like are the notebook's: the remote kernel keeps nothing that was only displayed."""
    code = "import weakref\nclass Big: pass\nbig = Big()\nref = weakref.ref(big)\nbig"
    client.run(code)
    client.run("del big", names=["big"])
    shown = "len(get_ipython().history_manager.output_hist)"  # `Out` is the notebook's
    answer = client.run(f"import gc; gc.collect()\nprint(ref() is None, {shown})", names=["ref"])
    assert answer.stdout == "True 0\n"
    client.fetched.clear()
    client.run("_")
    assert client.fetched == [["_"]]


def test_in_is_the_notebooks(client: KernelClient) -> None:
    """Which is asked for it; what this kernel has run stands at the notebook's cell numbers in a history of its own."""
    client.fetched.clear()
    client.run("In")
    assert client.fetched == [["In"]]
    own = "get_ipython().history_manager.input_hist_parsed[40]"
    assert client.run(f"print({own})", execution_count=40).stdout == f"print({own})\n"


def test_forked_children_print(client: KernelClient) -> None:
    """What a forked child prints arrives under the cell."""
    code = """
import multiprocessing
def work(n): print('child', n); return n * factor
factor = 3
with multiprocessing.get_context('fork').Pool(1) as pool: got = pool.map(work, [1, 2])
print(got)
"""
    answer = client.run(code)
    text = answer.stdout
    while "child 2" not in text:  # a child's output takes the way through ipykernel's own pipe
        text += client.next().content.get("text", "")
    assert "child 1\nchild 2\n" in text.replace("[3, 6]\n", "")


def test_spawned_children(tmp_path: Path) -> None:
    """multiprocessing's spawn finds a usable `__main__`."""
    code = """
import math, multiprocessing
with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(math.sqrt, [4.0, 9.0]))
"""
    process = RemoteKernelProcess(tmp_path)  # of its own: multiprocessing's resource tracker stays as long as the kernel
    try:
        client = process.connect()
        assert client.run(code).stdout == "[2.0, 3.0]\n"
        client.close()
    finally:
        process.stop()


def test_workers_like_data_loaders(client: KernelClient) -> None:
    """A worker process that gets an object of a notebook class through a queue sends results back."""
    code = """
import multiprocessing
class Items:
    def __getitem__(self, index): return index * scale
scale = 10
def serve(items, todo, done):
    for index in iter(todo.get, None): done.put((index, items[index]))
context = multiprocessing.get_context('fork')
todo, done = context.Queue(), context.Queue()
worker = context.Process(target=serve, args=(Items(), todo, done), daemon=True)
worker.start()
for index in range(3): todo.put(index)
print(sorted(done.get(timeout=10) for _ in range(3)))
todo.put(None)
worker.join(10)
print(worker.exitcode)
"""
    assert client.run(code).stdout == "[(0, 0), (1, 10), (2, 20)]\n0\n"


def test_definitions_in_main(client: KernelClient) -> None:
    """Dataclasses, type hints and pickle work on classes defined in a cell."""
    code = """
import dataclasses, pickle, typing, sys
@dataclasses.dataclass
class Node:
    value: "int" = 1
    next: "typing.Optional[Node]" = None
print(typing.get_type_hints(Node)["value"], pickle.loads(pickle.dumps(Node(2))))
print(sys.modules["__main__"].Node is Node, vars(sys.modules["__main__"]) is globals())
"""
    assert client.run(code).stdout == "<class 'int'> Node(value=2, next=None)\nTrue True\n"


def test_reset(client: KernelClient) -> None:
    """%reset empties the namespace and leaves it usable."""
    client.run("gone = 1")
    answer = client.run("%reset -f\nprint(len([1]), 'gone' in globals(), get_ipython() is not None)", names=["gone"])
    assert answer.stdout == "1 False True\n"
    assert client.run("sum([1, 2])").reply["has_result"]


def test_matplotlib_inline(client: KernelClient) -> None:
    """A figure is displayed at the end of its cell."""
    pytest.importorskip("matplotlib")
    answer = client.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    images = [message.content["data"] for message in answer.messages if message.msg_type == "display_data"]
    assert len(images) == 1 and "image/png" in images[0]


def test_comms(client: KernelClient) -> None:
    """A comm opened by a cell gets messages from the front end, with buffers, between busy and idle."""
    code = """
import comm
opened = comm.create_comm(target_name='t', data={'a': 1})
@opened.on_msg
def _got(message): print('got', message['content']['data'], bytes(message['buffers'][0])); opened.send({'back': 1})
"""
    answer = client.run(code)
    opening = next(message for message in answer.messages if message.msg_type == "comm_open")
    comm_id = opening.content["comm_id"]
    header = {**client.header(), "msg_type": "comm_msg"}
    content = {"comm_id": comm_id, "data": {"x": 2}}
    client.send(Message.build(Channel.SHELL, "comm_msg", content, header=header, buffers=(b"\x00\xff",)))
    messages = [client.next() for _ in range(4)]
    assert [message.msg_type for message in messages] == ["status", "comm_msg", "stream", "status"]
    assert messages[2].content["text"] == "got {'x': 2} b'\\x00\\xff'\n"
    assert {message.parent_header["msg_id"] for message in messages} == {header["msg_id"]}
    assert comm_id in client.ask("comm_info_request", {}).reply["comms"]


def test_comm_message_while_an_async_cell_waits(client: KernelClient) -> None:
    """A waiting async cell can be woken by a comm message; later prints belong to the cell again."""
    code = """
import asyncio, comm
woken = asyncio.Event()
wakener = comm.create_comm(target_name='w')
wakener.on_msg(lambda message: woken.set())
print('waiting')
await asyncio.wait_for(woken.wait(), 10)
print('woken')
"""

    def wake(message: Message) -> None:
        if message.msg_type == "comm_open":
            content = {"comm_id": message.content["comm_id"], "data": {}}
            client.send(Message.build(Channel.SHELL, "comm_msg", content, header=client.header()))

    answer = client.run(code, wake)
    assert answer.stdout == "waiting\nwoken\n"
    streams = [message for message in answer.messages if message.msg_type == "stream"]
    assert len({message.parent_header["msg_id"] for message in streams}) == 1


def test_completion_and_inspection(client: KernelClient) -> None:
    """The front end's own questions are answered by ipykernel's own handlers."""
    client.run("a_long_name = 5")
    assert "found" in client.ask("inspect_request", {"code": "len", "cursor_pos": 3, "detail_level": 0}).reply
    assert "matches" in client.ask("complete_request", {"code": "a_lo", "cursor_pos": 4}).reply
    assert client.ask("is_complete_request", {"code": "for x in y:"}).reply["status"] == "incomplete"


def test_vars(client: KernelClient) -> None:
    """%remote vars gets name, type, shape, bytes and a short repr, of values whose repr fails too."""
    client.run("numbers = list(range(1000))\nclass Bad:\n    def __repr__(self): raise ValueError\nbad = Bad()")
    rows = {row["name"]: row for row in client.ask("farcell_vars_request", {}).reply["vars"]}
    assert rows["numbers"]["type"] == "list" and rows["numbers"]["shape"] == "1000"
    assert len(rows["numbers"]["repr"]) <= 80 and rows["bad"]["repr"]
    assert "In" not in rows and "len" not in rows


def test_replaced_builtins(client: KernelClient) -> None:
    """A cell that replaces a builtin sees it at once, and so do later cells."""
    assert client.run("import builtins\nbuiltins.hex = lambda n: 'mine'\nprint(hex(1))").stdout == "mine\n"
    assert client.run("print(hex(1))").stdout == "mine\n"


def test_threads_print_under_their_cell(client: KernelClient) -> None:
    """What a thread writes at once arrives, whole and once each; Python writes what stands between commas bit by bit."""
    code = """
import threading
threads = [threading.Thread(target=lambda n=n: [print(f"{n} {i}\\n", end="") for i in range(100)]) for n in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads];
"""
    lines = client.run(code).stdout.split("\n")
    assert sorted(line for line in lines if line) == sorted(f"{n} {i}" for n in range(4) for i in range(100))


def test_replaced_stdout(client: KernelClient) -> None:
    """A cell that leaves something else as sys.stdout ends like any other."""
    answer = client.run("import sys\nkept, sys.stdout = sys.stdout, None\n1 + 1;")
    assert answer.reply["status"] == "ok"
    assert client.run("sys.stdout = kept\nprint('back')", names=["sys", "kept"]).stdout == "back\n"
