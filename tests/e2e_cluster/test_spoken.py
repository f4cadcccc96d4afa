"""What tests say to an API server without kubectl has kubectl's effects and is refused as kubectl is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.rest import Rest
from e2e.testbed.cluster.spoken import say

Way = Callable[..., str]


@pytest.fixture(params=["spoken", "kubectl"])
def way(request: pytest.FixtureRequest, api_server_only: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Both ways; the spoken one may not fall back on a process."""
    if request.param == "kubectl":
        return lambda *arguments, stdin=None: api_server_only.run_kubectl(arguments, stdin)
    monkeypatch.setattr(api_server_only, "run_kubectl", lambda arguments, *_: pytest.fail(f"a process: {arguments}"))
    return api_server_only.kubectl


@pytest.fixture
def space(api_server_only: ControlPlane) -> str:
    name = api_server_only.new_namespace("spoken")
    for each in ("a", "b"):
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each}, "data": {"k": "old"}}
        api_server_only.apply(made, namespace=name)
    return name


def names(plane: ControlPlane, space: str) -> set[str]:
    return {each["metadata"]["name"] for each in plane.get("configmaps", "-n", space)["items"]}


def refusal(way: Way, *arguments: str, stdin: str | None = None) -> str:
    with pytest.raises(KubectlFailed) as refused:
        way(*arguments, stdin=stdin)
    assert refused.value.code == 1
    return refused.value.stderr


PATCHES = [
    ("merge", '{"data": {"k": "new"}}'),
    ("merge", "data:\n  k: new\n"),
    ("json", '[{"op": "replace", "path": "/data/k", "value": "new"}]'),
]


@pytest.mark.integration
@pytest.mark.parametrize(("type_", "patch"), PATCHES, ids=["merge", "yaml", "json"])
def test_a_patch_is_taken(api_server_only: ControlPlane, space: str, way: Way, type_: str, patch: str) -> None:
    target = ("patch", "cm", "a", "-n", space, f"--type={type_}", "-p", patch)
    way(*target, "--dry-run=server")
    assert api_server_only.get("configmap", "a", "-n", space)["data"] == {"k": "old"}
    assert "patched" in way(*target)
    found = api_server_only.get("configmap", "a", "-n", space)
    assert found["data"] == {"k": "new"}


@pytest.mark.integration
def test_a_patch_is_refused(space: str, way: Way) -> None:
    patch = ("--type=merge", "-p", '{"data": {"k": "new"}}')
    assert 'configmaps "none" not found' in refusal(way, "patch", "configmap/none", "-n", space, *patch)
    as_tenant = ("--as=tenant", "--as-group=system:authenticated")
    said = refusal(way, "patch", "configmap", "a", "-n", space, *patch, *as_tenant)
    assert 'Error from server (Forbidden): configmaps "a" is forbidden: User "tenant" cannot' in said


@pytest.mark.integration
def test_groups_are_impersonated_each(api_server_only: ControlPlane, space: str, way: Way) -> None:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "second"}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "second"}}
    api_server_only.apply({**binding, "roleRef": role, "subjects": [subject]}, namespace=space)
    who = ("--as=tenant", "--as-group=first", "--as-group=second")
    asked = ("auth", "can-i", "delete", "pods", "-n", space, *who)
    wait_until(lambda: _allowed(way, asked), what="the authoriser to know the binding")
    assert refusal(way, "auth", "can-i", "delete", "pods", "-n", "default", *who) == ""


@pytest.mark.integration
@pytest.mark.parametrize(
    "what", [("pods",), ("deployments.apps",), ("events.events.k8s.io",), ("pods", "--subresource=eviction", "-A")]
)
def test_rights_are_those_of_who_asks(way: Way, what: tuple[str, ...]) -> None:
    assert way("auth", "can-i", "create", *what).strip() == "yes"
    assert refusal(way, "auth", "can-i", "create", *what, "--as=nobody") == ""


@pytest.mark.integration
def test_labels(api_server_only: ControlPlane, space: str, way: Way) -> None:
    assert "labeled" in way("label", "namespace", space, "team=a")
    assert "already has a value (a)" in refusal(way, "label", "namespace", space, "team=b")
    way("label", "namespace", space, "team=b", "--overwrite")
    assert api_server_only.get("namespace", space)["metadata"]["labels"]["team"] == "b"
    way("label", "configmap", "a", "b", "-n", space, "of=both", "and=more")
    assert len(api_server_only.get("configmaps", "-n", space, "-l", "of=both,and=more")["items"]) == 2


