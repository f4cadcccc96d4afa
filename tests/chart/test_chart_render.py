"""What Helm makes of the chart, for the default values and for each switch."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from mfu.controller.config import parse
from mfu.shipped import LOADER

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "mfu-operator"
EVERYTHING = (
    "agent.enabled=true",
    "metrics.serviceMonitor.enabled=true",
    "metrics.prometheusRule.enabled=true",
    "networkPolicy.enabled=true",
    "admission.enabled=true",
)

CONTAINERS = pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "mfu-mfu-operator"),
        ("Deployment", "mfu-mfu-operator-admission"),
        ("DaemonSet", "mfu-mfu-operator-agent"),
    ],
)

Objects = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Objects]


class Refused(Exception):
    """Helm would not render."""


@pytest.fixture(scope="session")
def helm(cluster_progress: Progress) -> Path:
    return ensure_binaries(["helm"], progress=cluster_progress)["helm"]


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    def run(*settings: str) -> Objects:
        flags = [flag for setting in settings for flag in ("--set", setting)]
        command: list[str | Path] = [helm, "template", "mfu", CHART, "--namespace", "mfu-system", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise Refused(done.stderr)
        documents = [document for document in yaml.load_all(done.stdout, Loader=LOADER) if document]
        objects = {(document["kind"], document["metadata"]["name"]): document for document in documents}
        assert len(objects) == len(documents)
        return objects

    return run


def rules(objects: Objects, *names: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) that the named roles grant together."""
    return {
        (group, resource, verb)
        for (kind, name), role in objects.items()
        if kind in ("ClusterRole", "Role") and name in names
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def container(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (only,) = objects[kind, name]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_lint_finds_nothing(helm: Path) -> None:
    subprocess.run([helm, "lint", "--strict", CHART], check=True, capture_output=True, timeout=60)


def test_default_is_the_operator_alone(render: Render) -> None:
    kinds = {kind for kind, _ in render()}
    assert {"Deployment", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"} <= kinds
    assert not kinds & {"DaemonSet", "ServiceMonitor", "PrometheusRule"}


def test_switches_add_the_rest(render: Render) -> None:
    kinds = {kind for kind, _ in render(*EVERYTHING)}
    assert {"DaemonSet", "NetworkPolicy", "ServiceMonitor", "PrometheusRule", "ValidatingAdmissionPolicy"} <= kinds


def test_everything_is_labelled_and_namespaced(render: Render) -> None:
    cluster_scoped = (
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmission",
        "ValidatingWebhook",
    )
    for (kind, name), document in render(*EVERYTHING).items():
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "mfu", (kind, name)
        assert ("namespace" in document["metadata"]) != kind.startswith(cluster_scoped), (kind, name)


def test_crds_are_kept_on_uninstall(render: Render) -> None:
    crds = {name: crd for (kind, name), crd in render().items() if kind == "CustomResourceDefinition"}
    assert len(crds) == 4
    for crd in crds.values():
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_crds_may_go_with_the_release(render: Render) -> None:
    crds = [crd for (kind, _), crd in render("crds.keep=false").items() if kind == "CustomResourceDefinition"]
    assert len(crds) == 4
    assert all("annotations" not in crd["metadata"] for crd in crds)


def test_crds_may_come_from_elsewhere(render: Render) -> None:
    assert not [kind for kind, _ in render("crds.install=false") if kind == "CustomResourceDefinition"]


@pytest.mark.parametrize("path", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda path: path.stem)
def test_crds_lose_nothing_in_rendering(render: Render, path: Path) -> None:
    crd = yaml.load(path.read_text(), Loader=LOADER)
    assert render()["CustomResourceDefinition", crd["metadata"]["name"]]["spec"] == crd["spec"]


def test_a_shard_may_hold_its_own_lease(render: Render) -> None:
    objects = render("config.shard.name=east", "config.shard.namespaceSelector.matchLabels.shard=east")
    assert objects["Role", "mfu-mfu-operator-lease"]["rules"][0]["resourceNames"] == ["mfu-operator-east"]
    config = yaml.safe_load(objects["ConfigMap", "mfu-mfu-operator"]["data"]["config.yaml"])
    assert parse(config, "values").lease_name == "mfu-operator-east"


def test_operator_may_do_exactly_this(render: Render) -> None:
    objects = render()
    ours = "mfu.gpuaas.io"
    watched = {("", name) for name in ("namespaces", "nodes", "pods")}
    watched |= {(ours, name) for name in ("modelworkloads", "mfupolicies", "gpunodes", "fleetreports")}
    watched |= {("resource.k8s.io", "resourceslices")}
    seen = rules(objects, "mfu-mfu-operator-reader")
    listed = {("trainer.kubeflow.org", "trainjobs", "list")}
    assert seen == listed | {(*each, verb) for each in watched for verb in ("list", "watch")}
    assert rules(objects, "mfu-mfu-operator-writer") == {
        (ours, "modelworkloads/status", "patch"),
        (ours, "mfupolicies/status", "patch"),
        (ours, "fleetreports/status", "patch"),
        (ours, "modelworkloads", "patch"),
        (ours, "fleetreports", "create"),
        ("events.k8s.io", "events", "create"),
    }
    lease = objects["Role", "mfu-mfu-operator-lease"]["rules"]
    assert lease[0]["resourceNames"] == ["mfu-operator"]
    assert rules(objects, "mfu-mfu-operator-lease") == {
        ("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")
    }


def test_dry_run_takes_the_right_to_write(render: Render) -> None:
    assert rules(render("config.dryRun=true"), "mfu-mfu-operator-writer") == set()


def test_tenants_may_not_write_status(render: Render) -> None:
    editor = render()["ClusterRole", "mfu-mfu-operator-modelworkload-editor"]
    assert editor["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert editor["rules"][0]["resources"] == ["modelworkloads"]


def test_aggregation_is_a_switch(render: Render) -> None:
    objects = render("rbac.aggregateToDefaultRoles=false")
    labels = objects["ClusterRole", "mfu-mfu-operator-modelworkload-viewer"]["metadata"]["labels"]
    assert not [label for label in labels if "aggregate" in label]


@CONTAINERS
def test_containers_are_confined(render: Render, kind: str, name: str) -> None:
    objects = render(*EVERYTHING)
    context = container(objects, kind, name)["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    pod = objects[kind, name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    kept = [volume["name"] for volume in pod["volumes"] if "emptyDir" in volume]
    mounts = container(objects, kind, name)["volumeMounts"]
    assert all(mount["readOnly"] for mount in mounts if mount["name"] not in kept)


def test_operator_is_one_unprivileged_writer(render: Render) -> None:
    spec = render()["Deployment", "mfu-mfu-operator"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["template"]["spec"]["securityContext"]["runAsUser"] == 65532
    assert spec["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


@CONTAINERS
def test_command_is_known_to_the_product(render: Render, kind: str, name: str) -> None:
    from mfu.cli.main import parser

    started = container(render(*EVERYTHING), kind, name)
    assert started["command"] == ["mfu"]
    if find_spec(f"mfu.cli.{started['args'][0]}") is None:
        pytest.skip(f"mfu {started['args'][0]} is not part of this checkout")
    parser(started["args"][0]).parse_args(started["args"])


def test_probes_ask_the_port_that_is_served(render: Render) -> None:
    started = container(render("config.server.port=9999"), "Deployment", "mfu-mfu-operator")
    assert started["ports"] == [{"name": "http", "containerPort": 9999, "protocol": "TCP"}]
    assert started["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert started["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_the_page_is_reached_where_it_is_wanted_and_asks_who_is_there(render: Render) -> None:
    off = render("config.server.authenticateMetrics=false")
    assert ("Service", "mfu-mfu-operator-page") not in off
    assert ("ClusterRole", "mfu-mfu-operator-reviewer") not in off
    wanted = render("config.page.enabled=true", "config.page.port=9998", "config.server.authenticateMetrics=false")
    ports = container(wanted, "Deployment", "mfu-mfu-operator")["ports"]
    assert ports[1] == {"name": "page", "containerPort": 9998, "protocol": "TCP"}
    assert wanted["Service", "mfu-mfu-operator-page"]["spec"]["ports"][0]["targetPort"] == "page"
    allowed = wanted["NetworkPolicy", "mfu-mfu-operator"]["spec"]["ingress"][0]["ports"]
    assert {"port": "page", "protocol": "TCP"} in allowed
    reviewed = wanted["ClusterRole", "mfu-mfu-operator-reviewer"]["rules"]
    assert [each["resources"] for each in reviewed] == [["tokenreviews"], ["subjectaccessreviews"]]


def test_dashboards_are_installed_whole_where_they_are_wanted(render: Render) -> None:
    def boards(objects: Objects) -> list[dict[str, Any]]:
        return [each for each in objects.values() if "grafana_dashboard" in each["metadata"].get("labels", {})]

    assert boards(render()) == []
    found = boards(render("metrics.dashboards.enabled=true"))
    assert len(found) == 4
    for each in found:
        ((name, text),) = each["data"].items()
        assert json.loads(text) == json.loads((CHART / "files" / "dashboards" / name).read_text())


def test_configuration_is_read_back_by_the_operator(render: Render) -> None:
    from mfu.controller.config import parse

    objects = render("config.cycle.resyncSeconds=7", "config.dcgm.urlTemplate=http://{node}:9400/metrics")
    config = parse(yaml.safe_load(objects["ConfigMap", "mfu-mfu-operator"]["data"]["config.yaml"]), "config.yaml")
    assert config.cycle.resync_seconds == 7
    assert config.dcgm.url_template == "http://{node}:9400/metrics"


def test_changed_configuration_restarts_the_operator(render: Render) -> None:
    def checksum(*settings: str) -> str:
        template = render(*settings)["Deployment", "mfu-mfu-operator"]["spec"]["template"]
        found: str = template["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum() == checksum("image.tag=v9")
    assert checksum() != checksum("config.cycle.resyncSeconds=7")


def test_image_reference(render: Render) -> None:
    digest = "sha256:" + "a" * 64
    assert container(render(), "Deployment", "mfu-mfu-operator")["image"] == "mfu:0.1.0"
    pinned = render("image.repository=registry.example/mfu", f"image.digest={digest}")
    assert container(pinned, "Deployment", "mfu-mfu-operator")["image"] == f"registry.example/mfu@{digest}"


def test_metrics_service_finds_the_pod(render: Render) -> None:
    objects = render()
    selector = objects["Service", "mfu-mfu-operator-metrics"]["spec"]["selector"]
    labels = objects["Deployment", "mfu-mfu-operator"]["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()


def test_operators_configuration_finds_the_agent(render: Render) -> None:
    objects = render(*EVERYTHING)
    config = yaml.safe_load(objects["ConfigMap", "mfu-mfu-operator"]["data"]["config.yaml"])
    key, value = config["agent"]["discovery"]["labelSelector"].split("=")
    agent = objects["DaemonSet", "mfu-mfu-operator-agent"]["spec"]["template"]
    assert agent["metadata"]["labels"][key] == value
    assert agent["spec"]["containers"][0]["ports"][0]["containerPort"] == config["agent"]["discovery"]["port"]


def test_alerts_name_metrics_that_exist(render: Render) -> None:
    from prometheus_client import generate_latest

    from mfu.controller import metric_names, metrics

    text = yaml.safe_dump(render(*EVERYTHING)["PrometheusRule", "mfu-mfu-operator"])
    own = generate_latest(metrics.OperatorMetrics(lambda: None).registry).decode()
    known = set(re.findall(r"^# TYPE (\S+)", own, re.MULTILINE)) | set(re.findall(r"^(mfu_\w+)", own, re.MULTILINE))
    known |= {named.name for named in metric_names.documented()}
    used = set(re.findall(r"\bmfu_[a-z_]+", text))
    assert used
    assert used - known == set()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("operater.resources=1", "operater"),
        ("config.dgcm.enabled=true", "dgcm"),
        ("config.server.port=99999", "65,535"),
        ("config.cycle.idleSeconds=0", "idleSeconds"),
        ("config.dcgm.urlTemplate=http://exporter:9400/metrics", "urlTemplate"),
        ("image.pullPolicy=Maybe", "IfNotPresent"),
        ("image.digest=latest", "digest"),
        ("crds.install=yes please", "boolean"),
        ("operator.tolerations.a=b", "array"),
        ("serviceAccount.create=false", "serviceAccount.name"),
    ],
)
def test_wrong_values_are_refused_with_their_name(render: Render, setting: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        render(setting)


def test_monitor_without_service_is_refused(render: Render) -> None:
    with pytest.raises(Refused, match=r"metrics\.service\.enabled"):
        render("metrics.serviceMonitor.enabled=true", "metrics.service.enabled=false")


def test_nodes_are_not_cordoned_where_nobody_would_give_them_back(render: Render) -> None:
    with pytest.raises(Refused, match=r"keeper\.enabled"):
        render("config.actions={MIGLayout}")


def test_names_stay_short(render: Render) -> None:
    for _, name in render("fullnameOverride=" + "a" * 80, *EVERYTHING):
        assert len(name) <= 80


ADMISSION = "mfu-mfu-operator-admission"


def test_the_handler_is_opt_in(render: Render) -> None:
    assert not [name for kind, name in render() if "admission" in name or kind == "ValidatingWebhookConfiguration"]


def test_the_handler_fails_open_within_a_second_and_sees_our_two_kinds_only(render: Render) -> None:
    webhooks = render("admission.enabled=true")["ValidatingWebhookConfiguration", ADMISSION]["webhooks"]
    assert {resource for each in webhooks for rule in each["rules"] for resource in rule["resources"]} == {
        "modelworkloads",
        "mfupolicies",
    }
    for each in webhooks:
        assert (each["failurePolicy"], each["timeoutSeconds"], each["sideEffects"]) == ("Ignore", 1, "None")
        assert "caBundle" not in each["clientConfig"]
        assert [rule["operations"] for rule in each["rules"]] == [["CREATE", "UPDATE"]]


def test_the_handler_may_patch_its_own_configuration_and_nothing_else(render: Render) -> None:
    objects = render("admission.enabled=true")
    (rule,) = objects["ClusterRole", ADMISSION]["rules"]
    assert rule["resourceNames"] == [ADMISSION]
    assert rule["verbs"] == ["get", "patch"]
    bound = [
        binding["roleRef"]["name"]
        for (kind, _), binding in objects.items()
        if kind.endswith("RoleBinding") and any(each["name"] == ADMISSION for each in binding["subjects"])
    ]
    assert bound == [ADMISSION]


def test_with_cert_manager_it_has_no_rights_at_all(render: Render) -> None:
    objects = render("admission.enabled=true", "admission.certManager.enabled=true")
    assert ("ClusterRole", ADMISSION) not in objects
    assert objects["Certificate", ADMISSION]["spec"]["dnsNames"] == [f"{ADMISSION}.mfu-system.svc"]
    annotations = objects["ValidatingWebhookConfiguration", ADMISSION]["metadata"]["annotations"]
    assert annotations == {"cert-manager.io/inject-ca-from": f"mfu-system/{ADMISSION}"}
    arguments = container(objects, "Deployment", ADMISSION)["args"]
    assert not [each for each in arguments if each.startswith("--announce-in")]


def test_the_handler_is_called_by_the_name_in_its_certificate(render: Render) -> None:
    objects = render("admission.enabled=true")
    service = objects["ValidatingWebhookConfiguration", ADMISSION]["webhooks"][0]["clientConfig"]["service"]
    arguments = container(objects, "Deployment", ADMISSION)["args"]
    assert f"--host={service['name']}.{service['namespace']}.svc" in arguments
    assert f"--announce-in={ADMISSION}" in arguments
    assert ("Service", service["name"]) in objects
