"""Much output, and output of every make: nothing of it is lost, and it comes in the order that a local cell gives it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from front_end import FrontEnd
from notebooks import Cell, Notebook
from sandbox import Sandbox

SHOWN = ("stream", "display_data", "update_display_data", "execute_result", "clear_output", "error")
LINES, UPDATES, LARGE_BYTES = 100_000, 1_000, 50 << 20


@pytest.fixture(scope="module")
def notebook() -> Iterator[Notebook]:
    """The target is there: no line says that it starts."""
    place = Sandbox()
    with Notebook(place) as opened:
        opened.run("%load_ext farcell").check()
        opened.run("%%remote\npass").check()
        yield opened
    left = place.close()
    assert not left, left


def told(cell: Cell) -> list[Any]:
    """All that a cell has shown, in order; texts side by side of one stream are one."""
    found: list[Any] = []
    for _, message in cell.messages:
        kind, content = message["msg_type"], message["content"]
        if kind not in SHOWN:
            continue
        if kind != "stream":
            found.append([kind, {key: value for key, value in content.items() if key != "execution_count"}])
        elif found and found[-1][:2] == [kind, content["name"]]:
            found[-1][2] += content["text"]
        else:
            found.append([kind, content["name"], content["text"]])
    return found


def both(notebook: Notebook, code: str, timeout: float = 120) -> tuple[Cell, Cell]:
    """The same cell here and there."""
    here, there = (notebook.run(magic + code, timeout).check() for magic in ("", "%%remote\n"))
    return here, there


def assert_same(notebook: Notebook, code: str) -> list[Any]:
    """What both have shown."""
    here, there = (told(cell) for cell in both(notebook, code))
    assert [entry[0] for entry in there] == [entry[0] for entry in here]
    for ours, theirs in zip(there, here, strict=True):
        assert ours == theirs
    return there


def test_a_hundred_thousand_lines(notebook: Notebook) -> None:
    """Printed at once."""
    (only,) = assert_same(notebook, f"for n in range({LINES}): print('line', n)")
    assert only == ["stream", "stdout", "".join(f"line {n}\n" for n in range(LINES))]


UNREAD = {
    "lines": "for n in range(10_000): print('line', n, flush=True)",
    "updates": "handle = display(0, display_id='bar')\nfor n in range(5_000): handle.update(n)\nprint('over')",
}


@pytest.mark.parametrize("code", UNREAD.values(), ids=UNREAD)
def test_a_front_end_that_reads_late(notebook: Notebook, code: str) -> None:
    """It has a message for each line, and reads none of them before the cell is over."""
    shown = []
    for magic in ("", "%%remote\n"):
        running = notebook.start(magic + code)
        assert notebook.client.shell_channel.socket.poll(60_000)
        shown.append(told(running.finish().check()))
    here, there = shown
    assert there == here
    assert len(there) == 5_002 or there == [["stream", "stdout", "".join(f"line {n}\n" for n in range(10_000))]]


def test_a_thousand_display_updates(notebook: Notebook) -> None:
    """Each of them, between the prints that it was made between."""
    code = f"""
from IPython.display import display
handle = display(0, display_id="bar")
for n in range(1, {UPDATES}):
    if n % 10 == 0:
        print("step", n)
    handle.update(n)
"""
    shown = assert_same(notebook, code)
    values = [entry[1]["data"]["text/plain"] for entry in shown if entry[0] != "stream"]
    assert values == [str(n) for n in range(UPDATES)]
    assert [entry[2] for entry in shown if entry[0] == "stream"] == [f"step {n}\n" for n in range(10, UPDATES, 10)]
    steps = [entry for entry in shown if entry[0] == "stream" or entry[1]["data"]["text/plain"] == "10"][:2]
    assert [entry[0] for entry in steps] == ["stream", "update_display_data"]


def test_a_display_of_fifty_megabytes(notebook: Notebook) -> None:
    """Whole, and what was printed around it stays around it."""
    code = f"""
