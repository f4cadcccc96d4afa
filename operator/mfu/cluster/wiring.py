"""What a node's agent found of its GPUs that decides where work fits and how fast it runs: which NVLink joins, which
have failed, and at what power they are held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from mfu.api.gpunode import GPUNodeStatus, Health, NodeGPU, NVLink
from mfu.decide.types import NodeView


class Wiring(NamedTuple):
    """Of one node."""

    linked: int | None
    """GPUs of the largest set that NVLink joins; None where the agent saw no NVLink, or could not tell."""
    failed: int
    power_limit_watts: float | None = None
    """The lowest limit of those that are below what their GPU is shipped with; None where there is none."""


def wiring(item: dict[str, Any]) -> Wiring | None:
    """Of a GPUNode; None where it says nothing that can be read: then what the product is built for counts."""
    try:
        status = GPUNodeStatus.model_validate(item.get("status") or {})
    except ValidationError:
        return None
    failed = sum(gpu.health is Health.FAILED for gpu in status.gpus)
    found = Wiring(_linked(status.nvlink, len(status.gpus)), failed, _lowered(status.gpus))
    return None if found == Wiring(None, 0) else found


def wired(node: NodeView, found: Wiring | None) -> NodeView:
    if found is None:
        return node
    return replace(node, linked=found.linked, failed=found.failed, power_limit_watts=found.power_limit_watts)


def _lowered(gpus: Sequence[NodeGPU]) -> float | None:
    """A synchronous job goes at the pace of its slowest GPU, and which of a node's a pod gets is not known."""
    limits = [
        float(gpu.power_limit_watts)
        for gpu in gpus
        if gpu.power_limit_watts and gpu.power_limit_watts < (gpu.default_power_limit_watts or 0)
    ]
    return min(limits, default=None)


def _linked(nvlink: NVLink | None, gpus: int) -> int | None:
    if nvlink is None or {len(nvlink.matrix), *map(len, nvlink.matrix)} != {gpus}:
        return None
    return joined(nvlink.matrix)


def joined(matrix: Sequence[Sequence[int]]) -> int | None:
    """The most GPUs that reach each other over NVLink, peer by peer; None of a matrix without any link.

    A pair with less than half of the most links that any pair has does not count: a tensor group goes at the pace of
    its worst pair. Of eight GPUs behind a switch of which one has lost ten of its eighteen links, seven are joined.

    >>> joined([[0, 4, 0, 0], [4, 0, 0, 0], [0, 0, 0, 4], [0, 0, 4, 0]])
    2
    """
    most = max((links for row in matrix for links in row), default=0)
    if not most:
        return None
    left, largest = set(range(len(matrix))), 0
    while left:
        reached, edge = set[int](), {left.pop()}
        while edge:
            reached |= edge
            edge = {peer for each in edge for peer in left if 2 * matrix[each][peer] >= most}
            left -= edge
        largest = max(largest, len(reached))
    return largest
