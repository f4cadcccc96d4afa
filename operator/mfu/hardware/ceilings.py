"""Measured ceilings: the best reported matrix-product rate per product and precision, as a share of the dense peak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mfu.hardware.aliases import dataset_key
from mfu.hardware.loading import Row, rows
from mfu.hardware.types import GPU, Ceiling, Precision

_PRECISIONS = {
    "bf16": Precision.BF16,
    "fp16": Precision.FP16,
    "fp8": Precision.FP8,
    "fp8 (1x128/128x128 block-scaled)": Precision.FP8,
    "fp8 (block-scaled)": Precision.FP8,
}
_UNUSABLE_NOTES = ("superseded", "NOT a GEMM", "no source at hand", "grouped GEMM")
_SAME_TENSOR_PATH = {Precision.FP16: Precision.BF16, Precision.BF16: Precision.FP16}
_SAME_CHIP = {"h200-sxm-141gb": "h100-sxm5-80gb"}
"""The source's own remark on its H100 row: "H200 is the same"."""

Ceilings = Mapping[tuple[str, Precision], Ceiling]


def load_ceilings(gpus: Mapping[str, GPU]) -> Ceilings:
    """Best usable row per (product, precision); a 16-bit format without one takes the other's (same tensor path)."""
    best: dict[tuple[str, Precision], Ceiling] = {}
    for ceiling in _measured(gpus):
        key = ceiling.gpu_key, ceiling.precision
        if key not in best or ceiling.fraction > best[key].fraction:
            best[key] = ceiling
    _borrow(best)
    return best


def _measured(gpus: Mapping[str, GPU]) -> Iterator[Ceiling]:
    for row in rows("matmul_ceilings.csv"):
        key, precision = dataset_key(row["accelerator"]), _PRECISIONS.get(row["precision"])
        if key is None or precision is None or not _usable(row):
            continue
        peak = gpus[key].peak_flops_per_s(precision)
        if peak:
            rate = float(row["achieved_matmul_tflops"]) * 1e12
            yield Ceiling(key, precision, rate / peak, f"{row['source']} {row['shape']}".strip())


def _usable(row: Row) -> bool:
    return not row["accelerator"].startswith("unstated") and not any(note in row["notes"] for note in _UNUSABLE_NOTES)


def _borrow(best: dict[tuple[str, Precision], Ceiling]) -> None:
    for target, origin in _SAME_CHIP.items():
        for precision in Precision:
            if (origin, precision) in best and (target, precision) not in best:
                found = best[origin, precision]
                best[target, precision] = Ceiling(target, precision, found.fraction, found.source)
    for (key, precision), found in list(best.items()):
        other = _SAME_TENSOR_PATH.get(precision)
        if other and (key, other) not in best:
            best[key, other] = Ceiling(key, other, found.fraction, f"{found.source} ({precision}, same tensor path)")
