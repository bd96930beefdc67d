"""Completion of target names, options and subcommands on `%%remote` and `%remote` lines."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from .errors import FarcellError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import RemoteMagics

OPTIONS = (
    "--in", "--out", "--keep", "--files", "--detach", "--timeout", "--restartable", "--plan", "--yes",
    "--gpus", "--gpu-type", "--cpus", "--mem", "--walltime", "--nodes",
    "--partition", "--account", "--qos", "--constraint", "--reservation", "--sbatch",
)  # fmt: skip
_TAKE_VALUE = frozenset(OPTIONS) - {"--detach", "--restartable", "--plan", "--yes"}
_TAKE_NAMES = frozenset({"--in", "--out", "--keep"})
_TAKE_TARGET = frozenset({"interrupt", "restart", "stop", "vars", "log", "on", "gpus", "reconnect", "save", "restore", "forget"})


def install(shell: InteractiveShell, magics: RemoteMagics) -> None:
    """Called once by `%load_ext farcell`."""

    def complete(_shell: Any, event: Any) -> list[str]:
        return candidates(magics, event.line, event.symbol)

    shell.set_hook("complete_command", complete, re_key=r"%%?remote\b")  # type: ignore[no-untyped-call]


def candidates(magics: RemoteMagics, line: str, symbol: str) -> list[str]:
    """What may stand at the end of this line, `symbol` being what is there of it."""
    before = line[: len(line) - len(symbol)].split() if symbol and line.endswith(symbol) else line.split()
    is_cell = line.lstrip().startswith("%%")
    wanted = _for_cell(magics, before[1:], symbol) if is_cell else _for_line(magics, before[1:])
    return [word for word in wanted if word.startswith(symbol)]


def _for_cell(magics: RemoteMagics, before: list[str], symbol: str) -> list[str]:
    if before and before[-1] in _TAKE_NAMES:
        return _names(magics)
    if before and before[-1] in _TAKE_VALUE:
        return []
    earlier = ["", *before]
    has_target = any(not word.startswith("-") and last not in _TAKE_VALUE for last, word in zip(earlier, before, strict=False))
    return [*([] if has_target or symbol.startswith("-") else _targets(magics)), *(o for o in OPTIONS if o not in before)]


def _for_line(magics: RemoteMagics, before: list[str]) -> list[str]:
    from .magics import SUBCOMMANDS

    if not before:
        return list(SUBCOMMANDS)
    if before == ["env"]:
        return ["diff", "sync", "ship"]
    if before[0] == "env":
        return [*(_targets(magics) if len(before) == 2 else []), *(["--yes"] if before[1] != "diff" else [])]
    if before[0] in _TAKE_TARGET or before[-1] in ("--target", "-t"):
        return _targets(magics)
    if before[0] in ("pull", "push"):
        return [*_names(magics), "--target"]
    if before[0] in ("put", "get"):
        return ["--target", "--exclude", "--overwrite", *(["--yes"] if before[0] == "put" else [])]
    return []


def _targets(magics: RemoteMagics) -> list[str]:
    with contextlib.suppress(FarcellError):  # a fault in targets.toml is shown when a cell runs
        return list(magics.workspace.targets().names)
    return []


def _names(magics: RemoteMagics) -> list[str]:
    return [name for name in magics.workspace.namespace if not name.startswith("_")]
