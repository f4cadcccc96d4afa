"""`helm install` on a real API server: accepted as it is, rights as promised, definitions kept on uninstall."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.client import KubectlFailed
from tests.chart.installed import every_right

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

CHART = Path(__file__).parents[2] / "charts" / "mfu-operator"
SPACE = "mfu-chart"
OPERATOR = f"system:serviceaccount:{SPACE}:mfu-mfu-operator"
AGENT = f"system:serviceaccount:{SPACE}:mfu-mfu-operator-agent"
WORKLOAD = {
    "apiVersion": "mfu.gpuaas.io/v1alpha1",
    "kind": "ModelWorkload",
    "metadata": {"name": "kept"},
    "spec": {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "kept"},
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": 1},
        "training": {"sequenceLength": 1, "globalBatchSize": 1},
    },
}

Helm = Callable[..., str]


@pytest.fixture(scope="module")
def helm(control_plane: ControlPlane, cluster_progress: Progress) -> Helm:
    binary = ensure_binaries(["helm"], progress=cluster_progress)["helm"]
    environment = {**os.environ, "KUBECONFIG": str(control_plane.kubeconfig)}

    def run(*arguments: str) -> str:
        command: list[str | Path] = [binary, *arguments, "--namespace", SPACE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane, helm: Helm) -> Iterator[ControlPlane]:
    # A session's control plane may hold definitions that other tests applied without Helm.
    switches = ["--set", "agent.enabled=true,networkPolicy.enabled=true"]
    helm("install", "mfu", str(CHART), "--create-namespace", "--take-ownership", *switches)
    yield control_plane
    helm("uninstall", "mfu")


def can(plane: ControlPlane, who: str, verb: str, what: str, *more: str) -> bool:
    try:
        answer = plane.kubectl("auth", "can-i", verb, what, f"--as={who}", *more)
    except KubectlFailed as denied:
        if denied.stderr.strip().startswith("error"):
            raise
        return False
    return answer.strip() == "yes"


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("list", "nodes"),
        ("watch", "pods"),
        ("list", "namespaces"),
        ("watch", "modelworkloads"),
        ("list", "mfupolicies"),
        ("patch", "modelworkloads/status"),
        ("patch", "mfupolicies/status"),
        ("patch", "modelworkloads"),
        ("create", "fleetreports"),
        ("patch", "fleetreports/status"),
        ("create", "events.events.k8s.io"),
    ],
)
def test_operator_may(installed: ControlPlane, verb: str, what: str) -> None:
    resource, _, subresource = what.partition("/")
    more = [f"--subresource={subresource}"] if subresource else []
    assert can(installed, OPERATOR, verb, resource, "--all-namespaces", *more)


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("delete", "modelworkloads"),
        ("create", "modelworkloads"),
        ("patch", "mfupolicies"),
        ("patch", "pods"),
        ("delete", "pods"),
        ("create", "pods"),
        ("patch", "nodes"),
        ("get", "secrets"),
        ("list", "configmaps"),
        ("patch", "deployments.apps"),
        ("create", "leases.coordination.k8s.io"),
    ],
)
def test_operator_may_not(installed: ControlPlane, verb: str, what: str) -> None:
    assert not can(installed, OPERATOR, verb, what, "--namespace=default")


def test_operator_may_hold_its_own_lease_only(installed: ControlPlane) -> None:
    here = f"--namespace={SPACE}"
    assert can(installed, OPERATOR, "create", "leases.coordination.k8s.io", here)
    assert can(installed, OPERATOR, "update", "leases.coordination.k8s.io/mfu-operator", here)
    assert not can(installed, OPERATOR, "update", "leases.coordination.k8s.io/other", here)


@pytest.mark.parametrize(
    ("role", "verb", "allowed"),
    [("view", "list", True), ("view", "create", False), ("edit", "create", True), ("admin", "delete", True)],
)
def test_tenants_get_workloads_by_their_own_roles(installed: ControlPlane, role: str, verb: str, allowed: bool) -> None:
    space = installed.new_namespace("tenant")
    installed.kubectl("create", "rolebinding", "tenant", f"--clusterrole={role}", "--user=tenant", "-n", space)
    if allowed:
        # The controller manager aggregates; it takes a moment.
        wait_until(lambda: can(installed, "tenant", verb, "modelworkloads", "-n", space), what=f"{role} may {verb}")
    else:
        assert not can(installed, "tenant", verb, "modelworkloads", "-n", space)
    assert not can(installed, "tenant", "patch", "modelworkloads", "--subresource=status", "-n", space)


def test_agent_writes_its_own_node_only(installed: ControlPlane) -> None:
    as_agent = [f"--as={AGENT}", "--as-user-extra=authentication.kubernetes.io/node-name=node-a"]
    groups = ["--as-group=system:serviceaccounts", "--as-group=system:authenticated"]

    def write(node: str, *who: str) -> str:
        text = f'{{"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "GPUNode", "metadata": {{"name": "{node}"}}}}'
        return installed.kubectl("apply", "--server-side", *who, *groups, "-f", "-", stdin=text)

    def refused() -> bool:
        # A new admission policy takes a moment to be in force.
        try:
            write("node-b", *as_agent)
        except KubectlFailed as denied:
            return "its own node only" in denied.stderr
        return False

    wait_until(refused, what="the admission policy in force")
    write("node-a", *as_agent)
    with pytest.raises(KubectlFailed, match="its own node only"):
        write("node-a", f"--as={AGENT}")


def test_annotations_of_the_operator_are_its_own_and_it_writes_no_others(installed: ControlPlane) -> None:
    space = installed.new_namespace("fence")
    installed.kubectl("create", "rolebinding", "tenant", "--clusterrole=edit", "--user=tenant", "-n", space)
    installed.apply({**WORKLOAD, "metadata": {"name": "w", "annotations": {"team": "a"}}}, namespace=space)

    def patch(who: str, document: str, *flags: str) -> str:
        as_who = [f"--as={who}", "--as-group=system:authenticated"]
        return installed.kubectl("patch", "mw", "w", "-n", space, "--type=merge", "-p", document, *as_who, *flags)

    def denied(who: str, document: str, words: str) -> bool:
        # Without a trace: once it was taken, the same patch would change nothing, and no fence refuses that.
        try:
            patch(who, document, "--dry-run=server")
        except KubectlFailed as refused:
            return words in refused.stderr
        return False

    def annotated(name: str, value: str = '"x"') -> str:
        return f'{{"metadata": {{"annotations": {{"{name}": {value}}}}}}}'

    ours = "mfu.gpuaas.io/decision-placement"
    with every_right(installed, "fenced", "tenant", OPERATOR):
        wait_until(lambda: denied("tenant", annotated(ours), "operator's own"), what="the fence for tenants")
        patch("tenant", annotated("mfu.gpuaas.io/paused", '"true"'))
        patch(OPERATOR, annotated(ours))
        patch("tenant", annotated("team", '"b"'))
        assert denied("tenant", annotated(ours, '"forged"'), "operator's own")
        spec = '{"spec": {"objective": "Cost"}}'
        wait_until(
            lambda: denied(OPERATOR, spec, "does not change what a tenant declares"), what="the operator's fence"
        )
        assert denied(OPERATOR, annotated("team"), "its own annotations only")
        assert denied(OPERATOR, annotated("team", "null"), "its own annotations only")
        assert denied(OPERATOR, '{"metadata": {"labels": {"a": "b"}}}', "does not change labels")
        assert denied(OPERATOR, '{"metadata": {"finalizers": ["a.b/c"]}}', "neither finalizers nor owners")
        patch(OPERATOR, annotated(ours, "null"))


DOCUMENTED = Path(__file__).parents[2] / "docs" / "security.md"
VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})
Rights = dict[str, set[str]]


def listed(plane: ControlPlane, who: str) -> Rights:
    """Verbs by resource, without its group, as `kubectl auth can-i --list` has them."""
    rights: Rights = {}
    for line in plane.kubectl("auth", "can-i", "--list", "--no-headers", f"--as={who}", "-n", SPACE).splitlines():
        name = line.split()[0]
        if not name.startswith("["):
            kind, _, rest = name.partition(".")
            subresource = f"/{rest.partition('/')[2]}" if "/" in rest else ""
            rights.setdefault(kind + subresource, set()).update(set(re.findall(r"[a-z]+", line)) & VERBS)
    return rights


def documented(account: str) -> Rights:
    """The rows of that account's table."""
    text = DOCUMENTED.read_text().partition("## What each account may do")[2].partition(f"(`{account}`):\n\n")[2]
    rights: Rights = {}
    for row in text.partition("\n\n")[0].splitlines()[2:]:
        resources, verbs = row.split("|")[1:3]
        for resource in resources.partition(" in ")[0].split(","):
            kind, _, subresource = resource.strip().partition("/")
            name = kind.partition(".")[0] + (f"/{subresource}" if subresource else "")
            rights.setdefault(name, set()).update(set(re.findall(r"[a-z]+", verbs)) & VERBS)
    return rights


@pytest.mark.parametrize(("who", "account"), [(OPERATOR, "mfu-operator"), (AGENT, "mfu-operator-agent")])
def test_each_account_may_what_is_documented_and_nothing_else(installed: ControlPlane, who: str, account: str) -> None:
    everybody = listed(installed, f"system:serviceaccount:{SPACE}:anybody-else")
    found = {name: own for name, verbs in listed(installed, who).items() if (own := verbs - everybody.get(name, set()))}
    assert found == documented(account)


def test_uninstall_keeps_what_people_wrote(control_plane: ControlPlane, helm: Helm, installed: ControlPlane) -> None:
    control_plane.apply(WORKLOAD, namespace="default")
    helm("uninstall", "mfu")
    kept = control_plane.get("mw", "kept", "-n", "default")
    assert kept["spec"]["model"]["preset"] == "llama-3.1-8b"
    control_plane.kubectl("delete", "mw", "kept", "-n", "default")
    helm("install", "mfu", str(CHART), "--take-ownership", "--set", "crds.install=false")
