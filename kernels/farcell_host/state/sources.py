"""Code objects by the source of the cell they were compiled from, never by bytecode.

Bytecode of another Python minor version crashes the interpreter instead of raising. So a code object travels as
(hash of the cell's
text, compiler flags, file name, name, first line, ordinal among equals, qualified name). The receiver compiles the
whole cell, executes nothing of it,
and picks the code object out: decorators, default values and class bodies do not run again, line numbers stay true. Sending
checks that compiling the text gives an equal code object; where it does not (text built and exec'd, instrumented code), bytecode
goes with a tag of its version and another version refuses it by name.

IPython puts every cell into linecache, but forgets it on redefinition of a file name: the Book keeps its own copy
from the first sight on. Which file name is which `Cell In[n]` IPython's compiler knows, whose dict the Book shares.
"""

from __future__ import annotations
import __future__

import ast
import functools
import hashlib
import linecache
import os
import sys
from collections.abc import Iterator
from itertools import islice
from types import CodeType
from typing import Any, NamedTuple

from farcell_host._vendor.cloudpickle import cloudpickle

from ..no_warnings import no_warnings
from .uses import nested

_FUTURE_FLAGS = functools.reduce(
    lambda flags, name: flags | getattr(__future__, name).compiler_flag, __future__.all_feature_names, 0
)
_ALLOW_TOP_LEVEL_AWAIT = 0x2000
VERSION = (sys.implementation.name, *sys.version_info[:2])


class CodeRef(NamedTuple):
    """Where a code object stands in a source text."""

    source: str
    flags: int
    filename: str
    name: str
    line: int
    ordinal: int


class CellName(str):
    """The file name of a cell, whose text goes along with it."""

    source: str


class Book:
    """All source texts this process has seen, by hash and by file name."""

    def __init__(self) -> None:
        self.cells: dict[str, int] = {}
        """File name -> cell number: IPython's own dict where there is one, by which tracebacks name cells."""
        self._texts: dict[str, tuple[str, str]] = {}
        self._by_filename: dict[str, list[str]] = {}
        self._refs: dict[int, tuple[CodeType, CodeRef | None]] = {}

    def text(self, source: str) -> dict[str, str]:
        """A source as it goes into a payload's header."""
        filename, text = self._texts[source]
        return {"filename": filename, "text": text}

    def add(self, filename: str, text: str) -> str:
        """Keep a text; the answer is its hash."""
        source = hashlib.blake2b(f"{filename}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if source not in self._texts:
            self._texts[source] = (filename, text)
            self._by_filename.setdefault(filename, []).append(source)
        return source

    def cell(self, source: str) -> int | None:
        """The number of the cell that a text was run as; None for what was no cell."""
        return self.cells.get(self._texts[source][0])

    def show(self, source: str, cell: int | None) -> None:
        """Let tracebacks and inspect.getsource find a text of the peer's here, under the cell's number."""
        filename, text = self._texts[source]
        if filename not in linecache.cache and not os.path.exists(filename):
            linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
        if cell is not None:
            self.cells[filename] = cell

    def name(self, filename: str) -> str:
        """A file name as it goes into a pickle: a CellName where only the notebook has the text."""
        found = self._candidates(filename) if filename in self.cells else []
        if not found:
            return filename
        name = CellName(filename)
        name.source = found[0]
        return name

    def ref(self, code: CodeType) -> CodeRef | None:
        """Where `code` stands in its source, or None when no source at hand compiles to it."""
        known = self._refs.get(id(code))
        if known is None:
            known = self._refs[id(code)] = (code, self._locate(code))
        return known[1]

    def _locate(self, code: CodeType) -> CodeRef | None:
        flags = code.co_flags & _FUTURE_FLAGS
        for source in self._candidates(code.co_filename):
            for ordinal, other in enumerate(self._alike(source, flags, code.co_name, code.co_firstlineno)):
                if other == code:
                    return CodeRef(source, flags, code.co_filename, code.co_name, code.co_firstlineno, ordinal)
        return None

    def _candidates(self, filename: str) -> list[str]:
        lines = _lines(filename)
        if lines:
            self.add(filename, "".join(lines))
        return self._by_filename.get(filename, [])[::-1]

    def _alike(self, source: str, flags: int, name: str, line: int) -> Iterator[CodeType]:
        """Compiled as a whole, as a module is, and then one statement after the other, as IPython compiles a cell: the bytecode
        of `math.sqrt(x)` depends on whether what it was compiled with imports `math`."""
        for by_statement in (False, True):
            try:
                codes = self.compiled(source, flags, by_statement)
            except (SyntaxError, ValueError):
                return
            yield from (code for code in codes if code.co_name == name and code.co_firstlineno == line)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one Book per process
    def compiled(self, source: str, flags: int, by_statement: bool = False) -> list[CodeType]:
        filename, text = self._texts[source]
        flags |= _ALLOW_TOP_LEVEL_AWAIT
        with no_warnings():
            modules: list[Any] = [text]
            if by_statement:
                whole = compile(text, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
                modules = [ast.Module([statement], []) for statement in whole.body]
            compiled = [compile(each, filename, "exec", flags, dont_inherit=True) for each in modules]
        return [code for module in compiled for code in nested(module) if code is not module]

    def find(self, ref: CodeRef) -> CodeType:
        """The code object that `ref` means, compiled here."""
        if ref.source not in self._texts:
            raise LookupError(f"the source of {ref.name!r} ({ref.filename}) was not sent")
        self.compiled(ref.source, ref.flags)
        code = next(islice(self._alike(ref.source, ref.flags, ref.name, ref.line), ref.ordinal, None), None)
        if code is None:
            raise LookupError(f"no code {ref.name!r} at line {ref.line} of {ref.filename}")
        self._refs.setdefault(id(code), (code, ref))
        return code


def _lines(filename: str) -> list[str]:
    """Nobody shall see in linecache that we have looked: a file may be gone later."""
    is_kept = filename in linecache.cache
    lines = linecache.getlines(filename)
    if not is_kept:
        linecache.cache.pop(filename, None)
    return lines


BOOK = Book()


def reduce_code(code: CodeType) -> tuple[Any, ...]:
    """How a code object goes into a pickle."""
    ref = BOOK.ref(code)
    if ref is not None:
        return find_code, tuple(ref)
    return code_of_version, (VERSION, code.co_name, code.co_filename, cloudpickle._code_reduce(code)[1])


def reduce_name(name: CellName) -> tuple[Any, ...]:
    return str, (str(name),)


def find_code(*ref: Any) -> CodeType:
    return BOOK.find(CodeRef(*ref))


def code_of_version(version: tuple[Any, ...], name: str, filename: str, args: tuple[Any, ...]) -> CodeType:
    if tuple(version) != VERSION:
        theirs, ours = (f"{v[0]} {v[1]}.{v[2]}" for v in (version, VERSION))
        raise LookupError(f"{name!r} ({filename}) has no source, and its bytecode is of {theirs}, not {ours}")
    return CodeType(*args)
