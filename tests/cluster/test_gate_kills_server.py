"""The executor cut off at every request, on a real API server: the keeper frees what is left, and no hint is half.

What a process leaves behind when it is killed is what the API server was asked until then. The stories kill whole
operators (`e2e/stories/test_gate_kills.py`); here the same cuts are quick enough for a hundred times each.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from e2e.testbed.cluster.plane import ControlPlane
from mfu.act.types import Release
from mfu.api.names import decision_annotation
from mfu.cluster.client import KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.keeper import Keeper, held_pod
from mfu.cluster.resources import PODS
from mfu.engine.plan import Plan
from tests.builders.gated_pods import gated, gates_of
from tests.cluster.test_affinity import binding, node

pytestmark = pytest.mark.integration

SAID = decision_annotation("Placement")
PODS_A_JOB = 3
BEFORE_PODS = "before the pods are made"
CUTS = {
    BEFORE_PODS: ("", False, 0),
    "before the first pod is read": ("GET", False, 1),
    "when the first pod is read": ("GET", True, 1),
    "before the first patch": ("PATCH", False, 1),
    "when the first patch is done": ("PATCH", True, 1),
    "before the second patch": ("PATCH", False, 2),
    "when the second patch is done": ("PATCH", True, 2),
    "when all is done": ("PATCH", True, PODS_A_JOB),
}


class Cut(BaseException):
    """The process is gone."""


ONE_PATCH: dict[str, tuple[str, bool, int]] = {
    "before it is read": ("GET", False, 1),
    "when it is read": ("GET", True, 1),
    "before the patch": ("PATCH", False, 1),
    "when it is patched": ("PATCH", True, 1),
}
"""Where `CutOff.cut` ends who reads an object and patches it."""


class CutOff(KubeClient):
    """Every request after a chosen one finds nobody who could make it."""

    cut: tuple[str, bool, int] = ("", False, 0)
    seen = 0
    dead = False

    async def _send(self, method: str, path: str, **kwargs: Any) -> bytes:
        wanted, answered, count = self.cut
        if self.dead:
            raise Cut
        self.seen += method == wanted
        here = method == wanted and self.seen == count
        if here and not answered:
            self.dead = True
            raise Cut
        done = await super()._send(method, path, **kwargs)
        if here:
            self.dead = True
            raise Cut
        return done


async def killed(client: KubeClient, plan: Plan, *, at: tuple[str, bool, int]) -> None:
    """An executor does the plan, and is gone at that request."""
    async with CutOff(client._connection) as dying:
        dying.cut = at
        with pytest.raises(Cut):
            await Executor(dying, dict, lambda *_: None).apply(plan)


@pytest.fixture(scope="module")
def gate_space(server: ControlPlane) -> str:
    return server.new_namespace("cut")


@pytest.mark.prove(times=100)
@pytest.mark.parametrize("where", CUTS)
async def test_cut_off_at_any_request(gate_space: str, client: KubeClient, where: str) -> None:
    space = gate_space
    made = [await client.create(PODS, gated(), space) for _ in range(PODS_A_JOB)]
    plan = Plan(
        releases=tuple(
            Release(space, pod["metadata"]["name"], pod["metadata"]["uid"], "w", "keep the pods to n0", binding("n0"))
            for pod in made
        )
    )
    async with CutOff(client._connection) as dying:
        dying.cut = CUTS[where]
        executor = Executor(dying, lambda: {"n0": node("n0")}, lambda *_: None)
        dying.dead = where == BEFORE_PODS
        tasks = await asyncio.gather(executor.apply(plan), return_exceptions=True)
        assert dying.dead
        assert isinstance(tasks[0], Cut)
        # Whatever it had begun ends as with the process: nothing more is sent.
        await asyncio.sleep(0)
    before = [await client.get(PODS, pod["metadata"]["name"], space) for pod in made]
    await Keeper(client).round(
        {pod["metadata"]["uid"]: held for pod in before if (held := held_pod(pod))}, {space: 0.0}
    )
    after = [await client.get(PODS, pod["metadata"]["name"], space) for pod in made]
    for pod in after:
        assert gates_of(pod) == []
        assert ("affinity" in pod["spec"]) == (SAID in pod["metadata"].get("annotations", {}))
        assert pod["spec"].get("affinity") in (None, binding("n0"))
    hinted = sum("affinity" in pod["spec"] for pod in after)
    method, answered, _ = CUTS[where]
    assert hinted >= (method == "PATCH" and answered), "a patch that was answered stands"
    for pod in made:
        await client.delete(PODS, pod["metadata"]["name"], space)
