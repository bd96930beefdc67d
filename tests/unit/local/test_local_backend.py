"""The local backend when the host cannot start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from farcell.backends.base import LaunchOptions
from farcell.backends.local import LocalBackend
from farcell.errors import TargetUnavailable


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A target's `cwd` that does not exist is told by target and path."""
    options = LaunchOptions(target="mine", cwd=str(tmp_path / "gone"))
    with pytest.raises(TargetUnavailable, match=r"'mine' did not start: .*No such file or directory: .*gone"):
        asyncio.run(LocalBackend().launch(options))


def test_a_python_that_is_not_there(tmp_path: Path) -> None:
    """A target's `python` that does not exist is told by target and path; nothing is left running."""
    options = LaunchOptions(target="mine", python=str(tmp_path / "python"))
    with pytest.raises(TargetUnavailable, match=r"(?s)'mine' did not start \(exit code 1\).*No such file or directory: .*python"):
        asyncio.run(LocalBackend().launch(options))
