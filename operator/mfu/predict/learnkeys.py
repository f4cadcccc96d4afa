"""The key under which a learned correction is kept: product/engine/mode."""

from __future__ import annotations

from mfu.predict.training.engines import engine
from mfu.predict.types import Correction, Corrections, Placement, Setup, Training

NEUTRAL = Correction()


def key_of(setup: Setup, placement: Placement) -> str:
    """`key_of(...) == "H100-SXM5/NeMo/Training"`; an engine that is not known is kept under its own name."""
    mode = "Training" if isinstance(setup, Training) else f"Inference{setup.phase.value}"
    name = engine(setup.engine).name if isinstance(setup, Training) else (setup.engine or "Unknown")
    return f"{placement.device.label}/{name}/{mode}"


def correction_of(setup: Setup, placement: Placement, corrections: Corrections | None) -> Correction:
    """What was learned for this setup, neutral where nothing was."""
    return NEUTRAL if corrections is None else corrections.by_key.get(key_of(setup, placement), NEUTRAL)
