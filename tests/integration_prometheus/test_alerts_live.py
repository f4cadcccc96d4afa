"""Every alert on a real Prometheus that holds seven hours of the operator's own page: quiet, and with its fault.

The page is rendered by the operator's metrics, healthy and faulty, a sample a minute up to now. Prometheus evaluates
the chart's rules over it as they are; only `for` is a second, for nobody waits an hour for a test (promtool tries it).
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from e2e.testbed.prometheus import ensure, running
from mfu.account.factors import Factors
from mfu.account.rollup import FleetFigures
from mfu.api.causes import Cause
from mfu.controller.metrics import OperatorMetrics
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.observe.assessment import Assessment
from tests.chart.test_chart_render import Render, helm, render
from tests.integration_prometheus.test_dashboards import plan

__all__ = ["helm", "render"]

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TRAINING, OTHER, DECODE = "dense-training", "moe-training", "serving-decode-heavy"
MINUTES, FAULTY = 420, 75
"""Of history, and those at its end in which the faults are there."""
COUNTS = ("mfu_operator_cycles_total", "mfu_operator_writes", "mfu_telemetry_readings_refused_total")
"""What goes up with every failure."""


@dataclass
class Fleet:
    """The operator's page as it stands now; faults are planted in it while Prometheus scrapes."""

    shown: Plan
    metrics: OperatorMetrics
    leads: bool = True

    def workload(self, name: str, change: Callable[[WorkloadPlan], WorkloadPlan]) -> None:
        workloads = tuple(change(each) if each.name == name else each for each in self.shown.workloads)
        self.shown = replace(self.shown, workloads=workloads)

    def page(self) -> list[tuple[str, float]]:
        """Each series of the page with its value."""
        text = generate_latest(self.metrics.registry).decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return [(series, float(value)) for series, _, value in lines]


def healthy() -> Fleet:
    fleet = Fleet(plan(), OperatorMetrics(lambda: fleet.shown))
    metrics = fleet.metrics
    metrics.lead(lambda: fleet.leads)
    metrics.readings.set(64)
    metrics.silenced.labels("dcgm").set(0)
    metrics.cycles.labels("error")
    metrics.writes.labels("skipped").set(2)
    metrics.refused.labels("dcgm", "foreign")
    # The example has a fault of its own, and what it expects moves with each fit: here all reach what is expected.
    for each in fleet.shown.workloads:
        fleet.workload(each.name, lambda it: scaled(replace(it, cause=Cause.NONE), 1.0))
    fleet.shown = replace(fleet.shown, figures=moving(fleet.shown.figures, 1.0))
    return fleet


def scaled(it: WorkloadPlan, share: float) -> WorkloadPlan:
    """Observed at that share of expected, on both scales and in every window."""
    assert it.expected is not None and it.assessment is not None
    mfu, mbu = it.expected.mfu, it.expected.mbu
    seen = tuple(
        replace(each, mfu=share * mfu, mbu=None if mbu is None else share * mbu) for each in it.assessment.observations
    )
    return replace(it, assessment=replace(it.assessment or Assessment(), observations=seen))


def moving(figures: FleetFigures, runtime: float) -> FleetFigures:
    """That part of what each namespace holds makes progress."""
    found = {
        name: replace(each, factors=Factors(each.factors.scheduling, runtime, each.factors.program))
        for name, each in figures.namespaces.items()
    }
    return replace(figures, namespaces=found)


def stop_leading(fleet: Fleet) -> None:
    fleet.leads = False


def failing(fleet: Fleet) -> None:
    """Said by counters: each goes up in every faulty minute."""
    fleet.metrics.cycles.labels("error").inc()
    fleet.metrics.writes.labels("skipped").inc()
    fleet.metrics.refused.labels("dcgm", "foreign").inc()


def blind(fleet: Fleet) -> None:
    fleet.metrics.readings.set(0)


def slow(name: str) -> Callable[[Fleet], None]:
    return lambda fleet: fleet.workload(name, lambda it: scaled(it, 0.4))


def a_little_slower(fleet: Fleet) -> None:
    fleet.workload(TRAINING, lambda it: scaled(it, 0.88))


def throttled(fleet: Fleet) -> None:
    fleet.workload(TRAINING, lambda it: replace(it, cause=Cause.POWER_OR_THERMAL))


def idle(fleet: Fleet) -> None:
    fleet.shown = replace(fleet.shown, figures=moving(fleet.shown.figures, 0.1))


PLANTED: dict[str, Callable[[Fleet], None]] = {
    "MFUOperatorAbsent": stop_leading,
    "MFUCycleFailing": failing,
    "MFUTelemetryAbsent": blind,
    "MFUWritesSkipped": failing,
    "MFUReadingsRefused": failing,
    "MFUBelowExpected": slow(OTHER),
    "MBUBelowExpected": slow(DECODE),
    "MFUDropped": a_little_slower,
    "MFUHardwareLoss": throttled,
    "MFUHeldIdle": idle,
}


@pytest.fixture
def groups(render: Render) -> list[dict[str, Any]]:
    rule = render("metrics.prometheusRule.enabled=true")["PrometheusRule", "mfu-mfu-operator"]
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    for group in found:
        group["interval"] = "1s"
        for each in group["rules"]:
            each["for"] = "1s"
    return found


def history(before: Fleet, after: Fleet, now: int) -> str:
    """OpenMetrics text: minutes of the healthy page, then of the faulty one."""
    pages = dict(before.page()), dict(after.page())
    lines = []
    for series in sorted({*pages[0], *pages[1]}):
        counts = series.startswith(COUNTS) and pages[0].get(series) != pages[1].get(series)
        for minute in range(MINUTES + 1):
            faulty = minute > MINUTES - FAULTY
            value = pages[faulty].get(series)
            if value is not None:
                more = minute - (MINUTES - FAULTY) - 1 if counts and faulty else 0
                lines.append(f"{series} {value + more} {now - 60 * (MINUTES - minute)}")
    return "\n".join([*lines, "# EOF", ""])


def firing(before: Fleet, after: Fleet, groups: list[dict[str, Any]], folder: Path) -> set[str]:
    """What a Prometheus with that history says within half a minute."""
    text, rules, config = folder / "page.txt", folder / "rules.yaml", folder / "prometheus.yaml"
    text.write_text(history(before, after, int(time.time())))
    blocks: list[str | Path] = ["tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
    subprocess.run([ensure()["promtool"], *blocks], check=True, capture_output=True, timeout=120)
    rules.write_text(yaml.safe_dump({"groups": groups}))
    config.write_text(yaml.safe_dump({"rule_files": [rules.name]}))
    with running(config) as url:
        found, end = set[str](), time.monotonic() + 30.0
        while time.monotonic() < end and found != set(PLANTED):
            with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=10) as answer:
                alerts = json.load(answer)["data"]["alerts"]
            found |= {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
            time.sleep(0.5)
    return found


def test_each_alert_fires_on_its_fault(groups: list[dict[str, Any]], tmp_path: Path) -> None:
    assert {each["alert"] for group in groups for each in group["rules"]} == set(PLANTED)
    faulty = healthy()
    for plant in dict.fromkeys(PLANTED.values()):
        plant(faulty)
    assert firing(healthy(), faulty, groups, tmp_path) == set(PLANTED)


def test_none_fires_while_all_is_well(groups: list[dict[str, Any]], tmp_path: Path) -> None:
    assert firing(healthy(), healthy(), groups, tmp_path) == set()
