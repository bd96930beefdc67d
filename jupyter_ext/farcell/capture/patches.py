"""Which attributes of modules and classes a notebook's cells assign to, from their text: `requests.get = f`, `del np.x`.

All cells are looked at, also those that ran before: a function that assigns was defined in one of them.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from farcell_host.no_warnings import no_warnings

from .reads import Transform

_MAY_ASSIGN = re.compile(  # most cells do not, and need not be parsed
    r"[\w)\]]\.\w+\s*(?:[^\w\s=!<>]{0,2}=(?!=)|[,:)\]])|\b(?:setattr|delattr|del|register_\w+)\b|\b(?:for|as)\s+\w+\."
)
# Of pandas, xarray and polars: what they are called sets an attribute of the class.
_REGISTRARS = {
    "register_dataframe_accessor": "DataFrame",
    "register_series_accessor": "Series",
    "register_index_accessor": "Index",
    "register_dataset_accessor": "Dataset",
    "register_dataarray_accessor": "DataArray",
    "register_dataframe_namespace": "DataFrame",
    "register_lazyframe_namespace": "LazyFrame",
    "register_series_namespace": "Series",
    "register_expr_namespace": "Expr",
}
_CELL_MAGICS = re.compile(r"\A(?:\s*%%[^\n]*(?:\n|$))+")


def assigned(cell: str, namespace: Mapping[str, Any], transform: Transform | None = None) -> set[str]:
    """Dotted paths that a cell, as typed, may assign to; each begins with the name of a module."""
    code = _CELL_MAGICS.sub("", cell, count=1)
    if not _MAY_ASSIGN.search(code):
        return set()
    tree = _parsed(code, transform)
    imported = dict(_imported(tree))
    registered = set(_registered(tree, imported, namespace))
    chains = {(root, rest) for name, rest in _assigned(tree) if (root := _root(name, namespace) or imported.get(name))}
    return {f"{root}.{rest}" for root, rest in chains} | registered


def _root(name: str, namespace: Mapping[str, Any]) -> str | None:
    """What a name stands for, if it is a module, or a class that is not the notebook's own."""
    value = namespace.get(name)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type) and value.__module__ != "__main__":
        return f"{value.__module__}.{value.__qualname__}"
    return None


def _parsed(code: str, transform: Transform | None) -> ast.Module:
    with no_warnings():
        with contextlib.suppress(SyntaxError, ValueError):
            return ast.parse(code)
        if transform is not None:
            with contextlib.suppress(Exception):  # a cell that IPython itself could not run
                return ast.parse(transform(code))
    return ast.Module([], [])


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, what it is bound to), of imports anywhere in the cell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _assigned(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, attributes), of each `name.a.b = ...`, `del name.a`, `setattr(name.a, "b", ...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            chain = _chain(node.value)
            if chain is not None:
                yield chain[0], ".".join([*chain[1:], node.attr])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr"):
            chain = _chain(node.args[0]) if len(node.args) > 1 else None
            attribute = node.args[1] if chain is not None else None
            if chain is not None and isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
                yield chain[0], ".".join([*chain[1:], attribute.value])


def _registered(tree: ast.Module, imported: Mapping[str, str], namespace: Mapping[str, Any]) -> Iterator[str]:
    """`@pd.api.extensions.register_dataframe_accessor("geo")` sets `DataFrame.geo`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=func, args=[ast.Constant(value=str(name))]):
                chain = _chain(func) or [""]
                value = namespace.get(chain[0])
                root = imported.get(chain[0]) or _root(chain[0], namespace) or str(getattr(value, "__module__", ""))
                cls = _REGISTRARS.get(chain[-1]) or _REGISTRARS.get(root.rpartition(".")[2])
                if cls is not None:
                    yield f"{root.partition('.')[0]}.{cls}.{name}"


def _chain(node: ast.expr) -> list[str] | None:
    """`a.b.c` as its names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None
