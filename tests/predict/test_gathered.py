"""Gathered inputs that the allocator still holds: by how far the host runs ahead, and of which jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.communication import stalled_share
from mfu.predict.training.constants import shipped
from mfu.predict.training.gathered import gathered_bytes
from mfu.predict.training.stages import stage_layers
from mfu.predict.types import Placement, Sharding, Training

Job = Callable[..., Training]
On = Callable[..., Placement]
Held = Callable[..., float]


@pytest.fixture
def case(job: Job, on: On) -> Callable[..., TrainingCase]:
    def build(gpus: int = 16, **changes: Any) -> TrainingCase:
        usual = {"engine": "nanotron", "sequence_length": 4096, "micro_batch_size": 1, "sharding": Sharding.ZERO1}
        found = case_of(job(**{**usual, **changes}), on(gpus=gpus), shipped())
        assert found is not None
        return found

    return build


@pytest.fixture
def held(case: Callable[..., TrainingCase]) -> Held:
    """Layers' worth of gathered inputs that a job of Llama 3.1 8B on nanotron holds."""

    def layers(gpus: int = 16, **changes: Any) -> float:
        layer = 2.0 * 4096 * 4096 * changes.get("micro_batch_size", 1) * 2.0
        return float(gathered_bytes(case(gpus, **changes), shipped())) / layer

    return layers


def test_without_a_pipeline_a_job_holds_what_the_host_is_ahead_by(held: Held) -> None:
    ahead = shipped()["gathered_layers"]
    assert held(tensor=8, data=2, global_batch_size=256) == pytest.approx(ahead, rel=1e-3)
    assert held(tensor=8, data=2, global_batch_size=256, micro_batch_size=8) == pytest.approx(ahead, rel=1e-3)


def test_no_tensor_ranks_and_other_engines_hold_none(held: Held) -> None:
    assert held(tensor=1, data=16, global_batch_size=256) == 0.0
    assert held(tensor=8, data=2, global_batch_size=256, engine="Megatron-LM") == 0.0


def test_two_stages_hold_some_only_where_the_gpu_is_the_slower(held: Held) -> None:
    assert held(tensor=8, pipeline=2, data=1, global_batch_size=256) == 0.0
    assert held(tensor=8, pipeline=2, data=1, global_batch_size=256, micro_batch_size=16) > 10.0


def test_more_stages_hold_the_micro_batches_that_a_step_begins_with(held: Held) -> None:
    four = held(32, tensor=8, pipeline=4, data=1, global_batch_size=256)
    assert 10.0 < four <= 32 * (1 - 2 / 4)


def test_what_would_fill_the_memory_is_given_back(held: Held) -> None:
    assert held(tensor=16, data=1, global_batch_size=256, micro_batch_size=64) == 0.0


def test_pipelines_whose_tensor_groups_span_nodes_stall_and_hold_none(held: Held, case: Any) -> None:
    wide = {"tensor": 32, "pipeline": 2, "data": 1, "global_batch_size": 256}
    assert float(stalled_share(case(64, **wide), shipped())) == 1.0
    assert float(stalled_share(case(64, **{**wide, "tensor": 16, "data": 2}), shipped())) < 0.01
    assert held(64, **wide, micro_batch_size=16) == 0.0


@pytest.mark.parametrize(("head", "first", "last"), [(4.0, 5.0, 1.0), (4.1, 6.0, 0.0), (3.9, 5.0, 1.0)])
def test_a_block_that_ends_on_its_share_ends_the_stage(case: Any, head: float, first: float, last: float) -> None:
    sixteen = case(32, model="llama-3.2-1b", tensor=8, pipeline=4, data=1, global_batch_size=256)
    cut = stage_layers(sixteen, np.asarray(head))
    assert (float(cut.first), float(cut.last)) == (first, last)
