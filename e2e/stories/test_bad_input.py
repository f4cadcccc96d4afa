"""Bad input is answered clearly; nothing crashes, and nothing turns into a wrong number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from e2e.stories.programs import InstalledOperator, SimulatedFleet
from e2e.stories.resources import (
    UNKNOWN_NODE,
    condition,
    example,
    fake_node,
    fleet_report,
    status_of,
    summary_says,
    training_job,
    training_workload,
    wait_running,
)
from e2e.stories.stage import Stage
from e2e.testbed.cluster import ClusterAccess, wait_until

pytestmark = pytest.mark.e2e

TRUE_MFU = 0.4
TOLERANCE = 0.03
"""A rate over the first twenty seconds, where a page of a busy machine is told half a second late."""
FAULTS = (
    "blank",
    "counter-reset",
    "duplicate",
    "endless",
    "error-500",
    "malformed",
    "nan",
    "no-profiling",
    "redirect",
    "refused",
    "slow",
    "stale",
    "unknown-product",
)


@dataclass(frozen=True)
class Scene:
    """What the stories of this file share: one operator over a node a telemetry fault, and two nodes to spare."""

    plane: ClusterAccess
    fleet: SimulatedFleet
    operator: InstalledOperator


@pytest.fixture(scope="module")
def scene(shared_stage: Stage) -> Iterator[Scene]:
    fleet = shared_stage.fleet(f"H100-SXM5={len(FAULTS) + 2}")
    operator = shared_stage.operator(fleet)
    pid = operator.pod.pid
    yield Scene(shared_stage.cluster, fleet, operator)
    assert operator.pod.pid == pid
    assert operator.pod.failure is None
    assert not operator.metric("mfu_operator_cycles_total", result="error")


def test_broken_telemetry_becomes_unknown_and_never_a_wrong_number(scene: Scene) -> None:
    plane, namespace = scene.plane, scene.plane.new_namespace("broken")
    nodes = sorted(
        node["metadata"]["name"] for node in plane.get("nodes", "-l", "sim.mfu.gpuaas.io/simulated")["items"]
    )
    plane.apply(*(training_workload(fault) for fault in FAULTS), namespace=namespace)
    jobs = [training_job(fault, mfu=TRUE_MFU, node=node) for fault, node in zip(FAULTS, nodes, strict=False)]
    plane.apply(*jobs, namespace=namespace)
    pods = {fault: wait_running(plane, fault, namespace) for fault in FAULTS}
    _wait_all_observed(plane, namespace)
    decided = {fault: _decisions(plane, fault, namespace) for fault in FAULTS}

    for fault, node in zip(FAULTS, nodes, strict=False):
        scene.fleet.break_telemetry(fault, target=node)
        # A frozen progress page is what a hung job has too: reading no progress from it is right.
        if fault != "stale":
            scene.fleet.break_telemetry(fault, target=f"{namespace}/{pods[fault]}")
    wrong: set[str] = set()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for fault in FAULTS:
            wrong |= _wrong_numbers(plane, fault, namespace)
        time.sleep(1)
    unknown = [fault for fault in FAULTS if not summary_says(plane, fault, namespace, "observed")]
    assert {fault: _decisions(plane, fault, namespace) for fault in FAULTS} == decided

    scene.fleet.mend_telemetry()
    _wait_all_observed(plane, namespace)
    assert not wrong, "\n".join(sorted(wrong))
    # What leaves nothing readable at all must say so.
    assert {"error-500", "refused", "endless", "slow", "redirect", "nan", "blank"} <= set(unknown)
    plane.kubectl("delete", "modelworkload,job", "--all", "-n", namespace)


def test_of_two_workloads_that_claim_a_pod_the_older_keeps_it(scene: Scene) -> None:
    plane, namespace = scene.plane, scene.plane.new_namespace("claims")
    plane.apply(training_workload("older"), training_job("older"), namespace=namespace)
    wait_running(plane, "older", namespace)
    wait_until(lambda: summary_says(plane, "older", namespace, "expected"), what="status of the older")
    younger = training_workload("younger")
    younger["spec"]["targetRef"]["name"] = "older"
    time.sleep(1.1)  # creation times have whole seconds
    plane.apply(younger, namespace=namespace)
    refused = wait_until(
        lambda: condition(status_of(plane, "younger", namespace), "Accepted"), what="answer to the younger"
    )
    assert (refused["status"], refused["reason"]) == ("False", "PodsClaimed")
    assert "older" in refused["message"]
    kept = condition(status_of(plane, "older", namespace), "Accepted")
    assert kept["status"] == "True"
    plane.kubectl("delete", "modelworkload,job", "--all", "-n", namespace)


def test_an_invalid_policy_says_so_and_changes_nothing_and_a_valid_change_governs_at_once(scene: Scene) -> None:
    plane, namespace = scene.plane, scene.plane.new_namespace("policy")
    plane.apply(training_workload("priced"), training_job("priced"), namespace=namespace)
    wait_running(plane, "priced", namespace)

    def cost() -> str | None:
        found: str | None = status_of(plane, "priced", namespace).get("cost", {}).get("perHour")
        return found

    wait_until(lambda: cost() == "20.00", what="8 GPUs at $2.50")
    policy = example("policy")
    policy["metadata"]["name"] = "wrong"
    policy["spec"] |= {"priority": 100, "prices": [{"product": "H999-SXM9", "perGPUHour": "99.00"}]}
    plane.apply(policy)
    refused = wait_until(
        lambda: condition(plane.get("mfupolicy", "wrong").get("status", {}), "Accepted"), what="answer to the policy"
    )
    assert refused["status"] == "False"
    assert "H999-SXM9" in refused["message"]
    scene.operator.wait_for_cycles(2)
    assert cost() == "20.00"

    policy["metadata"]["name"] = "default"
    policy["spec"] |= {"priority": 0, "prices": [{"product": "H100-SXM5", "perGPUHour": "3.00"}]}
    plane.apply(policy)
    wait_until(lambda: cost() == "24.00", what="8 GPUs at $3.00")
    plane.kubectl("delete", "mfupolicy", "wrong")
    plane.apply(example("policy"))
    plane.kubectl("delete", "modelworkload,job", "--all", "-n", namespace)


def test_an_unknown_gpu_means_unknown_mfu(scene: Scene) -> None:
    plane, namespace = scene.plane, scene.plane.new_namespace("unknown")
    plane.apply(fake_node(UNKNOWN_NODE, gpus=8, product="NVIDIA-X900-Prototype"))
    workload = training_workload("exotic")
    del workload["spec"]["accelerators"]["products"]
    plane.apply(workload, training_job("exotic", node=UNKNOWN_NODE), namespace=namespace)
    wait_running(plane, "exotic", namespace)
    wait_until(
        lambda: "X900" in str(status_of(plane, "exotic", namespace).get("conditions")),
        what="condition that names the product",
    )
    summary = status_of(plane, "exotic", namespace)["summary"]
    assert {summary[each] for each in ("expected", "attainable", "observed", "gap")} == {"Unknown"}
    row = wait_until(
        lambda: [each for each in fleet_report(plane)["nodes"] if each["node"] == UNKNOWN_NODE],
        what="its row in the report",
    )
    assert row is not None
    assert "mfu" not in row[0]
    assert float(row[0]["coverage"]["unknown"]) == 1
    plane.kubectl("delete", "modelworkload,job", "--all", "-n", namespace)
    plane.kubectl("delete", "node", UNKNOWN_NODE)


def _wait_all_observed(plane: ClusterAccess, namespace: str) -> None:
    def missing() -> list[str]:
        return [fault for fault in FAULTS if not summary_says(plane, fault, namespace, "expected", "observed")]

    wait_until(lambda: not missing(), what="observed MFU of every workload", within_seconds=90, every_seconds=1)


def _decisions(plane: ClusterAccess, name: str, namespace: str) -> list[tuple[str, str, str]]:
    decisions = status_of(plane, name, namespace)["decisions"]
    return sorted((each["type"], each["outcome"], each["reason"]) for each in decisions)


def _wrong_numbers(plane: ClusterAccess, name: str, namespace: str) -> set[str]:
    """Observed MFUs in a status that are further from the truth than allowed, in words."""
    observed = status_of(plane, name, namespace).get("observed", [])
    return {
        f"{name}: {each['meter']} {each['window']} mfu {each['mfu']} of {TRUE_MFU}"
        for each in observed
        if "mfu" in each and abs(float(each["mfu"]) - TRUE_MFU) > TOLERANCE
    }
