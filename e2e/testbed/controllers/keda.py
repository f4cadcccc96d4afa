"""The real KEDA on a local control plane: its operator, and its adapter, which a HorizontalPodAutoscaler asks.

Without its admission webhooks, and with certificates from here: it would rotate its own, which is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.certificates import Authority
from e2e.testbed.cluster.gobuild import module_folder
from e2e.testbed.cluster.pins import KEDA
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.servers import Command
from e2e.testbed.cluster.waiting import answers
from e2e.testbed.controllers.manifests import Object, available, reached_by_name, trusting

NAMESPACE: Final = "keda"
_ADAPTER: Final = "keda-metrics-apiserver"
# Else it looks for the file of a pod's service account.
_ENVIRONMENT: Final = {"KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE, "POD_NAMESPACE": NAMESPACE, "WATCH_NAMESPACE": ""}


@dataclass(frozen=True, slots=True)
class _Ports:
    metrics: int
    health: int
    grpc: int
    adapter: int
    adapter_metrics: int


@contextmanager
def running(plane: ControlPlane, *, progress: Progress = print) -> Iterator[None]:
    """KEDA for the length of the block, on a plane with `aggregation`.

    Its API is removed first at the end: one that nobody serves blocks discovery for everybody.
    """
    binaries = ensure_binaries(["keda-operator", "keda-adapter"], progress=progress)
    folder = plane.logs_dir.parent / "keda"
    folder.mkdir(exist_ok=True)
    authority, ports = _certify(folder), _Ports(*free_ports(5))
    operator = _child(plane, "keda-operator", _operator(binaries["keda-operator"], plane, folder, ports), folder)
    adapter = _child(plane, "keda-adapter", _adapter(binaries["keda-adapter"], plane, folder, ports), folder)
    service = trusting(_manifest("config/metrics-server/api_service.yaml"), authority, ports.adapter)
    name = service["metadata"]["name"]
    _define(plane)
    try:
        operator.start()
        adapter.start()
        operator.wait_ready(lambda: answers(f"http://127.0.0.1:{ports.health}/readyz"))
        plane.apply(reached_by_name(NAMESPACE, _ADAPTER), service)
        adapter.wait_ready(lambda: available(plane, name))
        yield
    finally:
        plane.kubectl("delete", "apiservice", name, "--ignore-not-found")
        adapter.stop()
        operator.stop()


def _certify(folder: Path) -> Authority:
    """One pair for both: either is the other's server and client at once."""
    authority = Authority.make(folder, "ca")
    names = f"DNS:localhost,IP:127.0.0.1,DNS:{_ADAPTER}.{NAMESPACE}.svc"
    authority.sign("tls", usage="serverAuth,clientAuth", names=names)
    return authority


def _child(plane: ControlPlane, name: str, command: Command, folder: Path) -> Child:
    return Child(name, command, log=plane.logs_dir / f"{name}.log", home=folder, environment=_ENVIRONMENT)


def _define(plane: ControlPlane) -> None:
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    definitions = sorted((module_folder(KEDA) / "config" / "crd" / "bases").glob("*.yaml"))
    documents = [yaml.safe_load(each.read_text()) for each in definitions]
    plane.apply(*documents)
    plane.wait_established(*(f"crd/{each['metadata']['name']}" for each in documents))


def _manifest(path: str) -> Object:
    document: Object = yaml.safe_load((module_folder(KEDA) / path).read_text())
    return document


def _operator(binary: Path, plane: ControlPlane, folder: Path, ports: _Ports) -> Command:
    return [
        binary,
        f"--kubeconfig={plane.kubeconfig}",
        "--leader-elect=false",
        f"--cert-dir={folder}",
        f"--ca-dir={folder}",
        "--enable-cert-rotation=false",
        "--zap-encoder=console",
        f"--metrics-bind-address=127.0.0.1:{ports.metrics}",
        f"--health-probe-bind-address=127.0.0.1:{ports.health}",
        f"--metrics-service-bind-address=127.0.0.1:{ports.grpc}",
    ]


def _adapter(binary: Path, plane: ControlPlane, folder: Path, ports: _Ports) -> Command:
    # Without any one of the four it asks for a pod's service account.
    kinds = ("", "lister-", "authentication-", "authorization-")
    return [
        binary,
        *(f"--{kind}kubeconfig={plane.kubeconfig}" for kind in kinds),
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.adapter}",
        f"--port={ports.adapter_metrics}",
        f"--metrics-service-address=127.0.0.1:{ports.grpc}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
    ]
