"""Makes a kernel that has run a program look as if it had not, so that one kernel serves for thousands.

Runs in the front end's kernel and in the remote one; what the kernel was like when this was first imported is what it goes
back to. Not taken back: packages that a program imported (extension modules cannot be imported twice).
"""

from __future__ import annotations

import builtins
import decimal
import gc
import linecache
import locale
import logging
import os
import random
import shutil
import sys
import warnings
from typing import Any

SEED = 1234
_GARBAGE_EVERY = 100
_resets = 0


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


class Baseline:
    """A kernel before any program."""

    def __init__(self, sandbox: str) -> None:
        shell = _shell()
        self.cwd = os.getcwd()
        if not self.cwd.startswith(os.path.join(sandbox, "")):
            raise RuntimeError(f"Files of programs are removed with all else in {self.cwd}, which is not below {sandbox}")
        self.environment = dict(os.environ)
        self.path = list(sys.path)
        self.filters = list(warnings.filters)
        self.builtins = dict(vars(builtins))
        self.namespace = dict(shell.user_ns)
        self.hidden = dict(shell.user_ns_hidden)
        self.recursion_limit = sys.getrecursionlimit()
        self.locale = locale.setlocale(locale.LC_ALL)
        root = logging.getLogger()
        loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
        self.loggers = {
            each.name: ([*each.handlers], [*each.filters], each.level, each.propagate, each.disabled) for each in loggers
        }
        self.log_levels = set(logging._levelToName)
        self.hooks = (sys.displayhook, sys.excepthook, sys.stdout, sys.stderr)
        self.magics = {kind: dict(magics) for kind, magics in shell.magics_manager.magics.items()}
        self.extensions = set(shell.extension_manager.loaded)
        self.compiler_flags = shell.compile.flags
        self.modules = frozenset(sys.modules)


_baseline: Baseline | None = None


def remember(sandbox: str) -> None:
    """Called once the kernel is as every program shall find it, in a folder of its own below `sandbox`."""
    global _baseline
    import numpy  # the same for both twins, whichever imports it

    numpy.random.seed(SEED)
    _shake_memory()
    _baseline = Baseline(sandbox)


def _shake_memory() -> None:
    """Memory is the machine's own (docs/limits.md). Two plain runs may well agree on how much of it something took, and then the
    mask would not know: so a process tells something else at each look, as of its number and the time."""
    import psutil

    tell = psutil.Process.memory_info

    def memory_info(self: psutil.Process) -> Any:
        told = tell(self)
        return told._replace(rss=told.rss + int.from_bytes(os.urandom(2), "big") * os.sysconf("SC_PAGESIZE"))

    psutil.Process.memory_info = memory_info


def notebook() -> None:
    """The front end's kernel: a namespace, `In` and `Out` as after `%load_ext farcell`, then the state around them."""
    assert _baseline is not None
    shell = _shell()
    for name in [name for name in shell.user_ns if name not in _baseline.namespace]:
        del shell.user_ns[name]
    shell.user_ns.update(_baseline.namespace)
    shell.user_ns_hidden.clear()
    shell.user_ns_hidden.update(_baseline.hidden)
    history = shell.history_manager
    history._i = history._ii = history._iii = history._i00 = ""
    history.output_hist.clear()
    for records in ("outputs", "output_hist_reprs", "exceptions"):
        getattr(history, records, {}).clear()
    shell.execution_count = 1
    ambient()


def remote() -> None:
    """The remote kernel: its names have been dropped by farcell, which the next program checks."""
    ambient()


def ambient() -> None:
    """State that both kernels have."""
    assert _baseline is not None
    global _resets
    _resets += 1
    shell = _shell()
    for lines in (shell.history_manager.input_hist_parsed, shell.history_manager.input_hist_raw):
        lines[:] = [""]
    if hasattr(shell, "prune"):  # the remote kernel's, which has its own idea of no result
        shell.prune(0)
    else:
        shell.displayhook._ = shell.displayhook.__ = shell.displayhook.___ = ""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)
    shell.compile.flags = _baseline.compiler_flags
    names = getattr(shell.compile, "_filename_map", {})
    for name in list(names):
        linecache.cache.pop(name, None)
    names.clear()
    sys.displayhook, sys.excepthook, sys.stdout, sys.stderr = _baseline.hooks
    _files()
    _modules()
    _settings(shell)
    if _resets % _GARBAGE_EVERY == 0:
        gc.collect()


def _files() -> None:
    assert _baseline is not None
    os.chdir(_baseline.cwd)
    for entry in os.scandir(_baseline.cwd):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


def _modules() -> None:
    assert _baseline is not None
    here = _baseline.cwd + os.sep
    for name, module in list(sys.modules.items()):
        # An extension module makes modules within itself, which have no spec either (jaxlib._jax).
        root = sys.modules.get(name.partition(".")[0])
        is_handmade = all(getattr(each, "__spec__", None) is None for each in (module, root)) and name not in _baseline.modules
        if is_handmade or str(getattr(module, "__file__", None) or "").startswith(here):
            del sys.modules[name]
    for name in [name for name in vars(builtins) if name not in _baseline.builtins]:
        delattr(builtins, name)
    for name, value in _baseline.builtins.items():
        if name != "_" and vars(builtins).get(name) is not value:
            setattr(builtins, name, value)


def _settings(shell: Any) -> None:
    assert _baseline is not None
    os.environ.update(_baseline.environment)
    for name in [name for name in os.environ if name not in _baseline.environment]:
        del os.environ[name]
    sys.path[:] = _baseline.path
    warnings.filters[:] = _baseline.filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]
    sys.setrecursionlimit(_baseline.recursion_limit)
    locale.setlocale(locale.LC_ALL, _baseline.locale)
    root = logging.getLogger()
    for logger in [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]:
        handlers, filters, level, logger.propagate, logger.disabled = _baseline.loggers.get(logger.name, ([], [], 0, True, False))
        logger.handlers, logger.filters = [*handlers], [*filters]
        logger.setLevel(level)
    for level in [level for level in logging._levelToName if level not in _baseline.log_levels]:
        logging._nameToLevel.pop(logging._levelToName.pop(level), None)
    logging.captureWarnings(False)
    for kind, magics in shell.magics_manager.magics.items():
        # Only what was added: a magic that IPython has loaded meanwhile is not loaded a second time.
        for name in [name for name in magics if name not in _baseline.magics[kind]]:
            del magics[name]
    shell.extension_manager.loaded &= _baseline.extensions
    decimal.setcontext(decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN, traps=decimal.DefaultContext.traps))
    random.seed(SEED)
    _packages()


def _packages() -> None:
    np, pd, plt, mpl = (sys.modules.get(name) for name in ("numpy", "pandas", "matplotlib.pyplot", "matplotlib"))
    if np is not None:
        np.random.seed(SEED)
        np.seterrcall(None)
        np.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
        np.set_printoptions(
            precision=8, threshold=1000, edgeitems=3, linewidth=75, suppress=False, nanstr="nan", infstr="inf",
            formatter=None, sign="-", floatmode="maxprec", legacy=False,
        )  # fmt: skip
    if pd is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some options are deprecated, and say so
            pd.reset_option("^(display|mode|compute)\\.")
    if plt is not None:
        plt.close("all")
    if mpl is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mpl.rcdefaults()
