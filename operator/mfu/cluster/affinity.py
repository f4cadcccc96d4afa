"""A hint merged into what a pod says itself: only ever added to, and never made to bind where it could not be met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mfu.cluster.constraints import others_have_a_say, surely_admits
from mfu.cluster.resources import JSON
from mfu.decide.fleet.constraints import holds, read_term
from mfu.decide.types import NodeView

REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
WEIGHT: Final = 100


@dataclass(frozen=True, slots=True)
class Hinted:
    """The whole `affinity` of a pod. `weakened`: what was to bind is a preference here."""

    affinity: JSON
    weakened: bool = False


def hinted(pod_spec: JSON, hint: JSON, nodes: Iterable[NodeView]) -> Hinted:
    """`hint` is `{nodeAffinity: …}` with required or preferred terms, `nodes` are those that there are.

    Terms that bind stay so only where some node that they name surely admits the pod and nobody else has a say in its
    place; otherwise they become a preference, so that no word of ours makes a pod unschedulable that its own words
    would not.
    """
    asked = hint["nodeAffinity"]
    terms = (asked.get(REQUIRED) or {}).get("nodeSelectorTerms") or ()
    preferred = list(asked.get(PREFERRED) or ())
    binds = bool(terms) and not others_have_a_say(pod_spec)
    binds = binds and any(_meets(terms, node) and surely_admits(pod_spec, node) for node in nodes)
    if terms and not binds:
        preferred += [{"weight": WEIGHT, "preference": term} for term in terms]
    affinity: JSON = dict(pod_spec.get("affinity") or {})
    own: JSON = dict(affinity.get("nodeAffinity") or {})
    if binds:
        own[REQUIRED] = _tightened(own.get(REQUIRED), terms)
    if preferred:
        own[PREFERRED] = [*(own.get(PREFERRED) or ()), *preferred]
    return Hinted({**affinity, "nodeAffinity": own}, bool(terms) and not binds)


def _meets(terms: Iterable[JSON], node: NodeView) -> bool:
    return any(holds(read_term(term), node) for term in terms)


def _tightened(own: JSON | None, terms: Iterable[JSON]) -> JSON:
    """Our expressions at the end of each of the pod's terms: the API server takes no new terms beside existing ones.

    A term of its own that is empty matches no node, and may not be added to.
    """
    mine = [expression for term in terms for expression in term["matchExpressions"]]
    existing = (own or {}).get("nodeSelectorTerms") or ()
    if not existing:
        return {"nodeSelectorTerms": list(terms)}
    return {"nodeSelectorTerms": [_with(term, mine) for term in existing]}


def _with(term: JSON, expressions: list[Any]) -> JSON:
    if not term.get("matchExpressions") and not term.get("matchFields"):
        return term
    return {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *expressions]}
