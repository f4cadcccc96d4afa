"""Rows for the roll-ups: every GPU of every node, held by a workload, by a pod without one, or by nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mfu.account.cost import price_per_hour
from mfu.account.rollup import Knowledge, Row
from mfu.api.workload_status import Meter
from mfu.decide.types import EffectivePolicy, NodeView
from mfu.engine.plan import WorkloadPlan
from mfu.engine.snapshot import Assignment, FleetReadings, PodView
from mfu.engine.where import device_of
from mfu.hardware.types import Device
from mfu.observe.counters import fleet_counters_mfu, peak_table

WHOLE = "nvidia.com/gpu"


def rows(
    nodes: Mapping[str, NodeView],
    assignment: Assignment,
    plans: Sequence[WorkloadPlan],
    readings: FleetReadings,
    policies: Mapping[str, EffectivePolicy],
    default: EffectivePolicy,
) -> list[Row]:
    """Every allocatable device exactly once."""
    found: list[Row] = []
    for plan in plans:
        knowledge, mfu = _known(plan)
        for pod in assignment.pods.get(plan.key, ()):
            found += _pod_rows(pod, nodes, mfu, knowledge, plan.policy)
    estimates = _estimates(readings, nodes)
    for pod in assignment.unclaimed:
        mfu = estimates.get(pod.key)
        knowledge = Knowledge.UNKNOWN if mfu is None else Knowledge.COUNTERS
        found += _pod_rows(pod, nodes, mfu, knowledge, policies.get(pod.namespace, default))
    held: dict[tuple[str, str], float] = defaultdict(float)
    everyone = [*assignment.unclaimed, *(pod for mine in assignment.pods.values() for pod in mine)]
    for pod in everyone:
        for resource, amount in pod.gpus.items():
            if pod.bound and pod.node:
                held[(pod.node, resource)] += amount
    return found + list(_idle(nodes.values(), held, default))


def _known(plan: WorkloadPlan) -> tuple[Knowledge, float | None]:
    best = plan.assessment.best() if plan.assessment else None
    if best is None or best.reference_mfu is None:
        return Knowledge.UNKNOWN, None
    return (Knowledge.PROGRESS if best.meter is Meter.PROGRESS else Knowledge.COUNTERS), best.reference_mfu


def _pod_rows(
    pod: PodView, nodes: Mapping[str, NodeView], mfu: float | None, knowledge: Knowledge, policy: EffectivePolicy
) -> Iterable[Row]:
    if not pod.bound or pod.node is None or pod.node not in nodes:
        return
    for resource, amount in pod.gpus.items():
        device = device_of(nodes[pod.node], resource)
        yield _row(pod.node, pod.namespace, device, amount, mfu, knowledge, policy)


def _idle(nodes: Iterable[NodeView], held: Mapping[tuple[str, str], float], policy: EffectivePolicy) -> Iterable[Row]:
    for node in nodes:
        resources = {WHOLE: node.gpus, **{f"nvidia.com/mig-{profile}": n for profile, n in node.mig.items()}}
        for resource, amount in resources.items():
            free = amount - held.get((node.name, resource), 0)
            if free > 0:
                device = device_of(node, resource)
                yield _row(node.name, None, device, free, 0.0, Knowledge.IDLE, policy)


def _row(
    node: str,
    namespace: str | None,
    device: Device | None,
    amount: float,
    mfu: float | None,
    knowledge: Knowledge,
    policy: EffectivePolicy,
) -> Row:
    share = device.mig.sm_fraction if device and device.mig else 1.0
    reference = device.gpu.reference_peak_flops_per_s if device else None
    return Row(
        node=node,
        namespace=namespace,
        product=device.gpu.api_name if device else None,
        gpus=amount * share,
        peak_flops_per_s=None if reference is None else reference * share * amount,
        reference_mfu=mfu,
        knowledge=knowledge,
        price_per_hour=price_per_hour(policy.prices, device, int(amount)),
    )


def _estimates(readings: FleetReadings, nodes: Mapping[str, NodeView]) -> dict[str, float]:
    """Reference MFU by pod key from counters alone, for pods that declare nothing. Unknown pods are absent."""
    if not readings.devices:
        return {}
    devices = tuple(_device_read(each.node, each.mig_profile, nodes) for each in readings.devices)
    mfu = fleet_counters_mfu(readings.values, peak_table(devices))
    by_pod: dict[str, list[float]] = defaultdict(list)
    for identity, value in zip(readings.devices, mfu.tolist(), strict=True):
        if identity.pod is not None and not identity.shared and not np.isnan(value):
            by_pod[f"{identity.namespace}/{identity.pod}"].append(value)
    return {key: sum(values) / len(values) for key, values in by_pod.items()}


def _device_read(node: str | None, profile: str | None, nodes: Mapping[str, NodeView]) -> Device | None:
    view = nodes.get(node or "")
    return device_of(view, f"nvidia.com/mig-{profile}" if profile else WHOLE)
