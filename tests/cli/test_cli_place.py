"""`mfu place`: where, why, in which order of ranks, what would be done, and who would have to wait."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.cli.main import main
from mfu.decide.fleet.partitions import PartitionedNode
from mfu.engine.saved import dump
from tests.builders.cases import SERVING, TRAINING, node
from tests.builders.fleets import H100
from tests.builders.scenes import NOW, three

Place = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Place:
    """Three jobs wait for one free node, another node is full: `mfu place` on that."""
    saved = tmp_path / "saved.json"
    nodes = (node("n0"), node("n1", used=8))
    saved.write_text(dump(replace(three(8), nodes=nodes), NOW))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(("place", "--snapshot", str(saved), *arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def file(tmp_path: Path) -> str:
    target = {"apiVersion": "batch/v1", "kind": "Job", "name": "new"}
    body = {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": "new"},
        "spec": {**TRAINING, "targetRef": target},
    }
    path = tmp_path / "new.yaml"
    path.write_text(yaml.safe_dump(body))
    return str(path)


def document(place: Place, *arguments: str) -> dict[str, Any]:
    code, out, _ = place(*arguments, "-o", "json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_one_that_is_declared_and_what_it_displaces(place: Place) -> None:
    """Were it not for a, b would have the node."""
    code, out, _ = place("team-a/a")
    assert code == 0
    assert f"Placement: Place (FitsOneDomain): 8 free {H100} together on node n0" in out
    assert "ranks: 0–7 on n0" in out
    assert "action: dry run (modes.placement is Recommend, not Enforce): let the pods prefer node n0" in out
    assert "    team-a/b: Place → None: 8 GPUs wanted together" in out
    assert "team-a/c" not in out


def test_one_that_would_come_waits_behind_those_who_wait(place: Place, file: str) -> None:
    found = document(place, "-f", file, "-n", "team-b")
    assert found["workload"] == "team-b/new"
    said = {each["type"]: each for each in found["decisions"]}
    assert said["Placement"]["reason"] == "OthersAhead"
    assert "ahead: team-a/a" in said["Placement"]["message"]
    assert said["Admission"]["message"]
    assert (found["ranks"], found["actions"], found["displaced"]) == ([], [], [])


def test_with_a_higher_priority_it_goes_first(place: Place, file: str) -> None:
    found = document(place, "-f", file, "--priority", "5")
    assert found["ranks"] == [[{"node": "n0", "first": 0, "last": 7}]]
    assert [each["type"] for each in found["actions"]] == ["PreferredAffinity"]
    (displaced,) = found["displaced"]
    assert displaced["workload"] == "team-a/a"
    assert (displaced["before"]["outcome"], displaced["after"]["outcome"]) == ("Place", "None")


def test_nobody_is_displaced_by_one_that_waits(place: Place) -> None:
    _, out, _ = place("team-a/c")
    assert out.rstrip().endswith("displaces: nobody")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("team-a/nobody",), "team-a/nobody: no such workload; there are team-a/a, team-a/b, team-a/c"),
        ((), "name either a workload of the cluster, as NAMESPACE/NAME, or a file with -f"),
        (("team-a/a", "-f", "x.yaml"), "name either"),
    ],
)
def test_bad_input_is_answered_with_the_fix(place: Place, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = place(*arguments)
    assert code == 2
    assert words in err


def test_a_file_that_is_no_snapshot_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text("{}")
    assert main(("place", "--snapshot", str(path), "a/b")) == 2
    assert f"--snapshot {path}: is no snapshot of version 1" in capsys.readouterr().err


def test_a_claim_asks_for_the_products_that_have_room_the_best_first(place: Place, file: str) -> None:
    code, out, _ = place("-f", file, "--claim")
    assert code == 0
    made = yaml.safe_load(out)
    assert (made["kind"], made["metadata"]["name"]) == ("ResourceClaimTemplate", "new")
    (request,) = made["spec"]["spec"]["devices"]["requests"]
    assert [H100 in each["selectors"][0]["cel"]["expression"] for each in request["firstAvailable"]] == [True]


def test_where_nothing_is_free_there_is_no_claim(place: Place, file: str, tmp_path: Path) -> None:
    full = tmp_path / "full.json"
    full.write_text(dump(replace(three(8), nodes=(node("n0", used=8),)), NOW))
    code, _, err = place("-f", file, "--claim", "--snapshot", str(full))
    assert code == 2
    assert "no product has room for it now" in err


@pytest.fixture
def cut(tmp_path: Path) -> tuple[str, ...]:
    """A replica that would come, and a full cluster beside a node whose driver cuts two profiles on allocation."""
    workload = {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": "small"},
        "spec": {**SERVING, "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "small"}},
    }
    file, saved = tmp_path / "small.yaml", tmp_path / "cut.json"
    file.write_text(yaml.safe_dump(workload))
    partitioned = PartitionedNode("dra-0", H100, ("1g.10gb", "3g.40gb", "7g.80gb"))
    saved.write_text(dump(replace(three(8), nodes=(node("n0", used=8),), partitioned=(partitioned,)), NOW))
    return "-f", str(file), "--snapshot", str(saved)


def test_where_a_driver_cuts_on_allocation_the_claim_asks_for_slices_and_then_the_whole_gpu(
    place: Place, cut: tuple[str, ...]
) -> None:
    """Though no product has room as it is, and nothing was laid out."""
    code, out, err = place(*cut, "--claim")
    assert code == 0, err
    (request,) = yaml.safe_load(out)["spec"]["spec"]["devices"]["requests"]
    choices = request["firstAvailable"]
    assert [each["deviceClassName"] for each in choices] == ["mig.nvidia.com", "mig.nvidia.com", "gpu.nvidia.com"]
    asked = [each["selectors"][-1]["cel"]["expression"].rpartition(" ")[2] for each in choices]
    assert set(asked[:2]) == {'"1g.10gb"', '"3g.40gb"'}
    assert all(each["count"] == 1 for each in choices)


def test_it_is_told_that_nothing_is_to_be_laid_out(place: Place, cut: tuple[str, ...]) -> None:
    _, out, _ = place(*cut)
    (line,) = (line for line in out.splitlines() if "nothing to lay out" in line)
    assert line.endswith(f"then the whole GPU of {H100} (`--claim` prints the claim)")
    told = document(place, *cut)["cut"]
    assert {each["profile"] for each in told} == {"1g.10gb", "3g.40gb", ""}


def test_a_training_job_claims_no_slices(place: Place, file: str, cut: tuple[str, ...]) -> None:
    code, _, err = place("-f", file, "--claim", *cut[2:])
    assert code == 2
    assert "no product has room for it now" in err
