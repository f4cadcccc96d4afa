"""The metrics page: valid exposition, no series twice, every name documented, unknown absent."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mfu.api.mfupolicy import PerWorkload
from mfu.controller.metric_names import documented
from mfu.controller.metrics import OperatorMetrics, PlanCollector
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.saved import load
from mfu.engine.views import NO_STATUS

SAVED = Path(__file__).parents[2] / "examples" / "snapshot.json"
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return evaluate(*load(SAVED.read_text()))


def page(plan: Plan | None) -> tuple[Series, Counter[tuple[str, tuple[tuple[str, str], ...]]]]:
    text = generate_latest(OperatorMetrics(lambda: plan).registry).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
    return dict(zip(keys, [sample.value for sample in samples], strict=True)), Counter(keys)


def of(series: Series, name: str, **labels: str) -> list[float]:
    wanted = set(labels.items())
    return [value for (found, has), value in series.items() if found == name and wanted <= set(has)]


def test_the_ages_of_judgements_are_told_as_they_are_when_asked() -> None:
    """Also between cycles: what stands still grows old."""
    plan = Plan(
        workloads=tuple(WorkloadPlan("a", f"w{row}", f"u{row}", NO_STATUS, judged_at=100.0 + row) for row in range(101))
    )
    registry = CollectorRegistry()
    registry.register(PlanCollector(lambda: plan, now=lambda: 260.0))
    found = {
        each: registry.get_sample_value("mfu_operator_judgement_age_seconds", {"quantile": each})
        for each in ("0.5", "0.99", "1")
    }
    assert found == {"0.5": 110.0, "0.99": 159.0, "1": 160.0}


def test_no_series_appears_twice(plan: Plan) -> None:
    # Two findings of one cause on two devices are one series.
    doubled = tuple(replace(each, findings=each.findings * 2) for each in plan.workloads)
    for each in (plan, replace(plan, workloads=doubled)):
        _, counted = page(each)
        assert [key for key, times in counted.items() if times > 1] == []


def test_every_name_is_documented(plan: Plan) -> None:
    known = {each.name for each in documented()}
    text = generate_latest(OperatorMetrics(lambda: plan).registry).decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert names - known == set()
    assert all(each.help for each in documented())


def test_figures_are_those_of_the_plan(plan: Plan) -> None:
    series, _ = page(plan)
    for each in plan.workloads:
        assert each.expected is not None
        (expected,) = of(series, "mfu_workload_expected_mfu_ratio", namespace=each.namespace, workload=each.name)
        assert expected == pytest.approx(each.expected.mfu)
        (cause,) = of(series, "mfu_workload_cause", workload=each.name, cause=str(each.cause))
        assert cause == 1.0
    assert plan.figures.fleet is not None
    assert of(series, "mfu_fleet_mfu_ratio") == [pytest.approx(plan.figures.fleet.mfu)]
    shares = [of(series, f"mfu_fleet_{each}_ratio")[0] for each in ("measured", "estimated", "idle", "unknown")]
    assert sum(shares) == pytest.approx(1.0)


def test_what_is_unknown_is_absent(plan: Plan) -> None:
    first = replace(plan.workloads[0], expected=None, assessment=None, cost_per_hour=None, conditions=())
    series, _ = page(replace(plan, workloads=(first,)))
    for name in ("expected_mfu_ratio", "observed_mfu_ratio", "cost_per_hour", "cause", "condition"):
        assert of(series, f"mfu_workload_{name}") == []


def test_before_the_first_cycle_the_page_is_valid() -> None:
    series, _ = page(None)
    assert not [name for name, _ in series if name.startswith("mfu_workload")]


def asking(plan: Plan, how: PerWorkload) -> Plan:
    workloads = tuple(replace(each, policy=replace(each.policy, per_workload=how)) for each in plan.workloads)
    return replace(plan, workloads=workloads)


def test_of_single_workloads_there_is_what_their_policy_asks(plan: Plan) -> None:
    pages = {how: page(asking(plan, how))[0] for how in PerWorkload}
    of_workloads = {how: {key for key in found if key[0].startswith("mfu_workload")} for how, found in pages.items()}
    assert {name for name, _ in of_workloads[PerWorkload.NONE]} == {"mfu_workload_desired_replicas"}, "always is"
    assert of_workloads[PerWorkload.SUMMARY] < of_workloads[PerWorkload.FULL]
    assert len(of_workloads[PerWorkload.SUMMARY]) <= 0.6 * len(of_workloads[PerWorkload.FULL])
    for found in pages.values():
        assert of(found, "mfu_fleet_mfu_ratio")
        assert of(found, "mfu_namespace_gpus")
