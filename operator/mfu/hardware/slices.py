"""How many GPUs a node has when its device plugin offers each of them several times (time slices, MPS).

A sliced resource counts turns, not devices: `nvidia.com/gpu: 80` on a node of 8 GPUs with 10 replicas is 8 GPUs.
Labels are GPU feature discovery's (`<resource>.replicas`, `<resource>.count`); renamed resources end in `.shared`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mfu.hardware.labels import WHOLE

SHARED_SUFFIX: Final = ".shared"
MOST_DEVICES: Final = 4096
"""Devices of one node beyond which a number is somebody's mistake, or worse: real servers hold 16, composed ones 64."""
MOST_UNITS: Final = 1_000_000
"""The same for units that a resource counts: devices times pods that each is offered to."""
GKE_CLIENTS: Final = "cloud.google.com/gke-max-shared-clients-per-gpu"
"""GKE's word for replicas, on nodes whose GPUs are shared in time or by MPS."""
_UNITS: Final = {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@dataclass(frozen=True, slots=True)
class Slices:
    """`devices` is what the node physically has; `replicas` how many pods each is offered to, None where unknown."""

    devices: int
    replicas: int | None = 1


def base_resource(resource: str) -> str:
    """The resource whose devices these are: `base_resource("nvidia.com/gpu.shared") == "nvidia.com/gpu"`."""
    return resource.removesuffix(SHARED_SUFFIX)


def slices_of(resource: str, allocatable: int, labels: Mapping[str, str], *, shared: bool = False) -> Slices:
    """Devices behind `allocatable` units: allocatable ÷ replicas, checked against the count of the labels.

    `shared`: the product label or the resource name says that devices are offered several times.
    `slices_of("nvidia.com/gpu", 80, {"nvidia.com/gpu.replicas": "10", "nvidia.com/gpu.count": "8"}) == Slices(8, 10)`.
    Where the labels contradict each other the smaller number of devices stands, and the replicas follow from it.
    """
    base = base_resource(resource)
    told, count = quantity(labels.get(f"{base}.replicas")), quantity(labels.get(f"{base}.count"))
    told = told or (quantity(labels.get(GKE_CLIENTS)) if base == WHOLE else 0)
    shared = shared or resource.endswith(SHARED_SUFFIX)
    # Labels and device plugin change one after the other: what is no multiple was not sliced that way.
    devices = min(_even(allocatable, told) or allocatable, count or allocatable, MOST_DEVICES)
    replicas = _even(allocatable, devices)
    return Slices(devices, None if shared and told <= 1 and replicas == 1 else replicas)


def _even(whole: int, parts: int) -> int | None:
    return whole // parts if parts > 0 and whole % parts == 0 else None


def share_of(replicas: int | None) -> float | None:
    """What one unit is of a device: a tenth of ten replicas; None where that is not known."""
    return None if not replicas else 1.0 / replicas


def quantity(text: object) -> int:
    """A Kubernetes quantity of devices as a whole number between 0 and MOST_UNITS; 0 for what is none.

    `quantity("8") == 8`, `quantity("1k") == 1000`, `quantity("1500m") == 1`, `quantity("9e15") == 1_000_000`.
    """
    words = str(text if text is not None else "").strip()
    number = _number(words)
    return 0 if number is None or not number > 0 else int(min(number, MOST_UNITS))


def amount_of(text: object) -> float | None:
    """A quantity of anything, such as MiB or percent: `amount_of("8Gi") == 2**33`; None for what is none."""
    number = _number(str(text if text is not None else "").strip())
    return number if number is not None and 0 <= number < float("inf") else None


def _number(words: str) -> float | None:
    for suffix, power in _BINARY.items():
        if words.endswith(suffix):
            return _plain(words.removesuffix(suffix), 2.0**power)
    if words.endswith("m"):
        return _plain(words[:-1], 1e-3)
    if words[-1:] in _UNITS:
        return _plain(words[:-1], 10.0 ** _UNITS[words[-1]])
    return _plain(words, 1.0)


def _plain(digits: str, factor: float) -> float | None:
    """Decimal digits, with a point and an exponent at most; Python's other spellings ("1_0", "nan") are none."""
    if len(digits) > 32 or not set(digits) <= set("0123456789.+-eE"):
        return None
    try:
        return float(digits) * factor
    except ValueError:
        return None
