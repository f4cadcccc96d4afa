"""What a job reaches where it runs, from measured rows alone. It grades all contenders and knows nothing of ours.

A rate is the row's MFU on that product, times what the links cost that its ranks really use, times a seeded ±15 % per
product, engine and link that nobody is told. Rows are named by their id in the table that has them: `foundry-…` and
`korthikanti22-…` in training_mfu.csv, `nanotron-…` there too, `sweep …` by parameters, GPUs and tensor degree in
layout_sweep.csv, the recordings by scenario.

What has no row: an A10 and an A800 get the MFU of the A100, an H800 that of the H100. For the A10 that flatters: it is
the chip that "cheapest first" fills. No row tells what a leaf costs, so nothing is charged for it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_MFU: Final = 0.85
"""No factor lifts a rate above what a matrix product alone reaches (matmul_ceilings.csv: 0.87 on A100)."""
SPREAD: Final = 0.15


class Link(StrEnum):
    NVLINK = "nvlink"
    PCIE = "pcie"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Hardware:
    """One kind of node. `dollars` is for a GPU-hour."""

    label: str
    row: str
    """Whose rows it is graded by: A100 or H100."""
    peak_flops_per_s: float
    dollars: float
    nvlink: bool = True
    kept: float = 1.0
    """Of the row's rate, by the best matrix products of both (matmul_ceilings.csv)."""


HARDWARE: Final = {
    each.label: each
    for each in (
        Hardware("NVIDIA-A10", "A100", 125e12, 0.75, nvlink=False),
        Hardware("NVIDIA-A100-80GB-PCIe", "A100", 312e12, 1.39, nvlink=False, kept=252.9 / 271.2),
        Hardware("NVIDIA-A800-SXM4-80GB", "A100", 312e12, 1.69),
        Hardware("NVIDIA-A100-SXM4-80GB", "A100", 312e12, 1.79),
        Hardware("NVIDIA-H800", "H100", 989.4e12, 2.99),
    )
}
"""The cheapest first. Prices are round figures in the range of public on-demand lists of 2025."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A program with its layout, and the rows that were measured of it."""

    name: str
    engine: str
    gpus: int
    tensor: int
    piece: int
    """GPUs of one pod; ranks are in the order of the pods."""
    a100: float
    h100: float
    """MFU with causal attention at half."""
    rows: tuple[str, str]
    """Where they stand, A100 and H100; `×` where the ratio of another program carried it over."""
    pcie: float
    """Of the rate over NVLink, what is left where ranks of one node talk over PCIe."""
    small: bool = False
    """It fits an A10's 24 GB."""


OVER_NODES: Final = 34.79 / 35.96
"""nanotron-002 ÷ nanotron-001: the same program on two nodes instead of one, data parallel."""
SPLIT_TENSOR: Final = ((26.9 / 38.7) / (38.7 / 43.9) + (16.0 / 33.7) / (33.7 / 40.6)) / 2
"""A tensor group over two nodes: sweep 8.86B on 16 and 32 GPUs, tensor 16 ÷ tensor 8, less what the same halving of
slices costs inside a node (tensor 8 ÷ tensor 4): 0.68."""
_SHORT = 0.23072824592857138 / 0.2583168311600002
"""qwen06-fsdp-amp-short, h200_trainer.jsonl: seconds of a step over NVLink ÷ over PCIe."""
_MIDDLE = 0.20158874680645147 / 0.2455352536800001
"""llama1b-fsdp-amp, the same."""
_LARGE = 1.0427179897142866 / 1.0954498642857118
"""llama3b-fsdp-bf16-ckpt, the same."""
_CHATTY = 0.1452 / 0.3501
"""H200-ddp-comm-pcie ÷ H200-ddp-comm-nvlink, gpu_runs.csv: the most communication that was recorded. Nobody recorded
tensor parallelism without NVLink; it is not less."""
_BY_13B = 0.4457 / 0.2933
"""foundry-086 ÷ foundry-028: the same program on A100 and H100."""
_BY_1B = 0.5181 / 0.3893
"""foundry-180 ÷ foundry-059."""

