"""What one workload's GPUs cost, and which part of that is lost."""

from __future__ import annotations

from mfu.account import cost as account
from mfu.account.cost import Cost
from mfu.decide.scale import attainable_on_scale, observed_on_scale, on_scale
from mfu.engine.judged import Waiting
from mfu.hardware.price import per_million_tokens, price_per_hour
from mfu.observe.assessment import Assessment
from mfu.predict.types import Inference, Prediction, Setup


def cost_of(judged: Waiting, assessment: Assessment | None) -> Cost:
    """`judged` is what is known apart from readings. Without a prediction nothing is known but the price."""
    holding, prediction = judged.holding, judged.expected
    device = holding.devices[0] if holding.devices else None
    amount = None if holding.share is None else holding.gpus * holding.share
    per_hour = None if amount is None else price_per_hour(judged.policy.prices, device, amount)
    if prediction is None or holding.shared:
        # What a slice could give depends on its neighbours: nothing is accused of it.
        return Cost(per_hour=per_hour)
    reached, promised = observed_on_scale(assessment, prediction.scale), on_scale(prediction)
    best = assessment.best() if assessment else None
    measured = best.tokens_per_s_per_gpu if best else None
    rate = measured if measured is not None else prediction.tokens_per_s_per_gpu
    slowdown = promised / reached if promised and reached else 1.0
    training = not isinstance(judged.setup, Inference)
    return Cost(
        per_hour=per_hour,
        lost_per_hour=_lost(per_hour, reached, prediction),
        improvable_per_hour=account.lost(per_hour, promised, attainable_on_scale(prediction, judged.best)),
        per_million_tokens=per_million_tokens(per_hour, rate * holding.gpus),
        per_step=account.per_step(per_hour, prediction.step_seconds * slowdown) if training else None,
        watt_hours_per_million_tokens=account.watt_hours_per_million_tokens(_watts(assessment), measured),
        whole_run=_whole_run(judged.setup, holding.gpus, per_hour, (prediction.tokens_per_s_per_gpu, measured)),
    )


def _watts(assessment: Assessment | None) -> float | None:
    """Mean power of one of its GPUs."""
    found = (each.value for each in assessment.readings if each.name == "power") if assessment else iter(())
    value = next(found, None)
    return float(value) if value is not None else None


def _whole_run(
    setup: Setup, gpus: int, per_hour: float | None, rates: tuple[float, float | None]
) -> account.RunTotals | None:
    if isinstance(setup, Inference) or setup.total_tokens is None or not gpus:
        return None
    return account.whole_run(setup.total_tokens, gpus, per_hour, expected=rates[0], present=rates[1])


def _lost(per_hour: float | None, reached: float | None, prediction: Prediction) -> float | None:
    """Nothing while observed is within the expected band: what no cause explains there is no loss either."""
    if per_hour is not None and reached is not None and reached >= prediction.low:
        return 0.0
    return account.lost(per_hour, reached, on_scale(prediction))
