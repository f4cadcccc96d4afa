"""GPUNode: what the agent of one node found there. Named as its Node, owned by it, status only."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mfu.api.base import Generation, Resource, ShortText, Timestamp, Word, list_map
from mfu.api.conditions import Condition
from mfu.api.metadata import ObjectMeta
from mfu.api.quantities import SizeQuantity

Index = Annotated[int, Field(ge=0, le=1023)]
LinkCount = Annotated[int, Field(ge=0, le=64)]


class Health(StrEnum):
    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    """Works, but slower than it should (throttled, link downgraded, pages retired)."""
    FAILED = "Failed"
    """Not usable (fallen off the bus, uncorrectable errors)."""
    UNKNOWN = "Unknown"


class MIGInstance(Resource):
    """One MIG slice."""

    uuid: Word
    """UUID of the MIG device."""
    profile: Word
    """Profile, such as 3g.40gb."""
    gpu_instance: Index
    """GPU instance id, as telemetry names it."""
    compute_instance: Index = 0
    """Compute instance id."""
    placement_start: Annotated[int, Field(ge=0, le=15)] | None = None
    """First memory slice."""


class PCIe(Resource):
    """Bus link of one GPU."""

    address: Word = ""
    """Bus address, such as 0000:17:00.0."""
    generation: Annotated[int, Field(ge=1, le=10)] | None = None
    """Present link generation."""
    width: Annotated[int, Field(ge=1, le=32)] | None = None
    """Present link width, in lanes."""
    max_generation: Annotated[int, Field(ge=1, le=10)] | None = None
    """Generation that GPU and slot could run."""
    max_width: Annotated[int, Field(ge=1, le=32)] | None = None
    """Width that GPU and slot could run, in lanes."""


class NodeGPU(Resource):
    """One GPU."""

    index: Index
    """Index as NVML counts on this node."""
    uuid: Word
    """UUID of the GPU."""
    product: Word = ""
    """Product in the catalog, such as H100-SXM5; empty when no product matches the name."""
    name: ShortText = ""
    """Name as the driver reports it."""
    memory: SizeQuantity | None = None
    """Memory."""
    mig_mode: bool = False
    """Whether MIG is on."""
    mig_instances: Annotated[tuple[MIGInstance, ...], list_map("uuid", bound=56)] = ()
    """MIG slices."""
    pcie: PCIe | None = None
    """Bus link."""
    numa_node: Annotated[int, Field(ge=0, le=1023)] | None = None
    """NUMA node that it hangs on."""
    health: Health = Health.UNKNOWN
    """Healthy, Degraded, Failed or Unknown."""
    health_reasons: Annotated[tuple[ShortText, ...], Field(max_length=16)] = ()
    """What is wrong, such as XID79, ECCUncorrectable, ThermalSlowdown, PowerCap or LinkDowngraded."""
    power_limit_watts: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Power limit in force, in watts."""
    default_power_limit_watts: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Power limit as shipped, in watts."""


class NVLink(Resource):
    """NVLink and NVSwitch topology of the node."""

    domain: ShortText = ""
    """Cluster UUID and clique of the NVLink domain, the same on all nodes of one domain; empty within a single node."""
    matrix: Annotated[tuple[Annotated[tuple[LinkCount, ...], Field(max_length=64)], ...], Field(max_length=64)] = ()
    """NVLink links between GPU i (row) and GPU j (column), by index; through NVSwitch each pair shows all links."""
    switched: bool = False
    """Whether the GPUs are joined by NVSwitch, so that every pair has full bandwidth."""


class GPUNodeStatus(Resource):
    """What the node's agent found."""

    observed_generation: Generation | None = None
    """metadata.generation seen by the agent."""
    observed_at: Timestamp | None = None
    """When the agent last looked and something had changed, at most five minutes ago while it lives (RFC 3339)."""
    agent_version: Word = ""
    """Version of the agent."""
    driver_version: Word = ""
    """Version of the GPU driver."""
    product: Word = ""
    """Product of all GPUs; empty when they differ."""
    gpus: Annotated[tuple[NodeGPU, ...], list_map("uuid", bound=64)] = ()
    """GPUs of the node."""
    nvlink: NVLink | None = None
    """NVLink topology."""
    summary: Word = ""
    """For the column of `kubectl get`: GPUs and how many of them are healthy, such as 8/8."""
    health: Health = Health.UNKNOWN
    """Worst health of its GPUs."""
    conditions: Annotated[tuple[Condition, ...], list_map("type", bound=8)] = ()
    """Ready: the agent reads its GPUs."""


class GPUNode(Resource):
    """GPUs, MIG layout, links and health of one node, as its agent reports them."""

    api_version: Literal["mfu.gpuaas.io/v1alpha1"] = "mfu.gpuaas.io/v1alpha1"
    kind: Literal["GPUNode"] = "GPUNode"
    metadata: ObjectMeta = ObjectMeta()
    status: GPUNodeStatus | None = None
    """What the node's agent found."""
