"""Where a workload runs, from the nodes of its pods; or where it might, from the products that it declares."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import starmap

from mfu.api.modelworkload import WorkloadSpec
from mfu.api.workload_status import Basis
from mfu.decide.types import NodeView
from mfu.engine.views import PodView
from mfu.hardware.catalog import load
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.portions import Portion
from mfu.hardware.problem import Problem
from mfu.hardware.products import product_named, usual_node_gpus
from mfu.hardware.slices import MOST_DEVICES, base_resource
from mfu.hardware.types import GPU, Device
from mfu.predict.declared import device_for
from mfu.predict.types import Placement

MOST_CANDIDATES = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """One device type that the workload runs on (Assigned) or may run on (Declared)."""

    basis: Basis
    placement: Placement


@dataclass(frozen=True, slots=True)
class HeldPart:
    """What the workload holds of one kind on one node. `gpus` are devices, shares of them where they are shared."""

    node: str
    device: Device
    gpus: float


@dataclass(frozen=True, slots=True)
class Held:
    """What the workload's bound pods hold now."""

    pods: int = 0
    nodes: tuple[str, ...] = ()
    gpus: int = 0
    devices: tuple[Device, ...] = ()
    """Distinct, slowest first: a synchronous job goes at the pace of its slowest GPU."""
    unknown_products: tuple[str, ...] = ()
    gpus_per_node: int = 0
    shared: bool = False
    """At least one of its devices is offered to other pods too."""
    doubts: tuple[str, ...] = ()
    """Why products of its nodes are not known though they are labelled."""
    share: float | None = 1.0
    """What each of `gpus` is of a device, in the mean; None where that is not known."""
    matched: int = 0
    """Pods that are its own, bound or not."""
    oldest_at: float | None = None
    """When the first of its bound pods was made (Unix seconds)."""
    newest_at: float | None = None
    """When the last of its bound pods was made."""
    sharing: str = ""
    """What its sharing system gives it, in words; empty where its GPUs are its own, or turns of equal length."""
    memory_bytes: float | None = None
    """The least that its sharing system lets it use of a device; None where nothing less than all is told."""
    claiming: int = 0
    """Bound pods that ask by resource claims (DRA): which GPUs they hold is not known."""
    parts: tuple[HeldPart, ...] = ()
    """By node and device, as far as those are known."""
    power_limit_watts: float | None = None
    """The lowest limit in force on the nodes of its slowest device; None where none is below the product's own."""


def held(pods: Sequence[PodView], nodes: Mapping[str, NodeView]) -> Held:
    """Devices of bound pods by the node labels. MIG pods hold the slice that their resource name says."""
    bound = [pod for pod in pods if pod.bound]
    devices: dict[Device, None] = {}
    unknown: dict[str, None] = {}
    per_node: Counter[str] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    shares: list[tuple[int, float | None]] = []
    parts: dict[tuple[str, Device], float] = defaultdict(float)
    for pod in bound:
        node = nodes.get(pod.node or "")
        for resource, amount in _possible(pod, node, taken):
            per_node[pod.node or ""] += amount
            share = part_of(node, resource, pod.portion) if node else 1.0
            shares.append((amount, share))
            device = held_device(node, resource, pod.portion)
            if device is None and node is not None:
                unknown[_label(node, resource)] = None
            elif device is not None:
                devices[device] = None
                parts[pod.node or "", device] += amount * (1.0 if share is None else share)
    ordered = sorted(devices, key=_speed)
    return Held(
        pods=len(bound),
        nodes=tuple(sorted(per_node)),
        gpus=sum(per_node.values()),
        devices=tuple(ordered),
        unknown_products=tuple(unknown),
        gpus_per_node=max(per_node.values(), default=0),
        shared=any(device.shared for device in ordered),
        doubts=_doubts(nodes, per_node),
        share=_mean_share(shares),
        matched=sum(pod.active for pod in pods),
        oldest_at=min((pod.created_at for pod in bound), default=None),
        newest_at=max((pod.created_at for pod in bound), default=None),
        sharing=_sharing(bound, ordered),
        memory_bytes=min((size for pod in bound if (size := _limit(pod, nodes)) is not None), default=None),
        claiming=sum(bool(pod.claims) for pod in bound),
        parts=tuple(sorted(starmap(_part, parts.items()), key=_by_place)),
        power_limit_watts=_power_limit(parts, ordered, nodes),
    )


def _power_limit(
    parts: Iterable[tuple[str, Device]], slowest_first: Sequence[Device], nodes: Mapping[str, NodeView]
) -> float | None:
    limits = (nodes[name].power_limit_watts for name, device in parts if device in slowest_first[:1])
    return min((each for each in limits if each is not None), default=None)


def _sharing(bound: Sequence[PodView], devices: Sequence[Device]) -> str:
    given = next((pod.portion for pod in bound if pod.portion is not None), None)
    if given is None or not any(device.shared for device in devices):
        return ""
    of_each = given.share(devices[0].gpu.memory_bytes)
    part = "a part of unknown size" if of_each is None else f"{of_each:.0%}"
    return f"{given.system} gives it {part} of each GPU"


