"""State that is read as data: what comes through whole, what stays on the target, and what a malicious target tries."""

from __future__ import annotations

import copyreg
import datetime
import decimal
import fractions
import pickle
import struct
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from farcell_host.state import CannotRestore, CannotTravel, Payload, RefInfo
from farcell_host.state.decode import write_numbers
from farcell_host.state.plain import MAKERS, made
from farcell_host.state.refs import is_ref
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def pair(make_pair: Any) -> Any:
    """A notebook that takes data alone, and a target that knows it."""
    return make_pair(takes_data_alone=True)


# -- what comes ----------------------------------------------------------------------------------------------------------------

EVERY_KIND = """
import collections, datetime, decimal, fractions, pathlib, uuid, zoneinfo
import numpy as np, pandas as pd
each = [
    None, True, 1 << 80, -1.5, 2j, "ä\\ud800", b"b", bytearray(b"c"), ..., slice(1, None, 2), range(1, 9, 2), (), (1, (2,)),
    {1: "a", (2, frozenset({3})): {4}}, {5, "e"}, frozenset({6}), datetime.date(2020, 2, 29), datetime.time(1, 2, fold=1),
    datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), datetime.timedelta(1, 2, 3), datetime.timezone.utc,
    datetime.timezone(datetime.timedelta(hours=1), "x"), decimal.Decimal("-1.50"), fractions.Fraction(1, 3), uuid.UUID(int=7),
    pathlib.PurePosixPath("a/b"), pathlib.Path("c"), np.float32(1.5), np.int8(-3), np.bool_(True), np.str_("ü"), np.str_(""),
    np.datetime64("2020-01-01"), np.timedelta64(3, "s"), np.complex64(1j), pd.Timestamp("2020-01-01", tz="UTC"), pd.Timedelta("1s"),
    pd.Timestamp("2020-01-01T01:02:03.000000004"),
]
arrays = [
    np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.).reshape(2, 3)), np.array(5), np.zeros((0, 3)), np.array(["a", "bc"]),
    np.array([b"x"]), np.array(["2020"], "M8[D]"), np.array([True]), np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]), np.arange(3, dtype=">i2"),
    np.ones(100_000)[::-1], np.frombuffer(b"abcd", "u1"),
]
frames = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2020", "2021"]).tz_localize("Europe/Paris")}),
    pd.DataFrame({"d": pd.Categorical(["u", "v"]), "e": pd.array([1, None], dtype="Int64"), "f": [[1], {"g": 2}]}),
    pd.DataFrame({1: [1.5]}, index=pd.MultiIndex.from_tuples([(1, "a")], names=["m", None])), pd.DataFrame(),
    pd.DataFrame([[1, 2]], columns=["same", "same"]), pd.Series([1, 2], name="s", index=pd.date_range("2020", periods=2, freq="D")),
    pd.Series(pd.array([True, None], dtype="boolean")), pd.Index(["a", "b"], name="i"), pd.RangeIndex(3), pd.timedelta_range("1s", periods=2),
]
"""


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.strides == other.strides and bool(np.array_equal(one, other))
    if isinstance(one, (pd.DataFrame, pd.Series, pd.Index)):
        return bool(one.equals(other)) and str(getattr(one, "dtypes", "")) == str(getattr(other, "dtypes", ""))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) and repr(one) == repr(other)


def test_every_kind_of_data_comes_as_it_is(pair: Any) -> None:
    """Value for value, of the same type."""
    pair.run(EVERY_KIND)
    for name in ("each", "arrays", "frames"):
        for here, there in zip(pair.here[name], pair.there[name], strict=True):
            assert _same(here, there), (here, there)


