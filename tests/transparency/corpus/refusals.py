"""What cannot travel: refused where a remote cell really reads it, with its path, and in nobody's way where none does."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "a generator of this notebook is read by a remote cell",
        "%%local\ng = (x * x for x in range(4)); n = 1",
        "n += 1",
        "n += next(g)",
        "n",
        refuses="g: a generator",
        own=("g",),
    ),
    scenario(
        "a lock in a dict is read by a remote cell",
        "%%local\nimport threading\nd = {'n': 0, 'lock': threading.Lock()}",
        "with d['lock']: d['n'] += 1",
        "d['n']",
        refuses="d['lock']: a lock",
        own=("d",),
    ),
    scenario(
        "a thread that an instance holds is read by a remote cell",
        "%%local\nimport threading\nclass W: pass\nw = W(); w.t = threading.Thread(target=print)",
        "w.t.is_alive()",
        "w.n = 1",
        refuses="w.t: a thread",
        own=("w",),
    ),
    scenario(
        "a socket is read by a remote cell",
        "%%local\nimport socket\ns = socket.socket()",
        "s.fileno() >= 0",
        "%%local\ns.close()",
        refuses="s: a socket",
        own=("s",),
    ),
    scenario(
        "an open file in a list is read by a remote cell",
        "%%local\nfiles = [open('notes.txt', 'w')]",
        "files[0].write('line')",
        "%%local\nfiles[0].close()\nimport os; os.unlink('notes.txt')",
        refuses="files[0]: an open file",
        own=("files",),
    ),
    scenario(
        "a database connection that a function names is read by a remote cell",
        "%%local\nimport sqlite3\ndb = sqlite3.connect(':memory:')\ndef count(): return db.execute('select 1').fetchone()",
        "count()",
        "%%local\ndb.close()",
        refuses="a database connection",
        own=("db",),
    ),
    scenario(
        "a memoryview is read by a remote cell",
        "%%local\ndata = bytearray(b'abc'); view = memoryview(data)",
        "view[0] = 65",
        "data",
        refuses="view: a memoryview",
        own=("view",),
    ),
    scenario(
        "a generator that a class attribute holds is read by a remote cell",
        "%%local\nclass Ids:\n    source = (i for i in range(5))",
        "next(Ids.source)",
        "Ids.n = 1",
        refuses="a generator",
        own=("Ids",),
    ),
    scenario(
        "a lock that no other cell reads",
        "import threading\nlock = threading.Lock(); n = 0",
        "n += 1",
        "'loc' + 'k'",
        "n",
        own=("lock",),
    ),
    scenario(
        "a lock made, used and forgotten in one cell",
        "import threading\nn = 0",
        "lock = threading.Lock()\nwith lock: n += 1\ndel lock",
        "n, 'lock' in globals()",
    ),
    scenario("a generator bound anew above its first use", "g = (x for x in [1])", "g = [5]\ng.append(6)", "g"),
    scenario("a generator is forgotten", "g = (x for x in [1]); n = 1", "del g", "n, 'g' in globals()"),
    scenario("a generator is consumed where it was made", "g = (x for x in [1, 2]); xs = list(g); del g", "xs.append(3)", "xs"),
    scenario(
        "a file is opened and closed in one cell",
        "path = 'own.txt'",
        "with open(path, 'w') as f: print('one', file=f)\ndel f",
        "with open(path) as f: text = f.read()\ndel f",
        "import os; os.unlink(path); text",
    ),
    scenario(
        "a database is opened and closed in one cell",
        "import sqlite3\nrows = [(1, 'a'), (2, 'b')]",
        """
        db = sqlite3.connect(':memory:')
        db.execute('create table t (n int, s text)'); db.executemany('insert into t values (?, ?)', rows)
        found = db.execute('select s from t where n > 1').fetchall()
        db.close(); del db
        """,
        "found",
    ),
    scenario(
        "threads start and end in one cell",
        "import threading\nout = []\ndef work(n): out.append(n)",
        """
        ts = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for t in ts: t.start()
        for t in ts: t.join()
        del t, ts
        """,
        "sorted(out)",
    ),
    scenario(
        "an executor's results, not its futures",
        "from concurrent.futures import ThreadPoolExecutor\ndef sq(x): return x * k\nk = 3",
        "with ThreadPoolExecutor(2) as pool: rs = list(pool.map(sq, range(4)))\ndel pool",
        "rs",
    ),
    scenario(
        "a socket pair talks within one cell",
        "import socket\nword = b'hi'",
        "a, b = socket.socketpair(); a.sendall(word); got = b.recv(2); a.close(); b.close(); del a, b",
        "got",
    ),
    scenario(
        "a lock in another's attribute, of which a cell reads a copy without it",
        """
        import threading
        class Safe:
            def __init__(self): self.lock = threading.Lock(); self.n = 1
            def plain(self): return {'n': self.n}
        """,
        "got = Safe().plain()",
        "got['n'] += 1",
        "got",
    ),
    scenario(
        "a class that leaves its lock out when it is pickled and copied",
        """
        import threading
        class Counter:
            def __init__(self): self.n = 0; self.lock = threading.Lock()
            def __getstate__(self): return {'n': self.n}
            def __setstate__(self, state): self.n = state['n']; self.lock = threading.Lock()
            def up(self):
                with self.lock: self.n += 1
        """,
        "c = Counter(); c.up()",
        "c.up(); same = c",
        "c.n, same is c, c.lock.locked()",
    ),
]
