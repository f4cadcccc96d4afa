"""Two releases beside each other, a shard each, as the provider's guide has them: none fences off the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, KubectlFailed
from e2e.testbed.cluster.binaries import Progress
from mfu.controller.config import parse
from tests.chart.installed import every_right, installed, refusal, wait_fenced

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

ROOT = Path(__file__).parents[2]
SPACE: Final = "mfu-system"
EAST, WEST = (f"system:serviceaccount:{SPACE}:mfu-{name}-mfu-operator" for name in ("east", "west"))
KEY: Final = "mfu.gpuaas.io/decision-placement"
SAID: Final = {"metadata": {"annotations": {KEY: "node-7"}}}
FORGED: Final = {"metadata": {"annotations": {KEY: "node-666"}}}


def guide_values() -> dict[str, Any]:
    """Of the release mfu-east."""
    guide = (ROOT / "docs" / "guide-provider.md").read_text()
    found = re.search(r"```yaml\n(# values of the release mfu-east.*?)```", guide, re.DOTALL)
    assert found
    values: dict[str, Any] = yaml.safe_load(found[1])
    return values


def western(values: dict[str, Any]) -> dict[str, Any]:
    """As the guide's comment says."""
    shard = values["config"]["shard"] | {"name": "west", "namespaceSelector": {"matchLabels": {"shard": "west"}}}
    others = {"otherOperators": [each.replace("west", "east") for each in values["rbac"]["otherOperators"]]}
    return {"config": {"shard": shard | {"wholeCluster": False}}, "rbac": others, "crds": {"install": False}}


@pytest.fixture(scope="module")
def server(
    control_plane: ControlPlane, cluster_progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    folder, east = tmp_path_factory.mktemp("shards"), guide_values()
    with ExitStack() as releases:
        for name, values in (("mfu-east", east), ("mfu-west", western(deepcopy(east)))):
            file = folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump(values))
            releases.enter_context(
                installed(control_plane, name, f"--values={file}", space=SPACE, progress=cluster_progress)
            )
        yield control_plane


@pytest.fixture(scope="module")
def workload(server: ControlPlane) -> tuple[str, ...]:
    space = server.new_namespace("shards")
    item = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
    item["metadata"] |= {"namespace": space, "name": "told"}
    server.apply(item)
    return ("modelworkload", "told", "-n", space)


@pytest.fixture
def fences(server: ControlPlane, workload: tuple[str, ...]) -> Iterator[None]:
    """Both are in force, and nothing but they is in the operators' way: kubectl reads first, which they need not."""
    with every_right(server, "shards-may-anything", EAST, WEST):
        for who in (EAST, WEST):
            wait_fenced(server, *workload, patch={"metadata": {"labels": {"forged": "yes"}}}, who=who, type="merge")
        yield


@pytest.mark.parametrize("who", [EAST, WEST])
@pytest.mark.usefixtures("fences")
def test_each_operator_may_say_what_it_decided(server: ControlPlane, workload: tuple[str, ...], who: str) -> None:
    assert refusal(server, *workload, patch=SAID, who=who, type="merge", dry_run=True) is None


@pytest.mark.usefixtures("fences")
def test_nobody_else_may(server: ControlPlane, workload: tuple[str, ...]) -> None:
    said = refusal(server, *workload, patch=FORGED, who=None, type="merge", dry_run=True)
    assert said is not None
    assert "are the operator's own" in said


def may(server: ControlPlane, who: str, *what: str) -> bool:
    try:
        return server.kubectl("auth", "can-i", *what, f"--as={who}").strip() == "yes"
    except KubectlFailed:
        return False


@pytest.mark.parametrize(("who", "own", "other"), [(EAST, "east", "west"), (WEST, "west", "east")])
def test_each_holds_its_own_lease_alone(server: ControlPlane, who: str, own: str, other: str) -> None:
    of = f"leases.coordination.k8s.io/mfu-operator-{own}", f"leases.coordination.k8s.io/mfu-operator-{other}"
    assert [may(server, who, "update", each, "-n", SPACE) for each in of] == [True, False]


def test_the_operator_takes_these_values() -> None:
    east = guide_values()
    configs = [parse(each["config"], "values") for each in (east, western(deepcopy(east)))]
    assert [each.lease_name for each in configs] == ["mfu-operator-east", "mfu-operator-west"]
