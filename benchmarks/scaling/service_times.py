"""What prefill and decode take on one H100 with Llama-3.1-8B in bf16: recorded prefill, decode from measured rows.

Prefill: `e2e/recordings/h100_prefill.jsonl`, recorded by `e2e/recordings/prefill.py` on a lent H100.
Decode: rows AICS-0664 … AICS-0704 of `../shared/data/inference_throughput.csv`: time per token of TensorRT-LLM 1.0
under continuous batching on one H100-SXM, from the aiconfigurator 0.12.0 wheel, `systems/silicon_sample`.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROOT: Final = Path(__file__).parents[2]
RECORDED: Final = ROOT / "e2e" / "recordings" / "h100_prefill.jsonl"
MEASURED: Final = ROOT.parent / "shared" / "data" / "inference_throughput.csv"
MODEL, GPU, METRIC = "Llama-3.1-8B", "H100-SXM-80GB", "tpot_ms"
MOST_RUNNING: Final = 128
"""Sequences that one engine decodes at once: the largest batch that the rows cover."""
KV_TOKENS: Final = int((0.9 * 80 * 2**30 - 16.06e9) / (32 * 2 * 8 * 128 * 2))
"""0.9 of 80 GiB less 8.03 G parameters of 2 bytes, at 32 layers × 2 × 8 heads × 128 × 2 bytes a token: 467,258."""


@dataclass(frozen=True)
class Row:
    """One measured row: `concurrency` requests of `inputs` and `outputs` tokens, mean seconds between two tokens."""

    id: str
    inputs: float
    outputs: float
    concurrency: float
    seconds: float


@dataclass(frozen=True)
class Law:
    """Prefill by interpolation over `lengths`; one decode step is base + per_sequence · n + per_token · context."""

    lengths: Floats
    seconds: Floats
    base: float
    per_sequence: float
    per_token: float

    def prefill_seconds(self, tokens: Floats) -> Floats:
        """Straight lines between recorded lengths, in proportion beyond the longest."""
        longest = self.seconds[-1] / self.lengths[-1]
        inside = np.interp(tokens, self.lengths, self.seconds)
        return np.where(tokens > self.lengths[-1], tokens * longest, inside)

    def step_seconds(self, sequences: Floats, context: Floats) -> Floats:
        """One token for each of `sequences`; `context` is what all of them have in their caches, tokens."""
        return self.base + self.per_sequence * sequences + self.per_token * context

    def token_seconds(self, row: Row) -> float:
        """What the row should read: a step, and the prompts that come in between: n / outputs of them a step."""
        context = row.concurrency * (row.inputs + row.outputs / 2)
        step = float(self.step_seconds(np.array(row.concurrency), np.array(context)))
        return step + row.concurrency / row.outputs * float(self.prefill_seconds(np.array(row.inputs)))


def measured_rows() -> tuple[Row, ...]:
    with MEASURED.open(encoding="utf-8", newline="") as file:
        found = [each for each in csv.DictReader(file) if _wanted(each)]
    return tuple(
        Row(
            each["id"],
            float(each["isl"]),
            float(each["osl"]),
            float(each["concurrency_or_batch"]),
            float(each["value"]) / 1e3,
        )
        for each in found
    )


def _wanted(row: dict[str, str]) -> bool:
    named = row["model"] == MODEL and row["gpu"] == GPU and row["tp"] == "1" and row["metric"].startswith(METRIC)
    return named and row["id"].startswith("AICS-")


def fitted() -> Law:
    """Least squares of relative errors over the rows, the share of prompts taken from the recorded prefill."""
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    lengths, seconds = (np.array([each[name] for each in lines], dtype=float) for name in ("tokens", "seconds"))
    bare = Law(lengths, seconds, 0.0, 0.0, 0.0)
    rows = measured_rows()
    prompts = np.array([bare.token_seconds(row) for row in rows])
    measured = np.array([row.seconds for row in rows])
    terms = np.array([[1.0, row.concurrency, row.concurrency * (row.inputs + row.outputs / 2)] for row in rows])
    answer, *_ = np.linalg.lstsq(terms / measured[:, None], (measured - prompts) / measured, rcond=None)
    base, per_sequence, per_token = (float(each) for each in answer)
    return Law(lengths, seconds, base, per_sequence, per_token)
