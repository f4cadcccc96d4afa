"""The chart's Deployment run as its pod would: its arguments, its service account's rights, its probes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.podrunner import LocalPod, find_pod
from tests.chart.installed import installed

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

ROOT = Path(__file__).parents[2]
SPACE = "mfu-run"
NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "chart-gpu-node",
        "annotations": {"kwok.x-k8s.io/node": "fake"},
        "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    },
    "status": {"allocatable": {"nvidia.com/gpu": "8", "cpu": "64", "memory": "512Gi", "pods": "110"}},
}


@pytest.fixture(scope="module")
def port() -> int:
    (found,) = free_ports(1)
    return found


@pytest.fixture(scope="module")
def running(control_plane: ControlPlane, cluster_progress: Progress, port: int) -> Iterator[LocalPod]:
    values = {"config": {"server": {"host": "127.0.0.1", "port": port}, "cycle": {"warmUpSeconds": 0}}}
    flags = [flag for key, value in values.items() for flag in ("--set-json", f"{key}={json.dumps(value)}")]
    try:
        with installed(control_plane, "run", *flags, space=SPACE, progress=cluster_progress):
            pod = find_pod(control_plane, "deployment/run-mfu-operator", namespace=SPACE)
            with LocalPod.run(control_plane, pod) as container:
                container.wait_ready()
                yield container
    finally:
        # The control plane is the session's: leave no policy and no node behind.
        control_plane.kubectl("delete", "--ignore-not-found", "mfupolicy/default", f"node/{NODE['metadata']['name']}")


def example(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / name).read_text())
    return document


def get(port: int, path: str, token: str = "") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        body: bytes = answer.read()
        return body.decode()


def test_examples_get_numbers(control_plane: ControlPlane, running: LocalPod) -> None:
    space = control_plane.new_namespace("examples")
    control_plane.apply(example("policy.yaml"))
    names = [path.stem for path in sorted((ROOT / "examples").glob("*.yaml")) if path.stem.rpartition("-")[0]]
    for name in names:
        control_plane.apply(example(f"{name}.yaml"), namespace=space)

    def summaries() -> dict[str, dict[str, str]] | None:
        items = control_plane.get("mw", "-n", space)["items"]
        found = {item["metadata"]["name"]: item.get("status", {}).get("summary", {}) for item in items}
        return found if all("%" in summary.get("expected", "") for summary in found.values()) else None

    found = wait_until(summaries, what="expected MFU of every example", within_seconds=30)
    assert found is not None
    assert set(found) == set(names)
    assert {summary["observed"] for summary in found.values()} == {"Unknown"}


def test_every_write_was_allowed(control_plane: ControlPlane, running: LocalPod) -> None:
    control_plane.apply(NODE)
    wait_until(lambda: control_plane.get("fleetreports")["items"], what="the fleet report")
    log = running.log.read_text()
    assert "forbidden" not in log.lower()


def test_policy_has_a_status(control_plane: ControlPlane, running: LocalPod) -> None:
    control_plane.apply(example("policy.yaml"))
    policy = wait_until(
        lambda: control_plane.get("mfupolicy", "default").get("status"), what="status of the policy", within_seconds=20
    )
    assert policy is not None
    assert {one["type"]: one["status"] for one in policy["conditions"]}["Accepted"] == "True"


def test_lease_is_held_in_the_releases_namespace(control_plane: ControlPlane, running: LocalPod) -> None:
    assert control_plane.get("lease", "mfu-operator", "-n", SPACE)["spec"]["holderIdentity"]


def test_metrics_are_served_to_those_who_may_read_them_and_probes_to_all(
    control_plane: ControlPlane, running: LocalPod, port: int
) -> None:
    assert get(port, "/healthz").strip() == "ok"
    assert get(port, "/readyz").strip() == "ok"
    tokens = {}
    for account in ("stranger", "prometheus"):
        control_plane.kubectl("create", "serviceaccount", account, "-n", SPACE)
        tokens[account] = control_plane.kubectl("create", "token", account, "-n", SPACE).strip()
    role = ["--clusterrole=run-mfu-operator-metrics-reader", f"--serviceaccount={SPACE}:prometheus"]
    control_plane.kubectl("create", "clusterrolebinding", "run-metrics", *role)
    try:
        for token, status in (("", 401), ("forged", 401), (tokens["stranger"], 403)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(port, "/metrics", token)
            assert refused.value.code == status
        assert "mfu_operator_cycles_total" in get(port, "/metrics", tokens["prometheus"])
    finally:
        control_plane.kubectl("delete", "clusterrolebinding", "run-metrics")
