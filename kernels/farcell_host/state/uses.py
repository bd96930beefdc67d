"""Which notebook names a piece of code uses, from its code object alone.

Code met inside a value (a function in a dict, a method of an instance's class) runs later with the notebook's
globals, so the names
it loads travel too. Code that can look at names in ways nothing static sees (`globals()`, `eval`, ...) uses everything.
"""

from __future__ import annotations

import dis
import re
from collections.abc import Iterable, Iterator
from types import CodeType

EVERYTHING = "*"
"""In an answer of `uses`: every name of the namespace."""

_REFLECTION = frozenset({"globals", "locals", "vars", "dir", "eval", "exec"})
_LISTING = "__subclasses__"
"""Any name may be one of these classes."""
_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_GLOBAL", "DELETE_NAME"})
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_STRING_LIMIT = 10_000


def uses(code: CodeType) -> frozenset[str]:
    """Global names that `code` and the code nested in it load, and identifiers inside its string constants."""
    names: set[str] = set()
    for part in nested(code):
        if _LISTING in part.co_names:
            return frozenset({EVERYTHING})
        names.update(_loads(part))
        names.update(_words(part.co_consts))
    return frozenset({EVERYTHING}) if names & _REFLECTION and _reflects(code) else frozenset(names)


def nested(code: CodeType) -> Iterator[CodeType]:
    """`code` and all code inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


def _reflects(code: CodeType) -> bool:
    return any(not _REFLECTION.isdisjoint(_loads(part)) for part in nested(code))


def _loads(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _LOADS:
            yield instruction.argval


def _words(consts: Iterable[object]) -> Iterator[str]:
    for const in consts:
        if isinstance(const, str) and len(const) <= _STRING_LIMIT:
            yield from _IDENTIFIER.findall(const)
        elif isinstance(const, (tuple, frozenset)):
            yield from _words(const)
