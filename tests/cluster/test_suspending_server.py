"""Suspending what idles, on a real API server: words and deed in one patch, and only of whom was given notice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from mfu.act.types import Suspension
from mfu.api.names import decision_annotation
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.held import QUEUE_LABEL
from mfu.cluster.resources import JSON, KUEUE_WORKLOADS, RUNS_PODS
from mfu.cluster.suspending import Suspended, suspend
from mfu.engine.plan import Plan
from tests.cluster.test_gate_kills_server import ONE_PATCH, killed
from tests.cluster.test_queued_server import DEFINITION, DEFINITIONS

pytestmark = pytest.mark.integration

JOBS = RUNS_PODS["job"]
SAID = decision_annotation("Reclaim")
WORDS = "idle for 8 h: suspend it, so that others get its GPUs; nothing of it is deleted (Job train)"
LATER = 3600.0


def job(name: str = "train", **metadata: Any) -> JSON:
    container = {"name": "train", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **metadata},
        "spec": {"parallelism": 2, "completions": 2, "template": template},
    }


def asked(space: str, *, noticed: float = LATER, name: str = "train") -> Suspension:
    return Suspension(space, "Job", name, f"{space}/w", WORDS, time.time() + noticed)


async def carried_out(client: KubeClient, each: Suspension) -> Suspended:
    return await suspend(client, each, may_write=lambda: True)


async def test_words_and_deed_are_one_patch_and_the_rest_stays(client: KubeClient, space: str) -> None:
    before = await client.create(JOBS, job(annotations={"own": "kept"}), space)
    assert await carried_out(client, asked(space)) is Suspended.SUSPENDED
    after = await client.get(JOBS, "train", space)
    assert after["spec"] == {**before["spec"], "suspend": True}
    assert after["metadata"]["annotations"] == {"own": "kept", SAID: WORDS}
    assert await carried_out(client, asked(space)) is Suspended.ALREADY
    assert (await client.get(JOBS, "train", space))["metadata"]["resourceVersion"] == after["metadata"][
        "resourceVersion"
    ]


async def test_who_had_no_notice_is_left_alone(client: KubeClient, space: str) -> None:
    """A Job of the same name that was made since."""
    await client.create(JOBS, job(), space)
    assert await carried_out(client, asked(space, noticed=-60.0)) is Suspended.GONE
    assert await carried_out(client, asked(space, name="other")) is Suspended.GONE
    assert not (await client.get(JOBS, "train", space))["spec"]["suspend"]


async def test_what_ended_by_itself_is_left_alone(client: KubeClient, space: str) -> None:
    await client.create(JOBS, job(), space)
    done = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    status = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:00Z", "succeeded": 2}
    body = {"status": {**status, "conditions": done}}
    path = JOBS.path(space, "train", "status")
    await client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    assert await carried_out(client, asked(space)) is Suspended.GONE


@pytest_asyncio.fixture
async def kueue(client: KubeClient) -> AsyncIterator[None]:
    await client.create(DEFINITIONS, DEFINITION)
    name = str(DEFINITION["metadata"]["name"])  # type: ignore[index]
    try:
        for _ in range(200):
            try:
                await client.request("GET", KUEUE_WORKLOADS.path("default"))
                break
            except ApiError:
                time.sleep(0.05)
        yield
    finally:
        await client.delete(DEFINITIONS, name)


async def test_what_kueue_queues_is_suspended_by_kueue(client: KubeClient, space: str, kueue: None) -> None:
    owner = await client.create(JOBS, job(labels={QUEUE_LABEL: "gpus"}), space)
    uid = owner["metadata"]["uid"]
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": uid, "controller": True}
    for name, owners in (("others", []), ("job-train", [reference])):
        workload = {"apiVersion": KUEUE_WORKLOADS.api_version, "kind": "Workload", "spec": {"active": True}}
        await client.create(KUEUE_WORKLOADS, {**workload, "metadata": {"name": name, "ownerReferences": owners}}, space)
    assert await carried_out(client, asked(space)) is Suspended.SUSPENDED
    mine, other = [await client.get(KUEUE_WORKLOADS, name, space) for name in ("job-train", "others")]
    assert (mine["spec"]["active"], mine["metadata"]["annotations"][SAID]) == (False, WORDS)
    assert other["spec"]["active"]
    assert not (await client.get(JOBS, "train", space))["spec"]["suspend"], "Kueue does that"
    assert await carried_out(client, asked(space)) is Suspended.ALREADY


@pytest.mark.prove(times=100)
@pytest.mark.parametrize("where", ONE_PATCH)
async def test_killed_at_any_request_it_is_never_half_suspended(client: KubeClient, space: str, where: str) -> None:
    await client.create(JOBS, job(), space)
    await killed(client, Plan(suspensions=(asked(space),)), at=ONE_PATCH[where])
    after = await client.get(JOBS, "train", space)
    assert after["spec"]["suspend"] is (where == "when it is patched")
    assert (SAID in after["metadata"].get("annotations", {})) is after["spec"]["suspend"]
    # Whoever comes after finds it as it was, or done.
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(Plan(suspensions=(asked(space),)))
    assert executor.suspended[Suspended.ALREADY if where == "when it is patched" else Suspended.SUSPENDED] == 1
    await client.delete(JOBS, "train", space)


async def test_a_refusal_is_counted_and_waits(client: KubeClient, space: str) -> None:
    await client.create(JOBS, job(), space)

    class Refusing(KubeClient):
        async def request(self, method: str, path: str, **kwargs: Any) -> JSON:
            if method == "PATCH":
                raise ApiError(403, "Forbidden", "no", "PATCH the Job")
            return await super().request(method, path, **kwargs)

    async with Refusing(client._connection) as refused:
        executor = Executor(refused, dict, lambda *_: None)
        for _ in range(3):
            await executor.apply(Plan(suspensions=(asked(space),)))
    assert executor.suspended["Failed"] == 1, "the next try waits"
    assert not (await client.get(JOBS, "train", space))["spec"]["suspend"]
