"""What is built, from which pinned module, and how long that took when it was measured."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

KUBERNETES_VERSION = "v1.36.3"
MODULES = Path(__file__).parent / "modules"

_VERSION_PACKAGE = "k8s.io/component-base/version"
# Without a version kubectl refuses its own build: "could not parse pre-release/metadata (-master+$Format:%H$)".
_KUBERNETES_VARIABLES = (
    f"-X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}",
    f"-X {_VERSION_PACKAGE}.gitMajor=1",
    f"-X {_VERSION_PACKAGE}.gitMinor=36",
    f"-X {_VERSION_PACKAGE}.gitTreeState=clean",
)
# No symbol table and no DWARF: 5 min 46 s instead of 9 min 01 s for the four servers on 2 cores.
_LINK_FLAGS = ("-s", "-w", *_KUBERNETES_VARIABLES)
GO_BUILD_FLAGS = (
    "-mod=readonly",
    "-buildvcs=false",
    "-trimpath",
    "-gcflags=all=-dwarf=false",
    "-ldflags=" + " ".join(_LINK_FLAGS),
)


@dataclass(frozen=True, slots=True)
class Binary:
    """One program: its Go package, the folder whose go.mod pins it, and its cold build time on 2 cores in seconds.

    The times are those of a build in the order of `BINARIES`: a later program finds most packages compiled already.
    `version_check`: refuse a copy found elsewhere unless it is of the pinned Kubernetes minor version.
    """

    name: str
    module: str
    package: str
    cold_seconds: float
    version_check: bool = False


_ALL = (
    Binary("etcd", "controlplane", "go.etcd.io/etcd/server/v3", 35),
    Binary("kube-apiserver", "controlplane", "k8s.io/kubernetes/cmd/kube-apiserver", 143, version_check=True),
    Binary("kubectl", "controlplane", "k8s.io/kubernetes/cmd/kubectl", 17),
    Binary(
        "kube-controller-manager",
        "controlplane",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        40,
        version_check=True,
    ),
    Binary("kube-scheduler", "controlplane", "k8s.io/kubernetes/cmd/kube-scheduler", 4, version_check=True),
    Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", 51),
    Binary("helm", "helm", "helm.sh/helm/v4/cmd/helm", 111),
)
BINARIES: Mapping[str, Binary] = MappingProxyType({binary.name: binary for binary in _ALL})

API_SERVER_ONLY = ("etcd", "kube-apiserver", "kubectl")
CONTROL_PLANE = (*API_SERVER_ONLY, "kube-controller-manager", "kube-scheduler", "kwok")


def fingerprint(module: str) -> str:
    """Hash of everything that decides what a module's binaries are: pins, flags and platform."""
    folder = MODULES / module
    digest = hashlib.sha256()
    for part in (
        (folder / "go.mod").read_bytes(),
        (folder / "go.sum").read_bytes(),
        "\0".join(GO_BUILD_FLAGS).encode(),
        f"{platform.system()}/{platform.machine()}".encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
