"""The results that others published, in `benchmarks/published`: readable, possible, and each with its source."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mfu.predict.inference.dataset import question as asked_inference
from mfu.predict.training.flops import model_flops_per_token
from mfu.predict.types import Problem
from mfu.predict.validate import inference
from mfu.predict.validate.training import question, source_of

PUBLISHED = Path(__file__).resolve().parents[2] / "benchmarks" / "published"
README = (PUBLISHED / "README.md").read_text()
_HIGHEST = 0.8
_BYTES = {"bf16": 2.0, "fp16": 2.0, "int8": 1.0, "fp8": 1.0, "int4": 0.5, "mxfp4": 0.5}


def _rows(name: str) -> list[dict[str, str]]:
    with (PUBLISHED / name).open(newline="") as table:
        return list(csv.DictReader(table))


TABLES = ("", "later_", "unseen_")
"""In the order in which they were collected."""
TRAINING = [row for table in TABLES for row in _rows(f"{table}training.csv")]
INFERENCE = [row for table in TABLES for row in _rows(f"{table}inference.csv")]


_OF_SEVERAL_AUTHORS = {
    "NVIDIA/FasterTransformer",
    "pytorch/torchtitan",
    "vllm-project/vllm",
    "ggml-org/llama.cpp",
}
"""Repositories of which one table has an issue or a pull request, by a user, that another does not."""


def _publisher(row: dict[str, str]) -> str:
    return source_of(row).split("@")[0]


def _mfu(row: dict[str, str]) -> float:
    asked = question(row)
    assert not isinstance(asked, Problem), f"{row['id']}: {asked}"
    setup, placement, rate = asked
    gpu = placement.device.gpu
    peak = gpu.peaks.get(setup.precisions.compute) or gpu.reference_peak_flops_per_s
    assert peak is not None
    return model_flops_per_token(setup) * rate / peak


@pytest.mark.parametrize("row", TRAINING, ids=lambda row: row["id"])
def test_a_training_row_is_readable_and_possible(row: dict[str, str]) -> None:
    assert 0.0 < _mfu(row) < _HIGHEST


@pytest.mark.parametrize("row", TRAINING, ids=lambda row: row["id"])
def test_the_batch_divides_into_what_the_layout_runs(row: dict[str, str]) -> None:
    ranks = int(row["gpus"]) // (int(row["tp"]) * int(row["pp"]) * int(row["cp"]))
    assert int(row["dp"]) == ranks
    assert int(row["global_batch"]) % (int(row["micro_batch"]) * ranks) == 0


@pytest.mark.parametrize("row", INFERENCE, ids=lambda row: row["id"])
def test_an_inference_row_is_readable(row: dict[str, str]) -> None:
    assert inference.predictable(row)


@pytest.mark.parametrize("row", INFERENCE, ids=lambda row: row["id"])
def test_no_row_reads_weights_faster_than_memory(row: dict[str, str]) -> None:
    """A token of one request reads every active weight once, from the memories of all GPUs of the replica."""
    asked = asked_inference(row)
    assert not isinstance(asked, Problem)
    if row["metric"].startswith("output_tok_s (batch") and row["concurrency_or_batch"] == "1":
        weights = float(row["active_params_b"]) * 1e9 * _BYTES[row["weight_precision"]]
        memory = asked.placement.device.gpu.memory_bandwidth_bytes_per_s * int(row["tp"])
        assert float(row["value"]) * weights < memory


def test_every_source_is_named_in_the_readme() -> None:
    assert {source for row in [*TRAINING, *INFERENCE] if (source := source_of(row)) not in README} == set()


@pytest.mark.parametrize("kind", ["training", "inference"])
@pytest.mark.parametrize("number", range(1, len(TABLES)))
def test_no_later_source_is_among_those_that_were_fitted_or_read_before(kind: str, number: int) -> None:
    before = {_publisher(row) for table in TABLES[:number] for row in _rows(f"{table}{kind}.csv")}
    later = {_publisher(row) for row in _rows(f"{TABLES[number]}{kind}.csv")}
    assert later & before <= _OF_SEVERAL_AUTHORS


def test_ids_are_unique() -> None:
    ids = [row["id"] for row in [*TRAINING, *INFERENCE]]
    assert len(ids) == len(set(ids))
