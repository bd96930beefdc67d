"""State around the notebook's names that one cell sets and the next one goes by: seeds, settings, the working folder."""

from __future__ import annotations

from transparency.scenario import Scenario, scenario

SCENARIOS: list[Scenario] = [
    scenario(
        "random goes on after a seed",
        "import random\nrandom.seed(7)",
        "a = [random.random() for _ in range(2)]",
        "b = random.randint(1, 1000)",
        "a, b, random.choice('abcdef')",
    ),
    scenario(
        "random used by a function of an earlier cell",
        "import random\ndef roll(): return random.randint(1, 1000)\nrandom.seed(1)",
        "a = roll()",
        "random.shuffle(xs := list(range(8)))",
        "a, xs, roll()",
    ),
    scenario(
        "random's state is taken and given back",
        "import random\nrandom.seed(3); state = random.getstate()",
        "a = random.random()",
        "random.setstate(state)",
        "random.random() == a",
    ),
    scenario(
        "numpy's old random goes on after a seed",
        "import numpy as np\nnp.random.seed(7)",
        "a = np.random.rand(3)",
        "b = np.random.randint(0, 100, 4)",
        "a, b, np.random.normal()",
        needs=("numpy",),
    ),
    scenario(
        "numpy's state is taken and given back",
        "import numpy as np\nnp.random.seed(5); state = np.random.get_state()",
        "a = np.random.permutation(6)",
        "np.random.set_state(state)",
        "(np.random.permutation(6) == a).all()",
        needs=("numpy",),
    ),
    scenario(
        "a numpy generator of one's own goes on",
        "import numpy as np\nrng = np.random.default_rng(1); same = rng",
        "a = rng.integers(0, 100, 3)",
        "b = same.random()",
        "a, b, same is rng, rng.choice(10)",
        needs=("numpy",),
    ),
    scenario(
        "an environment variable is set, read and taken away",
        "import os\nos.environ['AMBIENT_T'] = 'one'",
        "os.environ['AMBIENT_T'], os.getenv('AMBIENT_NONE', 'd')",
        "os.environ['AMBIENT_T'] += '+'",
        "os.getenv('AMBIENT_T')",
        "del os.environ['AMBIENT_T']",
        "os.getenv('AMBIENT_T')",
    ),
    scenario(
        "an environment variable reaches a command",
        "import os\nos.environ['AMBIENT_W'] = 'word'",
        '!echo "$AMBIENT_W"',
        "%env AMBIENT_W=other",
        '!echo "$AMBIENT_W"',
        "_u = os.environ.pop('AMBIENT_W')",
    ),
    scenario(
        "the working folder is changed",
        "import os, pathlib\nstart = os.getcwd(); os.makedirs('sub', exist_ok=True)",
        "os.chdir('sub')",
        "here = pathlib.Path.cwd().name",
        "os.chdir(start); os.rmdir('sub')",
        "here, os.path.exists('sub'), os.getcwd() == start",
        own=("start",),
    ),
    scenario(
        "%cd and %pwd",
        "import os; os.mkdir('inner'); start = os.getcwd()",
        "%cd -q inner",
        "os.path.basename(os.getcwd())",
        "%cd -q ..",
        "os.rmdir('inner'); os.getcwd() == start",
        own=("start",),
    ),
    scenario(
        "a file written in one cell is read in another by its relative path",
        "name = 'note.txt'",
        "with open(name, 'w') as f: f.write('one\\n')\ndel f",
        "with open(name, 'a') as f: f.write('two\\n')\ndel f",
        "with open(name) as f: text = f.read()\ndel f",
        "import os; os.unlink(name); text",
    ),
    scenario(
        "a warnings filter stays",
        "import warnings\nwarnings.simplefilter('ignore')",
        "warnings.warn('unseen'); n = 1",
        "warnings.filters[0][0]",
        "warnings.resetwarnings(); warnings.simplefilter('always')",
        "warnings.warn('seen')",
    ),
    scenario(
        "a warnings filter makes errors",
        "import warnings\nwarnings.filterwarnings('error', message='bad')",
        "warnings.warn('bad thing')",
        "warnings.filters.pop(0)[0]",
        "n = 1",
    ),
    scenario(
        "the decimal context stays",
        "from decimal import Decimal, getcontext, localcontext\ngetcontext().prec = 5",
        "a = Decimal(1) / 3",
        "with localcontext() as c: c.prec = 2; b = Decimal(1) / 3\ndel c",
        "a, b, Decimal(2) / 3, getcontext().prec",
    ),
    scenario(
        "the decimal context's rounding and traps",
        "import decimal\nfrom decimal import Decimal as D\ndecimal.getcontext().rounding = decimal.ROUND_UP",
        "D('1.21').quantize(D('0.1'))",
        "decimal.getcontext().traps[decimal.DivisionByZero] = False",
        "D(1) / 0",
    ),
    scenario(
        "np.seterr stays",
        "import numpy as np\nold = np.seterr(divide='ignore')",
        "np.array([1.0]) / 0",
        "_o = np.seterr(divide='raise')",
        "np.array([1.0]) / 0",
        "np.geterr()['divide'], old['divide']",
        needs=("numpy",),
    ),
    scenario(
        "np.errstate is for its cell",
        "import numpy as np\na = np.array([0.0])",
        "with np.errstate(all='ignore'): b = 1 / a",
        "b, np.geterr()['divide']",
        needs=("numpy",),
    ),
    scenario(
        "numpy's print options stay",
        "import numpy as np\nnp.set_printoptions(precision=2, suppress=True)",
        "np.array([1.23456, 1e-9])",
        "np.set_printoptions(threshold=4)",
        "np.arange(50)",
        "np.get_printoptions()['precision']",
        needs=("numpy",),
    ),
    scenario(
        "pandas options stay",
        "import pandas as pd\npd.set_option('display.max_rows', 4); pd.options.display.precision = 2",
        "df = pd.DataFrame({'a': [i / 3 for i in range(10)]})",
        "df",
        "pd.reset_option('display.max_rows')",
        "pd.get_option('display.max_rows'), pd.options.display.precision",
        needs=("pandas",),
    ),
    scenario(
        "a pandas option_context is for its cell",
        "import pandas as pd\ns = pd.Series([1.23456])",
        "with pd.option_context('display.precision', 1): print(s)",
        "s",
        needs=("pandas",),
    ),
    scenario(
        "the recursion limit stays",
        "import sys\nwas = sys.getrecursionlimit(); sys.setrecursionlimit(was + 500)",
        "sys.getrecursionlimit() - was",
        "sys.setrecursionlimit(was)",
        "sys.getrecursionlimit() == was",
    ),
    scenario(
        "sys.path is extended",
        "import sys\nsys.path.insert(0, '/no/such/folder')",
        "'/no/such/folder' in sys.path, sys.path[0]",
        "sys.path.remove('/no/such/folder')",
        "'/no/such/folder' in sys.path",
    ),
    scenario(
        "sys.argv and sys.flags",
        "import sys\nwas = list(sys.argv)",
        "sys.argv[:] = ['prog', '-x']",
        "seen = sys.argv[1:]",
        "sys.argv[:] = was",
        "seen",
        own=("was",),
    ),
    scenario(
        "a logger's level and handlers",
        "import logging\nlog = logging.getLogger('plant.ambient'); log.setLevel(logging.INFO)",
        "log.isEnabledFor(logging.INFO)",
        "logging.disable(logging.INFO)",
        "log.isEnabledFor(logging.INFO)",
        "logging.disable(logging.NOTSET); log.setLevel(logging.NOTSET)",
    ),
    scenario(
        "logging is set up, and goes to the cell's stdout",
        "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level=logging.INFO, format='%(levelname)s:%(message)s')",
        "logging.info('one')\nlogging.debug('unseen')",
        "logging.getLogger().setLevel(logging.DEBUG)\nlogging.getLogger().handlers[0].setFormatter(logging.Formatter('(%(message)s)'))",
        "logging.debug('two'); len(logging.getLogger().handlers)",
        "logging.basicConfig(level=logging.ERROR, force=True)\nlogging.warning('unseen'); logging.error('three')",
    ),
    scenario(
        "a logger that keeps to itself",
        """
        import logging, sys
        log = logging.getLogger('plant.own'); log.propagate = False
        log.addHandler(logging.StreamHandler(sys.stdout))
        """,
        "log.warning('one')",
        "log.disabled = True",
        "log.warning('unseen')",
        "log.disabled = False; log.addFilter(lambda record: 'no' not in record.getMessage())",
        "log.warning('no'); log.warning('yes')",
        "while log.handlers: log.removeHandler(log.handlers[0])\nlog.warning('unseen')",
    ),
    scenario(
        "a log file is written by cells in turn",
        "import logging\nlogging.basicConfig(filename='turn.log', filemode='w', level=logging.INFO, format='%(message)s')",
        "logging.info('one')",
        "logging.info('two')",
        "logging.info('three')",
        "open('turn.log').read()",
        "logging.shutdown(); logging.getLogger().handlers.clear()",
    ),
    scenario(
        "a handler of the notebook's own collects what cells log",
        """
        import logging
        class Kept(logging.Handler):
            def __init__(self):
                super().__init__()
                self.seen = []
            def emit(self, record):
                self.seen.append(record.getMessage())
        kept = Kept(); log = logging.getLogger('plant.kept'); log.addHandler(kept); log.propagate = False
        """,
        "log.warning('one')",
        "kept.seen",
        "kept.setLevel(logging.ERROR)",
        "log.warning('unseen'); log.error('two')",
        "kept.seen, log.handlers[0] is kept",
        "log.removeHandler(kept)",
    ),
    scenario(
        "a level of one's own",
        "import logging\nlogging.addLevelName(25, 'NOTICE')",
        "logging.getLevelName(25), logging.getLevelName('NOTICE')",
        "logging.getLogger().log(35, 'shown'); logging.addLevelName(35, 'ODD')",
        "logging.getLogger().log(35, 'shown'); logging.getLevelName(35)",
    ),
    scenario(
        "warnings are captured by logging",
        """
        import logging, sys, warnings
        logging.captureWarnings(True); logging.basicConfig(stream=sys.stdout, format='%(name)s', force=True)
        """,
        "warnings.warn('w')",
        "logging.captureWarnings(False); logging.getLogger().handlers.clear()",
        "warnings.warn('v')",
    ),
    scenario(
        "numpy calls back for errors",
        """
        import numpy as np
        seen = []
        def note(kind, flag): seen.append((kind, flag))
        was = np.seterrcall(note); old = np.seterr(divide='call')
        """,
        "a = np.array([1.0]) / 0",
        "seen, np.geterrcall().__name__",
        "_o = np.seterrcall(None), np.seterr(**old)",
        "np.geterrcall()",
        needs=("numpy",),
        own=("note (identity)",),  # docs/limits.md: which variable's function it is
    ),
    scenario(
        "sys.path is put in another order",
        "import sys\nwas = list(sys.path); sys.path.insert(0, '/no/one'); sys.path.insert(0, '/no/two')",
        "sys.path[:2]",
        "sys.path.insert(0, sys.path.pop(1))",
        "sys.path[:2]",
        "sys.path.append('/no/three'); sys.path.remove('/no/two')",
        "sys.path[0], sys.path[-1]",
        "sys.path[:] = [each for each in sys.path if not each.startswith('/no/')]",
        own=("was",),
    ),
    scenario(
        "matplotlib's backend is chosen",
        "import matplotlib as mpl\nwas = mpl.get_backend(); mpl.use('svg')",
        "mpl.get_backend()",
        "import matplotlib.pyplot as plt\nplt.switch_backend('pdf')",
        "mpl.get_backend(), plt.get_backend()",
        "mpl.use(was)",
        needs=("matplotlib",),
    ),
    scenario(
        "matplotlib's fonts are added to in place",
        "import matplotlib as mpl\nmpl.rcParams['font.serif'].insert(0, 'Odd')",
        "mpl.rcParams['font.serif'][0]",
        "mpl.rcParams['font.serif'].remove('Odd')",
        "mpl.rcParams['font.serif'][0] == 'Odd'",
        needs=("matplotlib",),
    ),
    scenario(
        "options of %config",
        "%config PlainTextFormatter.pprint = False",
        "{'key': list(range(40)), 'other': list(range(40))}",
        "%config PlainTextFormatter.pprint = True\n%config InteractiveShell.automagic = False",
        "get_ipython().automagic, {'key': list(range(40)), 'other': list(range(40))}",
        "%config InteractiveShell.automagic = True",
        "get_ipython().automagic",
    ),
    scenario(
        "json's and locale's defaults are as they were",
        "import locale, json",
        "json.dumps({'ü': 1}), locale.str(1.5)",
        "locale.setlocale(locale.LC_NUMERIC, 'C')",
        "locale.localeconv()['decimal_point']",
    ),
    scenario(
        "an int's longest text",
        "import sys\nwas = sys.get_int_max_str_digits()",
        "sys.set_int_max_str_digits(0)",
        "len(str(10 ** 5000))",
        "sys.set_int_max_str_digits(was)",
        "str(10 ** 5000)",
    ),
    scenario(
        "a context variable made, set and forgotten in one cell",
        "import contextvars",
        """
        var = contextvars.ContextVar('var', default='d')
        inside = contextvars.copy_context().run(lambda: (var.set('x'), var.get())[1]); outside = var.get(); del var
        """,
        "inside, outside",
    ),
    scenario(
        "matplotlib's parameters stay",
        "import matplotlib as mpl\nmpl.use('agg'); mpl.rcParams['lines.linewidth'] = 4",
        "mpl.rcParams['lines.linewidth']",
        "with mpl.rc_context({'lines.linewidth': 9}): inside = mpl.rcParams['lines.linewidth']",
        "inside, mpl.rcParams['lines.linewidth']",
        "mpl.rcdefaults(); mpl.rcParams['lines.linewidth']",
        needs=("matplotlib",),
    ),
    scenario(
        "%precision and %xmode stay",
        "%precision 3",
        "3.14159265",
        "%xmode Minimal",
        "1 / 0",
        "%precision 5",
        "3.14159265",
        "%xmode Context\n%precision",
        "3.14159265",
    ),
    scenario(
        "every expression of a cell is shown when that is asked for",
        "%config InteractiveShell.ast_node_interactivity = 'all'",
        "1\n2",
        "%config InteractiveShell.ast_node_interactivity = 'last_expr'",
        "1\n2",
        own=("___",),
    ),
    scenario(
        "a magic of the notebook's own",
        """
        from IPython.core.magic import register_line_magic
        log = []
        @register_line_magic
        def hello(line):
            log.append(line)
            return line.upper()
        del hello
        """,
        "%hello you",
        "shout = %hello me",
        "log, shout",
    ),
    scenario(
        "a cell magic of the notebook's own runs its cell",
        """
        from IPython.core.magic import register_cell_magic
        @register_cell_magic
        def twice(line, cell): get_ipython().run_cell(cell * 2)
        """,
        "n = 1",
        "%%twice\nn += 1",
        "n",
    ),
    scenario(
        "a magic counts in its closure",
        """
        def make():
            n = 0
            def count(line):
                nonlocal n
                n += 1
                return n
            return count
        get_ipython().register_magic_function(make(), magic_name='count')
        """,
        "%count",
        "%count",
        "a = %count\na",
    ),
    scenario(
        "a magic is replaced and taken away",
        "ip = get_ipython(); ip.register_magic_function(lambda line: 1, magic_name='one')",
        "%one",
        "ip.register_magic_function(lambda line: 2, magic_name='one')",
        "%one",
        "del ip.magics_manager.magics['line']['one']",
        "%one",
        "del ip",
    ),
    scenario(
        "a magic covers one of IPython's",
        "get_ipython().register_magic_function(lambda line: 'here', magic_name='pwd')",
        "%pwd",
        "del get_ipython().magics_manager.magics['line']['pwd']",
    ),
    scenario(
        "a magic that a function runs by a computed name",
        "get_ipython().register_magic_function(lambda line: line[::-1], magic_name='turn')",
        "def run(name, line): return get_ipython().run_line_magic(name, line)",
        "run('tu' + 'rn', 'abc')",
        "run('tu' + 'rned', 'abc')",
    ),
    scenario(
        "magics of a class, with an instance's state",
        """
        from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class
        @magics_class
        class Words(Magics):
            def __init__(self, shell, words):
                super().__init__(shell)
                self.words = words
            @line_magic
            def word(self, line):
                self.words.append(line)
                return len(self.words)
            @line_cell_magic
            def both(self, line, cell=None):
                return line, cell
        words = []
        get_ipython().register_magics(Words(get_ipython(), words))
        """,
        "%word a",
        "%both b",
        "%%both c\nd",
        "words, _",
        "%word e\nwords",
    ),
    scenario(
        "a magic that holds an open file",
        """
        %%local
        log = open('magic.log', 'w')
        get_ipython().register_magic_function(lambda line, log=log: log.name, magic_name='logged')
        """,
        "%logged",
        refuses="%logged.__defaults__[0]: an open file",
    ),
    scenario(
        "an alias of the shell",
        "%alias say echo so %s and %s",
        "%say this that",
        "%alias say echo other",
        "%say",
        "%unalias say",
        "%say",
    ),
    scenario(
        "another name for a magic",
        "%alias_magic digits precision",
        "%digits 3",
        "x = 1 / 3\n%digits 4",
        "x",
        "%digits",
    ),
    scenario(
        "an extension that lies beside the notebook",
        """
        from pathlib import Path
        _n = Path('ambient_counting.py').write_text('''
        from IPython.core.magic import Magics, line_magic, magics_class

        @magics_class
        class Counting(Magics):
            n = 0

            @line_magic
            def counted(self, line):
                Counting.n += 1
                return Counting.n

        def load_ipython_extension(ip):
            print('loading')
            ip.register_magics(Counting)
        '''.replace('\\n        ', '\\n'))
        import importlib; importlib.invalidate_caches()
        """,
        "%load_ext ambient_counting",
        "%counted",
        "a = %counted",
        "%load_ext ambient_counting",
        "%counted\na",
    ),
    scenario(
        "an extension of IPython's",
        "%load_ext autoreload",
        "%autoreload 0\nx = 1",
        "x\n%autoreload 0",
    ),
    scenario(
        "the shell by a name",
        "ip = get_ipython(); same = ip",
        "ip is get_ipython(), same is ip, [ip][0].user_ns is globals()",
        "held = {'shell': ip}",
        "held['shell'] is ip; del ip, same, held",
    ),
]
