"""Our FLOPs per token against the convention that the published training results were normalised to."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mfu.workload.architecture import Architecture
from mfu.workload.flops import forward_flops_per_token, training_flops_per_token

TRAINING = Path(__file__).resolve().parents[3] / "shared" / "data" / "training_mfu.csv"

Row = dict[str, str]


def dense_rows() -> list[Row]:
    if not TRAINING.exists():
        pytest.skip("the shared data is not beside this checkout")
    with TRAINING.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["norm_gflop_per_tok_causal"] and not row["moe_experts"]]


def architecture(row: Row) -> Architecture:
    heads, hidden = int(row["heads"]), int(row["hidden"])
    return Architecture(
        name=row["model"],
        layers=int(row["layers"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(row["kv_heads"] or heads),
        head_dim=hidden // heads,
        ffn=int(row["ffn_hidden"]),
        vocab=int(row["vocab"]),
        gated_ffn=row["gated_ffn"] == "1",
    )


def test_every_dense_row_has_our_flops() -> None:
    """6 × (matrix parameters with the head, without the embedding) + 6·L·h·S, to its three printed decimals."""
    rows = dense_rows()
    assert len(rows) > 300
    off = []
    for row in rows:
        printed = float(row["norm_gflop_per_tok_causal"])
        ours = training_flops_per_token(architecture(row), int(row["seq_len"])) / 1e9
        if abs(ours / printed - 1) > 0.002:
            off.append((row["id"], round(ours / printed, 4)))
    assert off == []


def test_full_attention_doubles_the_core() -> None:
    rows = [row for row in dense_rows() if row["norm_mfu_pct_causal"] and row["norm_mfu_pct_fullattn"]]
    for row in rows[::7]:
        arch, length = architecture(row), int(row["seq_len"])
        causal, full = (forward_flops_per_token(arch, length, attention=mask).total for mask in ("causal", "full"))
        printed = float(row["norm_mfu_pct_fullattn"]) / float(row["norm_mfu_pct_causal"])
        assert full / causal == pytest.approx(printed, rel=0.01), row["id"]
