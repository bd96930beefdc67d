"""What a module's own statements read before they have bound it.

`x = load(); x.sum()` must not send the `x` of an earlier cell, nor be refused because that one cannot travel. So the
statements are walked in the order they run, with the set of names that are bound by then for certain; a read outside that
set is *eager*. A branch, a loop body or a handler may not run, so what only they bind is not certain afterwards. Bodies of
functions run later and are left to symtable (`reads.py`). Wrong guesses are cheap either way: a name too many is compared
by fingerprint, a missing one is fetched.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any


class TopLevel(ast.NodeVisitor):
    """Walks one module; `eager` are names read when they may still be unbound, `bound` those bound for certain at its end."""

    def __init__(self, tree: ast.Module) -> None:
        self.eager: set[str] = set()
        self.bound: set[str] = set()
        self.unbound: set[str] = set()
        """Names that it deletes, maybe after it has bound them: nothing of them is read, and yet they may be gone afterwards."""
        self._all(tree.body)

    # -- names

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)
            return
        if isinstance(node.ctx, ast.Del):
            self.bound.discard(node.id)
            self.unbound.add(node.id)
        elif node.id not in self.bound:
            self.eager.add(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    # -- statements in the order in which their parts run

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self._all(node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.bound:
            self.eager.add(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound.update((alias.asname or alias.name).partition(".")[0] for alias in node.names if alias.name != "*")

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all(node.decorator_list)
        self._defaults(node.args)
        own = self._type_parameters(node)
        self._annotations(node.args)
        if node.returns is not None:
            self.visit(node.returns)
        self.bound = self.bound - own | {node.name}

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class body runs at once; what it binds is its own, so a branch of its own."""
        self._all(node.decorator_list)
        own = self._type_parameters(node)
        self._all(node.bases)
        self._all(node.keywords)
        self._branch(node.body)
        self.bound = self.bound - own | {node.name}

    def visit_TypeAlias(self, node: Any) -> None:
        """`type X = ...` (3.12) is evaluated late, in a scope that symtable knows."""
        self.bound.add(node.name.id)

    # -- what may run, or may not

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.bound = self._branch(node.body) & self._branch(node.orelse)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._branch([node.target, *node.body])
        self._branch(node.orelse)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._branch(node.body)
        self._branch(node.orelse)

    def visit_Try(self, node: ast.Try) -> None:
        """Also TryStar. A handler starts from what was bound before the body: that may have failed at once."""
        through = self._branch([*node.body, *node.orelse])
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            before = set(self.bound)
            if handler.name is not None:
                self.bound.add(handler.name)
                self.unbound.add(handler.name)
            after = self._branch(handler.body) - ({handler.name} - before if handler.name else set())
            self.bound = before
            if not _leaves(handler.body):
                through &= after
        self._branch(node.finalbody)
        self.bound = through
        self._all(node.finalbody)

    visit_TryStar = visit_Try

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.visit(item.optional_vars)
        self._all(node.body)

    visit_AsyncWith = visit_With

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        for case in node.cases:
            before = set(self.bound)
            self.visit(case.pattern)
            if case.guard is not None:
                self.visit(case.guard)
            self._all(case.body)
            self.bound = before

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.pattern is not None:
            self.visit(node.pattern)
        if node.name is not None:
            self.bound.add(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name is not None:
            self.bound.add(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._all(node.keys)
        self._all(node.patterns)
        if node.rest is not None:
            self.bound.add(node.rest)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._branch(node.values[1:])

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self.bound = self._branch([node.body]) & self._branch([node.orelse])

    # -- scopes of their own

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._comprehension(node.generators, [node.elt])

    visit_SetComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node.generators, [node.key, node.value])

    def _comprehension(self, generators: Sequence[ast.comprehension], results: Sequence[ast.expr]) -> None:
        before = set(self.bound)
        for generator in generators:
            self.visit(generator.iter)
            self.visit(generator.target)
            self._all(generator.ifs)
        self._all(results)
        self.bound = before

    # -- walking

    def _defaults(self, arguments: ast.arguments) -> None:
        """Evaluated where the function is defined, outside of it."""
        self._all(arguments.defaults)
        self._all(default for default in arguments.kw_defaults if default is not None)

    def _annotations(self, arguments: ast.arguments) -> None:
        """Evaluated where the function is defined, where its type parameters are known."""
        plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        self._all(argument.annotation for argument in [*plain, *starred] if argument.annotation is not None)

    def _type_parameters(self, node: ast.AST) -> set[str]:
        """`def f[T](v: T)` (3.12): names of the definition's own, bound while it is walked; their bounds are evaluated late."""
        own = {parameter.name for parameter in getattr(node, "type_params", ())} - self.bound
        self.bound |= own
        return own

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _branch(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Walks what may not run, and gives what is bound after it; what is bound here stays as it was."""
        before = set(self.bound)
        self._all(nodes)
        after, self.bound = self.bound, before
        return after


def _leaves(body: Sequence[ast.stmt]) -> bool:
    """Whether what follows this block is never reached through it."""
    return bool(body) and isinstance(body[-1], ast.Raise | ast.Continue | ast.Break)
