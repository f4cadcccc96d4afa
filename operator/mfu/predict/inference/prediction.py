"""The prediction of one serving setup: phase by phase, from the vectorised model to the contract's `Prediction`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mfu.hardware.catalog import device_peak
from mfu.memo import memo
from mfu.predict.inference.build import case_of, setting_of
from mfu.predict.inference.cache_memory import memory_of
from mfu.predict.inference.case import ServingCase, Speculation
from mfu.predict.inference.constants import ServingConstants, engine_level, load
from mfu.predict.inference.contexts import beyond
from mfu.predict.inference.doubt import Names, own_doubt, reach, shared_doubt
from mfu.predict.inference.flops import model_flops_per_token
from mfu.predict.inference.serving import Served, continuous, decode, prefill, prompts_of, running
from mfu.predict.inference.slo import misses
from mfu.predict.inference.waterfall import bound_of, losses
from mfu.predict.learnkeys import correction_of
from mfu.predict.names import Bound
from mfu.predict.types import Correction, Corrections, Doubt, Inference, Phase, Placement, Prediction, Problem, Scale


def predict_inference(
    setup: Inference,
    placement: Placement,
    corrections: Corrections | None = None,
    *,
    constants: ServingConstants | None = None,
    speculation: Speculation | None = None,
) -> Prediction | Problem:
    """How fast one replica runs, whether it fits, and where its time goes; Problem where it cannot run at all.

    A setup whose weights do not fit still gets its rates, with `memory.fits` False and the change that would fit.
    """
    correction = correction_of(setup, placement, corrections)
    if constants is None:
        return predicted(setup, placement, correction, speculation)
    case = case_of(setup, placement, constants, speculation)
    return case if isinstance(case, Problem) else prediction_of(setup, placement, case, constants, correction)


@memo(most=32768)
def predicted(
    setup: Inference, placement: Placement, correction: Correction, speculation: Speculation | None = None
) -> Prediction | Problem:
    """The prediction by the shipped constants, kept by what it depends on: a cycle asks for the same ones again."""
    constants = load()
    case = case_of(setup, placement, constants, speculation)
    return case if isinstance(case, Problem) else prediction_of(setup, placement, case, constants, correction)


def served_of(setup: Inference, case: ServingCase, constants: ServingConstants) -> Served:
    """Steady state in the phase that the setup declares."""
    if setup.phase is Phase.PREFILL:
        return prefill(case, prompts_of(case), constants)
    if setup.phase is Phase.DECODE:
        return decode(case, running(case, constants), constants)
    return continuous(case, constants)


def prediction_of(
    setup: Inference, placement: Placement, case: ServingCase, constants: ServingConstants, correction: Correction
) -> Prediction:
    served = served_of(setup, case, constants)
    gpus = float(case.layout.gpus)
    outputs = float(served.output_tokens_per_s) * correction.factor / gpus
    inputs = float(served.input_tokens_per_s) * correction.factor / gpus
    tokens = inputs if setup.phase is Phase.PREFILL else outputs
    flops = model_flops_per_token(setup)
    peak = device_peak(placement.device, setup.precisions.compute) or math.nan
    mfu = tokens * flops / peak
    mbu = _mbu(case, served) * correction.factor
    scale = scale_of(served)
    doubt = _doubt(setup, placement, served, case, constants)
    low, high = _band(setup, placement, scale.of(mfu=mfu, mbu=mbu) or 0.0, doubt, correction, constants)
    seconds = float(served.step_seconds) / correction.factor
    found = Prediction(
        mfu=mfu,
        reference_mfu=tokens * flops / float(case.chip.peak_16bit),
        hfu=mfu,
        mbu=mbu,
        scale=scale,
        low=low,
        high=min(high, 1.0),
        step_seconds=seconds,
        tokens_per_s_per_gpu=tokens,
        input_tokens_per_s_per_gpu=inputs or None,
        flops_per_token=flops,
        waterfall=losses(case, served, constants, mfu=mfu, peak=peak, seconds=seconds),
        memory=memory_of(setup, placement, case, constants),
        bound=bound_of(served),
        ttft_seconds=float(served.ttft_seconds) / correction.factor or None,
        tpot_seconds=float(served.tpot_seconds) / correction.factor or None,
        concurrency=float(served.batch),
        prompt_share=min(1.0, max(0.0, 1.0 - float(served.decode_share))),
        doubt=doubt,
        notes=_notes(setup, case, served),
    )
    return replace(found, notes=(*misses(setup, found), *found.notes))


def _band(
    setup: Inference,
    placement: Placement,
    value: float,
    doubt: Doubt,
    correction: Correction,
    constants: ServingConstants,
) -> tuple[float, float]:
    slower, faster = reach(constants, *_stack(setup, placement))[0]
    sd = math.hypot(doubt.total, correction.relative_sd)
    return value * math.exp(-slower * sd), value * math.exp(faster * sd)


def _stack(setup: Inference, placement: Placement) -> tuple[Names, Names]:
    level = engine_level(setup.engine, setup.engine_version)
    return np.array([level]), np.array([placement.device.gpu.api_name])


def _doubt(
    setup: Inference, placement: Placement, served: Served, case: ServingCase, constants: ServingConstants
) -> Doubt:
    stack = _stack(setup, placement)
    setting = np.array([setting_of(setup, placement.device.gpu.api_name)])
    shared, own = shared_doubt(constants, *stack), own_doubt(constants, case, served.step, setting)
    return Doubt(float(shared[0]), float(own[0]))


def scale_of(served: Served) -> Scale:
    """MBU where most of the step would remain without prompts and waits for memory, MFU otherwise."""
    step = served.step
    memory = float(step.weight_reads + step.decode_attention + step.launch + step.host)
    compute = float(step.matrix_compute + step.prefill_attention)
    return Scale.MBU if float(served.decode_share) >= 0.5 and memory >= compute else Scale.MFU


def _mbu(case: ServingCase, served: Served) -> float:
    size = (served.step.weight_bytes + served.step.cache_bytes) * case.stages_at_once / case.layout.pipeline
    return float(size / (served.step_seconds * case.chip.bandwidth))


def _notes(setup: Inference, case: ServingCase, served: Served) -> tuple[str, ...]:
    notes = []
    declared, runs = setup.concurrency, float(served.batch)
    if declared is not None and setup.phase is not Phase.PREFILL and runs < declared:
        notes.append(f"{runs:.0f} of {declared:g} requests run at once: the KV cache or the engine's batch is full")
    if (long := beyond(setup)) is not None:
        notes.append(long)
    if bound_of(served) is Bound.HOST:
        notes.append("launch and host work, not the GPU, set the pace")
    return tuple(notes)