@pytest.mark.integration
@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_what_lies_in_files_is_applied(
    api_server_only: ControlPlane, space: str, way: Way, tmp_path: Path, whole: bool
) -> None:
    for path, objects in (("x.yaml", ("one", "two")), ("y.yaml", ("three",))):
        made = ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each}} for each in objects)
        (tmp_path / path).write_text("\n---\n".join(map(json.dumps, made)))
    way("apply", "--server-side", "-n", space, "-f", str(tmp_path if whole else tmp_path / "x.yaml"))
    assert names(api_server_only, space) - {"a", "b"} == ({"one", "two", "three"} if whole else {"one", "two"})


@pytest.mark.integration
def test_a_file_that_the_server_does_not_take(space: str, way: Way, tmp_path: Path) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not A Name"}}
    (tmp_path / "x.yaml").write_text(json.dumps(made))
    assert "Not A Name" in refusal(way, "apply", "--server-side", "-n", space, "-f", str(tmp_path / "x.yaml"))


@pytest.mark.integration
def test_what_is_created_must_not_be_there(api_server_only: ControlPlane, space: str, way: Way) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    assert "created" in way("create", "-n", space, "-f", "-", stdin=json.dumps(made))
    assert "new" in names(api_server_only, space)
    again = refusal(way, "create", "-n", space, "-f", "-", stdin=json.dumps(made))
    assert "(AlreadyExists)" in again
    assert 'configmaps "new" already exists' in again
    as_tenant = ("--as=tenant", "--as-group=system:authenticated")
    assert "(Forbidden)" in refusal(way, "create", "-n", space, *as_tenant, "-f", "-", stdin=json.dumps(made))


@pytest.mark.integration
def test_tokens(api_server_only: ControlPlane, space: str, way: Way) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "person"}}
    api_server_only.apply(account, namespace=space)
    token = way("create", "token", "person", "-n", space, "--duration=2h").strip()
    anonymous = ("--kubeconfig=/dev/null", f"--server={api_server_only.url}", f"--token={token}")
    trust = f"--certificate-authority={api_server_only.ca_file}"
    asked = (*anonymous, trust, "auth", "whoami", "-o", "json")
    who = json.loads(ControlPlane.run_kubectl(api_server_only, asked))
    assert who["status"]["userInfo"]["username"] == f"system:serviceaccount:{space}:person"


@pytest.mark.integration
def test_what_is_named_is_deleted(api_server_only: ControlPlane, space: str, way: Way) -> None:
    way("delete", "configmap", "a", "-n", space)
    assert names(api_server_only, space) == {"b"}
    assert '"a" not found' in refusal(way, "delete", "configmap", "a", "-n", space)
    way("delete", "configmap/a", "configmap/b", "-n", space, "--ignore-not-found")
    assert names(api_server_only, space) == set()
    way("delete", "configmaps,secrets", "--all", "-n", space)


@pytest.mark.integration
def test_all_of_a_namespace_are_deleted_and_no_others(api_server_only: ControlPlane, space: str, way: Way) -> None:
    other = api_server_only.new_namespace("other")
    api_server_only.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}, namespace=other)
    way("delete", "configmaps,secrets", "--all", "-n", space)
    assert names(api_server_only, space) == set()
    assert names(api_server_only, other) == {"kept"}


@pytest.mark.integration
def test_deleting_waits_until_it_is_gone(api_server_only: ControlPlane, space: str, way: Way) -> None:
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["a.b/held"]}}
    api_server_only.apply(held, namespace=space)
    way("delete", "configmap", "held", "-n", space, "--wait=false")
    assert "held" in names(api_server_only, space)
    assert "timed out" in refusal(way, "delete", "configmap", "held", "-n", space, "--timeout=1s")
    way("patch", "configmap", "held", "-n", space, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    way("delete", "configmap", "held", "-n", space, "--ignore-not-found")
    assert "held" not in names(api_server_only, space)


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "pods"),
        ("patch", "configmap", "a", "-p", "{}"),
        ("patch", "configmap", "a", "--type=merge", "-p", "{}", "--as=agent", "--as-user-extra=a=b"),
        ("auth", "can-i", "--list"),
        ("auth", "can-i", "get", "unheard-of"),
        ("delete", "job", "a", "--cascade=foreground"),
        ("label", "configmap", "a", "team-"),
        ("label", "configmap", "a", "team=a", "of-"),
        ("apply", "--server-side", "-f", "https://somewhere.example/crds.yaml"),
        ("create", "configmap", "a"),
        ("create", "-f", "-"),
    ],
)
def test_what_is_not_understood_is_left_to_kubectl(api_server_only: ControlPlane, arguments: tuple[str, ...]) -> None:
    assert say(Rest(api_server_only.kubeconfig), arguments) is None


def _allowed(way: Way, asked: tuple[str, ...]) -> bool:
    try:
        return way(*asked).strip() == "yes"
    except KubectlFailed:
        return False
