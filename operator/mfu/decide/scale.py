"""Expected, observed and attainable on one scale, so that they can be compared."""

from __future__ import annotations

from typing import Final

from mfu.observe.assessment import Assessment
from mfu.predict.types import Attainable, Prediction, Scale

MOST_POSSIBLE: Final = 1.05
"""Of a peak, with the error of clocks and counters."""


def on_scale(prediction: Prediction | None) -> float | None:
    """The value that the workload is judged on: MFU, or MBU for decode."""
    return prediction.judged if prediction is not None else None


def attainable_on_scale(prediction: Prediction | None, best: Attainable | None) -> float | None:
    """Attainable where expected stands; never below it.

    On MFU it is expected × the gain in tokens/s: the same as attainable MFU while the precision stays, and comparable
    where it does not (FP8 doubles the peak, so its own MFU may be lower while more gets done). On MBU serving more
    requests at once may leave bandwidth for compute: then the declared setting is the best on this scale.
    """
    declared = on_scale(prediction)
    if prediction is None or best is None or declared is None:
        return None
    if prediction.scale is Scale.MBU:
        return max(declared, best.prediction.mbu or 0.0)
    if prediction.tokens_per_s_per_gpu <= 0:
        return declared
    return declared * max(1.0, best.prediction.tokens_per_s_per_gpu / prediction.tokens_per_s_per_gpu)


def observed_on_scale(assessment: Assessment | None, scale: Scale | None) -> float | None:
    """The ten minutes of the best meter on that scale.

    More than the hardware can do means that the declaration is wrong, not that it does more: that is unknown.
    """
    best = assessment.best() if assessment else None
    if best is None:
        return None
    reached = (scale or Scale.MFU).of(mfu=best.mfu, mbu=best.mbu)
    return reached if reached is not None and 0.0 <= reached <= MOST_POSSIBLE else None
