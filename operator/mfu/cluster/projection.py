"""Raw objects → the few fields that the cycle needs. A node of 10 KB becomes a dozen values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from sys import intern
from typing import Any, TypeVar

from pydantic import ValidationError

from mfu.act.checks import CheckQuestion
from mfu.act.slowing import EFFECT, SLOW, until_of
from mfu.adopt.glance import seems
from mfu.api.base import Resource
from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import MFUPolicy, PolicyStatus
from mfu.api.modelworkload import ModelWorkload
from mfu.api.names import DELETION_COST_ANNOTATION, PAUSED_ANNOTATION, PLACEMENT_GATE, WORKLOAD_LABEL
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.resources import JSON
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.types import NodeView
from mfu.engine.claims import qualified
from mfu.engine.packed import Packed
from mfu.engine.say.annotations import ANNOTATIONS
from mfu.engine.snapshot import PodView, PolicyView, Queued, WorkloadView
from mfu.hardware.clouds import cloud_name, labelled_device, parts_of
from mfu.hardware.labels import CLIQUE_LABEL, GPU_RESOURCES, MIG_PREFIX, PRODUCT_LABELS, WHOLE, keeps
from mfu.hardware.portions import portion_of, reserves
from mfu.hardware.registered import Registered, registered
from mfu.hardware.slices import MOST_DEVICES, SHARED_SUFFIX, Slices, base_resource, quantity, slices_of
from mfu.hardware.types import Device
from mfu.memo import memo

V = TypeVar("V")
R = TypeVar("R", bound=Resource)


def workload_view(item: JSON, before: WorkloadView | None = None) -> WorkloadView:
    """Never raises: a spec that this version can not read becomes `invalid`, answered on its status.

    `before` is the same object as it was: while its generation stays, so does what was read of its spec.
    """
    metadata = item["metadata"]
    spec, invalid = None, None
    if before is not None and (before.uid, before.generation) == (metadata["uid"], metadata.get("generation", 0)):
        spec, invalid = before.spec, before.invalid
    else:
        try:
            spec = _thrifty(ModelWorkload.model_validate(item).spec)
        except ValidationError as error:
            invalid = _explained(error)
    annotations = metadata.get("annotations") or {}
    return WorkloadView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created_at=epoch(metadata.get("creationTimestamp")),
        spec=spec,
        invalid=invalid,
        paused=annotations.get(PAUSED_ANNOTATION) == "true",
        status=Packed(WorkloadStatus, item.get("status") or {}),
        annotations=_ours(annotations),
        annotated=bool(annotations),
        resource_version=metadata.get("resourceVersion", ""),
        changed_at=_changed_at(metadata),
    )


def _thrifty(value: R) -> R:
    """The same with one record for all of which of their fields were given: pydantic keeps a set a model, 216 bytes and
    more, and ten thousand declarations differ in few."""
    given = value.__pydantic_fields_set__
    object.__setattr__(value, "__pydantic_fields_set__", _given(tuple(sorted(given))))
    for each in value.__dict__.values():
        if isinstance(each, Resource):
            _thrifty(each)
    return value


@memo(most=4096)
def _given(names: tuple[str, ...]) -> set[str]:
    return set(names)


def _changed_at(metadata: Mapping[str, Any]) -> float | None:
    """The newest write of the spec, by the server's own record of who owns which field since when."""
    owners = metadata.get("managedFields") or ()
    written = [epoch(each.get("time")) for each in owners if "f:spec" in (each.get("fieldsV1") or {})]
    return max(written, default=None)


def policy_view(item: JSON) -> PolicyView:
    spec, invalid = None, None
    try:
        spec = MFUPolicy.model_validate(item).spec
    except ValidationError as error:
        invalid = _explained(error)
    metadata = item["metadata"]
    return PolicyView(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=spec,
        invalid=invalid,
        status=Packed(PolicyStatus, item.get("status") or {}),
        resource_version=metadata.get("resourceVersion", ""),
    )


