"""Rows of `measured_steps.csv` (single-node steps of GPT models) against the predicted step time."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mfu.hardware.problem import ProblemReason
from mfu.hardware.types import Precision
from mfu.predict.training.engines import engine
from mfu.predict.training.predict import predict_training
from mfu.predict.types import Parallelism, Placement, Precisions, Problem, Training
from mfu.predict.validate.common import (
    MissingColumn,
    Report,
    Row,
    Scored,
    banded_seconds,
    needed,
    number,
    report,
    size_of,
    whole,
)
from mfu.predict.validate.rows import RECOMPUTE, placement_of, usual_heads
from mfu.workload.architecture import Architecture
from mfu.workload.parameters import count

VOCABULARY = 51200
"""Not in the table: GPT-2's 50,257 padded as Megatron pads it, to a multiple of 1,024 (vTrain's own assumption)."""


def validate_steps(rows: Sequence[Row]) -> Report:
    """Predict every step time; `by` splits by gpu, precision, source, size, GPUs and tensor parallelism."""
    return report(rows, _score)


def _score(row: Row) -> Scored | Problem:
    found = question(row)
    if isinstance(found, Problem):
        return found
    setup, placement, measured = found
    prediction = predict_training(setup, placement)
    if isinstance(prediction, Problem):
        return prediction
    keys = {
        "gpu": placement.device.gpu.api_name,
        "precision": setup.precisions.compute.value,
        "source": ((row.get("source") or "").split() or [""])[0],
        "size": size_of(float(count(setup.architecture).total)),
        "gpus": str(placement.gpus),
        "tensor": str(setup.parallelism.tensor),
    }
    note = prediction.notes[0] if prediction.notes else ""
    low, high = banded_seconds(prediction)
    return Scored(row.get("id", ""), measured, prediction.step_seconds, keys, note, low, high)


def question(row: Row) -> tuple[Training, Placement, float] | Problem:
    """The job, its placement and the measured seconds."""
    try:
        return _question(row)
    except MissingColumn as missing:
        return Problem(ProblemReason.INVALID_SPEC, missing.column, "holds no positive number, and nothing else says it")


def inferred_hidden(row: Row) -> int | None:
    """Width that the row's other cells imply: the size in the model's name over its layers, else heads of 128.

    "GPT 18.4B" of 40 layers: 12 · 40 · h² + 51,200 · h = 18.4e9 gives 6,138, to whole heads of 128: 6,144.
    """
    named = re.search(r"(\d+(?:\.\d+)?)\s*([BbMm])\b", row.get("model") or "")
    layers, heads = number(row, "layers"), number(row, "heads")
    if named is not None and layers:
        total = float(named[1]) * (1e9 if named[2] in "Bb" else 1e6)
        head = VOCABULARY / (24.0 * layers)
        width = math.sqrt(head**2 + total / (12.0 * layers)) - head
        return max(int(round(width / _HEAD) * _HEAD), int(_HEAD))
    return int(heads * _HEAD) if heads else None


_HEAD = 128.0


def _question(row: Row) -> tuple[Training, Placement, float] | Problem:
    placement = placement_of(row, whole(row, "gpus"))
    if isinstance(placement, Problem):
        return placement
    hidden = whole(row, "hidden", inferred_hidden(row))
    heads = whole(row, "heads", usual_heads(hidden))
    arch = Architecture(
        name=row.get("model") or "GPT",
        layers=whole(row, "layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=max(hidden // heads, 1),
        ffn=4 * hidden,
        vocab=whole(row, "vocab", VOCABULARY),
        gated_ffn=False,
        tied_embeddings=True,
    )
    cut = Parallelism(
        tensor=whole(row, "tp", 1),
        pipeline=whole(row, "pp", 1),
        data=whole(row, "dp", 1),
        virtual_pipeline=whole(row, "interleave", 1),
    )
    setup = Training(
        architecture=arch,
        precisions=Precisions(Precision.FP16),
        sequence_length=whole(row, "seq"),
        global_batch_size=whole(row, "global_batch"),
        micro_batch_size=whole(row, "micro_batch"),
        parallelism=cut,
        recompute=RECOMPUTE.get((row.get("recompute") or "").lower(), RECOMPUTE[""]),
        engine=engine(row.get("source")).name,
    )
    return setup, placement, needed(row, "step_s")
