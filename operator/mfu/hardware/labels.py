"""What vendors and clouds call labels and resources: what is on a node, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WHOLE: Final = "nvidia.com/gpu"
"""The extended resource of whole GPUs, and what all vendors' whole GPUs are counted as."""
GPU_RESOURCES: Final = (WHOLE, "amd.com/gpu", "nvidia.com/gpu.shared")
"""Extended resources of whole GPUs, by vendor and by the name that a slicing device plugin gives them."""
PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
PRODUCT_LABELS: Final = (
    PRODUCT_LABEL,
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.product-name",
    "amd.com/gpu.device-name",
)
"""Node labels that name the product, the first that is there counts."""
CLIQUE_LABEL: Final = "nvidia.com/gpu.clique"
"""Node label of the NVLink domain that spans nodes."""
MIG_PREFIX: Final = "nvidia.com/mig-"
"""Extended resources of MIG slices: the prefix before the profile, as in nvidia.com/mig-1g.10gb."""
MIG_CONFIG_LABEL: Final = "nvidia.com/mig.config"
"""What mig-manager is asked for."""
AMD_PARTITION_LABELS: Final = ("amd.com/compute-memory-partition", "amd.com/gpu.compute-memory-partition")
"""Compute and memory partition of the GPUs (`spx_nps1`, `cpx_nps4`), by AMD's node labeller."""
AMD_PARTS: Final = {"spx": 1, "dpx": 2, "tpx": 3, "qpx": 4, "cpx": 8}
"""Devices that the system sees of one GPU."""
ZONE: Final = "topology.kubernetes.io/zone"

TOPOLOGY_PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "topograph": (ZONE, *(f"fabric.topograph.run/tier-{tier}" for tier in range(5, -1, -1))),
    "topograph before 1.0": (ZONE, *(f"network.topology.nvidia.com/{level}" for level in ("core", "spine", "leaf"))),
    "AWS": (ZONE, *(f"topology.k8s.aws/network-node-layer-{layer}" for layer in (1, 2, 3))),
    "GCP": (ZONE, *(f"cloud.google.com/gce-topology-{level}" for level in ("block", "subblock"))),
    "OCI": (ZONE, "oci.oraclecloud.com/host.network_block_id", "oci.oraclecloud.com/host.rack_id"),
    "zones": (ZONE,),
}
"""Label keys, widest level first, as the projects' own documentation gives them. Tier 0 of topograph is the nearest
switch, layer 3 of AWS the one nearest to the instance."""
NOT_KEPT_PREFIXES: Final = ("feature.node.kubernetes.io/", "cpu-feature.node.kubevirt.io/")
"""Labels that discovery tools write by the hundred and that no GPU pod selects by: keeping them only costs memory."""


def keeps(label: str) -> bool:
    """Whether the label is kept of nodes: of one that is, absent is known to be absent."""
    return not label.startswith(NOT_KEPT_PREFIXES)