def test_what_is_shared_stays_shared(pair: Any) -> None:
    """Cycles, views of one array, and what the notebook has already is changed in place."""
    pair.here.update(rows=[1], box={}, grid=np.zeros(100_000), seen={1}, raw=bytearray(b"a"))
    before = dict(pair.here)
    pair.ship("rows", "box", "grid", "seen", "raw")
    pair.run(
        "rows.append(rows); box['rows'] = rows; grid[5] = 1; part = grid[4:8]; ring = ([],); ring[0].append(ring)\n"
        "seen.add(2); raw.extend(b'b'); pair = [part, part]"
    )
    here = pair.here
    assert all(here[name] is before[name] for name in ("rows", "box", "grid", "seen", "raw"))
    assert here["rows"][1] is here["rows"] and here["box"]["rows"] is here["rows"] and here["ring"][0][0] is here["ring"]
    assert here["part"].base is here["grid"] and here["grid"][5] == 1 and here["pair"][0] is here["part"] is here["pair"][1]
    assert here["seen"] == {1, 2} and here["raw"] == b"ab"
    here["grid"][6] = 2
    pair.ship("grid")
    assert pair.there["part"][2] == 2


def test_frames_change_in_place_and_go_back(pair: Any) -> None:
    """As a whole; what the notebook changes in turn is there too."""
    frame = pair.here["frame"] = pd.DataFrame({"a": [1, 2]})
    index = pair.here["index"] = pd.Index([1, 2], name="x")
    pair.ship("frame", "index")
    pair.run("frame['b'] = frame.a * 2; frame.loc[0, 'a'] = 7; index.name = 'y'")
    assert pair.here["frame"] is frame and frame.to_dict("list") == {"a": [7, 2], "b": [2, 4]}
    assert pair.here["index"] is index and index.name == "y"
    frame["c"] = 1
    pair.ship("frame")
    assert list(pair.there["frame"].columns) == ["a", "b", "c"]
    pair.run("frame['d'] = frame.c + 1")
    assert pair.here["frame"] is frame and list(frame.d) == [2, 2]


_LEAVES = [
    None, True, 0, -(1 << 70), 0.5, float("inf"), "", "ä", b"\x00", 1j, decimal.Decimal("1.0"), fractions.Fraction(1, 3), uuid.UUID(int=5),
    datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), datetime.timedelta(1), range(3), Ellipsis,
]
_leaves = st.sampled_from(_LEAVES) | st.integers() | st.text(max_size=3)
_keys = st.recursive(_leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2), max_leaves=3)
_nested = st.recursive(
    _leaves | st.builds(slice, st.integers()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=3) | st.sets(_keys, max_size=3) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(st.lists(_nested, min_size=1, max_size=4), st.data())
def test_nested_data_makes_the_round_trip(make_pair: Any, values: list[Any], data: st.DataObject) -> None:
    """With whatever of it is one object twice, and with what leads back to itself."""
    pair = make_pair(takes_data_alone=True)
    lists = [each for each in (values, *values) if type(each) is list]
    for _ in range(data.draw(st.integers(0, 4))):
        data.draw(st.sampled_from(lists)).append(data.draw(st.sampled_from([*values, values])))
    pair.there["values"] = values
    pair.collect("values")
    assert _alike(pair.here["values"], values, {})
    pair.here["values"].append(pair.here["values"])
    pair.ship("values")
    assert pair.there["values"] is values and values[-1] is values
    values.append("there")
    mine = pair.here["values"]
    pair.collect("values")
    assert pair.here["values"] is mine and _alike(mine, values, {})


def _alike(one: Any, other: Any, met: dict[int, int]) -> bool:
    """Equal, of the same shape: what is one object in the one is one in the other."""
    if type(one) is not type(other):
        return False
    if type(one) in (list, dict):
        if id(one) in met or id(other) in met.values():
            return met.get(id(one)) == id(other)
        met[id(one)] = id(other)
        if len(one) != len(other):
            return False
        pairs = zip(one, other, strict=True) if type(one) is list else zip(one.items(), other.items(), strict=True)
        return all(_alike(*each, met) for each in pairs)
    if type(one) is tuple:
        return len(one) == len(other) and all(_alike(*each, met) for each in zip(one, other, strict=True))
    return bool(one == other)


# -- what stays ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "value = lambda: 1", "class value: pass", "class C: pass\nvalue = C()", "class C(list): pass\nvalue = [C()]", "value = len",
        "import collections\nvalue = collections.OrderedDict()", "import numpy as np\nvalue = np.array([print])",
        "import numpy as np\nvalue = np.zeros(2).view(np.matrix)", "import enum\nvalue = enum.IntEnum('E', 'a').a", "value = KeyError()",
        "import pandas as pd\nvalue = pd.Series([print])", "import pandas as pd\nvalue = pd.interval_range(0, 2)",
        "import functools\nvalue = functools.partial(print)", "value = {print: 1}", "value = range", "import re\nvalue = re.compile('a')",
    ],
)  # fmt: skip
def test_everything_else_stays_there_as_a_ref(pair: Any, code: str) -> None:
    """It says why, and nobody brings it here."""
    pair.run(code)
    ref = pair.here["value"]
    assert is_ref(ref) and not ref.info.travels and 'trust = "data"' in ref.info.reason
    with pytest.raises(CannotTravel, match='trust = "data"'):
        pair.collect("value", out=["value"])


