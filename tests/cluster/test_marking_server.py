"""Marks of what ending a pod costs, on a real API server: set and taken back whole, and nobody else's touched."""

from __future__ import annotations

import pytest

from mfu.act.costs import MARK, PodMark
from mfu.api.names import DELETION_COST_ANNOTATION, decision_annotation
from mfu.cluster.client import KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.marking import Marked, mark
from mfu.cluster.resources import JSON, PODS
from mfu.engine.plan import Plan
from tests.cluster.test_gate_kills_server import ONE_PATCH, killed

pytestmark = pytest.mark.integration

SAID = decision_annotation("Scaling")
WORDS = "let those that write least go first: serve-0"


async def made(client: KubeClient, space: str, **annotations: str) -> JSON:
    metadata = {"name": "serve-0", "annotations": {key.replace("__", "/"): each for key, each in annotations.items()}}
    body = {"metadata": metadata, "spec": {"containers": [{"name": "a", "image": "none"}]}}
    return await client.create(PODS, {"apiVersion": "v1", "kind": "Pod", **body}, space)


def asked(pod: JSON, cost: int | None = MARK, **fields: str) -> PodMark:
    metadata = pod["metadata"]
    uid = fields.get("uid", metadata["uid"])
    return PodMark(metadata["namespace"], metadata["name"], uid, "team/w", cost, WORDS)


async def notes(client: KubeClient, space: str) -> dict[str, str]:
    found: dict[str, str] = (await client.get(PODS, "serve-0", space))["metadata"].get("annotations", {})
    return found


async def done(client: KubeClient, each: PodMark) -> Marked:
    return await mark(client, each, may_write=lambda: True)


@pytest.mark.parametrize("own", [{}, {"own": "kept"}])
async def test_set_and_taken_back(client: KubeClient, space: str, own: dict[str, str]) -> None:
    pod = await made(client, space, **own)
    assert await done(client, asked(pod)) is Marked.MARKED
    assert await notes(client, space) == {**own, DELETION_COST_ANNOTATION: str(MARK), SAID: WORDS}
    assert await done(client, asked(pod)) is Marked.ALREADY
    assert await done(client, asked(pod, None)) is Marked.UNMARKED
    assert await notes(client, space) == own
    assert await done(client, asked(pod, None)) is Marked.ALREADY


async def test_a_cost_of_somebody_else_stands(client: KubeClient, space: str) -> None:
    pod = await made(client, space)
    await client.merge(PODS, "serve-0", {"metadata": {"annotations": {DELETION_COST_ANNOTATION: "7"}}}, namespace=space)
    for cost in (MARK, None):
        assert await done(client, asked(pod, cost)) is Marked.OWN_WORDS
    assert await done(client, asked(pod, uid="another")) is Marked.GONE
    assert await notes(client, space) == {DELETION_COST_ANNOTATION: "7"}


@pytest.mark.prove(times=100)
@pytest.mark.parametrize("where", ONE_PATCH)
async def test_killed_at_any_request_it_is_marked_whole_or_not(client: KubeClient, space: str, where: str) -> None:
    pod = await made(client, space)
    plan = Plan(marks=(asked(pod),))
    await killed(client, plan, at=ONE_PATCH[where])
    found = await notes(client, space)
    assert set(found) in (set(), {DELETION_COST_ANNOTATION, SAID})
    assert bool(found) is (where == "when it is patched")
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(plan)
    assert executor.marked[Marked.ALREADY if found else Marked.MARKED] == 1
