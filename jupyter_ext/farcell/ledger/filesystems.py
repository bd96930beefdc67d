"""Which filesystem a file is on, since SQLite's write-ahead log needs memory that all its processes share: one machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")
LOCAL = frozenset(
    {
        "apfs", "bcachefs", "btrfs", "ecryptfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "jfs", "nilfs2", "overlay",
        "ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs",
    }
)  # fmt: skip
"""Those known to be local. All others count as remote (nfs4, lustre, gpfs, beegfs, cifs, fuse.sshfs, 9p, and what comes after
them): the rollback journal, which is used there, is right everywhere and only slower."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


def is_local(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `path`, which need not exist, is on a filesystem of this machine alone. False where that cannot be told."""
    kind = filesystem_of(path, mounts)
    return kind in LOCAL


def filesystem_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the mount that holds `path`, by the longest mount point above it; proc(5), "/proc/pid/mounts"."""
    try:
        lines = os.fsdecode(mounts.read_bytes()).splitlines()
    except OSError:
        return None
    real = os.path.realpath(path)
    best, kind = "", None
    for line in lines:
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = _ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), words[1])
        # The same length again: a later mount lies over an earlier one.
        if _is_above(point, real) and len(point) >= len(best):
            best, kind = point, words[2]
    return kind


def _is_above(point: str, path: str) -> bool:
    return point == "/" or path == point or path.startswith(point.rstrip("/") + "/")
