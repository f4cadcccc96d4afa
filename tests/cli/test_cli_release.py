"""`mfu release`: by hand, by deadline, in a dry run; only our gate, and whoever else holds the pod holds it on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from e2e.testbed.cluster import ControlPlane
from e2e.testbed.controllers.definitions import define_owners
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.cli.main import main
from tests.builders.gated_pods import create, gated, gates_of
from tests.builders.held import job, jobset, trainjob
from tests.builders.kube import install_definitions

Release = Callable[..., tuple[int, str, str]]
OTHER = "kueue.x-k8s.io/topology"


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> ControlPlane:
    install_definitions(api_server_only)
    return api_server_only


@pytest.fixture
def release(server: ControlPlane, capsys: pytest.CaptureFixture[str]) -> Release:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(("release", "--kubeconfig", str(server.kubeconfig), *arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


WRONG = {
    (): "name pods, or give --all or --expired",
    ("a", "--all"): "one of the three",
    ("a", "-A"): "--all-namespaces goes with --all or --expired",
    ("--all", "-n", "a", "-A"): "exclude each other",
    ("--all", "--watch"): "--watch goes with --expired alone",
    ("--expired", "--watch", "-n", "a"): "--watch goes with --expired alone",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("release", *arguments)) == 2
    assert WRONG[arguments] in capsys.readouterr().err


@pytest.mark.integration
def test_named_pods_are_freed_of_our_gate_alone(server: ControlPlane, release: Release) -> None:
    space = server.new_namespace("release")
    create(server, space, gated("a", gates=(OTHER, PLACEMENT_GATE)))
    create(server, space, gated("b", gates=(OTHER,)))
    code, out, _ = release("a", "b", "-n", space)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["NAMESPACE", "POD", "RESULT"],
        [space, "a", "Released"],
        [space, "b", "NotGated"],
    ]
    assert gates_of(server.get("pod", "a", "-n", space)) == [OTHER]
    code, out, _ = release("nobody", "-n", space, "-o", "json")
    assert (code, json.loads(out)) == (1, [{"namespace": space, "pod": "nobody", "result": "Gone"}])


@pytest.mark.integration
def test_with_jobs_it_is_kueues_gate_of_whatever_kind(server: ControlPlane, release: Release) -> None:
    """Also where a kind of another project is not served."""
    space = server.new_namespace("release")
    gated_by = {QUEUE_GATE_ANNOTATION: f"{OTHER},{PLACEMENT_GATE}"}
    server.apply(job("a", annotations=gated_by), job("free"), namespace=space)
    code, out, _ = release("--jobs", "--all", "--dry-run", "-n", space, "-o", "json")
    row = {"namespace": space, "kind": "Job", "name": "a", "result": "WouldRelease"}
    assert (code, json.loads(out)) == (0, [row])
    define_owners(server)
    server.apply(jobset("a", annotations=gated_by), trainjob("b", annotations=gated_by), namespace=space)
    code, out, _ = release("--jobs", "a", "b", "free", "-n", space)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["NAMESPACE", "KIND", "NAME", "RESULT"],
        [space, "Job", "a", "Ungated"],
        [space, "JobSet", "a", "Ungated"],
        [space, "TrainJob", "b", "Ungated"],
        [space, "Job", "free", "NotGated"],
    ]
    assert server.get("jobset", "a", "-n", space)["metadata"]["annotations"] == {QUEUE_GATE_ANNOTATION: OTHER}


@pytest.mark.integration
def test_all_are_freed_where_operator_and_keeper_are_dead(server: ControlPlane, release: Release) -> None:
    spaces = [server.new_namespace("release") for _ in range(2)]
    for space in spaces:
        create(server, space, gated("a"))
    assert "WouldRelease" in release("--all", "-n", spaces[0], "--dry-run")[1]
    assert gates_of(server.get("pod", "a", "-n", spaces[0])) == [PLACEMENT_GATE]
    expired = release("--expired", "-A")[1]
    assert not [space for space in spaces if space in expired]
    code, out, _ = release("--all", "-A", "-o", "json")
    assert code == 0
    assert {row["namespace"] for row in json.loads(out)} >= set(spaces)
    assert [gates_of(server.get("pod", "a", "-n", space)) for space in spaces] == [[], []]
