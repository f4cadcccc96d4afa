"""Who holds which GPUs where, as columns for the roll-ups; built anew only when pods, nodes or prices change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mfu.account.rollup import Indices, Knowledge, RollupRow, Table, table_of
from mfu.decide.types import EffectivePolicy, NodeView
from mfu.engine.drafts import UndeclaredPods, undeclared
from mfu.engine.holdings.workload import device_of, part_of
from mfu.engine.views import Assignment, PodView
from mfu.hardware.labels import MIG_PREFIX, WHOLE
from mfu.hardware.portions import Portion
from mfu.hardware.price import price_per_hour
from mfu.hardware.slices import base_resource

IDLE, UNCLAIMED, ELSEWHERE = -1, -2, -3
LEAST_GPUS = 1e-6
"""Less than this of a device is rounding: ten tenths of a GPU leave nothing."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a ground is made from."""

    claims: Assignment
    nodes: tuple[NodeView, ...]
    policies: Mapping[str, EffectivePolicy]
    default: EffectivePolicy

    def same(self, other: Grounds) -> bool:
        return (
            self.claims is other.claims
            and self.nodes == other.nodes
            and self.default == other.default
            and self.policies == other.policies
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """`owner` of each row is an index into `workloads`, IDLE, or UNCLAIMED; then `pods` names the pod."""

    made_from: Grounds
    table: Table
    owner: Indices
    workloads: tuple[str, ...]
    pods: tuple[str | None, ...]
    drafts: tuple[UndeclaredPods, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """GPUs of one resource on one node that belong together."""

    owner: int
    pod: str | None
    namespace: str | None
    node: str
    resource: str
    portion: Portion | None = None


def build(made_from: Grounds) -> Ground:
    """Every allocatable device exactly once: held by a workload, by a pod without one, or by nobody.

    What another operator speaks of is left out.
    """
    nodes = {node.name: node for node in made_from.nodes}
    workloads = tuple(made_from.claims.pods)
    amounts: dict[_Held, float] = defaultdict(float)
    left = {place: count for node in made_from.nodes for place, count in _holdable(node)}
    reserved = {node.name: float(node.reserved) for node in made_from.nodes if not node.sharing}
    for held, units in _held(made_from.claims, workloads, nodes):
        # Nobody holds more than is there, whatever a pod object claims.
        place = held.node, counted_as(held.resource)
        amount = min(units * _share(nodes[held.node], held.resource, held.portion), left.get(place, 0.0))
        if held.portion is not None and held.node in reserved:
            # What is shared is of devices that were taken for it: its own words take nobody else's.
            amount = min(amount, reserved[held.node])
            reserved[held.node] -= amount
        left[place] = left.get(place, 0.0) - amount
        amounts[held] += amount
    amounts.update(_idle(made_from.nodes, amounts))
    unsaid = {ELSEWHERE} if made_from.claims.idle else {ELSEWHERE, IDLE}
    amounts = {each: amount for each, amount in amounts.items() if each.owner not in unsaid}
    rows = [_row(each, amount, nodes, made_from) for each, amount in amounts.items()]
    owner = np.array([each.owner for each in amounts], dtype=np.int64)
    pods = tuple(each.pod for each in amounts)
    return Ground(made_from, table_of(rows), owner, workloads, pods, undeclared(made_from.claims.unclaimed))


def _held(claims: Assignment, workloads: tuple[str, ...], nodes: Mapping[str, NodeView]) -> Iterator[tuple[_Held, int]]:
    for owner, key in enumerate(workloads):
        for pod in claims.pods[key]:
            yield from _of(pod, owner, None, nodes)
    for pod in claims.unclaimed:
        yield from _of(pod, UNCLAIMED, pod.key, nodes)
    for pod in claims.elsewhere:
        yield from _of(pod, ELSEWHERE, pod.key, nodes)


def _of(pod: PodView, owner: int, name: str | None, nodes: Mapping[str, NodeView]) -> Iterator[tuple[_Held, int]]:
    if pod.node is None or pod.node not in nodes or not pod.active:
        return
    if pod.reserves:
        return
    mine = name if pod.portion is None else None
    for resource, amount in pod.gpus.items():
        yield _Held(owner, mine, pod.namespace, pod.node, resource, pod.portion), amount


def _idle(nodes: tuple[NodeView, ...], amounts: Mapping[_Held, float]) -> Iterator[tuple[_Held, float]]:
    taken: dict[tuple[str, str], float] = defaultdict(float)
    for each, amount in amounts.items():
        taken[(each.node, counted_as(each.resource))] += amount
    for node in nodes:
        for resource, count in _there(node).items():
            free = count - taken.get((node.name, resource), 0.0)
            if free > LEAST_GPUS:
                yield _Held(IDLE, None, None, node.name, resource), free


def _there(node: NodeView) -> dict[str, int]:
    return {WHOLE: node.gpus, **{f"{MIG_PREFIX}{profile}": count for profile, count in node.mig.items()}}


def _holdable(node: NodeView) -> Iterator[tuple[tuple[str, str], float]]:
    """Devices by what they count as, those included that fell ill under their pods."""
    ill: dict[str, float] = defaultdict(float)
    for resource, units in node.ill.items():
        ill[counted_as(resource)] += units * _share(node, resource)
    for resource, count in _there(node).items():
        yield (node.name, resource), count + ill[resource]


def counted_as(resource: str) -> str:
    """A node counts whole GPUs together, whatever their vendor calls them, and slices as parts of their device."""
    return base_resource(resource) if resource.startswith(MIG_PREFIX) else WHOLE


def _share(node: NodeView, resource: str, portion: Portion | None = None) -> float:
    """A slice of unknown size still sits on a device: it counts as one until the node's devices are used up."""
    share = part_of(node, resource, portion)
    return 1.0 if share is None else share


def _row(held: _Held, amount: float, nodes: Mapping[str, NodeView], made_from: Grounds) -> RollupRow:
    device = device_of(nodes[held.node], held.resource)
    share = device.mig.sm_fraction if device and device.mig else 1.0
    reference = device.gpu.reference_peak_flops_per_s if device else None
    policy = made_from.policies.get(held.namespace or "", made_from.default)
    unknown = part_of(nodes[held.node], held.resource, held.portion) is None
    return RollupRow(
        node=held.node,
        namespace=held.namespace,
        product=device.gpu.api_name if device else None,
        gpus=amount * share,
        peak_flops_per_s=None if reference is None else reference * share * amount,
        reference_mfu=None,
        knowledge=Knowledge.UNKNOWN,
        price_per_hour=None if unknown else policy.book.cost_per_hour(device, amount, nodes[held.node].labels),
        charge_per_hour=None if unknown else price_per_hour(policy.book.charges, device, amount),
        currency=policy.currency,
    )
