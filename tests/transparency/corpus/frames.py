"""pandas: frames, series and indexes; in-place changes, shared columns, strings that name variables."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

PANDAS = ("pandas",)
MAKE = "import pandas as pd\ndf = pd.DataFrame({'a': [3, 1, 2], 'b': [1.5, 2.5, None], 's': ['x', 'y', 'z']}); other = df"

# each changes df in place, so that its other name sees it
IN_PLACE = {
    "a new column": "df['c'] = df.a * 2",
    "a replaced column of another type": "df['a'] = ['p', 'q', 'r']",
    "a cell set by loc": "df.loc[1, 'a'] = 100",
    "a cell set by iloc": "df.iloc[0, 1] = -1.0",
    "a cell set by at": "df.at[2, 's'] = 'new'",
    "a row added by loc": "df.loc[7] = [9, 9.5, 'n']",
    "a column inserted": "df.insert(0, 'first', range(3))",
    "a column popped": "gone = df.pop('s')",
    "a column deleted": "del df['b']",
    "rows dropped in place": "df.drop(index=1, inplace=True)",
    "rows sorted in place": "df.sort_values('a', inplace=True)",
    "an index set in place": "df.set_index('s', inplace=True)",
    "an index reset in place": "df.reset_index(inplace=True)",
    "columns renamed in place": "df.rename(columns={'a': 'A'}, inplace=True)",
    "columns renamed by assignment": "df.columns = list('xyz')",
    "missing values filled in place": "df.fillna({'b': 0.0}, inplace=True)",
    "an expression evaluated in place": "df.eval('d = a + b', inplace=True)",
    "an attribute": "df.attrs['source'] = 'test'",
    "an index given a name": "df.index.name = 'row'",
    "an augmented column": "df['a'] += 10",
    "a masked part": "df.loc[df.a > 1, 'b'] = 0",
}

# values that keep what they are, and a change of them
KINDS = {
    "a categorical": (
        "pd.Series(['lo', 'hi', 'lo'], dtype=pd.CategoricalDtype(['lo', 'mid', 'hi'], ordered=True))",
        "v[0] = 'hi'",
    ),
    "times with a zone": (
        "pd.Series(pd.date_range('2024-03-30', periods=3, freq='D', tz='Europe/Berlin'))",
        "v = v + pd.Timedelta('1D')",
    ),
    "a nullable integer": ("pd.Series([1, None, 3], dtype='Int64')", "v[1] = 2"),
    "a nullable boolean": ("pd.Series([True, None, False], dtype='boolean')", "v[2] = pd.NA"),
    "strings": ("pd.Series(['a', None, 'c'], dtype='string')", "v[1] = 'b'"),
    "periods": ("pd.Series(pd.period_range('2024-01', periods=3, freq='M'))", "v = v + 1"),
    "intervals": ("pd.Series(pd.interval_range(0, 3))", "v = v[1:]"),
    "sparse numbers": ("pd.Series(pd.arrays.SparseArray([0, 0, 5]))", "v = v * 2"),
    "objects of many types": ("pd.Series([1, 'two', [3], None], dtype=object)", "v[2].append(4)"),
    "an index with a name": ("pd.Index([3, 1, 2], name='key')", "v = v.sort_values()"),
    "a datetime index with a frequency": ("pd.date_range('2024-01-01', periods=3, freq='h')", "v = v.shift(1)"),
    "a multi-index": ("pd.MultiIndex.from_product([['a', 'b'], [1, 2]], names=['x', 'y'])", "v = v.swaplevel()"),
    "a timestamp": ("pd.Timestamp('2024-02-29 12:00:00.123456789', tz='UTC')", "v = v.tz_convert('Asia/Tokyo')"),
    "a time difference": ("pd.Timedelta('1 days 00:00:00.000000007')", "v = v * 3"),
    "not a time": ("pd.NaT", "w = pd.Series([v, v])"),
}

SCENARIOS: list[Scenario] = [
    *(
        scenario(
            f"{what} is seen through the frame's other name",
            MAKE,
            change,
            "print(other is df); print(other.to_string(), other.attrs)",
            needs=PANDAS,
        )
        for what, change in IN_PLACE.items()
    ),
    *(
        scenario(
            f"{what} keeps what it is",
            f"import pandas as pd\nv = {make}; before = v",
            change,
            "print(repr(v), repr(before), getattr(v, 'dtype', ''), v is before)",
            needs=PANDAS,
        )
        for what, (make, change) in KINDS.items()
    ),
    scenario(
        "a frame rebound leaves its other name alone",
        MAKE,
        "df = df[df.a > 1]",
        "len(df), len(other), df is other",
        needs=PANDAS,
    ),
    scenario(
        "a column taken before the frame changes",
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3]}); col = df['a']",
        "df.loc[0, 'a'] = 100",
        "col[1] = 200",
        "print(col.tolist(), df.a.tolist())",
        needs=PANDAS,
    ),
    scenario(
        "a query string names a variable",
        "import pandas as pd\ndf = pd.DataFrame({'a': range(6)}); limit = 3",
        "small = df.query('a < @limit')",
        "limit = 1",
        "df.query('a < @limit').a.tolist(), small.a.tolist()",
        needs=PANDAS,
    ),
    scenario(
        "a query string calls a notebook function",
        "import pandas as pd\ndf = pd.DataFrame({'a': range(6)})\ndef even(s): return s % 2 == 0",
        "df.query('@even(a)').a.tolist()",
        "df.query('@even(a)').a.tolist()",
        needs=PANDAS,
    ),
    scenario(
        "an eval string names a variable and its attribute",
        "import pandas as pd\nclass C: k = 10\ndf = pd.DataFrame({'a': [1, 2]}); c = C()",
        "pd.eval('df.a * 2').tolist()",
        "df.eval('b = a * @c.k').b.tolist()",
        needs=PANDAS,
    ),
    scenario(
        "a query string in a function names the function's local",
        """
        import pandas as pd
        df = pd.DataFrame({'a': range(6)})
        def below(n):
            return df.query('a < @n').a.tolist()
        """,
        "below(2)",
        "below(4)",
        needs=PANDAS,
    ),
    scenario(
        "a query string built at run time",
        "import pandas as pd\ndf = pd.DataFrame({'a': range(6)}); threshold = 4; which = 'thres' + 'hold'",
        "out = df.query(f'a >= @{which}').a.tolist()",
        "out",
        needs=PANDAS,
    ),
    scenario(
        "apply calls a notebook function that reads a global",
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3]}); factor = 10\ndef scale(x): return x * factor",
        "df['b'] = df.a.apply(scale)",
        "factor = 100",
        "df.b.tolist(), df.a.map(scale).tolist()",
        needs=PANDAS,
    ),
    scenario(
        "a groupby object made before and used after",
        "import pandas as pd\ndf = pd.DataFrame({'k': list('aab'), 'v': [1, 2, 3]}); groups = df.groupby('k')",
        "sums = groups.v.sum()",
        "sums.to_dict(), groups.ngroups",
        needs=PANDAS,
    ),
    scenario(
        "a groupby with a notebook function",
        "import pandas as pd\ndf = pd.DataFrame({'k': list('aab'), 'v': [1, 2, 3]})\nspread = lambda s: s.max() - s.min()",
        "out = df.groupby('k').v.agg(['sum', spread])",
        "print(out)",
        needs=PANDAS,
    ),
    scenario(
        "a frame with a multi-index, both ways",
        """
        import pandas as pd
        df = pd.DataFrame({'v': range(4)}, index=pd.MultiIndex.from_product([list('ab'), [1, 2]], names=['x', 'y']))
        """,
        "df.loc[('a', 2), 'v'] = 50",
        "wide = df.unstack('y')",
        "print(wide); print(wide.columns.names)",
        needs=PANDAS,
    ),
    scenario(
        "a merge, a pivot and a concat",
        """
        import pandas as pd
        left = pd.DataFrame({'k': [1, 2], 'l': ['a', 'b']})
        right = pd.DataFrame({'k': [2, 1], 'r': [0.5, 1.5]})
        """,
        "both = left.merge(right, on='k')",
        "long = pd.concat([both, both]).melt(id_vars='k')",
        "print(both); print(long.shape)",
        needs=PANDAS,
    ),
    scenario(
        "a frame shown as a result",
        MAKE,
        "df",
        "df.describe()",
        needs=PANDAS,
    ),
    scenario(
        "frames in a dict and by name",
        "import pandas as pd\ntables = {'t': pd.DataFrame({'a': [1]})}; t = tables['t']",
        "tables['t']['b'] = 2",
        "t.columns.tolist(), t is tables['t']",
        needs=PANDAS,
    ),
    scenario(
        "two frames share a column's array",
        "import pandas as pd, numpy as np\nraw = np.arange(3.0); one = pd.DataFrame({'a': raw}, copy=False); two = one[['a']]",
        "one.loc[0, 'a'] = 50.0",
        "print(one.a.tolist(), two.a.tolist(), raw.tolist())",
        needs=PANDAS,
    ),
    scenario(
        "rows of a frame are iterated and added up",
        MAKE,
        "total = 0\nfor row in df.itertuples():\n    total += row.a",
        "total, row.s, type(row).__name__",
        needs=PANDAS,
    ),
    scenario(
        "a styled number format set in the cell that prints",
        MAKE,
        "with pd.option_context('display.precision', 1):\n    print(df)",
        "print(df)",
        needs=PANDAS,
    ),
    scenario(
        "a subclass of DataFrame keeps its attribute",
        """
        import pandas as pd

        class Table(pd.DataFrame):
            _metadata = ["unit"]

            @property
            def _constructor(self):
                return Table

        t = Table({"a": [1, 2]}); t.unit = "m"; same = t
        """,
        "t.unit = 'km'; t['b'] = 1",
        "half = t[t.a > 1]",
        "same.unit, type(half).__name__, half.unit, list(same)",
        needs=PANDAS,
    ),
]
