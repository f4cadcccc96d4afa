"""Simulated nodes and the devices in them: products from the catalog, stable UUIDs, MIG layouts."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mfu.hardware.catalog import load
from mfu.hardware.labels import MIG_PREFIX, WHOLE
from mfu.hardware.problem import Problem, ProblemReason
from mfu.hardware.products import product_named
from mfu.hardware.types import GPU, Device, MIGProfile

GPU_RESOURCE: Final = WHOLE

_UUID_NAMESPACE: Final = uuid.UUID("6f0e9a5e-51a1-4c0e-9f39-1d0a53c5a1b7")
_PCI_BUSES: Final = ("1B", "43", "52", "61", "9D", "C3", "D1", "DF")
_FIRST_INSTANCE_ID: Final = {7: 0, 4: 1, 3: 1, 2: 3, 1: 7}
"""GPU-instance ids start so in `nvidia-smi mig -lgi` listings of 7-slice boards: 7g 0, 3g and 4g 1, 2g 3, 1g 7."""

_SPEC: Final = re.compile(r"^(?P<product>[^:=]+)(:(?P<mig>[^=]+))?=(?P<count>\d+)$")


class ImpossibleNode(ValueError):
    """A node names a product or MIG profile that does not exist; the message names the nearest."""

    def __init__(self, why: Problem) -> None:
        super().__init__(why.message)
        self.why = why


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One simulated node. `mig_profile` partitions every GPU of the node uniformly."""

    name: str
    gpu: GPU
    gpus: int = 8
    mig: MIGProfile | None = None
    zone: str = "zone-a"
    block: str = "block-0"
    rack: str = "rack-0"
    shown_as: str = ""
    """Name that driver and discovery give the GPU; empty: the product's own. For products that nobody knows."""

    @property
    def model_name(self) -> str:
        return self.shown_as or self.gpu.name

    @property
    def product_label(self) -> str:
        """`nvidia.com/gpu.product` as GPU feature discovery writes it: blanks become dashes, the rest is dropped."""
        return re.sub(r"[^A-Za-z0-9._-]", "", self.model_name.replace(" ", "-"))

    @property
    def resource(self) -> str:
        return GPU_RESOURCE if self.mig is None else f"{MIG_PREFIX}{self.mig.name}"

    @property
    def device(self) -> Device:
        return Device(self.gpu, self.mig)

    @property
    def instances_per_gpu(self) -> int:
        return 1 if self.mig is None else self.mig.max_instances


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that can be allocated: a GPU, or one MIG instance of it."""

    node: str
    index: int
    uuid: str
    pci_bus_id: str
    device: Device
    resource: str
    instance: int | None = None


def slots(node: NodeSpec) -> Iterator[Slot]:
    """Every allocatable device of the node, in the order in which they are handed out."""
    for index in range(node.gpus):
        for place in range(node.instances_per_gpu):
            instance = None if node.mig is None else _FIRST_INSTANCE_ID[node.mig.compute_slices] + place
            identity, bus = gpu_uuid(node.name, index), _pci_bus_id(index)
            yield Slot(node.name, index, identity, bus, node.device, node.resource, instance)


def gpu_uuid(node: str, index: int) -> str:
    """The same UUID for the same node name and index, in every run."""
    return f"GPU-{uuid.uuid5(_UUID_NAMESPACE, f'{node}/{index}')}"


def _pci_bus_id(index: int) -> str:
    domain, bus = divmod(index, len(_PCI_BUSES))
    return f"{domain:08X}:{_PCI_BUSES[bus]}:00.0"


def parse_nodes(text: str, gpus: int = 8) -> tuple[NodeSpec, ...]:
    """Nodes of a flag such as `H100-SXM5=3,H100-SXM5:1g.10gb=1,H200-SXM=4` (product[:MIG profile]=count)."""
    counts: dict[str, int] = {}
    nodes: list[NodeSpec] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _SPEC.match(part)
        if match is None:
            raise ValueError(f"--nodes: {part!r} is not PRODUCT[:MIG-PROFILE]=COUNT, such as H100-SXM5=4")
        for _ in range(int(match["count"])):
            nodes.append(_node(match["product"], match["mig"], gpus, counts, len(nodes)))
    return tuple(nodes)


def from_documents(documents: Iterable[Mapping[str, Any]]) -> tuple[NodeSpec, ...]:
    """Nodes of a plan file: `{product, count, gpus, migProfile, zone, block, rack, name, shownAs}` each."""
    counts: dict[str, int] = {}
    nodes: list[NodeSpec] = []
    for document in documents:
        for _ in range(int(document.get("count", 1))):
            node = _node(
                document["product"], document.get("migProfile"), int(document.get("gpus", 8)), counts, len(nodes)
            )
            nodes.append(_named(node, document))
    return tuple(nodes)


def _node(product: str, profile: str | None, gpus: int, counts: dict[str, int], number: int) -> NodeSpec:
    gpu = product_named(product, "product")
    if isinstance(gpu, Problem):
        raise ImpossibleNode(gpu)
    prefix = re.sub(r"[^a-z0-9]+", "-", gpu.api_name.lower()).strip("-") + ("-mig" if profile else "")
    counts[prefix] = counts.get(prefix, 0) + 1
    name = f"{prefix}-{counts[prefix] - 1:02d}"
    return NodeSpec(name, gpu, gpus, _mig(gpu, profile), block=f"block-{number // 4}", rack=f"rack-{number // 2}")


def _named(node: NodeSpec, document: Mapping[str, Any]) -> NodeSpec:
    return replace(
        node,
        name=str(document.get("name", node.name)),
        zone=str(document.get("zone", node.zone)),
        block=str(document.get("block", node.block)),
        rack=str(document.get("rack", node.rack)),
        shown_as=str(document.get("shownAs", "")),
    )


def _mig(gpu: GPU, profile: str | None) -> MIGProfile | None:
    if profile is None:
        return None
    found = load().mig_profile(gpu.key, profile)
    if found is None:
        known = ", ".join(each.name for each in load().mig_profiles(gpu.key)) or "none"
        problem = f"is {profile!r}, which {gpu.api_name} does not have"
        raise ImpossibleNode(Problem(ProblemReason.UNKNOWN_MIG_PROFILE, "migProfile", problem, f"it has {known}"))
    return found
