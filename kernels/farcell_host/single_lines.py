"""A cell of one line, which IPython takes for a magic, an alias or a macro when it begins with the name of one (`who`, `ls -l`).

The code of a remote cell has comment lines in the place of its magic lines, which IPython would count.
"""

from __future__ import annotations

from typing import Any


def below_comments(code: str) -> str:
    """Without the comment lines that it begins with."""
    lines = code.splitlines(keepends=True)
    return "".join(lines[_comments(lines) :])


def transform(shell: Any, code: str) -> str:
    """The shell's `transform_cell`, as if the comment lines that the code begins with were not there."""
    return transform_by(shell.transform_cell, shell, code)


def transform_by(transform_cell: Any, shell: Any, code: str) -> str:
    cell: str = transform_cell(code)
    lines = cell.splitlines(keepends=True)
    above = _comments(lines)
    if not above or len(lines) - above != 1:
        return cell
    with shell.builtin_trap:
        return "".join(lines[:above]) + str(shell.prefilter_manager.prefilter_lines(lines[-1])) + "\n"


def _comments(lines: list[str]) -> int:
    return next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
