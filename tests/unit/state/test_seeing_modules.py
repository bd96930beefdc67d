"""Modules are looked at while other threads import some."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest
from farcell_host.state.modules import Modules


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_another_thread_may_import_meanwhile(switching: None) -> None:
    """The ledger's thread imports its packages while cells run."""
    over = threading.Event()

    def imports() -> None:
        names = [f"farcell_made_for_a_test_{number}" for number in range(100)]
        for _ in range(4000):
            for name in names:
                sys.modules[name] = ModuleType(name)
            for name in names:
                del sys.modules[name]
        over.set()

    thread = threading.Thread(target=imports)
    thread.start()
    modules = Modules()
    while not over.is_set():
        modules.see_new()
    thread.join()
