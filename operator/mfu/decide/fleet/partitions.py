"""GPUs that a driver cuts into MIG slices when they are claimed (DRA partitionable devices): which slice to ask for.

Nothing is laid out on such nodes: the scheduler counts what each slice takes of its GPU, and the driver cuts it.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4815-dra-partitionable-devices
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.workload.mig import serves
from mfu.hardware.catalog import load
from mfu.hardware.clouds import labelled_device
from mfu.hardware.price import price_per_hour
from mfu.hardware.types import Device
from mfu.predict import predict
from mfu.predict.types import Inference, Placement, Prediction


@dataclass(frozen=True, slots=True)
class PartitionedNode:
    """One node whose driver cuts slices on allocation."""

    node: str
    product_label: str
    """The driver's name of the product with dashes for blanks, as GPU feature discovery writes it."""
    profiles: tuple[str, ...]


class _Ranked(NamedTuple):
    """`worth`: tokens per second for each unit of price."""

    kind: DeviceKind
    worth: float


def cut_for(
    setup: Inference, nodes: Iterable[PartitionedNode], prices: Mapping[str, float], allowed: frozenset[str]
) -> tuple[DeviceKind, ...]:
    """Slices that hold the model within its latency, the most MFU for the money first; then whole GPUs that are cut.

    Empty where no slice does. `allowed`: catalog keys of products; all where it is empty. Of one model, MFU for the
    money and tokens for the money have the same order. Slices as large as a GPU are left out, and so are those with
    media engines (`+me`), which are left to people.
    """
    offered = _offered(nodes)
    devices = {label: device for label in offered if (device := _allowed(label, allowed)) is not None}
    slices = [each for label, device in devices.items() for each in _slices(setup, device, label, offered[label])]
    if not slices:
        return ()
    priced = all(device.gpu.api_name in prices for device in devices.values())
    cost = prices if priced else {device.gpu.api_name: 1.0 for device in devices.values()}
    whole = [(DeviceKind("", label), device) for label, device in devices.items()]
    return tuple(each.kind for part in (slices, whole) for each in _ranked(setup, part, cost))


def _offered(nodes: Iterable[PartitionedNode]) -> dict[str, frozenset[str]]:
    """Profiles by product."""
    found: dict[str, frozenset[str]] = {}
    for each in nodes:
        found[each.product_label] = found.get(each.product_label, frozenset()).union(each.profiles)
    return dict(sorted(found.items()))


def _allowed(label: str, allowed: frozenset[str]) -> Device | None:
    device = labelled_device(label, {})
    return device if device is not None and (not allowed or device.gpu.key in allowed) else None


def _slices(
    setup: Inference, device: Device, label: str, profiles: frozenset[str]
) -> Iterator[tuple[DeviceKind, Device]]:
    for each in load().mig_profiles(device.gpu.key):
        small = each.name in profiles and each.memory_slices < each.memory_slices_total and "+" not in each.name
        if small and serves(setup, _on(device), each):
            yield DeviceKind(each.name, label), replace(device, mig=each)


def _ranked(setup: Inference, choices: Sequence[tuple[DeviceKind, Device]], cost: Mapping[str, float]) -> list[_Ranked]:
    found = [_Ranked(kind, worth) for kind, device in choices if (worth := _worth(setup, device, cost)) is not None]
    return sorted(found, key=lambda each: (-each.worth, each.kind))


def _worth(setup: Inference, device: Device, cost: Mapping[str, float]) -> float | None:
    """None where it does not fit."""
    answer, price = predict(setup, _on(device)), price_per_hour(cost, device, 1)
    if not isinstance(answer, Prediction) or not answer.memory.fits or not price:
        return None
    return answer.tokens_per_s_per_gpu / price


def _on(device: Device) -> Placement:
    return Placement(device, 1, 1)
