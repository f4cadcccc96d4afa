"""What each contender is given: the same Jobs, and what its own documentation says to write beside them."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.placement.fleet import LEAF_LABEL, FleetNode
from benchmarks.placement.work import API_NAMES, Work, declaration
from benchmarks.placement_truth import HARDWARE
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.waiting import wait_until
from e2e.testbed.controllers import kueue
from mfu.api.names import PLACEMENT_GATE, WORKLOAD_LABEL

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "bench"
CPUS_A_GPU: Final = 8
_QUEUE: Final = "kueue.x-k8s.io/v1beta2"
_PRODUCT: Final = "nvidia.com/gpu.product"
_HOSTNAME: Final = "kubernetes.io/hostname"
_IDLE: Final = {
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "0",
    "DCGM_FI_PROF_SM_ACTIVE": "0",
    "DCGM_FI_PROF_DRAM_ACTIVE": "0",
    "DCGM_FI_DEV_SM_CLOCK": "1410",
    "DCGM_FI_DEV_GPU_UTIL": "0",
    "DCGM_FI_DEV_POWER_USAGE": "60.@VARY",
}
_VARY: Final = b"@VARY"
"""What differs from one moment to the next: an exporter whose numbers never change has stopped."""


class Contender(StrEnum):
    DEFAULT = "default"
    KUEUE = "kueue"
    OURS = "ours"


def objects_of(contender: Contender, job: Work) -> list[dict[str, Any]]:
    """What is created when it arrives, in this order."""
    made = _job(job)
    if contender is Contender.KUEUE:
        return [_queued(made, job)]
    if contender is Contender.OURS:
        template = made["spec"]["template"]
        template["metadata"]["labels"][WORKLOAD_LABEL] = job.name
        template["spec"]["schedulingGates"] = [{"name": PLACEMENT_GATE}]
        return [declaration(job), made]
    return [made]


def _job(job: Work) -> dict[str, Any]:
    """Its owner names the products that its memory fits, as an affinity that all schedulers read."""
    terms = [{"matchExpressions": [{"key": _PRODUCT, "operator": "In", "values": list(job.products)}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    gpus = job.kind.piece
    resources = {"requests": {"cpu": str(CPUS_A_GPU * gpus)}, "limits": {"nvidia.com/gpu": str(gpus)}}
    pod = {
        "restartPolicy": "Never",
        "affinity": affinity,
        "containers": [{"name": "train", "image": "registry.example/train:1", "resources": resources}],
    }
    spec = {
        "parallelism": job.pods,
        "completions": job.pods,
        "completionMode": "Indexed",
        "ttlSecondsAfterFinished": 5,
        "template": {"metadata": {"labels": {"job": job.name}, "annotations": {}}, "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job.name, "labels": {}}, "spec": spec}


def _queued(made: dict[str, Any], job: Work) -> dict[str, Any]:
    """As Kueue's page on topology-aware scheduling says: near each other if that can be, tensor groups on one host."""
    made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "gpus"
    made["spec"]["suspend"] = True
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    annotations["kueue.x-k8s.io/podset-preferred-topology"] = LEAF_LABEL
    if job.kind.tensor > job.kind.piece:
        annotations["kueue.x-k8s.io/podset-slice-required-topology"] = _HOSTNAME
        annotations["kueue.x-k8s.io/podset-slice-size"] = str(job.kind.tensor // job.kind.piece)
    return made


@contextmanager
def running(contender: Contender, plane: ControlPlane, nodes: Sequence[FleetNode], folder: Path) -> Iterator[None]:
    """Whatever decides beside the scheduler, for the length of the block."""
    if contender is Contender.KUEUE:
        with kueue.running(plane):
            plane.apply(*_queues(nodes))
            yield
    elif contender is Contender.OURS:
        with _exporters(nodes) as port, _operator(plane, folder, port):
            yield
    else:
        yield


def _queues(nodes: Sequence[FleetNode]) -> list[dict[str, Any]]:
    """A flavor a product, the cheapest first, as many GPUs as there are."""
    flavors = []
    for label in HARDWARE:
        mine = [node for node in nodes if node.hardware.label == label]
        gpus = sum(node.gpus for node in mine)
        quotas = [
            {"name": "nvidia.com/gpu", "nominalQuota": gpus},
            {"name": "cpu", "nominalQuota": sum(int(node.manifest["status"]["allocatable"]["cpu"]) for node in mine)},
        ]
        flavors.append({"name": label.lower(), "resources": quotas})
    return [
        _kueue("Topology", "fleet", {"levels": [{"nodeLabel": LEAF_LABEL}, {"nodeLabel": _HOSTNAME}]}),
        *(
            _kueue("ResourceFlavor", label.lower(), {"nodeLabels": {_PRODUCT: label}, "topologyName": "fleet"})
            for label in HARDWARE
        ),
        _kueue(
            "ClusterQueue",
            "gpus",
            {
                "namespaceSelector": {},
                "resourceGroups": [{"coveredResources": ["nvidia.com/gpu", "cpu"], "flavors": flavors}],
            },
        ),
        {
            **_kueue("LocalQueue", "gpus", {"clusterQueue": "gpus"}),
            "metadata": {"name": "gpus", "namespace": NAMESPACE},
        },
    ]


def _kueue(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _QUEUE, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def policy() -> dict[str, Any]:
    """What an administrator writes for ours: prices, the level of the network, and that places are carried out."""
    prices = [{"product": API_NAMES[label], "perGPUHour": f"{each.dollars:.2f}"} for label, each in HARDWARE.items()]
    spec = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "priority": 10,
        "modes": {"placement": "Enforce"},
        "gate": {"deadlineSeconds": 3600},
        "actions": [{"type": "RequiredAffinity", "minConfidencePercent": 30, "maxPerMinute": 10_000}],
        "prices": prices,
        "topologyLevels": [LEAF_LABEL],
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": "bench"}, "spec": spec}


@contextmanager
def _operator(plane: ControlPlane, folder: Path, exporters: int) -> Iterator[None]:
    """The operator as its own process, with its own defaults but for addresses and the one action."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    plane.wait_established()
    plane.apply(policy())
    (port,) = free_ports(1)
    file = folder / "config.yaml"
    config = {
        "server": {"host": "127.0.0.1", "port": port},
        "leaderElection": {"namespace": "default"},
        "actions": ["RequiredAffinity"],
        "cycle": {"warmUpSeconds": 5},
        "dcgm": {"urlTemplate": f"http://127.0.0.1:{exporters}/{{node}}"},
    }
    file.write_text(yaml.safe_dump(config))
    command: list[str | Path] = [sys.executable, "-m", "mfu", "operator", f"--kubeconfig={plane.kubeconfig}"]
    child = Child("operator", [*command, f"--config={file}"], log=plane.logs_dir / "operator.log", home=folder)
    child.start()
    try:
        child.wait_ready(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), within_seconds=90)
        yield
    finally:
        child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def _exporters(nodes: Sequence[FleetNode]) -> Iterator[int]:
    """All nodes' exporters on one port. Every GPU looks idle: places rest on what is predicted."""
    pages = {f"/{node.name}": _page(node) for node in nodes}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, b"").replace(_VARY, b"%03d" % (int(time.time() * 10) % 1000))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _page(node: FleetNode) -> bytes:
    name = node.hardware.label.replace("-", " ")
    lines = [
        f'{field}{{gpu="{gpu}",UUID="GPU-{node.name}-{gpu}",modelName="{name}",Hostname="{node.name}"}} {value}'
        for field, value in _IDLE.items()
        for gpu in range(node.gpus)
    ]
    return ("\n".join(lines) + "\n").encode()


def prepare(plane: ControlPlane, nodes: Sequence[FleetNode]) -> None:
    """The fleet and the namespace; returns once pods can be made and nodes take them."""
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    plane.apply(*(node.manifest for node in nodes))
    wait_until(lambda: plane.has_service_account(NAMESPACE), what="service account", within_seconds=60)
    wait_until(lambda: _ready(plane) == len(nodes), what="nodes", within_seconds=60)


def _ready(plane: ControlPlane) -> int:
    found = json.loads(plane.kubectl("get", "nodes", "-o", "json"))["items"]
    return sum(
        any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"].get("conditions", ()))
        for node in found
    )
