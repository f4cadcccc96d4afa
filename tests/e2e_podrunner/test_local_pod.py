"""Pods of a real API server run as child processes: rights, files, environment, probes."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from e2e.testbed.cluster import ClusterAccess, wait_until
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.podrunner import LocalPod, NodeStandIn, PodFailed, UnsupportedField, find_pod, pod_of_template

pytestmark = pytest.mark.integration

# Answers /ready with what a pod sees, /alive with 200 until /break was asked; prints a line first.
PROGRAM = """
import http.server, json, os, pathlib, sys
alive = True
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global alive
        if self.path == "/break": alive = False
        self.send_response(500 if self.path == "/alive" and not alive else 200)
        self.end_headers()
        files = {a: pathlib.Path(a.removeprefix("--file=")).read_text() for a in sys.argv[1:]}
        self.wfile.write(json.dumps({"env": dict(os.environ), "files": files}).encode())
    def log_message(self, *_): pass
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def _deployment(port: int, **container: Any) -> dict[str, Any]:
    def probe(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}

    main = {
        "name": "main",
        "image": "none",
        "command": ["python", "-c", PROGRAM],
        "args": ["--file=/etc/app/settings"],
        "ports": [{"name": "http", "containerPort": port}],
        "env": [
            {"name": "PORT", "value": str(port)},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "app", "key": "password"}}},
        ],
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/app", "readOnly": True}],
        "startupProbe": {**probe("/alive"), "failureThreshold": 30},
        "readinessProbe": probe("/ready"),
        "livenessProbe": probe("/alive"),
        "securityContext": {"runAsNonRoot": True},
        **container,
    }
    spec = {
        "serviceAccountName": "app",
        "terminationGracePeriodSeconds": 2,
        "containers": [main],
        "volumes": [{"name": "settings", "configMap": {"name": "app"}}],
    }
    labels = {"app": "app"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _rights() -> list[dict[str, Any]]:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app"}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    group = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": group, "kind": "Role", "metadata": {"name": "app"}, "rules": rules},
        {
            "apiVersion": group,
            "kind": "RoleBinding",
            "metadata": {"name": "app"},
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": "app"}],
        },
    ]


@pytest.fixture
def installed(cluster: ClusterAccess) -> str:
    """A namespace with what the Deployment needs around it."""
    namespace = cluster.new_namespace("pod")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"settings": "blue"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": {"password": "s3cret"}}
    cluster.apply(account, settings, secret, *_rights(), namespace=namespace)
    return namespace


def _ask(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def test_a_deployments_pod_runs_with_its_environment_files_and_rights(cluster: ClusterAccess, installed: str) -> None:
    (port,) = free_ports(1)
    cluster.apply(_deployment(port), namespace=installed)
    pod = find_pod(cluster, "deployment/app", namespace=installed)
    with LocalPod.run(cluster, pod) as running:
        running.wait_ready(within_seconds=20)
        seen = _ask(port, "/ready")
        kubeconfig = f"--kubeconfig={seen['env']['KUBECONFIG']}"
        allowed = cluster.kubectl(kubeconfig, "auth", "can-i", "get", "configmaps", "-n", installed)
        who = cluster.kubectl(kubeconfig, "auth", "whoami", "-o", "json")
        forbidden = cluster.kubectl(kubeconfig, "auth", "can-i", "--list", "-n", installed)
        pid = running.pid
    assert seen["env"]["POD"] == pod["metadata"]["name"]
    assert seen["env"]["PASSWORD"] == "s3cret"
    assert list(seen["files"].values()) == ["blue"]
    assert allowed.strip() == "yes"
    assert "secrets" not in forbidden
    assert json.loads(who)["status"]["userInfo"]["username"] == f"system:serviceaccount:{installed}:app"
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


def test_a_failing_liveness_probe_is_a_failure_and_a_restart_heals_it(cluster: ClusterAccess, installed: str) -> None:
    (port,) = free_ports(1)
    pod = pod_of_template(_deployment(port), namespace=installed)
    with LocalPod.run(cluster, pod) as running:
        running.wait_ready(within_seconds=20)
        _ask(port, "/break")
        wait_until(lambda: running.failure, what="failure", within_seconds=10)
        assert running.failure == "liveness probe failed: GET /alive answered 500"
        assert not running.ready
        running.kill()
        running.start()
        running.wait_ready(within_seconds=20)


def test_a_container_that_ends_is_a_failure_with_its_log(cluster: ClusterAccess, installed: str) -> None:
    (port,) = free_ports(1)
    owner = _deployment(port, command=["python", "-c", "print('no such flag'); raise SystemExit(3)"])
    with (
        LocalPod.run(cluster, pod_of_template(owner, namespace=installed)) as running,
        pytest.raises(PodFailed) as failed,
    ):
        running.wait_ready(within_seconds=20)
    assert "container ended with 3" in str(failed.value)
    assert "no such flag" in str(failed.value)


def test_stop_gives_the_pods_grace_and_then_kills(cluster: ClusterAccess, installed: str) -> None:
    (port,) = free_ports(1)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PROGRAM
    owner = _deployment(port, command=["python", "-c", stubborn])
    with LocalPod.run(cluster, pod_of_template(owner, namespace=installed)) as running:
        running.wait_ready(within_seconds=20)
        process = running._process
        running.stop()
    assert process is not None
    assert process.returncode == -signal.SIGKILL


def test_a_pod_without_a_token_gets_no_kubeconfig(cluster: ClusterAccess, installed: str) -> None:
    (port,) = free_ports(1)
    owner = _deployment(port)
    owner["spec"]["template"]["spec"]["automountServiceAccountToken"] = False
    with LocalPod.run(cluster, pod_of_template(owner, namespace=installed)) as running:
        assert "KUBECONFIG" not in running.plan.environment


def test_a_folder_of_the_node_needs_a_stand_in(cluster: ClusterAccess, installed: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    owner = _deployment(port, args=["--file=/etc/app/settings", "--file=/node/name"])
    spec = owner["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "node", "hostPath": {"path": "/var/lib/node"}})
    spec["containers"][0]["volumeMounts"].append({"name": "node", "mountPath": "/node"})
    pod = pod_of_template(owner, namespace=installed)
    with pytest.raises(UnsupportedField), LocalPod.run(cluster, pod):
        pytest.fail("ran without the node's folder")
    (tmp_path / "name").write_text("n7")
    with LocalPod.run(cluster, pod, node=NodeStandIn(folders={"/var/lib/node": tmp_path})) as running:
        running.wait_ready(within_seconds=20)
        assert sorted(_ask(port, "/ready")["files"].values()) == ["blue", "n7"]
