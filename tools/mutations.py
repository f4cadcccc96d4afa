"""Small changes to a function's syntax tree: operators, constants, conditions, results and statements."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

_COMPARE: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_BINARY: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
}
_SHOWN: Final = 24
"""Characters on each side of a change."""
_CALLS: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed function of a module, or one changed number. `lines` are those that a test must reach."""

    module: str
    path: str
    line: int
    lines: frozenset[int]
    before: str
    after: str
    """The piece of the statement that changes, as it was and as it is."""
    function: str = ""
    """Qualified name."""
    site: tuple[int, int, int] = (0, 0, 0)
    """The function, its node and the variant that `changed` makes: thousands of whole trees would take a gigabyte."""
    number: tuple[str, int | float] | None = None
    """A module's constant and its changed value."""
    place: int = 0
    """Among the mutants of its module."""

    @property
    def key(self) -> str:
        return f"{self.module} {self.place}"

    @property
    def change(self) -> str:
        return f"{self.before} → {self.after}"


@lru_cache
def _source(path: str) -> str:
    """As it was when its mutants were made."""
    return Path(path).read_text()


def mutants_of(path: Path, module: str) -> Iterator[Mutant]:
    """Every mutant of one module, in the order of its functions; then its numbers."""
    for place, mutant in enumerate(_mutants(path, module)):
        yield replace(mutant, place=place)


def _mutants(path: Path, module: str) -> Iterator[Mutant]:
    tree = ast.parse(_source(str(path)))
    for place, (name, function) in enumerate(_functions(tree)):
        for index, (statement, node) in enumerate(_changeable(function, function)):
            for variant, edit in enumerate(_variants(node)):
                theirs = _applied(copy.deepcopy(function), index, variant)
                before, after = _texts(edit.replaced or statement, ast.Pass() if edit.replaced else theirs)
                lines = _lines(edit.replaced or node, function.lineno)
                yield Mutant(module, str(path), min(lines), lines, before, after, name, (place, index, variant))
    yield from _numbers(tree, path, module)


def _applied(function: ast.FunctionDef, index: int, variant: int) -> ast.stmt:
    """The statement that changed."""
    statement, target = list(_changeable(function, function))[index]
    list(_variants(target))[variant].apply()
    return statement


def changed(mutant: Mutant) -> ast.Module:
    """Its module with the change of its function."""
    tree = ast.parse(_source(mutant.path))
    place, index, variant = mutant.site
    _applied(list(_functions(tree))[place][1], index, variant)
    return tree


def _lines(node: ast.AST, otherwise: int) -> frozenset[int]:
    """A `for … if …` inside of brackets has no place of its own: that of its parts."""
    placed = [each for each in ast.walk(node) if isinstance(each, ast.expr | ast.stmt)]
    if not placed:
        return frozenset({otherwise})
    return frozenset(range(min(each.lineno for each in placed), max(each.end_lineno or 0 for each in placed) + 1))


def _texts(before: ast.AST, after: ast.AST) -> tuple[str, str]:
    """Both statements without what they hold, cut to where they differ."""
    old, new = (ast.unparse(each).split(":\n")[0].replace("\n", " ") for each in (before, after))
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    return _around(old, start, len(old) - end), _around(new, start, len(new) - end)


