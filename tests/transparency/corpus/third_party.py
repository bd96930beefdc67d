"""Values of well-known packages, each as itself and in place."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

# What a first import sets or draws, and no later one: the harness' kernels import once.
IMPORTED = ("ambient: os.environ", "ambient: os.environ, gone", "ambient: random", "ambient: warnings.filters")

SCENARIOS: list[Scenario] = [
    scenario(
        "an estimator is fitted in place",
        """
        import numpy as np
        from sklearn.linear_model import LinearRegression
        X = np.arange(6.0).reshape(3, 2); y = X @ [1.0, 2.0] + 3; m = LinearRegression(); alias = m
        """,
        "m.fit(X, y);",
        "np.round(m.predict([[1.0, 1.0]]), 6), alias is m, alias.n_features_in_",
        own=IMPORTED,
        needs=("sklearn",),
    ),
    scenario(
        "a pipeline and its steps",
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.linear_model import LogisticRegression
        scaler = StandardScaler(); clf = LogisticRegression(); p = make_pipeline(scaler, clf)
        """,
        "p.fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]);",
        "p[0] is scaler, p.named_steps['logisticregression'] is clf, p.predict([[0.1], [2.9]]), scaler.mean_",
        own=IMPORTED,
        needs=("sklearn",),
    ),
    scenario(
        "an estimator is cloned and its parameters set",
        """
        from sklearn.base import clone
        from sklearn.tree import DecisionTreeClassifier
        t = DecisionTreeClassifier(max_depth=2, random_state=0)
        """,
        "c = clone(t); c.set_params(max_depth=1);",
        "c.fit([[0], [1], [2]], [0, 1, 1]).predict([[0], [2]])",
        "t.get_params()['max_depth'], c.tree_.node_count, hasattr(t, 'tree_')",
        own=IMPORTED,
        needs=("sklearn",),
    ),
    scenario(
        "an estimator of the notebook's own",
        """
        from sklearn.base import BaseEstimator, RegressorMixin
        import numpy as np
        class Mean(RegressorMixin, BaseEstimator):
            def __init__(self, shift=0): self.shift = shift
            def fit(self, X, y): self.mean_ = float(np.mean(y)) + self.shift; return self
            def predict(self, X): return np.full(len(X), self.mean_)
        """,
        "m = Mean(shift=1).fit([[0], [1]], [1, 3])",
        "m.predict([[5]]), m.get_params(), type(m) is Mean",
        own=IMPORTED,
        needs=("sklearn",),
    ),
    scenario(
        "clusters with a seed, and a data set that comes along",
        "from sklearn.datasets import load_iris\nfrom sklearn.cluster import KMeans\niris = load_iris()",
        "k = KMeans(2, n_init=1, random_state=0).fit(iris.data[:, :2])",
        "sorted([int(k.labels_.sum()), int((1 - k.labels_).sum())]), k.cluster_centers_.shape, iris.target_names[0]",
        own=IMPORTED,
        needs=("sklearn",),
    ),
    scenario(
        "a train and test split and a score",
        """
        from sklearn.model_selection import cross_val_score, train_test_split
        from sklearn.dummy import DummyClassifier
        X = [[i] for i in range(10)]; y = [0, 1] * 5
        """,
        "a, b, c, d = train_test_split(X, y, test_size=0.3, random_state=1)",
        "a, d",
        "cross_val_score(DummyClassifier(), X, y, cv=2).tolist()",
        own=IMPORTED,
        needs=("sklearn",),
    ),
    scenario(
        "a sparse matrix of rows is changed in place",
        "import scipy.sparse as sp\nm = sp.csr_matrix(([1.0, 2.0], ([0, 1], [1, 2])), shape=(3, 3)); alias = m",
        "m.data[0] = 9; m2 = m @ m.T",
        "alias is m, m.toarray(), m2.nnz, m.has_sorted_indices",
        own=IMPORTED,
        needs=("scipy",),
    ),
    scenario(
        "sparse arrays of every format",
        """
        import scipy.sparse as sp
        coo = sp.coo_array(([1, 2], ([0, 1], [1, 0])), shape=(2, 2)); lil = coo.tolil(); dok = coo.todok()
        """,
        "lil[1, 1] = 5; dok[0, 0] = 7",
        "lil.toarray().tolist(), dok.toarray().tolist(), coo.tocsc().indptr.tolist(), type(lil).__name__",
        own=IMPORTED,
        needs=("scipy",),
    ),
    scenario(
        "a sparse matrix shares its data with an array",
        """
        import numpy as np, scipy.sparse as sp
        data = np.array([1.0, 2.0]); m = sp.csr_matrix((data, [0, 1], [0, 1, 2]), copy=False)
        """,
        "m.data[1] = 8",
        "data, m.data is data, np.shares_memory(m.data, data), m.toarray()",
        own=IMPORTED,
        needs=("scipy",),
    ),
    scenario(
        "scipy's results and distributions",
        "from scipy import optimize, stats, interpolate\nd = stats.norm(loc=1)",
        "r = optimize.minimize_scalar(lambda x: (x - 2) ** 2); f = interpolate.interp1d([0, 1, 2], [0, 10, 20])",
        "round(r.x, 4), bool(r.success), round(d.cdf(1), 3), float(f(1.5))",
        own=IMPORTED,
        needs=("scipy",),
    ),
    scenario(
        "symbols are equal and their expressions too",
        "import sympy as sp\nx, y = sp.symbols('x y'); e = (x + y) ** 2",
        "ex = sp.expand(e); d = sp.diff(e, x)",
        "ex, d.subs({x: 1, y: 2}), sp.Symbol('x') == x, ex.has(y)",
        own=IMPORTED,
        needs=("sympy",),
    ),
    scenario(
        "sympy solves, and a function made of it",
        "import sympy as sp\nt = sp.Symbol('t', positive=True)",
        "s = sp.solve(t ** 2 - 4, t); f = sp.lambdify(t, t ** 2 + 1, 'math')",
        "s, f(3), sp.Symbol('t') == t, t.is_positive",
        own=(*IMPORTED, "f code.code in"),  # it counts the functions that it has made
        needs=("sympy",),
    ),
    scenario(
        "a sympy matrix is changed in place",
        "import sympy as sp\nM = sp.eye(2); N = M",
        "M[0, 1] = sp.Rational(1, 3)",
        "N, N is M, M.det(), sp.pi.evalf(5)",
        own=IMPORTED,
        needs=("sympy",),
    ),
    scenario(
        "a graph and the attributes of its nodes",
        "import networkx as nx\nG = nx.Graph(name='g'); G.add_edge('a', 'b', w=2); H = G",
        "G.add_edge('b', 'c', w=1); G.nodes['a']['seen'] = [1]",
        "nx.shortest_path(H, 'a', 'c', weight='w'), H is G, sorted(G.edges(data='w'))",
        "G.nodes['a'], G.adj['a']['b'] is G.adj['b']['a']",
        needs=("networkx",),
    ),
    scenario(
        "a directed graph with objects for nodes",
        "import networkx as nx\nclass N:\n    def __init__(self, n): self.n = n\na, b = N('a'), N('b'); G = nx.DiGraph([(a, b)])",
        "G.add_edge(b, a); b.n = 'B'",
        "[n.n for n in G], a in G, G.has_edge(b, a), next(iter(G.pred[a])) is b",
        needs=("networkx",),
    ),
    scenario(
        "a view of a graph follows it",
        "import networkx as nx\nG = nx.path_graph(4); sub = G.subgraph([0, 1, 2]); deg = G.degree",
        "G.add_edge(0, 2)",
        "sorted(sub.edges), dict(deg), nx.is_frozen(sub)",
        needs=("networkx",),
    ),
    scenario(
        "an image is drawn on in place",
        "from PIL import Image, ImageDraw\nim = Image.new('RGB', (4, 3), 'white'); alias = im",
        "im.putpixel((1, 1), (255, 0, 0)); ImageDraw.Draw(im).point((0, 0), fill=(0, 0, 255));",
        "alias is im, im.getpixel((1, 1)), im.tobytes()[:3], im.size, im.mode",
        needs=("PIL",),
    ),
    scenario(
        "an image is turned, converted and saved to memory",
        "import io\nfrom PIL import Image\nim = Image.linear_gradient('L').resize((4, 4)); im.info['note'] = 'mine'",
        "small = im.rotate(90).convert('1'); buf = io.BytesIO(); im.save(buf, 'PNG')",
        "small.mode, buf.getvalue()[:4], im.info, Image.open(io.BytesIO(buf.getvalue())).size",
        needs=("PIL",),
    ),
    scenario(
        "an image is shown",
        "from PIL import Image\nim = Image.new('L', (2, 2), 128)",
        "im",
        "type(im).__name__, im.getextrema()",
        needs=("PIL",),
    ),
    scenario(
        "an image and an array",
        "import numpy as np\nfrom PIL import Image\na = np.arange(12, dtype='uint8').reshape(2, 2, 3)",
        "im = Image.fromarray(a); back = np.asarray(im)",
        "(back == a).all(), im.size, back.flags.writeable",
        needs=("PIL", "numpy"),
    ),
    scenario(
        "a polars frame",
        "import polars as pl\ndf = pl.DataFrame({'a': [1, 2, None], 'b': ['x', 'y', 'x']}); alias = df",
        "out = df.group_by('b', maintain_order=True).agg(pl.col('a').sum()); df = df.with_columns(c=pl.col('a') * 2)",
        "df, alias.columns, out.rows(), alias is df",
        own=IMPORTED,
        needs=("polars",),
    ),
    scenario(
        "a lazy polars frame, an expression and a series",
        "import polars as pl\nlf = pl.LazyFrame({'a': [3, 1, 2]}); big = pl.col('a') > 1; s = pl.Series('s', [1.5, None])",
        "kept = lf.filter(big).sort('a')",
        "kept.collect().to_dict(as_series=False), s.null_count(), s.dtype == pl.Float64",
        own=IMPORTED,
        needs=("polars",),
    ),
    scenario(
        "an arrow table and its schema",
        "import pyarrow as pa\nt = pa.table({'a': [1, None], 'b': ['x', 'y']}); col = t['a']",
        "t2 = t.append_column('c', pa.array([[1], []])); arr = pa.array([1, 2, 3])[1:]",
        "t2.schema.names, t2.to_pylist(), col.null_count, arr.offset, t.equals(t2.drop_columns(['c']))",
        needs=("pyarrow",),
    ),
    scenario(
        "an arrow buffer, a scalar and a dictionary array",
        "import pyarrow as pa\nb = pa.py_buffer(b'abc'); d = pa.array(['x', 'y', 'x']).dictionary_encode()",
        "s = pa.scalar(5); two = d.take(pa.array([2, 1]))",
        "b.to_pybytes(), s.as_py(), d.indices.to_pylist(), two.to_pylist(), d.type.index_type",
        needs=("pyarrow",),
    ),
    scenario(
        "a figure with axes is drawn on over cells",
        "import matplotlib\nmatplotlib.use('agg')\nfrom matplotlib.figure import Figure\nfig = Figure(); ax = fig.subplots()",
        "line, = ax.plot([1, 2], [3, 4], label='l'); ax.set_title('T');",
        "line.set_ydata([5, 6]); ax.get_title(), fig.axes[0] is ax, ax.lines[0] is line, line.get_ydata()",
        needs=("matplotlib",),
    ),
    scenario(
        "a column transformer over a frame",
        """
        import pandas as pd
        from sklearn.compose import make_column_transformer
        from sklearn.preprocessing import OneHotEncoder
        df = pd.DataFrame({'k': ['a', 'b', 'a'], 'n': [1.0, 2.0, 3.0]})
        """,
        """
        ct = make_column_transformer((OneHotEncoder(sparse_output=False), ['k']), remainder='passthrough')
        out = ct.fit_transform(df)
        """,
        "out, list(ct.get_feature_names_out())",
        own=IMPORTED,
        needs=("sklearn", "pandas"),
    ),
    scenario(
        "a polars frame is changed in place",
        "import polars as pl\ndf = pl.DataFrame({'a': [1, 2], 'b': ['x', 'y']}); same = df; s = df['a']; kept = [df, s]",
        "df.insert_column(1, pl.Series('c', [0.5, None])); df[0, 'a'] = 9; s.rename('z')",
        "df.columns = ['p', 'q', 'r']",
        "same is df, kept[0] is df, kept[1] is s, same.rows(), same.columns, s.to_list(), s.name",
        own=IMPORTED,
        needs=("polars",),
    ),
    scenario(
        "polars dates, lists, categories and structs",
        """
        import datetime, polars as pl
        df = pl.DataFrame({'d': [datetime.date(2024, 2, 29)], 'l': [[1, 2]], 's': [{'x': 1}]})
        df = df.with_columns(pl.Series('k', ['a']).cast(pl.Categorical))
        """,
        "out = df.explode('l').unnest('s'); schema = out.schema; out2 = df.clone(); out2.extend(df)",
        "out.rows(), schema == out.schema, out2.height, df.height, df.schema",
        own=IMPORTED,
        needs=("polars",),
    ),
    scenario(
        "sympy's functions, assumptions and integrals",
        """
        import sympy as sp
        n = sp.Symbol('n', integer=True); f = sp.Function('f'); d = sp.Dummy('d'); w = sp.Wild('w')
        """,
        "e = f(n).diff(n) + d; i = sp.integrate(sp.sin(n) ** 2, n); m = (n + 1).match(w + 1)",
        "e.has(d), e.subs(d, 0), i, m[w] is n, d == sp.Dummy('d'), sp.Piecewise((n, n > 0), (0, True)).subs(n, 3)",
        # what sympy has worked out about an expression, and which of two equal ones it gives, lies in caches of its own
        own=(*IMPORTED, "e", "i", "m", "Out", "_", "_3"),
        needs=("sympy",),
    ),
    scenario(
        "arrow-backed columns of a frame",
        """
        import pandas as pd
        df = pd.DataFrame({'n': pd.array([1, None], dtype='int64[pyarrow]'), 's': pd.array(['x', 'y'], dtype='string[pyarrow]')})
        same = df; col = df['s']
        """,
        "df.loc[0, 'n'] = 5; df['t'] = df['s'].str.upper()",
        "same is df, same, same.dtypes.astype(str).tolist(), col.tolist(), df['n'].isna().sum()",
        own=IMPORTED,
        needs=("pandas", "pyarrow"),
    ),
    scenario(
        "arrow memory that is shared, and a batch in a table",
        """
        import numpy as np, pyarrow as pa
        source = np.arange(4.0); a = pa.array(source); b = a.slice(1, 2); batch = pa.record_batch([a], names=['v'])
        """,
        "t = pa.Table.from_batches([batch, batch]); view = a.to_numpy(); ty = pa.struct([('x', pa.list_(pa.int8()))])",
        "t.column('v').num_chunks, view.tolist(), view.flags.writeable, b.to_pylist(), batch.schema == t.schema, ty",
        own=(*IMPORTED, "view"),  # over arrow's own memory here, over what came there
        needs=("pyarrow",),
    ),
    scenario(
        "graphs of several edges, a copy and a cached adjacency",
        "import networkx as nx\nM = nx.MultiDiGraph(); M.add_edge(1, 2, key='k', w=1); same = M; adj = M.adj",
        "M.add_edge(1, 2, w=3); C = M.copy(); M.remove_edge(1, 2, key='k'); M.graph['name'] = 'm'",
        "same is M, list(M.edges(data=True)), list(C.edges(keys=True)), dict(adj[1]), adj is M.adj, M.name",
        needs=("networkx",),
    ),
    scenario(
        "arrays of jax are never changed",
        """
        import jax, jax.numpy as jnp
        x = jnp.arange(4.0); key = jax.random.PRNGKey(0); tree = {'w': jnp.ones(2), 'b': [x]}
        """,
        "y = x.at[1].set(9.0); key, sub = jax.random.split(key); tree = jax.tree_util.tree_map(lambda v: v * 2, tree)",
        "x.tolist(), y.tolist(), key.tolist(), tree['b'][0].tolist(), type(y) is type(x), y.dtype, y.weak_type",
        own=(*IMPORTED, "ambient: numpy.random"),
        needs=("jax",),
    ),
    scenario(
        "a gradient and a compiled function of jax",
        "import jax, jax.numpy as jnp\n@jax.jit\ndef loss(w): return jnp.sum((w - 3.0) ** 2)\nw = jnp.zeros(2)",
        "for i in range(3): w = w - 0.1 * jax.grad(loss)(w)",
        "w.tolist(), float(loss(w))",
        own=(*IMPORTED, "ambient: numpy.random"),
        needs=("jax",),
    ),
    scenario(
        "a tensor and the array that it was made from",
        "import numpy as np, torch\na = np.arange(6.0); t = torch.from_numpy(a); row = t.view(2, 3)[1]; back = t.numpy()",
        "t[0] = 10; a[1] = 11",
        "row[0] = 12; back[5] = 13",
        "a, t.tolist(), row.tolist(), np.shares_memory(a, back), t.data_ptr() == a.ctypes.data",
        own=IMPORTED,
        needs=("torch",),
    ),
    scenario(
        "a tensor over a part of an array",
        "import numpy as np, torch\na = np.zeros((3, 4), 'f4'); t = torch.from_numpy(a[1]); u = torch.as_tensor(a[:, 1])",
        "t += 1; u += 10",
        "a[1, 1] = -1",
        "a, t.tolist(), u.tolist()",
        own=IMPORTED,
        needs=("torch",),
    ),
    scenario(
        "a network learns over cells",
        """
        import torch
        _ = torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        opt = torch.optim.Adam(net.parameters(), lr=0.1); x = torch.randn(8, 2); y = x.sum(1, keepdim=True)
        """,
        """
        for _ in range(3):
            opt.zero_grad(); loss = torch.nn.functional.mse_loss(net(x), y); loss.backward(); opt.step()
        first = loss.item(); del loss
        """,
        "for p in net.parameters(): p.grad = None\nnet.eval(); opt.param_groups[0]['lr'] = 0.01",
        "with torch.no_grad(): out = net(x)",
        "round(first, 4), [round(v, 4) for v in out[:2, 0].tolist()], opt.param_groups[0]['params'][0] is net[0].weight",
        "len(opt.state), float(opt.state[net[0].weight]['step'])",
        own=(*IMPORTED, "_"),
        needs=("torch",),
    ),
    scenario(
        "torch's generators, buffers and hooks-free modules",
        """
        import torch
        g = torch.Generator().manual_seed(3); bn = torch.nn.BatchNorm1d(2); state = bn.state_dict()
        """,
        "r = torch.rand(2, generator=g); out = bn(torch.ones(4, 2)).detach()",
        "r2 = torch.rand(2, generator=g); bn.running_mean[0] = 7",
        "r.tolist(), r2.tolist(), state['running_mean'].tolist(), bn.num_batches_tracked.item(), out.shape",
        own=IMPORTED,
        needs=("torch",),
    ),
    scenario(
        "tensors of every dtype, shape and layout",
        """
        import torch
        t = torch.arange(6).reshape(2, 3); views = [t.T, t[0], t[:, ::2], t.expand(1, 2, 3)]
        kinds = [torch.tensor([1], dtype=d) for d in (torch.bool, torch.int8, torch.float16, torch.bfloat16, torch.complex64)]
        empty = torch.empty(0, 3); point = torch.tensor(2.5); sparse = torch.eye(2).to_sparse()
        """,
        "t[0, 0] = 100; point += 1; views[1][1] = 50; t.resize_(3, 2)",
        "kinds[2].fill_(2); t2 = t.clone(); t.mul_(2)",
        "t, [v.tolist() for v in views], kinds, empty.shape, point, sparse.to_dense(), t2",
        own=IMPORTED,
        needs=("torch",),
    ),
]
