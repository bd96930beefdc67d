"""Each kind of ambient state in this very process: a change shows, and is put back as it was."""

from __future__ import annotations

import decimal
import logging
import os
import random
import sys
import warnings

import pytest
from farcell_host.ambient.ambient import providers
from farcell_host.ambient.environment import Environment

CHANGES = {
    "environment variables": (lambda: os.environ.__setitem__("AMBIENT_TESTED", "x"), lambda: os.environ.get("AMBIENT_TESTED")),
    "working folder": (lambda: os.chdir("/"), os.getcwd),
    "sys.path": (lambda: sys.path.insert(0, "/no/such"), lambda: sys.path.copy()),
    "interpreter": (lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 77), sys.getrecursionlimit),
    "warning filters": (lambda: warnings.filterwarnings("ignore", "odd"), lambda: warnings.filters.copy()),
    "decimal context": (lambda: setattr(decimal.getcontext(), "prec", 7), lambda: repr(decimal.getcontext())),
    "loggers": (
        lambda: logging.getLogger("ambient.tested").setLevel(33),
        lambda: logging.getLogger("ambient.tested").level,
    ),
    "random": (random.random, random.getstate),
    "random, a normal deviate": (lambda: random.gauss(0, 1), random.getstate),
    "numpy.random": (lambda: np().random.rand(), lambda: (np().random.get_state()[1].tobytes(), np().random.get_state()[2])),
    "numpy.random, a kept deviate": (lambda: np().random.randn(), lambda: np().random.get_state()[3:]),
    "numpy settings": (lambda: np().set_printoptions(precision=2), lambda: np().get_printoptions()["precision"]),
    "numpy settings, errors": (lambda: np().seterr(divide="raise"), lambda: np().geterr()),
    "pandas options": (lambda: pd().set_option("display.max_rows", 7), lambda: pd().get_option("display.max_rows")),
    "torch": (lambda: torch().rand(2), lambda: torch().get_rng_state().tolist()),
    "torch, settings": (lambda: torch().set_default_dtype(torch().float64), lambda: torch().get_default_dtype()),
    "matplotlib parameters": (lambda: mpl().rcParams.update({"lines.linewidth": 9}), lambda: mpl().rcParams["lines.linewidth"]),
}


def np():
    return pytest.importorskip("numpy", reason="optional: numpy")


def pd():
    return pytest.importorskip("pandas", reason="optional: pandas")


def torch():
    return pytest.importorskip("torch", reason="optional: torch")


def mpl():
    return pytest.importorskip("matplotlib", reason="optional: matplotlib")


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_shows_and_can_be_put_back(case):
    """And a change put into a process that lacks it has the same effect there."""
    change, look = CHANGES[case]
    look()
    np().random.rand()  # in the middle of what the generator makes at a time, where only its position moves
    (provider,) = [each for each in providers() if each.name == case.partition(",")[0]]
    assert provider.is_here
    before, stamp, all_of_it = look(), provider.stamp(), provider.take()
    assert provider.stamp() == stamp
    change()
    try:
        after = look()
        assert provider.stamp() != stamp
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
        provider.put(content)


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
