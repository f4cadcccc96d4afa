"""Our name off Kueue's gate on a real API server: of that owner alone, in one patch; by the keeper at the deadline."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane
from e2e.testbed.controllers.definitions import define_owners
from mfu.act.queue_gates import QueueRelease
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.cluster.client import KubeClient
from mfu.cluster.queue_gate import GATEABLE, Ungated, gated_owner, ungate
from mfu.cluster.queue_keeper import QueueKeeper
from mfu.cluster.resources import JSON, RUNS_PODS, ResourcePath
from mfu.engine.plan import Plan
from tests.builders.held import MADE
from tests.cluster.test_gate_kills_server import ONE_PATCH, killed

pytestmark = pytest.mark.integration


JOBS = RUNS_PODS["job"]
KINDS = pytest.mark.parametrize("kind", GATEABLE, ids=lambda each: each.kind)


@pytest.fixture(scope="module", autouse=True)
def owners(server: ControlPlane) -> None:
    define_owners(server)


async def made(
    client: KubeClient,
    space: str,
    gate: str = PLACEMENT_GATE,
    name: str = "train",
    kind: ResourcePath = JOBS,
    **own: str,
) -> JSON:
    return await client.create(kind, MADE[kind.kind](name, annotations={QUEUE_GATE_ANNOTATION: gate, **own}), space)


async def notes(client: KubeClient, space: str, name: str = "train", kind: ResourcePath = JOBS) -> dict[str, str]:
    item = await client.get(kind, name, space)
    found: dict[str, str] = item["metadata"].get("annotations") or {}
    return found


@KINDS
@pytest.mark.parametrize(
    ("gate", "left"),
    [(PLACEMENT_GATE, None), (f"a.example/b,{PLACEMENT_GATE}", "a.example/b"), (f"{PLACEMENT_GATE}, c.d/e", "c.d/e")],
)
async def test_other_names_and_annotations_stay(
    client: KubeClient, space: str, gate: str, left: str | None, kind: ResourcePath
) -> None:
    before = await made(client, space, gate, kind=kind, own="kept")
    assert await ungate(client, kind, space, "train") is Ungated.UNGATED
    assert (await client.get(kind, "train", space))["spec"] == before["spec"]
    assert await notes(client, space, kind=kind) == {
        "own": "kept",
        **({} if left is None else {QUEUE_GATE_ANNOTATION: left}),
    }
    assert await ungate(client, kind, space, "train") is Ungated.NOT_GATED


async def test_another_job_of_that_name_and_a_lost_lease_leave_it(client: KubeClient, space: str) -> None:
    await made(client, space)
    assert await ungate(client, JOBS, space, "train", uid="another") is Ungated.GONE
    assert await ungate(client, JOBS, space, "none") is Ungated.GONE
    assert await ungate(client, JOBS, space, "train", may_write=lambda: False) is Ungated.HELD_BACK
    assert await notes(client, space) == {QUEUE_GATE_ANNOTATION: PLACEMENT_GATE}


async def test_who_else_takes_his_name_off_meanwhile_is_read_again(client: KubeClient, space: str) -> None:
    await made(client, space, f"a.example/b,{PLACEMENT_GATE}")

    class Meanwhile(KubeClient):
        async def _send(self, method: str, path: str, **kwargs: Any) -> bytes:
            if method == "PATCH" and not hasattr(self, "done"):
                self.done = True
                change = {"metadata": {"annotations": {QUEUE_GATE_ANNOTATION: PLACEMENT_GATE}}}
                await client.merge(JOBS, "train", change, namespace=space)
            return await super()._send(method, path, **kwargs)

    async with Meanwhile(client._connection) as between:
        assert await ungate(between, JOBS, space, "train") is Ungated.UNGATED
    assert await notes(client, space) == {}


async def test_the_keeper_minds_the_deadline_and_nothing_else(client: KubeClient, space: str) -> None:
    items = [await made(client, space), await made(client, space, "a.example/b", "theirs")]
    seen = [owner for each in items if (owner := gated_owner("Job")(each))]
    assert [each.name for each in seen] == ["train"]
    keeper = QueueKeeper(client)
    await keeper.round(seen, {space: 3600.0}, lambda: True)
    await keeper.round(seen, {space: 0.0}, lambda: False)
    assert await notes(client, space) == {QUEUE_GATE_ANNOTATION: PLACEMENT_GATE}
    await keeper.round(seen, {space: 0.0}, lambda: True)
    assert await notes(client, space) == {}
    assert await notes(client, space, "theirs") == {QUEUE_GATE_ANNOTATION: "a.example/b"}


@pytest.mark.prove(times=100)
@KINDS
@pytest.mark.parametrize("where", ONE_PATCH)
async def test_killed_at_any_request_it_is_freed_by_the_keeper(
    client: KubeClient, space: str, where: str, kind: ResourcePath
) -> None:
    item = await made(client, space, f"a.example/b,{PLACEMENT_GATE}", kind=kind)
    due = QueueRelease(space, kind.kind, "train", item["metadata"]["uid"], "team/w", "told")
    plan = Plan(queue_releases=(due,))
    await killed(client, plan, at=ONE_PATCH[where])
    gated = gated_owner(kind.kind)(await client.get(kind, "train", space))
    assert (gated is None) is (where == "when it is patched")
    await QueueKeeper(client).round([gated] if gated else [], {space: 0.0}, lambda: True)
    assert await notes(client, space, kind=kind) == {QUEUE_GATE_ANNOTATION: "a.example/b"}
