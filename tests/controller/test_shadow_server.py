"""Oversubscription in the shadow, on a real API server: report, decision and metric say it, nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from mfu.api.fleetreport import FleetStatus
from mfu.api.names import FLEET_REPORT_NAME, decision_annotation
from mfu.cluster.resources import FLEETREPORTS, PODS
from mfu.controller.loop import Loop
from mfu.controller.metrics import OperatorMetrics
from mfu.engine.oversubscribing import SAMPLE_SECONDS
from tests.controller.test_policy_server import NOW, Stage, node, stage

__all__ = ["stage"]
pytestmark = pytest.mark.integration
SHADOW = {"oversubscription": [{"priorityClass": "batch", "maxPercent": 150}]}
SAID = decision_annotation("Oversubscription")


@pytest_asyncio.fixture
async def waiting(stage: Stage) -> AsyncIterator[Stage]:
    """One workload of the class waits for eight of sixteen GPUs; nobody schedules here."""
    server = stage.server
    node(server, "n1")
    server.apply(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "batch"}, "value": 1}
    )
    limits = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}
    spec = {"priorityClassName": "batch", "containers": [{"name": "train", "image": "none", **limits}]}
    server.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llama-0"}, "spec": spec}, namespace=stage.space
    )
    await stage.knows("llama-0", "n1")
    yield stage
    server.kubectl("delete", "node", "n1")
    server.kubectl("delete", "fleetreport", FLEET_REPORT_NAME, "--ignore-not-found")


async def report(stage: Stage) -> dict[str, Any]:
    """Its status; nothing before the first cycle."""
    items, _ = await stage.client.list(FLEETREPORTS)
    found: dict[str, Any] = items[0]["status"] if items else {}
    return found


async def seen(stage: Stage) -> None:
    """Until the operator's informer holds the report as it is."""
    async with asyncio.timeout(60):
        while FleetStatus.model_validate(await report(stage)) != stage.loop.state.report.read():
            await asyncio.sleep(0.05)


async def later(stage: Stage) -> None:
    """The next figure is due."""
    await seen(stage)
    stage._now += SAMPLE_SECONDS
    await stage.cycle()


async def let_in(stage: Stage) -> None:
    """Until the report counts the workload as running: what the next operator has to know."""
    for _ in range(3):
        await later(stage)
        if (await report(stage))["oversubscription"]["running"]:
            return
    raise AssertionError("nothing was let in")


def restarted(stage: Stage) -> None:
    """The next operator: it knows what the report says, and nothing else."""
    last = stage.loop
    stage.loop = Loop(last.state, last.past, last.writer, OperatorMetrics(lambda: None), last.settings, last.trigger)


async def after_a_quiet_week(stage: Stage) -> None:
    """The operator before this one saw little at work in a week."""
    said = await report(stage)
    days = [datetime.fromtimestamp(NOW, UTC).date() - timedelta(days=back) for back in range(7, -1, -1)]
    said["oversubscription"]["days"] = [{"day": str(each), "hours": " ".join(["0"] * 24)} for each in days]
    patch = json.dumps({"status": said})
    stage.server.kubectl("patch", "fleetreport", FLEET_REPORT_NAME, "--subresource=status", "--type=merge", "-p", patch)
    restarted(stage)


def shown(loop: Loop) -> list[str]:
    text = generate_latest(OperatorMetrics(lambda: loop.plan).registry).decode()
    return [line for line in text.splitlines() if line.startswith("mfu_fleet_shadow_")]


async def test_it_is_counted_and_told_in_dry_run_words_and_the_pod_is_not_touched(waiting: Stage) -> None:
    before = await waiting.client.get(PODS, "llama-0", waiting.space)
    waiting.policy("shadow", modes={"oversubscription": "Enforce"}, actions=[{"type": "KueueCheck"}], **SHADOW)
    await waiting.cycle()
    held = await waiting.decision("Oversubscription")
    assert (held["outcome"], held["reason"], held["mode"]) == ("Hold", "NoRoomInUse", "Recommend")
    assert held["message"].endswith("fewer than 24 hours of use are known")
    (counted,) = (await report(waiting))["oversubscription"]["classes"]
    assert (counted["priorityClass"], counted["admitted"]) == ("batch", 0)

    await after_a_quiet_week(waiting)
    await later(waiting)
    said = await waiting.decision("Oversubscription")
    assert (said["outcome"], said["reason"], said["mode"]) == ("Admit", "RoomInUse", "Recommend"), said
    assert said["message"].startswith("dry run: let in 8 GPUs for class batch")
    assert (await waiting.workload())["metadata"]["annotations"][SAID]
    shadow = (await report(waiting))["oversubscription"]
    assert [(each["priorityClass"], each["admitted"], each["exceeded"]) for each in shadow["classes"]] == [
        ("batch", 1, 0)
    ]
    assert [each["workload"] for each in shadow["running"]] == [f"{waiting.space}/llama"]
    assert 'mfu_fleet_shadow_admitted_requests{priority_class="batch"} 1.0' in shown(waiting.loop)
    after = await waiting.client.get(PODS, "llama-0", waiting.space)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert "nodeName" not in after["spec"]


async def test_observe_stands_in_status_alone_and_the_next_operator_goes_on(waiting: Stage) -> None:
    waiting.policy("shadow", modes={"oversubscription": "Observe"}, **SHADOW)
    await waiting.cycle()
    await after_a_quiet_week(waiting)
    await let_in(waiting)
    assert (await waiting.decision("Oversubscription"))["mode"] == "Observe"
    assert SAID not in (await waiting.workload())["metadata"].get("annotations", {})
    await seen(waiting)
    restarted(waiting)
    await later(waiting)
    shadow = (await report(waiting))["oversubscription"]
    (counted,) = shadow["classes"]
    assert (counted["admitted"], counted["exceeded"]) == (1, 0), "not let in once more"
    assert float(counted["gpuHoursGained"]) == pytest.approx(8 * SAMPLE_SECONDS / 3600, rel=0.02)
    assert len(shadow["running"]) == 1


async def test_without_a_class_there_is_no_row(waiting: Stage) -> None:
    waiting.policy("none", modes={"oversubscription": "Recommend"})
    await waiting.cycle()
    assert "oversubscription" not in await report(waiting)
    assert not shown(waiting.loop)
