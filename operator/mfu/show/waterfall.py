"""From the peak down to what was observed, in named steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mfu.api.workload_status import Cost, Meter, Observed, WorkloadStatus
from mfu.show.figures import number
from mfu.units import money

LEAST_SHARE: Final = 0.0005
"""A part below a twentieth of a percent is not shown."""
SHOWN_WINDOW: Final = "10m"


class Move(StrEnum):
    """What a step does."""

    LEVEL = "Level"
    """Where things stand: the peak, expected, observed."""
    DOWN = "Down"
    UP = "Up"


@dataclass(frozen=True, slots=True)
class WaterfallStep:
    """One step: `share` of the GPUs' peak (fraction, never negative) that it stands at, takes or gives."""

    label: str
    move: Move
    share: float
    price: str = ""
    """What that share of the GPUs costs, such as `$3.26/h`; empty without a price."""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The steps from the peak to expected, and on to observed where that is known."""

    steps: tuple[WaterfallStep, ...]
    observed_known: bool

    def priced(self, per_hour: float | None, currency: str) -> Waterfall:
        """Each step with its share of what the GPUs cost: all parts and what is observed come to the whole."""
        if per_hour is None:
            return self
        steps = (replace(each, price=f"{money(per_hour * each.share, currency)}/h") for each in self.steps)
        return replace(self, steps=tuple(steps))


def waterfall(status: WorkloadStatus) -> Waterfall | None:
    """None where no MFU is expected: decode is judged on bandwidth, and what does not fit reaches nothing."""
    expected = number(status.expected[0].mfu) if status.expected else None
    if expected is None:
        return None
    parts = [(each.name, number(each.share) or 0.0) for each in status.waterfall]
    steps = [WaterfallStep("peak", Move.LEVEL, 1.0), *(_part(*each) for each in parts if abs(each[1]) >= LEAST_SHARE)]
    steps.append(WaterfallStep("expected MFU", Move.LEVEL, expected))
    shown = best_observed(status)
    reached = None if shown is None else number(shown.mfu)
    known = shown is not None and reached is not None
    run_time = _at_run_time(shown, expected, reached) if shown is not None and reached is not None else ()
    cost = status.cost or Cost()
    return Waterfall((*steps, *run_time), observed_known=known).priced(number(cost.per_hour), cost.currency)


def _part(name: str, share: float) -> WaterfallStep:
    return WaterfallStep(name, Move.DOWN if share > 0 else Move.UP, abs(share))


def _at_run_time(shown: Observed, expected: float, reached: float) -> tuple[WaterfallStep, WaterfallStep]:
    label = f"observed MFU ({shown.meter.lower()}, {shown.window})"
    less = reached <= expected
    missing = WaterfallStep("not reached at run time", Move.DOWN, expected - reached)
    more = WaterfallStep("more than expected", Move.UP, reached - expected)
    return (missing if less else more, WaterfallStep(label, Move.LEVEL, reached))


def best_observed(status: WorkloadStatus) -> Observed | None:
    """Progress over counters in the 10 min window, as the summary takes it."""
    rows = [each for each in status.observed if each.window == SHOWN_WINDOW and (each.mfu or each.mbu)]
    return max(rows, key=lambda each: (each.meter is Meter.PROGRESS, number(each.confidence) or 0.0), default=None)
