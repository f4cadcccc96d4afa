"""What is understood of a Node and of a Pod."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mfu.cli.understood import Document
from mfu.cluster.projection import node_view, pod_view
from mfu.decide.types import NodeView
from mfu.engine.claims import owners_of
from mfu.hardware.catalog import load
from mfu.hardware.clouds import partition_of
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.portions import Portion, sharing_resource
from mfu.hardware.slices import quantity
from mfu.hardware.types import Device


def node(item: Mapping[str, Any]) -> Document:
    name = (item.get("metadata") or {}).get("name", "")
    view = node_view(dict(item))
    other = [f"offers {each}, which is not read" for each in _other_accelerators(item)]
    if view is None:
        notes = other or ["offers no GPU and carries no product label"]
        return {"kind": "Node", "name": name, "gpus": 0, "notes": notes}
    whole, instances = _counted(view)
    return {
        "kind": "Node",
        "name": view.name,
        "productLabel": view.product_label,
        "product": view.device.gpu.api_name if view.device else None,
        "gpus": whole,
        "migInstances": instances,
        "devices": {resource: _label(view, resource) for resource in _resources(item)},
        "replicasPerDevice": dict(view.replicas),
        "ready": view.ready,
        "schedulable": view.schedulable,
        "notes": [*_node_notes(view, item), *other],
    }


def _counted(view: NodeView) -> tuple[int, dict[str, int]]:
    """Whole GPUs, and instances by profile: with one strategy for all, `nvidia.com/gpu` counts instances."""
    profile = view.device.mig if view.device else None
    return (view.gpus, dict(view.mig)) if profile is None else (0, {**view.mig, profile.name: view.gpus})


_ACCELERATOR: Final = re.compile(
    r"(?i)gpu|vgpu|npu|tpu|dcu|mlu|gaudi|neuron|ascend|_nps\d|^nvidia\.com/|^gpu\.intel\.com/"
)


def _other_accelerators(item: Mapping[str, Any]) -> list[str]:
    """Resources of accelerators, or parts of them, that nothing here understands."""
    read, allocatable = _resources(item), (item.get("status") or {}).get("allocatable") or {}
    read += [name for name in allocatable if sharing_resource(name)]
    return [
        name
        for name, amount in allocatable.items()
        if "/" in name and name not in read and _ACCELERATOR.search(name) and quantity(amount)
    ]


def _resources(item: Mapping[str, Any]) -> list[str]:
    allocatable = (item.get("status") or {}).get("allocatable") or {}
    offered = (name for name, amount in allocatable.items() if quantity(amount))
    return [name for name in offered if name.endswith(("/gpu", "/gpu.shared")) or name.startswith(MIG_PREFIX)]


def _label(view: NodeView, resource: str) -> str | None:
    """The device that one unit of the resource is; None where the product or the profile is not known."""
    if view.device is None:
        return None
    if not resource.startswith(MIG_PREFIX):
        return view.device.label
    profile = load().mig_profile(view.device.gpu.key, resource.removeprefix(MIG_PREFIX).removesuffix(".shared"))
    return Device(view.device.gpu, profile).label if profile else None


def _node_notes(view: NodeView, item: Mapping[str, Any]) -> Iterator[str]:
    mode = partition_of((item.get("metadata") or {}).get("labels") or {})
    if not mode.lower().startswith("spx"):
        yield f"GPUs are partitioned ({mode}): what one part can do is not known"
    elif view.device is None:
        yield f"product label {view.product_label!r} is no known product" if view.product_label else "no product label"
    if view.sharing:
        yield f"{view.sharing} gives pods parts of these GPUs"
    for resource, replicas in view.replicas.items():
        yield f"{resource}: each device is offered {replicas or 'an unknown number of'} times (time-sliced or MPS)"
    if view.labels.get("nvidia.com/gpu.count") and view.mig and view.gpus:
        yield "whole GPUs and MIG slices on one node"


def pod(item: Mapping[str, Any]) -> Document:
    metadata = item.get("metadata") or {}
    document = {"kind": "Pod", "namespace": metadata.get("namespace", "default"), "name": metadata.get("name", "")}
    view = pod_view({**item, "metadata": {"namespace": "default", "uid": "", **metadata}})
    if view is None:
        return document | {
            "gpus": {},
            "owners": [],
            "notes": ["asks for no GPU and carries no label of ours: not seen"],
        }
    owners = [{"kind": kind, "name": name} for kind, name in sorted(owners_of(view)) if kind != "Pod"]
    notes = [] if owners else ["has no owner that is followed: label it mfu.gpuaas.io/workload=NAME"]
    if view.claims:
        notes.append("asks by resource claims (DRA): how many GPUs are behind them is not known from the pod")
    if view.portion is not None:
        notes.append(f"{view.portion.system} gives it a part of each GPU: its readings are not its own")
    if view.reserves:
        notes.append("holds a GPU for the pods that share it: no workload")
    return document | {
        "phase": view.phase,
        "node": view.node,
        "gpus": dict(view.gpus),
        "claims": list(view.claims),
        "portion": _portion(view.portion),
        "owners": owners,
        "notes": notes,
    }


def _portion(portion: Portion | None) -> Document | None:
    if portion is None:
        return None
    return {"system": portion.system, "fraction": portion.fraction, "memoryBytes": portion.memory_bytes}
