"""The work: 300 jobs of ten programs that arrive by chance, the same for every contender of one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.placement_truth import HARDWARE, KINDS, Kind

WEIGHTS: Final = {
    "760m-short": 0.33,
    "760m": 0.17,
    "1b-long": 0.09,
    "ddp": 0.12,
    "3b": 0.07,
    "7b": 0.07,
    "13b": 0.04,
    "22b-tp8": 0.05,
    "9b-tp4": 0.05,
    "30b": 0.01,
}
"""Most jobs are small, most GPUs belong to those of a whole node: what production clusters report."""
SECONDS: Final = (50.0, 90.0)
"""How long a job would take on A100 by its row, evenly between."""
ARRIVE_WITHIN_SECONDS: Final = 260.0
"""All 300 arrive in this time, at chance moments."""
API_NAMES: Final = {
    "NVIDIA-A10": "A10",
    "NVIDIA-A100-80GB-PCIe": "A100-PCIe-80GB",
    "NVIDIA-A800-SXM4-80GB": "A800-SXM4-80GB",
    "NVIDIA-A100-SXM4-80GB": "A100-SXM4-80GB",
    "NVIDIA-H800": "H800-SXM5",
}


@dataclass(frozen=True, slots=True)
class Work:
    """One job: it is done when its FLOPs are."""

    name: str
    kind: Kind
    arrives_at: float
    """Seconds after the start."""
    flops: float

    @property
    def pods(self) -> int:
        return self.kind.gpus // self.kind.piece

    @property
    def products(self) -> tuple[str, ...]:
        """Labels of the products that its owner allows: those whose memory it fits."""
        return tuple(label for label in HARDWARE if self.kind.small or label != "NVIDIA-A10")


def work(seed: int, count: int, within_seconds: float) -> tuple[Work, ...]:
    """In the order of arrival."""
    chance = random.Random(f"work {seed}")
    moments = sorted(chance.uniform(0.0, within_seconds) for _ in range(count))
    return tuple(_job(chance, number, moment) for number, moment in enumerate(moments))


def _job(chance: random.Random, number: int, moment: float) -> Work:
    kind = KINDS[chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]]
    per_gpu = kind.a100 * HARDWARE["NVIDIA-A100-SXM4-80GB"].peak_flops_per_s
    return Work(f"job-{number:03d}", kind, moment, kind.gpus * per_gpu * chance.uniform(*SECONDS))


def _mpt(layers: int, hidden: int) -> dict[str, Any]:
    return {
        "layers": layers,
        "hidden": hidden,
        "heads": hidden // 128,
        "ffn": 4 * hidden,
        "vocab": 50368,
        "gatedFFN": False,
        "tiedEmbeddings": True,
    }


_GPT_22B: Final = {
    "layers": 48, "hidden": 6144, "heads": 64, "ffn": 24576, "vocab": 51200, "gatedFFN": False, "tiedEmbeddings": True,
}  # fmt: skip
_LLAMA_9B: Final = {"layers": 32, "hidden": 4096, "heads": 32, "ffn": 14336, "vocab": 131072}
_GPT_1B: Final = {"layers": 24, "hidden": 2048, "heads": 16, "ffn": 8192, "vocab": 50304, "gatedFFN": False}


@dataclass(frozen=True, slots=True)
class Declared:
    """What a tenant writes into the ModelWorkload of a program: what the cited rows say of it."""

    dimensions: dict[str, Any]
    sequence: int
    micro: int
    """Small enough for every product that it allows; the rows fill a memory of 80 GB where there is one."""
    steps: int = 4
    """Micro-batches of a step."""
    recompute: str = "None"
    sharding: str = "FSDP"
    engine: str = ""


DECLARED: Final = {
    "760m-short": Declared(_mpt(24, 1536), 1024, 4),
    "760m": Declared(_mpt(24, 1536), 4096, 1),
    "1b-long": Declared(_mpt(24, 2048), 8192, 2),
    "ddp": Declared(_GPT_1B, 2048, 1, steps=1, sharding="DDP"),
    "3b": Declared(_mpt(32, 2560), 4096, 5),
    "7b": Declared(_mpt(32, 4096), 8192, 3, recompute="Full"),
    "13b": Declared(_mpt(40, 5120), 16384, 2, recompute="Full"),
    "22b-tp8": Declared(_GPT_22B, 2048, 4, steps=1, recompute="Selective", sharding="DDP", engine="Megatron"),
    "9b-tp4": Declared(_LLAMA_9B, 4096, 1, steps=64, sharding="ZeRO1"),
    "30b": Declared(_mpt(48, 7168), 1024, 6, recompute="Full"),
}


def declaration(job: Work) -> dict[str, Any]:
    """Its ModelWorkload. Who wants work for little money says so."""
    kind, said = job.kind, DECLARED[job.kind.name]
    data = kind.gpus // kind.tensor
    spec: dict[str, Any] = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": job.name},
        "model": {"architecture": said.dimensions},
        "precision": {"compute": "BF16"},
        "accelerators": {"count": kind.gpus, "products": [API_NAMES[label] for label in job.products]},
        "training": {
            "sequenceLength": said.sequence,
            "globalBatchSize": data * said.micro * said.steps,
            "microBatchSize": said.micro,
            "parallelism": {"tensor": kind.tensor, "data": data},
            "sharding": said.sharding,
            "recompute": said.recompute,
        },
        "tunable": [],
        "objective": "Cost",
    }
    if said.engine:
        spec["runtime"] = {"engine": said.engine}
    return {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": job.name},
        "spec": spec,
    }
