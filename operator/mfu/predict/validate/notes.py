"""What the words of a published row declare that no column of it holds: compiled or not, its
attention kernel, how tokens reach their experts, and a lowered power limit.

A column of that name goes before the words. Neither `id` nor anything else of the notes is read.
"""

from __future__ import annotations

import re
from typing import Final

from mfu.hardware.types import GPU, Precision
from mfu.predict.types import AttentionKernel, Compilation, FusedKernels
from mfu.predict.validate.common import Row, number

_CELLS: Final = {"none": Compilation.NONE, "compile": Compilation.REGIONAL}
"""Cells of the column `compilation`."""
_WORDS: Final = (
    (r"\beager\b", Compilation.NONE),
    (r"\btorch\.compile\b|\bcompiled?\b", Compilation.REGIONAL),
)


def compilation(row: Row) -> Compilation | None:
    """None takes the engine's habit. `compilation({"notes": "eager; batch 1"}) is Compilation.NONE`."""
    cell, notes = (row.get("compilation") or "").strip().lower(), row.get("notes") or ""
    if cell:
        return _CELLS.get(cell)
    return next((found for pattern, found in _WORDS if re.search(pattern, notes, re.IGNORECASE)), None)


def attention(row: Row) -> AttentionKernel | None:
    """None takes the engine's habit. `attention({"notes": "FlashAttention 2"}) is AttentionKernel.FLASH`."""
    notes = row.get("notes") or ""
    if re.search(r"\b(?:no|without) flash ?-?attention", notes, re.IGNORECASE):
        return AttentionKernel.EAGER
    return AttentionKernel.FLASH if re.search(r"\b(?:FA|flash ?-?attention)[ -]?2\b", notes, re.IGNORECASE) else None


def fused_kernels(row: Row) -> FusedKernels | None:
    """None takes the engine's habit. `fused_kernels({"notes": "Liger kernels"}) is FusedKernels.FULL`."""
    notes = row.get("notes") or ""
    return FusedKernels.FULL if re.search(_FUSED, notes, re.IGNORECASE) else None


_FUSED: Final = r"\bliger\b|\bfused (?:operations and )?(?:kernels|norm\b)"


def dispatched_once(row: Row) -> bool | None:
    """None takes the engine's habit. `dispatched_once({"notes": "ep32 A2A"}) is False`."""
    notes = row.get("notes") or ""
    if re.search(r"\b(?:DeepEP|HybridEP)\b", notes, re.IGNORECASE):
        return True
    return False if re.search(r"\b(?:A2A|all-?to-?all)\b", notes, re.IGNORECASE) else None


def weights(row: Row) -> Precision:
    """`weights({"notes": "autocast over fp32 weights"}) is Precision.FP32`; what is not said is 16 bit."""
    said = re.search(r"\bautocast over fp32\b", row.get("notes") or "", re.IGNORECASE)
    return Precision.FP32 if said else Precision.BF16


def fused_optimizer(row: Row) -> bool | None:
    """None takes the engine's habit. `fused_optimizer({"notes": "AdamW not fused"}) is False`."""
    notes = row.get("notes") or ""
    if re.search(r"\bAdamW? not fused\b", notes, re.IGNORECASE):
        return False
    return True if re.search(r"\bfused AdamW?\b", notes, re.IGNORECASE) else None


def engine_version(row: Row, engine_name: str) -> str | None:
    """The release that source or notes give beside the engine's name, None where they name none.

    `engine_version({"source": "README.md (transformers 4.21)"}, "Transformers") == "4.21"`.
    """
    said = f"{row.get('source') or ''}; {row.get('notes') or ''}"
    found = re.search(rf"\b{re.escape(engine_name)}[ =]v?(\d+\.\d+[.\d]*)", said, re.IGNORECASE)
    return found[1] if found else None


def power_limit(row: Row, gpu: GPU) -> float | None:
    """Watts; None where nothing says that it was lowered. `power_limit({"notes": "750 W power limit"}, b200) == 750`.

    Where the notes name a limit without watts it is the one limit below their own that publishers of such rows name.
    """
    watts = number(row, "power_limit_w")
    if watts:
        return watts
    notes = row.get("notes") or ""
    found = re.search(_LIMITED, notes, re.IGNORECASE)
    if found is None:
        return None
    said = re.search(r"(\d{2,4})\s?W\b", notes[max(found.start() - _NEAR, 0) : found.end() + _NEAR])
    return float(said[1]) if said else LIMITED * (gpu.tdp_watts or 0.0) or None


_LIMITED: Final = r"power[- ](?:limit|cap|throttl)"
_NEAR: Final = 20
LIMITED: Final = 0.75
"""Of the product's own: 750 of 1,000 W is the power-limited B200 of those who publish with torchtitan (pytorch/ao, pull
request 3566; facebookexperimental/triton, pull request 2023), 500 of 700 W is their H100."""
