"""Who plays in the demo: each example with the pods behind it and the truth planted in them.

The planted MFUs are published or recorded levels, never the operator's own prediction; `source` says whose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PREFIX = "sim.mfu.gpuaas.io/"
NODES = "H100-SXM5=3,H100-SXM5:1g.10gb=1,H200-SXM=4"


@dataclass(frozen=True, slots=True)
class Part:
    """One example workload. `planted` are the simulator's annotations; `nodes` the GFD product its pods ask for."""

    example: str
    namespace: str
    kind: str
    product: str
    gpus: int
    planted: dict[str, str]
    source: str
    pods: int = 1
    resource: str = "nvidia.com/gpu"
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.example}"

    def manifest(self) -> dict[str, Any]:
        """The Job or Deployment that a tenant would have written, with the plan for the simulator in its template."""
        return _job(self) if self.kind == "Job" else _deployment(self)


def _template(part: Part, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "trainer" if part.kind == "Job" else "engine",
        "image": "registry.example/model:demo",
        "resources": {"limits": {part.resource: str(part.gpus)}},
    }
    return {
        "metadata": {
            "labels": {"app": part.example},
            "annotations": {PREFIX + name: value for name, value in part.planted.items()},
        },
        "spec": {
            "containers": [container],
            "nodeSelector": {"nvidia.com/gpu.product": part.product},
            **spec,
        },
    }


def _job(part: Part) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": part.example, "namespace": part.namespace},
        "spec": {
            "parallelism": part.pods,
            "completions": part.pods,
            "completionMode": "Indexed",
            "template": _template(part, restartPolicy="Never"),
        },
    }


def _deployment(part: Part) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": part.example, "namespace": part.namespace},
        "spec": {
            "replicas": part.pods,
            "selector": {"matchLabels": {"app": part.example}},
            "template": _template(part),
        },
    }


H100, H200 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200"

CAST = (
    Part(
        "dense-training",
        "team-llm",
        "Job",
        H100,
        gpus=8,
        planted={"mfu": "0.347", "model": "llama-3.1-8b", "sequence-length": "8192"},
        source="torchtitan benchmarks/llama3_h100_202412: 8B on 8 H100 (96 GB) compiled: 6,667 tokens/s a GPU = 34.7 %",
    ),
    Part(
        "moe-training",
        "team-llm",
        "Job",
        H200,
        gpus=8,
        pods=2,
        planted={"mfu": "0.47", "model": "mixtral-8x7b", "sequence-length": "4096"},
        source="Megatron-Core's README, Mixtral 8x7B on 64 H100: 47.3 %",
    ),
    Part(
        "faulty-training",
        "team-vision",
        "Job",
        H100,
        gpus=8,
        planted={
            "mfu": "0.15",
            "fault": "slow-link",
            "model": "llama-3.1-8b",
            "sequence-length": "4096",
        },
        source="the recording ddp-comm-pcie: 14.5 % with peer-to-peer switched off",
    ),
    Part(
        "serving-prefill-heavy",
        "team-chat",
        "Deployment",
        H100,
        gpus=4,
        planted={
            "mfu": "0.56",
            "mode": "Prefill",
            "model": "llama-3.1-70b",
            "input-tokens": "4000",
            "output-tokens": "1",
            "concurrency": "8",
        },
        source="the recorded one-GPU prefill (62.9 %) × 57.0 ÷ 63.7 % (LMDeploy, A100: 70B on four, 7B on one)",
    ),
    Part(
        "serving-decode-heavy",
        "team-chat",
        "Deployment",
        H200,
        gpus=4,
        planted={
            "mfu": "0.125",
            "mbu": "0.47",
            "mode": "Decode",
            "model": "llama-3.1-70b",
            "input-tokens": "1000",
            "output-tokens": "600",
            "concurrency": "64",
        },
        source="the pace of a vLLM CI run of this model on 4 H200 (weights at 45 % of bandwidth), with 64 sequences",
    ),
    Part(
        "mig-small",
        "team-edge",
        "Deployment",
        H100,
        gpus=1,
        planted={
            "mfu": "0.12",
            "mbu": "0.57",
            "mode": "Serving",
            "model": "llama-3.2-1b",
            "input-tokens": "512",
            "output-tokens": "128",
            "concurrency": "16",
        },
        source="no published run of such a slice: its weights and cache read at 57 % of the slice's bandwidth",
        resource="nvidia.com/mig-1g.10gb",
    ),
)


def namespaces() -> Iterator[dict[str, Any]]:
    for name in sorted({part.namespace for part in CAST}):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