def _same(one: str, other: str) -> int:
    """Characters at the start that both have."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _around(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _SHOWN), min(len(text), end + _SHOWN)
    return ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods; what is nested in one belongs to it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


def _numbers(tree: ast.Module, path: Path, module: str) -> Iterator[Mutant]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            value = _number(node.value)
            if isinstance(target, ast.Name) and value is not None:
                before = f"{target.id} = {value:g}"
                for other in (value + 1, value / 2):
                    number = (target.id, other)
                    yield Mutant(module, str(path), node.lineno, frozenset(), before, f"{other:g}", number=number)


def _number(value: ast.expr) -> float | int | None:
    """Of a constant, or of arithmetic on constants."""
    if any(not isinstance(each, ast.Constant | ast.BinOp | ast.operator) for each in ast.walk(value)):
        return None
    found = eval(compile(ast.Expression(value), "constant", "eval"))
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


@dataclass(frozen=True, slots=True)
class _Edit:
    """Sets a field of a node, or an element of it."""

    node: ast.AST
    field: str
    value: object
    index: int | None = None
    replaced: ast.stmt | None = None
    """A statement that is left out."""

    def apply(self) -> None:
        if self.index is None:
            setattr(self.node, self.field, self.value)
        else:
            getattr(self.node, self.field)[self.index] = self.value
        ast.fix_missing_locations(self.node)


def _changeable(tree: ast.AST, statement: ast.stmt) -> Iterator[tuple[ast.stmt, ast.AST]]:
    """Nodes that run when the function does, each with the statement that it is in.

    No annotations, defaults, docstrings, pieces of f-strings, or that `zip` is to check lengths.
    """
    if tree is statement:
        yield statement, tree
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_comment", "defaults", "kw_defaults"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _skipped(tree, child):
                continue
            if isinstance(child, ast.stmt):
                yield from _changeable(child, child)
            else:
                yield statement, child
                yield from _changeable(child, statement)


def _skipped(parent: ast.AST, child: ast.AST) -> bool:
    if isinstance(child, ast.Import | ast.ImportFrom):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(parent, ast.keyword) and parent.arg == "strict":
        return True
    return isinstance(parent, ast.JoinedStr) and isinstance(child, ast.Constant)


def _variants(node: ast.AST) -> Iterator[_Edit]:
    for kind, variants in _MUTATORS:
        if isinstance(node, kind):
            yield from variants(node)


def _compare(node: ast.Compare) -> Iterator[_Edit]:
    for index, operator in enumerate(node.ops):
        other = _COMPARE[type(operator)]
        yield _Edit(node, "ops", other(), index)


def _binary(node: ast.BinOp) -> Iterator[_Edit]:
    other = _BINARY.get(type(node.op))
    if other is not None:
        yield _Edit(node, "op", other())


def _boolean(node: ast.BoolOp) -> Iterator[_Edit]:
    other = ast.Or if isinstance(node.op, ast.And) else ast.And
    yield _Edit(node, "op", other())


def _condition(node: ast.If | ast.IfExp | ast.While) -> Iterator[_Edit]:
    yield _Edit(node, "test", ast.UnaryOp(ast.Not(), node.test))


def _filter(node: ast.comprehension) -> Iterator[_Edit]:
    for index in range(len(node.ifs)):
        yield _Edit(node, "ifs", ast.Constant(True), index)


def _constant(node: ast.Constant) -> Iterator[_Edit]:
    value = node.value
    if isinstance(value, bool):
        yield _Edit(node, "value", not value)
    elif isinstance(value, int | float):
        yield _Edit(node, "value", value + 1)
    elif isinstance(value, str):
        yield _Edit(node, "value", f"{value}_")


def _result(node: ast.Return) -> Iterator[_Edit]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield _Edit(node, "value", ast.Constant(None))


def _call(node: ast.Call) -> Iterator[_Edit]:
    if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        other = _CALLS[node.func.id]
        yield _Edit(node, "func", ast.Name(other, ast.Load()))


def _negation(node: ast.UnaryOp) -> Iterator[_Edit]:
    if isinstance(node.op, ast.USub):
        yield _Edit(node, "op", ast.UAdd())


def _dropped(node: ast.AST) -> Iterator[_Edit]:
    """Calls for their effect, and assignments that add to something, inside any block."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        for index, statement in enumerate(block if isinstance(block, list) else ()):
            called = isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant)
            if called or isinstance(statement, ast.AugAssign):
                yield _Edit(node, name, ast.Pass(), index, statement)


_MUTATORS: Final[tuple[tuple[Any, Callable[[Any], Iterator[_Edit]]], ...]] = (
    (ast.Compare, _compare),
    (ast.BinOp, _binary),
    (ast.BoolOp, _boolean),
    ((ast.If, ast.IfExp, ast.While), _condition),
    (ast.comprehension, _filter),
    (ast.Constant, _constant),
    (ast.Return, _result),
    (ast.Call, _call),
    (ast.UnaryOp, _negation),
    ((ast.FunctionDef, ast.For, ast.If, ast.While, ast.With, ast.Try), _dropped),
)
