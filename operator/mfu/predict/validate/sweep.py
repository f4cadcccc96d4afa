"""Rows of `layout_sweep.csv`: many layouts of one question (model, GPUs, global batch), bad ones included.

Beside the error of the rate: the error of peak memory, how close the layout that the planner ranks first comes to the
best measured one, and the rank correlation, each a mean over questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from mfu.hardware.aliases import dataset_gpu
from mfu.hardware.problem import ProblemReason
from mfu.hardware.products import unknown_product
from mfu.hardware.types import Device, Precision, Unmatched
from mfu.predict.training.case import case_of
from mfu.predict.training.constants import shipped
from mfu.predict.training.predict import predict_training
from mfu.predict.training.risk import ranking_seconds
from mfu.predict.training.step import step
from mfu.predict.types import Parallelism, Placement, Precisions, Prediction, Problem, Sharding, Training
from mfu.predict.validate.common import MissingColumn, Report, Row, Scored, banded, needed, report, size_of, whole
from mfu.units import GIB
from mfu.workload.architecture import Architecture
from mfu.workload.parameters import count

GPU = "H100-SXM5-80GB"
ENGINE = "nanotron"
NODE = 8
FABRIC = "EFA"
"""The table states neither: nanotron on AWS p5 nodes of eight H100 (huggingface/nanotron, ultra-scale playbook)."""
_STAGES = (Sharding.DDP, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3)
_LEAST = 2
"""Layouts that a question needs before a choice or a rank means anything."""


def validate_sweep(rows: Sequence[Row]) -> Report:
    """Predict rate and memory of every layout; `extra` holds memory_mape, first_choice and spearman."""
    found = [(row, _predicted(row)) for row in rows]
    by_id = {id(row): result for row, result in found}
    base = report(rows, lambda row: _score(row, by_id[id(row)]))
    good = [(row, result) for row, result in found if not isinstance(result, Problem)]
    return Report(base.rows, base.scored, base.refused, {**_memory(good), **_ranking(good)})


_Found = tuple[Training, Placement, Prediction, float]
"""The job, where it runs, its prediction, and the seconds by which a planner ranks it."""


def _score(row: Row, found: _Found | Problem) -> Scored | Problem:
    if isinstance(found, Problem):
        return found
    setup, placement, prediction, _ = found
    keys = {
        "gpu": placement.device.gpu.api_name,
        "precision": setup.precisions.compute.value,
        "source": ENGINE,
        "size": size_of(float(count(setup.architecture).total)),
        "gpus": str(placement.gpus),
        "tensor": str(setup.parallelism.tensor),
        "pipeline": str(setup.parallelism.pipeline),
    }
    rate = prediction.tokens_per_s_per_gpu
    low, high = banded(prediction, rate)
    return Scored(row.get("id", ""), needed(row, "tokens_per_s_per_gpu"), rate, keys, low=low, high=high)


def _predicted(row: Row) -> _Found | Problem:
    found = question(row)
    if isinstance(found, Problem):
        return found
    prediction = predict_training(*found)
    case = case_of(*found, shipped())
    if isinstance(prediction, Problem) or case is None:
        unknown = Problem(ProblemReason.UNSUPPORTED_PRECISION, "precision.compute", "has no known peak")
        return prediction if isinstance(prediction, Problem) else unknown
    return *found, prediction, float(ranking_seconds(case, step(case, shipped()), shipped()))


def question(row: Row) -> tuple[Training, Placement] | Problem:
    """The job of one row and its placement."""
    try:
        needed(row, "tokens_per_s_per_gpu")
        return _question(row)
    except MissingColumn as missing:
        return Problem(ProblemReason.INVALID_SPEC, missing.column, "holds no positive number, and nothing else says it")


def _question(row: Row) -> tuple[Training, Placement] | Problem:
    gpu = dataset_gpu(row.get("gpu") or GPU)
    if isinstance(gpu, Unmatched):
        return unknown_product(gpu, "gpu")
    hidden, heads = whole(row, "hidden"), whole(row, "heads")
    arch = Architecture(
        name=f"sweep-{row.get('params_b')}",
        layers=whole(row, "layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=whole(row, "kv_heads", heads),
        head_dim=max(hidden // heads, 1),
        ffn=whole(row, "ffn_hidden"),
        vocab=whole(row, "vocab"),
        tied_embeddings=(row.get("tied") or "0").strip() == "1",
    )
    stage = min(whole(row, "zero_stage", 0), len(_STAGES) - 1)
    setup = Training(
        architecture=arch,
        precisions=Precisions(Precision.BF16),
        sequence_length=whole(row, "seq_len"),
        global_batch_size=whole(row, "global_batch"),
        micro_batch_size=whole(row, "micro_batch"),
        parallelism=Parallelism(whole(row, "tp", 1), whole(row, "pp", 1), 1, whole(row, "dp", 1)),
        sharding=_STAGES[stage],
        engine=ENGINE,
    )
    gpus = whole(row, "gpus")
    nodes = whole(row, "nodes", max(gpus // NODE, 1))
    return setup, Placement(Device(gpu), gpus, max(gpus // nodes, 1), inter_node=FABRIC)


def _memory(good: Sequence[tuple[Row, _Found]]) -> dict[str, float | None]:
    """Predicted peak without the CUDA context over the allocator's peak, which is what the table holds."""
    errors = []
    for row, (_, _, prediction, _) in good:
        try:
            measured = needed(row, "peak_mem_gb") * GIB
        except MissingColumn:
            continue
        errors.append(abs(allocator_bytes(prediction) / measured - 1.0))
    return {"memory_mape": fmean(errors) if errors else None}


def allocator_bytes(prediction: Prediction) -> float:
    """What the framework's allocator holds: everything but the CUDA context and the libraries."""
    return prediction.memory.total_bytes - prediction.memory.terms.get("framework", 0.0)


def _ranking(good: Sequence[tuple[Row, _Found]]) -> dict[str, float | None]:
    questions: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row, (_, _, _, seconds) in good:
        key = tuple((row.get(name) or "").strip() for name in ("gpu", "params_b", "gpus", "global_batch", "seq_len"))
        pair = (-seconds, needed(row, "tokens_per_s_per_gpu"))
        questions.setdefault(key, []).append(pair)
    asked = [pairs for pairs in questions.values() if len(pairs) >= _LEAST]
    if not asked:
        return {"first_choice": None, "spearman": None}
    first = [max(pairs, key=lambda pair: pair[0])[1] / max(measured for _, measured in pairs) for pairs in asked]
    ranks = [rho for pairs in asked if (rho := spearman(*zip(*pairs, strict=True))) is not None]
    return {"first_choice": fmean(first), "spearman": fmean(ranks) if ranks else None}


def spearman(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Rank correlation with ties averaged; None where one side does not vary."""
    a, b = _ranks(one), _ranks(two)
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: np.ndarray[tuple[int], np.dtype[np.float64]] = (last - (counts - 1) / 2.0)[inverse]
    return middle
