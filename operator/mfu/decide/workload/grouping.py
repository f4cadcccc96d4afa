"""Do running tensor-parallel groups sit together? Pods that run stay, unless a group is split over NVLink domains."""

from __future__ import annotations

from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome, Subject


def grouping(subject: Subject) -> Decision | None:
    """None while nothing of it runs: where it should go is decided among all."""
    if not subject.assigned:
        return None
    tensor = subject.setup.parallelism.tensor
    if subject.placement.gpus_per_node < min(tensor, subject.spec.accelerators.count):
        message = (
            f"tensor parallel {tensor} is split over nodes with {subject.placement.gpus_per_node} of its GPUs each: "
            f"pack it on one node, or lower training.parallelism.tensor"
        )
        return _decision(subject, Outcome.MOVE, Why.TENSOR_GROUP_SPLIT, message)
    message = f"runs on {subject.placement.device.label}, tensor-parallel groups inside one NVLink domain"
    return _decision(subject, Outcome.KEEP, Why.GROUPS_TOGETHER, message)


def _decision(subject: Subject, outcome: Outcome, reason: str, message: str) -> Decision:
    mode = subject.policy.mode_of(DecisionType.PLACEMENT)
    return Decision(DecisionType.PLACEMENT, outcome, reason, message, mode)
