"""Validation: the report's shape, what rows may and may not influence, and the accuracy that the product promises."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mfu.predict.types import Problem
from mfu.predict.validate import runs, steps, sweep, training
from mfu.predict.validate.common import Report, Row, Scored, size_of
from mfu.predict.validate.rows import architecture_of, network_bytes_per_s, precision_of, sharding_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="published data sets are not beside the checkout")
Validate = Callable[[Sequence[Row]], Report]

ROW = {
    "id": "x-1",
    "source": "NVIDIA/NeMo@1 docs",
    "model": "LLAMA3_8B",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "8",
    "ffn_hidden": "14336",
    "gated_ffn": "1",
    "vocab": "128256",
    "tied_embeddings": "0",
    "seq_len": "8192",
    "moe_experts": "",
    "moe_topk": "",
    "gpu": "H100-SXM5-80GB",
    "gpus": "8",
    "gpus_per_node": "8",
    "interconnect": "",
    "tp": "1",
    "pp": "1",
    "cp": "2",
    "ep": "",
    "dp": "4",
    "zero_or_fsdp": "zero1",
    "vpp": "",
    "micro_batch": "1",
    "global_batch": "128",
    "precision": "bf16",
    "activation_checkpointing": "none",
    "tokens_per_s_per_gpu": "10256",
    "tok_s_gpu_for_validation": "10256.03",
    "tier": "A",
    "notes": "",
}


def table(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_published_row_is_predicted_within_a_quarter() -> None:
    found = training.validate_training([ROW])
    assert found.refused == ()
    assert abs(found.scored[0].error) < 0.25
    assert found.scored[0].keys["engine"] == "NeMo"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"gpu": "Voodoo2"}, "no known GPU product"),
        ({"precision": "float12"}, "no known format"),
        ({"micro_batch": ""}, "micro_batch holds no"),
        ({"layers": ""}, "layers holds no"),
        ({"tok_s_gpu_for_validation": "", "tokens_per_s_per_gpu": ""}, "holds no"),
        ({"global_batch": "130"}, "globalBatchSize"),
        ({"layers": "nan"}, "layers holds no"),
        ({"seq_len": "-5"}, "seq_len holds no"),
        ({"gpus": "many"}, "gpus holds no"),
        ({"tok_s_gpu_for_validation": "inf", "tokens_per_s_per_gpu": "nan"}, "holds no"),
        ({"precision": "nvfp4"}, "precision.compute"),
    ],
)
def test_a_row_that_cannot_be_predicted_is_refused_with_the_reason(changes: dict[str, str], word: str) -> None:
    found = training.validate_training([{**ROW, **changes}])
    assert found.scored == ()
    assert found.mape is None
    assert word in found.refused[0].reason


def test_report_document_has_the_promised_keys() -> None:
    found = training.validate_training([ROW, {**ROW, "gpu": "?"}]).document()
    assert list(found) == ["rows", "predicted", "refused", "mape", "median_ape", "bias", "coverage", "half_width", "by"]
    assert (found["rows"], found["predicted"]) == (2, 1)
    groups = found["by"]
    assert isinstance(groups, list)
    assert set(groups[0]) == {"key", "value", "rows", "mape", "bias", "coverage", "memory_mape"}
    assert {group["key"] for group in groups} >= {"gpu", "precision", "source", "size"}


def test_other_rows_of_the_same_columns_work() -> None:
    other = {**ROW, "gpu": "MI300X", "gpus": "16", "dp": "8", "extra": "ignored", "interconnect": "8x400Gb/s RoCE"}
    assert len(training.validate_training([other]).scored) == 1


@needs_data
@pytest.mark.parametrize(
    ("name", "validate"),
    [
        ("training_mfu.csv", training.validate_training),
        ("measured_steps.csv", steps.validate_steps),
        ("layout_sweep.csv", sweep.validate_sweep),
        ("gpu_runs.csv", runs.validate_runs),
    ],
)
def test_id_and_notes_do_not_matter(name: str, validate: Validate) -> None:
    rows = table(name)[:120]
    shuffled = [dict(row) for row in rows]
    generator = random.Random(11)
    for column in ("id", "notes"):
        values = [row.get(column, "") for row in rows]
        generator.shuffle(values)
        for row, value in zip(shuffled, values, strict=True):
            row[column] = value
    before = [row.predicted for row in validate(rows).scored]
    assert before == [row.predicted for row in validate(shuffled).scored]


@needs_data
def test_training_accuracy() -> None:
    found = training.validate_training([row for row in table("training_mfu.csv") if row["tier"] == "A"])
    assert len(found.scored) >= 0.97 * found.rows
    assert found.mape is not None
    assert found.mape <= 0.075
    assert abs(found.bias or 0.0) <= 0.03
    within = sum(abs(row.error) <= 0.25 for row in found.scored) / found.rows
    assert within >= 0.95


@needs_data
@pytest.mark.slow
def test_steps_accuracy() -> None:
    found = steps.validate_steps(table("measured_steps.csv"))
    assert len(found.scored) == found.rows
    assert found.mape is not None
    assert found.mape <= 0.12
    assert any("host sets the pace" in row.note for row in found.scored)


@needs_data
@pytest.mark.slow
def test_sweep_accuracy() -> None:
    found = sweep.validate_sweep(table("layout_sweep.csv"))
    assert len(found.scored) >= 0.99 * found.rows
    assert (found.extra["memory_mape"] or 1.0) <= 0.08
    assert (found.extra["first_choice"] or 0.0) >= 0.95
    assert (found.extra["spearman"] or 0.0) >= 0.86
    assert 0.75 <= (found.coverage or 0.0) <= 0.90, "stalls are in the band, not in the number"


@needs_data
def test_runs_accuracy() -> None:
    found = runs.validate_runs(table("gpu_runs.csv"))
    assert len(found.scored) == found.rows
    assert (found.extra["mape_large"] or 1.0) <= 0.10
    assert (found.extra["mape_small"] or 1.0) <= 0.35
    slow = [row for row in found.scored if row.note]
    assert {row.id for row in slow} == {"H200-small-batch", "H200-run-train-1.3b-b1-t256"}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("NVLink + 4x100Gb Omni-Path per node (Jean Zay)", 6.25e9),
        ("1600Gbps/node RoCE", 25e9),
        ("NVLink + 8x200Gb/s IB (NDm A100 v4)", 25e9),
        ("NVSwitch + 8x200Gb/s HDR IB per node (recall)", 25e9),
        ("NVLink + 400Gb/s RoCE per GPU", 50e9),
        ("NVLINK Gen4 900 GB/s; Storage: 2x ConnectX-7 IB NDR 400Gb/s, Compute: 8x ConnectX-7 IB NDR 400Gb/s", 50e9),
        ("NVLink + 25Gb/s Ethernet management; 8x200Gb/s InfiniBand per node", 25e9),
        ("NVLink + 100Gb/s Ethernet per node", 1.5625e9),
        ("100Gb/s Ethernet per node, 8x200Gb/s InfiniBand per node", 25e9),
        ("NVL72 NVLink5", None),
        ("", None),
    ],
)
def test_network_rates_as_published(text: str, rate: float | None) -> None:
    assert network_bytes_per_s(text, 8) == rate


def test_cells() -> None:
    assert precision_of("mxfp8") == "FP8"
    assert precision_of("nvfp4") == "FP4"
    assert precision_of("") is None
    assert sharding_of("hsdp (fsdp=128)") == "HSDP"
    assert sharding_of("zero3") == "ZeRO3"
    assert sharding_of("none") == "DDP"
    assert size_of(8.03e9) == "3-13B"


def test_presets_lend_head_width_and_latent_attention() -> None:
    row = {**ROW, "layers": "61", "hidden": "7168", "heads": "128", "vocab": "129280", "moe_experts": "256"}
    assert architecture_of(row).mla is not None
    assert architecture_of(ROW).mla is None


def test_spearman_averages_ties() -> None:
    assert sweep.spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1.0)
    assert sweep.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert sweep.spearman([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9487, abs=1e-4)
    assert sweep.spearman([1, 1], [1, 2]) is None


def test_errors_are_relative_to_the_measured_value() -> None:
    assert Scored("a", 100.0, 90.0, {}).error == pytest.approx(-0.1)
    found = Report(2, (Scored("a", 100.0, 90.0, {}), Scored("b", 100.0, 120.0, {})), ())
    assert found.mape == pytest.approx(0.15)
    assert found.bias == pytest.approx(0.05)


def test_a_question_can_be_refused() -> None:
    assert isinstance(steps.question({"gpu": "A100", "gpus": "8"}), Problem)
    assert isinstance(sweep.question({"gpus": "8"}), Problem)
