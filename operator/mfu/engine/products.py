"""Which product a node really has: what its label says and what its readings say must be one and the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from mfu.decide.types import NodeView
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.observe.readings import GPUIdentity


def agreed(nodes: tuple[NodeView, ...], devices: Iterable[GPUIdentity]) -> tuple[NodeView, ...]:
    """The nodes with a product that label and readings agree on; the same tuple where nothing had to change.

    Where they disagree, or a host has two products under one label, the product is unknown and `doubt` says why. A node
    without a label has the product that its readings name, if it is one.
    """
    read = _read(devices)
    found = [_settled(node, read.get(node.name, {})) for node in nodes]
    return nodes if all(new is old for new, old in zip(found, nodes, strict=True)) else tuple(found)


def _read(devices: Iterable[GPUIdentity]) -> dict[str, dict[str, GPU]]:
    """Products by key, by node; names that nobody knows say nothing."""
    names = {(device.node, device.product_name) for device in devices}
    found: dict[str, dict[str, GPU]] = defaultdict(dict)
    for node, name in names:
        resolved = load().resolve(name) if node and name else None
        if isinstance(resolved, Device):
            found[node or ""][resolved.gpu.key] = resolved.gpu
    return found


def _settled(node: NodeView, read: dict[str, GPU]) -> NodeView:
    if not read:
        return node
    if node.device is None:
        if node.product_label is not None or len(read) > 1:
            return node
        return replace(node, device=Device(next(iter(read.values())), shared=bool(node.replicas)))
    if read.keys() == {node.device.gpu.key}:
        return node
    names = ", ".join(sorted(gpu.api_name for gpu in read.values()))
    doubt = f"node {node.name} is labelled {node.device.gpu.api_name} and its readings are of {names}"
    return replace(node, device=None, doubt=doubt)
