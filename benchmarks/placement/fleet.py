"""The fleet: 64 nodes drawn from a published one, by seed; leaves and a share of PCIe nodes are synthetic."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.placement_truth import HARDWARE, Hardware
from e2e.testbed.cluster.servers import KWOK_NODE_ANNOTATION

TRACE: Final = Path(__file__).parents[3] / "shared" / "data" / "traces" / "alibaba_2026_nodes.csv"
"""Duan et al., GFS, ASPLOS 2026: the GPU nodes of a production fleet, with product and GPUs of each."""
LABELS: Final = {
    "A10": "NVIDIA-A10",
    "A100-SXM4-80GB": "NVIDIA-A100-SXM4-80GB",
    "A800-SXM4-80GB": "NVIDIA-A800-SXM4-80GB",
    "H800": "NVIDIA-H800",
}
"""Products of the trace that have a name, as GPU feature discovery labels them; `GPU-series-*` is left out."""
PCIE: Final = {"NVIDIA-A100-SXM4-80GB": "NVIDIA-A100-80GB-PCIe"}
PCIE_SHARE: Final = 0.25
NODES_A_LEAF: Final = 8
LEAF_LABEL: Final = "fabric.topograph.run/tier-0"
CPUS_A_GPU: Final = 12


@dataclass(frozen=True, slots=True)
class FleetNode:
    name: str
    hardware: Hardware
    gpus: int
    leaf: str

    @property
    def manifest(self) -> dict[str, Any]:
        key, _, value = KWOK_NODE_ANNOTATION.partition("=")
        units = {
            "nvidia.com/gpu": str(self.gpus),
            "cpu": str(CPUS_A_GPU * self.gpus + 4),
            "memory": "1Ti",
            "pods": "110",
        }
        labels = {
            "kubernetes.io/hostname": self.name,
            "nvidia.com/gpu.product": self.hardware.label,
            "nvidia.com/gpu.count": str(self.gpus),
            LEAF_LABEL: self.leaf,
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "annotations": {key: value}, "labels": labels},
            "status": {"allocatable": units, "capacity": units},
        }


def fleet(seed: int, count: int) -> tuple[FleetNode, ...]:
    """Each product at least once; the rest by their GPUs, so that the many with a single one are not most of it.

    Nodes of one product are neighbours, as they are bought: a leaf has one product, but for the last of it.
    """
    chance = random.Random(f"fleet {seed}")
    drawn = sorted(_drawn(chance, count))
    made = []
    for number, (product, gpus) in enumerate(drawn):
        label = LABELS[product]
        label = PCIE[label] if label in PCIE and chance.random() < PCIE_SHARE else label
        made.append(FleetNode(f"n{number:02d}", HARDWARE[label], gpus, f"leaf-{number // NODES_A_LEAF}"))
    return tuple(made)


def _drawn(chance: random.Random, count: int) -> list[tuple[str, int]]:
    with TRACE.open(newline="") as lines:
        nodes = [(row["gpu_model"], int(row["gpu_capacity_num"])) for row in csv.DictReader(lines)]
    named = [node for node in nodes if node[0] in LABELS]
    # Efraimidis and Spirakis, 2006: the largest of u^(1/weight) are a weighted draw without replacement.
    keyed = sorted(named, key=lambda node: chance.random() ** (1.0 / node[1]), reverse=True)
    first = [next(node for node in keyed if node[0] == product) for product in LABELS]
    for each in first:
        keyed.remove(each)
    return [*first, *keyed][:count]
