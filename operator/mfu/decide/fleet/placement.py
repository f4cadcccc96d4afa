"""Where should it run? Product, NVLink domain or node set, MIG profile: an affinity ready to paste."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfu.decide.fleet.capacity import CLIQUE_LABEL, Room, Rooms
from mfu.decide.types import Case, Decision, DecisionType, Outcome
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU

PRODUCT_LABEL = "nvidia.com/gpu.product"


def placement(case: Case) -> Decision:
    """Running pods stay unless their NVLink group is split; waiting ones get the tightest room that fits."""
    if case.assigned:
        return _judge_present(case)
    return _find(case, case.rooms)


def _find(case: Case, rooms: Rooms) -> Decision:
    wanted, profile = case.spec.accelerators.count, case.spec.accelerators.mig_profile
    labels = rooms.labels(_allowed(case))
    tight = rooms.tightest(profile, labels, wanted)
    if tight is not None:
        scope = "NVLink domain" if tight.label == CLIQUE_LABEL else "node"
        message = f"{wanted} free {case.placement.device.label} together on {scope} {tight.value}"
        return _decision(case, Outcome.PLACE, "FitsOneDomain", message, _affinity(tight.product_label, tight))
    together, count = rooms.free(profile, labels)
    largest = rooms.largest(profile, labels)
    if together >= wanted and largest is not None:
        message = f"no NVLink domain has {wanted} free GPUs; {together} are free over {count} nodes"
        return _decision(case, Outcome.PLACE, "SpansDomains", message, _affinity(largest.product_label, None))
    message = f"{wanted} GPUs wanted, {together} free on {', '.join(labels) or 'any known product'}"
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


def _allowed(case: Case) -> set[str]:
    """Catalog keys of the products that the spec names."""
    found = (load().by_api_name(name) for name in case.spec.accelerators.products)
    return {gpu.key for gpu in found if isinstance(gpu, GPU)}


def _affinity(product_label: str, room: Room | None) -> dict[str, Any]:
    terms = [{"key": PRODUCT_LABEL, "operator": "In", "values": [product_label]}]
    if room is not None:
        terms.append({"key": room.label, "operator": "In", "values": [room.value]})
    preference = {"weight": 100, "preference": {"matchExpressions": terms}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}


def _decision(case: Case, outcome: Outcome, reason: str, message: str, hint: Mapping[str, Any] | None) -> Decision:
    mode = case.policy.mode_of(DecisionType.PLACEMENT)
    return Decision(DecisionType.PLACEMENT, outcome, reason, message, mode, hint)
