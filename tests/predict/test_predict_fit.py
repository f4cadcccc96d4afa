"""The fit: it binds what the product computes, does not get worse, and does not know what it never saw."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.newton import beginning, fit
from mfu.predict.fit.parameters import PARAMETERS
from mfu.predict.fit.rows import log_errors, rows_of, steps
from mfu.predict.fit.tables import Measured, shipped_rows
from mfu.predict.training.constants import document, shipped
from mfu.predict.training.engines import ENGINES, UNKNOWN, engine
from mfu.predict.training.predict import predict_training
from mfu.predict.types import Prediction
from tools.fit import sweep as fit_sweep
from tools.fit.training import LEARNED


def some(every: int) -> list[Measured]:
    return list(shipped_rows())[::every]


def test_bound_rows_are_what_the_product_predicts() -> None:
    measured = some(40)
    seconds = steps(rows_of(measured), shipped()).seconds
    assert len(seconds) == len(measured)
    for value, each in zip(seconds, measured, strict=True):
        single = predict_training(each.setup, each.placement)
        assert isinstance(single, Prediction)
        assert float(value) == pytest.approx(single.step_seconds, rel=1e-9)


def test_a_few_rounds_of_fitting_do_not_get_worse() -> None:
    rows = rows_of([each for each in some(6) if each.table == "training"])
    before = float(np.mean(np.abs(log_errors(rows, beginning(rows).constants()))))
    after = float(np.mean(np.abs(log_errors(rows, fit(rows, rounds=4).constants()))))
    assert after < before


@pytest.mark.slow
def test_a_source_left_out_is_no_longer_known() -> None:
    refits = TrainingRefits.of(some(3), rounds=1)
    engines = set(refits.rows.engine.tolist())
    alone = next(
        source
        for source in np.unique(refits.rows.source)
        if len(owners := set(refits.rows.engine[refits.rows.source == source])) == 1
        and not owners & set(refits.rows.engine[refits.rows.source != source])
    )
    gone = set(refits.rows.engine[refits.rows.source == alone])
    tables = refits.less(str(alone)).tables
    assert gone <= engines
    assert not gone & set(tables["engine"])
    assert tables["engine_doubt"]["default"] > min(tables["engine_doubt"].values())


def test_constants_say_whether_they_are_fitted() -> None:
    fitted = {each.name.split(".")[0] for each in PARAMETERS}
    fitted |= {*fit_sweep.MEMORY, *fit_sweep.RANKING, *LEARNED, "doubt"}
    assert {name for name, entry in document().items() if entry["fitted"]} == fitted


def test_far_fewer_parameters_than_rows() -> None:
    assert len(PARAMETERS) + len(ENGINES) < 70


def test_an_engine_nobody_measured_gets_the_mean_and_the_whole_spread() -> None:
    tables = shipped().tables
    assert set(tables["engine"]) - {"default", UNKNOWN.name} <= {each.name for each in ENGINES.values()}
    assert all(0.75 <= value <= 1.25 for value in tables["engine"].values())
    measured = [value for name, value in tables["engine_doubt"].items() if name not in ("default", UNKNOWN.name)]
    assert all(value < tables["engine_doubt"]["default"] for value in measured)
    assert tables["engine_doubt"][UNKNOWN.name] > tables["engine_doubt"]["default"], "its habits are unknown too"


def test_an_engine_without_a_name_is_the_same_whatever_its_source() -> None:
    c = shipped()
    for table in ("engine", "engine_doubt"):
        assert c.of(table, "Unknown InternLM/InternEvo@3a665e8") == c.of(table, UNKNOWN.name)
    assert c.of("engine", "nothing of that kind") == c.tables["engine"]["default"]
    assert not c.measured("engine", "nothing of that kind")


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
