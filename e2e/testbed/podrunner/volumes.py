"""A pod's volumes as files below a temporary folder, and the mapping of mount paths to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from e2e.testbed.cluster import ClusterAccess
from e2e.testbed.podrunner.access import request_token
from e2e.testbed.podrunner.data import read_data
from e2e.testbed.podrunner.downward import downward_value
from e2e.testbed.podrunner.fields import Document, UnsupportedField

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where each mount path of the container is on this machine."""

    paths: Mapping[str, Path] = field(default_factory=dict)

    def rewrite(self, text: str) -> str:
        """`text` with every mounted path in it replaced, longest first: `--config=/etc/mfu/a` → `--config=/tmp/…/a`."""
        for mounted in sorted(self.paths, key=len, reverse=True):
            text = re.sub(rf"(?<![^\s=:,'\"]){re.escape(mounted)}(?=$|[/\s:,'\"])", str(self.paths[mounted]), text)
        return text


def mount_all(
    cluster: ClusterAccess, pod: Document, container: Document, *, root: Path, host_paths: Mapping[str, Path]
) -> Mounts:
    """Write all mounted volumes below `root`. `host_paths` stands in for the node's own folders."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    paths: dict[str, Path] = {}
    for mount in container.get("volumeMounts", []):
        folder = root / mount["name"]
        if not folder.exists():
            folder = _fill(cluster, pod, volumes[mount["name"]], folder, host_paths)
        if "subPathExpr" in mount:
            raise UnsupportedField(f"volumeMounts[{mount['name']}].subPathExpr", "not supported by the pod runner")
        paths[mount["mountPath"].rstrip("/")] = folder / mount.get("subPath", "")
    return Mounts(paths)


def _fill(
    cluster: ClusterAccess, pod: Document, volume: Document, folder: Path, host_paths: Mapping[str, Path]
) -> Path:
    name, (kind, source) = volume["name"], next(item for item in volume.items() if item[0] != "name")
    if kind == "hostPath":
        if source["path"] not in host_paths:
            raise UnsupportedField(f"spec.volumes[{name}].hostPath", f"no stand-in for {source['path']} was given")
        return host_paths[source["path"]]
    folder.mkdir(parents=True)
    for file, content in _contents(cluster, pod, name, {kind: source}).items():
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def _contents(cluster: ClusterAccess, pod: Document, name: str, source: Document) -> Files:
    if "emptyDir" in source:
        return {}
    if "projected" in source:
        files: Files = {}
        for part in source["projected"]["sources"]:
            files |= _contents(cluster, pod, name, part)
        return files
    for kind, read in _READERS.items():
        if kind in source:
            return read(cluster, pod, source[kind])
    raise UnsupportedField(f"spec.volumes[{name}].{next(iter(source))}", "not supported by the pod runner")


def _config_map(cluster: ClusterAccess, pod: Document, source: Document) -> Files:
    return _selected(read_data(cluster, pod, "configMap", source), source)


def _secret(cluster: ClusterAccess, pod: Document, source: Document) -> Files:
    return _selected(read_data(cluster, pod, "secret", source), source)


def _token(cluster: ClusterAccess, pod: Document, source: Document) -> Files:
    return {source["path"]: request_token(cluster, pod, audience=source.get("audience")).encode()}


def _downward(_cluster: ClusterAccess, pod: Document, source: Document) -> Files:
    return {item["path"]: downward_value(pod, item["fieldRef"]["fieldPath"]).encode() for item in source["items"]}


_READERS: Mapping[str, Callable[[ClusterAccess, Document, Document], Files]] = {
    "configMap": _config_map,
    "secret": _secret,
    "serviceAccountToken": _token,
    "downwardAPI": _downward,
}


def _selected(files: Files, source: Document) -> Files:
    items = source.get("items")
    return files if items is None else {item["path"]: files[item["key"]] for item in items}
