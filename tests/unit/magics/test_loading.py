"""Loading the extension in a real IPython shell: registration, completion, parsing; and on a system without Unix."""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator

import pytest
from farcell.completion import candidates
from farcell.magics import RemoteMagics, load, split_names, unload
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell of this test's own, without a history file."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    load(shell)
    yield shell
    unload(shell)
    shell.atexit_operations()
    atexit.unregister(shell.atexit_operations)


def magics(shell: InteractiveShell) -> RemoteMagics:
    found = shell.magics_manager.registry["RemoteMagics"]
    assert isinstance(found, RemoteMagics)
    return found


def test_loading_twice_registers_once(shell: InteractiveShell) -> None:
    """`%load_ext` again, or `%reload_ext`, changes nothing."""
    before = list(shell.input_transformers_cleanup)
    load(shell)
    assert shell.input_transformers_cleanup == before


def test_unloading_takes_everything_away(shell: InteractiveShell) -> None:
    """No hook and no magic stays."""
    unload(shell)
    assert "remote" not in shell.magics_manager.magics["cell"]
    assert "remote" not in shell.magics_manager.magics["line"]
    assert not [
        hook for hook in shell.input_transformers_cleanup if "farcell" in type(getattr(hook, "__self__", hook)).__module__
    ]
    load(shell)


@pytest.mark.parametrize(
    ("line", "symbol", "words"),
    [
        ("%%remote lo", "lo", {"local", "local-attach"}),
        ("%%remote ", "", {"local", "--in", "--plan"}),
        ("%%remote local --", "--", {"--in", "--out", "--keep", "--timeout", "--plan", "--yes"}),
        ("%%remote --in we", "we", {"weights"}),
        ("%remote st", "st", {"status", "stop"}),
        ("%remote on l", "l", {"local", "local-attach"}),
        ("%remote pull we", "we", {"weights"}),
        ("%remote push x --target l", "l", {"local", "local-attach"}),
    ],
)
def test_completion(shell: InteractiveShell, line: str, symbol: str, words: set[str]) -> None:
    """Targets, options, subcommands and the notebook's names, each where it may stand."""
    shell.user_ns["weights"] = 1
    assert words <= set(candidates(magics(shell), line, symbol))


def test_a_target_is_offered_once(shell: InteractiveShell) -> None:
    """After a target come options only."""
    assert not {"local", "local-attach"} & set(candidates(magics(shell), "%%remote local ", ""))


def test_names_are_split_at_commas() -> None:
    """`--in a,b --in c`."""
    assert split_names(["a,b", " c "]) == ["a", "b", "c"]
    with pytest.raises(UsageError, match="'a-b' is not a variable name"):
        split_names(["a-b"])


WITHOUT_UNIX = """
import sys, sysconfig
import asyncio
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
sysconfig.get_config_vars()
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix"):
    sys.modules[name] = None
sys.platform = "win32"
shell.run_line_magic("load_ext", "farcell")
print("loaded")
shell.run_cell_magic("remote", "", "1")
"""


def test_on_windows_the_first_use_says_what_to_do() -> None:
    """The extension loads where Unix modules are missing; a remote cell names WSL. (A stand-in: no Windows was at hand.)"""
    done = subprocess.run([sys.executable, "-c", WITHOUT_UNIX], capture_output=True, text=True, timeout=60, check=False)
    assert "loaded" in done.stdout, done.stderr
    assert "WSL" in done.stderr
    assert "Traceback" in done.stderr and "TargetUnavailable" in done.stderr
