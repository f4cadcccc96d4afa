"""Where it runs: GPUs, product and layout, and whether the two agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import Final

from mfu.adopt.commands import Command
from mfu.adopt.containers import Container, computing
from mfu.adopt.engines import EngineKeys
from mfu.adopt.findings import Findings
from mfu.adopt.units import PodTemplate, Unit
from mfu.hardware.aliases import dataset_key
from mfu.hardware.catalog import load
from mfu.hardware.clouds import cloud_device
from mfu.hardware.labels import PRODUCT_LABELS, WHOLE
from mfu.hardware.portions import portion_of
from mfu.hardware.types import Device
from mfu.units import gibibytes

DEGREES: Final = ("tensor", "pipeline", "context", "data")


def main_container(unit: Unit, files: Mapping[str, Mapping[str, str]]) -> Container | None:
    """The container of the first group that asks for GPUs; without one, of the first group."""
    found = [each for group in unit.groups if (each := computing(group.spec, files)) is not None]
    return next((each for each in found if each.count), found[0] if found else None)


def gpus_of(unit: Unit, files: Mapping[str, Mapping[str, str]]) -> int:
    """GPUs of all pods of the unit: of the job, or of one replica of the service."""
    return sum(group.pods * _devices(group, files) for group in unit.groups)


def _devices(group: PodTemplate, files: Mapping[str, Mapping[str, str]]) -> int:
    """Of one pod: GPUs that are its own, or those of which a sharing system gives it a part."""
    shared = portion_of({"annotations": group.annotations}, group.spec)
    container = computing(group.spec, files)
    return shared[0] if shared is not None else 0 if container is None else container.count


def _parts(unit: Unit, findings: Findings) -> None:
    for group in unit.groups:
        found = portion_of({"annotations": group.annotations}, group.spec)
        if found is None:
            continue
        portion = found[1]
        parts = [f"{portion.fraction:.0%}"] if portion.fraction is not None else []
        parts += [gibibytes(portion.memory_bytes)] if portion.memory_bytes is not None else []
        why = f"{portion.system} gives each pod {' and '.join(parts) or 'an unknown part'} of each GPU"
        findings.unknown("accelerators", f"{why}: figures are of whole ones, and what it reaches is not judged")
        return


def accelerators(unit: Unit, container: Container | None, count: int, findings: Findings) -> None:
    """Count, resource, MIG profile and product. The count may be corrected by the layout later."""
    if count:
        findings.read("accelerators.count", count, "GPUs that the pods ask for")
    _parts(unit, findings)
    if container is not None and container.count:
        if container.resource != WHOLE:
            findings.read("accelerators.resourceName", container.resource, "the resource that they ask for")
        if container.mig_profile:
            findings.read("accelerators.migProfile", container.mig_profile, "the resource that they ask for")
    product(unit, findings)


def product(unit: Unit, findings: Findings) -> None:
    labels = tuple(_node_labels(unit))
    sizes = {label: value for label, value in labels if label.endswith("instance-gpu-memory")}
    for label, value in labels:
        name = _product_of(label, value, sizes)
        if name is not None:
            findings.read("accelerators.products", [name], f"node label {label}: {value}")
            return
    accelerator = unit.given.get("accelerator")
    key = dataset_key(str(accelerator[0])) if accelerator else None
    if accelerator and key is not None:
        findings.read("accelerators.products", [load().gpus[key].api_name], accelerator[1])
        return
    findings.unknown("accelerators.products", "no node label or affinity names a GPU; any product is predicted")


def _product_of(label: str, value: str, sizes: Mapping[str, str]) -> str | None:
    """`sizes`: labels that say how much memory the product of another label has."""
    found = load().resolve(value) if label in PRODUCT_LABELS else cloud_device({**sizes, label: value})
    return found.gpu.api_name if isinstance(found, Device) else None


def _node_labels(unit: Unit) -> Iterator[tuple[str, str]]:
    for group in unit.groups:
        yield from ((str(key), str(value)) for key, value in (group.spec.get("nodeSelector") or {}).items())
        affinity = (group.spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
        for term in required.get("nodeSelectorTerms") or ():
            for match in term.get("matchExpressions") or ():
                if match.get("operator") == "In" and len(match.get("values") or ()) == 1:
                    yield str(match.get("key")), str(match["values"][0])


def degree(command: Command, engine: EngineKeys, thing: str, path: str, findings: Findings) -> None:
    found = command.number(*engine.at(thing)) if engine.at(thing) else None
    if found is not None:
        findings.read(path, found[0], found[1])


def settle(mode: str, count: int, findings: Findings, engine: EngineKeys) -> None:
    """Make the number of GPUs and the layout one: data-parallel ranks fill what the other degrees leave."""
    block = f"{mode}.parallelism"
    stated = any(findings.holds(f"{block}.{name}") for name in DEGREES)
    if mode == "inference" and not stated and engine.spreads and count > 1:
        why = f"{engine.name} takes all GPUs that it sees" if engine.name else "nothing states the layout"
        findings.assume(f"{block}.tensor", count, f"{why}: one copy over the {count} GPUs of a replica")
    given = {name: int(findings.value(f"{block}.{name}") or 1) for name in DEGREES}
    used = prod(given.values())
    if not count:
        findings.assume("accelerators.count", used, "the pods name no GPU resource; the layout takes so many")
        return
    if used == count:
        return
    if mode == "training" and not findings.holds(f"{block}.data") and count % used == 0:
        (findings.read if stated else findings.assume)(
            f"{block}.data", count // used, f"{count} GPUs over {used} for each copy of the model"
        )
        return
    _disagree(mode, count, used, findings, stated=stated)


def _disagree(mode: str, count: int, used: int, findings: Findings, *, stated: bool) -> None:
    kept = used if mode == "inference" and used < count else count
    if kept == used:
        (findings.read if stated else findings.assume)("accelerators.count", used, "the layout of one replica")
        why = f"the pods hold {count} GPUs and the layout takes {used}: more replicas in them, or idle GPUs"
    else:
        findings.declared[mode].pop("parallelism", None)
        name = "tensor" if mode == "inference" else "data"
        findings.assume(f"{mode}.parallelism.{name}", count, f"the arguments take {used} GPUs, the pods hold {count}")
        why = f"the arguments take {used} GPUs and the pods hold {count}; correct whichever is wrong"
    findings.unknown(f"{mode}.parallelism", why)


def version_of(image: str, *, by_calendar: bool = False) -> str:
    """The version in an image's tag, "" where it names none: `vllm/vllm-openai:v0.8.5` is 0.8.5.

    A year and a month (`nvcr.io/nvidia/vllm:26.02-py3`) say when the image was made, unless releases go `by_calendar`.
    """
    tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
    match = re.match(r"v?(\d+(\.\d+){1,3}([._-]?(rc|post|dev)\d*)?)", tag)
    dated = bool(match and re.match(r"2\d\.(0[1-9]|1[0-2])(\D|$)", match[1]))
    return match[1] if match and (by_calendar or not dated) else ""
