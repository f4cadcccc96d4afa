"""Layout enumeration, the vectorised evaluation against single predictions, attainable and plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfu.hardware.types import Precision
from mfu.predict import attainable, predict
from mfu.predict.attainable import limits_of, setup_at
from mfu.predict.plan import Choice, Nothing, Objective, Option, best_on, explained, options, priced, ranked, today
from mfu.predict.training.case import case_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import shipped
from mfu.predict.training.layouts import LayoutLimits, Space, cuts, evaluate, table
from mfu.predict.types import (
    Attainable,
    Parallelism,
    Placement,
    Prediction,
    Problem,
    Recompute,
    Sharding,
    Training,
    Tunable,
)

Job = Callable[..., Training]
On = Callable[..., Placement]
SAFE = frozenset({Tunable.MICRO_BATCH, Tunable.RECOMPUTE, Tunable.LAYOUT})


def best(setup: Training, placement: Placement, tunable: frozenset[Tunable] = SAFE) -> Attainable:
    found = attainable(setup, placement, tunable)
    assert isinstance(found, Attainable), found
    return found


def test_cuts_use_every_gpu_and_divide_everything() -> None:
    limits = LayoutLimits(64, 8, layers=32, heads=32, experts=8, sequence_length=8192, global_batch_size=256)
    found = cuts(limits)
    assert len(found) > 100
    for cut in found:
        assert cut.tensor * cut.pipeline * cut.context * cut.data == 64
        assert 32 % (cut.pipeline * cut.virtual_pipeline) == 0
        assert 32 % cut.tensor == 0
        assert 8 % cut.expert == 0
        assert 256 % cut.data == 0


def test_every_enumerated_layout_passes_the_checks(job: Job, on: On) -> None:
    setup, placement = job("mixtral-8x7b", data=64, global_batch_size=256), on(gpus=64)
    case = case_of(setup, placement, shipped())
    assert case is not None
    found = evaluate(case, table(limits_of(setup, placement), Space()), shipped())
    indices = np.random.default_rng(7).choice(len(found.fits), 40, replace=False)
    for index in indices:
        assert refuse(setup_at(setup, found, int(index)), placement) is None


def test_arrays_agree_with_single_predictions(job: Job, on: On) -> None:
    setup, placement = job("llama-3.1-70b", data=64, global_batch_size=256), on(gpus=64)
    case = case_of(setup, placement, shipped())
    assert case is not None
    found = evaluate(case, table(limits_of(setup, placement), Space()), shipped())
    for index in np.random.default_rng(3).choice(len(found.fits), 25, replace=False):
        single = predict(setup_at(setup, found, int(index)), placement)
        assert isinstance(single, Prediction)
        assert single.step_seconds == pytest.approx(float(found.step.seconds[index]))
        assert single.memory.total_bytes == pytest.approx(float(found.memory_bytes[index]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.sampled_from([(1, 1, 8), (2, 1, 4), (8, 1, 1), (1, 4, 2), (4, 2, 1)]),
    micro=st.sampled_from([1, 2, 8]),
    recompute=st.sampled_from(list(Recompute)),
    sharding=st.sampled_from(list(Sharding)),
    tunable=st.frozensets(st.sampled_from(list(Tunable))),
)
def test_attainable_is_never_below_expected(
    job: Job,
    on: On,
    cut: tuple[int, int, int],
    micro: int,
    recompute: Recompute,
    sharding: Sharding,
    tunable: frozenset[Tunable],
) -> None:
    setup = job(
        tensor=cut[0],
        pipeline=cut[1],
        data=cut[2],
        micro_batch_size=micro,
        recompute=recompute,
        sharding=sharding,
        sequence_length=2048,
    )
    declared, found = predict(setup, on()), best(setup, on(), tunable)
    assert isinstance(declared, Prediction)
    assert found.prediction.tokens_per_s_per_gpu >= declared.tokens_per_s_per_gpu
    total = found.prediction.tokens_per_s_per_gpu / declared.tokens_per_s_per_gpu - 1.0
    assert sum(change.gain for change in found.changes) == pytest.approx(total, abs=1e-9)


def test_nothing_tunable_changes_nothing(job: Job, on: On) -> None:
    setup = job(micro_batch_size=1, recompute=Recompute.FULL)
    found = best(setup, on(), frozenset())
    assert found.setup == setup
    assert found.changes == ()


def test_changes_lead_with_what_brings_most(job: Job, on: On) -> None:
    slow = job(recompute=Recompute.FULL, micro_batch_size=1, tensor=8, data=1, sequence_length=2048)
    found = best(slow, on())
    assert found.changes
    assert found.changes[0].gain >= found.changes[-1].gain
    assert found.changes[0].before != found.changes[0].after


def test_only_what_is_tunable_moves(job: Job, on: On) -> None:
    slow = job(recompute=Recompute.FULL, tensor=8, data=1, sequence_length=2048)
    found = best(slow, on(), frozenset({Tunable.RECOMPUTE}))
    assert isinstance(found.setup, Training)
    assert found.setup.parallelism == slow.parallelism
    assert found.setup.micro_batch_size == slow.micro_batch_size
    assert found.setup.recompute is not Recompute.FULL


def test_precision_moves_only_if_allowed_and_is_compared_in_tokens(job: Job, on: On) -> None:
    setup = job()
    assert best(setup, on()).setup.precisions.compute is Precision.BF16
    found = best(setup, on(), SAFE | {Tunable.PRECISION})
    assert found.setup.precisions.compute is Precision.FP8
    assert any(change.field == "precision.compute" and change.gain > 0 for change in found.changes)


def test_impossible_jobs_have_no_attainable(job: Job, on: On) -> None:
    assert isinstance(attainable(job(data=4), on(), SAFE), Problem)


def test_asking_again_is_free(job: Job, on: On) -> None:
    setup, placement = job("llama-3.1-70b", data=64, global_batch_size=256), on(gpus=64)
    best(setup, placement)
    started = process_time()
    for _ in range(500):
        best(setup, placement)
    assert process_time() - started < 1.0


def test_a_large_plan_is_cheap(job: Job, on: On) -> None:
    setup = job("llama-3.1-70b", data=1024, global_batch_size=1024)
    started = process_time()
    found = best_on(setup, Option(on(gpus=1024), Precision.BF16))
    assert process_time() - started < 2.0
    assert isinstance(found, Choice)
    assert found.layouts > 5000
    assert found.prediction.memory.fits


def test_plan_names_why_nothing_fits(job: Job, on: On) -> None:
    setup = job("llama-3.1-405b", data=8)
    found = best_on(setup, Option(on(gpus=8), Precision.BF16))
    assert isinstance(found, Nothing)
    assert "no layout fits" in found.reason
    odd = best_on(job(data=13), Option(on(gpus=13), Precision.BF16))
    assert isinstance(odd, Nothing)
    assert "no layout divides" in odd.reason


def test_options_skip_products_without_the_precision(on: On) -> None:
    found = options((on("A100-SXM4-80GB"), on()), (Precision.BF16, Precision.FP8))
    labels = [(each.placement.device.label, each.precision) for each in found]
    assert labels == [
        ("A100-SXM4-80GB", Precision.BF16),
        ("H100-SXM5", Precision.BF16),
        ("H100-SXM5", Precision.FP8),
    ]


def test_ranking_by_each_objective(job: Job, on: On) -> None:
    setup = replace(job(), total_tokens=1e12)
    prices = {"H100-SXM5": 10.0, "A100-SXM4-80GB": 1.0}
    found = [best_on(setup, Option(on(name), Precision.BF16), price) for name, price in prices.items()]
    choices = [each for each in found if isinstance(each, Choice)]
    assert ranked(choices, Objective.TIME)[0].option.placement.device.label == "H100-SXM5"
    assert ranked(choices, Objective.COST)[0].option.placement.device.label == "A100-SXM4-80GB"
    assert ranked(choices, Objective.MFU)[0].prediction.mfu == max(each.prediction.mfu for each in choices)


def test_hours_and_money_follow_the_rate(job: Job, on: On) -> None:
    """1e12 tokens at 1e6 tokens/s on 64 GPUs of $2 an hour: 277.8 h, $35,556."""
    setup, placement = replace(job(), total_tokens=1e12), on(gpus=64)
    now = today(job(), on())
    assert isinstance(now, Choice)
    rate = replace(now.prediction, tokens_per_s_per_gpu=1e6 / 64)
    found = priced(Option(placement, Precision.BF16), setup, rate, 2.0)
    assert found.hours == pytest.approx(277.8, abs=0.05)
    assert found.cost == pytest.approx(35_556, abs=1)
    assert found.cost_per_million_tokens == pytest.approx(0.0356, abs=1e-4)


def test_explanation_compares_with_today(job: Job, on: On) -> None:
    setup = job(recompute=Recompute.FULL)
    now, won = today(setup, on()), best_on(setup, Option(on(), Precision.BF16))
    assert isinstance(now, Choice)
    assert isinstance(won, Choice)
    lines = explained(won, now)
    assert "times the tokens per second of today" in lines[0]
    assert any(line.startswith("less recompute") for line in lines)


def test_cut_text_names_only_what_is_cut(job: Job, on: On) -> None:
    found = today(job(tensor=4, data=2), on())
    assert isinstance(found, Choice)
    assert found.layout == "tensor 4 data 2, micro-batch 1, ZeRO1, recompute None"
    assert Parallelism().tensor == 1


def test_a_plan_can_be_kept_within_nvlink(job: Job, on: On) -> None:
    """70B on 64 A100 of 40 GiB is cut by tensor 8; asked for four at most, it finds another cut."""
    option = Option(on("A100-SXM4-40GB", 64), Precision.BF16)
    setup = job("llama-3.1-70b")
    free, kept = best_on(setup, option), best_on(setup, option, widest_tensor=4)
    assert isinstance(free, Choice)
    assert isinstance(kept, Choice)
    assert (free.setup.parallelism.tensor, kept.setup.parallelism.tensor) == (8, 4)
    assert isinstance(best_on(setup, option, widest_tensor=0), Nothing)
