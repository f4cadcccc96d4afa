"""ResourceSlices of NVIDIA's DRA driver: on which nodes it cuts MIG slices when a claim is allocated.

A slice that consumes counters which its GPU shares is not there yet: it is cut when it is claimed. What is laid out
already (static MIG) consumes none. Names as the driver publishes them:
https://github.com/kubernetes-sigs/dra-driver-nvidia-gpu/blob/main/cmd/gpu-kubelet-plugin/partitions.go
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mfu.cluster.resources import JSON
from mfu.decide.fleet.device_claims import DRIVER
from mfu.decide.fleet.partitions import PartitionedNode

OF_OUR_DRIVER: Final = f"spec.driver={DRIVER}"
"""The API server leaves out the slices of all other drivers."""


@dataclass(frozen=True, slots=True)
class CutSlices:
    """What one ResourceSlice says of slices that are cut on allocation; a node may need several to say all."""

    node: str
    pool: str
    generation: int
    """Of the pool: what an older one said is over."""
    product_label: str
    profiles: frozenset[str]


def cut_slices(item: JSON) -> CutSlices | None:
    """None for one that tells of none, such as whole GPUs, shared counters or what is laid out already."""
    spec = item["spec"]
    node, pool = spec.get("nodeName"), spec.get("pool") or {}
    cut = [each for each in spec.get("devices") or () if each.get("consumesCounters") and _text(each, "type") == "mig"]
    profiles = frozenset(filter(None, (_text(each, "profile") for each in cut)))
    if not node or not profiles or spec.get("driver") != DRIVER:
        return None
    product = _text(cut[0], "productName").replace(" ", "-")
    return CutSlices(node, str(pool.get("name", "")), int(pool.get("generation", 0)), product, profiles)


def _text(device: JSON, name: str) -> str:
    """An attribute of the driver's own, by its short or its full name."""
    attributes = device.get("attributes") or {}
    found = attributes.get(name) or attributes.get(f"{DRIVER}/{name}") or {}
    return str(found.get("string", ""))


def partitioned(slices: Iterable[CutSlices]) -> tuple[PartitionedNode, ...]:
    """By node, of each pool its newest generation."""
    known = list(slices)
    newest: dict[tuple[str, str], int] = {}
    for each in known:
        where = (each.node, each.pool)
        newest[where] = max(each.generation, newest.get(where, 0))
    found: dict[tuple[str, str], frozenset[str]] = {}
    for each in known:
        if each.generation == newest[each.node, each.pool]:
            key = (each.node, each.product_label)
            found[key] = found.get(key, frozenset()) | each.profiles
    return tuple(PartitionedNode(node, label, tuple(sorted(found[node, label]))) for node, label in sorted(found))
