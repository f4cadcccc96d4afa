"""Whether a pod's own words admit a node, as far as the few things that are kept of a node can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from mfu.api.names import PLACEMENT_GATE
from mfu.cluster.client import JSON
from mfu.cluster.projection import NODE_LABEL_PREFIXES
from mfu.decide.types import NodeView

_Compare = Callable[[str, Sequence[str]], bool]


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


def surely_admits(pod_spec: JSON, node: NodeView) -> bool:
    """By nodeSelector, required node affinity and tolerations. A label that is not kept of nodes gives no certainty.

    What depends on other pods, and free CPU and memory, are the scheduler's to judge.
    """
    selector = pod_spec.get("nodeSelector") or {}
    if not all(matches({"key": key, "operator": "In", "values": [value]}, node) for key, value in selector.items()):
        return False
    affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    if terms and not any(admitted(term, node) for term in terms):
        return False
    return all(_tolerated(taint, pod_spec.get("tolerations") or ()) for taint in node.taints)


def others_have_a_say(pod_spec: JSON) -> bool:
    """Whether where it may go depends on more than one node: on other pods, or on who holds another gate of it.

    Pods that must not share a node can not all be kept to one; Kueue names a node when it opens its own gate.
    """
    affinity = pod_spec.get("affinity") or {}
    pods = (affinity.get(kind) or {} for kind in ("podAffinity", "podAntiAffinity"))
    spread = pod_spec.get("topologySpreadConstraints") or ()
    return (
        any(each.get("requiredDuringSchedulingIgnoredDuringExecution") for each in pods)
        or any(each.get("whenUnsatisfiable") == "DoNotSchedule" for each in spread)
        or any(gate.get("name") != PLACEMENT_GATE for gate in pod_spec.get("schedulingGates") or ())
    )


def admitted(term: JSON, node: NodeView) -> bool:
    """Whether one node selector term holds; an empty one holds nowhere."""
    labels, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not labels and not fields:
        return False
    named = all(_PRESENT[each["operator"]](node.name, each.get("values") or ()) for each in fields)
    return named and all(matches(each, node) for each in labels)


def matches(expression: JSON, node: NodeView) -> bool:
    key, operator = expression["key"], expression["operator"]
    value = node.labels.get(key)
    if value is None:
        # Absent is only known of what would have been kept.
        return operator in _ABSENT and key.startswith(NODE_LABEL_PREFIXES)
    return _PRESENT[operator](value, expression.get("values") or ())


def _tolerated(taint: tuple[str, str, str], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(_tolerates(each, *taint) for each in tolerations)


def _tolerates(toleration: Mapping[str, Any], key: str, value: str, effect: str) -> bool:
    if toleration.get("effect") not in (None, "", effect):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    return toleration["key"] == key and (exists or toleration.get("value", "") == value)
