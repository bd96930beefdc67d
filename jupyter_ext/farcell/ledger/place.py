"""Where the ledger is, and that nobody else can read it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

VARIABLE = "FARCELL_LEDGER"
FILE = Path("farcell") / "ledger.sqlite"


def ledger_path() -> Path | None:
    """The file that FARCELL_LEDGER names, else the one in Jupyter's data folder; None when there is to be none (/dev/null)."""
    named = os.environ.get(VARIABLE)
    path = Path(named).expanduser() if named else Path(jupyter_data_dir()) / FILE
    # Now, not when it is first used: a notebook changes its working folder.
    real = os.path.realpath(path)
    return None if real == os.devnull else Path(real)


def is_default(path: Path) -> bool:
    return str(path) == os.path.realpath(Path(jupyter_data_dir()) / FILE)


def make_folder(path: Path) -> None:
    """The ledger's folder, for this user alone. One that another has made, which FARCELL_LEDGER points into, is left as it is.

    Raises OSError.
    """
    folder = path.parent
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    elif is_default(path):
        close_to_others(folder, 0o700)


def make_file(path: Path) -> None:
    """An empty file with mode 0600, which SQLite gives its journals too, unless there is one.

    Only while the ledger's lock is held and before this process has the file open in SQLite: closing a file drops all POSIX
    locks that the process has on it (sqlite.org, "How To Corrupt An SQLite Database File", 2.2). Raises OSError.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path)) from None


def identity(path: Path) -> tuple[int, int] | None:
    """Tells the file from another one that was put in its place; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def close_to_others(path: Path, mode: int) -> None:
    """Gives it this mode, if it is ours and others may do something with it."""
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077 and status.st_uid == os.geteuid():
        # A filesystem without modes, or one mounted read-only, is no reason to record nothing.
        with contextlib.suppress(OSError):
            path.chmod(mode)
