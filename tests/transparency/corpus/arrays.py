"""numpy: bytes, views, order, flags and generators of arrays, changed in place here and there."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

NUMPY = ("numpy",)

# how a view is taken, and where a change through it lands
VIEWS = {
    "a slice": "a[2:5]",
    "a step": "a[::2]",
    "a reversed view": "a[::-1]",
    "a reshaped view": "a.reshape(3, 4)",
    "a transposed view": "a.reshape(3, 4).T",
    "a column": "a.reshape(3, 4)[:, 1]",
    "a view of other dtype": "a.view('uint8')",
    "a flat ravel": "a.reshape(3, 4).ravel()",
    "a view with a new axis": "a[None, :]",
    "a diagonal made by strides": "np.lib.stride_tricks.as_strided(a, (3,), (a.strides[0] * 4,))",
}

DTYPES = [
    *("bool", "int8", "uint16", "int64", "float16", "float32", "longdouble", "complex64"),
    *(">i4", ">f8", "S4", "U3", "datetime64[D]", "timedelta64[ms]", "V3"),
]

SCENARIOS: list[Scenario] = [
    *(
        scenario(
            f"{what} of an array still looks at it",
            f"import numpy as np\na = np.arange(12); v = {take}",
            "a[4] = 100",
            "v.flat[0] = 55",
            "print(np.shares_memory(a, v)); print(a); print(v)",
            needs=NUMPY,
        )
        for what, take in VIEWS.items()
    ),
    *(
        scenario(
            f"an array of {dtype} keeps its type and is changed in place",
            f"import numpy as np\na = np.zeros(4, dtype='{dtype}'); b = a",
            "a[1] = a[0]; a[2:] = np.ones(2, dtype='int8').astype(a.dtype) if a.dtype.kind != 'V' else b'xyz'",
            "b is a, a.dtype.str, a",
            needs=NUMPY,
        )
        for dtype in DTYPES
    ),
    scenario(
        "an array's other name sees a change",
        "import numpy as np\na = np.arange(5.0); b = a",
        "a *= 2",
        "b is a, b",
        needs=NUMPY,
    ),
    scenario(
        "an array rebound leaves its other name alone",
        "import numpy as np\na = np.arange(5); b = a",
        "a = a * 2",
        "b, a, np.shares_memory(a, b)",
        needs=NUMPY,
    ),
    scenario(
        "a view made in a cell looks at the array that was there",
        "import numpy as np\na = np.zeros(6)",
        "v = a[1:4]",
        "v += 1",
        "v.base is a, a",
        needs=NUMPY,
    ),
    scenario(
        "a view outlives the name of its base",
        "import numpy as np\na = np.zeros(6); v = a[:3]; w = a[2:]; del a",
        "v[2] = 9",
        "w[0], np.shares_memory(v, w)",
        needs=NUMPY,
    ),
    scenario(
        "a view of a view",
        "import numpy as np\na = np.arange(24).reshape(4, 6); v = a[1:, ::2]; w = v[:, 1]",
        "w[:] = -1",
        "print(a); print(v); print(np.shares_memory(w, a), w.base is a.base)",
        needs=NUMPY,
    ),
    scenario(
        "views that do not overlap share one base",
        "import numpy as np\na = np.zeros(10); left, right = a[:5], a[5:]",
        "left += 1",
        "right -= 1",
        "a, left.base is right.base is a",
        needs=NUMPY,
    ),
    scenario(
        "arrays in a list and by name",
        "import numpy as np\nw = np.ones((2, 2)); layers = [w, np.zeros(2)]",
        "layers[0][0, 0] = 5; layers[1] += 3",
        "w, layers[0] is w",
        needs=NUMPY,
    ),
    scenario(
        "an array in Fortran order stays in it",
        "import numpy as np\nf = np.asfortranarray(np.arange(6).reshape(2, 3)); g = f",
        "f[0] = 7",
        "g.flags.f_contiguous, g.flags.c_contiguous, g.strides, g.ravel(order='K')",
        needs=NUMPY,
    ),
    scenario(
        "a new array in Fortran order comes in it",
        "import numpy as np",
        "f = np.ones((3, 4), order='F'); t = np.arange(6).reshape(2, 3).T",
        "f.flags.f_contiguous, f.strides, t.flags.f_contiguous, t.strides",
        needs=NUMPY,
    ),
    scenario(
        "a read-only array stays read-only",
        "import numpy as np\na = np.arange(3); a.flags.writeable = False; b = a",
        "total = a.sum()",
        "a[0] = 1",
        "b is a, a.flags.writeable, total",
        needs=NUMPY,
    ),
    scenario(
        "a writable array stays writable",
        "import numpy as np\na = np.arange(3)",
        "b = a + 1",
        "a[0] = 10; b[0] = 20",
        "a, b, a.flags.writeable, b.flags.writeable, b.flags.owndata",
        needs=NUMPY,
    ),
    scenario(
        "an array made read-only by a cell",
        "import numpy as np\na = np.arange(3); b = a",
        "a.setflags(write=False)",
        "b.flags.writeable",
        needs=NUMPY,
    ),
    scenario(
        "a read-only view of a writable array",
        "import numpy as np\na = np.arange(4); v = a.view(); v.flags.writeable = False",
        "a[0] = 9",
        "v[1] = 1",
        "v, a, v.flags.writeable, a.flags.writeable",
        needs=NUMPY,
    ),
    scenario(
        "a structured array and the view of one field",
        """
        import numpy as np
        a = np.array([(1, 2.5, 'x'), (3, 4.5, 'y')], dtype=[('n', 'i4'), ('v', 'f8'), ('s', 'U2')])
        n = a['n']
        """,
        "n[0] = 50; a['v'] *= 2",
        "a[1] = (7, 7.5, 'zz')",
        "a, n, np.shares_memory(a, n), a.dtype",
        needs=NUMPY,
    ),
    scenario(
        "a record array and one record of it",
        "import numpy as np\nr = np.rec.array([(1, 'a'), (2, 'b')], names='num,let'); first = r[0]",
        "first.num = 10",
        "r.num, type(r).__name__, r.let",
        needs=NUMPY,
    ),
    scenario(
        "an array of objects holds the very objects",
        "import numpy as np\nitem = [1]; a = np.empty(3, dtype=object); a[0] = a[2] = item",
        "a[0].append(2); a[1] = {'k': item}",
        "a[2] is item, a[1]['k'] is item, a",
        needs=NUMPY,
    ),
    scenario(
        "an array of objects that holds itself",
        "import numpy as np\na = np.empty(2, dtype=object); a[0] = a; a[1] = []",
        "a[1].append(1)",
        "a[0] is a, a[1]",
        needs=NUMPY,
    ),
    scenario(
        "a broadcast array stays small",
        "import numpy as np\na = np.arange(3); b = np.broadcast_to(a, (4, 3))",
        "a[0] = 9",
        "b.strides, b[3], np.shares_memory(a, b)",
        needs=NUMPY,
    ),
    scenario(
        "an array resized in place",
        "import numpy as np\na = np.arange(3); b = a",
        "a.resize(5, refcheck=False)",
        "b is a, b",
        needs=NUMPY,
    ),
    scenario(
        "an array whose shape is set",
        "import numpy as np, warnings\na = np.arange(6); b = a",
        "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    a.shape = (2, 3)",
        "b is a, b.shape, b",
        needs=NUMPY,
    ),
    scenario(
        "an array sorted in place, its argsort kept",
        "import numpy as np\na = np.array([3, 1, 2]); v = a[:2]",
        "order = a.argsort(); a.sort()",
        "a, v, order",
        needs=NUMPY,
    ),
    scenario(
        "a masked array, its data and its mask",
        "import numpy as np\nm = np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=-9); same = m",
        "m[0] = np.ma.masked; m[2] = 30",
        "same is m, m, m.data, m.mask, m.fill_value, m.filled()",
        needs=NUMPY,
    ),
    scenario(
        "a matrix of zero size, one of zero dimensions",
        "import numpy as np\nempty = np.empty((0, 3)); point = np.array(5.0); p2 = point",
        "point[...] = 6; empty = np.vstack([empty, [[1, 2, 3]]])",
        "p2, p2.shape, empty",
        needs=NUMPY,
    ),
    scenario(
        "scalars of numpy keep their types",
        "import numpy as np\nx = np.float32(0.1); n = np.int8(5); d = np.datetime64('2020-02-29'); b = np.bool_(True)",
        "y = x + 1; m = n + n; e = d + np.timedelta64(1, 'D')",
        "[(type(v).__name__, str(v)) for v in (x, n, d, b, y, m, e)]",
        needs=NUMPY,
    ),
    scenario(
        "not-a-number stays and is not equal to itself",
        "import numpy as np\na = np.array([np.nan, -0.0, np.inf]); b = a",
        "a[2] = -np.inf",
        "b, np.signbit(b), b == b",
        needs=NUMPY,
    ),
    scenario(
        "a NaN's bits stay",
        "import numpy as np\na = np.array([0x7FF8000000000123], dtype='u8').view('f8')",
        "b = a.copy()",
        "[hex(v) for v in a.view('u8')], [hex(v) for v in b.view('u8')]",
        needs=NUMPY,
    ),
    scenario(
        "a subclass of ndarray with an attribute",
        """
        import numpy as np

        class Signal(np.ndarray):
            def __array_finalize__(self, obj):
                self.rate = getattr(obj, "rate", None)

        s = np.arange(4.0).view(Signal); s.rate = 100; same = s
        """,
        "s[0] = 5; s.rate = 200",
        "half = s[::2]",
        "same is s, type(half).__name__, half.rate, s.rate, np.shares_memory(half, s)",
        needs=NUMPY,
    ),
    scenario(
        "a Generator goes on where it was",
        "import numpy as np\nrng = np.random.default_rng(1); same = rng",
        "a = rng.integers(0, 100, 3)",
        "b = same.integers(0, 100, 3)",
        "same is rng, a, b, rng.normal()",
        needs=NUMPY,
    ),
    scenario(
        "a Generator's bit generator is shared by two",
        "import numpy as np\nbits = np.random.PCG64(3); one, two = np.random.Generator(bits), np.random.Generator(bits)",
        "a = one.random()",
        "b = two.random()",
        "a != b, a, b, one.bit_generator is two.bit_generator is bits",
        needs=NUMPY,
    ),
    scenario(
        "a RandomState goes on, half a normal pair included",
        "import numpy as np\nrs = np.random.RandomState(0)",
        "a = rs.normal()",
        "b = rs.normal()",
        "a, b, rs.randint(100)",
        needs=NUMPY,
    ),
    scenario(
        "children of a SeedSequence are counted on",
        "import numpy as np\nseeds = np.random.SeedSequence(7)",
        "a = seeds.spawn(2)",
        "b = seeds.spawn(1)",
        "[s.spawn_key for s in a + b], seeds.n_children_spawned",
        needs=NUMPY,
    ),
    scenario(
        "a memory map of a file is changed through a plain array made of it",
        """
        import numpy as np, tempfile, os
        folder = tempfile.mkdtemp(); path = os.path.join(folder, "a.npy")
        np.save(path, np.arange(4))
        a = np.array(np.load(path, mmap_mode="r"))
        """,
        "a[0] = 10",
        "import shutil\nshutil.rmtree(folder); print(a, type(a).__name__)",
        own=("folder", "path"),
        needs=NUMPY,
    ),
    scenario(
        "an array over a bytearray writes into it",
        "import numpy as np\nraw = bytearray(8); a = np.frombuffer(raw, dtype='u1')",
        "a[0] = 255",
        "raw[1] = 7",
        "raw, a",
        needs=NUMPY,
    ),
    scenario(
        "out= writes into the array that was there",
        "import numpy as np\na = np.arange(4.0); out = np.empty(4); same = out",
        "result = np.sqrt(a, out=out)",
        "result is out, same",
        needs=NUMPY,
    ),
    scenario(
        "a masked assignment and fancy indexing",
        "import numpy as np\na = np.arange(10); view = a[5:]",
        "a[a % 2 == 0] = 0; a[[1, 7]] += 100",
        "picked = a[[1, 7]]; picked[:] = 0",
        "a, view, picked",
        needs=NUMPY,
    ),
    scenario(
        "a polynomial, a ufunc made from a function, a vectorized function",
        """
        import numpy as np
        p = np.poly1d([1, 2, 3])
        @np.vectorize
        def clip(x): return min(x, 2)
        """,
        "value = p(2); q = p * p",
        "clip([1, 2, 3]), q, value",
        needs=NUMPY,
    ),
    scenario(
        "a large array is changed in one place",
        "import numpy as np\nbig = np.zeros(300_000); window = big[1000:1010]; same = big",
        "window += 1",
        "big[-1] = 5",
        "same.sum(), same is big, np.shares_memory(window, big)",
        needs=NUMPY,
    ),
    scenario(
        "a view without a name for its base is made read-only",
        "import numpy as np\nv = np.zeros((2, 3))[1]",
        "v.flags.writeable = False",
        "v += 1",
        "v.flags.writeable = True",
        "v += 1; v",
        needs=NUMPY,
    ),
]
