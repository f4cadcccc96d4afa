"""What a sharded step waits for, against runs whose kernels were recorded (e2e/recordings/h200_exposure.jsonl)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.communication import data_seconds, end_share
from mfu.predict.training.compute import weight_quantisation
from mfu.predict.training.constants import shipped
from mfu.predict.training.optimizer import optimizer_seconds
from mfu.predict.types import Problem
from mfu.predict.validate.trainer import question, validate_trainer

RECORDED = Path(__file__).parents[2] / "e2e" / "recordings" / "h200_exposure.jsonl"


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, int], dict[str, Any]]:
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    return {(line["scenario"], line["gpus"]): line for line in lines}


def case(run: dict[str, Any]) -> TrainingCase:
    found = question(run)
    assert not isinstance(found, Problem)
    made = case_of(*found, shipped())
    assert made is not None
    return made


def test_nothing_hides_embedding_head_and_one_layer(
    runs: dict[tuple[str, int], dict[str, Any]],
) -> None:
    """Two times 128,256 · 4,096 and a thirty-second of the layers, of 8.03e9."""
    outside = 2 * 128_256 * 4096
    layers = 8.03e9 - outside
    assert float(end_share(case(runs["8b-4k", 4]))) == pytest.approx((outside + layers / 32) / 8.03e9, rel=1e-3)


LONG = ("8b-4k", "8b-8k-op", "deep-4k", "deep-8k-b2-full", "small-4k-b4", "wide-4k")
"""Runs that compute for longer than they exchange."""


@pytest.mark.parametrize(("gpus", "rate"), [(4, 310e9), (2, 262e9)])
def test_exchanges_run_alone_for_as_long_as_those_take(
    runs: dict[tuple[str, int], dict[str, Any]], gpus: int, rate: float
) -> None:
    """16-bit weights gathered and FP32 gradients reduced at the rate of large messages alone."""
    over = []
    for run in (runs[name, gpus] for name in LONG):
        model = case(run).model
        held = float(model.layer_params + model.embedding_params + model.head_params)
        moved = float(end_share(case(run))) * held * (2 + 4) * (gpus - 1) / gpus
        over.append(run["kernels"]["nccl_alone"] / (moved / rate))
    assert float(np.mean(over)) == pytest.approx(1.1, abs=0.2)
    assert 0.7 < min(over) <= max(over) < 1.5


def test_hidden_exchanges_slow_what_runs_beside_them(runs: dict[tuple[str, int], dict[str, Any]]) -> None:
    """A window without end leaves the ends, what is contended, and the copies."""
    c, setup = shipped(), case(runs["8b-4k", 4])
    free = float(data_seconds(setup, c, np.asarray(1e9), np.asarray(1.0)))
    still = float(data_seconds(setup, c.replace({"contended": 0.0}), np.asarray(1e9), np.asarray(1.0)))
    assert 0.1 < c["contended"] < 0.3
    assert free > still > 0.0


@pytest.mark.parametrize(("name", "gpus"), [("8b-4k", 4), ("deep-4k", 4), ("wide-4k", 4), ("8b-4k", 2), ("deep-4k", 2)])
def test_the_end_of_a_step_takes_what_crosses_memory(
    runs: dict[tuple[str, int], dict[str, Any]], name: str, gpus: int
) -> None:
    run = runs[name, gpus]
    measured = run["phases"]["clip"] + run["phases"]["optimizer"]
    assert float(optimizer_seconds(case(run), shipped())) == pytest.approx(measured, rel=0.3)


def test_quantised_weights_cross_memory_in_every_micro_batch(runs: dict[tuple[str, int], dict[str, Any]]) -> None:
    """14 bytes for each of 6.98e9 at 4.08e12 bytes/s: 24 ms."""
    seconds = float(weight_quantisation(case(runs["8b-4k-float8", 4]), shipped()))
    assert seconds == pytest.approx(14 * 6.98e9 / (4.8e12 * 0.85), rel=0.01)
    assert float(weight_quantisation(case(runs["8b-4k", 4]), shipped())) == 0.0


def test_recorded_steps_and_peaks_are_met(runs: dict[tuple[str, int], dict[str, Any]]) -> None:
    found = validate_trainer(list(runs.values()))
    errors = [abs(row.error) for row in found.scored]
    assert len(errors) == 40
    assert float(np.mean(errors)) <= 0.08
    assert (found.extra["memory_mape"] or 1.0) <= 0.05
