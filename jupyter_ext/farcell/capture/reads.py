"""The names a cell reads, from its text alone.

A cell that is not Python is transformed as IPython would (`!ls`, `%time f(x)`); then it is taken apart three ways:

- symtable tells which names functions, lambdas and comprehensions take from the notebook; `toplevel.py` tells which ones
  the cell's own statements read before binding them. Both together are `names`: they must be there, or the cell is refused.
- Identifiers inside string literals are `mentions`: `df.query("a > limit")`, formulas, `!echo {path}`, text of other cell
  magics. They are sent when they can be, and fetched on demand when they were needed after all.
- `globals()`, `eval`, `%who` and the like see every name: `everything`.

A magic that runs Python (`%%time`, `%timeit -n1 f(x)`) is looked through; any other is text. Nothing here looks at
values; `Reads.needs` meets the namespace.
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

from farcell_host.no_warnings import no_warnings
from farcell_host.single_lines import below_comments
from farcell_host.state.placeholders import DELETED

from .toplevel import TopLevel

Transform = Callable[[str], str]

SEES_EVERYTHING = frozenset({"globals", "locals", "vars", "dir", "eval", "exec"})
NAMESPACE_ATTRIBUTES = frozenset({"user_ns", "user_global_ns", "__subclasses__"})
NAMESPACE_MAGICS = frozenset({"who", "who_ls", "whos", "reset", "reset_selective", "xdel", "psearch", "store", "macro", "debug"})
PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "remote", "local"})
MAGICS_OF_MAGICS = frozenset({"%lsmagic", "%magic", "%alias", "%quickref"})
READ = "read by the cell"
CALLED = "called by the cell"
MENTIONED = "named in a string"
SEEN = "the cell can see every name"

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
CELL_MAGIC = re.compile(r"\s*%%(\w[\w.]*)(.*)")
_DYNAMIC = re.compile(r"\s*[^\W\d]\w*\s*(?![\s=.([:,])")  # nor an attribute, a call, an item, an assignment
_OPTION = re.compile(r"\s*-(?:-[\w-]+|([A-Za-z]+)(\S*))(?:\s+|$)")
# Magics that take Python after options of getopt's kind (IPython's own strings), as their line and as their cell's set-up.
_CODE_AFTER_OPTIONS = {
    "timeit": "n:r:tcp:qov:",
    "prun": "D:l:rs:T:q",
    "memit": "r:t:i:co",
    "mprun": "f:T:rc",
    "lprun": "f:m:D:T:s:u:rz",
}
_EXPANDING = frozenset({"run_line_magic", "run_cell_magic", "system", "getoutput"})
_EXPANDED = re.compile(r"\{[^{}]*\}|\$[^\W\d][\w.]*")
_HISTORY = re.compile(r"_(i?\d+|i{0,3}|_{0,2}|[iod]h)$|__\w+__$")
_RESULTS = re.compile(r"_{1,3}$|_\d+$|_oh$|Out$|_ih$|In$")
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
    unbound: frozenset[str] = frozenset()
    """Names that it may delete without having read them."""
    imports: frozenset[str] = frozenset()
    """Modules that its import statements name."""
    magics: frozenset[str] = frozenset()
    """`%name` and `%%name`: it calls them."""
    expanded: frozenset[str] = frozenset()
    """Of the mentions, those that IPython puts the value in for: `!echo {x} $y`."""

    def __or__(self, other: Reads) -> Reads:
        return Reads(
            self.names | other.names,
            self.mentions | other.mentions,
            self.everything or other.everything,
            self.unbound | other.unbound,
            self.imports | other.imports,
            self.magics | other.magics,
            self.expanded | other.expanded,
        )

    def __bool__(self) -> bool:
        return bool(self.names or self.mentions or self.everything)

    def needs(self, namespace: Mapping[str, Any], hidden: Mapping[str, Any] | None = None) -> Needs:
        """Meets the namespace. `hidden` are the names every kernel has by itself (IPython's `user_ns_hidden`): left
        out while unchanged, but for the results of cells."""
        hidden = hidden or {}

        def is_own(name: str) -> bool:
            value = namespace[name]
            return not (name in hidden and hidden[name] is value) and not (name.startswith("__") and name.endswith("__"))

        required = {name: READ for name in sorted(self.names) if name in namespace and (is_own(name) or _RESULTS.match(name))}
        optional: dict[str, str] = {}
        if self.everything:
            for name in [*namespace]:
                if isinstance(name, str) and name not in required and is_own(name) and not _HISTORY.match(name):
                    optional[name] = SEEN
        for names, why in ((self.mentions, MENTIONED), (self.unbound, DELETED)):
            for name in sorted(names):
                if name in namespace and name not in required and is_own(name):
                    optional.setdefault(name, why)
        return Needs(required, optional)

    def needs_of_magics(self, own: Iterable[str]) -> Needs:
        """Meets the notebook's own magics, `%name` and `%%name`."""
        required: dict[str, str] = {}
        optional: dict[str, str] = {}
        for name in own:
            if name in self.magics:
                required[name] = CALLED
            elif self.everything or not MAGICS_OF_MAGICS.isdisjoint(self.magics):
                optional[name] = SEEN
            elif name.lstrip("%") in self.mentions:
                optional[name] = MENTIONED
        return Needs(required, optional)


@lru_cache(maxsize=_CACHED_CELLS)
def reads(cell: str, transform: Transform | None = None) -> Reads:
    """The reads of a cell as typed; `transform` is the shell's `transform_cell`. Raises SyntaxError as compiling would."""
    magic = CELL_MAGIC.match(cell)
    if magic is not None:
        body = cell[magic.end() :].lstrip("\r").removeprefix("\n")
        found = Reads(mentions=_identifiers(magic[2]), magics=frozenset({f"%%{magic[1]}"}))
        if magic[1] in PYTHON_MAGICS:
            return found | _set_up_reads(magic[1], magic[2], body, transform)
        return found | Reads(mentions=_identifiers(body), everything=magic[1] in NAMESPACE_MAGICS)
    if is_python(cell):
        return _python_reads(cell, transform)
    cell = below_comments(cell)
    transformed = (transform or _default_transform())(cell)
    found = _python_reads(transformed, transform)
    # What stands in the place of a macro's name has no mention of it, by which it is found there.
    return found if transformed.strip() == cell.strip() else found | Reads(mentions=_identifiers(cell))


@lru_cache(maxsize=_CACHED_CELLS)
def is_python(cell: str) -> bool:
    """Whether the cell is Python as it stands, without errors, and nothing that IPython has a way of its own with."""
    if _may_be_dynamic(below_comments(cell)):
        return False
    try:
        parsed(cell)
    except SyntaxError:
        return False
    return True


def _may_be_dynamic(code: str) -> bool:
    """Whether IPython may take it for a magic, an alias or a macro, by what is registered: a line that begins with a name."""
    return code.count("\n") < 2 and _DYNAMIC.match(code) is not None


@lru_cache(maxsize=1)
def _default_transform() -> Transform:
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1)
def parsed(source: str) -> tuple[ast.Module, symtable.SymbolTable]:
    with no_warnings():  # the run itself warns of "\\d"
        return ast.parse(source), symtable.symtable(source, "<cell>", "exec")


