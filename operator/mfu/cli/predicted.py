"""One product of a prediction, and how what it takes is said."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.cli.declaration import Declaration
from mfu.decide.recommend.recommended import Recommended
from mfu.predict.inference.slo import misses
from mfu.predict.types import Attainable, Inference, Placement, Prediction


@dataclass(frozen=True, slots=True)
class ProductRow:
    """One product: the prediction, and what could be reached."""

    placement: Placement
    prediction: Prediction
    best: Attainable | None
    price: float | None
    recommended: tuple[Recommended, ...] = ()


def late(declaration: Declaration, found: Prediction) -> tuple[str, ...]:
    setup = declaration.setup
    return misses(setup, found) if isinstance(setup, Inference) else ()


def latency(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def duration(seconds: float) -> str:
    """`duration(0.0123) == "12.3 ms"`."""
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1e3 * seconds:.1f} ms"
