"""The stamping webhook on a real API server: who is stamped, and that slow, dead or distrusted it keeps nobody."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.ports import free_ports
from mfu.api.names import GATE_LABEL, GATED_ANNOTATION, PLACEMENT_GATE, WORKLOAD_LABEL
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.controller import certificate
from mfu.controller.admission import Options
from mfu.controller.stamp import PATH, stamping
from tests.builders.gated_pods import gated, gates_of
from tests.chart.installed import CHART

pytestmark = pytest.mark.integration

HOST = "localhost"
NAME = "stamp-mfu-operator-gate"
MOST_SECONDS = 2.0
ROOM_SECONDS = 3.0
"""Beside what the API server waits: the machine is shared."""


@pytest.fixture(scope="module")
def configuration(cluster_progress: Progress) -> dict[str, Any]:
    """As the chart has it, called by address instead of by Service."""
    helm = ensure_binaries(["helm"], progress=cluster_progress)["helm"]
    values = "gating.enabled=true,gating.webhook.enabled=true,keeper.enabled=true"
    command = [
        str(helm),
        "template",
        "stamp",
        str(CHART),
        "--set",
        values,
        "--show-only",
        "templates/gate-webhook.yaml",
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = next(
        each for each in yaml.safe_load_all(text) if each["kind"] == "MutatingWebhookConfiguration"
    )
    assert found["metadata"]["name"] == NAME
    assert found["webhooks"][0]["timeoutSeconds"] <= MOST_SECONDS
    return found


def installed_at(server: ControlPlane, configuration: dict[str, Any], port: int, trusted: str) -> None:
    made = json.loads(json.dumps(configuration))
    bundle = base64.b64encode(trusted.encode()).decode()
    made["webhooks"][0]["clientConfig"] = {"url": f"https://{HOST}:{port}{PATH}", "caBundle": bundle}
    server.kubectl("delete", "mutatingwebhookconfiguration", NAME, "--ignore-not-found")
    server.apply(made)


def opted_in(server: ControlPlane) -> str:
    space = server.new_namespace("stamp")
    server.kubectl("label", "namespace", space, f"{GATE_LABEL}=enabled")
    return space


def created(server: ControlPlane, space: str, *, labelled: bool = True, **spec: Any) -> tuple[dict[str, Any], float]:
    """The pod as the API server made it, and the seconds that its creation took."""
    body = gated(gates=(), **spec)
    if "schedulingGates" not in spec:
        del body["spec"]["schedulingGates"]
    if labelled:
        body["metadata"]["labels"] = {WORKLOAD_LABEL: "w"}
    began = time.monotonic()
    server.kubectl("create", "-n", space, "-f", "-", stdin=json.dumps(body))
    took = time.monotonic() - began
    found: dict[str, Any] = server.get("pod", body["metadata"]["name"], "-n", space)
    return found, took


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[int, str]]:
    own = await certificate.make(folder, HOST)
    options = Options(host=HOST, certificates=folder, address="127.0.0.1", port=0)
    async with stamping(options) as port:
        yield port, own


async def test_who_is_stamped_and_who_is_not(
    server: ControlPlane, configuration: dict[str, Any], tmp_path: Path
) -> None:
    def played(port: int, own: str) -> None:
        installed_at(server, configuration, port, own)
        space = opted_in(server)
        wait_until(lambda: gates_of(created(server, space)[0]) == [PLACEMENT_GATE], what="the webhook in force")
        pod, _ = created(server, space)
        assert gates_of(pod) == [PLACEMENT_GATE]
        assert pod["metadata"]["annotations"][GATED_ANNOTATION] == "true"
        both, _ = created(server, space, schedulingGates=[{"name": "a.b/c"}])
        assert set(gates_of(both)) == {"a.b/c", PLACEMENT_GATE}
        again, _ = created(server, space, schedulingGates=[{"name": PLACEMENT_GATE}])
        assert gates_of(again) == [PLACEMENT_GATE]
        assert gates_of(created(server, space, labelled=False)[0]) == []
        assert gates_of(created(server, space, nodeName="n0")[0]) == []
        assert gates_of(created(server, server.new_namespace("plain"))[0]) == []

    async with running(tmp_path) as (port, own):
        await asyncio.to_thread(played, port, own)


async def test_the_certificate_that_it_makes_is_announced(
    server: ControlPlane, configuration: dict[str, Any], tmp_path: Path
) -> None:
    async with running(tmp_path) as (port, own), KubeClient(connect(server.kubeconfig)) as client:
        installed_at(server, configuration, port, "")
        await certificate.announce(client, NAME, own, webhooks=certificate.MUTATING_WEBHOOKS)
        found = await client.get(certificate.MUTATING_WEBHOOKS, NAME)
        assert base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"]).decode() == own


def test_dead_it_keeps_nobody(server: ControlPlane, configuration: dict[str, Any], tmp_path: Path) -> None:
    own = asyncio.run(certificate.make(tmp_path, HOST))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    installed_at(server, configuration, port, own)
    assert_created_in_time(server)


def test_slow_it_keeps_nobody(server: ControlPlane, configuration: dict[str, Any], tmp_path: Path) -> None:
    """It takes the connection and never answers."""
    own = asyncio.run(certificate.make(tmp_path, HOST))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        installed_at(server, configuration, silent.getsockname()[1], own)
        assert_created_in_time(server)


async def test_distrusted_it_keeps_nobody(server: ControlPlane, configuration: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    wrong = await certificate.make(other, HOST)
    async with running(tmp_path) as (port, _):
        installed_at(server, configuration, port, wrong)
        await asyncio.to_thread(assert_created_in_time, server)


def assert_created_in_time(server: ControlPlane) -> None:
    """First as it would be if it failed closed: so it is known that the API server asks it."""
    space = opted_in(server)
    wanted(server, "Fail")
    wait_until(lambda: not is_created(server, space), what="the API server asking it")
    wanted(server, "Ignore")
    wait_until(lambda: is_created(server, space), what="failing open in force")
    for _ in range(3):
        pod, took = created(server, space)
        assert gates_of(pod) == []
        assert took < MOST_SECONDS + ROOM_SECONDS


def wanted(server: ControlPlane, policy: str) -> None:
    patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": policy}]
    server.kubectl("patch", "mutatingwebhookconfiguration", NAME, "--type=json", "-p", json.dumps(patch))


def is_created(server: ControlPlane, space: str) -> bool:
    try:
        created(server, space)
    except KubectlFailed:
        return False
    return True


def test_the_process_of_the_chart_stamps_and_killed_keeps_nobody(
    server: ControlPlane, configuration: dict[str, Any], tmp_path: Path
) -> None:
    port, health = free_ports(2)
    installed_at(server, configuration, port, "")
    command = [sys.executable, "-m", "mfu", "stamp", f"--host={HOST}", f"--certificates={tmp_path}"]
    command += [f"--announce-in={NAME}", "--address=127.0.0.1", f"--port={port}", f"--health-port={health}"]
    process = subprocess.Popen([*command, f"--kubeconfig={server.kubeconfig}"])
    try:
        space = opted_in(server)
        wait_until(lambda: gates_of(created(server, space)[0]) == [PLACEMENT_GATE], what="stamps", within_seconds=60)
    finally:
        process.kill()
        process.wait()
    assert_created_in_time(server)


@pytest.fixture(autouse=True)
def removed(server: ControlPlane) -> Any:
    yield
    server.kubectl("delete", "mutatingwebhookconfiguration", NAME, "--ignore-not-found")
