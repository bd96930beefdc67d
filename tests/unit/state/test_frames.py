"""pandas: a known frame, series or index is changed in place, and sharing of memory stays what pandas made of it."""

from __future__ import annotations

import pytest

pd = pytest.importorskip("pandas", reason="optional: needs pandas")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
COPIES_ON_WRITE = int(pd.__version__.split(".")[0]) >= 3
MAKE = "import pandas as pd\ndf = pd.DataFrame({'a': [3, 1, 2], 'b': [1.5, 2.5, None], 's': list('xyz')}); held = {'df': df}"

CHANGES = {
    "a new column": "df['c'] = df.a * 2",
    "another type": "df['a'] = ['p', 'q', 'r']",
    "a column inserted": "df.insert(1, 'first', range(3))",
    "a column deleted": "del df['b']",
    "rows dropped": "df.drop(index=1, inplace=True)",
    "an index set": "df.set_index('s', inplace=True)",
    "columns renamed": "df.columns = list('xyz')",
    "an index' name": "df.index.name = 'row'",
    "the columns' name": "df.columns.name = 'col'",
    "an expression": "df.eval('d = a + b', inplace=True)",
    "attrs": "df.attrs['source'] = [1]",
    "a user's attribute": "df.note = 'mine'",
    "a flag": "df.flags.allows_duplicate_labels = False",
    "nothing": "pass",
}


def same(one, other):
    pd.testing.assert_frame_equal(one, other)
    assert one.columns.names == other.columns.names
    assert (one.attrs, getattr(one, "note", None)) == (other.attrs, getattr(other, "note", None))
    assert one.flags.allows_duplicate_labels == other.flags.allows_duplicate_labels


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_known_frame_is_changed_in_place(pair, change):
    """There and here, again and again: every reference to the frame sees it."""
    pair.cell(MAKE)
    here, attrs = pair.here["df"], pair.here["df"].attrs
    pair.run(change, "df")
    assert pair.here["df"] is here is pair.here["held"]["df"]
    assert here.attrs is attrs
    same(here, pair.there["df"])
    pair.cell("df['last'] = 1; df.iloc[0, -1] = 5")
    pair.ship("df")
    there = pair.there["df"]
    same(here, there)
    pair.collect()
    assert not pair.last.header["streams"]
    pair.run("df['more'] = 2; df.iloc[0, -1] = 3; same = df", "df")
    assert pair.there["same"] is there
    assert pair.here["df"] is pair.here["same"] is here
    same(here, there)


def test_a_series_and_its_index_are_changed_in_place(pair):
    """Its name and its index' name too, by every reference."""
    pair.cell("import pandas as pd\ns = pd.Series([1, 2], name='n'); i = s.index; m = pd.MultiIndex.from_tuples([(1, 2)])")
    s, i, m = (pair.here[name] for name in "sim")
    pair.run("s.name = 'k'; s[7] = 3; s.index.name = 'row'; m.names = ['x', 'y']", "s", "m")
    assert pair.here["s"] is s and s.to_dict() == {0: 1, 1: 2, 7: 3}
    assert (s.name, s.index.name, list(m.names)) == ("k", "row", ["x", "y"])
    pair.run("i.name = 'old'", "i")
    assert i.name == "old" and pair.here["i"] is i
    assert list(m.get_level_values("y")) == [2]


@pytest.mark.skipif(not COPIES_ON_WRITE, reason="optional: pandas before 3 writes through")
@pytest.mark.parametrize("write", ["df.loc[0, 'a'] = 100", "col[0] = 100"])
@pytest.mark.parametrize("read", [("df",), ("col",), ("df", "col")], ids=" ".join)
def test_a_column_taken_earlier_is_copied_before_it_is_written(pair, write, read):
    """On either side, also where only one of the two is known."""
    pair.cell("import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]}); col = df['a']")
    pair.ship(*read)
    pair.collect()
    name = write[: write.index("[")].removesuffix(".loc")
    if name in read:
        pair.run(write, *read)
    else:
        pair.cell(write)
    changed, other = ("df", "col") if name == "df" else ("col", "df")
    assert [list(pd.DataFrame(pair.here[each]).iloc[:, 0]) for each in (changed, other)] == [[100, 2], [1, 2]]


@pytest.mark.skipif(not COPIES_ON_WRITE, reason="optional: pandas before 3 writes through")
def test_a_column_taken_over_there_is_copied_here(pair):
    """What shares memory on the other side only counts while it does."""
    pair.cell("import pandas as pd, numpy as np\nraw = np.array([1, 2]); df = pd.DataFrame({'a': raw}, copy=False)")
    pair.run("col = df['a']", "df", "raw")
    pair.cell("df.loc[0, 'a'] = 100")
    assert pair.here["raw"].tolist() == pair.here["col"].tolist() == [1, 2]
    pair.run("df.loc[1, 'a'] = 200", "df", "raw")
    assert pair.here["df"].a.tolist() == [100, 200]
    assert pair.here["raw"].tolist() == pair.here["col"].tolist() == [1, 2]


@pytest.mark.skipif(not COPIES_ON_WRITE, reason="optional: pandas before 3 writes through")
def test_memory_shared_with_an_array_stays_shared(pair):
    """A frame that was made around an array goes on writing into it."""
    pair.cell("import pandas as pd, numpy as np\nraw = np.array([1, 2]); df = pd.DataFrame({'a': raw}, copy=False)")
    raw = pair.here["raw"]
    pair.run("df.loc[0, 'a'] = 100; df['b'] = 0", "df", "raw")
    assert raw.tolist() == [100, 2] and list(pair.here["df"]) == ["a", "b"]
    pair.cell("df.loc[1, 'a'] = 200")
    assert raw.tolist() == [100, 200]


def test_one_element_of_a_large_frame_sends_one_piece(pair):
    """A new column does not send the others again."""
    pair.cell("import pandas as pd, numpy as np\ndf = pd.DataFrame({'a': np.zeros(1 << 20), 'b': np.ones(1 << 20)})")
    pair.ship("df")
    pair.remote_exec("df.iloc[5, 0] = 1.0")
    pair.collect()
    assert pair.last.total_bytes < (1 << 20) + 10_000
    pair.remote_exec("df['c'] = range(3, (1 << 20) + 3)")
    pair.collect(out=["df"])
    assert (8 << 20) < pair.last.total_bytes < (9 << 20) + 10_000
    assert pair.here["df"].iloc[5].tolist() == [1.0, 1.0, 8.0]