KINDS: Final = {
    each.name: each
    for each in (
        Kind("760m-short", "LLM Foundry", 1, 1, 1, 0.5107, 0.3788, ("foundry-193", "foundry-069"), _SHORT, small=True),
        Kind("760m", "LLM Foundry", 4, 1, 1, 0.4515, 0.3054, ("foundry-187", "foundry-065"), _MIDDLE, small=True),
        Kind("1b-long", "LLM Foundry", 4, 1, 2, 0.4441, 0.3031, ("foundry-175", "foundry-054"), _MIDDLE),
        Kind("ddp", "PyTorch", 2, 1, 1, 0.3501 * _BY_1B, 0.3501, ("ddp-comm-nvlink ×", "ddp-comm-nvlink"), _CHATTY),
        Kind("3b", "LLM Foundry", 8, 1, 1, 0.5422, 0.3791, ("foundry-102", "foundry-045"), _LARGE),
        Kind("7b", "LLM Foundry", 8, 1, 2, 0.4287, 0.3249, ("foundry-153", "foundry-037"), _LARGE),
        Kind("13b", "LLM Foundry", 8, 1, 4, 0.4457, 0.2933, ("foundry-086", "foundry-028"), _LARGE),
        Kind(
            "22b-tp8", "Megatron", 8, 8, 2, 0.4057, 0.4057 / _BY_13B, ("korthikanti22-002", "korthikanti22-002 ×"),
            _CHATTY,
        ),
        Kind("9b-tp4", "nanotron", 8, 4, 2, 0.378 * _BY_13B, 0.378, ("sweep 8.86 8 4 ×", "sweep 8.86 8 4"), _CHATTY),
        Kind("30b", "LLM Foundry", 16, 1, 4, 0.5514, 0.3832, ("foundry-083", "foundry-026"), _LARGE),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one pod of a job is."""

    node: str
    product: str
    """Label of its node."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true in one seed's world."""

    seed: int

    def factor(self, what: str) -> float:
        """0.85–1.15, the same for the same name."""
        return 1.0 + SPREAD * (2.0 * random.Random(f"{self.seed} {what}").random() - 1.0)

    def mfu(self, kind: Kind, product: str) -> float:
        """Of ranks that talk over NVLink or to nobody."""
        hardware = HARDWARE[product]
        row = kind.a100 if hardware.row == "A100" else kind.h100
        return row * hardware.kept * self.factor(product) * self.factor(kind.engine)

    def flops_per_s(self, kind: Kind, spots: Sequence[Spot]) -> float:
        """Of the whole job, `spots` in the order of its ranks: all wait for the slowest product and the worst link.

        Sixteen GPUs of `30b` on two nodes of A100 without spread: 16 · 312e12 · 0.5514 · 0.967 = 2.66e15.
        """
        slowest = min(
            min(MOST_MFU, self.mfu(kind, product)) * HARDWARE[product].peak_flops_per_s
            for product in {spot.product for spot in spots}
        )
        return kind.gpus * slowest * self.links(kind, spots)

    def links(self, kind: Kind, spots: Sequence[Spot]) -> float:
        """Of the rate over NVLink, what the links leave."""
        used = _links(kind, spots)
        kept = {Link.NVLINK: 1.0, Link.PCIE: kind.pcie, Link.NETWORK: OVER_NODES}
        cost = min((min(1.0, kept[link] * self.factor(link)) for link in used), default=1.0)
        if Link.NETWORK in used and any(not HARDWARE[spot.product].nvlink for spot in spots):
            # Such nodes have no adapter a GPU: what leaves one goes through the host, as between its GPUs.
            cost = min(cost, kind.pcie * self.factor(Link.PCIE))
        return cost * (SPLIT_TENSOR if splits_tensor_group(kind, spots) else 1.0)


def _links(kind: Kind, spots: Sequence[Spot]) -> set[Link]:
    """What its ranks talk over."""
    used: set[Link] = set()
    nodes = {spot.node for spot in spots}
    if len(nodes) > 1:
        used.add(Link.NETWORK)
    for node in nodes:
        mine = [spot for spot in spots if spot.node == node]
        if len(mine) * kind.piece > 1:
            used.add(Link.NVLINK if HARDWARE[mine[0].product].nvlink else Link.PCIE)
    return used


def splits_tensor_group(kind: Kind, spots: Sequence[Spot]) -> bool:
    """Whether ranks of one tensor group are on several nodes."""
    pods = max(1, kind.tensor // kind.piece)
    groups = [spots[start : start + pods] for start in range(0, len(spots), pods)]
    return any(len({spot.node for spot in group}) > 1 for group in groups)