print("before")
display({{"text/plain": "large", "application/x-large": "abcdefgh" * ({LARGE_BYTES} // 8)}}, raw=True)
print("after")
"""
    large = hashlib.sha256(b"abcdefgh" * (LARGE_BYTES // 8)).hexdigest()
    for cell in both(notebook, code):
        before, (kind, content), after = told(cell)
        assert (before[2], kind, after[2]) == ("before\n", "display_data", "after\n")
        assert hashlib.sha256(content["data"]["application/x-large"].encode()).hexdigest() == large


def test_a_widget_of_fifty_megabytes(notebook: Notebook) -> None:
    """In a binary part of its message."""
    pytest.importorskip("ipywidgets")
    page = FrontEnd(notebook)
    code = f"import ipywidgets\nimage = ipywidgets.Image(value=bytes(range(256)) * ({LARGE_BYTES} // 256))\nimage.close()"
    for magic in ("", "%%remote\n"):
        notebook.run(magic + code, 120).check()
        (model,) = (model for model in page.opened if page.state(model)["_model_name"] == "ImageModel")
        value = page.state(model)["value"]
        assert hashlib.sha256(value).digest() == hashlib.sha256(bytes(range(256)) * (LARGE_BYTES // 256)).digest()
        page.opened.clear()


COLOURS = r"""
for n in range(300):
    print(f"\r\x1b[2K\x1b[3{n % 8}m{n:3d} %\x1b[0m", end="", flush=n % 50 == 0)
print("\rdone\x1b[1A\b\x07\x00\v\f\x85\u2028", "\U0001f600\r\n")
"""


def test_colours_and_carriage_returns(notebook: Notebook) -> None:
    """Every character gets through."""
    (only,) = assert_same(notebook, COLOURS)
    assert only[2].count("\r") == 302 and "\x1b[33m299 %\x1b[0m\rdone" in only[2]


def test_clear_output_amid_a_flood(notebook: Notebook) -> None:
    """Each of them where it was."""
    code = """
from IPython.display import clear_output
for n in range(200):
    clear_output(wait=n % 2 == 0)
    print("frame", n)
"""
    shown = assert_same(notebook, code)
    assert [entry[0] for entry in shown] == ["clear_output", "stream"] * 200


def test_local_and_remote_prints_and_displays_keep_their_order(notebook: Notebook) -> None:
    """Runs sent from one cell, with prints and displays of the notebook's own between them."""
    far = "print('far', {n}); display('far {n}'); print('err', {n}, file=__import__('sys').stderr)"
    code = f"""
for n in range(20):
    print("here", n)
    display(f"here {{n}}")
    print("then", n, end=" ")
    get_ipython().run_cell_magic("remote", "", {far!r}.replace("{{n}}", str(n)))
"""
    shown = told(notebook.run(code).check())
    assert len(shown) == 20 * 5
    for n in range(20):
        text, own, mixed, far_display, err = shown[5 * n : 5 * n + 5]
        assert text == ["stream", "stdout", f"here {n}\n"] and own[1]["data"]["text/plain"] == f"'here {n}'"
        assert mixed == ["stream", "stdout", f"then {n} far {n}\n"] and far_display[1]["data"]["text/plain"] == f"'far {n}'"
        assert err == ["stream", "stderr", f"err {n}\n"]


THREADS = """
import threading
def work(k):
    for n in range(1000):
        print(f"{k} {n}\\n", end="")
threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("all")
"""


def test_threads(notebook: Notebook) -> None:
    """Every line of each, whole and in its order; what comes after them is last."""
    for cell in both(notebook, THREADS):
        *lines, last = cell.stdout.splitlines()
        assert last == "all" and len(lines) == 8000
        for k in range(8):
            assert [line for line in lines if line.startswith(f"{k} ")] == [f"{k} {n}" for n in range(1000)]


CHILDREN = {
    "subprocess": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'for n in range(5000): print(\"child\", n)'])",
    "os.system": "import os\nos.system('seq -f \"child %.0f\" 0 4999')",
    "!command": "!seq -f 'child %.0f' 0 4999",
    "%%bash": "%%bash\nseq -f 'child %.0f' 0 4999",
    "descriptor 1": "import os\nfor n in range(5000): os.write(1, b'child %d\\n' % n)",
}


@pytest.mark.parametrize("code", CHILDREN.values(), ids=CHILDREN)
def test_children_of_the_target(notebook: Notebook, code: str) -> None:
    """Every line that a process started there prints. Those that come through descriptor 1 may come after the cell's end."""
    for magic in ("", "%%remote\n"):
        text = printed(notebook, magic + code, lambda text: "child 4999" in text)
        assert text.splitlines() == [f"child {n}" for n in range(5000)]


FORKED = """
import multiprocessing, sys
def work():
    for n in range(200): sys.stdout.write(f"child {n}\\n")
    sys.stdout.flush()
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
"""


def test_forked_children(notebook: Notebook) -> None:
    """ipykernel sends each of their writes by a socket of its own: all come, in any order."""
    for magic in ("", "%%remote\n"):
        text = printed(notebook, magic + FORKED, lambda text: text.count("\n") == 200)
        assert sorted(text.splitlines()) == sorted(f"child {n}" for n in range(200))


BINARY = {
    "descriptor 1": "import os\nos.write(1, bytes(range(256)) * 4 + 'é'.encode() + b'end\\n')",
    "descriptor 2": "import os\nos.write(2, b'\\xff\\xfe end\\n')",
    "a child": "import subprocess\nsubprocess.run(['printf', r'\\377\\376 end\\n'])",
}


@pytest.mark.parametrize("code", BINARY.values(), ids=BINARY)
def test_bytes_that_are_no_text(notebook: Notebook, code: str) -> None:
    """Look as they do here."""
    here, there = (printed(notebook, magic + code, lambda text: "end" in text) for magic in ("", "%%remote\n"))
    assert there == here and "\ufffd" in here


def test_a_buffer_of_stdout(notebook: Notebook) -> None:
    """There is as much of one as here."""
    code = "import sys\ntry: sys.stdout.buffer.write(b'\\xff')\nexcept Exception as error: print(type(error).__name__, error)"
    here, there = both(notebook, code)
    assert (there.stdout, there.stderr) == (here.stdout, here.stderr) and here.stdout


def printed(notebook: Notebook, code: str, is_all: Callable[[str], bool]) -> str:
    """All that a cell's streams get, of which some may come after its end."""
    texts: list[str] = []
    running = notebook.start(code)

    def hear(message: Any) -> None:
        if message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == running.message_id:
            texts.append(message["content"]["text"])

    notebook.listeners.append(hear)
    try:
        running.finish().check()
        notebook.pump(lambda: is_all("".join(texts)), 20)
    finally:
        notebook.listeners.remove(hear)
    return "".join(texts)
