"""An exec-plugin kubeconfig (EKS, GKE, AKS): the operator runs with it, and asks for a new token when one ends."""

from __future__ import annotations

import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster import wait_until
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.process import Child
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import NAMESPACES
from mfu.controller.login import credentials

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
MFU = Path(sys.executable).with_name("mfu")


class Plugin:
    """A credential plugin as clouds ship them: a program that prints a token. It keeps count of how often it ran."""

    def __init__(self, server: ControlPlane, folder: Path) -> None:
        self.calls, self.kubeconfig = folder / "calls", folder / "kubeconfig"
        self._answer, program = folder / "answer.json", folder / "get-token"
        program.write_text(f'#!/bin/sh\necho called >> "{self.calls}"\ncat "{self._answer}"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        document = yaml.safe_load(server.kubeconfig.read_text())
        self._token = document["users"][0]["user"]["token"]
        document["users"][0]["user"] = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(program),
                "interactiveMode": "Never",
            }
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))
        self.gives()

    def gives(self, token: str | None = None, seconds: float = 3600.0) -> None:
        """What it prints from now on: by default a good token."""
        ends = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {"token": token or self._token, "expirationTimestamp": ends}
        answer: dict[str, Any] = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        self._answer.write_text(json.dumps({**answer, "status": status}))

    @property
    def times(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def plugin(api_server_only: ControlPlane, tmp_path: Path) -> Plugin:
    return Plugin(api_server_only, tmp_path)


async def test_our_client_gets_in_and_asks_again_after_a_401(plugin: Plugin) -> None:
    plugin.gives("no-such-token")
    connection = connect(plugin.kubeconfig)
    plugin.gives()
    async with KubeClient(connection) as client:
        assert (await client.get(NAMESPACES, "default"))["kind"] == "Namespace"
    assert plugin.times >= 2


def test_kopf_gets_the_same_connection(plugin: Plugin, api_server_only: ControlPlane) -> None:
    found, plain = credentials(connect(plugin.kubeconfig)), credentials(connect(api_server_only.kubeconfig))
    assert (found.server, found.scheme, found.token) == (plain.server, "Bearer", plain.token)
    assert found.ca_path is not None


def test_the_operator_runs_with_it(plugin: Plugin, api_server_only: ControlPlane, tmp_path: Path) -> None:
    server = api_server_only
    server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    server.wait_established()
    space = server.new_namespace("exec")
    config = tmp_path / "config.yaml"
    quick = {"idleSeconds": 0.2, "longestWaitSeconds": 1, "resyncSeconds": 5, "warmUpSeconds": 0}
    lease = {"namespace": space}
    nothing = {"dcgm": {"enabled": False}, "progress": {"enabled": False}, "server": {"host": "127.0.0.1", "port": 0}}
    config.write_text(yaml.safe_dump({"cycle": quick, "leaderElection": lease, **nothing}))
    command: list[str | Path] = [MFU, "operator", f"--kubeconfig={plugin.kubeconfig}", f"--config={config}"]
    child = Child("mfu-operator", command, log=tmp_path / "operator.log", home=tmp_path)
    child.start()
    try:
        document = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
        document["metadata"] = {"name": "llama", "namespace": space}
        server.apply(document)

        def judged() -> bool:
            return "summary" in server.get("mw", "llama", "-n", space).get("status", {})

        wait_until(judged, what="a status on the workload", within_seconds=60)
        policy = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": f"p-{space}"}}
        server.apply({**policy, "spec": {"namespaceSelector": {"matchLabels": {"x": space}}}})

        def seen() -> bool:
            return "summary" in server.get("mfupolicy", f"p-{space}").get("status", {})

        wait_until(seen, what="a status on the policy", within_seconds=60)
        server.kubectl("delete", "mfupolicy", f"p-{space}")
        assert "LoginError" not in (tmp_path / "operator.log").read_text()
    finally:
        child.stop()
    assert plugin.times >= 1
