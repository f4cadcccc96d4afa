"""JSON lines of recorded training programs (plain PyTorch, Hugging Face Trainer): step time and peak memory.

One object a line, as recorders write them: the model as its `config`, how it ran, `step_s` and `peak_gib`, the
allocator's peak without the CUDA context. Runs slowed on purpose by something that no declaration says (a starved
loader, a straggler) are predicted and left out of the means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mfu.hardware.aliases import dataset_gpu
from mfu.hardware.problem import ProblemReason
from mfu.hardware.products import unknown_product
from mfu.hardware.types import Device, Precision, Unmatched
from mfu.predict.training.predict import predict_training
from mfu.predict.types import (
    AttentionKernel,
    Compilation,
    Optimizer,
    Parallelism,
    Placement,
    Precisions,
    Prediction,
    Problem,
    Training,
)
from mfu.predict.validate.common import RefusedRow, Report, Scored, banded_seconds, memory_mape, size_of
from mfu.predict.validate.rows import RECOMPUTE, precision_of, sharding_of
from mfu.predict.validate.sweep import allocator_bytes
from mfu.units import GIB
from mfu.workload.errors import WorkloadError
from mfu.workload.huggingface import from_config
from mfu.workload.parameters import count

Record = Mapping[str, Any]
ENGINE: Final = "Transformers"
"""Of lines that name none."""
UNDECLARED: Final = frozenset({"data-starvation", "straggler"})
"""Planted causes that no declaration says."""
_ATTENTION: Final = {
    "eager": AttentionKernel.EAGER,
    "sdpa": AttentionKernel.SDPA,
    "flash_attention_2": AttentionKernel.FLASH,
    "flash_attention_3": AttentionKernel.FLASH,
}
_OPTIMIZER: Final = (("adafactor", Optimizer.ADAFACTOR), ("lion", Optimizer.LION), ("sgd", Optimizer.SGD))


def validate_trainer(records: Sequence[Record]) -> Report:
    """Predict every step and its memory; `extra` has memory_mape, the mean error of the peak."""
    scored: list[Scored] = []
    refused: list[RefusedRow] = []
    for record in records:
        name = str(record.get("scenario") or record.get("id") or "")
        found = predicted(record)
        if isinstance(found, Problem):
            refused.append(RefusedRow(name, str(found)))
            continue
        if record.get("truth") in UNDECLARED:
            refused.append(RefusedRow(name, f"truth: {record['truth']} slows the step by what nothing declares"))
            continue
        setup, placement, prediction = found
        low, high = banded_seconds(prediction)
        keys = keys_of(record, setup, placement)
        note = "; ".join(prediction.notes)
        peak = _memory_error(record, prediction)
        scored.append(Scored(name, float(record["step_s"]), prediction.step_seconds, keys, note, low, high, peak))
    return Report(len(records), tuple(scored), tuple(refused), {"memory_mape": memory_mape(scored)})


def _memory_error(record: Record, prediction: Prediction) -> float | None:
    peak = float(record.get("peak_gib") or 0.0)
    return allocator_bytes(prediction) / (peak * GIB) - 1.0 if peak else None


def predicted(record: Record) -> tuple[Training, Placement, Prediction] | Problem:
    """The job of one line, where it ran, and its prediction."""
    asked = question(record)
    if isinstance(asked, Problem):
        return asked
    found = predict_training(*asked)
    return found if isinstance(found, Problem) else (*asked, found)


def keys_of(record: Record, setup: Training, placement: Placement) -> dict[str, str]:
    """What the breakdown splits by."""
    return {
        "gpu": placement.device.gpu.api_name,
        "precision": str(record.get("precision") or ""),
        "weights": setup.precisions.weights.value,
        "source": source_of(record),
        "size": size_of(float(count(setup.architecture).total)),
        "sharding": setup.sharding.value,
        "split": _split(setup.parallelism),
        "recompute": setup.recompute.value,
        "accumulated": str(setup.global_batch_size > setup.micro_batch_size * setup.parallelism.data),
        "experts": str(record.get("experts") or ("unsaid" if setup.architecture.moe else "none")),
        "compiled": str(bool(record.get("compiled"))),
        "link": str(record.get("link") or ""),
    }


def _split(layout: Parallelism) -> str:
    """Ways in which a model is split: `_split(Parallelism(tensor=2, pipeline=2, data=2)) == "pipeline, tensor"`."""
    ways = {"pipeline": layout.pipeline, "context": layout.context, "tensor": layout.tensor, "expert": layout.expert}
    return ", ".join(name for name, count in ways.items() if count > 1) or "none"


def source_of(record: Record) -> str:
    """Where a line was recorded, as far as it says."""
    return str(record.get("source") or "trainer")


def question(record: Record) -> tuple[Training, Placement] | Problem:
    """The job that a line declares. Problem names the key that is missing or not understood."""
    try:
        return _question(record)
    except WorkloadError as error:
        return replace(error.why, field=f"config.{error.why.field}")
    except (KeyError, TypeError, ValueError) as error:
        key = error.args[0] if isinstance(error, KeyError) else "line"
        return Problem(ProblemReason.INVALID_SPEC, str(key), f"is missing or no value of its kind ({error})")


def _question(record: Record) -> tuple[Training, Placement] | Problem:
    gpu = dataset_gpu(str(record["gpu"]))
    if isinstance(gpu, Unmatched):
        return unknown_product(gpu, "gpu")
    compute = precision_of(str(record["precision"]))
    weights = precision_of(str(record.get("weights") or record["precision"]))
    if compute is None or weights is None or float(record["step_s"]) <= 0.0:
        problem = f"{record['precision']!r} is no known format"
        return Problem(ProblemReason.INVALID_SPEC, "precision", problem, "name one such as bf16")
    gpus, micro = int(record.get("gpus") or 1), int(record["micro_batch"])
    layout = _layout(record, gpus)
    state = Precision.INT8 if "8bit" in str(record.get("optim")) else None
    setup = Training(
        architecture=from_config(dict(record["config"])),
        precisions=Precisions(compute, weights, optimizer_state=state),
        sequence_length=int(record["seq_len"]),
        global_batch_size=micro * layout.data * int(record.get("accumulation") or 1),
        micro_batch_size=micro,
        parallelism=layout,
        sharding=sharding_of(str(record.get("sharding") or "")),
        recompute=RECOMPUTE[str(record.get("recompute") or "none").lower()],
        optimizer=next((each for name, each in _OPTIMIZER if name in str(record.get("optim"))), Optimizer.ADAMW),
        engine=str(record.get("engine") or ENGINE),
        compilation=Compilation.FULL if record.get("compiled") else Compilation.NONE,
        looped_experts=record["experts"] == "eager" if record.get("experts") else None,
        fused_optimizer="fused" in record["optim"] if record.get("optim") else None,
        attention=_ATTENTION.get(str(record.get("attn") or "sdpa"), AttentionKernel.SDPA),
    )
    linked = None if record.get("link") != "pcie" else False
    return setup, replace(Placement(Device(gpu), gpus, min(gpus, 8)), nvlink=linked)


def _layout(record: Record, gpus: int) -> Parallelism:
    """Ways to split that a line names; the rest of its GPUs hold other data."""
    ways = ("tensor", "pipeline", "context", "expert", "virtual_pipeline")
    split = {name: int(record.get(name) or 1) for name in ways}
    others = split["tensor"] * split["pipeline"] * split["context"]
    return Parallelism(data=int(record.get("data_parallel") or gpus // others), **split)
