"""numpy arrays and what is built of them: shared memory stays shared, only changed pieces travel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from farcell_host import bulk
from farcell_host.state.arrays import make_array

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
    "view of objects": "np.array([{'a': 1}, [2], None, 'b'], object)[::-2]",
    "objects reshaped": "np.array([[1], [[]]], object).squeeze()",
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


def test_views_of_objects_share_them_on_both_sides(pair):
    """As with numbers: what is put into a view or into its base is seen in the other, whoever puts it there."""
    pair.cell("import numpy as np\nbase = np.array([[1, [2]], [None, 'b']], object); view = base[:, 1]; inner = base[0, 1]")
    view = pair.here["view"]
    pair.ship("base", "view")
    pair.remote_exec("view[1] = {'new': 1}; base[0, 1].append(3)")
    assert np.shares_memory(pair.there["base"], pair.there["view"])
    pair.collect()
    assert pair.here["view"] is view and view.base is pair.here["base"]
    assert pair.here["base"].tolist() == [[1, [2, 3]], [None, {"new": 1}]]
    assert pair.here["inner"] is view[0]
    pair.cell("base[1, 1] = 'c'")
    pair.ship("view")
    assert pair.there["view"].tolist() == [[2, 3], "c"]
    pair.remote_exec("view = base[0]")
    pair.collect()
    assert pair.here["view"].base is pair.here["base"] and pair.here["view"][1] is pair.here["inner"]


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


def test_a_masked_array_shares_its_data_and_its_mask(pair):
    """Both are arrays like others: written through the masked array, and by themselves."""
    pair.cell("import numpy as np\nm = np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=-9); data = m.data; mask = m.mask")
    masked, data = pair.here["m"], pair.here["data"]
    pair.run("import numpy as np\nm[0] = np.ma.masked; m[2] = 30; other = m.data", "m", "data", "mask")
    assert pair.here["m"] is masked and masked.tolist() == [None, None, 30]
    assert data.tolist() == [1, 2, 30] and pair.here["mask"].tolist() == [True, True, False]
    assert np.shares_memory(pair.here["other"], data) and masked.fill_value == -9
    pair.cell("data[1] = 20; m.mask[1] = False")
    pair.ship("m")
    assert pair.there["m"].tolist() == [None, 20, 30]


def test_a_view_of_a_subclass_has_it_as_its_base(pair):
    """Attributes go along, and `base` is the very object."""
    code = "class Signal(np.ndarray):\n    def __array_finalize__(self, obj): self.rate = getattr(obj, 'rate', None)"
    pair.cell(f"import numpy as np\n{code}\ns = np.arange(4.0).view(Signal); s.rate = [100]; same = s")
    signal = pair.here["s"]
    pair.run("s[0] = 5; s.rate[0] = 200; half = s[::2]", "s")
    half = pair.here["half"]
    assert pair.here["s"] is pair.here["same"] is signal is half.base
    assert type(half) is type(signal) and half.rate is signal.rate == [200] and half.tolist() == [5, 2]
    half[1] = 7
    pair.ship("s", "half")
    assert pair.there["s"].tolist() == [5, 1, 7, 3] and pair.there["half"].base is pair.there["s"]
    pair.collect()
    assert pair.last.is_empty


def test_a_record_looks_at_its_array(pair):
    """What is set in a record is set in the array that it is of; one of its own is changed in place."""
    pair.cell("import numpy as np\nr = np.rec.array([(1, 'a'), (2, 'b')], names='num,let'); num = r.num; own = r[1].copy()")
    own = pair.here["own"]
    first = pair.here["first"] = pair.here["r"][0]
    pair.run("first.num = 10; own.let = 'z'; last = r[1]", "first", "own", "r")
    assert pair.here["r"].tolist() == [(10, "a"), (2, "b")] and pair.here["num"][0] == 10
    assert pair.here["first"] is first and first.num == 10
    assert pair.here["own"] is own and own.item() == (2, "z")
    assert pair.here["last"].base is pair.here["r"]


MEMORIES = {
    "a bytearray": "np.frombuffer(raw, 'u1')",
    "in two dimensions": "np.frombuffer(raw, 'u2').reshape(2, 2)",
    "a part": "np.frombuffer(raw, 'i2', count=2, offset=2)",
    "with gaps": "np.ndarray((3,), 'u1', buffer=raw, offset=1, strides=(2,))",
    "numbers": "np.frombuffer(numbers, 'i4')",
}


@pytest.mark.parametrize("make", MEMORIES.values(), ids=MEMORIES)
def test_an_array_over_other_memory_writes_into_it(pair, make):
    """Both ways, and its `base` is of the same kind."""
    pair.cell(f"import numpy as np, array\nraw = bytearray(8); numbers = array.array('i', [1, 2]); a = {make}")
    memories = pair.here["raw"], pair.here["numbers"]
    pair.run("a.flat[1] = 9", "a")
    assert pair.here["a"].flat[1] == 9
    assert (pair.here["raw"], pair.here["numbers"]) == memories and 9 in (*memories[0], *memories[1])
    assert type(pair.there["a"].base) is type(pair.here["a"].base)
    pair.cell("raw[:] = bytes([1] * 8); numbers[0] = 1")
    pair.ship("a")
    assert pair.there["a"].tolist() == pair.here["a"].tolist()


def test_an_array_over_bytes_is_read_only(pair):
    """It cannot be made writeable, and stays the same object while what it is in changes."""
    pair.cell("import numpy as np\na = np.frombuffer(b'abcd', 'u1'); both = [a]")
    array = pair.here["a"]
    pair.run("both.append(1)", "both", "a")
    assert type(pair.there["a"].base) is bytes
    with pytest.raises(ValueError):
        pair.there["a"].flags.writeable = True
    assert pair.here["both"] == [array, 1] and pair.here["both"][0] is array


OWN = ["np.zeros(300_000)", "np.zeros((3, 100_000), order='F')", "np.zeros(9000)", "np.zeros(200_000, '>i4')"]


@pytest.mark.parametrize("make", OWN)
def test_an_array_owns_its_memory(pair, make):
    """Of any size: it can be resized, and `base` says nothing of the wire."""
    pair.cell("import numpy as np")
    pair.run(f"import numpy as np\na = {make}", limit_bytes=None)
    array = pair.here["a"]
    assert array.flags.owndata and array.base is None
    assert array.dtype == pair.there["a"].dtype and array.strides == pair.there["a"].strides


def test_an_array_takes_over_the_memory_that_it_was_read_into():
    """No copy of large arrays where the transport has made room for them."""
    for shape, order in (((300, 1000), "C"), ((300, 1000), "F"), ((3, 100, 1000), "F")):
        room = bulk.room(300_000 * 8)
        room.cast("d")[7] = 5.0
        array = make_array("<f8", shape, order, room, True)
        assert array is room.obj
        assert array.base is None and array.flags.owndata
        assert array.ravel("K")[7] == 5 and array.strides == np.zeros(shape, order=order).strides
