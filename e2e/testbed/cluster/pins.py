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
class Source:
    """A module that is built in a copy of its own folder, since its go.mod replaces what it needs."""

    path: str
    version: str
    sum: str
    """As the checksum database has it (`go mod download -json`)."""


JOBSET = Source("sigs.k8s.io/jobset", "v0.12.0", "h1:YYPuV0px8Ongq/RXmJg6V0w2UC67aiR+rCMD06vhQQQ=")
LEADER_WORKER_SET = Source("sigs.k8s.io/lws", "v0.9.0", "h1:DcJCgxjjoGOx//QHZkeKpyiblxYq70aCRZNYSfykWyI=")
TRAINER = Source("github.com/kubeflow/trainer/v2", "v2.2.0", "h1:whChZckEtycLo1UKH/M0hiNaCUozbLvf9JrgmMv+TAg=")
KEDA = Source("github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=")
KUEUE = Source("sigs.k8s.io/kueue", "v0.17.0", "h1:7hzb38M4eKGzYW+CFv2s1L+swzzacUCHOCXxZmAV90I=")


@dataclass(frozen=True, slots=True)
class Binary:
    """One program: its Go package, the folder whose go.mod pins it, and its cold build time on 2 cores in seconds.

    The times are those of a build in the order of `BINARIES`: a later program finds most packages compiled already.
    KEDA's are half of the CPU-seconds that it took beside other work: 532 and 89. It pins newer ones than the rest,
    so that no library of theirs serves it.
    `version_check`: refuse a copy found elsewhere unless it is of the pinned Kubernetes minor version.
    `beside`: a module whose package is built with the versions that `source` pins, so that what the program of `source`
    was built of is not compiled once more: seconds instead of minutes.
    """

    name: str
    module: str
    package: str
    cold_seconds: float
    version_check: bool = False
    source: Source | None = None
    beside: Source | None = None


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
    Binary("kueue", "kueue", "./cmd/kueue", 179, source=KUEUE),
    Binary("jobset", "kueue", "sigs.k8s.io/jobset", 7, source=KUEUE, beside=JOBSET),
    Binary("lws", "kueue", "sigs.k8s.io/lws/cmd", 8, source=KUEUE, beside=LEADER_WORKER_SET),
    Binary("trainer", "kueue", "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager", 7, source=KUEUE),
    Binary("keda-operator", "keda", "./cmd/operator", 290, source=KEDA),
    Binary("keda-adapter", "keda", "./cmd/adapter", 50, source=KEDA),
)
BINARIES: Mapping[str, Binary] = MappingProxyType({binary.name: binary for binary in _ALL})

API_SERVER_ONLY = ("etcd", "kube-apiserver", "kubectl")
CONTROLLERS = ("kueue", "jobset", "lws", "trainer", "keda-operator", "keda-adapter")
"""Other people's controllers, whose decisions meet ours."""
CONTROL_PLANE = (*API_SERVER_ONLY, "kube-controller-manager", "kube-scheduler", "kwok")


def fingerprint(binary: Binary) -> str:
    """Hash of everything that decides what a module's binaries are: pins, flags and platform."""
    digest = hashlib.sha256()
    flags = "\0".join(GO_BUILD_FLAGS).encode()
    for part in (*_pinned(binary), flags, f"{platform.system()}/{platform.machine()}".encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def _pinned(binary: Binary) -> tuple[bytes, bytes]:
    if binary.source is not None:
        sources = [binary.source, *((binary.beside,) if binary.beside else ())]
        named = ",".join(f"{each.path}@{each.version}" for each in sources)
        return named.encode(), ",".join(each.sum for each in sources).encode()
    folder = MODULES / binary.module
    return (folder / "go.mod").read_bytes(), (folder / "go.sum").read_bytes()
