"""Each kind of ambient state in this very process: a change shows, and is put back as it was."""

from __future__ import annotations

import atexit
import decimal
import locale
import logging
import os
import random
import sys
import warnings

import pytest
from farcell_host.ambient import memory
from farcell_host.ambient.ambient import providers
from farcell_host.ambient.environment import Environment
from farcell_host.ambient.loggers import Loggers
from farcell_host.ambient.matplotlib_parameters import MatplotlibParameters
from farcell_host.ambient.search_path import SearchPath
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

CHANGES = {
    "environment variables": (lambda: os.environ.__setitem__("AMBIENT_TESTED", "x"), lambda: os.environ.get("AMBIENT_TESTED")),
    "working folder": (lambda: os.chdir("/"), os.getcwd),
    "sys.path": (lambda: sys.path.insert(0, "/no/such"), lambda: sys.path.copy()),
    "interpreter": (lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 77), sys.getrecursionlimit),
    "warning filters": (lambda: warnings.filterwarnings("ignore", "odd"), lambda: warnings.filters.copy()),
    "decimal context": (lambda: setattr(decimal.getcontext(), "prec", 7), lambda: repr(decimal.getcontext())),
    "loggers": (lambda: logger().setLevel(33), lambda: logger().level),
    "loggers, handing on": (lambda: setattr(logger(), "propagate", False), lambda: logger().propagate),
    "loggers, all disabled": (lambda: logging.disable(logging.INFO), lambda: logging.root.manager.disable),
    "loggers, a level's name": (lambda: logging.addLevelName(30, "ODD"), lambda: logging.getLevelName(30)),
    "random": (random.random, random.getstate),
    "random, a normal deviate": (lambda: random.gauss(0, 1), random.getstate),
    "numpy.random": (lambda: np().random.rand(), lambda: (np().random.get_state()[1].tobytes(), np().random.get_state()[2])),
    "numpy.random, a kept deviate": (lambda: np().random.randn(), lambda: np().random.get_state()[3:]),
    "numpy settings": (lambda: np().set_printoptions(precision=2), lambda: np().get_printoptions()["precision"]),
    "numpy settings, errors": (lambda: np().seterr(divide="raise"), lambda: np().geterr()),
    "pandas options": (lambda: pd().set_option("display.max_rows", 7), lambda: pd().get_option("display.max_rows")),
    "torch": (lambda: torch().rand(2), lambda: torch().get_rng_state().tolist()),
    "torch, kept deviate": (lambda: torch().randn(1), lambda: torch().get_rng_state().tolist()),
    "torch, settings": (lambda: torch().set_default_dtype(torch().float64), lambda: torch().get_default_dtype()),
    "torch, gradients": (lambda: torch().set_grad_enabled(False), lambda: torch().is_grad_enabled()),
    "torch, threads": (lambda: torch().set_num_threads(1 + torch().get_num_threads()), lambda: torch().get_num_threads()),
    "torch, printing": (lambda: torch().set_printoptions(precision=2), lambda: torch()._tensor_str.PRINT_OPTS.precision),
    "torch, cudnn": (
        lambda: setattr(torch().backends.cudnn, "benchmark", not torch().backends.cudnn.benchmark),
        lambda: torch().backends.cudnn.benchmark,
    ),
    "matplotlib parameters": (lambda: mpl().rcParams.update({"lines.linewidth": 9}), lambda: mpl().rcParams["lines.linewidth"]),
    "matplotlib parameters, backend": (lambda: mpl().use("svg"), lambda: mpl().get_backend()),
    "jax settings": (lambda: jax().config.update("jax_debug_nans", True), lambda: jax().config.jax_debug_nans),
    "jax settings, a choice": (
        lambda: jax().config.update("jax_numpy_rank_promotion", "raise"),
        lambda: jax().config.jax_numpy_rank_promotion,
    ),
    "IPython settings": (lambda: setattr(shell(), "automagic", False), lambda: shell().automagic),
    "IPython settings, precision": (lambda: shell().run_line_magic("precision", "3"), lambda: floats()),
    "IPython settings, xmode": (lambda: shell().InteractiveTB.set_mode("Plain"), lambda: shell().InteractiveTB.mode),
    "locale": (lambda: locale.setlocale(locale.LC_ALL, "C"), lambda: locale.setlocale(locale.LC_ALL)),
}


def logger():
    return logging.getLogger("ambient.tested")


def np():
    return pytest.importorskip("numpy", reason="optional: numpy")


def pd():
    return pytest.importorskip("pandas", reason="optional: pandas")


def torch():
    return pytest.importorskip("torch", reason="optional: torch")


def jax():
    return pytest.importorskip("jax", reason="optional: jax")


def shell():
    return InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))


@pytest.fixture(scope="module", autouse=True)
def without_shell():
    """What a test has made is gone afterwards."""
    yield
    if InteractiveShell.initialized():
        shell().atexit_operations()
        atexit.unregister(shell().atexit_operations)
        InteractiveShell.clear_instance()


def floats():
    return shell().display_formatter.formatters["text/plain"].float_format


def mpl():
    found = pytest.importorskip("matplotlib", reason="optional: matplotlib")
    found.get_backend()  # chosen now, if it has not been before
    return found


