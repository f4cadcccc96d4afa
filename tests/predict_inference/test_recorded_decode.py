"""Recorded prompts and decode steps of Hugging Face transformers on an H200: a test set that no fit has seen."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.inference import predict_inference
from mfu.predict.types import Compilation, Inference, Parallelism, Phase, Placement, Precisions, Prediction
from mfu.workload.presets import preset

RECORDED = Path(__file__).parents[2] / "e2e/recordings/h200_decode.jsonl"
_PRESETS = {"llama-8b": "llama-3.1-8b"}
_SECONDS_BUSY = 0.15
"""From here on the GPU, not its host, set the pace of recorded prompts."""


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


def error(line: dict[str, Any]) -> float:
    """Predicted over measured seconds, less 1. A static cache is as long as its requests will be."""
    gpu = load().by_api_name("H200-SXM")
    assert isinstance(gpu, GPU)
    reads = line["kind"] == "prefill"
    inputs = float(line["input_tokens"] if reads else line["context"])
    setup = Inference(
        preset(_PRESETS.get(line["model"], line["model"])),
        Precisions(Precision.BF16, Precision.BF16, Precision.BF16),
        Phase.PREFILL if reads else Phase.DECODE,
        inputs,
        max(float(line.get("cache_tokens") or 0.0) - inputs, 1.0),
        float(line["batch"]),
        Parallelism(),
        engine="Transformers",
        compilation=Compilation.FULL if line["compiled"] else None,
    )
    found = predict_inference(setup, Placement(Device(gpu), 1))
    assert isinstance(found, Prediction)
    seconds = found.ttft_seconds if reads else found.tpot_seconds
    assert seconds is not None
    return seconds / float(line["seconds"]) - 1.0


def errors(*, compiled: bool, kind: str, least: float = 0.0) -> list[float]:
    chosen = [line for line in lines() if (line["compiled"], line["kind"]) == (compiled, kind)]
    return [abs(error(line)) for line in chosen if line["seconds"] >= least]


def test_compiled_steps_of_many_requests_read_the_whole_cache_for_every_query_head() -> None:
    many = [abs(error(line)) for line in lines() if line["compiled"] and line["batch"] == 64]
    assert len(many) >= 3 and max(many) < 0.15


@pytest.mark.parametrize(
    "compiled,kind,least,bound",
    [(True, "decode", 0.0, 0.25), (False, "prefill", _SECONDS_BUSY, 0.25), (False, "decode", 0.0, 0.40)],
)
def test_recorded_steps_are_near(compiled: bool, kind: str, least: float, bound: float) -> None:
    """Eager steps wait for a host whose pace differed by 1.6 between two turns of the same step."""
    found = errors(compiled=compiled, kind=kind, least=least)
    assert len(found) >= 5 and fmean(found) < bound
