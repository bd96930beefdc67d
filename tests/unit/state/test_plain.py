"""State that is read as data: what comes through whole, what stays on the target, and what a malicious target tries."""

from __future__ import annotations

import datetime
import decimal
import fractions
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from farcell_host.state import CannotTravel
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
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
import numpy as np, pandas as pd
each = [
    None, True, 1 << 80, -1.5, 2j, "ä\\ud800", b"b", bytearray(b"c"), ..., slice(1, None, 2), range(1, 9, 2), (), (1, (2,)),
    {1: "a", (2, frozenset({3})): {4}}, {5, "e"}, frozenset({6}), datetime.date(2020, 2, 29), datetime.time(1, 2, fold=1),
    datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), datetime.timedelta(1, 2, 3), datetime.timezone.utc,
    datetime.timezone(datetime.timedelta(hours=1), "x"), decimal.Decimal("-1.50"), fractions.Fraction(1, 3), uuid.UUID(int=7),
    pathlib.PurePosixPath("a/b"), pathlib.Path("c"), np.float32(1.5), np.int8(-3), np.bool_(True), np.str_("ü"), np.str_(""),
    np.datetime64("2020-01-01"), np.timedelta64(3, "s"), np.complex64(1j), pd.Timedelta("1s"),
    pd.Timestamp("2020-01-01", tz="UTC"),
    pd.Timestamp("2020-01-01T01:02:03.000000004"),
]
arrays = [
    np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.).reshape(2, 3)), np.array(5), np.zeros((0, 3)),
    np.array(["a", "bc"]),
    np.array([b"x"]), np.array(["2020"], "M8[D]"), np.array([True]), np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]),
    np.arange(3, dtype=">i2"),
    np.ones(100_000)[::-1], np.frombuffer(b"abcd", "u1"),
]
frames = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2020", "2021"]).tz_localize(PARIS)}),
    pd.DataFrame({"d": pd.Categorical(["u", "v"]), "e": pd.array([1, None], dtype="Int64"), "f": [[1], {"g": 2}]}),
    pd.DataFrame({1: [1.5]}, index=pd.MultiIndex.from_tuples([(1, "a")], names=["m", None])), pd.DataFrame(),
    pd.DataFrame([[1, 2]], columns=["same", "same"]),
    pd.Series([1, 2], name="s", index=pd.date_range("2020", periods=2, freq="D")),
    pd.Series(pd.array([True, None], dtype="boolean")), pd.Index(["a", "b"], name="i"), pd.RangeIndex(3),
    pd.timedelta_range("1s", periods=2),
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
    return bool(one == other) and (repr(one) == repr(other) or isinstance(one, (set, dict)))


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


def test_what_cannot_be_changed_in_place_has_a_successor(pair: Any) -> None:
    """A tuple around something new, an array of another layout: whatever holds the old one holds the new one."""
    pair.here.update(grid=np.zeros(4), rows=[1])
    pair.here["couple"] = (pair.here["grid"], pair.here["rows"])
    pair.here["box"] = {"it": pair.here["couple"]}
    pair.ship("grid", "rows", "couple", "box")
    pair.run("grid.resize(6, refcheck=False); rows.append(2)")
    here = pair.here
    assert here["grid"].shape == (6,) and here["couple"][0] is here["grid"] and here["box"]["it"] is here["couple"]
    assert here["couple"][1] is here["rows"] == [1, 2]


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
    None,
    True,
    0,
    -(1 << 70),
    0.5,
    float("inf"),
    "",
    "ä",
    b"\x00",
    1j,
    decimal.Decimal("1.0"),
    fractions.Fraction(1, 3),
    uuid.UUID(int=5),
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.timedelta(1),
    range(3),
    Ellipsis,
]
_leaves = st.sampled_from(_LEAVES) | st.integers() | st.text(max_size=3)
_keys = st.recursive(_leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2), max_leaves=3)
_nested = st.recursive(
    _leaves | st.builds(slice, st.integers()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_keys, inner, max_size=3)
        | st.sets(_keys, max_size=3)
        | st.tuples(inner, inner)
    ),
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
        "value = lambda: 1", "class value: pass", "class C: pass\nvalue = C()", "class C(list): pass\nvalue = [C()]",
        "value = len",
        "import collections\nvalue = collections.OrderedDict()", "import numpy as np\nvalue = np.array([print])",
        "import numpy as np\nvalue = np.zeros(2).view(np.matrix)", "import enum\nvalue = enum.IntEnum('E', 'a').a",
        "value = KeyError()",
        "import pandas as pd\nvalue = pd.Series([print])", "import pandas as pd\nvalue = pd.interval_range(0, 2)",
        "import functools\nvalue = functools.partial(print)", "value = {print: 1}", "value = range",
        "import re\nvalue = re.compile('a')",
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


def test_a_function_that_was_called_stays_a_function(pair: Any) -> None:
    """What it or its class keeps there, caches and attributes, is told to nobody; what else the cell made is."""
    pair.cell(
        "import functools\n@functools.lru_cache\ndef double(n): return 2 * n\ndef count(): count.calls = seen.append(1)\n"
        "class Own: made = 0\nseen = []"
    )
    own = {name: pair.here[name] for name in ("double", "count", "Own", "seen")}
    pair.ship(*own)
    for number in (1, 2):
        pair.run(f"answer = double({number}); count(); Own.made += 1")
        assert pair.here["answer"] == 2 * number and own["seen"] == [1] * number
    assert all(pair.here[name] is value for name, value in own.items()) and own["Own"].made == 0
    pair.cell("double(9)")
    pair.run("answer = double(4)", "double", "count", "Own")
    assert pair.here["answer"] == 8 and pair.here["double"] is own["double"]
    pair.run("double = lambda n: n")
    assert is_ref(pair.here["double"])
