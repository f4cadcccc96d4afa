"""Opening a gate on a real API server: hint and release in one patch, whatever the pod says itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from e2e.testbed.cluster.plane import ControlPlane
from mfu.act.types import Release
from mfu.api.names import PLACEMENT_GATE, RANK_ORDER_ANNOTATION, decision_annotation
from mfu.cluster.affinity import PREFERRED, REQUIRED
from mfu.cluster.client import KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.release import WEAKENED, Hint, Opened, release
from mfu.cluster.resources import JSON, PODS
from mfu.engine.plan import Event, Plan
from tests.builders.gated_pods import create, gated, gates_of
from tests.cluster.test_affinity import binding, node, preferring, term

pytestmark = pytest.mark.integration

HOST = "kubernetes.io/hostname"
SAID = decision_annotation("Placement")
OTHER = "kueue.x-k8s.io/topology"
OWN: dict[str, JSON] = {
    "nothing": {},
    "pod affinity": {"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": HOST}}]}},
    "a preference": {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": term(HOST, "n1")}]}},
    "one term": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term(HOST, "n0", "n1")]}}},
    "two terms": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term(HOST, "n0"), term(HOST, "n1")]}}},
    "a term by name": {
        "nodeAffinity": {
            REQUIRED: {
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n0"]}]}]
            }
        }
    },
    "terms and a preference": {
        "nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [term(HOST, "n0")]},
            PREFERRED: [{"weight": 1, "preference": term(HOST, "n0")}],
        }
    },
}
HINTS: dict[str, Callable[..., JSON]] = {"binding": binding, "preferring": preferring}


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("hint", HINTS)
async def test_hint_and_release_are_one_patch(
    server: ControlPlane, client: KubeClient, space: str, own: str, hint: str
) -> None:
    before = create(server, space, gated(affinity=OWN[own]))
    name = before["metadata"]["name"]
    asked = Hint(HINTS[hint]("n0"), "keep the pods to node n0", (node("n0"),))
    opened = await release(client, space, name, uid=before["metadata"]["uid"], hint=asked)
    after = await client.get(PODS, name, space)
    assert opened is Opened.RELEASED
    assert gates_of(after) == []
    assert after["metadata"]["annotations"][SAID] == "keep the pods to node n0"
    added = after["spec"]["affinity"]["nodeAffinity"]
    if hint == "binding":
        terms = added[REQUIRED]["nodeSelectorTerms"]
        assert all(each["matchExpressions"][-1]["values"] == ["n0"] for each in terms)
        assert len(terms) == max(
            1, len(OWN[own].get("nodeAffinity", {}).get(REQUIRED, {}).get("nodeSelectorTerms", []))
        )
    else:
        assert added[PREFERRED][-1]["weight"] == 100
    writes = {each["operation"] for each in after["metadata"]["managedFields"] if each["manager"] != "kubectl"}
    assert writes == {"Update"}


async def test_the_order_of_ranks_is_in_the_same_patch(server: ControlPlane, client: KubeClient, space: str) -> None:
    owns: tuple[dict[str, str], ...] = ({}, {"team": "a"})
    for own in owns:
        before = create(server, space, gated(annotations=own))
        asked = Hint(binding("n0"), "keep the pods to node n0", (node("n0"),), "n0=0-3,n1=4-7")
        assert await release(client, space, before["metadata"]["name"], hint=asked) is Opened.RELEASED
        after = await client.get(PODS, before["metadata"]["name"], space)
        assert after["metadata"]["annotations"] == {
            **own,
            SAID: "keep the pods to node n0",
            RANK_ORDER_ANNOTATION: "n0=0-3,n1=4-7",
        }


async def test_a_gate_of_somebody_else_stays_and_our_hint_does_not_bind(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    """Kueue names a node when it opens its own: two that bind could contradict each other."""
    before = create(server, space, gated(gates=(OTHER, PLACEMENT_GATE)))
    asked = Hint(binding("n0"), "keep the pods to node n0", (node("n0"),))
    assert await release(client, space, before["metadata"]["name"], hint=asked) is Opened.RELEASED
    after = await client.get(PODS, before["metadata"]["name"], space)
    assert gates_of(after) == [OTHER]
    assert list(after["spec"]["affinity"]["nodeAffinity"]) == [PREFERRED]


async def test_without_a_hint_nothing_but_the_gate_changes(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    before = create(server, space, gated(annotations={"team": "a"}))
    assert await release(client, space, before["metadata"]["name"]) is Opened.RELEASED
    after = await client.get(PODS, before["metadata"]["name"], space)
    assert gates_of(after) == []
    before["spec"].pop("schedulingGates")
    after["spec"].pop("schedulingGates", None)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]


async def test_what_could_not_be_met_does_not_bind(server: ControlPlane, client: KubeClient, space: str) -> None:
    before = create(server, space, gated(annotations={"team": "a"}, nodeSelector={"pool": "train"}))
    asked = Hint(binding("n0"), "keep the pods to node n0", (node("n0"),))
    await release(client, space, before["metadata"]["name"], hint=asked)
    after = await client.get(PODS, before["metadata"]["name"], space)
    assert REQUIRED not in after["spec"]["affinity"]["nodeAffinity"]
    assert after["metadata"]["annotations"] == {
        "team": "a",
        SAID: f"keep the pods to node n0 ({WEAKENED})",
    }


async def test_who_is_not_behind_our_gate_is_left_alone(server: ControlPlane, client: KubeClient, space: str) -> None:
    free = create(server, space, gated(gates=(OTHER,)))["metadata"]
    assert await release(client, space, free["name"]) is Opened.NOT_GATED
    held = create(server, space, gated())["metadata"]
    assert await release(client, space, held["name"], uid="another") is Opened.GONE
    assert await release(client, space, "nobody") is Opened.GONE
    for name in (free["name"], held["name"]):
        found = await client.get(PODS, name, space)
        assert gates_of(found) == gates_of(server.get("pod", name, "-n", space))
        assert gates_of(found)


async def test_a_pod_that_is_written_to_meanwhile_is_read_again(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    """Somebody else takes his gate off and puts an affinity on between our reading and our patch: both stay."""
    before = create(server, space, gated(gates=(OTHER, PLACEMENT_GATE)))
    name = before["metadata"]["name"]
    meddled: list[bool] = []

    class Meddling(KubeClient):
        async def get(self, *args: Any, **kwargs: Any) -> JSON:
            found = await super().get(*args, **kwargs)
            if not meddled:
                meddled.append(True)
                theirs = {"spec": {"affinity": preferring("n9"), "schedulingGates": [{"name": PLACEMENT_GATE}]}}
                await super().merge(PODS, name, theirs, namespace=space)
            return found

    async with Meddling(client._connection) as meddling:
        opened = await release(meddling, space, name, hint=Hint(binding("n0"), "w", (node("n0"),)))
    after = await client.get(PODS, name, space)
    assert opened is Opened.RELEASED
    assert gates_of(after) == []
    assert after["spec"]["affinity"]["nodeAffinity"] == {
        **binding("n0")["nodeAffinity"],
        **preferring("n9")["nodeAffinity"],
    }


async def test_two_at_once_give_one_whole_hint(server: ControlPlane, client: KubeClient, space: str) -> None:
    """Two operators, or operator and keeper: whoever is first opens it, and nothing of the other's is half there."""
    import asyncio

    for _ in range(5):
        before = create(server, space, gated())
        name = before["metadata"]["name"]
        hints = [Hint(binding(each), each, (node(each),)) for each in ("n0", "n1")]
        found = await asyncio.gather(
            *(release(client, space, name, hint=hint) for hint in hints), release(client, space, name)
        )
        after = await client.get(PODS, name, space)
        assert sorted(found) == [Opened.NOT_GATED, Opened.NOT_GATED, Opened.RELEASED]
        assert gates_of(after) == []
        if "affinity" in after["spec"]:
            assert after["spec"]["affinity"] == binding(after["metadata"]["annotations"][SAID])
        else:
            assert SAID not in after["metadata"].get("annotations", {})


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def __call__(self, regarding: JSON, namespace: str, event: Event) -> None:
        self.events.append((f"{regarding['kind']}/{regarding['name']}", f"{event.reason}: {event.message}"))


