"""Where should what waits run? A place out of the ledger, as an affinity ready to paste; or what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mfu.decide.fleet.capacity import Domain
from mfu.decide.fleet.fitting import Grant, Quality
from mfu.decide.fleet.shortage import Shortage
from mfu.decide.fleet.standing import Ask, Standing
from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome
from mfu.hardware.names import PRODUCT_LABEL

_REASONS: Final = {
    Quality.ONE_DOMAIN: Why.FITS_ONE_DOMAIN,
    Quality.WHOLE_GROUPS: Why.SPANS_DOMAINS,
    Quality.SPLIT_GROUPS: Why.SPLITS_TENSOR_GROUPS,
}
_MOST_NAMED: Final = 4
_MOST_PINNED: Final = 64
"""Domains in an affinity: a term with more of them is no hint any more."""


def placed(standing: Standing, ask: Ask, grants: Sequence[Grant]) -> Decision:
    """Place, on what was drawn for it. Where not every copy found a place, the message says how many did."""
    worst = max(grants, key=lambda each: each.quality)
    where = _where(worst, ask)
    if ask.copies > 1:
        where = f"{len(grants)} of {ask.copies} replicas have a place, each {where}"
    return _decision(standing, Outcome.PLACE, _REASONS[worst.quality], where, affinity(grants))


def refused(standing: Standing, shortage: Shortage) -> Decision:
    return _decision(standing, Outcome.NONE, shortage.reason, shortage.message, None)


def _where(grant: Grant, ask: Ask) -> str:
    domains = _named(grant.domains)
    if grant.quality is Quality.ONE_DOMAIN:
        return f"{grant.gpus} free {grant.kind.product_label} together on {domains}"
    if grant.quality is Quality.WHOLE_GROUPS:
        return (
            f"no NVLink domain has {grant.gpus} free {grant.kind.product_label}: "
            f"over {len(grant.domains)} of them ({domains}), tensor groups of {ask.tensor} whole"
        )
    return (
        f"no NVLink domain has {ask.group} free {grant.kind.product_label}: tensor groups of {ask.tensor} are split "
        f"over {len(grant.domains)} of them ({domains}); lower parallelism.tensor, or wait"
    )


def _named(domains: Sequence[Domain]) -> str:
    more = len(domains) - _MOST_NAMED
    names = ", ".join(str(each) for each in domains[:_MOST_NAMED])
    return names if more <= 0 else f"{names} and {more} more"


def affinity(grants: Sequence[Grant]) -> dict[str, Any]:
    """Preferred node affinity for the products and, where they are few, the domains of the grants."""
    products = sorted({grant.kind.product_label for grant in grants})
    terms = [{"key": PRODUCT_LABEL, "operator": "In", "values": products}]
    domains = sorted({domain for grant in grants for domain in grant.domains})
    labels = {domain.label for domain in domains}
    if len(labels) == 1 and len(domains) <= _MOST_PINNED:
        terms.append({"key": labels.pop(), "operator": "In", "values": [each.value for each in domains]})
    preference = {"weight": 100, "preference": {"matchExpressions": terms}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}


def _decision(
    standing: Standing, outcome: Outcome, reason: str, message: str, hint: Mapping[str, Any] | None
) -> Decision:
    mode = standing.policy.mode_of(DecisionType.PLACEMENT)
    return Decision(DecisionType.PLACEMENT, outcome, reason, message, mode, hint)
