"""Rows of `gpu_runs.csv`: our own plain PyTorch runs, against the predicted step time.

Training rows go through the training model. Prefill and decode rows go through the inference model's static step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mfu.hardware.problem import ProblemReason
from mfu.hardware.types import Precision
from mfu.predict.names import Bound
from mfu.predict.training.forward import forward_seconds
from mfu.predict.training.predict import predict_training
from mfu.predict.types import (
    Inference,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Prediction,
    Problem,
    Sharding,
    Training,
)
from mfu.predict.validate.common import (
    MissingColumn,
    Report,
    Row,
    Scored,
    banded_seconds,
    mape,
    needed,
    report,
    size_of,
    whole,
)
from mfu.predict.validate.rows import RECOMPUTE, placement_of, precision_of
from mfu.predict.validate.trainer import validate_trainer
from mfu.workload.architecture import Architecture
from mfu.workload.parameters import count

LARGE = 2048
"""Tokens a step from which the GPU, not the host, is expected to set the pace."""
_ENGINE = "PyTorch"
_CACHE_SHARE = 0.5
"""The program of the decode runs reads one buffer as keys and as values: at 64 requests of 1,024 tokens 32.3 GB were in
use (h200/traces.jsonl, decode-b64), 13.4 GB of them weights, where keys and values apart would take 34.4 GB alone."""


def validate_any(rows: Sequence[Mapping[str, Any]]) -> Report:
    """Rows of the table, or objects of a recorder, which bring their model as `config`."""
    recorded = bool(rows) and "config" in rows[0]
    return validate_trainer(rows) if recorded else validate_runs(rows)


def validate_runs(rows: Sequence[Row]) -> Report:
    """Predict every step; `extra` splits the error at 2,048 tokens a step, decode steps aside."""
    base = report(rows, _score)
    large = [row for row in base.scored if row.keys["tokens"] == "large"]
    small = [row for row in base.scored if row.keys["tokens"] == "small"]
    return replace(base, extra={"mape_large": mape(large), "mape_small": mape(small)})


def _score(row: Row) -> Scored | Problem:
    try:
        return _scored(row)
    except MissingColumn as missing:
        return Problem(ProblemReason.INVALID_SPEC, missing.column, "holds no positive number, and nothing else says it")


def _scored(row: Row) -> Scored | Problem:
    setup = question(row)
    if isinstance(setup, Problem):
        return setup
    job, placement = setup
    found = step_of(row, job, placement)
    if isinstance(found, Problem):
        return found
    seconds, note = found
    tokens = whole(row, "batch_per_gpu") * whole(row, "seq_len")
    keys = {
        "gpu": placement.device.gpu.api_name,
        "precision": (row.get("precision") or "").strip(),
        "source": "runs",
        "size": size_of(float(count(job.architecture).total)),
        "kind": (row.get("kind") or "train").strip(),
        "tokens": "large" if tokens >= LARGE else "small",
        "link": (row.get("link") or "").strip(),
    }
    low, high = _band(row, job, placement, seconds)
    return Scored(row.get("id", ""), needed(row, "step_s"), seconds, keys, note, low, high)


def _band(row: Row, job: Training, placement: Placement, seconds: float) -> tuple[float | None, float | None]:
    """The printed band of a training row; prefill and decode are predicted by parts that print none."""
    found = predict_training(job, placement) if (row.get("kind") or "train").strip() == "train" else None
    return (None, None) if found is None or isinstance(found, Problem) else banded_seconds(found)


def question(row: Row) -> tuple[Training, Placement] | Problem:
    """The row as a training job; prefill and decode rows use its architecture and precision. Operations were counted on
    the host of these runs, which update with fused AdamW."""
    precision = precision_of(row.get("precision") or "")
    if precision is None:
        problem = f"is {row.get('precision')!r}, no known format"
        return Problem(ProblemReason.INVALID_SPEC, "precision", problem, "name one such as bf16")
    gpus = whole(row, "gpus", 1)
    placement = placement_of(row, gpus)
    if isinstance(placement, Problem):
        return placement
    batch = whole(row, "batch_per_gpu")
    setup = Training(
        architecture=_architecture(row),
        precisions=Precisions(precision, weights=precision),
        sequence_length=whole(row, "seq_len"),
        global_batch_size=batch * gpus,
        micro_batch_size=batch,
        parallelism=Parallelism(data=gpus),
        sharding=Sharding.DDP,
        recompute=RECOMPUTE.get((row.get("recompute") or "").lower(), RECOMPUTE[""]),
        engine=_ENGINE,
        fused_optimizer=True,
        compiled=(row.get("compiled") or "").strip().lower() in ("true", "1"),
    )
    linked = (row.get("link") or "").strip().lower()
    return setup, replace(placement, nvlink=False if linked == "pcie" else None, host_pace=1.0)


def _architecture(row: Row) -> Architecture:
    hidden, heads = whole(row, "hidden"), whole(row, "heads")
    return Architecture(
        name="runs",
        layers=whole(row, "layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=whole(row, "kv_heads", heads),
        head_dim=max(hidden // heads, 1),
        ffn=whole(row, "ffn"),
        vocab=whole(row, "vocab"),
        gated_ffn=False,
    )


def step_of(row: Row, job: Training, placement: Placement) -> tuple[float, str] | Problem:
    """Predicted seconds of one step, and a note where the host sets the pace."""
    kind = (row.get("kind") or "train").strip()
    if kind == "train":
        found = predict_training(job, placement)
        return found if isinstance(found, Problem) else (found.step_seconds, _note(found))
    if kind == "prefill":
        return forward_seconds(job, placement)
    if kind == "decode":
        return _decode(row, job, placement)
    return Problem(ProblemReason.INVALID_SPEC, "kind", f"is {kind!r}, no kind of run", "name one such as train")


def _note(prediction: Prediction) -> str:
    return prediction.notes[0] if prediction.bound == Bound.HOST.value and prediction.notes else ""


def _decode(row: Row, job: Training, placement: Placement) -> tuple[float, str] | Problem:
    """One decode step of the whole batch at the row's context, as the inference model sees a fixed batch."""
    from mfu.predict.inference import predict_inference

    batch, context = whole(row, "batch_per_gpu"), whole(row, "context")
    precision = job.precisions.compute
    setup = Inference(
        architecture=job.architecture,
        precisions=Precisions(precision, precision, precision),
        phase=Phase.DECODE,
        input_tokens=float(context) * _CACHE_SHARE,
        output_tokens=1.0,
        concurrency=float(batch),
        parallelism=Parallelism(),
        engine=_ENGINE,
    )
    found = predict_inference(setup, placement)
    if isinstance(found, Problem):
        return found
    return (found.tpot_seconds or found.step_seconds), ""


__all__ = ["Precision", "question", "step_of", "validate_any", "validate_runs"]
