"""The real Kueue manager with its webhooks, for Jobs and what else it is asked for, on a local control plane."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.gobuild import module_folder
from e2e.testbed.cluster.pins import KUEUE
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.waiting import answers, wait_until
from e2e.testbed.controllers.manifests import Object, at_port, reached_by_name, without

NAMESPACE: Final = "kueue-system"
_SERVICE: Final = "kueue-webhook-service"
_SECRET: Final = "kueue-webhook-server-cert"
# Run by nobody here, or meant for pods of the manager alone.
_LEFT_OUT: Final = (
    "Deployment", "ConfigMap", "APIService", "FlowSchema", "PriorityLevelConfiguration", "Service",
)  # fmt: skip


@contextmanager
def running(
    plane: ControlPlane,
    *,
    gates: Sequence[str] = (),
    frameworks: Sequence[str] = ("batch/job",),
    progress: Progress = print,
) -> Iterator[Child]:
    """Kueue for the length of the block. `gates` are feature gates such as `AdmissionGatedBy=true`.

    Kinds of `frameworks` other than Jobs have to be served before.

    It is stopped and its webhooks are removed at the end: they fail closed, and nobody would answer them any more.
    """
    binary = ensure_binaries(["kueue"], progress=progress)["kueue"]
    webhook, health, metrics = free_ports(3)
    folder = plane.logs_dir.parent / "kueue"
    certificates = folder / "certificates"
    certificates.mkdir(parents=True, exist_ok=True)
    hooks = _install(plane, webhook, frameworks)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(_configuration(certificates, webhook, health, metrics, frameworks)))
    switched = ",".join(("VisibilityOnDemand=false", *gates))
    command: list[str | Path] = [
        binary,
        f"--kubeconfig={plane.kubeconfig}",
        f"--config={config}",
        f"--feature-gates={switched}",
    ]
    child = Child("kueue", command, log=plane.logs_dir / "kueue.log", home=folder)
    try:
        child.start()
        _hand_over_certificates(plane, child, certificates)
        child.wait_ready(lambda: answers(f"http://127.0.0.1:{health}/readyz"))
        _wait_for_webhooks(plane)
        yield child
    finally:
        child.stop()
        plane.kubectl("delete", "--ignore-not-found", *hooks)


def _install(plane: ControlPlane, port: int, frameworks: Sequence[str]) -> list[str]:
    """Applies the project's own manifests; returns the names of its webhook configurations."""
    text = plane.kubectl("kustomize", str(module_folder(KUEUE) / "config" / "default"))
    kept = without(yaml.safe_load_all(text), *_LEFT_OUT)
    documents = [at_port(_only(each, frameworks), port) for each in kept]
    plane.apply(*[each for each in documents if each["kind"] == "Namespace"])
    plane.apply(*documents, reached_by_name(NAMESPACE, _SERVICE))
    return [f"{each['kind'].lower()}/{each['metadata']['name']}" for each in documents if "webhooks" in each]


def _only(document: Object, frameworks: Sequence[str]) -> Object:
    """Without the webhooks of kinds that are not queued here: they fail closed for every pod and Deployment."""
    if "webhooks" in document:
        document["webhooks"] = [each for each in document["webhooks"] if _wanted(each, frameworks)]
    return document


def _wanted(webhook: Object, frameworks: Sequence[str]) -> bool:
    """`jobset.x-k8s.io/jobset` is the framework of the group and the plural of a webhook's rule without its s."""
    if "kueue" in webhook["clientConfig"]["service"]["path"]:
        return True
    rules = webhook["rules"]
    return any(f"{rule['apiGroups'][0]}/{rule['resources'][0].removesuffix('s')}" in frameworks for rule in rules)


def _configuration(
    certificates: Path, webhook: int, health: int, metrics: int, frameworks: Sequence[str]
) -> dict[str, Any]:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": f"127.0.0.1:{metrics}"},
        "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"qps": 300, "burst": 500},
        "integrations": {"frameworks": list(frameworks)},
    }


def _hand_over_certificates(plane: ControlPlane, child: Child, folder: Path) -> None:
    """What a kubelet would mount: the manager writes its certificates to a Secret and waits for them as files."""

    def data() -> dict[str, str]:
        if child.crashed:
            child.wait_ready(lambda: False)
        found: dict[str, str] = plane.get("secret", "-n", NAMESPACE, _SECRET).get("data") or {}
        return found if "tls.key" in found else {}

    for name, text in wait_until(data, what="certificates of Kueue", within_seconds=60).items():
        (folder / name).write_bytes(base64.b64decode(text))


def _wait_for_webhooks(plane: ControlPlane) -> None:
    """A queue's flavor can be made once the webhook answers and the API server trusts it."""
    flavor = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "probe"}}

    def made() -> bool:
        try:
            plane.apply(flavor)
        except Exception:
            return False
        plane.kubectl("delete", "resourceflavor", "probe", "--wait=false")
        return True

    wait_until(made, what="answer of Kueue's webhooks", within_seconds=60, every_seconds=0.5)
