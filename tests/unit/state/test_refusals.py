"""What cannot travel is refused before anything is sent, with the way to it and a hint."""

from __future__ import annotations

import pytest
from farcell_host.state import CannotRestore, CannotTravel
from farcell_host.state.placeholders import DELETED

from .conftest import over_the_wire

CASES = {
    "file": ("f = open(path)", "f", "f: an open file"),
    "file in model": (
        "class M: pass\nmodel = M(); model.cfg = {'log': M()}; model.cfg['log'].stream = open(path)",
        "model",
        "model.cfg['log'].stream: an open file",
    ),
    "generator": ("g = [1, (x for x in [])]", "g", "g[1]: a generator"),
    "lock": ("import threading\nd = {'l': threading.Lock()}", "d", "d['l']: a lock"),
    "thread": ("import threading\nt = threading.Thread()", "t", "t: a thread"),
    "closure": (
        "def make():\n    g = (x for x in [])\n    def f(): return g\n    return f\nf = make()",
        "f",
        "f.<g>: a generator",
    ),
    "default": ("def f(x=(i for i in [])): pass", "f", "f.__defaults__[0]: a generator"),
    "used by a function": ("g = (x for x in [])\ndef f(): return g", "f", "g: a generator"),
    "weak reference": (
        "import weakref\nclass A: pass\na = A(); w = [weakref.ref(a, lambda ref: None)]",
        "w",
        "w[0]: a weak reference with a callback of the notebook's, which would run on both sides. Make it inside the remote cell",
    ),
    "database": ("import sqlite3\nc = sqlite3.connect(':memory:')", "c", "c: a database connection"),
    "memoryview": ("m = memoryview(b'a')", "m", "m: a memoryview"),
    "progress bar": ("import tqdm\nb = tqdm.tqdm(disable=True)", "b", "b: a progress bar"),
    "coroutine": ("async def a(): pass\nc = a()", "c", "c: a coroutine"),
    "finalizer": ("import weakref\nclass A: pass\na = A(); f = weakref.finalize(a, print)", "f", "f: a finalizer"),
    "finalized": (
        "import weakref\nclass A: pass\na = A(); f = weakref.finalize(a, list); box = [a]",
        "box",
        "box[0]: an object with a weakref.finalize, which would run on both sides. Make it inside the remote cell, or let",
    ),
    "del": (
        "class A:\n    def __del__(self): pass\nclass B(A): pass\nx = {'k': B()}",
        "x",
        "x['k']: an object with __del__, which would run on both sides. Make it inside the remote cell, or let it go by value: "
        "set __farcell_by_value__ = True on its class",
    ),
    "socket": ("import socket\nx = [socket.socket()]; x[0].close()", "x", "x[0]: a socket"),
    "executor": ("import concurrent.futures\nx = concurrent.futures.ThreadPoolExecutor()", "x", "x: an executor"),
    "running future": ("import concurrent.futures\nx = {'f': concurrent.futures.Future()}", "x", "x['f']: a future"),
    "event": ("import threading\nx = threading.Event()", "x", "x: a threading.Event"),
    "queue": ("import queue\nx = queue.Queue()", "x", "x.mutex: a lock"),
    "lock between processes": ("import multiprocessing as mp\nx = mp.Lock()", "x", "x: a lock. Make it inside the remote cell"),
    "shared value": ("import multiprocessing as mp\nx = mp.Value('i', 1)", "x", "x: a value shared between processes"),
    "event loop": ("import asyncio\nx = asyncio.new_event_loop(); x.close()", "x", "x: an event loop"),
    "C library": ("import ctypes\nx = ctypes.CDLL(None)", "x", "x: a C library. Load it inside the remote cell"),
    "C function": ("import ctypes\nx = [ctypes.CDLL(None).abs]", "x", "x[0]: a C function"),
    "C callback": ("import ctypes\nx = ctypes.CFUNCTYPE(None)(print)", "x", "x: a C function"),
    "C pointer": ("import ctypes\nx = ctypes.pointer(ctypes.c_int(1))", "x", "x: a C pointer"),
    "open folder": ("import os\nx = os.scandir('/'); x.close()", "x", "x: an open folder. Turn it into a list first"),
    "hash": ("import hashlib\nx = hashlib.sha256()", "x", "x: a hash object. Take its digest() first"),
    "compressor": ("import zlib\nx = zlib.compressobj()", "x", "x: a compressor"),
    "own reduce": (
        "class A(set):\n    def __reduce__(self): raise ValueError('not me')\nx = {'k': [A()]}",
        "x",
        "x['k'][0]: a A that cannot be pickled (not me)",
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("code, name, message", CASES.values(), ids=CASES)
def test_refused_with_the_path_that_leads_to_it(pair, tmp_path, code, name, message):
    """The message starts with the access path and the reason."""
    (tmp_path / "log").write_text("")
    pair.here["path"] = str(tmp_path / "log")
    pair.cell(code)
    with pytest.raises(CannotTravel) as caught:
        pair.ship(name)
    assert str(caught.value).startswith(message)
    for value in (pair.here.get("f"), pair.here.get("c"), getattr(pair.here.get("model"), "cfg", {}).get("log")):
        close = getattr(getattr(value, "stream", value), "close", None)
        if close:
            close()


def test_the_hint_says_what_to_do(pair):
    """The whole message, as users read it."""
    pair.cell("g = (x for x in [])")
    with pytest.raises(CannotTravel) as caught:
        pair.ship("g")
    assert str(caught.value) == "g: a generator. Turn it into a list first, or make it inside the remote cell"


def test_a_class_may_declare_that_it_is_finalised_twice(pair):
    """The declaration counts whenever it is made; classes of libraries need none."""
    pair.cell("class A:\n    def __del__(self): ended.append(1)\nended = []; a = A()")
    with pytest.raises(CannotTravel):
        pair.ship("a")
    pair.cell("A.__farcell_by_value__ = True")
    pair.ship("a")
    assert type(pair.there["a"]).__name__ == "A"
    pair.cell("import tempfile\nfolder = tempfile.TemporaryDirectory()")
    try:
        with pytest.raises(CannotTravel, match="_finalizer: a finalizer"):  # which it holds, and which cannot be had twice
            pair.ship("folder")
    finally:
        pair.here["folder"].cleanup()


def test_what_is_finalised_there_stays_there(pair):
    """Made by a remote cell it is a ref."""
    pair.remote_exec("class A:\n    def __del__(self): pass\na = A()")
    pair.collect("a", "A")
    assert "an object with __del__" in pair.here["a"].info.reason


def test_string_buffers_are_data(pair):
    """StringIO and BytesIO are values, not open files."""
    pair.cell("import io\nb = io.BytesIO(b'ab'); b.read(1)")
    pair.ship("b")
    assert pair.there["b"].read() == b"b"


def test_a_payload_that_cannot_be_rebuilt_changes_nothing_and_is_sent_again(pair):
    """A merge that fails leaves everything as it was; the next exchange sends the values anew."""
    pair.cell("a = [1]")
    pair.ship("a")
    pair.remote_exec(
        "import builtins\nclass Odd(set):\n    def __reduce__(self): return eval, (\"1/0 if boom else 5\", {'boom': boom})\n"
        "boom = True\na.append(2); odd = [Odd()]"
    )
    capture = pair.remote.collect(["a", "odd"], limit_bytes=1000)
    payload = pair.remote.pack(capture)
    pair.remote.sent(payload)
    with pytest.raises(CannotRestore, match="ZeroDivisionError"):
        pair.local.unpack(payload)
    assert pair.here["a"] == [1]
    pair.ship("a")
    pair.remote_exec("boom = False")
    pair.collect("a", "odd")
    assert pair.here["odd"] == [5]
    assert pair.here["a"] == pair.there["a"]


@pytest.mark.parametrize(
    "function",
    [
        "def f(): return 'about gen'",
        "def f(): return globals()['n'] + eval('n')",
        "def f(): return vars()\ndef other(): return next(gen)",
    ],
)
def test_what_a_function_may_only_name_is_no_reason_to_refuse(pair, function):
    """A word in a string, or one of all names: it goes along if it can, and so does what it uses itself."""
    pair.cell(f"gen = (i for i in range(3)); n = 1\n{function}")
    pair.ship("f")
    assert "gen" not in pair.there and pair.there["f"].__name__ == "f"
    if "globals" in function:
        assert pair.there["f"]() == 2


@pytest.mark.parametrize("order", [("f", "g"), ("g", "f")])
def test_what_another_function_does_read_is(pair, order):
    """Whichever is met first; also when it is used by what had only been named."""
    pair.cell("gen = (i for i in range(3))\ndef f(): return 'g, gen'\ndef g(): return h()\ndef h(): return next(gen)")
    pair.ship("f")
    with pytest.raises(CannotTravel, match=r"^gen: a generator"):
        pair.local.capture(order)


def test_a_name_that_is_deleted_alone_needs_no_value_that_travels(pair):
    """The value cannot travel, and is dropped here where the cell deletes its name there."""
    pair.cell("g = (i for i in range(3)); h = (i for i in range(3))")
    payload = pair.local.pack(pair.local.capture([], optional=dict.fromkeys("gh", DELETED)))
    pair.remote.apply(pair.remote.unpack(over_the_wire(payload)))
    pair.local.sent(payload)
    pair.remote_exec("del g")
    pair.collect("g", "h")
    assert "g" not in pair.here and next(pair.here["h"]) == 0
    with pytest.raises(CannotTravel, match="h: a generator"):
        pair.ship("h")
