"""Where should what waits run? A place out of the ledger, as an affinity ready to paste; or what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mfu.decide.fleet.capacity import HOST_LABEL, Domain
from mfu.decide.fleet.fitting import Grant, Pick, Quality
from mfu.decide.fleet.shortage import Shortage
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome
from mfu.hardware.clouds import labelled_device, product_key

_REASONS: Final = {
    Quality.ONE_DOMAIN: Why.FITS_ONE_DOMAIN,
    Quality.WHOLE_GROUPS: Why.SPANS_DOMAINS,
    Quality.SPLIT_GROUPS: Why.SPLITS_TENSOR_GROUPS,
}
SLICE_TOPOLOGY: Final = "kueue.x-k8s.io/podset-slice-required-topology"
SLICE_SIZE: Final = "kueue.x-k8s.io/podset-slice-size"
"""https://kueue.sigs.k8s.io/docs/concepts/topology_aware_scheduling/"""
_MOST_NAMED: Final = 4
_MOST_PINNED: Final = 64
"""Domains in an affinity: a term with more of them is no hint any more."""


def placed(standing: Standing, ask: Need, choices: Sequence[Pick]) -> Decision:
    """Place, on what was drawn for it. Where not every copy found a place, the message says how many did."""
    grants = [each.grant for each in choices]
    worst = max(grants, key=lambda each: each.quality)
    place = _place(worst, ask)
    if ask.copies > 1:
        place = f"{len(grants)} of {ask.copies} replicas have a place, each {place}"
    place += _slow(grants) + _runner_up(choices[0], ask)
    return _decision(standing, Outcome.PLACE, _REASONS[worst.quality], place, preferred(grants))


def refused(standing: Standing, shortage: Shortage) -> Decision:
    return _decision(standing, Outcome.NONE, shortage.reason, shortage.message, None)


def _place(grant: Grant, ask: Need) -> str:
    domains = _named(grant.domains)
    if grant.quality is Quality.ONE_DOMAIN:
        return f"{grant.gpus} free {grant.kind.product_label} together on {domains}"
    if grant.quality is Quality.WHOLE_GROUPS:
        return (
            f"no NVLink domain has {grant.gpus} free {grant.kind.product_label}: "
            f"over {len(grant.domains)} of them ({domains}), tensor groups of {ask.tensor} whole"
        )
    if len(grant.domains) == 1:
        return (
            f"{grant.gpus} free {grant.kind.product_label} on {domains} only, where NVLink does not join the "
            f"{ask.tensor} of a tensor group; lower parallelism.tensor, or wait"
        )
    return (
        f"no NVLink domain has {ask.group} free {grant.kind.product_label}: tensor groups of {ask.tensor} are split "
        f"over {len(grant.domains)} of them ({domains}); lower parallelism.tensor, or wait"
    )


def _slow(grants: Sequence[Grant]) -> str:
    slow = sorted({node for each in grants for node in each.slow})
    return f"; marked slow: {_named(slow)}" if slow else ""


def _runner_up(choice: Pick, ask: Need) -> str:
    """What the best place on another product would have been worth."""
    second = choice.runner_up
    if second is None or second.worth is None or not choice.grant.worth:
        return ""
    share = second.worth / choice.grant.worth
    return f"; next best {second.kind.product_label} on {_named(second.domains)}, {share:.0%} of its {ask.unit} per GPU"


def _named(places: Sequence[Domain | str]) -> str:
    more = len(places) - _MOST_NAMED
    names = ", ".join(str(each) for each in places[:_MOST_NAMED])
    return names if more <= 0 else f"{names} and {more} more"


def where(grants: Sequence[Grant]) -> str:
    """The domains in words: "node n0, node n1"."""
    return _named(sorted({domain for grant in grants for domain in grant.domains}))


def preferred(grants: Sequence[Grant]) -> dict[str, Any]:
    """Node affinity that the scheduler weighs."""
    preference = {"weight": 100, "preference": {"matchExpressions": _terms(grants)}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}


def sayable(grants: Sequence[Grant]) -> bool:
    """Whether labels can name the place: a term without any expression would admit no node at all."""
    return bool(_terms(grants))


def required(grants: Sequence[Grant]) -> dict[str, Any]:
    """Node affinity that binds."""
    terms = {"nodeSelectorTerms": [{"matchExpressions": _terms(grants)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def selector(grants: Sequence[Grant]) -> dict[str, str]:
    """A nodeSelector has one value a label: what the grants have several of stays out."""
    return {term["key"]: term["values"][0] for term in _terms(grants) if len(term["values"]) == 1}


def product_selector(grants: Sequence[Grant]) -> dict[str, str]:
    """The product alone: unlike a node it is still there when the pods come.

    Empty where there are several, and where it is not sure by which label a node says so (AMD has three).
    """
    named = {grant.kind.product_label for grant in grants}
    name = next(iter(named)) if len(named) == 1 else ""
    key = product_key(name) if labelled_device(name, {}) else None
    return {} if key is None else {key: name}


def topology_annotations(ask: Need) -> dict[str, str]:
    """Of a pod template, for Kueue's topology-aware scheduling: the pods of one tensor group on one host.

    Groups of 8 in pods of 2 GPUs: slices of 4 pods. Empty where a pod holds a whole group already.
    """
    if ask.group <= ask.piece:
        return {}
    return {SLICE_TOPOLOGY: HOST_LABEL, SLICE_SIZE: str(ask.group // ask.piece)}


def _terms(grants: Sequence[Grant]) -> list[dict[str, Any]]:
    """Products and, where they are few or say all, and of one label, domains. Empty where neither can be said."""
    products = sorted({grant.kind.product_label for grant in grants})
    keys = {product_key(product) for product in products}
    # Terms are all to hold at once: names that stand under different labels admit no node together.
    key = keys.pop() if len(keys) == 1 else None
    terms: list[dict[str, Any]] = [] if key is None else [{"key": key, "operator": "In", "values": products}]
    domains = sorted({domain for grant in grants for domain in grant.domains})
    labels = {domain.label for domain in domains}
    if len(labels) == 1 and (len(domains) <= _MOST_PINNED or not terms):
        terms.append({"key": labels.pop(), "operator": "In", "values": [each.value for each in domains]})
    return terms


def _decision(
    standing: Standing, outcome: Outcome, reason: str, message: str, hint: Mapping[str, Any] | None
) -> Decision:
    mode = standing.policy.mode_of(DecisionType.PLACEMENT)
    return Decision(DecisionType.PLACEMENT, outcome, reason, message, mode, hint)