@pytest.mark.parametrize("reads_memory", [True, False])
@pytest.mark.parametrize("case", CHANGES)
def test_a_change_shows_and_can_be_put_back(case, reads_memory, monkeypatch):
    """Also where the interpreter's memory does not tell. Put into a process that lacks it, it has the same effect there."""
    if not reads_memory:
        monkeypatch.setattr(memory, "_SHOWS_DICTS", False)
        monkeypatch.setattr(memory, "_SHOWS_ATTRIBUTES", False)
    change, look = CHANGES[case]
    look()
    np().random.rand()  # in the middle of what the generator makes at a time, where only its position moves
    (provider,) = [each for each in providers() if each.name == case.partition(",")[0]]
    assert provider.is_here
    before, stamp, all_of_it, watch = look(), provider.stamp(), provider.take(), provider.watch().see()
    assert provider.stamp() == stamp and watch.is_same
    change()
    try:
        after = look()
        assert provider.stamp() != stamp and not watch.is_same
        told = provider.take_since(stamp)
        undo = provider.take_under(told)
    finally:
        _put_back(provider, stamp, all_of_it)
    assert look() == before and provider.stamp() == stamp
    provider.put(told)
    assert look() == after
    _put_back(provider, stamp, all_of_it)
    provider.put(undo)
    assert look() == after
    _put_back(provider, stamp, all_of_it)


def _put_back(provider, stamp, content):
    """As the other side would tell it that had kept the state before."""
    if provider.name == "environment variables":
        os.environ.pop("AMBIENT_TESTED", None)
    elif provider.name == "sys.path":
        provider.put({"all": stamp})
    else:
        provider.put(stamp if provider.name == "torch" else content)


def test_a_list_of_matplotlibs_that_is_changed_in_place():
    """As many do with the fonts."""
    mpl()
    provider = MatplotlibParameters()
    fonts = mpl().rcParams["font.serif"]
    stamp, watch = provider.stamp(), provider.watch().see()
    fonts.insert(0, "Odd")
    try:
        assert provider.stamp() != stamp and not watch.is_same
        told = provider.take_since(stamp)
        assert told["font.serif"][0] == "Odd"
    finally:
        fonts.remove("Odd")
    assert provider.stamp() == stamp


@pytest.fixture
def tested():
    """A logger, as it is before and after."""
    yield logger()
    logger().handlers.clear()
    logger().filters.clear()


def lists():
    found = Loggers()
    found.watch()
    return {name for name in found.lists if "ambient." in name}


def test_handlers_and_filters_of_loggers_are_found(tested):
    """Whatever puts them there or takes them away."""
    loggers = Loggers()
    for change in (
        lambda: tested.addHandler(logging.StreamHandler()),
        lambda: tested.handlers.__setitem__(0, logging.NullHandler()),
        lambda: tested.addFilter(logging.Filter("x")),
        lambda: setattr(tested, "handlers", [logging.StreamHandler()]),
        lambda: tested.handlers.clear(),
        lambda: tested.addHandler(logging.NullHandler()),
    ):
        watch = loggers.watch().see()
        assert watch.is_same
        change()
        assert not watch.is_same
    assert lists() == {"<handlers ambient.tested>", "<filters ambient.tested>"}


def test_handlers_of_a_packages_class_stay_and_are_named_once(tested, caplog):
    """The other side may not have it."""

    class Own(logging.Handler):
        __module__ = "a_package"

        def __repr__(self):
            return "<Own>"

    tested.addHandler(Own())
    loggers = Loggers()
    for _ in range(2):
        loggers.watch()
        assert "<handlers ambient.tested>" not in loggers.lists
    assert [each.message for each in caplog.records if tested.name in each.message] == [
        "All handlers of logger ambient.tested stay on their side: <Own> cannot travel"
    ]


def test_handlers_of_a_package_are_its_own(tested, monkeypatch):
    """It makes them where it is imported."""
    tested.addHandler(logging.StreamHandler())
    assert lists() == {"<handlers ambient.tested>"}
    monkeypatch.setitem(sys.modules, "ambient", logging)
    assert lists() == set()


def test_the_order_of_the_search_path(monkeypatch):
    """Of what the notebook has put there: the interpreter's own entries lie in another order on another machine."""
    here, there = SearchPath(), SearchPath()
    monkeypatch.setattr(sys, "path", ["/no/one", "/no/two", *sys.path])
    stamp, watch = here.stamp(), here.watch().see()
    sys.path[:2] = ["/no/two", "/no/one"]
    assert not watch.is_same
    told = here.take_since(stamp)
    sys.path[:] = ["/own/of/the/peer", *stamp]
    there.put(told)
    assert sys.path == ["/own/of/the/peer", "/no/two", "/no/one", *stamp[2:]]


def test_credentials_stay(monkeypatch):
    """No variable that may hold a secret ever leaves the notebook, nor what describes this machine."""
    environment = Environment(started_with={"PATH": "/bin", "GONE": "1", "API_KEY": "old"})
    for name in list(os.environ):
        monkeypatch.delenv(name)
    secrets = (
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "OPENAI_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SSH_AUTH_SOCK",
    )
    for name in (*secrets, "JPY_SESSION_NAME", "HOME", "PWD", "PATH", "LD_LIBRARY_PATH", "CONDA_PREFIX"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert environment.take() == {"CUDA_VISIBLE_DEVICES": "0", "GONE": None}
    environment.put({"HF_TOKEN": "stolen"})
    assert os.environ["HF_TOKEN"] == "x"
