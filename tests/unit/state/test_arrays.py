"""numpy arrays and what is built of them: shared memory stays shared, only changed pieces travel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

MIB = 1 << 20


def sent_bytes(pair):
    return pair.last.total_bytes


ARRAYS = {
    "0-d": "np.array(3.5)",
    "empty": "np.zeros((0, 3))",
    "fortran": "np.asfortranarray(np.arange(6.).reshape(2, 3))",
    "dates": "np.array(['2024-01-01', 'NaT'], 'M8[D]')",
    "structured": "np.array([(1, 2.5)], [('a', 'i4'), ('b', 'f8')])",
    "strings": "np.array(['a', 'bcd'])",
    "objects": "np.array([{'a': 1}, [2], None], object)",
    "big-endian": "np.arange(3, dtype='>i4')",
    "bool": "np.array([True, False])",
    "large": "np.arange(100_000.)",
    "large fortran": "np.asfortranarray(np.arange(100_000.).reshape(100, 1000))",
    "zero-stride": "np.broadcast_to(np.arange(3), (4, 3))",
    "reversed": "np.arange(10)[::-2]",
    "transposed": "np.arange(6).reshape(2, 3).T",
}


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_every_kind_of_array_comes_out_the_same(pair, make):
    """Shape, dtype, strides, values and the write flag are those of the original."""
    pair.cell(f"import numpy as np\na = {make}")
    pair.ship("a")
    here, there = pair.here["a"], pair.there["a"]
    assert (here.shape, here.dtype, here.strides) == (there.shape, there.dtype, there.strides)
    assert here.flags.writeable == there.flags.writeable
    assert here.tolist() == there.tolist()
    pair.ship("a")
    assert pair.last.is_empty
    pair.collect()
    assert pair.last.is_empty


def test_views_share_memory_on_both_sides(pair):
    """A view and its base travel together: a remote write into one is seen in the other, here too."""
    pair.cell("import numpy as np\nbase = np.zeros(10); view = base[2:5]")
    view = pair.here["view"]
    pair.ship("base", "view")
    pair.remote_exec("view[0] = 7; shared = base[2]")
    pair.collect()
    assert pair.here["shared"] == 7
    assert view[0] == 7
    assert np.shares_memory(pair.here["base"], view)


def test_a_view_read_alone_still_changes_its_base(pair):
    """A remote write into a view changes the base that the cell never named."""
    pair.cell("import numpy as np\nbase = np.zeros(10); view = base[2:5]")
    pair.run("view += 1", "view")
    assert pair.here["base"].sum() == 3


def test_one_element_of_a_large_array_sends_one_piece(pair):
    """One changed element costs one piece of 1 MiB, both ways, and lands in the array the notebook has."""
    pair.cell(f"import numpy as np\na = np.zeros({8 * MIB}, 'u1')")
    array = pair.here["a"]
    pair.ship("a")
    assert sent_bytes(pair) > 8 * MIB
    pair.cell(f"a[{3 * MIB}] = 1")
    pair.ship("a")
    assert MIB <= sent_bytes(pair) < MIB + 10_000
    assert pair.there["a"][3 * MIB] == 1
    pair.remote_exec(f"a[{5 * MIB}] = 2")
    pair.collect()
    assert MIB <= sent_bytes(pair) < MIB + 10_000
    assert pair.here["a"] is array
    assert array[5 * MIB] == 2


def test_arrays_are_writable_and_apart(pair):
    """An array is writable there, and writing there leaves the notebook's own alone until the merge."""
    pair.cell("import numpy as np\na = np.zeros(100_000)")
    pair.ship("a")
    pair.remote_exec("a[0] = 1")
    assert pair.here["a"][0] == 0


RESHAPED = {"shape": "a.shape = (2, 3)", "type": "a.dtype = 'i4'", "both": "a.dtype = 'u1'; a.shape = (6, 8)"}


@pytest.mark.filterwarnings("ignore:Setting the (shape|dtype):DeprecationWarning")  # NumPy 2.5; still what notebooks do
@pytest.mark.parametrize("size", [6, 60_000])
@pytest.mark.parametrize("change", RESHAPED.values(), ids=RESHAPED)
def test_a_new_shape_is_the_same_array(pair, change, size):
    """An array whose shape or type was set is the one that the notebook has, and goes on sharing its memory."""
    pair.cell(f"import numpy as np\na = np.arange({size}); b = a; v = a[1:]")
    pair.ship("a")
    pair.remote_exec(change.replace("6, 8", "6, -1").replace("2, 3", "2, -1") + "; a.flat[-1] = 7")
    pair.collect()
    here, there = pair.here["a"], pair.there["a"]
    assert here is pair.here["b"]
    assert (here.shape, here.dtype) == (there.shape, there.dtype)
    assert (here == there).all()
    assert np.shares_memory(here, pair.here["v"])
    pair.ship("a")
    pair.collect()
    assert pair.last.is_empty


def test_a_view_is_made_read_only_in_place(pair):
    """And writeable again, while its base stays as it is."""
    pair.cell("import numpy as np\nbase = np.zeros((2, 3)); v = base[1]; v.flags.writeable = False")
    pair.ship("v")
    assert not pair.there["v"].flags.writeable
    view = pair.here["v"]
    pair.run("v.flags.writeable = True; v += 1", "v")
    assert pair.here["v"] is view
    assert view.flags.writeable and pair.here["base"].tolist() == [[0] * 3, [1] * 3]
    pair.cell("v.flags.writeable = False")
    there = pair.there["v"]
    pair.ship("v")
    assert pair.there["v"] is there
    assert not there.flags.writeable


