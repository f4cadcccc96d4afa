"""Which nodes a pod's own words admit: its nodeSelector, required node affinity and tolerations, as the scheduler reads
them.

What depends on other pods, and free CPU and memory, are the scheduler's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mfu.decide.types import NodeView
from mfu.hardware.labels import keeps

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_Compare = Callable[[str, Sequence[str]], bool]


class Expression(NamedTuple):
    """One line of matchExpressions or matchFields."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Term(NamedTuple):
    """One node selector term: all of it must hold; an empty one holds nowhere."""

    labels: tuple[Expression, ...] = ()
    fields: tuple[Expression, ...] = ()


class Toleration(NamedTuple):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a pod says of nodes; without any word it goes wherever nothing is tainted."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] = ()
    """One of them must hold, where there are any."""
    tolerations: tuple[Toleration, ...] = ()

    @classmethod
    def read(cls, pod_spec: Mapping[str, Any]) -> Constraints:
        """Of a pod's `spec`, as the API server has it."""
        affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
        terms = (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
        return cls(
            tuple(sorted((pod_spec.get("nodeSelector") or {}).items())),
            tuple(read_term(each) for each in terms),
            tuple(_toleration(each) for each in pod_spec.get("tolerations") or ()),
        )

    @property
    def document(self) -> dict[str, Any]:
        """The part of a pod's spec that `read` reads."""
        found: dict[str, Any] = {}
        if self.selector:
            found["nodeSelector"] = dict(self.selector)
        if self.terms:
            terms = [
                {"matchExpressions": _documents(each.labels), "matchFields": _documents(each.fields)}
                for each in self.terms
            ]
            found["affinity"] = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": terms}}}
        if self.tolerations:
            found["tolerations"] = [each._asdict() for each in self.tolerations]
        return found

    @property
    def keys(self) -> frozenset[str]:
        """Labels of nodes that make a difference to it."""
        selected = {key for key, _ in self.selector}
        return frozenset(selected | {each.key for term in self.terms for each in term.labels})

    @property
    def names_nodes(self) -> bool:
        return any(term.fields for term in self.terms)

    def admit(self, node: NodeView, *, unsure: bool) -> bool:
        """`unsure` is the answer where it hangs on a label that is not kept of nodes."""
        selected = (Expression(key, "In", (value,)) for key, value in self.selector)
        if not all(_matches(each, node, unsure) for each in selected):
            return False
        if self.terms and not any(holds(term, node, unsure=unsure) for term in self.terms):
            return False
        return all(any(_tolerates(each, *taint) for each in self.tolerations) for taint in node.taints)


def read_term(term: Mapping[str, Any]) -> Term:
    return Term(_expressions(term.get("matchExpressions")), _expressions(term.get("matchFields")))


def holds(term: Term, node: NodeView, *, unsure: bool = False) -> bool:
    """Whether one node selector term holds of the node."""
    if not term.labels and not term.fields:
        return False
    named = all(_PRESENT[each.operator](node.name, each.values) for each in term.fields)
    return named and all(_matches(each, node, unsure) for each in term.labels)


def _matches(expression: Expression, node: NodeView, unsure: bool) -> bool:
    value = node.labels.get(expression.key)
    if value is not None:
        return _PRESENT[expression.operator](value, expression.values)
    return expression.operator in _ABSENT if keeps(expression.key) else unsure


def _number(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None


def _larger(one: str | None, other: str) -> bool:
    left, right = _number(one or ""), _number(other)
    return left is not None and right is not None and left > right


_PRESENT: Final[Mapping[str, _Compare]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, values: True,
    "DoesNotExist": lambda value, values: False,
    "Gt": lambda value, values: _larger(value, values[0]),
    "Lt": lambda value, values: _larger(values[0], value),
}
_ABSENT: Final = frozenset({"NotIn", "DoesNotExist"})
"""Operators that a node without the label satisfies."""


def _tolerates(toleration: Toleration, key: str, value: str, effect: str) -> bool:
    if toleration.effect not in ("", effect):
        return False
    exists = toleration.operator == "Exists"
    if not toleration.key:
        return exists
    return toleration.key == key and (exists or toleration.value == value)


def _expressions(documents: Iterable[Mapping[str, Any]] | None) -> tuple[Expression, ...]:
    return tuple(Expression(each["key"], each["operator"], tuple(each.get("values") or ())) for each in documents or ())


def _documents(expressions: Iterable[Expression]) -> list[dict[str, Any]]:
    return [{"key": each.key, "operator": each.operator, "values": list(each.values)} for each in expressions]


def _toleration(document: Mapping[str, Any]) -> Toleration:
    known = {name: document[name] for name in Toleration._fields if document.get(name)}
    return Toleration(**known)
