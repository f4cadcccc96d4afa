"""Builders of what is acted upon: one placement on a node under a policy that lets everything pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mfu.act.proposals import Said, action_of
from mfu.act.types import Acted, Action, Addressee, Circumstances, Proposal, Sent, Track
from mfu.api.mfupolicy import ScalingDelivery
from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import HOST_LABEL, DeviceKind, Domain, Share
from mfu.decide.fleet.fitting import Grant, Quality
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome, Permit
from tests.builders.fleets import H100

NOW: Final = 1_800_000_000.0
ANY: Final = Permit(min_confidence=0.8, max_reading_age_seconds=120.0, max_per_minute=10, dwell_seconds=300.0)
EVERYTHING: Final[Mapping[ActionType, Permit]] = dict.fromkeys(ActionType, ANY)
ENFORCING: Final = EffectivePolicy(
    name="p",
    modes=dict.fromkeys(DecisionType, Mode.ENFORCE),
    actions=EVERYTHING,
    gate_deadline_seconds=60.0,
    scaling_delivery=ScalingDelivery.SCALE_SUBRESOURCE,
)


def grant(node: str = "n0", gpus: int = 8) -> Grant:
    return Grant(DeviceKind("", H100), Quality.ONE_DOMAIN, (Share(node, gpus),), (Domain(HOST_LABEL, node),))


def decision(kind: DecisionType = DecisionType.PLACEMENT, outcome: Outcome = Outcome.PLACE, **hint: Any) -> Decision:
    return Decision(kind, outcome, "Why", "why in words", hint=hint or None)


def said(each: Decision | None = None, *, node: str = "n0", workload: str = "team/w", **fields: Any) -> Said:
    made = Said(workload, each or decision(), ENFORCING, pods_wait=True, grants=(grant(node),))
    return replace(made, **fields)


def action(**fields: Any) -> Action:
    made = action_of(said(**fields))
    assert made is not None
    return made


def scaling(replicas: int = 4, workload: str = "team/w") -> Action:
    each = decision(DecisionType.SCALING, Outcome.SCALE, replicas=replicas)
    return action(each=each, owner=Addressee("Deployment", "serve"), workload=workload)


def selecting() -> Action:
    return action(pods_wait=False, owner=Addressee("Job", "train"))


def proposal(made: Action | None = None, **fields: Any) -> Proposal:
    ours = Proposal(made or action(), ENFORCING, confidence=0.9, observed_at=NOW - 10.0)
    return replace(ours, **fields)


def permitting(**fields: Any) -> EffectivePolicy:
    """The enforcing policy with other bounds for every action."""
    permit = replace(ANY, **fields)
    return replace(ENFORCING, actions=dict.fromkeys(ActionType, permit))


def circumstances(now: float = NOW, **fields: Any) -> Circumstances:
    made = Circumstances(now, telemetry_at=now - 5.0, switched_on=frozenset(ActionType))
    return replace(made, **fields)


def known(*tracks: Track, recent: tuple[Sent, ...] = ()) -> Acted:
    return Acted({each.action.tag: each for each in tracks}, recent)


def track(made: Action | None = None, **fields: Any) -> Track:
    """Sent ten seconds ago and not seen yet."""
    ours = Track(made or action(), since=NOW - 10.0, sent_at=NOW - 10.0, expected_by=NOW + 50.0)
    return replace(ours, **fields)
