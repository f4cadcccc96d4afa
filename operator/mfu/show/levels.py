"""Expected, observed and attainable of one workload on the scale that it is judged on: MFU, or MBU for decode."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.api.workload_status import Attainable, Expected, Observed, Scale, WorkloadStatus
from mfu.show.figures import number
from mfu.show.waterfall import best_observed
from mfu.units import percent


@dataclass(frozen=True, slots=True)
class ScaleLevels:
    """Fractions of the peak; None where unknown."""

    expected: float | None
    observed: float | None
    attainable: float | None


def levels(status: WorkloadStatus) -> ScaleLevels:
    on_bandwidth = status.summary is not None and status.summary.scale == Scale.MBU

    def value(row: Expected | Observed | Attainable | None) -> float | None:
        return None if row is None else number(row.mbu if on_bandwidth else row.mfu)

    expected = value(next(iter(status.expected), None))
    attainable = value(status.attainable)
    if attainable is not None and expected is not None:
        # More at once may leave bandwidth for compute: then the declared setting is the best on this scale.
        attainable = max(attainable, expected)
    return ScaleLevels(expected, value(best_observed(status)), attainable)


def above_attainable(status: WorkloadStatus) -> tuple[str, ...]:
    """A sentence where more is observed than is called attainable: what that means, and where to look."""
    found, first = levels(status), next(iter(status.expected), None)
    if first is None or found.observed is None or found.attainable is None or found.observed <= found.attainable:
        return ()
    above, high = (
        f"observed {percent(found.observed)} is above attainable {percent(found.attainable)}",
        number(first.high),
    )
    if high is not None and found.observed <= high:
        return (f"{above}, and within the band of the prediction (up to {percent(high)}): nothing is wrong",)
    return (
        f"{above} and beyond the band of the prediction: the declaration may ask for more than what runs (dimensions, "
        "batch), the metric may count more than progress.unit and progress.scope say, or this stack is faster than our "
        "model of it",
    )
