"""What one replica carries: the time that steps, answers and prompts take of it, predicted first and then measured.

An engine gives every running request one token a step and reads prompts in between. With C requests running, `outputs`
and `inputs` tokens/s, a request's time per token is base + per_output · C + per_input · inputs · (time per token); and
C = outputs · (time per token), by Little's law. Divided by the time per token:

    1 = base / time + per_output · outputs + per_input · inputs

All three terms can be read: time per token is running ÷ outputs. So every reading is one equation in three unknowns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from mfu.predict import predict
from mfu.predict.types import Inference, Phase, Placement, Prediction

PRIOR_SD: Final = 0.3
"""How far a prediction may be off, as a fraction: readings move the law within that easily, and beyond it slowly."""
READING_SD: Final = 0.05
MOST_OFF: Final = 3.0
"""Times that a measured coefficient may differ from the predicted one."""
FORGOTTEN_SECONDS: Final = 1800.0
"""A reading counts for 1/e after so long: models, prompts and engines change."""
_FEW, _MANY = 1.0, 64.0
"""Concurrencies between which a decode step is drawn as a straight line."""


class Law(NamedTuple):
    """Seconds of one replica: a step with nothing in it, an output token, an input token."""

    base: float
    per_output: float
    per_input: float

    def work(self, inputs: float, outputs: float) -> float:
        """Replicas' worth of time that these tokens/s take, steps left out.

        >>> Law(0.008, 2e-4, 2e-5).work(10_000.0, 1_500.0)
        0.5
        """
        return self.per_input * inputs + self.per_output * outputs

    def token_seconds(self, work: float) -> float:
        """Time per token of a replica that carries `work`; endless from 1 on."""
        return self.base / (1.0 - work) if work < 1.0 else float("inf")


class Equations(NamedTuple):
    """Normal equations of the readings so far, older ones counting less: Σ x xᵀ row by row, Σ x, and until when."""

    squares: tuple[float, ...] = (0.0,) * 9
    totals: tuple[float, ...] = (0.0,) * 3
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """One reading of one replica: seconds per token, output and input tokens/s."""

    token_seconds: float
    outputs: float
    inputs: float

    @property
    def terms(self) -> tuple[float, float, float]:
        return 1.0 / self.token_seconds, self.outputs, self.inputs


def predicted(setup: Inference, placement: Placement) -> Law | None:
    """From three predictions: a decode step of one and of many requests, and a prompt. None where one is refused."""
    few = _pace(setup, placement, Phase.DECODE, _FEW)
    many = _pace(setup, placement, Phase.DECODE, _MANY)
    prompt = _pace(setup, placement, Phase.PREFILL, _FEW)
    if few is None or many is None or prompt is None:
        return None
    per_output = max((many - few) / (_MANY - _FEW), 0.0)
    return Law(max(few - per_output, 1e-6), max(per_output, 1e-9), prompt)


def _pace(setup: Inference, placement: Placement, phase: Phase, concurrency: float) -> float | None:
    """Seconds of a decode step, or of one prompt token."""
    asked = _with(setup, phase, concurrency)
    answer = predict(asked, placement)
    if not isinstance(answer, Prediction) or answer.tokens_per_s_per_gpu <= 0:
        return None
    each = 1.0 / (answer.tokens_per_s_per_gpu * placement.gpus)
    return each if phase is Phase.PREFILL else each * (answer.concurrency or concurrency)


def _with(setup: Inference, phase: Phase, concurrency: float) -> Inference:
    return replace(setup, phase=phase, concurrency=concurrency)


def learned(sums: Equations, point: Point, now: float) -> Equations:
    """With one more reading; what is older counts exp(−age ÷ FORGOTTEN_SECONDS)."""
    kept = float(np.exp(-(now - sums.at) / FORGOTTEN_SECONDS)) if sums.at else 0.0
    terms = point.terms
    squares = tuple(kept * old + one * other for old, (one, other) in zip(sums.squares, _pairs(terms), strict=True))
    totals = tuple(kept * old + term for old, term in zip(sums.totals, terms, strict=True))
    return Equations(squares, totals, now)


def _pairs(terms: Sequence[float]) -> list[tuple[float, float]]:
    return [(one, other) for one in terms for other in terms]


def measured(prior: Law, sums: Equations) -> Law:
    """The law that the readings say, held by the predicted one where they say little.

    Each coefficient is the predicted one times a factor; the factors minimise Σ (1 − x·θ)² ÷ READING_SD² plus
    Σ (factor − 1)² ÷ PRIOR_SD².
    """
    scale = np.array(prior)
    squares = np.array(sums.squares).reshape(3, 3) * np.outer(scale, scale) / READING_SD**2
    totals = np.array(sums.totals) * scale / READING_SD**2
    factors = np.linalg.solve(squares + np.eye(3) / PRIOR_SD**2, totals + 1.0 / PRIOR_SD**2)
    bounded = np.clip(factors, 1.0 / MOST_OFF, MOST_OFF) * scale
    return Law(*(float(each) for each in bounded))


def misfit(law: Law, point: Point) -> float:
    """How far a reading is from adding up to the whole of a replica's time: 0 fits, 1 says twice what can be."""
    return sum(term * each for term, each in zip(point.terms, law, strict=True)) - 1.0
