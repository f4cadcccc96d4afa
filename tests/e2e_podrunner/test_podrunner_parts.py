"""The pod runner's parts without a cluster: fields, command, environment, mounts, probe thresholds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from e2e.testbed.cluster import ClusterAccess
from e2e.testbed.podrunner import UnsupportedField, pod_of_template
from e2e.testbed.podrunner.downward import downward_value
from e2e.testbed.podrunner.environment import command_line, environment, expand
from e2e.testbed.podrunner.fields import only_container
from e2e.testbed.podrunner.health import Health
from e2e.testbed.podrunner.probes import Counter, Probe
from e2e.testbed.podrunner.volumes import Mounts

NO_CLUSTER = cast(ClusterAccess, None)


def _pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "mfu", "command": ["python"], **(container or {})}
    metadata = {"name": "web-1", "namespace": "team", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": [main], "nodeName": "n1", **spec}}


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (_pod(initContainers=[{"name": "first"}]), "spec.initContainers"),
        (_pod(hostPID=True), "spec.hostPID"),
        (_pod({"lifecycle": {"preStop": {}}}), "spec.containers[0].lifecycle"),
        (_pod({"workingDir": "/srv"}), "spec.containers[0].workingDir"),
        (_pod({"tty": True}), "spec.containers[0].tty"),
    ],
)
def test_a_field_that_is_not_obeyed_is_refused_by_name(pod: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedField) as refused:
        only_container(pod)
    assert refused.value.field == field


def test_two_containers_are_refused() -> None:
    pod = _pod()
    pod["spec"]["containers"] *= 2
    with pytest.raises(UnsupportedField):
        only_container(pod)


def test_empty_unknown_fields_ask_for_nothing() -> None:
    assert only_container(_pod({"stdin": False}, hostAliases=[], hostPID=False))["name"] == "main"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "team"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['none']", ""),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "127.0.0.1"),
    ],
)
def test_downward_values(path: str, value: str) -> None:
    assert downward_value(_pod(), path) == value


def test_an_unknown_downward_field_is_refused() -> None:
    with pytest.raises(UnsupportedField):
        downward_value(_pod(), "status.startTime")


@pytest.mark.parametrize(
    ("text", "expanded"), [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A", "$A"), ("a$$b", "a$b")]
)
def test_expansion_follows_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_environment_resolves_in_order() -> None:
    entries = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "WHO", "value": "$(NODE)/$(LATER)"},
        {"name": "LATER", "value": "x"},
        {"name": "EMPTY"},
    ]
    found = environment(NO_CLUSTER, _pod(), {"env": entries})
    assert found == {"NODE": "n1", "WHO": "n1/$(LATER)", "LATER": "x", "EMPTY": ""}


def test_an_environment_source_that_is_not_known_is_refused() -> None:
    entry = {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    with pytest.raises(UnsupportedField):
        environment(NO_CLUSTER, _pod(), {"env": [entry]})


def test_the_command_is_this_pythons() -> None:
    container = {"command": ["python3", "-m", "$(MODULE)"], "args": ["--port", "80"]}
    assert command_line(container, {"MODULE": "mfu"}) == [sys.executable, "-m", "mfu", "--port", "80"]


@pytest.mark.parametrize(("args", "tail"), [(None, ["--help"]), (["operator"], ["operator"]), ([], [])])
def test_without_a_command_the_images_entrypoint_is_used(
    tmp_path: Path, args: list[str] | None, tail: list[str]
) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text('FROM x\nENTRYPOINT ["python", "-m", "mfu"]\nCMD ["--help"]\n')
    container = {} if args is None else {"args": args}
    assert command_line(container, {}, dockerfile=dockerfile) == [sys.executable, "-m", "mfu", *tail]


def test_a_foreign_program_is_refused() -> None:
    with pytest.raises(UnsupportedField):
        command_line({"command": ["nginx"]}, {})


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("/etc/mfu/config.yaml", "/tmp/v/config/config.yaml"),
        ("--config=/etc/mfu", "--config=/tmp/v/config"),
        ("/etc/mfu:/etc/mfu/tls", "/tmp/v/config:/tmp/v/tls"),
        ("/etc/mfu-other/x", "/etc/mfu-other/x"),
        ("/opt/etc/mfu", "/opt/etc/mfu"),
    ],
)
def test_mount_paths_are_rewritten_where_they_stand(text: str, rewritten: str) -> None:
    mounts = Mounts({"/etc/mfu": Path("/tmp/v/config"), "/etc/mfu/tls": Path("/tmp/v/tls")})
    assert mounts.rewrite(text) == rewritten


def test_a_template_becomes_a_pod() -> None:
    owner = {
        "metadata": {"name": "web"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
    }
    pod = pod_of_template(owner, namespace="team")
    assert pod["metadata"] == {"labels": {"a": "b"}, "name": "web-local", "namespace": "team"}


def _counter(*, passing: bool, success: int = 1, failure: int = 3) -> Counter:
    action = {"httpGet": {"port": 1}, "successThreshold": success, "failureThreshold": failure, "periodSeconds": 5}
    probe = Probe.parse({"livenessProbe": action}, "liveness")
    assert probe is not None
    return Counter(probe, passing=passing)


@pytest.mark.parametrize(
    ("passing", "success", "failure", "answers", "states"),
    [
        (True, 1, 3, "FFSFFF", "TTTTTF"),
        (False, 1, 3, "FFS", "FFT"),
        (False, 2, 1, "SFSS", "FFFT"),
        (True, 1, 1, "FSF", "FTF"),
    ],
)
def test_a_state_changes_after_as_many_answers_in_a_row_as_the_threshold(
    passing: bool, success: int, failure: int, answers: str, states: str
) -> None:
    counter = _counter(passing=passing, success=success, failure=failure)
    seen = ""
    for number, answer in enumerate(answers):
        counter.record(None if answer == "S" else "no", at_seconds=number)
        seen += "T" if counter.passing else "F"
    assert seen == states


def test_a_probe_is_due_a_period_after_its_last_answer() -> None:
    counter = _counter(passing=True)
    counter.record(None, at_seconds=7)
    assert counter.due_seconds == 12


def test_a_probe_by_command_is_refused() -> None:
    with pytest.raises(UnsupportedField):
        Probe.parse({"livenessProbe": {"exec": {"command": ["true"]}}}, "liveness")


def test_a_probe_finds_its_port_by_name() -> None:
    container = {"ports": [{"name": "http", "containerPort": 81}], "readinessProbe": {"tcpSocket": {"port": "http"}}}
    probe = Probe.parse(container, "readiness")
    assert probe is not None
    assert probe.port == 81
    with pytest.raises(UnsupportedField):
        Probe.parse({"readinessProbe": {"tcpSocket": {"port": "http"}}}, "readiness")


def test_nothing_is_asked_before_start_up_has_passed_and_its_failures_are_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def refuse(probe: Probe) -> str:
        asked.append(probe.kind)
        return "refused"

    monkeypatch.setattr(Probe, "ask", refuse)
    action = {"tcpSocket": {"port": 1}, "periodSeconds": 1}
    health = Health({f"{kind}Probe": action for kind in ("startup", "readiness", "liveness")})
    for second in range(3):
        health.step(second)
    assert asked == ["startup"] * 3
    assert health.failure == "startup probe failed: refused"
    assert not health.ready


def test_without_probes_a_running_container_is_ready() -> None:
    assert Health({}).ready
