"""What a malicious target may send to a notebook that takes data alone: nothing of it runs, or changes what is there."""

from __future__ import annotations

import copyreg
import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from farcell_host.state import CannotRestore, CannotTravel, Payload, RefInfo, plainreader
from farcell_host.state.decode import write_numbers
from farcell_host.state.plain import made, stranger
from farcell_host.state.refs import is_ref
from hypothesis import given, settings
from hypothesis import strategies as st

PROTOCOL = b"\x80\x04"
MADE = (made.__module__, "made")


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def name(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(module: str, called: str, *arguments: Any) -> bytes:
    """A pickle that calls this."""
    inner = pickle.dumps(arguments, 4)[2:-1]
    return PROTOCOL + name(module, called) + (inner[9:] if inner[:1] == b"\x95" else inner) + b"R."


def object_of(number: int) -> bytes:
    return b"J" + struct.pack("<i", number) + b"Q"


def doubling(levels: int) -> bytes:
    """A dict with a key that is (((), ()), ((), ())) and so on: two to the power of levels."""
    made = PROTOCOL + b")\x94"
    for place in range(levels):
        made += b"0h" + bytes([place]) + b"h" + bytes([place]) + b"\x86\x94"
    return made + b"0}h" + bytes([levels]) + b"Ns."


def make(*arguments: bytes) -> bytes:
    """A call of a maker, in the midst of a pickle."""
    return name(*MADE) + tuple_of(*arguments) + b"R"


def tuple_of(*pickled: bytes) -> bytes:
    return b"(" + b"".join(pickled) + b"t"


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def endless(levels: int = 60) -> tuple[bytes, bytes]:
    """What begins a pickle that has such a key, and what puts the key where it is wanted."""
    return doubling(levels)[: -len(b"0}h.Ns.")] + b"0", b"h" + bytes([levels])


def frame_of_a_key(form: Callable[[bytes], bytes]) -> Payload:
    begin, key = endless()
    return payload_of(begin + form(key) + b".")


def nested_slices(levels: int) -> bytes:
    begun = PROTOCOL + name(*MADE) + b"\x940" + text("slice") + b"\x940N\x940"
    each = (b"h\x00(h\x01j" + struct.pack("<I", level + 2) + b"NNtR\x940" for level in range(levels))
    return begun + b"".join(each) + b"j" + struct.pack("<I", levels + 2) + b"."


def repeated(shape: int) -> bytes:
    """A view that shows eight bytes that often."""
    return make(text("view"), b"C\x08" + bytes(8), b"K\x00", tuple_of(number(shape)), b"K\x00\x85", text("<f8"), b"\x88")


def range_of(size: int, name: bytes = b"N") -> bytes:
    return tuple_of(text("range"), b"K\x00", number(size), b"K\x01", name)


def series_of(numbers: bytes, size: int, name: bytes = b"N") -> bytes:
    return make(text("series"), tuple_of(text("numbers"), numbers), range_of(size), name, b"}")


EIGHT_BYTES = make(text("array"), text("<i8"), b"K\x01\x85", text("C"), b"C\x08" + bytes(8), b"\x88")


def multi(level: bytes) -> bytes:
    return make(text("index"), tuple_of(text("multi"), level + b"\x85", EIGHT_BYTES + b"\x85", b"N\x85"))


def payload_of(*pickles: bytes, names: tuple[str, ...] = ("x",), states: int = 0, **more: Any) -> Payload:
    """As a target sends it: these pickles one after the other; `more` goes into its stream or its header."""
    payload = Payload({"version": 1, "streams": [], "modules": {}, "bind": {}, "refs": {}, "sources": {}})
    stream = {"names": list(names), "states": states, "buffers": [], "objects": None, "sets": [], "replaced": None}
    stream["data"] = payload.place(b"".join(pickles))
    for key, value in more.items():
        if key in ("objects", "replaced"):
            stream[key] = payload.place(write_numbers(value))
        else:
            (stream if key in stream else payload.header)[key] = value
    payload.header["streams"] = [stream] if names else []
    return payload


class Target:
    """Whom the notebook has sent things: it knows their numbers."""

    def __init__(self, pair: Any, trap: Path) -> None:
        self.pair, self.trap = pair, trap

    def number(self, name: str) -> int:
        return int(self.pair.local._table.numbers[id(self.pair.here[name])])

    def known(self, name: str, then: bytes = b".", before: bytes = b"", names: tuple[str, ...] = ("x",)) -> Payload:
        """A pickle with an object of the notebook's in it."""
        return payload_of(PROTOCOL + before + object_of(self.number(name)) + then, names=names)

    def state(self, name: str, kind: str, content: Any) -> Payload:
        return payload_of(pickle.dumps(1, 5), pickle.dumps((self.number(name), kind, content), 5), states=1)

    def trapped(self, value: Callable[[Trap], Any] = lambda trap: trap, name: str = "x", protocol: int = 5) -> Payload:
        return payload_of(pickle.dumps(value(Trap(self.trap)), protocol), names=(name,))


def plain(value: Any, name: str = "x", **more: Any) -> Payload:
    return payload_of(pickle.dumps(value, 5), names=(name,), **more)


def calling(module: str, called: str, *arguments: Any) -> Payload:
    return payload_of(call(module, called, *arguments))


def ref(number: int) -> dict[str, Any]:
    return RefInfo(number, "list", "builtins", None, None, None, 1, "[]", "large").as_json()


ATTACKS: dict[str, tuple[Callable[[Target], Payload], str]] = {
    # names that a pickle calls
    "a reduction": (lambda t: t.trapped(), f"the name {open.__module__}.open"),
    "a reduction of protocol 0": (lambda t: t.trapped(protocol=0), "pickle's GLOBAL"),
    "a reduction deep in a value": (lambda t: t.trapped(lambda trap: {"a": [1, (trap,)]}), f"the name {open.__module__}.open"),
    "a reduction as the result": (lambda t: t.trapped(name="<result>"), f"the name {open.__module__}.open"),
    "a reduction as what was lost": (lambda t: t.trapped(lambda trap: [trap], "<lost>"), f"the name {open.__module__}.open"),
    "eval": (lambda t: calling("builtins", "eval", f"open({str(t.trap)!r}, 'w')"), "the name builtins.eval"),
    "getattr": (lambda t: calling("builtins", "getattr", "", "join"), "the name builtins.getattr"),
    "os.system": (lambda t: calling("posix", "system", f"touch {t.trap}"), "the name posix.system"),
    "a dotted name": (lambda t: calling(MADE[0], "made.__globals__", 1), "the name farcell_host.state.plain.made.__globals__"),
    "numpy's loader": (lambda t: calling("numpy", "load", str(t.trap), None, True), "the name numpy.load"),
    "numpy's way": (lambda t: plain(np.arange(3)), "the name numpy"),
    "numpy's objects": (lambda t: t.trapped(lambda trap: np.array([trap])), "the name numpy"),
    "torch's loader": (lambda t: calling("torch.storage", "_load_from_bytes", b""), "the name torch.storage"),
    "torch's way": (lambda t: calling("torch._utils", "_rebuild_tensor_v2", 1), "the name torch._utils"),
    "farcell's functions": (lambda t: calling("farcell_host.state.functions", "make_function"), "the name farcell_host.state.f"),
    "farcell's arrays": (lambda t: calling("farcell_host.state.arrays", "make_array", "O"), "the name farcell_host.state.arrays"),
    "an unknown maker": (lambda t: calling(*MADE, "eval", "1"), "there is no kind 'eval' of data"),
    # opcodes that do more
    "a new object": (lambda t: payload_of(PROTOCOL + name("builtins", "object") + b")\x81."), "the name builtins.object"),
    "an instance, as of old": (lambda t: payload_of(b"(ibuiltins\nobject\n."), "pickle's INST"),
    "an extension code": (lambda t: payload_of(PROTOCOL + b"\x82\x07."), "pickle's EXT1"),
    "a call of a known function": (lambda t: t.known("shell", text(str(t.trap)) + b"\x85R."), "a call of what is no maker"),
    "a state, by opcode": (lambda t: t.known("own", b"}" + text("mark") + b"Nsb."), "pickle's BUILD"),
    "a state for a maker": (
        lambda t: payload_of(PROTOCOL + name(*MADE) + b"N}" + text("__defaults__") + b"Ns\x86b."), "pickle's BUILD"
    ),
    "an addition to a known list": (lambda t: t.known("rows", b"K\x09a."), "something added to what it did not bring"),
    "additions to a known list": (lambda t: t.known("rows", b"(K\x09e."), "something added to what it did not bring"),
    "an item for a known dict": (lambda t: t.known("table", b"K\x09Ns."), "something added to what it did not bring"),
    "a member for a known set": (lambda t: t.known("seen", b"(K\x09\x90."), "something added to what it did not bring"),
    # names that mean more than a variable
    "an error": (lambda t: t.trapped(name="<error>"), "'<error>', which"),
    "an error of words": (lambda t: plain("e", "<error>"), "'<error>', which"),
    "state around the names": (lambda t: plain({"environment": {"PATH": "/x"}}, "<ambient>"), "'<ambient>', which"),
    "a module's state": (lambda t: plain({"a": 1}, "<module os>"), "'<module os>', which"),
    "a magic": (lambda t: plain("x", "%run"), "'%run', which"),
    "handlers of a logger": (lambda t: plain([], "<handlers root>"), "'<handlers root>', which"),
    "IPython's own": (lambda t: plain([], "get_ipython"), "'get_ipython', which"),
    "the builtins": (lambda t: plain({}, "__builtins__"), "'__builtins__', which"),
    "the builtins by number": (lambda t: payload_of(PROTOCOL + object_of(0) + b"."), "object 0, which is not known here"),
    "a ref under a magic's name": (lambda t: payload_of(names=(), refs={"%run": ref(-900)}), "'%run', which"),
    "the end of a magic": (lambda t: payload_of(names=(), deleted=["%run"]), "'%run', which"),
    "text of code": (lambda t: plain(1, sources={"h": {"filename": "<cell>", "text": "x"}}), "the text of code"),
    # the notebook's own objects, put where they were not
    "a function under another name": (lambda t: t.known("shell", names=("print",)), "a function"),
    "a name bound to a function": (lambda t: payload_of(names=(), bind={"print": t.number("shell")}), "for what is no ref"),
    "an object in a list": (lambda t: t.known("own", b"a.", before=b"]"), "a Own"),
    "a list with a function in it": (lambda t: t.known("tools"), "a function"),
    "an object as a key": (lambda t: t.known("own", b"Ns.", before=b"}"), "a Own for a key"),
    "a function into a dict": (
        lambda t: payload_of(
            pickle.dumps(1, 5),
            PROTOCOL + b"(J" + struct.pack("<i", t.number("table")) + text("dict") + b"}" + text("k"),
            object_of(t.number("shell")) + b"st.",
            states=1,
        ),
        "a function",
    ),
    "a ref that is a function here": (lambda t: payload_of(names=(), refs={"x": ref(t.number("shell"))}), "to what is no ref"),
    "a function replaced": (lambda t: plain([1], replaced=[(0, t.number("shell"))]), "in the place of a function"),
    "an object replaced": (lambda t: plain([1], replaced=[(0, t.number("own"))]), "in the place of a Own"),
    "a list replaced": (lambda t: plain([1], replaced=[(0, t.number("rows"))]), "a list in the place of a list"),
    "an array replaced by a list": (lambda t: plain([1], replaced=[(0, t.number("grid"))]), "a list in the place of a ndarray"),
    "a number of the notebook's": (lambda t: plain([1], objects=[(0, t.number("shell"))]), "which is another one here"),
    "a number of nothing": (lambda t: payload_of(PROTOCOL + object_of(-12345) + b"."), "object -12345, which is not known here"),
    # what is changed in place
    "a state for a function": (lambda t: t.state("shell", "function", [()]), "a function for a function"),
    "a state for an object": (lambda t: t.state("own", "object", [None, {"mark": 2}, {}, True]), "a object for a Own"),
    "a state of another kind": (lambda t: t.state("rows", "stateful", [{}, []]), "a stateful for a list"),
    "attributes for a list": (lambda t: t.state("rows", "list", ([1], {"a": 1})), "a tuple where list belongs"),
    "Python's path": (lambda t: t.state("path", "list", [str(t.trap.parent)]), "a change of what says which code is run"),
    "the environment": (lambda t: t.state("environment", "dict", {b"PATH": b"/x"}), "a change of what says which code is run"),
    "a module's names": (lambda t: t.state("module", "dict", {"a": 1}), "a change of what says which code is run"),
    # memory
    "a piece past an array": (lambda t: t.state("grid", "array", (True, [(80, b"12345678")], None, None)), "changed its layout"),
    "a piece before an array": (lambda t: t.state("grid", "array", (True, [(-8, b"12345678")], None, None)), "a piece before"),
    "an array's other type": (lambda t: t.state("grid", "array", (True, [], None, ("O", (10,)))), "a dtype that is none"),
    "an array's other size": (lambda t: t.state("grid", "array", (True, [], None, ("<f8", (11,)))), "an array of another size"),
    "memory that did not come": (lambda t: payload_of(b"\x80\x05\x97."), "memory that did not come"),
    "an array of objects": (lambda t: calling(*MADE, "array", "|O8", (1,), "C", bytes(8), True), "a dtype that is none of data"),
    "objects in fields": (
        lambda t: calling(*MADE, "array", (("a",), ("|O8",), (0,), 8), (1,), "C", bytes(8), True), "a dtype that is none of data"
    ),
    "an array beyond its memory": (lambda t: calling(*MADE, "array", "<f8", (1 << 40,), "C", b"", True), "of another size"),
    "a view past its memory": (lambda t: calling(*MADE, "view", bytes(8), 0, (1 << 20,), (8,), "<f8", True), "beyond its memory"),
    "a view before its memory": (lambda t: calling(*MADE, "view", bytes(8), 0, (4,), (-8,), "<i8", True), "beyond its memory"),
    # and the rest
    "a key that never ends": (lambda t: payload_of(doubling(60)), "a key that is too large"),
    "an order for a set": (lambda t: plain({1, 2}, sets=[[0, [0, 1], 8, []]]), "the order of a set"),
    "a time zone that is a path": (lambda t: calling(*MADE, "zone", "../../etc/passwd"), "no time zone"),
    "a frame of another thing": (lambda t: calling(*MADE, "frame", "x", "y", "z", {}), "a str where tuple belongs"),
    # what pandas would hash, copy or write out
    "an index's name that never ends": (
        lambda t: frame_of_a_key(lambda key: make(text("index"), range_of(3, key))), "a key that is too large"
    ),
    "a series' name that never ends": (
        lambda t: frame_of_a_key(lambda key: series_of(EIGHT_BYTES, 1, key)), "a key that is too large"
    ),
    "a level's value that never ends": (
        lambda t: frame_of_a_key(
            lambda key: multi(tuple_of(text("plain"), tuple_of(text("objects"), b"](" + key + b"K\x01e"), b"N"))
        ),
        "a key that is too large",
    ),
    "a level that is written out": (lambda t: payload_of(PROTOCOL + multi(range_of(1 << 40)) + b"."), "a level without end"),
    "a column of eight bytes": (
        lambda t: payload_of(PROTOCOL + series_of(repeated(1 << 31), 1 << 31) + b"."), "columns of more memory than came"
    ),
    "columns of one array": (
        lambda t: payload_of(
            PROTOCOL + make(text("array"), text("<i8"), tuple_of(number(1000)), text("C"), b"B" + struct.pack("<I", 8000)
            + bytes(8000), b"\x88") + b"\x940](" + 9 * series_of(b"h\x00", 1000) + b"e."
        ),
        "columns of more memory than came",
    ),
    "slices that crash Python": (lambda t: payload_of(nested_slices(200_000)), "slices of slices without end"),
    "the same over and over": (
        lambda t: payload_of(
            PROTOCOL + b"](" + 100_000 * b"N" + b"e\x940](" + 1000 * make(text("missing"), b"h\x00") + b"e."
        ),
        "the same things over and over",
    ),
    "a ref of no size": (
        lambda t: payload_of(names=(), refs={"x": {**ref(-900), "size_bytes": 10**400}}), "a value of no size"
    ),
    "nothing at all": (lambda t: payload_of(b""), "no pickle"),
    "half a pickle": (lambda t: payload_of(pickle.dumps([1, 2, 3], 5)[:-3]), "no pickle"),
    "a header of another form": (lambda t: Payload({"streams": 5}), "a message of another form"),
    "a stream of another form": (lambda t: Payload({"streams": [{"names": "x"}]}), "a message of another form"),
}  # fmt: skip
"""What is sent, and what is said of it."""


@pytest.fixture
def pair(make_pair: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook that has sent a function which runs what it is given, among other things."""
    pair = make_pair(takes_data_alone=True)
    pair.cell(
        "import os, sys, types\ndef shell(path): open(path, 'w').close()\nclass Own: mark = 1\nown = Own()\nrows = [1]\n"
        "table = {'k': 1}\nseen = {1}\ntools = [shell]\npath = sys.path\nmodule = {'__spec__': None}"
    )
    monkeypatch.setattr(os.environ, "_data", {b"A": b"b"})
    pair.here.update(grid=np.zeros(10), environment=os.environ._data)  # type: ignore[attr-defined]
    pair.ship("shell", "own", "rows", "table", "seen", "tools", "path", "module", "grid", "environment")
    monkeypatch.setitem(copyreg._extension_cache, 7, print)  # type: ignore[attr-defined]
    return pair


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def _variables(pair: Any) -> dict[str, Any]:
    return {name: value for name, value in pair.here.items() if not name.startswith("__")}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(pair: Any, attack: str, trap: Path) -> None:
    """Nothing runs, no value of the notebook's changes, and the message says why. The session goes on."""
    make, said = ATTACKS[attack]
    payload = make(Target(pair, trap))
    before, modules = _variables(pair), set(sys.modules)
    assert plainreader.__name__ in modules, "what is loaded from now on is the attack's doing"
    content = repr(before)
    with pytest.raises(CannotRestore) as refusal:
        pair.receive(payload)
    assert 'trust = "data"' in str(refusal.value) or "changed its layout" in str(refusal.value)
    assert said in str(refusal.value)
    assert not trap.exists() and set(sys.modules) == modules
    assert _variables(pair) == before and repr(_variables(pair)) == content and not vars(before["own"])
    pair.run("rows.append(2)")
    assert pair.here["rows"] is before["rows"] and before["rows"] == [1, 2]


def test_what_is_nested_without_end_is_taken(pair: Any) -> None:
    """Looking for what of it cannot be sent comes to an end."""
    pair.receive(payload_of(PROTOCOL + 20_000 * b"]" + 19_999 * b"a" + b"."))
    assert type(pair.here["x"][0][0]) is list
    with pytest.raises(CannotTravel, match="nested too deeply"):
        pair.ship("x")


def test_calls_of_makers_with_one_large_list_take_no_longer_for_it(pair: Any) -> None:
    """What no maker looks into is looked at once, when all of it has come."""
    begun = PROTOCOL + b"](" + 100_000 * b"N" + b"e\x940" + name(*MADE) + b"\x940" + text("slice") + b"\x940]("
    pair.receive(payload_of(begun + 20_000 * b"h\x01(h\x02h\x00NNtR" + b"e."))
    assert len(pair.here["x"]) == 20_000


def test_no_module_is_imported(pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Path) -> None:
    """A name for a module is a ref, unless it is bound to that very module here."""
    (tmp_path / "evil_module.py").write_text(f"open({str(trap)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    payload = payload_of(names=(), modules={"evil": ["evil_module", -900], "sys": ["sys", -901], "io": ["pickle", -902]})
    pair.receive(payload)
    assert is_ref(pair.here["evil"]) and is_ref(pair.here["io"]) and pair.here["sys"] is sys
    assert not trap.exists() and "evil_module" not in sys.modules


def test_what_a_ref_says_steers_no_terminal(pair: Any) -> None:
    """It is text of somebody else's."""
    info = {**ref(-900), "preview": "\x1b]52;c;x\x07" + "a" * 10_000, "type": "x\ny"}
    pair.receive(payload_of(names=(), refs={"far": info}))
    assert "\x1b" not in pair.here["far"].info.preview and len(pair.here["far"].info.preview) <= 500


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_refused(make_pair: Any, data: bytes) -> None:
    """Also those of which half is a pickle."""
    pair = make_pair(takes_data_alone=True)
    pair.here["rows"] = [1]
    pair.ship("rows")
    start = pickle.dumps({"a": [1, "x"]}, 5)[:-1]
    for attempt in (data, b"\x80\x05" + data, start + data, start + data + b"."):
        try:
            pair.receive(payload_of(attempt))
        except CannotRestore as refusal:
            assert 'trust = "data"' in str(refusal)
    assert pair.here["rows"] == [1]


def _honest(make_pair: Any) -> tuple[Any, Payload]:
    """A notebook, and what its target has to tell: new values, changes in place, a view, a frame."""
    pair = make_pair(takes_data_alone=True)
    pair.cell("def shell(path): open(path, 'w').close()\nrows = [1]\ntable = {'k': rows}")
    pair.here.update(grid=np.zeros(10), frame=pd.DataFrame({"a": [1]}))
    pair.ship("shell", "rows", "table", "grid", "frame")
    pair.remote_exec(
        "rows.append({2: (3, 'x')}); table['l'] = 1.5; grid[2] = 1; part = grid[1:3]\n"
        "frame['b'] = 'y'; ring = []; ring.append(ring)"
    )
    capture = pair.remote.collect(["rows", "table", "grid", "part", "frame", "ring"], is_data=True)
    return pair, over_the_wire(pair.remote.pack(capture))


def over_the_wire(payload: Payload) -> Payload:
    return Payload(json.loads(json.dumps(payload.header)), [bytes(each) for each in payload.buffers], list(payload.bulk))


@given(st.data())
@settings(max_examples=200)
def test_half_a_truth_is_taken_whole_or_not_at_all(make_pair: Any, data: st.DataObject) -> None:
    """An honest payload with bytes or words of it changed: data that comes is data, what is refused changes nothing."""
    pair, payload = _honest(make_pair)
    function = pair.here["shell"]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload.buffers) - 1))
        changed = bytearray(payload.buffers[place])
        if changed and data.draw(st.integers(0, 3)):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
            payload.buffers[place] = bytes(changed)
        else:
            stream = data.draw(st.sampled_from(payload.header["streams"]))
            stream[data.draw(st.sampled_from(sorted(stream)))] = data.draw(
                st.sampled_from(
                    [None, 0, 1, -1, [], ["buffers", 0], ["buffers", 99], ["bulk", -1], [["buffers", 0]], ["rows"], "x", {}]
                )
            )
    before, content = _variables(pair), repr(_variables(pair))
    try:
        delta = pair.local.unpack(payload)
    except CannotRestore:
        assert _variables(pair) == before and repr(_variables(pair)) == content
        return
    pair.local.apply(delta)
    assert pair.here["shell"] is function
    mine = [value for name, value in _variables(pair).items() if name != "shell" and not is_ref(value)]
    assert not stranger(mine)
