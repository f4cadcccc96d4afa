"""The real JobSet, LeaderWorkerSet and Trainer controllers with their webhooks, where their kinds are served.

They manage no certificates here: two of them write to one folder of the machine when they do.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.certificates import Authority
from e2e.testbed.cluster.gobuild import module_folder
from e2e.testbed.cluster.pins import JOBSET, LEADER_WORKER_SET, TRAINER, Source
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.waiting import answers
from e2e.testbed.controllers.manifests import Object, reached_by_name

_SERVICE: Final = "webhooks"


@dataclass(frozen=True, slots=True)
class Manager:
    """One project's controllers: the name of their binary, their webhooks' file, and what their settings are called."""

    name: str
    source: Source
    webhooks: str
    settings: str
    certificates: str
    pods_labelled: str = ""
    """Of which pods its webhooks are asked; they fail closed."""

    @property
    def namespace(self) -> str:
        return f"{self.name}-system"


JOBSETS: Final = Manager(
    "jobset",
    JOBSET,
    "config/components/webhook/manifests.yaml",
    "config.jobset.x-k8s.io/v1alpha1",
    "internalCertManagement",
    pods_labelled="jobset.sigs.k8s.io/jobset-name",
)
LEADERS: Final = Manager(
    "lws",
    LEADER_WORKER_SET,
    "config/webhook/manifests.yaml",
    "config.lws.x-k8s.io/v1alpha1",
    "internalCertManagement",
    pods_labelled="leaderworkerset.sigs.k8s.io/name",
)
TRAINJOBS: Final = Manager(
    "trainer",
    TRAINER,
    "manifests/base/webhook/manifests.yaml",
    "config.trainer.kubeflow.org/v1alpha1",
    "certManagement",
)


@contextmanager
def running(plane: ControlPlane, manager: Manager, *, progress: Progress = print) -> Iterator[Child]:
    """For the length of the block. Its webhooks are removed at the end: they fail closed."""
    binary = ensure_binaries([manager.name], progress=progress)[manager.name]
    webhook, health = free_ports(2)
    folder = plane.logs_dir.parent / manager.name
    # Where controller-runtime looks for certificates under its TMPDIR.
    certificates = folder / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True, exist_ok=True)
    authority = _certify(certificates, f"{_SERVICE}.{manager.namespace}.svc")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(_settings(manager, certificates, webhook, health)))
    command: list[str | Path] = [binary, f"--kubeconfig={plane.kubeconfig}", f"--config={config}"]
    log, environment = plane.logs_dir / f"{manager.name}.log", {"TMPDIR": str(folder)}
    child = Child(manager.name, command, log=log, home=folder, environment=environment)
    hooks = list(_hooks(manager, authority, webhook))
    try:
        child.start()
        child.wait_ready(lambda: answers(f"http://127.0.0.1:{health}/readyz"))
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": manager.namespace}})
        plane.apply(reached_by_name(manager.namespace, _SERVICE), *hooks)
        yield child
    finally:
        child.stop()
        named = [f"{each['kind'].lower()}/{each['metadata']['name']}" for each in hooks]
        plane.kubectl("delete", "--ignore-not-found", *named)


def _certify(folder: Path, host: str) -> Authority:
    authority = Authority.make(folder, "ca")
    authority.sign("tls", usage="serverAuth", names=f"DNS:{host}")
    return authority


def _settings(manager: Manager, certificates: Path, webhook: int, health: int) -> Object:
    host = "127.0.0.1"
    own = {} if manager is TRAINJOBS else {"certDir": str(certificates)}
    return {
        "apiVersion": manager.settings,
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"{host}:{health}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": host, "port": webhook, **own},
        "leaderElection": {"leaderElect": False},
        manager.certificates: {"enable": False},
    }


def _hooks(manager: Manager, authority: Authority, port: int) -> Iterator[Object]:
    trusted = base64.b64encode(authority.certificate.read_bytes()).decode()
    for document in yaml.safe_load_all((module_folder(manager.source) / manager.webhooks).read_text()):
        for each in document["webhooks"]:
            path = each["clientConfig"]["service"]["path"]
            service = {"namespace": manager.namespace, "name": _SERVICE, "path": path, "port": port}
            each["clientConfig"] = {"service": service, "caBundle": trusted}
            if each["rules"][0]["resources"] == ["pods"]:
                asked = {"key": manager.pods_labelled, "operator": "Exists"}
                each["objectSelector"] = {"matchExpressions": [asked]}
        yield {**document, "metadata": {"name": f"{manager.name}-{document['metadata']['name']}"}}
