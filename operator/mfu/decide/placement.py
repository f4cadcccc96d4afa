"""Where should it run? Product, NVLink domain or node set, MIG profile: an affinity ready to paste."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mfu.decide.types import Case, Decision, DecisionType, NodeView, Outcome
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU

PRODUCT_LABEL = "nvidia.com/gpu.product"
CLIQUE_LABEL = "nvidia.com/gpu.clique"
HOST_LABEL = "kubernetes.io/hostname"
WHOLE = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class _Room:
    """GPUs of one kind that are free together: one NVLink domain that spans nodes, or one node."""

    product_label: str
    label: str
    value: str
    free: int
    nodes: int


def placement(case: Case) -> Decision:
    """Running pods stay unless their NVLink group is split; waiting ones get the tightest room that fits."""
    if case.assigned:
        return _judge_present(case)
    wanted = case.spec.accelerators.count
    labels = _product_labels(case)
    rooms = sorted(_rooms(case, labels), key=lambda room: (room.free, room.value))
    tight = next((room for room in rooms if room.free >= wanted), None)
    if tight is not None:
        scope = "NVLink domain" if tight.label == CLIQUE_LABEL else "node"
        message = f"{wanted} free {case.placement.device.label} together on {scope} {tight.value}"
        return _decision(case, Outcome.PLACE, "FitsOneDomain", message, _affinity(tight.product_label, tight))
    together = sum(room.free for room in rooms)
    if together >= wanted and rooms:
        message = f"no NVLink domain has {wanted} free GPUs; {together} are free over {len(rooms)} nodes"
        return _decision(case, Outcome.PLACE, "SpansDomains", message, _affinity(rooms[-1].product_label, None))
    message = f"{wanted} GPUs wanted, {together} free on {', '.join(sorted(labels)) or 'any known product'}"
    return _decision(case, Outcome.NONE, "NoRoom", message, None)


def _judge_present(case: Case) -> Decision:
    tensor = case.setup.parallelism.tensor
    if case.placement.gpus_per_node < min(tensor, case.spec.accelerators.count):
        message = (
            f"tensor parallel {tensor} is split over nodes with {case.placement.gpus_per_node} of its GPUs each: "
            f"pack it on one node, or lower training.parallelism.tensor"
        )
        return _decision(case, Outcome.MOVE, "TensorGroupSplit", message, None)
    message = f"runs on {case.placement.device.label}, tensor-parallel groups inside one NVLink domain"
    return _decision(case, Outcome.KEEP, "GroupsTogether", message, None)


def _product_labels(case: Case) -> set[str]:
    """GFD labels of nodes whose product the spec allows."""
    allowed = {gpu.key for name in case.spec.accelerators.products if isinstance(gpu := load().by_api_name(name), GPU)}
    return {
        node.product_label
        for node in case.nodes
        if node.product_label and node.device and (not allowed or node.device.gpu.key in allowed)
    }


def _rooms(case: Case, labels: set[str]) -> Iterable[_Room]:
    free: Mapping[tuple[str, str, str], list[int]] = defaultdict(list)
    for node in case.nodes:
        if node.product_label not in labels:
            continue
        amount = _free(node, case)
        if amount:
            label, value = (CLIQUE_LABEL, node.domain) if node.domain else (HOST_LABEL, node.name)
            free[(node.product_label, label, value)].append(amount)
    return [_Room(*key, free=sum(amounts), nodes=len(amounts)) for key, amounts in free.items()]


def _free(node: NodeView, case: Case) -> int:
    profile = case.spec.accelerators.mig_profile
    if profile:
        return node.free(f"nvidia.com/mig-{profile}", node.mig.get(profile, 0))
    return node.free(WHOLE, node.gpus)


def _affinity(product_label: str, room: _Room | None) -> dict[str, Any]:
    terms = [{"key": PRODUCT_LABEL, "operator": "In", "values": [product_label]}]
    if room is not None:
        terms.append({"key": room.label, "operator": "In", "values": [room.value]})
    preference = {"weight": 100, "preference": {"matchExpressions": terms}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}


def _decision(case: Case, outcome: Outcome, reason: str, message: str, hint: Mapping[str, Any] | None) -> Decision:
    mode = case.policy.mode_of(DecisionType.PLACEMENT)
    return Decision(DecisionType.PLACEMENT, outcome, reason, message, mode, hint)
