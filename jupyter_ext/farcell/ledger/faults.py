"""What can go wrong with the ledger's file, in words that name the file and the next step."""

from __future__ import annotations

import os
from enum import Enum

from ..errors import LedgerError

ELSEWHERE = "or set FARCELL_LEDGER to a file elsewhere"
_ROOM = 256 << 10


class Fault(Enum):
    """Kinds of faults; each is warned of once."""

    BUSY = "busy"
    FULL = "full"
    UNWRITABLE = "unwritable"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    FOREIGN = "foreign"
    NEWER = "newer"
    PACKAGES = "packages"
    OTHER = "other"


def busy(path: str, seconds: float) -> LedgerError:
    return LedgerError(
        Fault.BUSY,
        f"The ledger {path} is busy: another process has held it for {seconds:g} s. Try again; if it stays so, "
        f"`fuser {path}` tells which process that is.",
    )


def locked(path: str, lock: str, seconds: float) -> LedgerError:
    return LedgerError(
        Fault.BUSY,
        f"The ledger {path} is being set up by another process: its lock {lock} was not free within {seconds:g} s. Try again; "
        f"if it stays so, `fuser {lock}` tells which process that is. The lock ends with that process.",
    )


def newer(path: str, found: str, known: str) -> LedgerError:
    return LedgerError(
        Fault.NEWER,
        f"The ledger {path} was written by a newer farcell (schema {found}; this one knows up to {known}), "
        "and is only read here. Update farcell to record again.",
    )


def unknown_columns(path: str, found: str, detail: str) -> LedgerError:
    return LedgerError(
        Fault.NEWER,
        f"The ledger {path} was written by a newer farcell (schema {found}), which this one cannot read: {detail}. "
        "Update farcell.",
    )


def foreign(path: str) -> LedgerError:
    return LedgerError(
        Fault.FOREIGN, f"{path} is a database of something else, not a ledger. Set FARCELL_LEDGER to another file."
    )


def packages(error: ImportError | str) -> LedgerError:
    return LedgerError(
        Fault.PACKAGES,
        f"The ledger needs SQLAlchemy 2 and alembic, which this environment does not have: {error}. "
        "Install them here: pip install 'sqlalchemy>=2' alembic",
    )


def of_system(path: str, error: OSError) -> LedgerError:
    """A folder, a lock or the file itself could not be made."""
    reason = error.strerror or str(error)
    where = error.filename if isinstance(error.filename, str) else path
    text = f"The ledger {path} cannot be opened: {reason}" + (f" ({where})" if where != path else "")
    return LedgerError(Fault.UNWRITABLE, f"{text}. Make its folder one that can be written, {ELSEWHERE}.")


def _has_room(path: str) -> bool:
    """SQLite calls it an I/O error when the index of its write-ahead log, 32 KiB a process, finds no room."""
    try:
        status = os.statvfs(os.path.dirname(path))
    except OSError:
        return True
    return status.f_bavail * status.f_frsize >= _ROOM


def of_sqlite(path: str, error: BaseException, busy_s: float) -> LedgerError:
    """By SQLite's own words, since Python 3.10 has no error codes there."""
    words = str(error)
    if "locked" in words or "busy" in words:
        return busy(path, busy_s)
    if "full" in words or ("disk I/O" in words and not _has_room(path)):
        return LedgerError(Fault.FULL, f"There is no room for the ledger {path}: {words}. Free some space there, {ELSEWHERE}.")
    if "readonly" in words:
        return LedgerError(Fault.UNWRITABLE, f"The ledger {path} cannot be written: {words}. Make it writable, {ELSEWHERE}.")
    if "unable to open" in words:
        return LedgerError(
            Fault.UNREADABLE,
            f"The ledger {path} cannot be opened: {words}. Make it and its folder readable and writable, {ELSEWHERE}.",
        )
    if "not a database" in words or "malformed" in words:
        return LedgerError(
            Fault.DAMAGED,
            f"The ledger {path} is damaged: {words}. Move it away (with {path}-wal and {path}-journal, if they are there): "
            "a new one is begun by itself.",
        )
    return LedgerError(Fault.OTHER, f"The ledger {path} cannot be used: {words}. If it stays so, move it away, {ELSEWHERE}.")
