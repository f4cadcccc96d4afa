"""Hints in templates of owners that are held, on a real API server with the projects' own definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane
from e2e.testbed.controllers.definitions import define_owners
from mfu.act.templates import TemplateHint
from mfu.api.names import decision_annotation
from mfu.api.powers import ActionType
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.held import PATCH_MANAGER, held_owner, templates_of
from mfu.cluster.resources import JSON, RUNS_PODS
from mfu.cluster.templating import Templated, patch_of, tell
from mfu.engine.plan import Plan
from tests.builders.held import MADE, PRODUCT, job, pods, trainjob
from tests.cluster.test_gate_kills_server import ONE_PATCH, killed

pytestmark = pytest.mark.integration

SAID = decision_annotation("Placement")
WORDS = "select nvidia.com/gpu.product=H100 in the template of it: there is room on node n0"
SELECTS = {"nodeSelector": {PRODUCT: "H100"}}
KEPT = {"kueue.x-k8s.io/podset-slice-size": "4"}


@pytest.fixture(scope="module")
def owners(server: ControlPlane) -> None:
    define_owners(server)


def path_of(space: str, kind: str, name: str = "train") -> str:
    return RUNS_PODS[kind.lower()].path(space, name)


async def made(client: KubeClient, space: str, item: JSON) -> JSON:
    return await client.create(RUNS_PODS[item["kind"].lower()], item, space)


def asked(item: JSON, change: JSON = SELECTS, kind: ActionType = ActionType.NODE_SELECTOR) -> TemplateHint:
    owner = held_owner(item["kind"])(item)
    assert owner is not None
    return TemplateHint(owner, "team/w", kind, WORDS, change)


async def told(client: KubeClient, hint: TemplateHint) -> Templated:
    return await tell(client, hint, may_write=lambda: True)


@pytest.mark.parametrize("kind", MADE)
async def test_every_template_with_gpus_is_told_in_one_patch_and_nothing_else_changes(
    owners: None, client: KubeClient, space: str, kind: str
) -> None:
    before = await made(client, space, MADE[kind](annotations={"own": "kept"}))
    assert await told(client, asked(before)) is Templated.WRITTEN
    after = await client.request("GET", path_of(space, kind))
    now = held_owner(kind)(after)
    assert now is not None
    assert now.says(SELECTS)
    assert after["metadata"]["annotations"] == {"own": "kept", SAID: WORDS}
    for at in templates_of(after, kind):
        at.template["spec"].pop("nodeSelector")
    if kind == "TrainJob":
        assert [each["manager"] for each in after["spec"].pop("runtimePatches")] == [PATCH_MANAGER]
    assert after["spec"] == before["spec"]
    assert await told(client, asked(before)) is Templated.ALREADY


@pytest.mark.parametrize("kind", MADE)
async def test_what_was_taken_up_meanwhile_is_left_as_it_is(
    owners: None, client: KubeClient, space: str, kind: str
) -> None:
    hint = asked(await made(client, space, MADE[kind]()))
    taken_up = {"spec": {"replicas": 1} if kind == "LeaderWorkerSet" else {"suspend": False}}
    await client.merge(RUNS_PODS[kind.lower()], "train", taken_up, namespace=space)
    before = await client.request("GET", path_of(space, kind))
    assert await told(client, hint) is Templated.NOT_HELD
    assert await client.request("GET", path_of(space, kind)) == before


@pytest.mark.parametrize("kind", MADE)
async def test_taken_up_between_reading_and_writing_it_is_not_written_to(
    owners: None, client: KubeClient, space: str, kind: str
) -> None:
    """The version that was read is the patch's precondition."""
    item = await made(client, space, MADE[kind]())
    taken_up = {"spec": {"replicas": 1} if kind == "LeaderWorkerSet" else {"suspend": False}}
    await client.merge(RUNS_PODS[kind.lower()], "train", taken_up, namespace=space)
    with pytest.raises(ApiError) as refused:
        await client.change(RUNS_PODS[kind.lower()], item["metadata"], patch_of(item, asked(item)))
    assert refused.value.outdated


async def test_another_object_by_that_name_is_left_alone(client: KubeClient, space: str) -> None:
    hint = asked(await made(client, space, job()))
    for owner in (replace(hint.owner, uid="another"), replace(hint.owner, name="none")):
        assert await told(client, replace(hint, owner=owner)) is Templated.GONE


async def test_its_own_words_stand(client: KubeClient, space: str) -> None:
    item = await made(client, space, job(template=pods(nodeSelector={PRODUCT: "A100"})))
    assert await told(client, asked(item)) is Templated.OWN_WORDS
    beside = await made(client, space, job("beside", template=pods(nodeSelector={"zone": "a"})))
    assert await told(client, asked(beside)) is Templated.WRITTEN
    after = await client.request("GET", path_of(space, "Job", "beside"))
    assert after["spec"]["template"]["spec"]["nodeSelector"] == {"zone": "a", PRODUCT: "H100"}


async def test_entries_of_other_managers_stay(owners: None, client: KubeClient, space: str) -> None:
    other = {
        "manager": "kueue.x-k8s.io/manager",
        "trainingRuntimeSpec": {"template": {"metadata": {"labels": {"a": "b"}}}},
    }
    item = await made(client, space, trainjob(patches=[other]))
    assert await told(client, asked(item)) is Templated.WRITTEN
    item = await client.request("GET", path_of(space, "TrainJob"))
    more = {"annotations": KEPT}
    assert await told(client, asked(item, more)) is Templated.WRITTEN
    theirs, ours = (await client.request("GET", path_of(space, "TrainJob")))["spec"]["runtimePatches"]
    assert theirs == other
    (part,) = ours["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    template = part["template"]["spec"]["template"]
    assert template == {"metadata": {"annotations": KEPT}, "spec": SELECTS}


async def test_a_slice_takes_the_place_of_a_gpu(client: KubeClient, space: str) -> None:
    """Kubernetes 1.36 lets resources of a suspended Job change; before, the server refuses and it stays as it is."""
    item = await made(client, space, job(template=pods(1)))
    change = {"resource": "nvidia.com/mig-1g.10gb"}
    assert await told(client, asked(item, change, ActionType.MIG_RESOURCE)) is Templated.WRITTEN
    after = await client.request("GET", path_of(space, "Job"))
    amounts = {"nvidia.com/mig-1g.10gb": "1"}
    (container,) = after["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": amounts, "requests": amounts}


@pytest.mark.prove(times=100)
@pytest.mark.parametrize("where", ONE_PATCH)
@pytest.mark.parametrize("kind", MADE)
async def test_killed_at_any_request_it_has_the_whole_hint_or_none(
    owners: None, client: KubeClient, space: str, kind: str, where: str
) -> None:
    item = await made(client, space, MADE[kind]())
    plan = Plan(hints=(asked(item),))
    await killed(client, plan, at=ONE_PATCH[where])
    after = await client.request("GET", path_of(space, kind))
    now: Any = held_owner(kind)(after)
    done = where == "when it is patched"
    assert now.says(SELECTS) is done
    assert (SAID in after["metadata"].get("annotations", {})) is done
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(plan)
    assert executor.hinted[Templated.ALREADY if done else Templated.WRITTEN] == 1