def due(space: str, pod: JSON, *, hint: JSON | None = None) -> Release:
    return Release(space, pod["metadata"]["name"], pod["metadata"]["uid"], f"{space}/w", "words", hint)


async def test_the_executor_opens_what_the_plan_says_once(server: ControlPlane, client: KubeClient, space: str) -> None:
    pods = [create(server, space, gated()) for _ in range(3)]
    plan = Plan(releases=tuple(due(space, pod, hint=binding("n0")) for pod in pods))
    told = Told()
    executor = Executor(client, lambda: {"n0": node("n0")}, told)
    for _ in range(3):
        await executor.apply(plan)
    assert dict(executor.counts) == {Opened.RELEASED: 3}
    assert sorted(told.events) == sorted((f"Pod/{pod['metadata']['name']}", "GateOpened: words") for pod in pods)
    for pod in pods:
        assert not gates_of(await client.get(PODS, pod["metadata"]["name"], space))


async def test_without_the_lease_the_executor_writes_nothing(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    pod = create(server, space, gated())
    plan = Plan(releases=(due(space, pod),))
    ours = False
    executor = Executor(client, dict, Told(), may_write=lambda: ours)
    await executor.apply(plan)
    assert executor.counts[Opened.HELD_BACK] == 1
    assert gates_of(await client.get(PODS, pod["metadata"]["name"], space))
    ours = True
    await executor.apply(plan)
    assert not gates_of(await client.get(PODS, pod["metadata"]["name"], space)), "having been held back is no failure"


async def test_a_hint_that_the_server_refuses_fails_and_does_not_hold_back_the_plain_release(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    pod = create(server, space, gated())
    wrong = {"nodeAffinity": {PREFERRED: [{"weight": 1000, "preference": term(HOST, "n0")}]}}
    executor = Executor(client, dict, Told())
    for _ in range(3):
        await executor.apply(Plan(releases=(due(space, pod, hint=wrong),)))
    assert dict(executor.counts) == {"Failed": 1}, "tried again later, not at once"
    assert gates_of(await client.get(PODS, pod["metadata"]["name"], space))
    await executor.apply(Plan(releases=(due(space, pod),)))
    assert not gates_of(await client.get(PODS, pod["metadata"]["name"], space))
