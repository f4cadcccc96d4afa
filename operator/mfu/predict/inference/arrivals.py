"""Serving at an arrival rate: how many requests are in flight when so many arrive each second (Little's law)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.hardware.problem import ProblemReason
from mfu.predict.inference.build import case_of
from mfu.predict.inference.constants import ServingConstants, load
from mfu.predict.inference.prediction import predict_inference
from mfu.predict.inference.serving import continuous
from mfu.predict.types import Corrections, Inference, Placement, Prediction, Problem

_CONCURRENCIES = 2.0 ** np.arange(0.0, 13.01, 0.125)


def predict_at_rate(
    setup: Inference, placement: Placement, requests_per_s: float, corrections: Corrections | None = None
) -> Prediction | Problem:
    """The prediction at the concurrency that `requests_per_s` arrivals at one replica settle at.

    Problem with the replica's highest rate where they arrive faster than they can be served.
    """
    if not (np.isfinite(requests_per_s) and requests_per_s > 0):
        problem = f"is {requests_per_s} requests a second, which cannot arrive"
        return Problem(ProblemReason.INVALID_SPEC, "arrivalRate", problem, "give a positive number")
    found = concurrency_at_rate(setup, placement, requests_per_s)
    if isinstance(found, Problem):
        return found
    return predict_inference(replace(setup, concurrency=found), placement, corrections)


def concurrency_at_rate(
    setup: Inference, placement: Placement, requests_per_s: float, constants: ServingConstants | None = None
) -> float | Problem:
    """Requests in flight, at least one: the point where the replica finishes as many requests as arrive."""
    constants = constants or load()
    case = case_of(setup, placement, constants)
    if isinstance(case, Problem):
        return case
    served = continuous(replace(case, load=replace(case.load, concurrency=_CONCURRENCIES)), constants)
    rates = np.maximum.accumulate(np.asarray(served.output_tokens_per_s) / setup.output_tokens)
    if requests_per_s > rates[-1]:
        problem = f"is {requests_per_s:g} requests a second, more than one replica serves"
        return Problem(ProblemReason.INVALID_SPEC, "arrivalRate", problem, f"set at most {rates[-1]:.3g}")
    place = int(np.searchsorted(rates, requests_per_s))
    if place == 0:
        return 1.0
    below, above = rates[place - 1], rates[place]
    share = 1.0 if above == below else (requests_per_s - below) / (above - below)
    return float(_CONCURRENCIES[place - 1] + share * (_CONCURRENCIES[place] - _CONCURRENCIES[place - 1]))
