"""A container's environment and command line, with references resolved."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.testbed.cluster import ClusterAccess
from e2e.testbed.podrunner.data import read_data
from e2e.testbed.podrunner.downward import downward_value
from e2e.testbed.podrunner.fields import Document, UnsupportedField

DOCKERFILE = Path(__file__).parents[3] / "Dockerfile"
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


def environment(cluster: ClusterAccess, pod: Document, container: Document) -> dict[str, str]:
    """The variables that the pod gives its container; later ones may use earlier ones as `$(NAME)`."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        values |= _all_keys(cluster, pod, source)
    for entry in container.get("env", []):
        found = _value(cluster, pod, entry)
        if found is not None:
            values[entry["name"]] = expand(found, values)
    return values


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where NAME is known, `$$` as an escape: Kubernetes' rule for commands and environment.

    >>> expand("$(A)-$$(A)-$(B)", {"A": "1"})
    '1-$(A)-$(B)'
    """

    def replace(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else values.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def command_line(container: Document, values: Mapping[str, str], *, dockerfile: Path = DOCKERFILE) -> list[str]:
    """Command and arguments as a container runtime would join them, the program found in this Python's environment."""
    command, arguments = container.get("command"), container.get("args")
    if not command:
        command, default_arguments = _of_image(dockerfile)
        arguments = default_arguments if arguments is None else arguments
    program, *rest = [expand(part, values) for part in (*command, *(arguments or ()))]
    return [*_program(program), *rest]


def _program(name: str) -> list[str]:
    """The checkout's own `mfu` or Python; an image's other programs are not there."""
    if name in ("python", "python3"):
        return [sys.executable]
    script = Path(sys.executable).with_name(Path(name).name)
    if Path(name).name == "mfu" and script.exists():
        return [str(script)]
    raise UnsupportedField("spec.containers[0].command", f"{name} is not a program of this checkout (mfu, python)")


def _of_image(dockerfile: Path) -> tuple[Sequence[str], Sequence[str]]:
    """ENTRYPOINT and CMD of the image that the checkout builds, in their JSON form."""
    text = dockerfile.read_text()
    found = {
        name: json.loads(match[-1])
        for name in ("ENTRYPOINT", "CMD")
        if (match := re.findall(rf"(?m)^{name}\s+(\[.*\])\s*$", text))
    }
    if "ENTRYPOINT" not in found:
        raise UnsupportedField("spec.containers[0].command", f"none given, and no JSON ENTRYPOINT in {dockerfile}")
    return found["ENTRYPOINT"], found.get("CMD", ())


def _value(cluster: ClusterAccess, pod: Document, entry: Document) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return str(entry.get("value", ""))
    if "fieldRef" in source:
        return downward_value(pod, source["fieldRef"]["fieldPath"])
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            return _key(cluster, pod, kind, source[kind])
    raise UnsupportedField(f"env {entry['name']}.{next(iter(source))}", "not supported by the pod runner")


def _key(cluster: ClusterAccess, pod: Document, kind: str, reference: Document) -> str | None:
    data = read_data(cluster, pod, kind.removesuffix("KeyRef"), reference)
    if reference["key"] in data:
        return data[reference["key"]].decode()
    if reference.get("optional"):
        return None
    raise KeyError(f"{kind} {reference['name']} has no key {reference['key']}")


def _all_keys(cluster: ClusterAccess, pod: Document, source: Document) -> dict[str, str]:
    prefix = source.get("prefix", "")
    kind, reference = next(item for item in source.items() if item[0] != "prefix")
    data = read_data(cluster, pod, kind.removesuffix("Ref"), reference)
    return {prefix + key: value.decode() for key, value in data.items()}
