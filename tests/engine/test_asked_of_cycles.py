"""Two of the five questions asked of what the operator itself wrote, cycle after cycle, about planted efficiencies.

The other three are asked of the recorded fleet in tests/show/test_show_questions.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

from mfu.engine.evaluate import evaluate
from mfu.engine.snapshot import PodView, Snapshot, WorkloadView
from mfu.show.questions.answer import Answer
from mfu.show.questions.asked import answers
from mfu.show.workloads import Listed
from tests.builders.cases import TRAINING, node
from tests.builders.scenes import NOW, pod, series, workload, written

pytestmark = pytest.mark.slow

PRODUCTS = {"H100-SXM5": "NVIDIA-H100-80GB-HBM3", "H200-SXM": "NVIDIA-H200"}
PLANTED: dict[str, tuple[str, int, float]] = {
    "at-8": ("H100-SXM5", 8, 0.40),
    "at-16": ("H100-SXM5", 16, 0.396),
    "at-32": ("H100-SXM5", 32, 0.30),
    "newer": ("H200-SXM", 8, 0.44),
}
"""Product, GPUs and reference MFU: a knee from 16 to 32 GPUs, and four points between two products."""
SPREAD = 0.01
MINUTES = 24


def declared(name: str) -> WorkloadView:
    product, gpus, _ = PLANTED[name]
    cut: dict[str, Any] = {"parallelism": {"tensor": 2, "data": gpus // 2}, "globalBatchSize": 8 * gpus}
    wanted = {"count": gpus, "products": [product]}
    return workload(name, {**TRAINING, "accelerators": wanted, "training": {**TRAINING["training"], **cut}})


def pods_of(name: str) -> list[PodView]:
    _, gpus, _ = PLANTED[name]
    return [pod(f"{name}-{rank}", name, node=f"{name}-n{rank}") for rank in range(gpus // 8)]


@cache
def told() -> tuple[Listed, ...]:
    """What stands in every status after twenty-four minutes of readings that scatter by a percent."""
    random, now = Random(7), NOW
    views = tuple(map(declared, PLANTED))
    pods = tuple(each for name in PLANTED for each in pods_of(name))
    nodes = tuple(
        node(each.node or "", product=PRODUCTS[PLANTED[each.node.split("-n")[0]][0]]) for each in pods if each.node
    )
    snapshot = Snapshot(views, pods, nodes, namespaces={"team-a": {}})
    for _ in range(MINUTES):
        readings = {
            view.key: series(
                view, random.gauss(PLANTED[view.name][2], SPREAD * 0.4), now=now, pod_name=f"{view.name}-0"
            )
            for view in snapshot.workloads
        }
        plan = evaluate(replace(snapshot, series=readings), now)
        snapshot = written(snapshot, plan)
        now += 60.0
    return tuple(Listed(each.namespace, each.name, "Training", each.status.read()) for each in plan.workloads)


def only(found: list[Answer]) -> Answer:
    assert len(found) == 1, found
    return found[0]


def test_the_knee_is_where_it_was_planted() -> None:
    (answer,) = [each for each in answers("scaling", told()) if each.verdict == "Yes"]
    assert answer.sentence.startswith("Yes, from 16 to 32 GPUs: ")
    tokens = float(answer.sentence.split("bring ")[1].split(" times")[0])
    assert tokens == pytest.approx(2 * 0.30 / 0.396, rel=0.03)


def test_the_products_differ_by_what_was_planted() -> None:
    answer = only(list(answers("products", told())))
    assert answer.verdict == "No"
    apart = float(answer.sentence.split(" points apart")[0].split(", ")[-1])
    assert apart == pytest.approx(4.0, abs=0.6)
    assert "on H200-SXM" in answer.sentence
