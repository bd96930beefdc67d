"""Remote messages shown by a real notebook kernel: in order, under the right cell, through whatever replaced its outputs."""

from __future__ import annotations

import pytest
from notebooks import Notebook

SET_UP = """
import sys, threading
from farcell.relay.notebook import Notebook
from farcell.relay.run_relay import RunRelay
from farcell_host.protocol.messages import Channel, Message

here = Notebook(get_ipython().user_ns, get_ipython())

class Far:
    "A run whose messages come in from another thread, as from the connection thread."
    def __init__(self):
        self.header = here.cell_header()
        self.relay = RunRelay(here, here.execution_count)
        self.relay.before()
        self.left = []
    def say(self, msg_type, **content):
        message = Message.build(Channel.IOPUB, msg_type, content, parent={**self.header, "farcell_run": "r"})
        def arrive():
            if not self.relay.receive(message):
                self.left.append(message)
        thread = threading.Thread(target=arrive)
        thread.start()
        thread.join()
        while self.left:
            self.relay.publish(self.left.pop(0))
    def out(self, text, name="stdout"):
        self.say("stream", name=name, text=text)
    def result(self, value, n=None):
        self.say("execute_result", data={"text/plain": repr(value)}, metadata={}, execution_count=n or 77)
        here.set_result(value, self.relay.result)
        self.relay.show_value(value)
"""


@pytest.fixture
def notebook(sandbox):  # type: ignore[no-untyped-def]
    """A notebook in which a relay can be fed."""
    with Notebook(sandbox) as opened:
        opened.run(SET_UP).check()
        yield opened


def test_remote_and_local_output_keep_their_order(notebook: Notebook) -> None:
    """A hundred alternations of local and remote prints come out as they were made."""
    code = """
for n in range(100):
    print(f"local {n}")
    far = Far()
    far.out(f"remote {n}\\n")
"""
    cell = notebook.run(code).check()
    assert cell.stdout == "".join(f"local {n}\nremote {n}\n" for n in range(100))


def test_outputs_of_all_kinds_arrive(notebook: Notebook) -> None:
    """Displays, updates, clear_output and both streams look as if the cell had run here."""
    code = """
far = Far()
far.out("warning\\n", "stderr")
far.say("display_data", data={"text/plain": "one"}, metadata={}, transient={"display_id": "d"})
far.say("update_display_data", data={"text/plain": "two"}, metadata={}, transient={"display_id": "d"})
far.say("status", execution_state="idle")
"""
    cell = notebook.run(code).check()
    assert cell.stderr == "warning\n"
    assert [output["data"]["text/plain"] for output in cell.outputs if output["output_type"] == "display_data"] == ["two"]


def test_all_messages_are_of_one_session(notebook: Notebook) -> None:
    """JupyterLab drops what is of another session than the message that came last, as left over from before a restart."""
    cell = notebook.run("print('local')\nfar = Far()\nfar.out('remote')\nfar.result(1)").check()
    assert len({message["header"]["session"] for _, message in cell.messages}) == 1


def test_a_result_has_the_local_number(notebook: Notebook) -> None:
    """Out[N], `_`, `__` and the shown number are this notebook's."""
    first = notebook.run("Far().result(41)").check()
    second = notebook.run("Far().result([1, 2])").check()
    shown = [message["content"] for _, message in second.messages if message["msg_type"] == "execute_result"]
    assert [content["execution_count"] for content in shown] == [second.execution_count]
    assert len(second.results) == 1
    n, m = first.execution_count, second.execution_count
    assert notebook.run(f"print(_, __, Out[{n}], Out[{m}], _{n}, _{m})").stdout == "[1, 2] 41 41 [1, 2] 41 [1, 2]\n"


def test_a_user_defined_underscore_stays(notebook: Notebook) -> None:
    """Who has set `_` by hand keeps it, as with local results."""
    notebook.run("_ = 'mine'").check()
    notebook.run("Far().result(5)").check()
    assert notebook.value("_") == "mine"


def test_capture_gets_everything(notebook: Notebook) -> None:
    """%%capture above a remote cell takes its output, displays and result, and nothing is shown."""
    code = """%%capture captured
far = Far()
far.out("text\\n")
far.say("display_data", data={"text/plain": "pic"}, metadata={}, transient={})
far.result(3)
"""
    cell = notebook.run(code).check()
    assert cell.outputs == []
    assert notebook.value("captured.stdout") == "text\n"
    assert notebook.value("[o.data['text/plain'] for o in captured.outputs]") == ["pic", "3"]


def test_redirected_output_goes_where_it_was_sent(notebook: Notebook) -> None:
    """redirect_stdout around a remote run sees its lines."""
    code = """
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as taken:
    Far().out("text\\n")
"""
    cell = notebook.run(code).check()
    assert cell.stdout == ""
    assert notebook.value("taken.getvalue()") == "text\n"


