"""Rows of `training_mfu.csv` against predicted tokens per second and GPU. Never reads `id`;

`source` gives the name of the training engine, the publisher's machines and the breakdown; `notes` what they declare of
compilation and power (`notes.py`), nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from mfu.hardware.problem import ProblemReason
from mfu.predict.training.engines import UNKNOWN, engine
from mfu.predict.training.predict import predict_training
from mfu.predict.types import Method, Parallelism, Placement, Precisions, Problem, Training
from mfu.predict.validate.common import (
    MissingColumn,
    Report,
    Row,
    Scored,
    banded,
    needed,
    number,
    report,
    size_of,
    whole,
)
from mfu.predict.validate.notes import (
    attention,
    compilation,
    dispatched_once,
    engine_version,
    fused_kernels,
    fused_optimizer,
    weights,
)
from mfu.predict.validate.rows import RECOMPUTE, architecture_of, placement_of, precision_of, sharding_of
from mfu.workload.architecture import Architecture
from mfu.workload.errors import WorkloadError
from mfu.workload.parameters import count


def validate_training(rows: Sequence[Row]) -> Report:
    """Predict every row; `by` splits by gpu, precision, source, size, engine and tier."""
    return report(rows, _score)


def _score(row: Row) -> Scored | Problem:
    found = question(row)
    if isinstance(found, Problem):
        return found
    setup, placement, measured = found
    prediction = predict_training(setup, placement)
    if isinstance(prediction, Problem):
        return prediction
    low, high = banded(prediction, prediction.tokens_per_s_per_gpu)
    keys = keys_of(row, setup, placement)
    return Scored(row.get("id", ""), measured, prediction.tokens_per_s_per_gpu, keys, low=low, high=high)


def keys_of(row: Row, setup: Training, placement: Placement) -> dict[str, str]:
    """What the breakdown splits by."""
    return {
        "gpu": placement.device.gpu.api_name,
        "precision": (row.get("precision") or "").strip(),
        "source": source_of(row),
        "size": size_of(float(count(setup.architecture).total)),
        "engine": engine(setup.engine).name,
        "tier": (row.get("tier") or "").strip(),
    }


def source_of(row: Row) -> str:
    """Publisher and version: the first word of `source`."""
    return ((row.get("source") or "").split() or [""])[0]


def question(row: Row) -> tuple[Training, Placement, float] | Problem:
    """The declared job, its placement and the measured tokens per second and GPU; a Problem names what is missing."""
    try:
        return _question(row)
    except MissingColumn as missing:
        return Problem(ProblemReason.INVALID_SPEC, missing.column, "holds no positive number, and nothing else says it")
    except WorkloadError as error:
        return error.why


def _question(row: Row) -> tuple[Training, Placement, float] | Problem:
    measured = measured_tokens_per_s(row)
    gpus = whole(row, "gpus")
    placement = placement_of(row, gpus)
    precision = precision_of(row.get("precision") or "")
    if isinstance(placement, Problem):
        return placement
    if precision is None:
        problem = f"is {row.get('precision')!r}, no known format"
        return Problem(ProblemReason.INVALID_SPEC, "precision", problem, "name one such as bf16")
    cut = parallelism_of(row, gpus)
    setup = Training(
        architecture=with_activation(row, architecture_of(row)),
        precisions=Precisions(precision, weights(row)),
        sequence_length=int(needed(row, "seq_len")),
        global_batch_size=whole(row, "global_batch"),
        micro_batch_size=whole(row, "micro_batch"),
        parallelism=cut,
        sharding=sharding_of(row.get("zero_or_fsdp") or ""),
        recompute=RECOMPUTE.get((row.get("activation_checkpointing") or "").strip().lower(), RECOMPUTE[""]),
        method=Method.LORA
        if re.search(r"\blora\b", f"{row.get('model')} {row.get('quality_flag')}", re.I)
        else Method.FULL,
        engine=engine_name(row),
        compilation=compilation(row),
        attention=attention(row),
        fused_kernels=fused_kernels(row),
        dispatched_once=dispatched_once(row),
        fused_optimizer=fused_optimizer(row),
        engine_version=engine_version(row, engine_name(row)),
    )
    return setup, placement, measured


def with_activation(row: Row, arch: Architecture) -> Architecture:
    """GPT-2, GPT-J and GPT-Neo of transformers write their activation out (`gelu_new`), operation by operation."""
    written = re.search(r"\bgpt-?(?:2|j|neo)\b", row.get("model") or "", re.IGNORECASE) is not None
    modules = engine_name(row) in ("Transformers", "DeepSpeed")
    return replace(arch, written_activation=True) if written and modules and not arch.gated_ffn else arch


def measured_tokens_per_s(row: Row) -> float:
    """Tokens per second and GPU: the validation column, else the printed one."""
    column = "tok_s_gpu_for_validation"
    return needed(row, column) if number(row, column) else needed(row, "tokens_per_s_per_gpu")


def parallelism_of(row: Row, gpus: int) -> Parallelism:
    """Blank degrees are 1; data parallelism is what is left of the GPUs."""
    tensor, pipeline, context = (whole(row, name, 1) for name in ("tp", "pp", "cp"))
    data = max(gpus // (tensor * pipeline * context), 1)
    return Parallelism(tensor, pipeline, context, data, whole(row, "ep", 1), whole(row, "vpp", 1))


def engine_name(row: Row) -> str:
    """The engine that the source names, in brackets or else anywhere, as who measures is not always who wrote it;
    MaxText inside a larger collection names itself in the model column."""
    source = row.get("source") or ""
    if "maxtext" in (row.get("model") or "").lower():
        return "MaxText"
    said = engine(source.partition("(")[2])
    return said.name if said is not UNKNOWN else engine(source).name
