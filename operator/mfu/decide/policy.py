"""Which MFUPolicy governs which namespace, and what it comes to. Without any, safe defaults: observe and recommend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mfu.api.mfupolicy import Learning, PolicySpec
from mfu.api.policy_checks import policy_problems
from mfu.api.powers import PermittedAction, ReclaimStep
from mfu.api.quantities import price
from mfu.decide.ladder import ReclaimRules, Rung
from mfu.decide.types import DecisionType, EffectivePolicy, Permit, SharingRules
from mfu.hardware.catalog import load
from mfu.hardware.price import LabelledPrice, PriceBook
from mfu.hardware.types import GPU

DEFAULT = EffectivePolicy()


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """One valid policy by name."""

    name: str
    spec: PolicySpec


def problem(spec: PolicySpec) -> str | None:
    """Why the policy can not be in force, naming field and fix; None when it can."""
    return "; ".join(f"spec.{each.message}" for each in policy_problems(spec)) or None


def governing(policies: Iterable[NamedPolicy], namespaces: Mapping[str, Mapping[str, str]]) -> dict[str, NamedPolicy]:
    """Policy by namespace: of those whose selector matches, the highest priority, then the first by name."""
    ranked = sorted(policies, key=lambda each: (-each.spec.priority, each.name))
    chosen = {}
    for namespace, labels in namespaces.items():
        first = next((each for each in ranked if each.spec.namespace_selector.matches(labels)), None)
        if first is not None:
            chosen[namespace] = first
    return chosen


def effective(policy: NamedPolicy | None) -> EffectivePolicy:
    """The policy as the rules read it: fractions, prices by product name of the catalog."""
    if policy is None:
        return DEFAULT
    spec = policy.spec
    return EffectivePolicy(
        name=policy.name,
        modes={kind: spec.modes.of(kind) for kind in DecisionType},
        expected_of_attainable=spec.floors.expected_of_attainable_percent / 100,
        observed_of_expected=spec.floors.observed_of_expected_percent / 100,
        idle_minutes=float(spec.floors.idle_minutes),
        currency=spec.currency,
        per_workload=spec.metrics.per_workload,
        learns=spec.learning is Learning.SHARED,
        book=price_book(spec),
        scaling_min_replicas=spec.scaling.min_replicas,
        scaling_max_replicas=spec.scaling.max_replicas,
        scaling_max_step=spec.scaling.max_step_percent / 100,
        scaling_cooldown_seconds=float(spec.scaling.cooldown_seconds),
        scaling_headroom=spec.scaling.headroom_percent / 100,
        scaling_delivery=spec.scaling.delivery,
        sharing=SharingRules(
            methods=spec.sharing.methods,
            across_namespaces=spec.sharing.across_namespaces,
            min_kept=spec.sharing.min_kept_percent / 100,
            max_latency_increase=spec.sharing.max_latency_increase_percent / 100,
        ),
        topology_levels=tuple(spec.topology_levels),
        actions={each.type: _permit(each) for each in spec.actions},
        gate_deadline_seconds=float(spec.gate.deadline_seconds),
        oversubscription={each.priority_class: each.max_percent / 100 for each in spec.oversubscription},
        reclaim=ReclaimRules(
            rungs=tuple(_rung(each) for each in spec.reclaim.steps),
            window_seconds=60.0 * spec.reclaim.window_minutes,
            max_exemption_seconds=3600.0 * spec.reclaim.max_exemption_hours,
        ),
    )


def _rung(step: ReclaimStep) -> Rung:
    return Rung(60.0 * step.after_idle_minutes, step.action, 60.0 * step.grace_minutes)


def _permit(each: PermittedAction) -> Permit:
    return Permit(
        min_confidence=each.min_confidence_percent / 100,
        max_reading_age_seconds=float(each.max_reading_age_seconds),
        max_per_minute=each.max_per_minute,
        dwell_seconds=float(each.dwell_seconds),
    )


def price_book(spec: PolicySpec) -> PriceBook:
    """Whatever stands in the policy about money, by the catalog's product names."""
    known = [(gpu.api_name, row) for row in spec.prices if isinstance(gpu := load().by_api_name(row.product), GPU)]
    written, read = spec.charged_per_million_tokens, spec.charged_per_million_input_tokens
    return PriceBook(
        prices={name: price(row.per_gpu_hour) for name, row in known},
        on_nodes={
            name: tuple(LabelledPrice(each.label, each.value, price(each.per_gpu_hour)) for each in row.by_node_label)
            for name, row in known
            if row.by_node_label
        },
        charges={name: price(row.charged_per_gpu_hour) for name, row in known if row.charged_per_gpu_hour is not None},
        charge_per_million_tokens=None if written is None else price(written),
        charge_per_million_input_tokens=None if read is None else price(read),
    )
