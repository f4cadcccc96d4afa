"""A setup in one short line, so that the same setting is recognised when it comes back."""

from __future__ import annotations

from mfu.observe.setting import DATA, GLOBAL_BATCH
from mfu.predict.types import Inference, Parallelism, Setup


def setting_of(setup: Setup) -> str:
    """`mbs 1 gbs 128 seq 8192 d8 ZeRO3 None BF16`; degrees of one are left out."""
    precisions = setup.precisions
    if isinstance(setup, Inference):
        parts = [
            f"in {setup.input_tokens:.0f}",
            f"out {setup.output_tokens:.0f}",
            f"concurrency {setup.concurrency or 0:.0f}",
            _degrees(setup.parallelism),
            f"{precisions.compute}/{precisions.weights}/{precisions.kv_cache}",
        ]
        return " ".join(part for part in parts if part)
    parts = [
        f"mbs {setup.micro_batch_size}",
        f"{GLOBAL_BATCH} {setup.global_batch_size}",
        f"seq {setup.sequence_length}",
        _degrees(setup.parallelism),
        str(setup.sharding),
        str(setup.recompute),
        str(precisions.compute),
    ]
    return " ".join(part for part in parts if part)


def _degrees(degrees: Parallelism) -> str:
    named = {
        "t": degrees.tensor,
        "p": degrees.pipeline,
        "v": degrees.virtual_pipeline,
        "c": degrees.context,
        "e": degrees.expert,
        DATA: degrees.data,
    }
    return " ".join(f"{letter}{degree}" for letter, degree in named.items() if degree > 1)
