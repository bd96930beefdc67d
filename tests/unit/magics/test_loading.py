"""Loading the extension in a real IPython shell: registration, completion, parsing; and on a system without Unix."""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator

import pytest
from farcell.completion import candidates
from farcell.errors import RemoteTraceback
from farcell.magics import RemoteMagics, load, unload
from farcell.words import split_names
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
    assert "showtraceback" not in vars(shell) or vars(shell)["showtraceback"] == shell.__class__.showtraceback.__get__(shell)
    load(shell)


def test_who_shows_errors_after_us_goes_on_to(shell: InteractiveShell) -> None:
    """Another extension's own `showtraceback`, put in front of ours, is not taken away when ours is."""
    ours = shell.showtraceback
    seen = []

    def theirs(*args: object, **kwargs: object) -> None:
        seen.append(args)
        ours(*args, **kwargs)

    shell.showtraceback = theirs  # type: ignore[method-assign]
    unload(shell)
    assert shell.showtraceback is theirs
    load(shell)
    unload(shell)
    assert shell.showtraceback is theirs


def test_an_error_of_a_remote_cell_shows_its_remote_lines_once(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a syntax error, which IPython does not ask; raised again by a local cell it shows as any other does."""
    for error in (ValueError("v"), SyntaxError("s")):
        remote = RemoteTraceback(["remote lines"], error)
        error._render_traceback_ = remote  # type: ignore[union-attr]
        shell.user_ns["error"] = error
        shell.run_cell("raise error")
        assert "remote lines" in capsys.readouterr().out and sys.last_value is error
        assert error.__traceback__ is None
        shell.run_cell("raise error")
        shown = capsys.readouterr().out
        assert "remote lines" not in shown and "raise" in shown
    error._render_traceback_ = RemoteTraceback([], error)  # type: ignore[union-attr]
    shell.run_cell("raise error")
    assert capsys.readouterr().out == ""


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
