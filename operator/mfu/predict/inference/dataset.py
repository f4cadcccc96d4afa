"""Rows of a published inference table as setups.

Reads no `id` and no `notes`; of `source` the engine, its release, whether it was compiled, and of a run's name the
requests at once and whether a published recipe set what the columns do not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mfu.hardware.aliases import dataset_gpu
from mfu.hardware.problem import ProblemReason
from mfu.hardware.products import unknown_product
from mfu.hardware.types import GPU, Device, Unmatched
from mfu.predict.inference.case import Speculation
from mfu.predict.inference.pools import DecodePart, decode_part
from mfu.predict.inference.recipes import by_recipe, drafting, drafts_of, length_drawn
from mfu.predict.inference.row_models import architecture_of
from mfu.predict.inference.row_setups import (
    NODE,
    concurrency_of,
    is_static,
    layers_apart,
    parallelism_of,
    phase_of,
    precisions_of,
    prompt_of_benchmark,
)
from mfu.predict.inference.row_words import compilation_of, engine_of, number, version_of
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Problem
from mfu.workload.architecture import Architecture

_TOKEN_TIMES = ("tpot", "itl")
_MOST_GPUS = 16384


@dataclass(frozen=True, slots=True)
class Question:
    """One row: what ran where, which quantity was measured, and its value."""

    setup: Inference
    placement: Placement
    metric: str
    value: float
    static: bool
    speculation: Speculation | None = None
    aligned: bool = False
    """Its scheduler was told to bring the prompts of all attention groups in the same steps."""


def question(row: Mapping[str, str]) -> Question | Problem:
    """The question a row asks, or why it cannot be asked. KeyError names a column that is not there."""
    row = {name: cell or "" for name, cell in row.items()}
    gpu = dataset_gpu(row["gpu"])
    if isinstance(gpu, Unmatched):
        return unknown_product(gpu, "gpu")
    value = number(row.get("value"))
    if value is None or value <= 0:
        problem = f"is {row.get('value')!r}, no measured value"
        return Problem(ProblemReason.INVALID_SPEC, "value", problem, "give a positive number")
    if number(row.get("tp")) is None:
        problem = "is blank, so how many GPUs the rate belongs to is not known"
        return Problem(ProblemReason.INVALID_SPEC, "tp", problem, "give 1 or more")
    try:
        architecture = architecture_of(row)
    except ValueError as error:
        problem = f"is {row['model']!r}, which cannot be built from its dimensions ({error})"
        return Problem(ProblemReason.INVALID_SPEC, "model", problem, "name a preset")
    setup = _setup(row, architecture, gpu)
    part = _decoding_part(setup, row, gpu)
    drafts = part.drafts if part else _drafts(setup, row["source"], gpu)
    setup = _decoding(setup, part) if part else setup
    parallelism = setup.parallelism
    gpus = parallelism.tensor * parallelism.pipeline * parallelism.data
    if gpus > _MOST_GPUS:
        problem = f"makes {gpus} GPUs of one replica"
        return Problem(ProblemReason.IMPOSSIBLE_LAYOUT, "tp", problem, f"give at most {_MOST_GPUS}")
    placement, aligned = Placement(Device(gpu), gpus), _aligned(setup, row["source"])
    return Question(setup, placement, row["metric"], value, is_static(row), drafting(drafts), aligned)


def _setup(row: Mapping[str, str], architecture: Architecture, gpu: GPU) -> Inference:
    inputs, outputs = number(row.get("isl")), number(row.get("osl"))
    engine = engine_of(row["source"])
    parallelism = layers_apart(parallelism_of(row, architecture, gpu), row["source"])
    drawn = length_drawn(row["source"])
    return Inference(
        architecture=architecture,
        precisions=precisions_of(row, gpu, engine),
        phase=phase_of(row["metric"], parallelism),
        input_tokens=drawn * (inputs or prompt_of_benchmark(architecture, outputs)),
        output_tokens=drawn * (outputs or 128.0),
        concurrency=concurrency_of(row, parallelism),
        parallelism=parallelism,
        engine=engine,
        engine_version=version_of(row["source"]),
        compilation=compilation_of(row["source"]),
    )


def _decoding_part(setup: Inference, row: Mapping[str, str], gpu: GPU) -> DecodePart | None:
    """Of a pool larger than a node what decodes, by its published recipe: that part alone sets a token's time."""
    requests, gpus = setup.concurrency, setup.parallelism.data
    if not row["metric"].startswith(_TOKEN_TIMES) or gpus <= NODE or not requests or requests <= 0:
        return None
    nominal = round(setup.input_tokens / length_drawn(row["source"]))
    return decode_part(_named(setup, gpu), input_tokens=nominal, gpus=gpus, concurrency=requests)


def _decoding(setup: Inference, part: DecodePart) -> Inference:
    layout = Parallelism(tensor=part.tensor, data=part.groups, expert=part.tensor * part.groups)
    own = max(1.0, (setup.concurrency or 1.0) / part.workers)
    return replace(setup, parallelism=layout, concurrency=own, phase=Phase.DECODE)


def _drafts(setup: Inference, source: str, gpu: GPU) -> int:
    if setup.concurrency is None:
        return 0
    layout, drawn = setup.parallelism, length_drawn(source)
    lengths = (round(setup.input_tokens / drawn), round(setup.output_tokens / drawn), setup.concurrency)
    return drafts_of(source, (*_named(setup, gpu), layout.tensor, layout.data, layout.expert, *lengths))


def _aligned(setup: Inference, source: str) -> bool:
    """InferenceX's recipes set TensorRT-LLM's `attention_dp_config.enable_balance`, which is off by default."""
    return setup.engine == "tensorrtllm" and by_recipe(source)


def _named(setup: Inference, gpu: GPU) -> tuple[str, str, str, str]:
    return (setup.architecture.name, gpu.api_name, str(setup.engine), str(setup.precisions.weights))
