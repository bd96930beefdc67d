"""What a cell shows: its last value, what it prints and displays and in which order, and where IPython keeps it."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario("the last expression is shown", "x = 20", "x + 1", "x; x * 2", "x + 3\ny = 1"),
    scenario("a semicolon hides the value", "x = [1]", "x;", "x  ;  # said", "print('shown'); x;", "x"),
    scenario("None is not shown", "x = None", "x", "print('p')", "[x]"),
    scenario("_ is the last value", "5 + 5", "_ + 1", "x = _", "x"),
    scenario("_, __ and ___", "1", "'two'", "[3]", "(_, __, ___)", "_"),
    scenario("_ is the very object that was shown", "x = [1]", "x", "_.append(2)", "x, _ is x"),
    scenario("a hidden value is not _", "1", "2;", "_", "None", "_"),
    scenario("Out holds what was shown", "'a'", "x = ['b']; x", "Out[1], Out[2] is x", "sorted(Out)"),
    scenario("_1 and _2", "'a'", "[0]", "_2.append(1)", "_1, _2, _2 is Out[2]"),
    scenario("In holds the cells", "x = 1", "In[1].splitlines()[-1], len(In)", "x"),
    scenario("a name _ of the user's own", "_ = 'mine'", "5", "_", "_ = 'again'", "_ + '!'"),
    scenario("a loop variable _ and then a value", "for _ in range(3): pass", "7", "_", "del _", "8", "_"),
    scenario(
        "print goes on from cell to cell",
        "print('a', end='')",
        "print('b', end='\\n\\n')",
        "print('c', 'd', sep='-', flush=True)",
    ),
    scenario(
        "stdout and stderr keep their order",
        "import sys",
        "print('1'); sys.stdout.flush()\nprint('2', file=sys.stderr); sys.stderr.flush()\nprint('3')",
        "sys.stderr.write('4\\n'); sys.stdout.write('5\\n');",
    ),
    scenario("what write returns is shown", "import sys", "sys.stdout.write('text\\n')", "_"),
    scenario("print before display before the result", "x = 'r'", "print('p')\ndisplay('d')\nprint('q')\nx"),
    scenario("display of several and of none", "xs = [1, 2]", "display(xs, 'two', None)", "display()", "r = display(xs)", "r"),
    scenario(
        "display with a data bundle",
        "html = '<b>x</b>'",
        "display({'text/html': html, 'text/plain': 'x'}, raw=True)",
        "display({'text/html': html})",
    ),
    scenario(
        "rich objects of IPython",
        "from IPython.display import HTML, JSON, Latex, Markdown, SVG",
        "display(HTML('<i>h</i>'), Markdown('**m**'), Latex('$x$'))",
        "h = HTML('<p>kept</p>')",
        "h",
        "h.data",
    ),
    scenario(
        "a handle updates what was displayed",
        "h = display('first', display_id='mine')",
        "h.update('second')\nfrom IPython.display import update_display",
        "h.display_id",
        "update_display('third', display_id='mine')",
    ),
    scenario(
        "display with an id given and updated",
        "from IPython.display import update_display\ndisplay('a', display_id='k1')",
        "update_display('b', display_id='k1')",
        "x = 1",
    ),
    scenario(
        "clear_output at once and waiting",
        "from IPython.display import clear_output",
        "print('gone')\nclear_output()\nprint('stays')",
        "print('until the next')\nclear_output(wait=True)\nprint('next')",
        "print('until nothing')\nclear_output(wait=True)",
    ),
    scenario(
        "a progress of several lines that replace one another",
        "from IPython.display import clear_output",
        "for i in range(3):\n    clear_output(wait=True)\n    display(f'step {i}')",
        "i",
    ),
    scenario(
        "a class with _repr_html_ and others",
        """
        class Card:
            def __init__(self, n): self.n = n
            def __repr__(self): return f'Card({self.n})'
            def _repr_html_(self): return f'<b>{self.n}</b>'
            def _repr_markdown_(self): return f'**{self.n}**'
        c = Card(1)
        """,
        "c",
        "c.n = 2; display(c)",
        "[c, c]",
    ),
    scenario(
        "a class with _repr_mimebundle_ and metadata",
        """
        class M:
            def _repr_mimebundle_(self, include=None, exclude=None):
                return {'text/plain': 'm', 'application/json': {'n': calls}}, {'application/json': {'expanded': True}}
        calls = 1; m = M()
        """,
        "m",
        "calls = 2; m",
    ),
    scenario(
        "a class that displays itself",
        "class Own:\n    def _ipython_display_(self):\n        shown.append(1); print('own way')\nshown = []; o = Own()",
        "o",
        "display(o)",
        "len(shown)",
    ),
    scenario(
        "a class that prints itself prettily",
        "class P:\n    def _repr_pretty_(self, p, cycle):\n        p.text('P!' if not cycle else '...')",
        "P()",
        "[P(), {'k': P()}]",
    ),
    scenario(
        "a __repr__ that has an effect",
        "class N:\n    n = 0\n    def __repr__(self): N.n += 1; return f'N{N.n}'\nx = N()",
        "x",
        "x",
        "N.n",
    ),
    scenario("a __repr__ that prints", "class L:\n    def __repr__(self): print('asked'); return 'L'\nx = L()", "x", "[x]"),
    scenario(
        "long, wide and nested values",
        "d = {i: list(range(i)) for i in range(12)}; s = 'x' * 200",
        "d",
        "[s, s[:3]]",
        "list(range(1100))[-5:], set(range(20)), frozenset([3, 1])",
    ),
    scenario(
        "text of many lines and of other scripts", "s = 'a\\nb\\tc'; u = 'größe π 😀'", "s", "print(s); print(u)", "u, u.encode()"
    ),
    scenario(
        "classes, functions and modules are shown",
        "import math\ndef f(x): return x\nclass C: pass",
        "f.__name__, C",
        "math.sqrt, len",
        "C",
    ),
    scenario(
        "pandas and numpy are shown as tables",
        "import numpy as np, pandas as pd",
        "df = pd.DataFrame({'a': [1, 2], 'b': ['x', None]})",
        "df",
        "df['a'], np.arange(4).reshape(2, 2)",
        needs=("numpy", "pandas"),
    ),
    scenario(
        "capture of what is printed by contextlib",
        "import contextlib, io",
        "with contextlib.redirect_stdout(io.StringIO()) as out: print('inside')\nprint('outside')",
        "out.getvalue()",
    ),
    scenario(
        "IPython's capture_output",
        "from IPython.utils.capture import capture_output",
        "with capture_output() as c:\n    print('in'); display('shown')",
        "c.stdout",
        own=("c",),
    ),
    scenario(
        "pprint and format",
        "import pprint\nd = {'b': [1] * 30, 'a': {'x': (1, 2)}}",
        "pprint.pprint(d, width=40)",
        "pprint.pformat(d['a'])",
    ),
    scenario("the count goes on", "get_ipython().execution_count", "x = 1", "get_ipython().execution_count", "x"),
    scenario(
        "every expression is shown when asked for",
        "x = 1; get_ipython().ast_node_interactivity",
        "%config InteractiveShell.ast_node_interactivity",
        "x",
    ),
    scenario("a system command's output among prints", "print('a')", "print('b', flush=True)\n!echo c\nprint('d')", "!echo e"),
    scenario(
        "logging goes to stderr",
        "import logging\nlog = logging.getLogger('t.x')",
        "log.warning('w %s', 1)\nlog.info('unseen')",
        "log.name",
    ),
    scenario(
        "the last result stays through cells that fail",
        "_",
        "missing_name\n_",
        "_",
        "5",
        "print(_)\nmissing_name",
        "_ + 1",
        "_, __, ___",
    ),
]
