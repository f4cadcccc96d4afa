"""One thing that would be declared, and how its parts are found in an object of whichever kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """Pods of one template. `pods` is their number in one replica of a service, or in the whole job."""

    role: str
    pods: int
    spec: Object
    """The pod spec."""
    annotations: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that would be declared as one ModelWorkload."""

    name: str
    namespace: str
    target: Mapping[str, str] | None
    """apiVersion, kind and name of the owner; None where pods are selected by `labels`."""
    groups: tuple[PodTemplate, ...]
    serving: bool | None = None
    """Whether the kind serves (True) or trains (False); None where its arguments have to say."""
    replicas: tuple[int, int] = (1, 1)
    labels: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    """What the kind itself says of the model and its layout, by the names of settings, with the source."""
    phase: str = ""


def unit_of(document: Object, groups: Iterator[PodTemplate] | list[PodTemplate], **more: Any) -> Unit:
    metadata = document.get("metadata") or {}
    name = str(metadata.get("name") or metadata.get("generateName", "workload").rstrip("-"))
    target = {"apiVersion": str(document.get("apiVersion", "v1")), "kind": str(document.get("kind")), "name": name}
    named = dict(more.pop("named", {}))
    return Unit(
        name=named.get("name", name),
        namespace=str(metadata.get("namespace", "")),
        target=target,
        groups=tuple(groups),
        **more,
    )


def spec_of(document: Object) -> Object:
    spec = document.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def at(node: Any, *path: str) -> Any:
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def pod_spec(template: Any) -> Object:
    found = at(template, "spec")
    return found if isinstance(found, Mapping) else {}


def first_container(pod: Object) -> Object:
    """Of a pod spec; nothing where it has none."""
    found = next(iter(pod.get("containers") or ()), None)
    return found if isinstance(found, Mapping) else {}


def template_of(role: str, pods: int, template: Any) -> PodTemplate:
    """Of a pod, or of what a pod is made from."""
    annotations = at(template, "metadata", "annotations")
    return PodTemplate(role, pods, pod_spec(template), annotations if isinstance(annotations, Mapping) else {})


def count(value: Any, default: int = 1) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
