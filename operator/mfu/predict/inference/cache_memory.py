"""The memory answer of one setup: which terms fill the GPU, whether that fits, and the nearest change that does."""

from __future__ import annotations

from dataclasses import replace

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.predict.inference import capacity
from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.serving import running
from mfu.predict.names import MemoryTerm
from mfu.predict.types import Inference, Memory, Placement, Problem
from mfu.units import gibibytes


def memory_of(setup: Inference, placement: Placement, case: ServingCase, constants: ServingConstants) -> Memory:
    """Bytes per GPU at the requests that run; `advice` is set where not even one request fits."""
    terms = _terms(case, constants)
    capacity_bytes = float(case.chip.memory)
    total = sum(terms.values())
    advice = None if total <= capacity_bytes else _advice(setup, placement, constants)
    return Memory(terms=terms, total_bytes=total, capacity_bytes=capacity_bytes, advice=advice)


def _terms(case: ServingCase, constants: ServingConstants) -> dict[str, float]:
    tokens = case.load.input_tokens + case.load.output_tokens
    requests = running(case, constants) / case.layout.groups
    return {
        MemoryTerm.WEIGHTS: float(capacity.weight_bytes_per_gpu(case)),
        MemoryTerm.KV_CACHE: float(requests * capacity.kv_bytes_per_request(case, tokens)),
        MemoryTerm.ACTIVATIONS: float(capacity.workspace_bytes(case, constants)),
        MemoryTerm.FRAMEWORK: constants.reserve_bytes,
    }


def _advice(setup: Inference, placement: Placement, constants: ServingConstants) -> str:
    """The first of: more tensor parallelism on the GPUs there, narrower weights, more GPUs."""
    for change, words in _remedies(setup, placement):
        trial = case_of(change, replace(placement, gpus=_gpus(change)), constants)
        if not isinstance(trial, Problem) and capacity.one_request_fits(trial, constants):
            return words
    needed = gibibytes(_smallest(setup, placement, constants))
    return f"no layout of this model fits this product; one GPU would need {needed}"


def _remedies(setup: Inference, placement: Placement) -> list[tuple[Inference, str]]:
    heads, layout = setup.architecture.heads, setup.parallelism
    tensors = [each for each in (2, 4, 8, 16, 32) if each > layout.tensor and heads % each == 0]
    wider = [replace(setup, parallelism=replace(layout, tensor=each)) for each in tensors]
    here = [(each, f"tensor: {each.parallelism.tensor}") for each in wider if _gpus(each) <= placement.gpus]
    narrow = [
        (replace(setup, precisions=replace(setup.precisions, weights=each)), f"precision.weights: {each}")
        for each in (Precision.FP8, Precision.INT4)
        if BYTES_PER_VALUE[each] < BYTES_PER_VALUE[setup.precisions.weights]
    ]
    more = [(each, f"tensor: {each.parallelism.tensor} on {_gpus(each)} GPUs") for each in wider]
    return here + narrow + more


def _smallest(setup: Inference, placement: Placement, constants: ServingConstants) -> float:
    case = case_of(setup, placement, constants)
    return 0.0 if isinstance(case, Problem) else sum(_terms(case, constants).values())


def _gpus(setup: Inference) -> int:
    layout = setup.parallelism
    return layout.tensor * layout.pipeline * layout.data
