"""The names that a cell may bind or delete in the notebook, from its text alone."""

from __future__ import annotations

import ast
import dis
import symtable
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

from farcell_host.state.uses import nested

from .reads import CELL_MAGIC, PYTHON_MAGICS, parsed, reads

Transform = Callable[[str], str]


@dataclass(frozen=True)
class Writes:
    """`anything`: it may bind names that its text does not tell."""

    names: frozenset[str] = frozenset()
    anything: bool = False


@lru_cache(maxsize=64)
def writes(cell: str, transform: Transform | None = None) -> Writes:
    """`cell` as typed, `transform` the shell's `transform_cell`. Raises SyntaxError as compiling would."""
    while (magic := CELL_MAGIC.match(cell)) and magic[1] in PYTHON_MAGICS:
        cell = cell[magic.end() :].lstrip("\r").removeprefix("\n")
    found = reads(cell, transform)
    source = transform(cell) if transform is not None else cell
    tree, scopes = parsed(source)
    names = set(_bound(scopes))
    is_star = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body)
    if found.magics:  # what they run is text to us, and its names are mentions
        names |= found.mentions
    return Writes(frozenset(names), found.everything or is_star or bool(found.magics - {f"%{name}" for name in PYTHON_MAGICS}))


def _bound(top: symtable.SymbolTable) -> Iterator[str]:
    for symbol in top.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            yield symbol.get_name()
    scopes = list(top.get_children())
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_declared_global() and symbol.is_assigned():
                yield symbol.get_name()


def bound_by(code: CodeType) -> set[str]:
    """Global names that a function binds or deletes when it is called, with the functions inside it."""
    stores = ("STORE_GLOBAL", "DELETE_GLOBAL")
    return {each.argval for part in nested(code) for each in dis.get_instructions(part) if each.opname in stores}
