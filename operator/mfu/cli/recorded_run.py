"""What a recorded run declares of itself, as the model's own values: its shape, how it ran, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from mfu.hardware.catalog import load
from mfu.hardware.types import Precision, Unmatched
from mfu.observe.readings import Metric, WorkloadSeries
from mfu.predict.types import (
    AttentionKernel,
    Compilation,
    Inference,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Recompute,
    Setup,
    Sharding,
    Training,
)
from mfu.workload.architecture import Architecture
from mfu.workload.errors import WorkloadError
from mfu.workload.huggingface import from_config

TRAINER: Final = "Transformers"
"""The engine of a run that gives its model as a config.json."""
_SHARDING: Final = {"ddp": Sharding.DDP, "fsdp": Sharding.ZERO3, "zero1": Sharding.ZERO1, "zero2": Sharding.ZERO2}
_RECOMPUTE: Final = {"full": Recompute.FULL, "selective": Recompute.SELECTIVE}
_ATTENTION: Final = {"eager": AttentionKernel.EAGER, "sdpa": AttentionKernel.SDPA, "flash": AttentionKernel.FLASH}


def placement_of(row: Mapping[str, Any], series: WorkloadSeries) -> Placement | None:
    """Product and GPU count; None for a product that the catalog does not know."""
    device = load().resolve(str(row.get("gpu", "")))
    if isinstance(device, Unmatched):
        return None
    gpus = int(row.get("gpus", 1))
    return Placement(device, gpus, nvlink=_nvlink(series) if gpus > 1 else None)


def _nvlink(series: WorkloadSeries) -> bool:
    """Whether any traffic was seen on NVLink: a run with peer-to-peer switched off shows none."""
    return bool(np.nansum(series.values[..., Metric.NVLINK_TX]) > 0)


def run_seconds(row: Mapping[str, Any]) -> float | None:
    """How long it ran, where it says so."""
    value = row.get("seconds")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def setup_of(row: Mapping[str, Any]) -> Setup | None:
    """The declared shape of a recorded run; None where it declares none, or one that does not read."""
    if not isinstance(row.get("config"), Mapping) and not {"layers", "hidden", "heads", "ffn", "vocab"} <= row.keys():
        return None
    try:
        return _setup(row)
    except (WorkloadError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _setup(row: Mapping[str, Any]) -> Setup:
    config = row.get("config")
    arch = from_config(dict(config)) if isinstance(config, Mapping) else _architecture(row)
    precision = Precision(str(row.get("precision", "bf16")).upper())
    weights = Precision(str(row.get("weights") or row.get("precision") or "bf16").upper())
    precisions = Precisions(precision, weights, precision)
    if row.get("kind") in ("decode", "prefill"):
        return _serving(row, arch, precisions)
    training = _training(row, arch, precisions)
    return training if config is None else _as_trainer(training, row)


def _training(row: Mapping[str, Any], arch: Architecture, precisions: Precisions) -> Training:
    micro, ranks = int(row.get("micro_batch", 1)), int(row.get("data_parallel") or row.get("gpus", 1))
    return Training(
        architecture=arch,
        precisions=precisions,
        sequence_length=int(row["seq_len"]),
        global_batch_size=micro * ranks * int(row.get("accumulation") or 1),
        micro_batch_size=micro,
        parallelism=Parallelism(data=ranks),
        sharding=_SHARDING.get(str(row.get("sharding") or "ddp").lower(), Sharding.DDP),
        recompute=_RECOMPUTE.get(str(row.get("recompute") or "none").lower(), Recompute.NONE),
    )


def _as_trainer(training: Training, row: Mapping[str, Any]) -> Training:
    """How transformers ran it: eager unless compiled, PyTorch's own attention unless another is named."""
    attention = str(row.get("attn") or "sdpa").lower().partition("_")[0]
    return replace(
        training,
        engine=TRAINER,
        compilation=Compilation.FULL if row.get("compiled") else Compilation.NONE,
        attention=_ATTENTION.get(attention, AttentionKernel.SDPA),
    )


def _architecture(row: Mapping[str, Any]) -> Architecture:
    hidden, heads = int(row["hidden"]), int(row["heads"])
    return Architecture(
        name=str(row.get("scenario", "recorded")),
        layers=int(row["layers"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(row.get("kv_heads", heads)),
        head_dim=hidden // heads,
        ffn=int(row["ffn"]),
        vocab=int(row["vocab"]),
        gated_ffn=False,
    )


def _serving(row: Mapping[str, Any], arch: Architecture, precisions: Precisions) -> Inference:
    phase = Phase.DECODE if row["kind"] == "decode" else Phase.PREFILL
    context = float(row.get("context") or row.get("seq_len") or 1)
    return Inference(
        architecture=arch,
        precisions=precisions,
        phase=phase,
        input_tokens=context,
        output_tokens=1.0,
        concurrency=float(row.get("batch") or row.get("micro_batch") or 1),
        parallelism=Parallelism(),
    )
