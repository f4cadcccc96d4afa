"""Bands of jobs that span nodes whose network nobody described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.predict.training.predict import predict_training
from mfu.predict.types import Placement, Prediction, Problem, Sharding, Training


def on(gpu: str = "a100-sxm4-80gb", gpus: int = 64) -> Placement:
    return Placement(Device(load().gpus[gpu]), gpus, min(gpus, 8))


@pytest.fixture
def sharded(job: Callable[..., Training]) -> Training:
    """8B by FSDP, 2,048 tokens on each of 64 GPUs: gathers outlast the computation on a slow network."""
    return job(
        data=64, global_batch_size=64, sequence_length=2048, sharding=Sharding.ZERO3, engine="PyTorch", compiled=True
    )


def found(setup: Training, placement: Placement) -> Prediction:
    answer = predict_training(setup, placement)
    assert not isinstance(answer, Problem)
    return answer


def test_the_band_reaches_down_to_a_quarter_of_the_usual_network(sharded: Training) -> None:
    unsaid, usual, slow = (
        found(sharded, replace(on(), inter_node_bytes_per_s=rate)) for rate in (None, 25e9, 25e9 / 4.0)
    )
    assert unsaid.mfu == usual.mfu
    assert unsaid.high == usual.high
    assert unsaid.low < usual.low
    assert unsaid.low < slow.mfu < usual.low


def test_what_a_slow_network_would_not_change_is_as_sure_as_before(sharded: Training) -> None:
    alone = replace(sharded, global_batch_size=8, parallelism=replace(sharded.parallelism, data=8))
    assert found(alone, on(gpus=8)).doubt.tail == 1.0
    long = replace(sharded, sequence_length=16384)
    assert found(long, on()).doubt.tail > 0.97 > found(sharded, on()).doubt.tail


def test_who_publishes_tuned_runs_has_the_fabric_of_the_product(sharded: Training) -> None:
    assert found(replace(sharded, engine="NeMo"), on()).doubt.tail == 1.0


def test_a_product_of_one_machine_names_its_network(sharded: Training) -> None:
    assert found(sharded, on("a100-sxm-64gb")).doubt.tail == 1.0
