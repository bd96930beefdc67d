"""Imports and modules: bound in one cell, used in another, changed, written on the way."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario("an import in one cell is used in the next", "import math", "math.floor(2.7)", "r = math.sqrt(16)", "r"),
    scenario(
        "an alias and its module are one",
        "import json as j\nimport json",
        "j is json, j.dumps({'a': [1]})",
        "again = j",
        "again is json",
    ),
    scenario(
        "a submodule is bound as its package",
        "import os.path",
        "os.path.join('a', 'b')",
        "import xml.etree.ElementTree as ET",
        "ET.Element('x').tag, 'xml' in globals()",
    ),
    scenario(
        "two submodules of one package",
        "import concurrent.futures",
        "import email.message, email.utils",
        "m = email.message.Message(); m['To'] = email.utils.formataddr(('A', 'a@b'))",
        "m['To'], concurrent.futures.__name__",
    ),
    scenario(
        "names imported from a module",
        "from collections import Counter as C, deque\nfrom math import pi, tau as circle",
        "c = C('aab'); d = deque([pi])",
        "c['a'], d, circle == 2 * pi, C.__name__",
    ),
    scenario(
        "an import used by a function of an earlier cell",
        "def area(r): return math.pi * r ** 2",
        "import math",
        "round(area(2), 3)",
        "del math",
        "area(1)",
    ),
    scenario(
        "an import inside of a function",
        "def stamp():\n    import datetime as dt\n    return dt.date(2024, 1, 2)",
        "stamp()",
        "'dt' in globals(), stamp().isoformat()",
    ),
    scenario(
        "an import on one branch and in a try",
        "fast = False",
        "if fast: import decimal as num\nelse: import fractions as num",
        "try: import no_such_module_y\nexcept ImportError: no_such_module_y = None",
        "num.__name__, no_such_module_y",
    ),
    scenario(
        "a module in a list, a dict and an attribute",
        "import math, cmath\nclass Box: pass\nb = Box(); b.m = math; libs = {'r': math, 'c': [cmath]}",
        "libs['r'].sqrt(4), libs['c'][0].sqrt(-1)",
        "libs['x'] = b.m",
        "libs['x'] is math, b.m.pi",
    ),
    scenario(
        "a module's function under another name",
        "import os.path, math\njoin = os.path.join; root = math.sqrt",
        "join('a', 'b'), root(9)",
        "same = math.sqrt is root",
        "same, join.__name__",
    ),
    scenario(
        "a module is rebound and deleted", "import math", "math = 'mine'", "math.upper()", "del math", "import math\nmath.pi > 3"
    ),
    scenario(
        "an attribute is set on a module and taken away",
        "import string\nstring.farcell_mark = [1]",
        "string.farcell_mark.append(2)",
        "string.farcell_mark",
        "del string.farcell_mark",
        "hasattr(string, 'farcell_mark')",
    ),
    scenario(
        "a module's function is replaced for a while",
        "import colorsys\nreal = colorsys.hls_to_rgb; colorsys.hls_to_rgb = lambda *a: 'patched'",
        "colorsys.hls_to_rgb(0, 1, 0)",
        "colorsys.hls_to_rgb = real",
        "colorsys.hls_to_rgb(0, 1, 0)",
    ),
    scenario(
        "a module's function is wrapped, and counts in the module",
        "import colorsys, functools\ncolorsys.calls = 0\ndef counting(f):\n    @functools.wraps(f)\n"
        "    def g(*a):\n        colorsys.calls += 1\n        return f(*a)\n    return g",
        "before = colorsys.rgb_to_hsv\ncolorsys.rgb_to_hsv = counting(colorsys.rgb_to_hsv)",
        "colorsys.rgb_to_hsv(0, 0, 0), colorsys.calls",
        "before(0, 0, 0); from colorsys import rgb_to_hsv as mine\nmine(0, 0, 1), colorsys.calls, mine is colorsys.rgb_to_hsv",
        "colorsys.rgb_to_hsv = before; del colorsys.calls",
        "colorsys.rgb_to_hsv(0, 0, 0), colorsys.rgb_to_hsv is before, hasattr(colorsys, 'calls'), before.__module__",
    ),
    scenario(
        "a method is added to a library's class, and one replaced",
        "from fractions import Fraction\nimport fractions as fr\nhalf = Fraction(1, 2)",
        "def shout(self): return f'{self}!'\nFraction.shout = shout; old = fr.Fraction.__str__",
        "half.shout(), Fraction.shout is shout",
        "def text(self): return 'a fraction'\nsetattr(fr.Fraction, '__str__', text)",
        "str(half), half.shout()",
        "fr.Fraction.__str__ = old\ndel Fraction.shout",
        "str(half), hasattr(half, 'shout')",
    ),
    scenario(
        "a library's class gives place to one of the notebook's",
        "import textwrap\nclass Mine(textwrap.TextWrapper):\n    def fill(self, text): return text.upper()\n"
        "real = textwrap.TextWrapper",
        "textwrap.TextWrapper = Mine",
        "made = textwrap.TextWrapper(width=9); r = textwrap.fill('as if'); kept = real()",
        "type(made) is Mine, r, isinstance(made, real), Mine.__base__ is real, made.width, type(kept) is real",
        "textwrap.TextWrapper = real; again = textwrap.TextWrapper()",
        "textwrap.fill('as if'), type(kept) is type(again), textwrap.TextWrapper is not Mine, type(made) is Mine",
    ),
    scenario(
        "a function of the notebook's patches when it is called",
        "import textwrap as tw\nseen = []\ndef listen():\n    tw.shorten = seen.append",
        "real = tw.shorten",
        "listen()",
        "tw.shorten(5); seen",
        "def undo():\n    import textwrap as wrapping\n    wrapping.shorten = real\nundo()",
        "seen, tw.shorten('a b', 9), tw.shorten is real",
    ),
    scenario(
        "what is set on a module is what the notebook holds",
        "import string as st\nshared = {'n': [1]}; st.farcell_shared = shared; st.farcell_words, st.farcell_n = shared['n'], 1",
        "st.farcell_shared['n'].append(2); st.farcell_n += 1",
        "shared, st.farcell_words is shared['n'], st.farcell_n",
        "shared['n'] = [0]; st.farcell_words.append(3)",
        "st.farcell_shared, st.farcell_words",
        "delattr(st, 'farcell_words'); del st.farcell_shared, st.farcell_n",
        "[n for n in dir(st) if n.startswith('farcell')]",
    ),
    scenario(
        "the program's arguments are set by the notebook",
        "import sys, argparse\nbefore = sys.argv; sys.argv = ['prog', '--n', '3']",
        "p = argparse.ArgumentParser(); _a = p.add_argument('--n', type=int)\nargs = p.parse_args()",
        "args.n, sys.argv[1:]; sys.argv = ['prog']",
        "p.parse_args().n",
        "sys.argv = before",
        own=("before",),
    ),
    scenario(
        "import by name",
        "import importlib\nname = 'frac' + 'tions'",
        "m = importlib.import_module(name)",
        "m.Fraction(1, 2), m is importlib.import_module('fractions'), __import__('math').floor(1.5)",
    ),
    scenario(
        "sys.modules is looked into",
        "import sys, string",
        "sys.modules['string'] is string",
        "sorted(n for n in ('string', 'no_such_z') if n in sys.modules)",
    ),
    scenario(
        "a module made by hand",
        "import types\nmod = types.ModuleType('handmade', 'By hand.')",
        "mod.x = [1]; mod.f = lambda: mod.x",
        "mod.x.append(2)",
        "mod.f(), mod.__doc__, mod.__name__",
    ),
    scenario(
        "a module made by hand and put into sys.modules",
        "import sys, types\nhm = types.ModuleType('farcell_handmade'); hm.n = 1; sys.modules['farcell_handmade'] = hm",
        "import farcell_handmade as again\nagain.n += 1",
        "hm.n, again is hm",
        "sys.modules.pop('farcell_handmade', None) and None",  # each side's own: docs/limits.md
    ),
    scenario(
        "a module file in a folder of its own",
        """
        import sys, pathlib
        folder = str(pathlib.Path('fc_lib').absolute()); pathlib.Path(folder).mkdir()
        pathlib.Path(folder, 'fc_tools_a.py').write_text('K = 3\\ndef scale(x): return x * K\\nclass Item:\\n    n = 0\\n')
        sys.path.insert(0, folder)
        """,
        "import fc_tools_a\nit = fc_tools_a.Item(); it.n = fc_tools_a.scale(2)",
        "it.n, type(it) is fc_tools_a.Item, isinstance(it, fc_tools_a.Item)",
        "fc_tools_a.K = 10",
        "fc_tools_a.scale(2)",
        "import shutil; shutil.rmtree(folder); sys.path.remove(folder)",
        own=("folder",),
    ),
    scenario(
        "a module file beside the notebook is changed and loaded anew",
        """
        import sys, pathlib, importlib
        src = pathlib.Path('fc_local_b.py'); _n = src.write_text('V = 1\\n')
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nimport fc_local_b",
        "fc_local_b.V",
        "src.write_text('V = 22\\nW = 3\\n'); importlib.reload(fc_local_b);",
        "fc_local_b.V, fc_local_b.W",
        "src.unlink()",
    ),
    scenario(
        "a package of one's own with a relative import",
        """
        import sys, pathlib, importlib
        pkg = pathlib.Path('fc_pkg_c'); pkg.mkdir()
        _n = (pkg / '__init__.py').write_text('from .core import go\\n')
        _n = (pkg / 'core.py').write_text('def go(x): return [x]\\n')
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nfrom fc_pkg_c import go\nimport fc_pkg_c.core as core",
        "go(1), go is core.go, go.__module__",
        "import shutil; shutil.rmtree(pkg)",
    ),
    scenario(
        "an instance of a module's class is kept across a reload",
        """
        import sys, pathlib, importlib
        src = pathlib.Path('fc_local_d.py'); _n = src.write_text('class Item:\\n    def say(self): return "old"\\n')
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nimport fc_local_d\nkept = fc_local_d.Item(); kind = fc_local_d.Item",
        "kept.say(), type(kept) is fc_local_d.Item",
        "_n = src.write_text('class Item:\\n    def say(self): return \"a newer one\"\\n')\nagain = importlib.reload(fc_local_d)",
        "again is fc_local_d, kept.say(), fc_local_d.Item().say(), type(kept) is kind, isinstance(kept, fc_local_d.Item)",
        "src.unlink()",
    ),
    scenario(
        "a function and a class imported from a module file",
        """
        import sys, pathlib, importlib
        src = pathlib.Path('fc_local_e.py')
        _n = src.write_text('seen = []\\ndef f(x):\\n    seen.append(x)\\n    return len(seen)\\nclass Box:\\n    made = 0\\n')
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nfrom fc_local_e import f, Box",
        "f('a')",
        "Box.made += 1; b = Box(); f('b')",
        "import fc_local_e as m\nm.seen, m.f is f, type(b) is m.Box, m.Box.made",
        "src.unlink()",
    ),
    scenario(
        "a module's settings are changed in place and bound anew",
        """
        import sys, pathlib, importlib
        src = pathlib.Path('fc_local_h.py')
        _n = src.write_text('DEBUG = False\\nlevels = {"a": [1]}\\ndef on(): return DEBUG, levels\\n')
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nimport fc_local_h as config\nmine = config.levels['a']",
        "config.DEBUG = True; mine.append(2)",
        "config.on(), mine is config.levels['a']",
        "config.levels = {'b': mine}; config.extra = mine",
        "config.on(), config.extra is mine",
        "del config.extra",
        "hasattr(config, 'extra'), mine",
        "src.unlink()",
    ),
    scenario(
        "a submodule under an alias, and its package's relative imports",
        """
        import sys, pathlib, importlib
        pkg = pathlib.Path('fc_pkg_i'); (pkg / 'deep').mkdir(parents=True)
        _n = (pkg / '__init__.py').write_text('')
        _n = (pkg / 'base.py').write_text('SCALE = 2\\n')
        _n = (pkg / 'deep' / '__init__.py').write_text('from ..base import SCALE\\n')
        leaf = 'from . import SCALE\\nfrom .. import base\\ndef up(x): return x * base.SCALE\\n'
        _n = (pkg / 'deep' / 'leaf.py').write_text(leaf)
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nimport fc_pkg_i.deep.leaf as leaf",
        "leaf.up(3), leaf.SCALE, leaf.__name__, leaf.__package__",
        "leaf.base.SCALE = 5",
        "leaf.up(3), leaf.SCALE, 'fc_pkg_i' in globals()",
        "import shutil; shutil.rmtree(pkg)",
    ),
    scenario(
        "an error in a module file shows its own lines",
        """
        import sys, pathlib, importlib, inspect
        src = pathlib.Path('fc_local_j.py'); _n = src.write_text('def fail(x):\\n    y = x + 1\\n    raise ValueError(y)\\n')
        if '' not in sys.path: sys.path.insert(0, '')
        """,
        "importlib.invalidate_caches()\nimport fc_local_j",
        "fc_local_j.fail(1)",
        "inspect.getsource(fc_local_j.fail), pathlib.Path(fc_local_j.__file__).name",
        "src.unlink()",
    ),
    scenario(
        "%run of a file binds its names",
        "import pathlib\n_n = pathlib.Path('fc_run.py').write_text('a = 1\\ndef f(): return a + 1\\n')",
        "%run fc_run.py",
        "a, f()",
        "%run -i fc_run.py",
        "pathlib.Path('fc_run.py').unlink(); a",
    ),
    scenario(
        "%%writefile and %load's source",
        "x = 1",
        "%%writefile fc_written.py\ny = 5",
        "exec(open('fc_written.py').read())",
        "import os; os.unlink('fc_written.py'); y",
    ),
    scenario(
        "a module's own state is asked in turn",
        "import calendar\ncalendar.setfirstweekday(6)",
        "calendar.firstweekday()",
        "calendar.setfirstweekday(0)",
        "calendar.weekheader(2)",
    ),
    scenario(
        "settings of the standard library that its functions set",
        "import csv, io, socket\nimport xml.etree.ElementTree as ET\n"
        "csv.register_dialect('bars', delimiter='|'); csv.field_size_limit(200_000); socket.setdefaulttimeout(7)",
        "rows = list(csv.reader(io.StringIO('a|b'), 'bars')); ET.register_namespace('fc', 'urn:fc')\n"
        "rows, csv.field_size_limit(), socket.getdefaulttimeout()",
        "ET.tostring(ET.Element('{urn:fc}a')), csv.field_size_limit(131072)",
        "csv.unregister_dialect('bars'); socket.setdefaulttimeout(None)",
        "'bars' in csv.list_dialects(), csv.field_size_limit(), socket.getdefaulttimeout()",
    ),
    scenario(
        "an accessor of one's own on data frames",
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})",
        "@pd.api.extensions.register_dataframe_accessor('fc')\nclass Fc:\n    def __init__(self, df): self.df = df\n"
        "    def total(self): return int(self.df.a.sum())",
        "df.fc.total()",
        "df['a'] = [5, 6]\ndf.fc.total()",
        "del pd.DataFrame.fc; pd.DataFrame._accessors.discard('fc')",
        "hasattr(df, 'fc')",
        needs=("pandas",),
    ),
    scenario(
        "an unused import is a name all the same",
        "import colorsys",
        "'colorsys' in globals()",
        "type(colorsys).__name__, colorsys.__name__",
    ),
    scenario(
        "a class of a library is subclassed and its module asked",
        "from collections import UserDict",
        "class Mine(UserDict):\n    def __missing__(self, k): return k * 2",
        "m = Mine(a=1)",
        "m['a'], m['zz'], Mine.__module__, Mine.__bases__[0] is UserDict",
    ),
    scenario(
        "annotations of the future stay on in later cells",
        "from __future__ import annotations",
        "def f(x: NoSuchType) -> int: return x",
        "f.__annotations__, f(1)",
    ),
]