def test_what_strides_look_at_stays(pair):
    """`as_strided`: still a window on the array, that both sides write through."""
    pair.cell("import numpy as np\na = np.arange(12); d = np.lib.stride_tricks.as_strided(a, (3,), (a.strides[0] * 4,))")
    pair.run("d += 100; e = d", "a", "d")
    assert pair.here["a"].tolist() == [100, 1, 2, 3, 104, 5, 6, 7, 108, 9, 10, 11]
    assert pair.here["e"] is pair.here["d"]
    assert type(pair.here["d"].base) is type(np.lib.stride_tricks.as_strided(np.zeros(1)).base)


@pytest.mark.parametrize("size", [10, 50_000])
def test_an_array_with_gaps_is_merged(pair, size):
    """Over memory that is no array, and not in order."""
    pair.here["memory"] = memoryview(bytearray(16 * size))
    pair.cell(f"import numpy as np\na = np.ndarray(({size},), 'i8', buffer=memory, strides=(16,)); b = a")
    pair.run("a[3] = 5; a[-1] = 6", "a")
    assert pair.here["a"] is pair.here["b"]
    assert (pair.here["a"][3], pair.here["a"][-1], pair.here["a"].sum()) == (5, 6, 11)


GENERATORS = {
    "Generator": ("np.random.default_rng(1)", "x.integers(100, size=3).tolist()"),
    "Generator of a named one": ("np.random.Generator(np.random.MT19937(1))", "x.integers(100, size=3).tolist()"),
    "RandomState": ("np.random.RandomState(1)", "[x.randint(100), x.normal()]"),
    "random.Random": ("random.Random(1)", "[x.random(), x.gauss(0, 1)]"),
    "list iterator": ("iter([1, 2, 3, 4, 5, 6, 7])", "next(x)"),
}


@pytest.mark.parametrize("make, draw", GENERATORS.values(), ids=GENERATORS)
def test_what_goes_on_from_where_it_was_does_so_under_all_names(pair, make, draw):
    """Numbers drawn there are not drawn again here, whatever name is used."""
    pair.cell(f"import numpy as np, random\nx = {make}; other = x; expected = {make}")
    pair.run(f"one = {draw}", "x")
    assert pair.here["x"] is pair.here["other"]
    pair.cell(f"two = {draw}")
    pair.run(f"three = {draw}", "x")
    pair.here["x"] = pair.here["expected"]
    pair.cell(f"all_of_it = [{draw}, {draw}, {draw}]")
    assert [pair.here[name] for name in ("one", "two", "three")] == pair.here["all_of_it"]


def test_generators_share_their_bits(pair):
    """What one generator draws, the other does not, and the name of the bits means the same bits."""
    pair.cell("import numpy as np\nbits = np.random.PCG64(3); one, two = np.random.Generator(bits), np.random.Generator(bits)")
    pair.run("a = one.random()", "one")
    pair.run("b = two.random()", "two")
    expected = np.random.default_rng(np.random.PCG64(3))
    assert [pair.here["a"], pair.here["b"]] == [expected.random(), expected.random()]
    assert pair.here["one"].bit_generator is pair.here["two"].bit_generator is pair.here["bits"]


def test_read_only_flag_follows(pair):
    """A lock put on an array remotely is on it here."""
    pair.cell("import numpy as np\na = np.zeros(4)")
    pair.run("a[0] = 1; a.flags.writeable = False", "a")
    assert pair.here["a"][0] == 1
    assert not pair.here["a"].flags.writeable


def test_data_frame_changes_in_place(pair):
    """A column added remotely is in the data frame the notebook has; unchanged, it is not sent again."""
    pytest.importorskip("pandas")
    pair.cell("import pandas as pd\ndf = pd.DataFrame({'a': [1, 2], 's': ['x', 'y']}); held = [df]")
    frame = pair.here["df"]
    pair.ship("df")
    pair.ship("df")
    assert pair.last.is_empty
    pair.remote_exec("df['b'] = df['a'] * 2")
    pair.collect()
    assert pair.here["df"] is frame
    # Not by `frame["b"]`: pandas 2 keeps the column that was asked for, which is a change.
    assert pair.here["held"][0].to_csv(index=False).splitlines() == ["a,s,b", "1,x,2", "2,y,4"]
    pair.ship("df")
    assert not pair.last.header["streams"]


def test_estimator_is_fitted_in_place(pair):
    """A model fitted remotely is fitted here, in the object every reference holds."""
    pytest.importorskip("sklearn")
    pair.cell(
        "import numpy as np\nfrom sklearn.linear_model import LinearRegression\n"
        "X = np.arange(6.).reshape(3, 2); y = X.sum(1); model = LinearRegression()"
    )
    model = pair.here["model"]
    pair.run("fitted = model.fit(X, y)", "model", "X", "y")
    assert pair.here["fitted"] is model
    assert np.allclose(model.predict(pair.here["X"]), pair.here["y"])


IN_A_CYCLE = """
import gc
import numpy as np
from farcell_host.state import Replica

names = {"__name__": "__main__", "large": np.zeros(1 << 20)}
replica = Replica(names, side="local")

def buffers():
    payload = replica.pack(capture := replica.capture(["large"]))
    yield capture.parts["large"].buffers[0]
    yield payload.bulk[0]
    replica.sent(payload)
    names["large"][3] = 1
    yield replica.pack(replica.capture(["large"])).bulk[0]

gc.disable()
for buffer in buffers():
    cycle = [buffer]
    cycle.append(cycle)
    del buffer, cycle
gc.collect()
print("alive")
"""


def test_buffers_in_a_cycle_are_collected_safely():
    """Ctrl-C while a large array is packed keeps its buffers in a traceback: the interpreter outlives their end."""
    done = subprocess.run([sys.executable, "-c", IN_A_CYCLE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr[-2000:]