def _limit(pod: PodView, nodes: Mapping[str, NodeView]) -> float | None:
    node = nodes.get(pod.node or "")
    return pod.portion.memory_bytes if pod.portion is not None and node is not None and node.sharing else None


def _part(where: tuple[str, Device], gpus: float) -> HeldPart:
    return HeldPart(*where, gpus)


def _by_place(part: HeldPart) -> tuple[str, str]:
    return part.node, part.device.label


def _possible(pod: PodView, node: NodeView | None, taken: Counter[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """What the pod asks for, as far as its node has it: a pod object can claim anything."""
    for resource, amount in pod.gpus.items():
        most = (node.units(resource) if node and pod.portion is None else 0) or MOST_DEVICES
        held = min(amount, most - taken[(pod.node or "", resource)])
        taken[(pod.node or "", resource)] += held
        if held:
            yield resource, held


def _doubts(nodes: Mapping[str, NodeView], mine: Iterable[str]) -> tuple[str, ...]:
    here = (nodes[name].doubt for name in sorted(mine) if name in nodes)
    return tuple(each for each in here if each is not None)


def _mean_share(shares: Sequence[tuple[int, float | None]]) -> float | None:
    known = [(amount, share) for amount, share in shares if share is not None]
    units = sum(amount for amount, _ in known)
    if len(known) < len(shares) or not units:
        return None if shares else 1.0
    return sum(amount * share for amount, share in known) / units


def _label(node: NodeView, resource: str) -> str:
    if node.product_label is None:
        return f"a GPU without product label on node {node.name}"
    return node.product_label if node.device is None else f"{resource} of {node.product_label}"


def device_of(node: NodeView | None, resource: str) -> Device | None:
    """What one unit of `resource` is on that node; None where product or profile is unknown."""
    if node is None or node.device is None:
        return None
    # Where no resource is known to be sliced, what the product label says of all holds for each.
    shared = resource in node.replicas or (node.device.shared and not node.replicas)
    if not resource.startswith(MIG_PREFIX):
        return replace(node.device, shared=shared)
    shape = load().mig_profile(node.device.gpu.key, base_resource(resource).removeprefix(MIG_PREFIX))
    return None if shape is None else Device(node.device.gpu, shape, shared)


def part_of(node: NodeView, resource: str, portion: Portion | None) -> float | None:
    """What a pod has of each unit. A pod's own words count only where a system that heeds them serves the node."""
    if portion is None:
        return node.share(resource)
    if not (node.sharing or node.reserved):
        return None
    return portion.share(node.device.gpu.memory_bytes if node.device else None)


def held_device(node: NodeView | None, resource: str, portion: Portion | None) -> Device | None:
    """`device_of` for a pod: its own where its sharing system gives it all of the device."""
    device = device_of(node, resource)
    if portion is None or device is None or node is None:
        return device
    return replace(device, shared=part_of(node, resource, portion) != 1.0)


def products_of(fleet: Iterable[NodeView]) -> tuple[GPU, ...]:
    """Known products that are there, by key."""
    known = {node.device.gpu.key: node.device.gpu for node in fleet if node.device}
    return tuple(known[key] for key in sorted(known))


def candidates(spec: WorkloadSpec, holding: Held, present: Sequence[GPU]) -> tuple[Candidate, ...] | Problem:
    """Assigned first, then every declared product; those `present` in the fleet when none is declared.

    Problem for a declared name or MIG profile that does not exist.
    """
    declared = _declared(spec)
    if isinstance(declared, Problem):
        return declared
    found: dict[Device, Candidate] = {}
    if holding.devices:
        device = holding.devices[0]
        placement = replace(
            _placement(spec, device, holding.gpus_per_node), power_limit_watts=holding.power_limit_watts
        )
        found[device] = Candidate(Basis.ASSIGNED, placement)
    for device in declared or _fitting(spec, present):
        found.setdefault(device, Candidate(Basis.DECLARED, _placement(spec, device, 0)))
    return tuple(found.values())[:16]


def _declared(spec: WorkloadSpec) -> list[Device] | Problem:
    devices = []
    for row, name in enumerate(spec.accelerators.products):
        gpu = product_named(name, f"accelerators.products[{row}]")
        if isinstance(gpu, Problem):
            return gpu
        device = device_for(spec, gpu)
        if isinstance(device, Problem):
            return device
        devices.append(device)
    return devices


def _fitting(spec: WorkloadSpec, present: Sequence[GPU]) -> list[Device]:
    fitting = (device_for(spec, gpu) for gpu in present)
    return [device for device in fitting if isinstance(device, Device)][:MOST_CANDIDATES]


def _placement(spec: WorkloadSpec, device: Device, gpus_per_node: int) -> Placement:
    count = spec.accelerators.count
    return Placement(device, count, min(count, gpus_per_node) or usual_node_gpus(device.gpu, count))


def _speed(device: Device) -> tuple[float, str, bool]:
    peak = device.gpu.reference_peak_flops_per_s or 0.0
    return peak * (device.mig.sm_fraction if device.mig else 1.0), device.label, not device.shared