def test_a_display_hook_gets_the_value(notebook: Notebook) -> None:
    """A hook in sys.displayhook's place is called with the object itself."""
    code = """
seen, before = [], sys.displayhook
sys.displayhook = seen.append
try:
    Far().result({"a": 1})
finally:
    sys.displayhook = before
"""
    cell = notebook.run(code).check()
    assert cell.results == []
    assert notebook.value("seen") == [{"a": 1}]


def test_registered_display_hooks_see_remote_displays(notebook: Notebook) -> None:
    """display_pub.register_hook filters remote displays as local ones."""
    code = """
kinds = []
hook = lambda message: kinds.append(message["header"]["msg_type"])
get_ipython().display_pub.register_hook(hook)
try:
    Far().say("display_data", data={"text/plain": "pic"}, metadata={}, transient={})
finally:
    get_ipython().display_pub.unregister_hook(hook)
"""
    cell = notebook.run(code).check()
    assert cell.displays == []
    assert notebook.value("kinds") == ["display_data"]


def test_a_nested_error_is_shown_in_its_place(notebook: Notebook) -> None:
    """An error that the cell survived is output like any other."""
    code = """
far = Far()
far.say("error", ename="E1", evalue="survived", traceback=["tb1"])
far.out("after\\n")
"""
    cell = notebook.run(code).check()
    assert [error.name for error in cell.errors] == ["E1"]
    kinds = [message["msg_type"] for _, message in cell.messages if message["msg_type"] in ("error", "stream")]
    assert kinds == ["error", "stream"]


def test_dropped_output_is_said(notebook: Notebook) -> None:
    """When the journal's quota cut old output, the cell says so."""
    cell = notebook.run("Far().say('farcell_output_dropped', messages=12, bytes=3456)").check()
    assert "12 messages (3456 bytes)" in cell.stderr


EXPRESSIONS = {"value": "x + 1", "shown": "names", "fault": "1 / 0", "missing": "nowhere"}


def test_expressions_of_the_front_end_are_answered(notebook: Notebook) -> None:
    """user_expressions see what the remote cell made, and answer as after the same cell run here: values, displays, errors."""
    body = "x = 41\nnames = {'a': [1, 2]}"
    here = notebook.run(body, user_expressions=EXPRESSIONS).check().reply["user_expressions"]
    notebook.run("del x, names\n%load_ext farcell").check()
    far = notebook.run(f"%%remote\n{body}", user_expressions=EXPRESSIONS).check().reply["user_expressions"]
    assert far["value"] == here["value"] == {"status": "ok", "data": {"text/plain": "42"}, "metadata": {}}
    assert far["shown"] == here["shown"]
    for name, error in (("fault", "ZeroDivisionError"), ("missing", "NameError")):
        assert (far[name]["status"], far[name]["ename"], far[name]["evalue"]) == ("error", error, here[name]["evalue"])


def test_expressions_get_no_made_up_answer_from_a_ref(notebook: Notebook) -> None:
    """What stayed on the target shows as the ref it is; an expression that needs the value is an error that names the fetch."""
    notebook.run("%load_ext farcell").check()
    asked = {"shown": "kept", "needs": "kept[0]"}
    answers = notebook.run("%%remote --keep kept\nkept = [7]", user_expressions=asked).check().reply["user_expressions"]
    assert "<ref to kept on 'local': list" in answers["shown"]["data"]["text/plain"]
    assert (answers["needs"]["status"], answers["needs"]["ename"]) == ("error", "NotHere")
    assert ".fetch()" in answers["needs"]["evalue"]


def test_expressions_are_not_asked_after_an_error(notebook: Notebook) -> None:
    """As locally: a cell that failed answers none, remote as here."""
    notebook.run("%load_ext farcell").check()
    replies = [notebook.run(f"{top}1 / 0", user_expressions={"two": "1 + 1"}).reply for top in ("", "%%remote\n")]
    assert [reply["status"] for reply in replies] == ["error", "error"]
    assert replies[0].get("user_expressions") == replies[1].get("user_expressions")


def test_a_remote_load_fills_the_cell(notebook: Notebook) -> None:
    """`%load` in a remote cell: the payload that sets the next input is in the reply, as the target read the file."""
    notebook.run("%load_ext farcell").check()
    (notebook.sandbox.folder / "words.py").write_text("loaded = 1\n")
    payloads = notebook.run("%%remote\n%load words.py").check().reply["payload"]
    assert [payload["source"] for payload in payloads] == ["set_next_input"]
    assert "loaded = 1" in payloads[0]["text"]
