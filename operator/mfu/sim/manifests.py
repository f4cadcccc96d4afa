"""Node objects of the simulated fleet, as GPU feature discovery and the device plugin leave them; KWOK runs them."""

from __future__ import annotations

from typing import Any, Final

from mfu.hardware.labels import MIG_CONFIG_LABEL, PRODUCT_LABEL, ZONE
from mfu.sim.inventory import NodeSpec
from mfu.units import MIB

KWOK_ANNOTATION: Final = "kwok.x-k8s.io/node"
SIMULATED_LABEL: Final = "sim.mfu.gpuaas.io/simulated"
MANAGER: Final = "mfu-sim"

_CPUS_PER_GPU: Final = 24
_MEMORY_GIB_PER_GPU: Final = 256


def node_manifest(node: NodeSpec) -> dict[str, Any]:
    """The Node without its status."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "annotations": {KWOK_ANNOTATION: "fake"},
            "labels": labels(node),
        },
    }


def node_status(node: NodeSpec) -> dict[str, Any]:
    """`status` with what the scheduler may hand out; conditions and addresses are KWOK's."""
    resources = {
        "cpu": str(_CPUS_PER_GPU * node.gpus),
        "memory": f"{_MEMORY_GIB_PER_GPU * node.gpus}Gi",
        "pods": "110",
        node.resource: str(node.gpus * node.instances_per_gpu),
    }
    return {"status": {"allocatable": resources, "capacity": resources}}


def labels(node: NodeSpec) -> dict[str, str]:
    """GFD's labels with MIG strategy `mixed`, and the topology labels that clouds set."""
    found = {
        "kubernetes.io/hostname": node.name,
        ZONE: node.zone,
        "cloud.provider.com/topology-block": node.block,
        "topology.kubernetes.io/rack": node.rack,
        "cloud.provider.com/topology-rack": node.rack,
        SIMULATED_LABEL: "true",
        "nvidia.com/gpu.present": "true",
        PRODUCT_LABEL: node.product_label,
        "nvidia.com/gpu.count": str(node.gpus),
        "nvidia.com/gpu.memory": str(int(node.gpu.memory_bytes / MIB)),
        "nvidia.com/gpu.family": node.gpu.architecture,
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/mig.capable": str(node.gpu.mig_max_instances > 0).lower(),
        "nvidia.com/mig.strategy": "mixed",
    }
    if node.mig is not None:
        resource = node.resource
        found[f"{resource}.count"] = str(node.gpus * node.instances_per_gpu)
        found[f"{resource}.memory"] = str(int(node.mig.memory_bytes / MIB))
        found[MIG_CONFIG_LABEL] = f"all-{node.mig.name}"
    return {key: value.replace("+", ".") for key, value in found.items()}
