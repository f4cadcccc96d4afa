"""What to run a training job on and how: GPU product × count × precision × layout, ranked by one objective.

`options` names the places to look at, `best_on` searches one of them, `ranked` orders what was found: the caller loops
and can show its progress.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from mfu.hardware import catalog
from mfu.hardware.types import Precision
from mfu.predict.attainable import cut_text, limits_of, setup_at
from mfu.predict.training.case import case_of
from mfu.predict.training.constants import shipped
from mfu.predict.training.layouts import Space, cuts, evaluate, table, top
from mfu.predict.training.predict import predict_training
from mfu.predict.types import Corrections, Placement, Prediction, Problem, Setup, Sharding, Training

SECONDS_PER_HOUR = 3600.0
_SPACE = Space(shardings=(Sharding.DDP, Sharding.ZERO1, Sharding.ZERO3))


class Objective(StrEnum):
    """What the ranking maximises or minimises."""

    MFU = "mfu"
    TIME = "time"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Option:
    """One place to look: a placement and a precision."""

    placement: Placement
    precision: Precision


@dataclass(frozen=True, slots=True)
class Choice:
    """The best setting of one option. Hours and cost are of the whole run, None where tokens or price are unknown."""

    option: Option
    setup: Setup
    prediction: Prediction
    layouts: int
    hours: float | None
    cost: float | None
    cost_per_million_tokens: float | None

    @property
    def tokens_per_s(self) -> float:
        return self.prediction.tokens_per_s_per_gpu * self.option.placement.gpus

    @property
    def layout(self) -> str:
        """The setting in words, as the table shows it."""
        return layout_text(self.setup)


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why an option has no setting."""

    option: Option
    reason: str
    layouts: int = 0


def options(placements: Sequence[Placement], precisions: Sequence[Precision]) -> tuple[Option, ...]:
    """Every placement with every precision that its product computes in."""
    return tuple(
        Option(placement, precision)
        for placement in placements
        for precision in precisions
        if catalog.device_peak(placement.device, precision) is not None
    )


def best_on(
    setup: Training,
    option: Option,
    price: float | None = None,
    corrections: Corrections | None = None,
    *,
    widest_tensor: int | None = None,
) -> Choice | Nothing:
    """The fastest setting that fits, out of every layout, micro-batch, sharding and recomputation mode.

    `widest_tensor` leaves out layouts of more tensor ranks, such as those that leave an NVLink domain.
    """
    job = replace(setup, precisions=replace(setup.precisions, compute=option.precision))
    case = case_of(job, option.placement, shipped())
    if case is None:
        return Nothing(option, f"{option.placement.device.label} has no {option.precision.value} peak")
    limits = limits_of(job, option.placement)
    allowed = tuple(cut for cut in cuts(limits) if widest_tensor is None or cut.tensor <= widest_tensor)
    if not allowed:
        return Nothing(option, _no_cut(job, option))
    layouts = table(limits, replace(_SPACE, cuts=allowed))
    count = len(np.atleast_1d(layouts.tensor))
    if count == 0:
        return Nothing(option, _no_cut(job, option))
    ranking = evaluate(case, layouts, shipped())
    found = top(ranking, 1)
    if not len(found):
        least = float(np.min(ranking.memory_bytes)) / 2**30
        return Nothing(option, f"no layout fits: the leanest of {count} needs {least:.0f}Gi per GPU", count)
    best = setup_at(job, ranking, int(found[0]))
    prediction = predict_training(best, option.placement, corrections)
    if isinstance(prediction, Problem):
        return Nothing(option, str(prediction), count)
    return priced(option, best, prediction, price, layouts=count)


def _no_cut(setup: Training, option: Option) -> str:
    return (
        f"no layout divides {option.placement.gpus} GPUs, {setup.architecture.layers} layers "
        f"and a global batch of {setup.global_batch_size}"
    )


def priced(option: Option, setup: Setup, prediction: Prediction, price: float | None, *, layouts: int = 1) -> Choice:
    """Hours and money of a setting: 1e12 tokens at 1e6 tokens/s on 64 GPUs of $2 an hour are 277.8 h and $35,556."""
    rate = prediction.tokens_per_s_per_gpu * option.placement.gpus
    total = setup.total_tokens if isinstance(setup, Training) else None
    hours = None if total is None else total / rate / SECONDS_PER_HOUR
    per_hour = None if price is None else price * option.placement.gpus
    return Choice(
        option=option,
        setup=setup,
        prediction=prediction,
        layouts=layouts,
        hours=hours,
        cost=None if hours is None or per_hour is None else hours * per_hour,
        cost_per_million_tokens=None if per_hour is None else per_hour / (rate * SECONDS_PER_HOUR) * 1e6,
    )


def today(
    setup: Training, placement: Placement, price: float | None = None, corrections: Corrections | None = None
) -> Choice | Problem:
    """The declared setting where it runs now, for comparison."""
    found = predict_training(setup, placement, corrections)
    if isinstance(found, Problem):
        return found
    return priced(Option(placement, setup.precisions.compute), setup, found, price)


def ranked(choices: Iterable[Choice], objective: Objective) -> tuple[Choice, ...]:
    """Best first. What has no price ranks last by cost."""
    return tuple(sorted(choices, key=_KEYS[objective]))


def _by_mfu(choice: Choice) -> float:
    return -choice.prediction.mfu


def _by_time(choice: Choice) -> float:
    return -choice.tokens_per_s


def _by_cost(choice: Choice) -> float:
    return float("inf") if choice.cost_per_million_tokens is None else choice.cost_per_million_tokens


_KEYS = {Objective.MFU: _by_mfu, Objective.TIME: _by_time, Objective.COST: _by_cost}


def explained(winner: Choice, now: Choice) -> tuple[str, ...]:
    """Why the winner is faster than today's setting: the losses that shrink and grow most, as shares of peak."""
    before, after = _shares(now.prediction), _shares(winner.prediction)
    moves = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in (*before, *after)}
    largest = sorted(moves.items(), key=lambda item: item[1])
    shrinks = [
        f"{name} {100 * before.get(name, 0.0):.1f} % → {100 * after.get(name, 0.0):.1f} %"
        for name, move in largest[:3]
        if move < -_NOTABLE
    ]
    grows = [
        f"{name} {100 * before.get(name, 0.0):.1f} % → {100 * after.get(name, 0.0):.1f} %"
        for name, move in largest[-2:]
        if move > _NOTABLE
    ]
    lines = [f"{_ratio(winner, now)} the tokens per second of today"]
    if shrinks:
        lines.append("less " + ", ".join(shrinks))
    if grows:
        lines.append("more " + ", ".join(grows))
    return tuple(lines)


_NOTABLE = 0.005


def _ratio(winner: Choice, now: Choice) -> str:
    return f"{winner.tokens_per_s / now.tokens_per_s:.2f} times"


def _shares(prediction: Prediction) -> Mapping[str, float]:
    return {loss.name: loss.fraction for loss in prediction.waterfall}


def layout_text(setup: Setup) -> str:
    """`layout_text(...) == "tensor 4 pipeline 2 data 8, micro-batch 1, ZeRO1, recompute None"`."""
    cut = cut_text(setup.parallelism)
    if not isinstance(setup, Training):
        return f"{cut}, concurrency {setup.concurrency or 0:.0f}"
    return f"{cut}, micro-batch {setup.micro_batch_size}, {setup.sharding.value}, recompute {setup.recompute.value}"
