"""Who holds which GPUs: every allocatable device exactly once, and node, namespace and fleet figures by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.account.rollup import FleetFigures
from mfu.api.workload_status import Meter
from mfu.decide.policy import DEFAULT
from mfu.decide.types import EffectivePolicy, NodeView
from mfu.engine.claims import assign
from mfu.engine.fleet import add_up, ground
from mfu.engine.holdings.fleet import IDLE, UNCLAIMED, Grounds, build
from mfu.engine.plan import Handover, WorkloadPlan
from mfu.engine.snapshot import FleetReadings
from mfu.engine.views import NO_STATUS, PodView, WorkloadView
from mfu.hardware.catalog import load
from mfu.hardware.price import PriceBook
from mfu.observe.assessment import Assessment, Observation, TelemetryState, Window
from mfu.observe.readings import METRICS, GPUIdentity, Metric
from tests.builders.cases import gpu, node
from tests.builders.readings import HEALTHY
from tests.builders.scenes import MFU_OF_TENSOR_ACTIVE, STEADY, WHOLE, identity, pod, workload

SLICE = "nvidia.com/mig-1g.10gb"
PRICES = EffectivePolicy(book=PriceBook({"H100-SXM5": 2.0, "A100-SXM4-80GB": 1.0}))


def figures_of(*asked: Any) -> FleetFigures:
    return add_up(*asked).figures


def grounds(
    pods: list[PodView], nodes: list[NodeView], workloads: list[WorkloadView] | None = None, **policies: EffectivePolicy
) -> Grounds:
    mine = [workload()] if workloads is None else workloads
    return Grounds(assign(mine, pods), tuple(nodes), policies, DEFAULT)


def counted(each: Grounds) -> dict[tuple[str, str], float]:
    """GPUs by node and by who holds them: a workload, `unclaimed` or `idle`."""
    made = build(each)
    names = {IDLE: "idle", UNCLAIMED: "unclaimed"}
    rows: dict[tuple[str, str], float] = {}
    for row, owner in enumerate(made.owner.tolist()):
        holder = names.get(owner) or made.workloads[owner]
        key = (made.table.nodes.names[made.table.nodes.index[row]], holder)
        rows[key] = rows.get(key, 0.0) + float(made.table.gpus[row])
    return rows


def sliced(name: str = "n0", *, whole: int = 0, slices: int = 7) -> NodeView:
    return node(name, gpus=whole, mig={"1g.10gb": slices})


def share(profile: str = "1g.10gb") -> float:
    found = load().mig_profile(gpu().key, profile)
    assert found is not None
    return found.sm_fraction


COUNTED: dict[str, tuple[Grounds, dict[tuple[str, str], float]]] = {
    "nobody": (grounds([], [node("n0")]), {("n0", "idle"): 8}),
    "a workload": (grounds([pod()], [node("n0")]), {("n0", "team-a/w"): 8}),
    "a part of a node": (grounds([pod(gpus=3)], [node("n0")]), {("n0", "team-a/w"): 3, ("n0", "idle"): 5}),
    "two pods of one workload": (
        grounds([pod("a", gpus=3), pod("b", gpus=2)], [node("n0")]),
        {("n0", "team-a/w"): 5, ("n0", "idle"): 3},
    ),
    "a pod that nobody declared": (
        grounds([pod(), pod("x", None, node="n1", gpus=2)], [node("n0"), node("n1")]),
        {("n0", "team-a/w"): 8, ("n1", "unclaimed"): 2, ("n1", "idle"): 6},
    ),
    "waiting and finished pods hold nothing": (
        grounds([pod("a", node=None), pod("b", phase="Failed")], [node("n0")]),
        {("n0", "idle"): 8},
    ),
    "a pod on a node that is gone": (grounds([pod(node="gone")], [node("n0")]), {("n0", "idle"): 8}),
    "slices count their share": (
        grounds([pod(gpus={SLICE: 2})], [sliced()]),
        {("n0", "team-a/w"): 2 * share(), ("n0", "idle"): 5 * share()},
    ),
    "slices and whole GPUs of one node": (
        grounds([pod("a", gpus={SLICE: 7}), pod("b", gpus=4)], [sliced(whole=7)]),
        {("n0", "team-a/w"): 4 + 7 * share(), ("n0", "idle"): 3},
    ),
    "another vendor's resource is a whole GPU too": (
        grounds([pod(gpus={"amd.com/gpu": 3})], [node("n0", product="AMD-Instinct-MI300X-OAM")]),
        {("n0", "team-a/w"): 3, ("n0", "idle"): 5},
    ),
    "more is claimed than is there": (
        grounds([pod("a", gpus=9_007_199_254), pod("b", gpus=8)], [node("n0")]),
        {("n0", "team-a/w"): 8},
    ),
    "more is held than is allocatable (a GPU fell off)": (
        grounds([pod()], [node("n0", gpus=7, ill={"nvidia.com/gpu": 1})]),
        {("n0", "team-a/w"): 8},
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_who_holds_what(name: str) -> None:
    made_from, want = COUNTED[name]
    assert counted(made_from) == pytest.approx(want)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[NodeView], list[PodView]]:
    """Nodes with whole GPUs and slices, and pods that fit on them, some of them declared."""
    nodes: list[NodeView] = []
    pods: list[PodView] = []
    for number in range(draw(st.integers(1, 4))):
        whole, slices = draw(st.integers(0, 8)), draw(st.integers(0, 7))
        product = draw(st.sampled_from(["NVIDIA-H100-80GB-HBM3", "NVIDIA-H200"]))
        nodes.append(node(f"n{number}", product=product, gpus=whole, mig={"1g.10gb": slices} if slices else {}))
        for resource, there in ((WHOLE, whole), (SLICE, slices)):
            free = there
            while free and draw(st.booleans()):
                amount = draw(st.integers(1, free))
                free -= amount
                owner = draw(st.sampled_from(["w", "v", None]))
                pods.append(pod(f"p{len(pods)}", owner, node=f"n{number}", gpus={resource: amount}))
    return nodes, pods


@STEADY
@given(fleets(), st.randoms(use_true_random=False))
def test_every_allocatable_device_is_counted_exactly_once(
    fleet: tuple[list[NodeView], list[PodView]], random: Any
) -> None:
    nodes, pods = fleet
    mine = [workload("w"), workload("v")]
    found = counted(grounds(pods, nodes, mine))
    # 1g.18gb of an H200 would be another profile: slices of it are of a product that the catalog does not know.
    parts = {each.name: share() if each.device and each.device.gpu.key == gpu().key else 1.0 for each in nodes}
    allocatable = sum(each.gpus + sum(each.mig.values()) * parts[each.name] for each in nodes)
    assert sum(found.values()) == pytest.approx(allocatable)
    for each in nodes:
        here = sum(amount for (name, _), amount in found.items() if name == each.name)
        assert here == pytest.approx(each.gpus + sum(each.mig.values()) * parts[each.name])
    shuffled = grounds(random.sample(pods, len(pods)), random.sample(nodes, len(nodes)), mine[::-1])
    assert counted(shuffled) == pytest.approx(found)


def test_a_ground_is_kept_while_pods_nodes_and_prices_stay() -> None:
    made_from = grounds([pod()], [node("n0")], team=PRICES)
    first = build(made_from)
    handover = Handover(ground=first)
    assert ground(replace(made_from, policies=dict(made_from.policies)), handover) is first
    for other in (
        replace(made_from, claims=assign([workload()], [pod(gpus=4)])),
        replace(made_from, nodes=(node("n0", gpus=4),)),
        replace(made_from, policies={"team": DEFAULT}),
        replace(made_from, default=PRICES),
    ):
        assert ground(other, handover) is not first
    assert ground(made_from, Handover()) is not first


def planned(
    mfu: float | None, meter: Meter = Meter.PROGRESS, *, name: str = "w", namespace: str = "team-a"
) -> WorkloadPlan:
    seen = Observation(Window.TEN_MINUTES, meter, mfu, mfu, None, None, None, 1.0, "test", 0.0, 0.9)
    return WorkloadPlan(namespace, name, "uid", NO_STATUS, assessment=Assessment((seen,), state=TelemetryState.OK))


def read(*devices: GPUIdentity, mfu: float | None = 0.4) -> FleetReadings:
    values = np.full((len(devices), METRICS), np.nan)
    if mfu is not None:
        for metric, value in (HEALTHY | {Metric.TENSOR_ACTIVE: mfu / MFU_OF_TENSOR_ACTIVE}).items():
            values[:, metric] = value
    return FleetReadings(devices, values, np.zeros(len(devices)))


def rolled(made_from: Grounds, plans: list[WorkloadPlan], readings: FleetReadings | None = None) -> FleetFigures:
    by_name: Mapping[str, NodeView] = {each.name: each for each in made_from.nodes}
    return figures_of(build(made_from), plans, readings or FleetReadings(), by_name)


def test_figures_by_hand() -> None:
    """H100 (989.4 TFLOP/s): 6 of team-a at 40 %, 2 idle. A100 (312): 4 of team-b at 30 % by counters, 4 unknown."""
    nodes = [node("n0"), node("n1", product="NVIDIA-A100-SXM4-80GB")]
    pods = [
        pod(gpus=6),
        pod("v-0", "v", namespace="team-b", node="n1", gpus=4),
        pod("x", None, namespace="team-c", node="n1", gpus=4),
    ]
    made_from = grounds(
        pods, nodes, [workload(), workload("v", namespace="team-b")], **{"team-a": PRICES, "team-b": PRICES}
    )
    plans = [planned(0.4), planned(0.3, Meter.COUNTERS, name="v", namespace="team-b")]
    found = rolled(made_from, plans)
    fleet, h100, a100 = found.fleet, 989.4, 312.0
    assert fleet is not None
    assert (fleet.gpus, fleet.allocated_gpus) == (16, 14)
    assert fleet.mfu == pytest.approx((6 * h100 * 0.4 + 4 * a100 * 0.3) / (8 * h100 + 4 * a100), rel=1e-3)
    assert fleet.allocated_mfu == pytest.approx((6 * h100 * 0.4 + 4 * a100 * 0.3) / (6 * h100 + 4 * a100), rel=1e-3)
    assert (fleet.measured, fleet.estimated, fleet.idle, fleet.unknown) == (6 / 16, 4 / 16, 2 / 16, 4 / 16)
    assert fleet.cost_per_hour == 6 * 2.0 + 4 * 1.0
    assert found.nodes["n0"].mfu == pytest.approx(0.3)
    assert found.nodes["n1"].mfu == pytest.approx(0.3)
    assert found.nodes["n1"].unknown == 0.5
    assert found.namespaces["team-a"].mfu == pytest.approx(0.4)
    assert found.namespaces["team-c"].mfu is None
    assert set(found.namespaces) == {"team-a", "team-b", "team-c"}
    assert {name: each.gpus for name, each in found.products.items()} == {"H100-SXM5": 8, "A100-SXM4-80GB": 8}


def test_slices_weigh_by_their_share() -> None:
    """Seven busy slices beside one idle GPU."""
    found = rolled(grounds([pod(gpus={SLICE: 7})], [sliced(whole=1)]), [planned(0.4)]).fleet
    assert found is not None
    assert found.mfu == pytest.approx(7 * share() * 0.4 / (7 * share() + 1))


def test_a_pod_is_estimated_by_those_of_its_devices_that_are_read() -> None:
    readings = read(*DEVICES)
    readings.values[4:] = np.nan
    fleet = rolled(grounds([pod("x", None, namespace="team-x")], [node("n0")]), [], readings).fleet
    assert fleet is not None
    assert fleet.mfu == pytest.approx(0.4, abs=0.02)


def test_a_workload_of_which_nothing_is_known_is_unknown_not_idle() -> None:
    for plans in ([], [WorkloadPlan("team-a", "w", "uid", NO_STATUS)], [planned(None)]):
        fleet = rolled(grounds([pod()], [node("n0")]), plans).fleet
        assert fleet is not None
        assert (fleet.mfu, fleet.unknown, fleet.idle) == (None, 1.0, 0.0)


DEVICES = tuple(identity(index, "team-x", "x") for index in range(8))
ESTIMATES: dict[str, tuple[FleetReadings, float | None]] = {
    "by counters": (read(*DEVICES), 0.4),
    "nothing is read": (FleetReadings(), None),
    "readings went stale": (read(*DEVICES, mfu=None), None),
    "another pod's readings": (read(*(replace(each, pod="y") for each in DEVICES)), None),
    "the same name in another namespace": (read(*(replace(each, namespace="team-y") for each in DEVICES)), None),
    "time-sliced readings belong to nobody": (read(*(replace(each, shared=True) for each in DEVICES)), None),
    "a node that is not known": (read(*(replace(each, node="gone") for each in DEVICES)), None),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_pods_without_a_workload_are_estimated_or_unknown_never_zero(name: str) -> None:
    readings, want = ESTIMATES[name]
    fleet = rolled(grounds([pod("x", None, namespace="team-x")], [node("n0")]), [], readings).fleet
    assert fleet is not None
    assert fleet.mfu == (None if want is None else pytest.approx(want, abs=0.02))
    assert (fleet.estimated, fleet.unknown) == ((1.0, 0.0) if want is not None else (0.0, 1.0))
    assert fleet.idle == 0.0


def test_counters_do_not_speak_for_idle_gpus_or_for_workloads() -> None:
    """Only pods that declare nothing are estimated here: a workload's counters need its declaration."""
    devices = tuple(identity(index, "team-a", "w-0") for index in range(4))
    fleet = rolled(grounds([pod(gpus=4)], [node("n0")]), [], read(*devices)).fleet
    assert fleet is not None
    assert (fleet.estimated, fleet.idle, fleet.unknown) == (0.0, 0.5, 0.5)
