"""What a service's tokens cost, prompts and answers apart, from its engines' counters to whoever reads it."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from mfu.api.mfupolicy import PolicySpec
from mfu.api.workload_status import WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import WorkloadPlan
from mfu.engine.snapshot import PolicyView, Snapshot
from mfu.observe.readings import Counter, ProgressReading, WorkloadSeries
from mfu.show.explanation import explanation
from mfu.show.flat import TENANT_CSV, tenant_rows
from mfu.show.workloads import Listed
from tests.builders.cases import SERVING, node
from tests.builders.readings import table
from tests.builders.scenes import NOW, identity, pod, workload

GPUS = SERVING["accelerators"]["count"]
PRICE = 2.5 * GPUS
READ, WRITTEN = 1_000.0, 250.0


def counted(counters: dict[Counter, float]) -> WorkloadSeries:
    """Ten minutes of a service that counts so much a second."""
    values = table(600, GPUS, 10.0, TENSOR_ACTIVE=0.1)
    times = NOW - 10.0 * np.arange(len(values), dtype=np.float64)[::-1]
    devices = tuple(identity(index, "team-a", "w-0") for index in range(GPUS))
    progress = tuple(
        ProgressReading("team-a", "w-0", "vLLM", at, {each: rate * (at - times[0]) for each, rate in counters.items()})
        for at in times.tolist()
    )
    return WorkloadSeries(devices, times, values, 10.0, progress, ("test",))


def judged(counters: dict[Counter, float], **charges: str) -> WorkloadPlan:
    view = workload("w", SERVING)
    spec = {"prices": [{"product": "H100-SXM5", "perGPUHour": "2.50"}], **charges}
    priced = PolicyView("p", "uid-p", 1, PolicySpec.model_validate(spec))
    there = (pod(gpus=GPUS),)
    made = Snapshot((view,), there, (node("n0"),), (priced,), {"team-a": {}}, series={view.key: counted(counters)})
    (plan,) = evaluate(made, NOW).workloads
    return plan


BOTH = {Counter.PREFILL_TOKENS: READ, Counter.DECODE_TOKENS: WRITTEN}


def status_of(plan: WorkloadPlan) -> WorkloadStatus:
    return plan.status.read()


def test_prompts_and_answers_together_come_to_what_the_gpus_cost() -> None:
    cost = status_of(judged(BOTH)).cost
    assert cost is not None
    read, written = float(cost.per_million_input_tokens or 0), float(cost.per_million_output_tokens or 0)
    assert 0 < read < written
    assert (read * READ + written * WRITTEN) * 3600 / 1e6 == pytest.approx(PRICE, rel=0.001)


def test_what_engines_do_not_count_has_no_price() -> None:
    cost = status_of(judged({Counter.DECODE_TOKENS: WRITTEN})).cost
    assert cost is not None
    assert cost.per_million_tokens is not None
    assert (cost.per_million_input_tokens, cost.per_million_output_tokens) == (None, None)


def test_revenue_is_of_what_was_read_and_written() -> None:
    sold = judged(BOTH, chargedPerMillionTokens="12", chargedPerMillionInputTokens="3")
    assert sold.revenue_per_hour == pytest.approx((READ * 3 + WRITTEN * 12) * 3600 / 1e6, rel=0.001)
    blind = judged({Counter.DECODE_TOKENS: WRITTEN}, chargedPerMillionInputTokens="3")
    assert blind.revenue_per_hour is None


def test_both_stand_where_people_look() -> None:
    status = status_of(judged(BOTH))
    (fact,) = [each.value for each in explanation("team-a", "w", status).facts if each.label == "tokens"]
    assert fact.endswith(" per million written")
    assert " per million read, $" in fact
    text = io.StringIO()
    csv.writer(text).writerows([TENANT_CSV, *tenant_rows([Listed("team-a", "w", "Inference", status)])])
    (row,) = csv.DictReader(io.StringIO(text.getvalue()))
    assert status.cost is not None
    assert row["per_million_input_tokens"] == status.cost.per_million_input_tokens
    assert row["per_million_output_tokens"] == status.cost.per_million_output_tokens
