"""What one workload's GPUs cost, and which part of that is lost."""

from __future__ import annotations

from collections.abc import Mapping

from mfu.account import cost as account
from mfu.account.cost import Cost
from mfu.account.tokens import PromptTime, TokenCosts, revenue_of_tokens, token_costs
from mfu.decide.scale import attainable_on_scale, observed_on_scale, on_scale
from mfu.decide.types import NodeView
from mfu.engine.holdings.workload import Held, HeldPart
from mfu.engine.judged import Waiting
from mfu.hardware.price import per_million_tokens, per_useful_pflop, price_per_hour
from mfu.observe.assessment import Assessment, Observation
from mfu.predict.types import Inference, Prediction, Setup


def cost_of(judged: Waiting, assessment: Assessment | None, nodes: Mapping[str, NodeView]) -> Cost:
    """`judged` is what is known apart from readings. Without a prediction nothing is known but money."""
    holding, prediction = judged.holding, judged.expected
    per_hour, revenue = _price(judged, nodes), _revenue(judged)
    if prediction is None or holding.shared:
        # What a slice could give depends on its neighbours: nothing is accused of it.
        return Cost(per_hour=per_hour, revenue_per_hour=revenue)
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
        tokens=_tokens(judged, per_hour, prediction),
        per_step=account.per_step(per_hour, prediction.step_seconds * slowdown) if training else None,
        watt_hours_per_million_tokens=account.watt_hours_per_million_tokens(_watts(assessment), measured),
        whole_run=_whole_run(judged.setup, holding.gpus, per_hour, (prediction.tokens_per_s_per_gpu, measured)),
        per_useful_pflop=per_useful_pflop(per_hour, _work(holding, best)),
        revenue_per_hour=revenue,
    )


def _price(judged: Waiting, nodes: Mapping[str, NodeView]) -> float | None:
    """Of every part by its own node; None where one has no price, or what it is is not known."""
    holding, book = judged.holding, judged.policy.book
    if holding.share is None or holding.unknown_products or not holding.parts:
        return None
    prices = [book.cost_per_hour(each.device, each.gpus, _labels(nodes.get(each.node))) for each in holding.parts]
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


def _labels(node: NodeView | None) -> Mapping[str, str]:
    return node.labels if node is not None else {}


def _revenue(judged: Waiting) -> float | None:
    """By tokens where the policy charges those of services, else by GPU-hours."""
    book, holding = judged.policy.book, judged.holding
    if book.sells_tokens and isinstance(judged.setup, Inference):
        return revenue_of_tokens(book, judged.token_rates)
    if holding.share is None or holding.unknown_products or not holding.parts:
        return None
    charges = [price_per_hour(book.charges, each.device, each.gpus) for each in holding.parts]
    known = [charge for charge in charges if charge is not None]
    return sum(known) if len(known) == len(charges) else None


def _tokens(judged: Waiting, per_hour: float | None, prediction: Prediction) -> TokenCosts | None:
    """Of what a service reads and writes; a training does neither."""
    setup, share = judged.setup, prediction.prompt_share
    if share is None or not isinstance(setup, Inference):
        return None
    per_written = setup.input_tokens / setup.output_tokens if setup.output_tokens else None
    return token_costs(per_hour, judged.token_rates, PromptTime(share, per_written))


def _work(holding: Held, best: Observation | None) -> float | None:
    """Model FLOP/s of all its GPUs, as observed."""
    if best is None or best.reference_mfu is None:
        return None
    peaks = [_peak(each) for each in holding.parts]
    known = [peak for peak in peaks if peak is not None]
    return best.reference_mfu * sum(known) if known and len(known) == len(peaks) else None


def _peak(part: HeldPart) -> float | None:
    peak = part.device.gpu.reference_peak_flops_per_s
    share = part.device.mig.sm_fraction if part.device.mig else 1.0
    return None if peak is None else peak * share * part.gpus


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
