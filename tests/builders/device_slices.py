"""ResourceSlices as NVIDIA's DRA driver publishes GPUs that it cuts on allocation, by NVIDIA's own placement table.

One set of counters a GPU, with one for each memory slice; every place that a profile may have is a device that consumes
its memory slices, and the whole GPU consumes them all. Shared counters stand in a ResourceSlice of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from mfu.decide.fleet.device_claims import DRIVER
from mfu.hardware.catalog import load
from mfu.hardware.types import Device, MIGProfile

GROUP: Final = "resource.k8s.io/v1"
JSON = dict[str, Any]


def partitionable(host: str, product_label: str, gpus: int = 1, *, generation: int = 1) -> list[JSON]:
    """All ResourceSlices of a node: the counters of its GPUs, then the devices of each."""
    found = load().resolve(product_label)
    assert isinstance(found, Device)
    profiles = load().mig_profiles(found.gpu.key)
    parts = [{"sharedCounters": [_counters(number, profiles) for number in range(gpus)]}]
    parts += [{"devices": [*_devices(number, product_label, profiles)]} for number in range(gpus)]
    pool = {"name": host, "generation": generation, "resourceSliceCount": len(parts)}
    return [_slice(f"{host}-{number}", {"nodeName": host, "pool": pool, **part}) for number, part in enumerate(parts)]


def _slice(name: str, spec: JSON) -> JSON:
    return {
        "apiVersion": GROUP,
        "kind": "ResourceSlice",
        "metadata": {"name": name},
        "spec": {"driver": DRIVER, **spec},
    }


def _counters(number: int, profiles: Iterable[MIGProfile]) -> JSON:
    return {"name": f"gpu-{number}-counter-set", "counters": _whole(profiles)}


def _whole(profiles: Iterable[MIGProfile]) -> JSON:
    known = list(profiles)
    return _taken(max(each.compute_slices for each in known), range(known[0].memory_slices_total))


def _taken(compute: int, memory: Iterable[int]) -> JSON:
    slices = {f"memory-slice-{each}": {"value": "1"} for each in memory}
    return {"compute-slices": {"value": str(compute)}, **slices}


def _devices(number: int, product_label: str, profiles: tuple[MIGProfile, ...]) -> Iterator[JSON]:
    product = {"string": product_label.replace("-", " ")}
    of_gpu = f"gpu-{number}"
    yield _device(of_gpu, {"type": {"string": "gpu"}, "productName": product}, number, _whole(profiles))
    for each in profiles:
        said = {"type": {"string": "mig"}, "productName": product, "profile": {"string": each.name}}
        for start in each.placement_starts:
            name = f"{of_gpu}-mig-{each.name.replace('.', '').replace('+', '-')}-{start}"
            memory = range(start, start + each.placement_size)
            yield _device(name, said, number, _taken(each.compute_slices, memory))


def _device(name: str, attributes: JSON, number: int, consumed: JSON) -> JSON:
    takes = [{"counterSet": f"gpu-{number}-counter-set", "counters": consumed}]
    return {"name": name, "attributes": attributes, "consumesCounters": takes}
