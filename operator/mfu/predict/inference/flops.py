"""Model FLOPs and bytes per token of a serving setup: the numerators of its MFU and MBU."""

from __future__ import annotations

from mfu.memo import memo
from mfu.predict.inference.build import case_of
from mfu.predict.inference.constants import ServingConstants, load
from mfu.predict.inference.serving import decode, running
from mfu.predict.types import Inference, Phase, Placement, Problem
from mfu.workload.flops import decode_flops_per_token as _decode_flops
from mfu.workload.flops import prefill_flops


def model_flops_per_token(setup: Inference) -> float:
    """Per output token with its share of the prompt (Mixed), per input token (Prefill), per output token (Decode).

    Llama-3.1-8B, 2048 in and 256 out, Mixed: (29.69 TFLOP + 255 · 16.15 GFLOP) / 256 = 132.1 GFLOP.
    """
    if setup.phase is Phase.PREFILL:
        return prefill_flops_per_token(setup)
    context = setup.input_tokens + setup.output_tokens / 2
    if setup.phase is Phase.DECODE:
        return decode_flops_per_token(setup, context)
    outputs = max(setup.output_tokens, 1.0)
    prompt = prefill_flops(setup.architecture, setup.input_tokens)
    return (prompt + (outputs - 1) * decode_flops_per_token(setup, context)) / outputs


def prefill_flops_per_token(setup: Inference) -> float:
    """Model FLOPs per prompt token, the head counted once a prompt."""
    return prefill_flops(setup.architecture, setup.input_tokens) / setup.input_tokens


def decode_flops_per_token(setup: Inference, context: float) -> float:
    """Model FLOPs of one output token that attends to `context` tokens."""
    return _decode_flops(setup.architecture, context)


def bytes_moved_per_token(
    setup: Inference, placement: Placement, constants: ServingConstants | None = None
) -> float | None:
    """Weights and cache that must be read for one output token at the declared concurrency, summed over the GPUs.

    Llama-2-7B in 16 bit, one request, 128 in and 128 out on one GPU: 13.21 GB of weights,
    0.10 GB of cache.
    None where the setup cannot run.
    """
    return _bytes_moved(setup, placement) if constants is None else _moved(setup, placement, constants)


@memo(most=16_384)
def _bytes_moved(setup: Inference, placement: Placement) -> float | None:
    """Asked for each window of each workload, and always the same while it stays as declared."""
    return _moved(setup, placement, load())


def _moved(setup: Inference, placement: Placement, constants: ServingConstants) -> float | None:
    case = case_of(setup, placement, constants)
    if isinstance(case, Problem):
        return None
    served = decode(case, running(case, constants), constants)
    size = (served.step.weight_bytes + served.step.cache_bytes) * case.layout.stage_gpus
    return float(size * case.stages_at_once / (served.batch * case.load.accepted))