def pod_view(item: JSON) -> PodView | None:
    """None for pods that neither ask for GPUs, by resource or by claim, nor carry our label or gate."""
    metadata, spec = item["metadata"], item.get("spec", {})
    labels = metadata.get("labels") or {}
    shared = portion_of(metadata, spec)
    gpus = requested(spec) if shared is None else {WHOLE: shared[0]}
    claims = tuple(str(each.get("name", "")) for each in spec.get("resourceClaims") or ())
    gated = has_our_gate(spec)
    if not gpus and not claims and not gated and WORKLOAD_LABEL not in labels:
        return None
    status = item.get("status") or {}
    terminating = metadata.get("deletionTimestamp") is not None
    return PodView(
        # Tens of thousands of pods repeat these, and telemetry repeats their names.
        namespace=intern(metadata["namespace"]),
        name=intern(metadata["name"]),
        uid=metadata["uid"],
        created_at=epoch(metadata.get("creationTimestamp")),
        node=intern(spec["nodeName"]) if spec.get("nodeName") else None,
        phase="Terminating" if terminating else intern(status.get("phase", "Pending")),
        labels=_shared(labels),
        owners=_owners(
            tuple(
                (qualified(owner["kind"], owner.get("apiVersion", "")), owner["name"])
                for owner in metadata.get("ownerReferences") or ()
            )
        ),
        gpus=_shared(gpus),
        claims=claims,
        gated=gated,
        seems=seems(spec) if gpus or claims else "",
        address=status.get("podIP"),
        priority=spec.get("priority"),
        priority_class=spec.get("priorityClassName") or "",
        started_at=epoch(status.get("startTime")) or None,
        host_network=bool(spec.get("hostNetwork")) or _at_host(status),
        constraints=None if spec.get("nodeName") else _same(Constraints.read(spec)),
        portion=None if shared is None else shared[1],
        reserves=reserves(metadata),
        deletion_cost=_cost((metadata.get("annotations") or {}).get(DELETION_COST_ANNOTATION)),
    )


def _cost(said: str | None) -> int | None:
    try:
        return None if said is None else int(said)
    except ValueError:
        return None


def has_our_gate(pod_spec: Mapping[str, Any]) -> bool:
    return any(gate.get("name") == PLACEMENT_GATE for gate in pod_spec.get("schedulingGates") or ())


def _at_host(status: Mapping[str, Any]) -> bool:
    return status.get("podIP") is not None and status.get("podIP") == status.get("hostIP")


