"""The key under which a learned correction is kept: product/engine/mode."""

from __future__ import annotations

from typing import Final

from mfu.predict.inference.constants import engine_key
from mfu.predict.training.engines import UNKNOWN, engine
from mfu.predict.types import Correction, Corrections, Placement, Setup, Training

NEUTRAL = Correction()
SERVING: Final = {"vllm": "vLLM", "sglang": "SGLang", "tensorrtllm": "TensorRT-LLM", "lmdeploy": "LMDeploy"}
"""Engines whose own factor ships, by their key."""


def key_of(setup: Setup, placement: Placement) -> str:
    """`key_of(...) == "H100-SXM5/NeMo/Training"`; an engine that is not known is kept under its own name."""
    mode = "Training" if isinstance(setup, Training) else f"Inference{setup.phase.value}"
    return f"{placement.device.label}/{_name(setup)}/{mode}"


def _name(setup: Setup) -> str:
    if isinstance(setup, Training):
        return engine(setup.engine).name
    return SERVING.get(engine_key(setup.engine), setup.engine or UNKNOWN.name)


def known_engine(setup: Setup) -> bool:
    """Is it a stack that several workloads can share? What an unknown engine is, only its owner knows."""
    if isinstance(setup, Training):
        return engine(setup.engine) is not UNKNOWN
    return engine_key(setup.engine) in SERVING


def correction_of(setup: Setup, placement: Placement, corrections: Corrections | None) -> Correction:
    """What was learned for this setup, neutral where nothing was."""
    return NEUTRAL if corrections is None else corrections.by_key.get(key_of(setup, placement), NEUTRAL)