def _python_reads(source: str, transform: Transform | None) -> Reads:
    tree, scopes = parsed(source)
    walked = _Walked(tree)
    top = TopLevel(tree)
    late = {name for name in _late(scopes, walked.touched) if name not in top.bound}
    found = Reads(
        frozenset(top.eager | late),
        frozenset(walked.mentions),
        walked.everything or not SEES_EVERYTHING.isdisjoint(top.eager | late),
        frozenset(top.unbound - top.eager - late),
        frozenset(walked.imports),
        frozenset(f"%{name}" for name, _ in walked.line_magics),
        frozenset(walked.expanded),
    )
    for name, line in walked.line_magics:
        found |= _line_magic_reads(name, line, transform)
    for name, line, body in walked.cell_magics:
        found |= Reads(magics=frozenset({f"%%{name}"}))
        with contextlib.suppress(SyntaxError):
            found |= reads(f"%%{name} {line}\n{body}", transform)
    return found


def _late(top: symtable.SymbolTable, touched: set[str]) -> Iterator[str]:
    """Names that nested scopes take from the notebook, whenever they run."""
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
        self.expanded: set[str] = set()
        self.everything = False
        self.imports: set[str] = set()
        self.line_magics: list[tuple[str, str]] = []
        self.cell_magics: list[tuple[str, str, str]] = []
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
            self.imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            self.imports.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, ast.Call):
            self._look_at_call(node)

    def _touch(self, targets: Iterable[ast.expr]) -> None:
        self.touched.update(target.id for target in targets if isinstance(target, ast.Name))

    def _look_at_call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in _EXPANDING:
            return
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        self.expanded.update(name for text in texts for part in _EXPANDED.findall(text) for name in _identifiers(part))
        if node.func.attr == "run_line_magic" and len(texts) == 2:
            self.line_magics.append((texts[0], texts[1]))
        elif node.func.attr == "run_cell_magic" and len(texts) == 3:
            self.cell_magics.append((texts[0], texts[1], texts[2]))


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


def _line_magic_reads(name: str, line: str, transform: Transform | None) -> Reads:
    """`%time f(x)` reads what `f(x)` reads; `%who` sees every name. Other arguments are mentions already, as the string
    they became."""
    if name in NAMESPACE_MAGICS or (name == "run" and re.search(r"(^|\s)-i\b", line)):
        return Reads(everything=True)
    if name not in PYTHON_MAGICS:
        return Reads()
    try:
        return reads(_without_options(name, line) + "\n", transform)
    except SyntaxError:
        return Reads()


def _set_up_reads(name: str, line: str, body: str, transform: Transform | None) -> Reads:
    """`%%timeit n = f(x)` runs its line before its body, in one scope."""
    set_up = _without_options(name, line) if name in _CODE_AFTER_OPTIONS else ""
    if set_up and not CELL_MAGIC.match(body):
        with contextlib.suppress(SyntaxError):  # a wrong line is the magic's to tell
            return reads(f"{set_up}\n{body}", transform)
    return reads(body, transform)


def _without_options(name: str, line: str) -> str:
    """The Python after a magic's options; what is no option of this magic begins it."""
    known = _CODE_AFTER_OPTIONS.get(name, "")
    while (option := _OPTION.match(line)) is not None:
        letters = option[1] or ""
        takes_value = next((at for at, letter in enumerate(letters) if f"{letter}:" in known), None)
        flags = letters[:takes_value]
        if any(letter not in known for letter in flags) or (option[2] and takes_value is None):
            break
        line = line[option.end() :]
        if takes_value is not None and takes_value == len(letters) - 1 and not option[2]:
            line = line.partition(" ")[2]
    return line.strip()


def _identifiers(text: str) -> frozenset[str]:
    return frozenset(_IDENTIFIER.findall(text))
