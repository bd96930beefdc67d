"""What is to be copied, as it is where it comes from; and where it goes, as that is now.

Links stay links, and only those that lead to something in the same folder: nothing is read or written outside of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from typing import Any

from .partfile import CannotCopy, is_part, part_of

FILE, FOLDER, LINK = "file", "folder", "link"
MOST_NAMED = 5


@dataclass(frozen=True)
class Entry:
    """`path` is relative to the root, with `/`; that of a root which is a file is empty."""

    path: str
    kind: str
    size: int
    mode: int
    mtime_ns: int
    leads_to: str = ""
    """Of a link, relative to its own folder."""


@dataclass(frozen=True)
class Tree:
    """`root` is a whole path, `name` what it is called, `skipped` what is neither file nor folder nor link."""

    root: str
    name: str
    is_folder: bool
    entries: Sequence[Entry]
    skipped: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Tree:
        return cls(**{**fields, "entries": [Entry(**each) for each in fields["entries"]]})


def survey(path: str, exclude: Sequence[str] = ()) -> Tree:
    """The file or folder there, from the working folder on. `exclude`: globs of names, or of paths from the folder on.

    Raises CannotCopy, also for links that lead out of the folder.
    """
    given = os.path.abspath(os.path.expanduser(path))
    name = os.path.basename(given)
    root = os.path.realpath(given)
    if not os.path.exists(root):
        raise CannotCopy(f"There is no {path} in {os.getcwd()}." if not os.path.isabs(path) else f"There is no {path}.")
    if not os.path.isdir(root):
        status = os.stat(root)
        if not stat.S_ISREG(status.st_mode):
            raise CannotCopy(f"{path} is neither a file nor a folder.")
        return Tree(root, name, False, [_entry("", status)])
    entries, skipped, leading_out = [], [], []
    for found, status in _walk(root, "", [glob.rstrip("/") for glob in exclude]):
        if stat.S_ISDIR(status.st_mode):
            entries.append(_entry(found, status, FOLDER))
        elif stat.S_ISREG(status.st_mode):
            entries.append(_entry(found, status))
        elif stat.S_ISLNK(status.st_mode):
            leads_to = _within(root, found)
            if leads_to is None:
                leading_out.append(f"{found} (to {os.readlink(os.path.join(root, found))})")
            else:
                entries.append(Entry(found, LINK, 0, 0, 0, leads_to))
        else:
            skipped.append(found)
    if leading_out:
        raise CannotCopy(f"Links in {root} lead out of it: {named(leading_out)}. --exclude leaves them out.")
    return Tree(root, name, True, entries, skipped)


def place(path: str | None, tree: Tree) -> dict[str, Any]:
    """Where a tree goes, named from the working folder on, by default as it is called: `{root, free, there}`.

    `there`: by path, what is in an entry's place, `{place, exists, size, mtime_ns, part, leads_to}`; `free`: bytes on the disk.
    A file goes into a folder that is there, and anything into one whose path ends with `/`. Raises CannotCopy.
    """
    given = os.path.expanduser(path) if path else tree.name
    if path and (given.endswith("/") or (not tree.is_folder and os.path.isdir(given))):
        given = os.path.join(given, tree.name)
    root = os.path.realpath(given)
    if os.path.exists(root) and os.path.isdir(root) != tree.is_folder:
        raise CannotCopy(f"{root} is {'a file' if tree.is_folder else 'a folder'} already. Remove it, or name another place.")
    seen: dict[str, str] = {}
    there = {entry.path: _state(root, entry, seen) for entry in tree.entries}
    disk = os.statvfs(_nearest(root))
    return {"root": root, "free": disk.f_bavail * disk.f_frsize, "there": there}


def named(names: Sequence[str]) -> str:
    """The first few of them."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _walk(root: str, below: str, exclude: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(os.path.join(root, below)) as found:
        for each in sorted(found, key=lambda each: each.name):
            path = f"{below}/{each.name}" if below else each.name
            if is_part(each.name) or any(fnmatch(path, glob) or fnmatch(each.name, glob) for glob in exclude):
                continue
            try:
                path.encode()
            except UnicodeEncodeError:
                raise CannotCopy(f"{path!r} in {root} is not UTF-8: rename it, or --exclude it.") from None
            status = each.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(root, path, exclude)


def _entry(path: str, status: os.stat_result, kind: str = FILE) -> Entry:
    size = status.st_size if kind == FILE else 0
    return Entry(path, kind, size, status.st_mode & 0o777, status.st_mtime_ns)


def _within(root: str, path: str) -> str | None:
    """Where the link leads, from its own folder on; None when that is not below the root."""
    full = os.path.join(root, path)
    folder = os.path.dirname(full)
    direct = os.path.normpath(os.path.join(folder, os.readlink(full)))
    if not (_is_below(direct, root) and _is_below(os.path.realpath(full), root)):
        return None
    return os.path.relpath(direct, folder)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _state(root: str, entry: Entry, seen: dict[str, str]) -> dict[str, Any]:
    parts = entry.path.split("/") if entry.path else []
    if ".." in parts or "" in parts or entry.path.startswith("/"):
        raise CannotCopy(f"{entry.path!r} is no path below a folder.")
    full = os.path.join(root, entry.path) if parts else root
    folder = os.path.dirname(full)
    if folder not in seen:
        seen[folder] = os.path.realpath(folder)
    final = os.path.join(seen[folder], os.path.basename(full))
    if entry.kind == LINK:
        leads_to = os.path.normpath(os.path.join(os.path.dirname(full), entry.leads_to))
        if not _is_below(leads_to, root):
            raise CannotCopy(f"{entry.path} is a link that leads out of {root}, to {entry.leads_to}.")
    elif os.path.islink(final):
        final = os.path.realpath(final)
    if parts and not _is_below(final, root):
        raise CannotCopy(f"{entry.path} would be written outside of {root}: a link there leads to {final}. Remove the link.")
    try:
        status = os.lstat(final)
    except OSError:
        return {"place": final, "exists": False, "part": entry.kind == FILE and os.path.exists(part_of(final))}
    kind = FOLDER if stat.S_ISDIR(status.st_mode) else LINK if stat.S_ISLNK(status.st_mode) else FILE
    if kind != entry.kind and FOLDER in (kind, entry.kind):
        raise CannotCopy(f"{final} is a {kind} there, and a {entry.kind} here. Remove it, or --exclude it.")
    return {
        "place": final,
        "exists": True,
        "size": status.st_size if kind == FILE else -1,
        "mtime_ns": status.st_mtime_ns,
        "part": os.path.exists(part_of(final)),
        "leads_to": os.readlink(final) if kind == LINK else "",
    }


def _nearest(path: str) -> str:
    """The folder that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def needed_room(files: Iterable[tuple[int, int]]) -> int:
    """Bytes that must be free at once, for files written one after the other, each beside its place: (new size, old size)."""
    used = most = 0
    for size, before in files:
        most = max(most, used + size)
        used += size - before
    return most
