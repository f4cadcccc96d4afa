"""Many settings of one workload at once: rows are layouts and precisions, columns are concurrencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mfu.predict.inference.build import case_of
from mfu.predict.inference.capacity import one_request_fits
from mfu.predict.inference.case import ServingCase, stack_cases
from mfu.predict.inference.constants import ServingConstants, load
from mfu.predict.inference.serving import continuous, decode, prefill, prompts_of, running
from mfu.predict.types import Inference, Phase, Placement, Problem

Floats = npt.NDArray[np.float64]
_Struct = TypeVar("_Struct")


@dataclass(frozen=True, slots=True)
class Scores:
    """Arrays of shape (settings, concurrencies); rates per GPU, of the tokens that the phase counts."""

    tokens_per_s: Floats
    ttft_seconds: Floats
    tpot_seconds: Floats
    batch: Floats
    """Requests that run at once; fewer than the concurrency where cache or engine hold no more."""
    fits: npt.NDArray[np.bool_]


def score(
    setups: Sequence[Inference], placement: Placement, concurrencies: Floats, constants: ServingConstants | None = None
) -> Scores | None:
    """Every setup at every concurrency; a setup that cannot run scores no tokens. None where none can run."""
    constants = constants or load()
    cases = [case_of(each, placement, constants) for each in setups]
    runnable = [each for each in cases if not isinstance(each, Problem)]
    if not runnable:
        return None
    possible = np.array([not isinstance(each, Problem) for each in cases])
    filled = [runnable[0] if isinstance(each, Problem) else each for each in cases]
    grid = _grid(stack_cases(filled), concurrencies)
    scores = _scores(grid, setups[0].phase, constants)
    return replace(scores, fits=scores.fits & possible[:, None])


def _scores(case: ServingCase, phase: Phase, constants: ServingConstants) -> Scores:
    if phase is Phase.PREFILL:
        served = prefill(case, prompts_of(case), constants)
        rate = served.input_tokens_per_s
    elif phase is Phase.DECODE:
        served = decode(case, running(case, constants), constants)
        rate = served.output_tokens_per_s
    else:
        served = continuous(case, constants)
        rate = served.output_tokens_per_s
    shape = np.broadcast_shapes(np.shape(rate), np.shape(case.load.concurrency))
    arrays = (rate / case.layout.gpus, served.ttft_seconds, served.tpot_seconds, served.batch)
    tokens, ttft, tpot, batch = (np.broadcast_to(np.asarray(each, dtype=float), shape) for each in arrays)
    return Scores(tokens, ttft, tpot, batch, np.broadcast_to(one_request_fits(case, constants), shape))


def _grid(case: ServingCase, concurrencies: Floats) -> ServingCase:
    """Every field as a column, concurrency as a row."""
    column = _columns(case)
    return replace(column, load=replace(column.load, concurrency=concurrencies[None, :]))


def _columns(struct: _Struct) -> _Struct:
    values = {}
    for each in fields(struct):  # type: ignore[arg-type]
        value = getattr(struct, each.name)
        values[each.name] = value[:, None] if isinstance(value, np.ndarray) else _columns(value)
    return type(struct)(**values)
