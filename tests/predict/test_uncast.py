"""Layouts in which torchtitan computes in FP32, whatever is declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Precision
from mfu.predict.training.case import case_of
from mfu.predict.training.constants import shipped
from mfu.predict.training.predict import predict_training
from mfu.predict.training.uncast import UNCAST_NOTE, is_uncast
from mfu.predict.types import Placement, Prediction, Problem, Sharding, Training

Job = Callable[..., Training]


def on(gpus: int) -> Placement:
    return Placement(Device(load().gpus["a100-sxm4-80gb"]), gpus, min(gpus, 8))


def found(setup: Training) -> Prediction:
    cut = setup.parallelism
    answer = predict_training(setup, on(cut.tensor * cut.pipeline * cut.context * cut.data))
    assert not isinstance(answer, Problem)
    return answer


@pytest.mark.parametrize(
    ("changes", "wide"),
    [
        ({"tensor": 8}, True),
        ({"tensor": 4, "data": 2}, True),
        ({"tensor": 1, "data": 8}, False),
        ({"pipeline": 8}, True),
        ({"tensor": 4, "context": 2}, False),
        ({"tensor": 4, "data": 2, "sharding": Sharding.ZERO3}, False),
        ({"tensor": 8, "engine": "Megatron-LM"}, False),
        ({"tensor": 8, "compute": Precision.FP32}, False),
    ],
)
def test_only_fsdp_and_context_parallelism_cast_what_is_cut(job: Job, changes: dict[str, Any], wide: bool) -> None:
    setup = job(**{"engine": "torchtitan", "sharding": Sharding.DDP, "data": 1, **changes})
    case = case_of(setup, on(8), shipped())
    assert case is not None
    assert bool(is_uncast(case)) is wide


def test_tensor_parallelism_alone_runs_at_the_rate_of_fp32(job: Job) -> None:
    """19.5 TFLOP/s of FP32 are a sixteenth of BF16's 312: two A100 of a stranger ran at 0.050 of it, FSDP beside at
    0.35."""
    alone = found(job(engine="torchtitan", tensor=8, data=1, sharding=Sharding.DDP))
    beside = found(job(engine="torchtitan", tensor=4, data=2, sharding=Sharding.ZERO3))
    assert 0.02 < alone.mfu < 19.5 / 312.0
    assert beside.mfu > 5.0 * alone.mfu
    assert (UNCAST_NOTE in alone.notes, UNCAST_NOTE in beside.notes) == (True, False)
    assert alone.mfu + sum(loss.fraction for loss in alone.waterfall) == pytest.approx(1.0)


def test_what_is_kept_for_the_backward_pass_is_twice_as_wide(job: Job) -> None:
    wide = found(job(engine="torchtitan", tensor=8, data=1, sharding=Sharding.DDP))
    narrow = found(job(engine="Megatron-LM", tensor=8, data=1, sharding=Sharding.DDP))
    assert wide.memory.terms["activations"] > 1.5 * narrow.memory.terms["activations"]
