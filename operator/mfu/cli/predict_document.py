"""A prediction for programs."""

from __future__ import annotations

from typing import Any

from mfu.cli.declaration import Declaration
from mfu.cli.predicted import ProductRow, late
from mfu.decide.types import EffectivePolicy
from mfu.engine.say.recommendations import recommendations
from mfu.hardware.price import PriceBook
from mfu.predict.types import Attainable, Change, Problem
from mfu.units import decimal


def document(declaration: Declaration, rows: list[ProductRow], refusals: list[tuple[str, Problem]]) -> dict[str, Any]:
    return {
        "name": declaration.name,
        "model": declaration.spec.model.display_name,
        "mode": declaration.spec.mode.value,
        "predictions": [_prediction(declaration, row) for row in rows],
        "refused": [{"product": product, "reason": str(why)} for product, why in refusals],
    }


def _prediction(declaration: Declaration, row: ProductRow) -> dict[str, Any]:
    found, memory = row.prediction, row.prediction.memory
    prices = {} if row.price is None else {row.placement.device.gpu.api_name: row.price}
    return {
        "product": row.placement.device.label,
        "gpus": row.placement.gpus,
        "fits": memory.fits,
        "mfu": found.mfu,
        "referenceMFU": found.reference_mfu,
        "hfu": found.hfu,
        "mbu": found.mbu,
        "scale": found.scale.value,
        "low": found.low,
        "high": found.high,
        "stepSeconds": found.step_seconds,
        "tokensPerSecondPerGPU": found.tokens_per_s_per_gpu,
        "inputTokensPerSecondPerGPU": found.input_tokens_per_s_per_gpu,
        "ttftSeconds": found.ttft_seconds,
        "tpotSeconds": found.tpot_seconds,
        "flopsPerToken": found.flops_per_token,
        "bound": found.bound,
        "late": list(late(declaration, found)),
        "memory": {
            "totalBytes": memory.total_bytes,
            "capacityBytes": memory.capacity_bytes,
            "largestTerm": memory.largest_term,
            "advice": memory.advice,
            "terms": dict(memory.terms),
        },
        "waterfall": [
            {"name": each.name, "fraction": each.fraction, "seconds": each.seconds} for each in found.waterfall
        ],
        "attainable": _attainable(row.best),
        "recommendations": [
            each.to_api() for each in recommendations(row.recommended, EffectivePolicy(book=PriceBook(prices)))
        ],
        "costPerMillionTokens": None
        if row.price is None
        else decimal(row.price / 3600.0 / found.tokens_per_s_per_gpu * 1e6, 6),
        "notes": list(found.notes),
    }


def _attainable(best: Attainable | None) -> dict[str, Any] | None:
    if best is None:
        return None
    return {
        "mfu": best.prediction.mfu,
        "mbu": best.prediction.mbu,
        "tokensPerSecondPerGPU": best.prediction.tokens_per_s_per_gpu,
        "changes": [_change(step) for step in best.changes],
    }


def _change(step: Change) -> dict[str, Any]:
    return {
        "field": step.field,
        "from": step.before,
        "to": step.after,
        "gain": step.gain,
        "gainPoints": step.gain_points,
    }
