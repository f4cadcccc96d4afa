"""The local control plane itself, on real binaries."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]


def _node(name: str, *, gpus: int = 8) -> dict[str, object]:
    resources = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"own": name}},
        "status": {"allocatable": resources, "capacity": resources},
    }


def _job(name: str, node: str, *, gpus: int, annotations: dict[str, str] | None = None) -> dict[str, object]:
    container = {"name": "train", "image": "none", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    template = {
        "metadata": {"annotations": annotations or {}},
        "spec": {"restartPolicy": "Never", "nodeSelector": {"own": node}, "containers": [container]},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def _phases(plane: ControlPlane, namespace: str, job: str) -> list[str]:
    pods = plane.get("pods", "-n", namespace, "-l", f"job-name={job}")["items"]
    return [pod["status"].get("phase", "") for pod in pods]


@pytest.fixture
def node(control_plane: ControlPlane, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")
    control_plane.apply(_node(name))
    return name


def test_a_jobs_pod_is_scheduled_and_runs_on_a_kwok_node(
    control_plane: ControlPlane, namespace: str, node: str
) -> None:
    control_plane.apply(_job("train", node, gpus=8), namespace=namespace)
    wait_until(lambda: _phases(control_plane, namespace, "train") == ["Running"], what="running pod")
    (pod,) = control_plane.get("pods", "-n", namespace)["items"]
    scheduled_on = control_plane.get("node", pod["spec"]["nodeName"])
    assert scheduled_on["status"]["allocatable"]["nvidia.com/gpu"] == "8"


def test_a_job_succeeds_only_where_its_annotation_says_so(
    control_plane: ControlPlane, namespace: str, node: str
) -> None:
    control_plane.apply(_job("stays", node, gpus=1), namespace=namespace)
    control_plane.apply(
        _job("ends", node, gpus=1, annotations={"mfu.gpuaas.io/e2e-succeed": "true"}), namespace=namespace
    )
    control_plane.kubectl("wait", "job/ends", "-n", namespace, "--for=condition=Complete", "--timeout=90s")
    wait_until(lambda: _phases(control_plane, namespace, "stays") == ["Running"], what="running pod")


def test_a_deleted_pod_goes(control_plane: ControlPlane, namespace: str, node: str) -> None:
    control_plane.kubectl("run", "web", "--image=none", "-n", namespace)
    control_plane.kubectl("wait", "pod/web", "-n", namespace, "--for=condition=Ready", "--timeout=30s")
    control_plane.kubectl("delete", "pod", "web", "-n", namespace, "--timeout=30s")


def test_a_node_without_the_annotation_is_left_alone(control_plane: ControlPlane, node: str) -> None:
    control_plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "real-node"}})
    control_plane.kubectl("wait", f"node/{node}", "--for=condition=Ready", "--timeout=30s")
    assert "conditions" not in control_plane.get("node", "real-node")["status"]


def test_a_service_account_token_has_only_its_own_rights(control_plane: ControlPlane, namespace: str) -> None:
    token = control_plane.kubectl("create", "token", "default", "-n", namespace).strip()
    anonymous = ("--kubeconfig=/dev/null", f"--server={control_plane.url}")
    trust = f"--certificate-authority={control_plane.ca_file}"
    who = control_plane.kubectl(*anonymous, trust, f"--token={token}", "auth", "whoami", "-o", "json")
    assert json.loads(who)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    with pytest.raises(KubectlFailed) as refused:
        control_plane.kubectl(*anonymous, trust, f"--token={token}", "get", "nodes")
    assert "forbidden" in refused.value.stderr.lower()


@pytest.mark.parametrize("crash", [False, True])
def test_a_restarted_api_server_keeps_its_data(control_plane: ControlPlane, namespace: str, crash: bool) -> None:
    control_plane.kubectl("create", "configmap", "kept", "-n", namespace, "--from-literal=a=1")
    before = control_plane.get("configmap", "kept", "-n", namespace)
    control_plane.restart_apiserver(crash=crash)
    assert control_plane.get("configmap", "kept", "-n", namespace) == before


def test_a_second_api_server_works_while_the_first_is_down(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "configmap", "doomed", "-n", namespace)
    with control_plane.second_apiserver() as second:
        control_plane.stop_apiserver(crash=True)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(control_plane.url, timeout=2)
        second.kubectl("delete", "configmap", "doomed", "-n", namespace)
        control_plane.start_apiserver()
    found = control_plane.get("configmaps", "-n", namespace)["items"]
    assert [item["metadata"]["name"] for item in found] == ["kube-root-ca.crt"]


def test_without_a_controller_manager_pods_need_no_service_account(api_server_only: ControlPlane) -> None:
    namespace = api_server_only.new_namespace()
    api_server_only.kubectl("run", "web", "--image=none", "-n", namespace)
    assert set(api_server_only.pids()) == {"etcd", "kube-apiserver"}
