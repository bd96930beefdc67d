"""Many strings travel as one text."""

from __future__ import annotations

import math

import pytest
from farcell_host.state import strings
from hypothesis import given
from hypothesis import strategies as st

pieces = st.lists(st.text(st.characters(), max_size=3), min_size=1, max_size=8)


@given(pieces, st.dictionaries(st.integers(0, 255), st.sampled_from([None, 1.5, True, b"x"]), max_size=60))
def test_what_is_packed_comes_out_in_its_order(pieces, others):
    """Surrogates, empty strings and characters beyond the first plane too; other values between them keep their places."""
    items = [pieces[number % len(pieces)] * (number % 7) + chr(number) for number in range(300)]
    for index, value in others.items():
        items[index] = value
    packed = strings.pack(items)
    assert isinstance(packed, tuple)
    assert strings.unpack(packed) == items
    assert list(map(type, strings.unpack(packed))) == list(map(type, items))


@pytest.mark.parametrize(
    "items", [["a"] * 1000, [str(n) for n in range(100)], list(range(1000)), [], [[str(n)] for n in range(300)]]
)
def test_what_would_not_gain_stays_a_list(items):
    """The same string many times, few strings, none."""
    assert strings.pack(items) is items and strings.unpack(items) is items


def test_an_array_of_strings_and_gaps_travels_and_changes_in_place(pair):
    """Subclasses of str, sequences and an array in it are items like any other."""
    numpy = pytest.importorskip("numpy")
    pair.cell(
        "import numpy as np\nclass Text(str): pass\n"
        "a = np.array([f'k{n}' for n in range(600)], object).reshape(2, 300); a[0, 3], a[1, 0] = None, float('nan')\n"
        "a[0, 5], a[0, 6], a[1, 7] = [1, 2], np.zeros(2), Text('t')"
    )
    pair.ship("a")
    there = pair.there["a"]
    assert there.shape == (2, 300) and there[0, 3] is None and math.isnan(there[1, 0]) and there[0, 5] == [1, 2]
    assert isinstance(there[0, 6], numpy.ndarray) and type(there[1, 7]).__name__ == "Text" and there[1, 299] == "k599"
    before = pair.here["a"]
    pair.run("a[1, 299] = 'new'; a[0, 5].append(3)", "a")
    assert pair.here["a"] is before and before[1, 299] == "new" and before[0, 5] == [1, 2, 3] and before[1, 298] == "k598"
