"""`mfu diagnose`: the keys of its JSON, its text, and files that do not read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from mfu.cli.diagnose import add_parser, diagnosis
from mfu.telemetry.recorded import parse

GPM = {"GRAPHICS_UTIL": 99.9, "SM_UTIL": 96.0, "ANY_TENSOR_UTIL": 73.3, "DRAM_BW_UTIL": 25.0, "FP32_UTIL": 4.2}
ROW: dict[str, Any] = {
    "scenario": "mine",
    "gpu": "NVIDIA H200",
    "gpus": 1,
    "precision": "bf16",
    "kind": "train",
    "layers": 24,
    "hidden": 2048,
    "heads": 16,
    "ffn": 8192,
    "vocab": 50304,
    "micro_batch": 12,
    "seq_len": 2048,
    "data_parallel": 1,
    "series": [
        {"t": float(t), "gpu": 0, "gpm": GPM, "gpu_util": 100, "power_w": 693.0, "sm_clock": 1522, "fb_used": 65e9}
        for t in range(1, 16)
    ],
}


def run(path: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["diagnose", str(path), *options])
    status = args.run(args)
    assert isinstance(status, int)
    return status


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text(json.dumps(ROW) + "\n\n" + json.dumps(ROW | {"gpu": "NVIDIA Z1"}) + "\n", encoding="utf-8")
    return path


def test_json_has_what_the_issue_names(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(trace, "-o", "json") == 0
    known, unknown = json.loads(capsys.readouterr().out)
    assert {"scenario", "cause", "confidence", "mfu_counters", "evidence", "counterfactual"} <= known.keys()
    assert (known["cause"], known["scenario"]) == ("none", "mine")
    assert known["mfu_counters"] == pytest.approx(0.560, abs=0.003)
    assert (unknown["cause"], unknown["mfu_counters"], unknown["confidence"]) == ("Unknown", None, None)


def test_text_is_for_people(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(trace) == 0
    assert "mine: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"scenario": "x"}', '{"scenario": "x", "gpu": "NVIDIA H200", "series": 3}']
)
def test_a_bad_line_is_named_not_fatal(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text, encoding="utf-8")
    assert run(path) == 2
    assert "bad.jsonl:1" in capsys.readouterr().err


def test_a_missing_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none.jsonl") == 2
    assert "none.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"series": []}, {"layers": "many"}, {"precision": "bf17"}, {"heads": 0}, {"kind": "prefill"}, {"gpus": 3}],
)
def test_odd_rows_get_an_answer(change: dict[str, Any]) -> None:
    found = diagnosis(parse(json.dumps(ROW | change)))
    assert found["cause"] in ("none", "Unknown")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "mamba"},
        {"model_type": "llama"},
        {"model_type": "llama", "hidden_size": "wide"},
        [],
        "x",
        None,
    ],
)
def test_a_config_that_does_not_read_leaves_the_counters(config: Any) -> None:
    found = diagnosis(parse(json.dumps(ROW | {"config": config, "layers": None})))
    assert found["mfu_counters"] is not None


def test_the_truth_in_a_row_changes_nothing() -> None:
    told = ROW | {"truth": "straggler", "mfu": 0.1, "steps": 3, "flops_per_step_per_gpu": 1.0, "tflops_per_gpu": 2.0}
    assert diagnosis(parse(json.dumps(told))) == diagnosis(parse(json.dumps(ROW)))
