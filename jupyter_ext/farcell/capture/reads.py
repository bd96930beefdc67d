"""The names a cell reads, from its text alone.

A cell that is not Python is transformed as IPython would (`!ls`, `%time f(x)`); then it is taken apart three ways:

- symtable tells which names functions, lambdas and comprehensions take from the notebook; `toplevel.py` tells which
ones the cell's own statements
  read before binding them. Both together are `names`: they must be there, or the cell is refused.
- Identifiers inside string literals are `mentions`: `df.query("a > limit")`, formulas, `!echo {path}`, text of other
cell magics. They are sent
  when they can be, and fetched on demand when they were needed after all.
- `globals()`, `eval`, `%who` and the like see every name: `everything`.

A cell magic whose body is Python (`%%time`) is looked through; any other body is text. Nothing here looks at values;
`Reads.needs` meets the
namespace.
"""

from __future__ import annotations

import ast
import contextlib
import re
import symtable
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from .toplevel import TopLevel

Transform = Callable[[str], str]

SEES_EVERYTHING = frozenset({"globals", "locals", "vars", "dir", "eval", "exec"})
NAMESPACE_ATTRIBUTES = frozenset({"user_ns", "user_global_ns"})
NAMESPACE_MAGICS = frozenset({"who", "who_ls", "whos", "reset", "reset_selective", "xdel", "psearch", "store", "macro", "debug"})
PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "remote", "local"})
READ = "read by the cell"
MENTIONED = "named in a string"
SEEN = "the cell can see every name"

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_CELL_MAGIC = re.compile(r"\s*%%(\w[\w.]*)(.*)")
_OPTIONS = re.compile(r"(\s*-[a-zA-Z]\s*\d*(?=\s))*")
_HISTORY = re.compile(r"_(i?\d+|i{0,3}|_{0,2}|[iod]h)$|__\w+__$")
_CACHED_CELLS = 512


class Needs(NamedTuple):
    """Names that are in the namespace, each with the reason it is needed."""

    required: dict[str, str]
    optional: dict[str, str]


@dataclass(frozen=True)
class Reads:
    """What a cell's text says it reads."""

    names: frozenset[str] = frozenset()
    mentions: frozenset[str] = frozenset()
    everything: bool = False

    def __or__(self, other: Reads) -> Reads:
        return Reads(self.names | other.names, self.mentions | other.mentions, self.everything or other.everything)

    def needs(self, namespace: Mapping[str, Any], hidden: Mapping[str, Any] | None = None) -> Needs:
        """Meets the namespace. `hidden` are the names every kernel has by itself (IPython's `user_ns_hidden`): left
        out while unchanged."""
        hidden = hidden or {}

        def is_own(name: str) -> bool:
            value = namespace[name]
            return not (name in hidden and hidden[name] is value) and not (name.startswith("__") and name.endswith("__"))

        required = {name: READ for name in sorted(self.names) if name in namespace and is_own(name)}
        optional: dict[str, str] = {}
        if self.everything:
            for name in [*namespace]:
                if isinstance(name, str) and name not in required and is_own(name) and not _HISTORY.match(name):
                    optional[name] = SEEN
        for name in sorted(self.mentions):
            if name in namespace and name not in required and is_own(name):
                optional[name] = MENTIONED
        return Needs(required, optional)


@lru_cache(maxsize=_CACHED_CELLS)
def reads(cell: str, transform: Transform | None = None) -> Reads:
    """The reads of a cell as typed; `transform` is the shell's `transform_cell`. Raises SyntaxError as compiling would."""
    magic = _CELL_MAGIC.match(cell)
    if magic is not None:
        body = cell[magic.end() :].lstrip("\r").removeprefix("\n")
        found = Reads(mentions=_identifiers(magic[2]))
        if magic[1] in PYTHON_MAGICS:
            return found | reads(body, transform)
        return found | Reads(mentions=_identifiers(body), everything=magic[1] in NAMESPACE_MAGICS)
    if cell.count("\n") > 1:  # IPython may take a single line, such as `who`, for a magic
        with contextlib.suppress(SyntaxError):
            return _python_reads(cell, transform)
    return _python_reads((transform or _default_transform())(cell), transform)


@lru_cache(maxsize=1)
def _default_transform() -> Transform:
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell  # type: ignore[no-untyped-call]


def _python_reads(source: str, transform: Transform | None) -> Reads:
    tree = ast.parse(source)
    walked = _Walked(tree)
    top = TopLevel(tree)
    late = {name for name in _late(source, walked.touched) if name not in top.bound}
    found = Reads(
        frozenset(top.eager | late),
        frozenset(walked.mentions),
        walked.everything or not SEES_EVERYTHING.isdisjoint(top.eager | late),
    )
    for name, argument in walked.line_magics:
        found |= _line_magic_reads(name, argument, transform)
    return found


def _late(source: str, touched: set[str]) -> Iterator[str]:
    """Names that nested scopes take from the notebook, whenever they run."""
    top = symtable.symtable(source, "<cell>", "exec")
    scopes = list(top.get_children())
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_global() and (symbol.is_referenced() or symbol.get_name() in touched):
                yield symbol.get_name()


class _Walked:
    """One pass over every node for what scopes do not tell: strings, `x += 1` and `del x`, doors to the namespace."""

    def __init__(self, tree: ast.Module) -> None:
        self.mentions: set[str] = set()
        self.touched: set[str] = set()
        self.everything = False
        self.line_magics: list[tuple[str, str]] = []
        pending: list[ast.AST] = [tree]
        while pending:
            node = pending.pop()
            self._look(node)
            pending += _children(node)

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self.mentions.update(_identifiers(node.value))
        elif isinstance(node, ast.AugAssign):
            self._touch([node.target])
        elif isinstance(node, ast.Delete):
            self._touch(node.targets)
        elif isinstance(node, ast.Attribute):
            self.everything |= node.attr in NAMESPACE_ATTRIBUTES
        elif isinstance(node, ast.Import):
            self.everything |= any(alias.name == "__main__" for alias in node.names)
        elif isinstance(node, ast.Call):
            self._look_at_call(node)

    def _touch(self, targets: Iterable[ast.expr]) -> None:
        self.touched.update(target.id for target in targets if isinstance(target, ast.Name))

    def _look_at_call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "run_line_magic" and len(node.args) >= 2:
            name, argument = (arg.value if isinstance(arg, ast.Constant) else None for arg in node.args[:2])
            if isinstance(name, str) and isinstance(argument, str):
                self.line_magics.append((name, argument))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Child nodes, without the strings that stand as statements: nothing evaluates a docstring."""
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST) and not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)):
                    yield item
        elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
            yield value


def _line_magic_reads(name: str, argument: str, transform: Transform | None) -> Reads:
    """`%time f(x)` reads what `f(x)` reads; `%who` sees every name. Other arguments are mentions already, as the
    string they became."""
    if name in NAMESPACE_MAGICS or (name == "run" and re.search(r"(^|\s)-i\b", argument)):
        return Reads(everything=True)
    if name not in PYTHON_MAGICS:
        return Reads()
    options = _OPTIONS.match(argument)
    try:
        return reads(argument[options.end() if options else 0 :].strip() + "\n", transform)
    except SyntaxError:
        return Reads()


def _identifiers(text: str) -> frozenset[str]:
    return frozenset(_IDENTIFIER.findall(text))
