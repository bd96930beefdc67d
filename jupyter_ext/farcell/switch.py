"""`%remote on TARGET`: the cells between it and `%remote off` go there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_STAYS = re.compile(r"%(?:remote|load_ext|reload_ext|unload_ext)\b")
REMOTE_CELL = re.compile(r"(?:\s*%%[^\n]*\n)*?\s*%%remote\b")
_LOCAL_CELL = re.compile(r"%%local[ \t]*\r?\n?$")


class Switch:
    """An input transformer that puts `%%remote TARGET` on top of each cell the person runs.

    Cells of the front end's own (silent or without history) and what a running cell transforms itself are left alone, as are
    cells with a `%remote` or `%load_ext` line, and cells that say `%%local` or `%%remote`.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.target: str | None = None
        self._shell = shell
        self._running = False

    def install(self) -> None:
        self._shell.input_transformers_cleanup.append(self.transform)
        self._shell.events.register("pre_execute", self._began)
        self._shell.events.register("post_execute", self._ended)

    def uninstall(self) -> None:
        self._shell.input_transformers_cleanup.remove(self.transform)
        self._shell.events.unregister("pre_execute", self._began)
        self._shell.events.unregister("post_execute", self._ended)

    def _began(self) -> None:
        self._running = True

    def _ended(self) -> None:
        self._running = False

    def transform(self, lines: list[str]) -> list[str]:
        if not lines:
            return lines
        if _LOCAL_CELL.match(lines[0]):
            # a cell magic below it must come first, and a single line may be a macro's name; else it stays for the line numbers
            is_alone = len(lines) == 2 or (len(lines) > 1 and lines[1].startswith("%%"))
            return lines[1:] if is_alone else ["# " + lines[0], *lines[1:]]
        if len(lines) == 1 and REMOTE_CELL.match(lines[0]):
            return [lines[0].rstrip("\n") + "\n", "\n"]  # IPython refuses a cell magic without any line below it
        if self.target is None or self._running or not self._is_cell(lines):
            return lines
        return [f"%%remote {self.target}\n", *lines]

    def _is_cell(self, lines: Sequence[str]) -> bool:
        text = "".join(lines)
        code = code_lines(lines)
        if not code or any(_STAYS.match(line) for line in code) or REMOTE_CELL.match(text):
            return False
        kernel = getattr(self._shell, "kernel", None)
        content = (kernel.get_parent("shell") or {}).get("content", {}) if kernel is not None else {}
        return not content.get("silent", False) and content.get("store_history", True) is not False


def code_lines(lines: Sequence[str]) -> list[str]:
    """Without blank lines and comments."""
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
