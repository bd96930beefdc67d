"""Files beside the notebook: those that a cell's text names, and those that go along when they are asked for (`--files`)."""

from __future__ import annotations

import ast
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from farcell_host.filetree import FILE, Entry

from .backends.base import LaunchOptions
from .capture.reads import PYTHON_MAGICS
from .errors import UsageError

_READS_A_FILE = re.compile(r"(?:open|read|load|scan|from|gen|imread|parse)\w*|Path|File|memmap")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*\n")


def file_at(path: str) -> Entry:
    """One of the notebook's folder."""
    status = os.stat(path)
    return Entry(Path(path).as_posix(), FILE, status.st_size, status.st_mode & 0o777, status.st_mtime_ns)


def matching(patterns: Iterable[str]) -> list[Entry]:
    """The files that these names and globs mean, a folder with all that is in it; raises UsageError for one that means none."""
    found: dict[str, Entry] = {}
    for typed in patterns:
        pattern = typed[1:-1] if typed[:1] in ("'", '"') and typed[-1:] == typed[:1] else typed
        if not _lies_below(pattern):
            raise UsageError(f"--files {pattern}: only files below the notebook's folder can go along, named from there.")
        names = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        files = {file.path: file for name in names for file in _files_in(name)}
        if not files:
            raise UsageError(f"--files {pattern}: there is no such file in {os.getcwd()}.")
        found.update(files)
    return list(found.values())


def _lies_below(path: str) -> bool:
    return bool(path) and not os.path.isabs(path) and ".." not in Path(path).parts


def _files_in(name: str) -> Iterator[Entry]:
    if os.path.isfile(name):
        yield file_at(name)
    for folder, _, names in os.walk(name):
        yield from (file_at(path) for each in sorted(names) if os.path.isfile(path := os.path.join(folder, each)))


def named_in(code: str, transform: Callable[[str], str] | None) -> list[Entry]:
    """Files of the notebook's folder that the cell opens or reads by a literal relative path."""
    return [file_at(path) for path in _literals(code, transform) if _lies_below(path) and os.path.isfile(path)]


@lru_cache(maxsize=512)
def _literals(code: str, transform: Callable[[str], str] | None) -> tuple[str, ...]:
    while (magic := _CELL_MAGIC.match(code)) and magic[1] in PYTHON_MAGICS:
        code = code[magic.end() :]
    try:
        tree = ast.parse(transform(code) if transform is not None else code)
    except (SyntaxError, ValueError):
        return ()
    found = dict.fromkeys(path for node in ast.walk(tree) if isinstance(node, ast.Call) for path in _paths_of(node))
    return tuple(found)


def _paths_of(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if not _READS_A_FILE.fullmatch(name) or (name == "open" and _is_for_writing(call)):
        return
    for value in (*call.args[:1], *(keyword.value for keyword in call.keywords)):
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and "\0" not in value.value:
            yield value.value


def _is_for_writing(call: ast.Call) -> bool:
    modes = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value[:1] in "wxa" for mode in modes)


def shares_folder(options: LaunchOptions) -> bool:
    """Whether the target works in the notebook's own folder."""
    if not options.backend.startswith("local"):
        return False
    try:
        return options.cwd is None or os.path.samefile(options.cwd, os.getcwd())
    except OSError:
        return False
