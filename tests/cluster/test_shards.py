"""Several operators of a cluster: each has its namespaces, and every device is in one report."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mfu.api.fleetreport import FleetStatus
from mfu.api.metadata import LabelSelector
from mfu.cluster.client import KubeClient
from mfu.cluster.shards import ALL_NAMESPACES, OwnNamespaces, own_part
from mfu.cluster.state import ClusterState
from mfu.cluster.writer import Writer
from mfu.controller.config import OperatorConfig
from mfu.decide.policy import DEFAULT
from mfu.engine.claims import assign
from mfu.engine.holdings.fleet import IDLE, Grounds, build
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Event, Handover, Plan, PolicyPlan
from mfu.engine.snapshot import FleetReadings
from mfu.engine.views import NO_POLICY_STATUS, Assignment, PodView
from mfu.predict.types import Corrections
from tests.builders.cases import node
from tests.builders.scenes import NOW, pod, workload

EAST = OwnNamespaces("east", LabelSelector(match_labels={"shard": "east"}), whole_cluster=False)
NODES = (node("n0"), node("n1"))
PODS = (
    pod("w-0", gpus=3),
    pod("x", None, node="n1", gpus=2),
    pod("y", None, node="n1", gpus=1, namespace="team-b"),
)


def ground_of(is_east: bool, *, idle: bool) -> dict[str, float]:
    """GPUs by who holds them, as the shard of `team-a`, or of every other namespace, counts them."""
    whole = assign([workload()], PODS)
    mine = own_part(whole, lambda namespace: (namespace == "team-a") is is_east, idle=idle)
    made = build(Grounds(mine, NODES, {}, DEFAULT))
    rows: dict[str, float] = {}
    for owner, gpus in zip(made.owner.tolist(), made.table.gpus.tolist(), strict=True):
        holder = "idle" if owner == IDLE else "held"
        rows[holder] = rows.get(holder, 0.0) + gpus
    return rows


def test_every_device_is_in_one_report() -> None:
    assert ground_of(True, idle=False) == {"held": 5.0}
    assert ground_of(False, idle=True) == {"held": 1.0, "idle": 10.0}


def test_pods_of_others_are_neither_claimed_nor_undeclared() -> None:
    whole = assign([workload()], PODS)
    mine = own_part(whole, lambda namespace: namespace == "team-b", idle=True)
    assert (mine.pods, [each.name for each in mine.unclaimed]) == ({}, ["y"])
    assert {each.name for each in mine.elsewhere} == {"w-0", "x"}


@pytest.mark.parametrize(
    ("labels", "own"), [({"shard": "east", "a": "b"}, True), ({"shard": "west"}, False), ({}, False), (None, False)]
)
def test_a_namespace_of_unknown_labels_is_nobodys(labels: dict[str, str] | None, own: bool) -> None:
    assert EAST.have(labels) is own
    assert ALL_NAMESPACES.have(labels)


class Nothing:
    def latest(self, now: float) -> FleetReadings:
        return FleetReadings()

    def series(self, *_: object, **__: object) -> None:
        return None

    def stands(self, *_: object, **__: object) -> bool:
        return False


def state(*namespaces: str) -> ClusterState:
    """Of a workload with a pod in each of two namespaces; those that are named are the shard's."""
    made = ClusterState(cast(KubeClient, None), changed=lambda: None, own=EAST)
    for namespace in ("team-a", "team-b"):
        view = workload(namespace=namespace)
        made.workloads.objects[view.key] = view
        mine: PodView = pod("w-0", namespace=namespace)
        made.pods.objects[mine.key] = mine
        made.namespaces.objects[namespace] = {"shard": "east" if namespace in namespaces else "west"}
    return made


def claims_of(made: ClusterState) -> tuple[set[str], Assignment]:
    snapshot = made.snapshot(Nothing(), Corrections(), NOW, Handover())
    assert snapshot.claims is not None
    return {each.namespace for each in snapshot.workloads}, snapshot.claims


def test_a_snapshot_is_of_own_namespaces_and_of_all_pods() -> None:
    made = state("team-b")
    namespaces, claims = claims_of(made)
    assert namespaces == {"team-b"}
    assert set(claims.pods) == {"team-b/w"}
    assert [each.namespace for each in claims.elsewhere] == ["team-a"]
    # The same while nothing changed, and another once a namespace went to another shard.
    assert made.claims() is claims
    made.namespaces.objects["team-a"] = {"shard": "east"}
    made.namespaces.version += 1
    namespaces, claims = claims_of(made)
    assert (namespaces, set(claims.pods)) == ({"team-a", "team-b"}, {"team-a/w", "team-b/w"})


class Server:
    def __init__(self) -> None:
        self.applied: list[tuple[str, str]] = []
        self.events: list[str] = []

    async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> None:
        self.applied.append((resource.kind, body["metadata"]["name"]))

    async def create(self, _resource: Any, body: dict[str, Any], *_: Any) -> None:
        self.events.append(body["regarding"]["name"])


@pytest.mark.parametrize(
    ("own", "written", "told"),
    [
        (ALL_NAMESPACES, {("FleetReport", "fleet"), ("MFUPolicy", "p")}, {"fleet", "p"}),
        (EAST, {("FleetReport", "fleet-east")}, {"fleet-east"}),
    ],
    ids=["one operator", "a shard"],
)
def test_a_shard_writes_its_own_report_and_no_policy(
    own: OwnNamespaces, written: set[tuple[str, str]], told: set[str]
) -> None:
    event = Event("Normal", "Ready", "something is new")
    policy = PolicyPlan("p", "u", Packed(type(NO_POLICY_STATUS.read()), {"summary": "InForce"}), (event,))
    plan = Plan(policies=(policy,), report=Packed(FleetStatus, {"totals": {"gpus": "8"}}), events=(event,))
    server = Server()

    async def work() -> None:
        writer = Writer(cast(KubeClient, server), own=own)
        writer.tell(plan, ())
        await writer.apply(plan, {"policy/p": {"status": NO_POLICY_STATUS, "version": "1"}}, NO_REPORT)

    asyncio.run(work())
    assert (set(server.applied), set(server.events)) == (written, told)


def test_the_lease_is_named_by_the_shard() -> None:
    assert OperatorConfig().lease_name == "mfu-operator"
    east = {"name": "east", "namespaceSelector": {"matchExpressions": [{"key": "shard", "operator": "DoesNotExist"}]}}
    config = OperatorConfig.model_validate({"shard": east})
    assert config.lease_name == "mfu-operator-east"
    assert config.shard.namespace_selector.selector().matches({"a": "b"})
