"""Exceptions: how a cell ends with one, what it had changed until then, and what an exception that is kept holds."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "what a failing cell changed until then stays",
        "xs = [1]; d = {}; n = 0",
        "xs.append(2); d['k'] = xs; n = 5\n1 / 0\nn = 6; xs.append(3)",
        "xs, d, n, d['k'] is xs",
    ),
    scenario(
        "a loop that fails in the middle",
        "done = []; jobs = [2, 1, 0, 4]",
        "for job in jobs:\n    done.append(8 // job)",
        "done, job",
    ),
    scenario("printed lines come before the error", "x = 1", "print('first')\nprint(x)\nx.missing\nprint('never')", "x"),
    scenario(
        "an exception that is caught",
        "d = {'a': 1}; seen = []",
        "try:\n    d['b']\nexcept KeyError as e:\n    seen.append(e.args)\n"
        "else:\n    seen.append('else')\nfinally:\n    seen.append('end')",
        "seen, 'e' in globals()",
    ),
    scenario(
        "an exception that is caught and kept",
        "kept = None",
        "try: int('x')\nexcept ValueError as e: kept = e",
        "kept.args, type(kept) is ValueError, str(kept)",
        "again = kept; raise kept",
        "again is kept",
    ),
    scenario(
        "an exception raised from another",
        "def low(): raise KeyError('low')\ndef high():\n    try: low()\n"
        "    except KeyError as e: raise ValueError('high') from e",
        "try: high()\nexcept ValueError as e: kept = e",
        "type(kept.__cause__), kept.__cause__.args, kept.__suppress_context__, kept.__context__ is kept.__cause__",
        "high()",
    ),
    scenario(
        "an exception while another is handled",
        "log = []",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.append('caught')\n    undefined_thing",
        "log",
    ),
    scenario(
        "a cause taken away by from None",
        "def f():\n    try: {}['k']\n    except KeyError: raise RuntimeError('no k') from None",
        "try: f()\nexcept RuntimeError as e: r = e",
        "r.__cause__, r.__suppress_context__, type(r.__context__)",
        "f()",
    ),
    scenario(
        "a group of exceptions, and a group in it",
        """
        import sys
        kept = None
        """,
        """
        if sys.version_info >= (3, 11):
            kept = ExceptionGroup('all', [ValueError(1), ExceptionGroup('in', [KeyError('k'), OSError('o')])])
        """,
        "kept and [type(e).__name__ for e in kept.exceptions]",
        "if kept: first, rest = kept.split(ValueError)",
        "kept and (len(first.exceptions), rest.message, first.exceptions[0] is kept.exceptions[0])",
        "if kept: raise kept",
    ),
    scenario(
        "except* takes a part of a group",
        "got = []; run = \"try:\\n    raise ExceptionGroup('g', [ValueError(1), TypeError(2)])\\n\"",
        "run += 'except* ValueError as g: got.append(g.exceptions[0].args)\\n"
        "except* TypeError as g: got.append(len(g.exceptions))'",
        "import sys\nif sys.version_info >= (3, 11): exec(run)",
        "got, 'g' in globals()",
    ),
    scenario(
        "an exception class of the notebook with state",
        """
        class Failed(Exception):
            def __init__(self, step, seen):
                super().__init__(f'step {step}')
                self.step = step; self.seen = seen
        seen = []
        """,
        "try: raise Failed(2, seen)\nexcept Failed as e: err = e",
        "err.seen.append('x'); err.more = {'a': seen}",
        "err.step, err.seen is seen, err.more['a'] is seen, str(err), seen",
    ),
    scenario(
        "an exception class that wants two arguments is raised uncaught",
        """
        class HttpError(Exception):
            def __init__(self, code, *, body):
                super().__init__(code, body)
                self.code = code
            def __str__(self): return f'HTTP {self.code}'
        """,
        "raise HttpError(404, body='gone')",
        "try: raise HttpError(500, body=b'')\nexcept HttpError as e: last = e",
        "last.code, last.args, str(last), isinstance(last, HttpError)",
    ),
    scenario(
        "a hierarchy: the nearest handler takes it",
        "class Base(Exception): pass\nclass Mid(Base): pass\nclass Leaf(Mid, ValueError): pass",
        "def which(e):\n    try: raise e\n    except Mid: return 'mid'\n"
        "    except Base: return 'base'\n    except Exception: return 'any'",
        "[which(k()) for k in (Leaf, Mid, Base, KeyError)]",
        "try: raise Leaf('l')\nexcept ValueError as e: print(type(e) is Leaf, e)",
    ),
    scenario(
        "an error inside a function of an earlier cell",
        "def inner(x):\n    y = x + 1\n    return 1 / (y - 1)\n\ndef outer(x):\n    return inner(x)",
        "outer(1)",
        "outer(0)",
        "import traceback\ntry: outer(0)\n"
        "except ZeroDivisionError as e: names = [f.name for f in traceback.extract_tb(e.__traceback__)][1:]",
        "names",
    ),
    scenario(
        "line numbers of an error",
        "def f():\n\n    raise ValueError('line three')",
        "import sys\ntry:\n    f()\nexcept ValueError as e:\n"
        "    lines = [e.__traceback__.tb_lineno, e.__traceback__.tb_next.tb_lineno]",
        "lines",
    ),
    scenario(
        "an error in a lambda, a comprehension and a class body",
        "f = lambda x: 1 / x\nxs = [1, 0]",
        "[f(x) for x in xs]",
        "class Broken:\n    a = 1\n    b = undefined_here",
        "'Broken' in globals()",
    ),
    scenario(
        "an error in __repr__ of the result",
        "class Bad:\n    def __repr__(self): raise RuntimeError('no repr')\nb = Bad(); n = 0",
        "n = 1; b",
        "n",
    ),
    scenario(
        "an error in a property and in __getattr__",
        "class C:\n    @property\n    def p(self): raise KeyError('p')\n"
        "    def __getattr__(self, n): raise AttributeError(f'none {n}')\nc = C()",
        "c.p",
        "c.q",
        "hasattr(c, 'q'), getattr(c, 'q', 5)",
    ),
    scenario(
        "a failed import",
        "import os",
        "import no_such_module_x",
        "from os import no_such_name_x",
        "'no_such_module_x' in globals()",
    ),
    scenario(
        "a failed import that is caught",
        "fast = True",
        "try: import no_such_module_x as m\nexcept ImportError as e: m = None; fast = False; missing = e.name",
        "m, fast, missing",
    ),
    scenario("an assertion", "x = [1]", "assert x == [1], 'fine'", "assert not x, f'not empty: {x}'", "assert len(x) == 2", "x"),
    scenario("a SyntaxError of the cell runs nothing of it", "x = 1", "x = 2\nx = = 3", "x"),
    scenario("an indentation error runs nothing of it", "x = 1", "x = 2\n  x = 3", "x"),
    scenario(
        "an exec'd SyntaxError",
        "code = 'a = 1\\nb = = 2'; a = 0",
        "try: exec(code)\nexcept SyntaxError as e: told = (e.msg, e.lineno, e.text, e.filename)",
        "told, a",
        "exec(code)",
        "eval('1 +')",
    ),
    scenario("an exec'd error keeps what was bound", "a = 0", "exec('a = 1\\nb = 2\\n1 / 0\\na = 3')", "a, b"),
    scenario(
        "a name error offers what is near",
        "counter = 1",
        "conter + 1",
        "counter.bit_lenght()",
        "import math\nmath.sqr(2)",
    ),
    scenario(
        "a note added to an exception", "e = ValueError('v')", "if hasattr(e, 'add_note'): e.add_note('look here')", "raise e"
    ),
    scenario(
        "errors of the builtins with fields",
        "errors = []",
        "for go in (lambda: open('/no/such/file'), lambda: b'\\xff'.decode(), lambda: "
        "next(iter([])), lambda: {}['k'], lambda: [][3]):\n"
        "    try: go()\n    except Exception as e: errors.append(e)",
        "[(type(e).__name__, e.args) for e in errors]",
        "errors[0].filename, errors[0].errno, errors[1].start, errors[2].value",
    ),
    scenario(
        "finally runs and a return in it wins",
        "log = []\ndef f():\n    try: return 1 / 0\n    finally: log.append('end'); return 'ok'",
        "f()",
        "log",
    ),
    scenario("a bare raise hands on", "log = []", "try:\n    int('z')\nexcept ValueError:\n    log.append(1)\n    raise", "log"),
    scenario("raising a class, and something that is no exception", "class E(Exception): pass", "raise E", "raise 'text'", "E()"),
    scenario(
        "StopIteration and GeneratorExit in the notebook",
        "def g():\n    yield 1\n    return 'value'",
        "it = g(); next(it)\ntry: next(it)\nexcept StopIteration as s: value = s.value\ndel it",
        "value",
        "next(iter(()))",
    ),
    scenario("SystemExit ends the cell only", "n = 1", "n = 2\nraise SystemExit\nn = 3", "n"),
    scenario("KeyboardInterrupt raised by the cell", "n = 1", "n = 2\nraise KeyboardInterrupt\nn = 3", "n"),
    scenario(
        "a recursion that is too deep",
        "def down(n): return down(n + 1)",
        "try: down(0)\nexcept RecursionError as e: deep = str(e)[:32]",
        "deep",
    ),
    scenario(
        "a warning is shown and its cell goes on",
        "import warnings\ndef old(): warnings.warn('use new()', DeprecationWarning, stacklevel=2); return 5",
        "x = old()",
        "warnings.warn('careful')\ny = x + 1",
        "x, y",
    ),
    scenario(
        "a warning of a function shows its line",
        "import warnings\ndef old():\n    warnings.warn('old')\n    return warnings.__name__",
        "old()",
        "old() + '!'",
    ),
    scenario(
        "a group of exceptions ends the cell",
        "import sys\ndef fail():\n    if sys.version_info < (3, 11): raise ValueError('as good')\n"
        "    raise ExceptionGroup('all', [ValueError(1), KeyError('k')])",
        "fail()",
        "try: fail()\nexcept Exception: 1 / 0",
    ),
    scenario(
        "an exception is raised again",
        "e = ValueError('kept')",
        "raise e",
        "raise e",
        "def f(): raise e\nf()",
    ),
    scenario(
        "a magic that has no good Python behind it",
        "n = 0",
        "%time -q 1",
        "def f():\n    exec('b = = 3')\nn = 1",
        "f()",
        "n",
    ),
    scenario(
        "exit with a code, twice, and what is shown of it later",
        "n = 1",
        "raise SystemExit(3)",
        "import sys; n = 2; sys.exit('why')",
        "n",
    ),
    scenario(
        "a display that fails in the middle of a cell",
        "class Bad:\n    def __repr__(self): raise RuntimeError('no repr')\n    def _repr_html_(self): return 1 / 0",
        "display(Bad()); n = 1",
        "n = 2; Bad();",
        "[Bad()]",
        "n",
    ),
    scenario(
        "warnings are recorded, and made errors",
        "import warnings\nclass Mine(UserWarning): pass",
        "with warnings.catch_warnings(record=True) as got:\n"
        "    warnings.simplefilter('always'); warnings.warn(Mine('a')); warnings.warn('b')\n"
        "told = [(w.category.__name__, str(w.message)) for w in got]; del got",
        "with warnings.catch_warnings():\n    warnings.simplefilter('error', Mine)\n    warnings.warn('now an error', Mine)",
        "told",
    ),
    scenario(
        "sys.exc_info inside and outside of a handler",
        "import sys",
        "try: 1 / 0\nexcept ZeroDivisionError: inside = sys.exc_info()[0]",
        "inside, sys.exc_info()",
    ),
    scenario(
        "a list of exceptions where two are the same",
        "e = ValueError('one'); errors = [e, e, ValueError('one')]",
        "errors[0].tag = [1]",
        "errors[1].tag, errors[0] is errors[1], errors[0] is errors[2], hasattr(errors[2], 'tag')",
    ),
    scenario(
        "an error in the middle of an assignment to several names",
        "a = b = 0; xs = [1, 2]",
        "a, b = xs[0], xs[5]",
        "a = xs[1]; b = xs[2]",
        "a, b",
    ),
    scenario("unpacking too few and too many", "xs = [1, 2, 3]; a = 0", "a, b = xs", "a, b, c, d = xs", "a"),
]
