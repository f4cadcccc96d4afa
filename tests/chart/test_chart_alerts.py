"""The chart's alerts in promtool: each fires on its planted fault, is quiet otherwise, and asks for what is served."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.prometheus import ensure
from mfu.controller.metric_names import documented
from tests.chart.test_chart_render import Render, helm, render

__all__ = ["helm", "render"]

pytestmark = pytest.mark.integration

CASES = Path(__file__).with_name("alerts_test.yaml")


@pytest.fixture
def groups(render: Render) -> dict[str, Any]:
    rule = render("metrics.prometheusRule.enabled=true")["PrometheusRule", "mfu-mfu-operator"]
    return {"groups": rule["spec"]["groups"]}


def test_alerts_fire_on_their_faults_and_are_quiet_otherwise(groups: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups))
    (tmp_path / CASES.name).write_text(CASES.read_text())
    command: list[str | Path] = [ensure()["promtool"], "test", "rules", CASES.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried(groups: dict[str, Any]) -> None:
    alerts = {rule["alert"] for group in groups["groups"] for rule in group["rules"]}
    cases = yaml.safe_load(CASES.read_text())["tests"]
    tried = [each for case in cases for each in case["alert_rule_test"]]
    assert {each["alertname"] for each in tried if each.get("exp_alerts")} == alerts
    assert {each["alertname"] for each in cases[0]["alert_rule_test"]} == alerts


def test_alerts_ask_for_metrics_that_the_operator_serves(groups: dict[str, Any]) -> None:
    served = {each.name for each in documented()} | {f"{each.name}_total" for each in documented()}
    expressions = " ".join(rule["expr"] for group in groups["groups"] for rule in group["rules"])
    assert set(re.findall(r"\bmfu_\w+", expressions)) <= served
