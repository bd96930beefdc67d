"""Assignments to attributes of modules and classes of libraries are found in the text of a cell."""

from __future__ import annotations

import collections
import os
import string
import time
import types

import pytest
from farcell.capture.patches import assigned
from IPython.core.inputtransformer2 import TransformerManager

NAMESPACE = {
    "time": time,
    "clock": time,
    "os": os,
    "st": string,
    "Counter": collections.Counter,
    "obj": types.SimpleNamespace(),
    "Mine": type("Mine", (), {"__module__": "__main__"}),
}


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("time.sleep = print", {"time.sleep"}),
        ("clock.sleep, clock.n = print, 1", {"time.sleep", "time.n"}),
        ("st.n += 1", {"string.n"}),
        ("st.n: int = 1", {"string.n"}),
        ("del st.n", {"string.n"}),
        ("for st.n in range(3): pass", {"string.n"}),
        ("with open('x') as st.file: pass", {"string.file"}),
        ("os.path.join = print", {"os.path.join"}),
        ("Counter.shout = lambda self: 1", {"collections.Counter.shout"}),
        ("setattr(time, 'sleep', print); delattr(st, 'n')", {"time.sleep", "string.n"}),
        ("def f():\n    import numpy.linalg as la\n    la.norm = print", {"numpy.linalg.norm"}),
        ("from pathlib import Path as P\nP.ls = print", {"pathlib.Path.ls"}),
        ("import a.b\na.b.c = 1", {"a.b.c"}),
        ("%%time\n\ntime.n = 1", {"time.n"}),
        ("%%remote gpu\n%%time\ntime.n = 1", {"time.n"}),
        ("!ls\ntime.n = 1", {"time.n"}),
        ("import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('geo')\nclass G: ...", {"pandas.DataFrame.geo"}),
        ("from xarray import register_dataset_accessor as r\nr('geo')(print)", {"xarray.Dataset.geo"}),
        ("obj.n = 1; Mine.n = 2; unknown.n = 3; obj.x.n = 4; time.sleep(1); x = time.n == 1", set()),
        ("f(time).n = 1; time.tzname[0].n = 2; setattr(time, name, 1)", set()),
        ("time.sleep = = 3", set()),
    ],
)
def test_what_a_cell_assigns_to(cell: str, found: set[str]) -> None:
    """By the module's own name, whatever the notebook calls it."""
    assert assigned(cell, NAMESPACE, TransformerManager().transform_cell) == found
