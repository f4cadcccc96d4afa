"""The committed autoscaler examples ask for our number, and hold still without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from mfu.controller.metric_names import documented

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "autoscaling"
METRIC: Final = "mfu_workload_desired_replicas"


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return document


def test_both_follow_a_metric_that_is_served() -> None:
    assert METRIC in {each.name for each in documented()}
    (metric,) = read("hpa.yaml")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == METRIC
    (trigger,) = read("keda.yaml")["spec"]["triggers"]
    assert METRIC in trigger["metadata"]["query"]


def test_one_replica_for_each_that_is_wanted() -> None:
    (metric,) = read("hpa.yaml")["spec"]["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    (trigger,) = read("keda.yaml")["spec"]["triggers"]
    assert trigger["metadata"]["threshold"] == "1"


def test_keda_does_not_take_a_lost_series_for_none_wanted() -> None:
    spec = read("keda.yaml")["spec"]
    assert spec["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert spec["fallback"]["behavior"] == "currentReplicas"
