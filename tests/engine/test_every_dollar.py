"""The fleet's bill over random fleets: whole GPUs, MIG and time slices, odd prices, two currencies, idle and unread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.api.fleetreport import Bill
from mfu.api.mfupolicy import PolicySpec
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.holdings.fleet import IDLE
from mfu.engine.plan import Plan
from mfu.engine.snapshot import FleetReadings, PodView, PolicyView, Snapshot
from tests.builders.cases import TRAINING, node
from tests.builders.scenes import NOW, pod, series, workload

H100, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"
PRODUCTS = {H100: "H100-SXM5", A100: "A100-SXM4-80GB"}
PARTS = ("useful", "lost", "held_idle", "unallocated", "unknown")


SPOT = {"capacity": "spot"}


def policy(name: str, currency: str, prices: dict[str, str], **selector: Any) -> PolicyView:
    """Spot nodes cost 0.77 whatever is listed, and holders are charged 3.00."""
    spot = {"label": "capacity", "value": "spot", "perGPUHour": "0.77"}
    rows = [
        {"product": product, "perGPUHour": price, "byNodeLabel": [spot], "chargedPerGPUHour": "3.00"}
        for product, price in prices.items()
    ]
    spec = {"currency": currency, "prices": rows, **selector}
    return PolicyView(name, f"uid-{name}", 1, PolicySpec.model_validate(spec))


@st.composite
def nodes(draw: st.DrawFn) -> tuple[NodeView, ...]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        product = draw(st.sampled_from([H100, A100]))
        slices = draw(st.sampled_from([{}, {}, {"1g.10gb": 7}]))
        made = node(f"n{number}", product=product, mig=slices)
        shared: list[dict[str, int | None]] = [{}, {}, {"nvidia.com/gpu": 4}, {"nvidia.com/gpu": None}]
        replicas = draw(st.sampled_from(shared))
        found.append(replace(made, replicas=replicas, labels=draw(st.sampled_from([{}, SPOT]))))
    return tuple(found)


@st.composite
def fleets(draw: st.DrawFn) -> Snapshot:
    there = draw(nodes())
    views, pods, readings = [], [], {}
    for number, each in enumerate(there):
        team = draw(st.sampled_from(["team-a", "team-b"]))
        view = workload(f"w{number}", TRAINING, namespace=team)
        held = draw(st.sampled_from(["nobody", "workload", "stranger", "unread", "slice"]))
        if held == "nobody":
            continue
        gpus: Any = {"nvidia.com/mig-1g.10gb": 1} if held == "slice" else draw(st.integers(1, 12))
        owner = None if held == "stranger" else view.name
        pods.append(pod(f"{view.name}-0", owner, gpus=gpus, node=each.name, namespace=team))
        if owner is not None:
            views.append(view)
        if held == "workload":
            mfu = draw(st.sampled_from([0.0, 0.1, 0.3, 0.45, 0.9]))
            readings[view.key] = series(view, mfu, pod_name=f"{view.name}-0")
    prices = st.sampled_from(["2.50", "0.333333", "98.765432", "0.01"])
    dollars = {product: draw(prices) for product in draw(st.sets(st.sampled_from(sorted(PRODUCTS.values()))))}
    policies = [policy("dollars", "$", dollars)]
    if draw(st.booleans()):
        only_b = {"namespaceSelector": {"matchLabels": {"team": "team-b"}}, "priority": 1}
        policies.append(policy("euros", "€", {"H100-SXM5": draw(prices)}, **only_b))
    names = {name: {"team": name} for name in ("team-a", "team-b", "team-c")}
    return Snapshot(tuple(views), tuple(pods), there, tuple(policies), names, FleetReadings(), readings)


def parts(bill: Bill) -> list[Decimal]:
    return [Decimal(getattr(bill, name)) for name in PARTS]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(fleets())
def test_useful_lost_idle_unallocated_and_unknown_are_the_whole_bill(fleet: Snapshot) -> None:
    plan = evaluate(fleet, NOW)
    report = plan.report.read()
    assert all(each.error is None for each in plan.workloads)
    assert len({each.currency for each in report.bills}) == len(report.bills)
    for bill in report.bills:
        assert sum(parts(bill)) == Decimal(bill.per_hour)
        assert all(each >= 0 for each in parts(bill))
    assert_no_gpu_is_left_out(plan)
    if all(there(each, fleet.nodes) for each in fleet.pods):
        assert_holders_pay_all_but_the_unallocated(plan)
    assert_cause_and_loss_agree(plan)


def assert_no_gpu_is_left_out(plan: Plan) -> None:
    """What has a price is in one bill, in the currency of whoever prices it; the rest is counted as unpriced."""
    assert plan.ground is not None
    table, report = plan.ground.table, plan.report.read()
    for bill in report.bills:
        mine = table.currencies.index == table.currencies.names.index(bill.currency)
        price = table.price[mine]
        assert float(bill.per_hour) == pytest.approx(float(price[price == price].sum()), abs=0.0051)
        unpriced = float(table.gpus[mine][price != price].sum())
        assert float(bill.unpriced_gpus) == pytest.approx(unpriced, abs=0.0051)
    assert report.totals is not None
    main = next(each for each in report.bills if each.currency == report.currency) if report.bills else None
    if report.totals.cost_per_hour is not None and main is not None:
        assert float(report.totals.cost_per_hour) == pytest.approx(float(main.per_hour), abs=0.0101)


def there(pod: PodView, nodes: Sequence[NodeView]) -> bool:
    """Does its node have what the pod object claims?"""
    found = next(each for each in nodes if each.name == pod.node)
    return all(0 < amount <= found.units(resource) for resource, amount in pod.gpus.items())


def assert_holders_pay_all_but_the_unallocated(plan: Plan) -> None:
    """What workloads say they cost, and what those hold that do not say it, is the bill less what nobody holds."""
    assert plan.ground is not None
    table, owner = plan.ground.table, plan.ground.owner
    say = {each.key: each for each in plan.workloads if each.cost_per_hour is not None}
    silent = np.array([each < 0 or plan.ground.workloads[each] not in say for each in owner.tolist()], dtype=bool)
    for bill in plan.report.read().bills:
        mine = table.currencies.index == table.currencies.names.index(bill.currency)
        others = table.price[mine & silent & (owner != IDLE) & np.isfinite(table.price)].sum()
        said = sum(each.cost_per_hour or 0.0 for each in say.values() if each.policy.currency == bill.currency)
        assert said + others == pytest.approx(float(bill.per_hour) - float(bill.unallocated), abs=0.0151)
        held = mine & (owner != IDLE) & np.isfinite(table.charge)
        assert float(bill.revenue or 0.0) == pytest.approx(float(table.charge[held].sum()), abs=0.0051)


def assert_cause_and_loss_agree(plan: Plan) -> None:
    for each in plan.workloads:
        summary = each.status.read().summary
        assert summary is not None
        if summary.cause == "None":
            assert each.lost_per_hour in (None, 0.0)


def test_worked_example() -> None:
    """Three nodes of eight H100s at $2.50: one at half of what is expected, one that nobody holds, one not declared."""
    view = workload("w")
    pods = (pod(), pod("other-0", None, node="n2"))
    policies = (policy("p", "$", {"H100-SXM5": "2.50"}),)
    there = tuple(node(f"n{number}") for number in range(3))
    snapshot = Snapshot((view,), pods, there, policies, {"team-a": {}}, series={view.key: series(view, 0.25)})
    (bill,) = evaluate(snapshot, NOW).report.read().bills
    expected = evaluate(snapshot, NOW).workloads[0].expected
    assert expected is not None
    lost = round(20 * (1 - 0.25 / expected.mfu), 2)
    assert (bill.per_hour, bill.unallocated, bill.unknown, bill.held_idle) == ("60.00", "20.00", "20.00", "0.00")
    assert float(bill.lost) == pytest.approx(lost, abs=0.05)


def test_spot_nodes_are_cheaper_and_what_holders_are_charged_stands_beside() -> None:
    """A workload over a listed and a spot node, eight H100s each at $2.50 and $0.77; a stranger holds a third node."""
    cut = {**TRAINING["training"], "parallelism": {"tensor": 2, "data": 8}}
    asked = {"count": 16, "products": ["H100-SXM5"]}
    view = workload("w", {**TRAINING, "training": cut, "accelerators": asked})
    pods = (pod("w-0"), pod("w-1", node="n1"), pod("other-0", None, node="n2", namespace="team-b"))
    there = (node("n0"), node("n1", labels=SPOT), node("n2"))
    policies = (policy("p", "$", {"H100-SXM5": "2.50"}),)
    snapshot = Snapshot((view,), pods, there, policies, {"team-a": {}, "team-b": {}})
    plan = evaluate(snapshot, NOW)
    (bill,) = plan.report.read().bills
    assert (bill.per_hour, bill.revenue) == ("46.16", "72.00")
    assert plan.workloads[0].cost_per_hour == pytest.approx(26.16)
    assert plan.workloads[0].revenue_per_hour == pytest.approx(48.0)
    revenue = {each.namespace: each.revenue_per_hour for each in plan.report.read().namespaces}
    assert revenue == {"team-a": "48.00", "team-b": "24.00"}


def test_what_namespaces_could_save_adds_up_to_what_the_fleet_loses() -> None:
    views = tuple(workload("w", namespace=space) for space in ("team-a", "team-b"))
    pods = tuple(pod("w-0", node=f"n{number}", namespace=view.namespace) for number, view in enumerate(views))
    read = {view.key: series(view, mfu) for view, mfu in zip(views, (0.1, 0.25), strict=True)}
    there, policies = (node("n0"), node("n1")), (policy("p", "$", {"H100-SXM5": "2.50"}),)
    made = Snapshot(views, pods, there, policies, {"team-a": {}, "team-b": {}}, series=read)
    report = evaluate(made, NOW).report.read()
    lost = {each.namespace: float(each.lost_per_hour or 0) for each in report.namespaces}
    assert lost["team-a"] > lost["team-b"] > 0
    assert report.totals is not None
    assert sum(lost.values()) == pytest.approx(float(report.totals.lost_per_hour or 0), abs=0.011)


def test_a_useful_pflop_costs_what_the_work_says() -> None:
    """$20 an hour for 8 × 989.4e12 FLOP/s at 25 %: 20 / (1.9788 PFLOP/s × 3,600 s)."""
    view = workload("w")
    policies = (policy("p", "$", {"H100-SXM5": "2.50"}),)
    made = Snapshot((view,), (pod(),), (node("n0"),), policies, {"team-a": {}}, series={view.key: series(view, 0.25)})
    plan = evaluate(made, NOW)
    assert plan.workloads[0].cost_per_useful_pflop == pytest.approx(0.0028075, rel=0.01)
    totals = plan.report.read().totals
    assert totals is not None
    assert float(totals.cost_per_useful_pflop or 0) == pytest.approx(0.0028075, rel=0.01)


def test_what_does_not_fit_shows_no_expected_number() -> None:
    view = workload("w", {**TRAINING, "model": {"preset": "llama-3.1-70b"}})
    status = evaluate(Snapshot((view,), (), (node("n0"),)), NOW).workloads[0].status.read()
    assert status.summary is not None
    assert (status.summary.expected, status.summary.lost_per_hour) == ("Unknown", "Unknown")
    assert [(each.product, each.mfu) for each in status.expected] == [("H100-SXM5", None)]
    assert status.memory is not None
    assert not status.waterfall