def node_view(item: JSON) -> NodeView | None:
    """None for nodes without GPUs. `device` is None where the product is not known: then MFU is unknown."""
    metadata, status = item["metadata"], item.get("status") or {}
    allocatable = status.get("allocatable") or {}
    labels = metadata.get("labels") or {}
    system = registered(metadata.get("annotations") or {}, allocatable)
    named = next((labels[name] for name in PRODUCT_LABELS if name in labels), None)
    product = named or cloud_name(labels) or (system.product if system else None)
    units = {name: count for name, amount in allocatable.items() if is_gpu(name) and (count := quantity(amount))}
    if system is not None and not any(not name.startswith(MIG_PREFIX) for name in units):
        units[WHOLE] = system.units()
    if not units and product is None:
        return None
    device = labelled_device(product, labels)
    behind = {
        name: _behind(name, count, labels, system, shared=_marked(name, device, units)) for name, count in units.items()
    }
    return NodeView(
        name=metadata["name"],
        product_label=product,
        device=device,
        gpus=min(MOST_DEVICES, _whole(behind) // parts_of(labels)),
        mig=_instances(behind),
        replicas={name: each.replicas for name, each in behind.items() if each.replicas != 1},
        ill=_ill(units, status.get("capacity") or {}),
        ready=_ready(status),
        schedulable=not (item.get("spec") or {}).get("unschedulable", False),
        domain=labels.get(CLIQUE_LABEL),
        labels={intern(name): intern(value) for name, value in labels.items() if keeps(name)},
        taints=_taints(item.get("spec") or {}),
        slow_until=slow_until(item),
        sharing=system.system if system else "",
    )


def _behind(resource: str, units: int, labels: Mapping[str, str], system: Registered | None, *, shared: bool) -> Slices:
    """A sharing system knows its devices better than labels do, where it registers them."""
    mine = system is not None and system.devices and not resource.startswith(MIG_PREFIX)
    if mine and system is not None and units % system.devices == 0:
        return Slices(system.devices, units // system.devices)
    return slices_of(resource, units, labels, shared=shared)


def _whole(behind: Mapping[str, Slices]) -> int:
    return sum(each.devices for name, each in behind.items() if not name.startswith(MIG_PREFIX))


def addresses(item: JSON) -> tuple[str, ...]:
    """Of a node, whatever it holds."""
    return tuple(str(each.get("address", "")) for each in (item.get("status") or {}).get("addresses") or ())


def slow_until(item: JSON) -> int | None:
    """Until when our soft taint stands, of a node that has the taint or its label."""
    until = until_of(item["metadata"].get("labels") or {})
    return 0 if until is None and has_our_taint(item.get("spec") or {}) else until


def has_our_taint(spec: Mapping[str, Any]) -> bool:
    return any(is_our_taint(each) for each in spec.get("taints") or ())


def is_our_taint(taint: Mapping[str, Any]) -> bool:
    return (taint.get("key"), taint.get("effect")) == (SLOW, EFFECT)


def _taints(spec: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Those that keep pods away."""
    found = ((each["key"], each.get("value", ""), each["effect"]) for each in spec.get("taints") or ())
    return tuple(each for each in found if each[2] != "PreferNoSchedule")


def _marked(resource: str, device: Device | None, units: Mapping[str, int]) -> bool:
    """Does the product label say that this resource is sliced? Beside a renamed one, the plain name is whole GPUs."""
    if device is None or not device.shared or resource.startswith(MIG_PREFIX):
        return False
    return resource.endswith(SHARED_SUFFIX) or f"{resource}{SHARED_SUFFIX}" not in units


def _ill(units: Mapping[str, int], capacity: Mapping[str, Any]) -> dict[str, int]:
    return {name: more for name, offered in units.items() if (more := quantity(capacity.get(name)) - offered) > 0}


def _instances(behind: Mapping[str, Slices]) -> dict[str, int]:
    """MIG instances by profile, sliced or not."""
    found: dict[str, int] = {}
    for name, each in behind.items():
        if name.startswith(MIG_PREFIX):
            profile = base_resource(name).removeprefix(MIG_PREFIX)
            found[profile] = found.get(profile, 0) + each.devices
    return found


def fleet_status(item: JSON) -> Packed[FleetStatus]:
    return Packed(FleetStatus, item.get("status") or {})


def queued(item: JSON, question: CheckQuestion | None = None) -> Queued | None:
    """None for a Workload that nothing owns, unless our check asks: whose it is cannot be told."""
    metadata = item["metadata"]
    owner = next((each for each in metadata.get("ownerReferences") or () if each.get("controller")), None)
    priority = (item.get("spec") or {}).get("priority")
    if question is None and (owner is None or priority is None):
        return None
    named = (owner["kind"], owner["name"]) if owner else ("", "")
    return Queued(metadata["namespace"], named, int(priority or 0), question)


def flavor_labels(item: JSON) -> Mapping[str, str]:
    return (item.get("spec") or {}).get("nodeLabels") or {}


def namespace_labels(item: JSON) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def epoch(timestamp: str | None) -> float:
    """RFC 3339 → Unix seconds; 0 where there is none."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0


def _explained(error: ValidationError) -> str:
    """Each problem as "field: what is wrong", in the API's field names."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5])


def _ours(annotations: Mapping[str, str]) -> dict[str, str]:
    """Those that the operator writes; others under our prefix are somebody else's words and none of our business."""
    return {name: value for name, value in annotations.items() if name in ANNOTATIONS}


@memo(most=4096)
def _same(constraints: Constraints) -> Constraints:
    """One value for all pods that say the same."""
    return constraints


@memo(most=16_384)
def _owners(owners: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """One tuple for all pods of an owner."""
    return owners


def _shared(value: Mapping[str, V]) -> Mapping[str, V]:
    """One mapping for all pods that have the same: forty thousand of them hold few different ones."""
    return _mapping(tuple(value.items()))


@memo(most=16_384)
def _mapping(items: tuple[tuple[str, V], ...]) -> Mapping[str, V]:
    return dict(items)


def requested(spec: Mapping[str, Any]) -> dict[str, int]:
    """Devices that the pod holds: of containers and sidecars together, or what an init container needs beside the
    sidecars before it if that is more (kubernetes.io/docs/concepts/workloads/pods/sidecar-containers).
    """
    starting: Counter[str] = Counter()
    sidecars: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        asked = _limits(container)
        if container.get("restartPolicy") == "Always":
            sidecars.update(asked)
        else:
            starting |= Counter(asked) + sidecars
    for container in spec.get("containers") or ():
        sidecars.update(_limits(container))
    return dict(sidecars | starting)


def _limits(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return {resource: count for resource, amount in asked.items() if is_gpu(resource) and (count := quantity(amount))}


def is_gpu(resource: str) -> bool:
    return resource in GPU_RESOURCES or resource.startswith(MIG_PREFIX)


def _ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
