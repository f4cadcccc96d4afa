"""The fitting tool: what it binds is what the product computes, and a fit does not get worse."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mfu.predict.training.constants import document, shipped
from mfu.predict.training.engines import ENGINES, UNKNOWN, engine
from mfu.predict.training.predict import predict_training
from mfu.predict.training.step import step
from mfu.predict.types import Prediction
from tools.fit import sweep as fit_sweep
from tools.fit import training as tool

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="published data sets are not beside the checkout")


def some(table: str, every: int) -> list[tuple[str, tool.Found]]:
    reader = tool.READERS[table]
    with (DATA / tool.FILES[table]).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::every]
    return [(table, found) for row in rows if (found := reader(row)) is not None]


@needs_data
def test_bound_rows_are_what_the_product_predicts() -> None:
    found = some("training", 40) + some("steps", 200) + some("runs", 1) + some("sweep", 100)
    rows = tool._rows(found)
    seconds = step(tool.bind(rows, shipped()), shipped()).seconds
    assert len(seconds) == len(found)
    for value, (_, (setup, placement, _, _)) in zip(seconds, found, strict=True):
        single = predict_training(setup, placement)
        assert isinstance(single, Prediction)
        assert float(value) == pytest.approx(single.step_seconds, rel=1e-9)


@needs_data
def test_one_round_of_fitting_does_not_get_worse() -> None:
    rows = tool._rows(some("training", 8) + some("runs", 1))
    shipped_error = float(np.mean(np.abs(tool.log_errors(rows, shipped()))))
    start = tool.fit(rows, rounds=0)
    fitted = tool.fit(rows, rounds=6, start=start)
    before = float(np.mean(np.abs(tool.log_errors(rows, start.constants()))))
    after = float(np.mean(np.abs(tool.log_errors(rows, fitted.constants()))))
    assert after < before
    assert shipped_error < 0.12


def test_constants_say_whether_they_are_fitted() -> None:
    fitted = {each.name.split(".")[0] for each in tool.PARAMETERS}
    fitted |= {*fit_sweep.MEMORY, *fit_sweep.RANKING, "engine"}
    assert {name for name, entry in document().items() if entry["fitted"]} == fitted


def test_far_fewer_parameters_than_rows() -> None:
    assert len(tool.PARAMETERS) + len(ENGINES) < 60


def test_each_engine_has_at_most_one_factor() -> None:
    factors = shipped().tables["engine"]
    names = {each.name for each in ENGINES.values()}
    assert set(factors) - {"default"} <= names
    assert factors["default"] == 1.0
    assert all(0.8 <= value <= 1.2 for value in factors.values())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NVIDIA/dgxc-benchmarking@v24.11.1 maxtext/README_70b.md:51", "MaxText"),
        ("NVIDIA/dgxc-benchmarking@v25.02 llama3.1/README_8b.md:52", "NeMo"),
        ("NVIDIA-NeMo/Megatron-Bridge@067f987df docs/performance-summary-archive.md:101", "Megatron-Bridge"),
        ("mosaicml/llm-foundry@8c8dd48 scripts/train/benchmarking/README.md:75", "llm-foundry"),
        ("VIA-Research/vTrain data/ground_truth_single.csv", "Megatron-DeepSpeed"),
        ("mlcommons/training_results_v3.1@d06288b NVIDIA/results/eos_n64_ngc23.09_nemo", "MLPerf"),
        ("Megatron-LM README@2021 images/cases_april2021.png", "Megatron-LM-2021"),
        ("Megatron", "Megatron-LM"),
        ("torchtitan", "torchtitan"),
        ("PyTorch", "PyTorch"),
        ("something of our own", "Unknown"),
        (None, "Unknown"),
    ],
)
def test_engine_names(text: str | None, name: str) -> None:
    assert engine(text).name == name
    assert UNKNOWN.name == "Unknown"