def test_what_was_data_may_become_more(pair: Any) -> None:
    """The name is a ref from then on; the notebook's own object stays as it was. Others that hold the ref come."""
    mine = pair.here["value"] = [1]
    pair.ship("value")
    pair.run("value.append(print)")
    assert is_ref(pair.here["value"]) and mine == [1]
    pair.run("others = [value, 2]")
    assert pair.here["others"][0] is pair.here["value"] and pair.here["others"][1] == 2


def test_what_the_notebook_has_sent_and_nobody_changed_stays(pair: Any) -> None:
    """Functions and objects of its own are not told back."""
    pair.cell("class Own: pass\ndef double(x): return 2 * x\nown = Own()")
    own, double = pair.here["own"], pair.here["double"]
    pair.ship("own", "double")
    pair.run("answer = double(3)")
    assert pair.here["own"] is own and pair.here["double"] is double and pair.here["answer"] == 6


# -- what a malicious target tries ---------------------------------------------------------------------------------------------


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def _name(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


def _called(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle that calls this."""
    inner = pickle.dumps(arguments, 4)[2:-1]
    if inner[:1] == b"\x95":
        inner = inner[9:]
    return b"\x80\x04" + _name(module, name) + inner + b"R."


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def _known(pair: Any, name: str) -> int:
    return pair.local._table.numbers[id(pair.here[name])]


def _payload(*pickles: bytes, names: tuple[str, ...] = ("x",), states: int = 0, **more: Any) -> Payload:
    payload = Payload({"version": 1, "streams": [], "modules": {}, "bind": {}, "refs": {}, "sources": {}})
    stream = {"names": list(names), "states": states, "buffers": [], "objects": None, "sets": [], "replaced": None}
    header = {key: more.pop(key) for key in list(more) if key in ("modules", "bind", "refs", "sources", "deleted", "forget", "pins")}
    numbers = {key: payload.place(write_numbers(more.pop(key))) for key in ("objects", "replaced") if key in more}
    stream.update(data=payload.place(b"".join(pickles)), **numbers, **more)
    payload.header.update(header, streams=[stream] if pickles or names else [])
    return payload


def _persistent(number: int) -> bytes:
    return b"J" + struct.pack("<i", number) + b"Q"


ATTACKS: dict[str, Callable[[Any, Path], Payload]] = {
    "a reduction": lambda pair, trap: _payload(pickle.dumps(Trap(trap), 5)),
    "a reduction of protocol 0": lambda pair, trap: _payload(pickle.dumps(Trap(trap), 0)),
    "a reduction deep in a value": lambda pair, trap: _payload(pickle.dumps({"a": [1, (Trap(trap),)]}, 5)),
    "the cell's result": lambda pair, trap: _payload(pickle.dumps(Trap(trap), 5), names=("<result>",)),
    "the cell's error": lambda pair, trap: _payload(pickle.dumps(Trap(trap), 5), names=("<error>",)),
    "an error of words": lambda pair, trap: _payload(pickle.dumps("e", 5), names=("<error>",)),
    "what was lost": lambda pair, trap: _payload(pickle.dumps([Trap(trap)], 5), names=("<lost>",)),
    "state around the names": lambda pair, trap: _payload(pickle.dumps({"environment": {"PATH": "/x"}}, 5), names=("<ambient>",)),
    "a module's state": lambda pair, trap: _payload(pickle.dumps({"a": 1}, 5), names=("<module os>",)),
    "a magic": lambda pair, trap: _payload(pickle.dumps("x", 5), names=("%run",)),
    "handlers of a logger": lambda pair, trap: _payload(pickle.dumps([], 5), names=("<handlers root>",)),
    "IPython's own": lambda pair, trap: _payload(pickle.dumps([], 5), names=("get_ipython",)),
    "the builtins": lambda pair, trap: _payload(pickle.dumps({}, 5), names=("__builtins__",)),
    "eval": lambda pair, trap: _payload(_called("builtins", "eval", f"open({str(trap)!r}, 'w')")),
    "getattr": lambda pair, trap: _payload(_called("builtins", "getattr", "", "join")),
    "a dotted name": lambda pair, trap: _payload(_called("farcell_host.state.plain", "made.__globals__", 1)),
    "os.system": lambda pair, trap: _payload(_called("posix", "system", f"touch {trap}")),
    "numpy's loader": lambda pair, trap: _payload(_called("numpy", "load", str(trap), None, True)),
    "numpy's way to make an array": lambda pair, trap: _payload(pickle.dumps(np.arange(3), 5)),
    "numpy's array of objects": lambda pair, trap: _payload(pickle.dumps(np.array([Trap(trap)]), 5)),
    "torch's loader": lambda pair, trap: _payload(_called("torch.storage", "_load_from_bytes", b"")),
    "torch's rebuilding": lambda pair, trap: _payload(_called("torch._utils", "_rebuild_tensor_v2", 1)),
    "farcell's own rebuilding": lambda pair, trap: _payload(_called("farcell_host.state.functions", "make_function", 1)),
    "its own maker of arrays": lambda pair, trap: _payload(_called("farcell_host.state.arrays", "make_array", "O", (1,), "C", b"12345678", True)),
    "an unknown maker": lambda pair, trap: _payload(_called(made.__module__, "made", "eval", "1")),
    "a new object": lambda pair, trap: _payload(b"\x80\x04" + _name("builtins", "object") + b")\x81."),
    "a class by the old opcode": lambda pair, trap: _payload(b"(ibuiltins\nobject\n."),
    "an extension code": lambda pair, trap: _payload(b"\x80\x04\x82\x07."),
    "a call of a known function": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "shell")) + _text(str(trap)) + b"\x85R."),
    "a state for a known object": lambda pair, trap: _payload(
        b"\x80\x04" + _persistent(_known(pair, "own")) + b"}" + _text("mark") + b"Nsb."
    ),
    "a state for a maker": lambda pair, trap: _payload(
        b"\x80\x04" + _name(made.__module__, "made") + b"N}" + _text("__defaults__") + b"Ns\x86b."
    ),
    "an addition to a known list": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "rows")) + b"K\x09a."),
    "additions to a known list": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "rows")) + b"(K\x09e."),
    "an item for a known dict": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "table")) + b"K\x09Ns."),
    "a member for a known set": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "seen")) + b"(K\x09\x90."),
    "a function under another name": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "shell")) + b".", names=("print",)),
    "an object of the notebook's in a list": lambda pair, trap: _payload(b"\x80\x04]" + _persistent(_known(pair, "own")) + b"a."),
    "a known list with a function in it": lambda pair, trap: _payload(b"\x80\x04" + _persistent(_known(pair, "tools")) + b"."),
    "a name bound to a function": lambda pair, trap: _payload(names=(), bind={"print": _known(pair, "shell")}),
    "the builtins by number": lambda pair, trap: _payload(b"\x80\x04" + _persistent(0) + b"."),
    "a number of nothing": lambda pair, trap: _payload(b"\x80\x04" + _persistent(-12345) + b"."),
    "a key that is an object of the notebook's": lambda pair, trap: _payload(b"\x80\x04}" + _persistent(_known(pair, "own")) + b"Ns."),
    "a key that never ends": lambda pair, trap: _payload(b"\x80\x04)" + b"\x94h\x00h\x00\x86"[:0] + _doubling(60)),
    "a state for a function": lambda pair, trap: _state(pair, "shell", "function", [()]),
    "a state for an object": lambda pair, trap: _state(pair, "own", "object", [None, {"mark": 2}, {}, True]),
    "a state of another kind": lambda pair, trap: _state(pair, "rows", "stateful", [{}, []]),
    "attributes for a list": lambda pair, trap: _state(pair, "rows", "list", ([1], {"a": 1})),
    "a function into a dict": lambda pair, trap: _payload(
        pickle.dumps(1, 5), b"\x80\x04(J" + struct.pack("<i", _known(pair, "table")) + _text("dict") + b"}" + _text("k")
        + _persistent(_known(pair, "shell")) + b"st.", states=1,
    ),
    "Python's path": lambda pair, trap: _state(pair, "path", "list", [str(trap.parent)]),
    "a piece past an array": lambda pair, trap: _state(pair, "grid", "array", (True, [(80, b"12345678")], None, None)),
    "a piece before an array": lambda pair, trap: _state(pair, "grid", "array", (True, [(-8, b"12345678")], None, None)),
    "another type for an array": lambda pair, trap: _state(pair, "grid", "array", (True, [], None, ("O", (10,)))),
    "a function replaced": lambda pair, trap: _payload(pickle.dumps([1], 5), replaced=[(0, _known(pair, "shell"))]),
    "an object replaced": lambda pair, trap: _payload(pickle.dumps([1], 5), replaced=[(0, _known(pair, "own"))]),
    "a number of the notebook's": lambda pair, trap: _payload(pickle.dumps([1], 5), objects=[(0, _known(pair, "shell"))]),
    "text of code": lambda pair, trap: _payload(pickle.dumps(1, 5), sources={"h": {"filename": "<cell>", "text": "x"}}),
    "an order for a set": lambda pair, trap: _payload(pickle.dumps({1, 2}, 5), sets=[[0, [0, 1], 8, []]]),
    "a ref that is a function here": lambda pair, trap: _payload(names=(), refs={"x": _info(_known(pair, "shell"))}),
    "a ref under a magic's name": lambda pair, trap: _payload(names=(), refs={"%run": _info(-900)}),
    "the deletion of a magic": lambda pair, trap: _payload(names=(), deleted=["%run"]),
    "memory for nothing": lambda pair, trap: _payload(b"\x80\x05\x97."),
    "an array of objects": lambda pair, trap: _payload(_called(made.__module__, "made", "array", "|O8", (1,), "C", b"12345678", True)),
    "an array of objects in fields": lambda pair, trap: _payload(
        _called(made.__module__, "made", "array", (("a",), ("|O8",), (0,), 8), (1,), "C", b"12345678", True)
    ),
    "an array larger than its memory": lambda pair, trap: _payload(_called(made.__module__, "made", "array", "<f8", (1 << 40,), "C", b"", True)),
    "a view past its memory": lambda pair, trap: _payload(
        _called(made.__module__, "made", "view", b"12345678", 0, (1 << 20,), (8,), "<f8", True)
    ),
    "a view before its memory": lambda pair, trap: _payload(
        _called(made.__module__, "made", "view", b"12345678", 0, (4,), (-8,), "<i8", True)
    ),
    "a time zone of another package": lambda pair, trap: _payload(_called(made.__module__, "made", "zone", "../../etc/passwd")),
    "a frame of another thing": lambda pair, trap: _payload(_called(made.__module__, "made", "frame", "x", "y", "z", {})),
    "nothing at all": lambda pair, trap: _payload(b""),
    "half a pickle": lambda pair, trap: _payload(pickle.dumps([1, 2, 3], 5)[:-3]),
    "a header of another form": lambda pair, trap: Payload({"streams": 5}),
    "a stream of another form": lambda pair, trap: Payload({"streams": [{"names": "x"}]}),
}  # fmt: skip


def _doubling(levels: int) -> bytes:
    """((((), ()), ...), ...): two to the power of levels."""
    made = b"\x94"
    for place in range(levels):
        made += b"0h" + bytes([place]) + b"h" + bytes([place]) + b"\x86\x94"
    return made + b"0}h" + bytes([levels]) + b"Ns."


def _info(number: int) -> dict[str, Any]:
    return RefInfo(number, "list", "builtins", None, None, None, 1, "[]", "large").as_json()


def _state(pair: Any, name: str, kind: str, content: Any) -> Payload:
    return _payload(pickle.dumps(1, 5), pickle.dumps((_known(pair, name), kind, content), 5), states=1)


@pytest.fixture
def attacked(pair: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook that has sent a function which runs what it is given, among other things."""
    pair.cell(
        "import sys\ndef shell(path): open(path, 'w').close()\nclass Own: mark = 1\nown = Own()\nrows = [1]\ntable = {'k': 1}\n"
        "seen = {1}\ntools = [shell]\npath = sys.path"
    )
    pair.here["grid"] = np.zeros(10)
    pair.ship("shell", "own", "rows", "table", "seen", "tools", "path", "grid")
    monkeypatch.setitem(copyreg._extension_cache, 7, print)  # type: ignore[attr-defined]
    return pair


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(attacked: Any, attack: str, trap: Path) -> None:
    """Nothing runs, no value of the notebook's changes, and the message says why. The session goes on."""
    payload = ATTACKS[attack](attacked, trap)
    names = [name for name in attacked.here if not name.startswith("__")]
    before = {name: attacked.here[name] for name in names}
    content = {name: repr(before[name]) for name in ("rows", "table", "seen", "tools", "path", "grid")}
    modules = set(sys.modules)
    with pytest.raises(CannotRestore, match='its target has trust = "data", and sent'):
        attacked.receive(payload)
    assert not trap.exists() and set(sys.modules) == modules
    assert {name: attacked.here[name] for name in attacked.here if not name.startswith("__")} == before
    assert {name: repr(before[name]) for name in content} == content and not vars(before["own"])
    attacked.run("rows.append(2)")
    assert attacked.here["rows"] is before["rows"] == [1, 2]


def test_no_module_is_imported(attacked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Path) -> None:
    """A name for a module is a ref, unless it is bound to that very module here."""
    (tmp_path / "evil_module.py").write_text(f"open({str(trap)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    payload = _payload(names=(), modules={"evil": ["evil_module", -900], "sys": ["sys", -901], "io": ["pickle", -902]})
    attacked.receive(payload)
    assert is_ref(attacked.here["evil"]) and is_ref(attacked.here["io"]) and attacked.here["sys"] is sys
    assert not trap.exists() and "evil_module" not in sys.modules


def test_what_a_ref_says_steers_no_terminal(attacked: Any) -> None:
    """It is text of somebody else's."""
    info = {**_info(-900), "preview": "\x1b]52;c;x\x07" + "a" * 10_000, "type": "x\ny"}
    attacked.receive(_payload(names=(), refs={"far": info}))
    assert "\x1b" not in attacked.here["far"].info.preview and len(attacked.here["far"].info.preview) <= 500


@given(maker=st.sampled_from(sorted(MAKERS)), arguments=st.lists(_nested, max_size=6))
@settings(max_examples=300)
def test_a_maker_given_anything_makes_data_or_refuses(maker: str, arguments: list[Any]) -> None:
    """It raises nothing but its own refusal."""
    from farcell_host.state.plain import NotData, stranger

    try:
        value = made(maker, *arguments)
    except NotData:
        return
    assert not stranger(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_refused(make_pair: Any, data: bytes) -> None:
    """Also those of which half is a pickle."""
    pair = make_pair(takes_data_alone=True)
    pair.here["rows"] = [1]
    pair.ship("rows")
    start = pickle.dumps({"a": [1, "x"]}, 5)[:-1]
    for attempt in (data, b"\x80\x05" + data, start + data, start + data + b"."):
        try:
            pair.receive(_payload(attempt))
        except CannotRestore as refusal:
            assert 'trust = "data"' in str(refusal)
    assert pair.here["rows"] == [1]
