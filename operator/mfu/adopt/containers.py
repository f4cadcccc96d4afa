"""Containers of a pod template: which one computes, what it asks for, what it runs, what is mounted into it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from mfu.hardware.labels import GPU_RESOURCES, MIG_PREFIX, WHOLE

_VARIABLE = re.compile(r"\$\(([A-Za-z_]\w*)\)|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|\$([A-Za-z_]\w*)")
_ARITHMETIC = re.compile(r"\$\(\(([\w\s+*${}:-]{1,80})\)\)")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Container:
    """One container: what it runs, with its environment, the GPUs that it asks for and the files mounted into it."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    gpus: Mapping[str, int]
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by path, of ConfigMaps that came with the manifest."""

    @property
    def count(self) -> int:
        return sum(self.gpus.values())

    @property
    def settles(self) -> bool:
        """Whether anything but its image says what it does."""
        return bool(self.environment or self.files)

    @property
    def resource(self) -> str:
        return next(iter(self.gpus), WHOLE)

    @property
    def mig_profile(self) -> str:
        return self.resource.removeprefix(MIG_PREFIX) if self.resource.startswith(MIG_PREFIX) else ""

    def filled(self, text: str) -> str:
        """The text with variables of the environment put in; others stay as they are written."""
        return _VARIABLE.sub(self._variable, _ARITHMETIC.sub(self._computed, text))

    def _computed(self, match: re.Match[str]) -> str:
        """`$((NODES * 8))`: sums of products, as launch scripts have them; others stay as they are written."""
        words = _NAME.sub(lambda name: self.environment.get(name[0], name[0]), _VARIABLE.sub(self._variable, match[1]))
        try:
            return str(sum(prod(int(factor) for factor in term.split("*")) for term in words.split("+")))
        except ValueError:
            return match[0]

    def _variable(self, match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[4]
        return self.environment.get(name, match[3] if match[3] is not None else match[0])


def containers(spec: Mapping[str, Any], files: Mapping[str, Mapping[str, str]]) -> tuple[Container, ...]:
    """Containers of a pod spec; `files` are the data of ConfigMaps by name."""
    mounts = _mounted(spec, files)
    return tuple(_container(each, files, mounts) for each in spec.get("containers") or () if isinstance(each, Mapping))


def computing(spec: Mapping[str, Any], files: Mapping[str, Mapping[str, str]]) -> Container | None:
    """The container that asks for GPUs; without one, the first (DRA and runtimes put them in elsewhere)."""
    found = containers(spec, files)
    return next((each for each in found if each.count), found[0] if found else None)


def _container(
    item: Mapping[str, Any], files: Mapping[str, Mapping[str, str]], mounts: Mapping[str, Mapping[str, str]]
) -> Container:
    environment = dict(_environment(item, files))
    words = [str(word) for key in ("command", "args") for word in _words(item.get(key))]
    return Container(
        name=str(item.get("name", "")),
        image=str(item.get("image", "")),
        command=tuple(words),
        environment=environment,
        gpus=gpus_of(item.get("resources")),
        files=dict(_files(item, mounts)),
    )


def _words(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def gpus_of(resources: Any) -> dict[str, int]:
    """GPUs by resource name, from limits, else from requests."""
    found: dict[str, int] = {}
    for kind in ("requests", "limits"):
        amounts = resources.get(kind) if isinstance(resources, Mapping) else None
        for name, amount in (amounts or {}).items():
            text = str(amount)
            if _is_gpu(str(name)) and text.isdecimal() and int(text):
                found[str(name)] = int(text)
    return found


def unfilled(node: Any) -> str:
    """A number of GPUs that is no number yet, such as `nvidia.com/gpu: $GPU_PER_NODE` of a template; "" without one."""
    if isinstance(node, list):
        return next((found for each in node if (found := unfilled(each))), "")
    if not isinstance(node, Mapping):
        return ""
    own = (f"{key}: {value}" for key, value in node.items() if _is_gpu(str(key)) and not str(value).isdecimal())
    return next(own, "") or unfilled(list(node.values()))


def _environment(item: Mapping[str, Any], files: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for source in item.get("envFrom") or ():
        name = (source.get("configMapRef") or {}).get("name", "")
        yield from files.get(name, {}).items()
    for each in item.get("env") or ():
        if "value" in each and each["value"] is not None:
            yield str(each["name"]), str(each["value"])
        reference = ((each.get("valueFrom") or {}).get("configMapKeyRef")) or {}
        value = files.get(reference.get("name", ""), {}).get(reference.get("key", ""))
        if value is not None:
            yield str(each["name"]), value


def _mounted(spec: Mapping[str, Any], files: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    found = {}
    for volume in spec.get("volumes") or ():
        name = (volume.get("configMap") or {}).get("name", "")
        if name in files:
            found[str(volume.get("name"))] = files[name]
    return found


def _files(item: Mapping[str, Any], mounts: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for mount in item.get("volumeMounts") or ():
        data = mounts.get(str(mount.get("name")), {})
        path, part = str(mount.get("mountPath", "")), mount.get("subPath")
        for name, text in data.items():
            if part in (None, name):
                yield (path if part else f"{path.rstrip('/')}/{name}"), text


def _is_gpu(resource: str) -> bool:
    return resource in GPU_RESOURCES or resource.startswith(MIG_PREFIX)
