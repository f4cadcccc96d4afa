"""When did efficiency change, and what kind of change was it? Two-sided CUSUM, state in, state out, no clock.

Page's cumulative sum (Biometrika 41, 1954): S⁺ = max(0, S⁺ + z - k), alarm above h, with z the deviation from the
reference in standard deviations. k = 0.5 and h = 8 find a shift of one standard deviation in about 16 samples and give
a false alarm less than once in 10,000 (Siegmund's approximation: exp(2·k·(h + 1.166)) ≈ 9,600 samples a side).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import sqrt

SLACK = 0.5
ALARM = 8.0
LEAST_RELATIVE_SD = 0.02
"""Noise assumed at least, relative to the mean: ten-minute MFU of a steady job scatters by 1 to 2 %."""
LEAST_SHIFT = 0.05
"""Relative change that is worth a word at all."""
WARM_UP = 8
"""Samples before a regime's own mean is a reference."""
MEMORY = 200
"""Samples that the running mean and variance remember."""
OUTLIER = 4.0
"""Standard deviations at which one sample's weight is cut, so that a single bad reading is no change."""


class DriftKind(StrEnum):
    """What a change is due to, by what changed with it."""

    CONFIGURATION = "Configuration"
    """Another model version or setting."""
    SCALING = "Scaling"
    """Another number of GPUs."""
    INFRASTRUCTURE = "Infrastructure"
    """The same work on the same number of GPUs: hardware, fabric, data path or neighbours."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What ran where. Efficiency is compared within one identity, and across two when it changes."""

    model: str
    version: str
    setting: str
    product: str
    gpus: int


@dataclass(frozen=True, slots=True)
class SteadyStretch:
    """A stretch of time with one level: running mean and variance of MFU."""

    since: float
    mean: float = 0.0
    variance: float = 0.0
    samples: int = 0

    @property
    def sd(self) -> float:
        return max(sqrt(self.variance), LEAST_RELATIVE_SD * abs(self.mean))


@dataclass(frozen=True, slots=True)
class RunUp:
    """Cumulative sum on one side since it last stood at zero, and the samples that made it."""

    total: float = 0.0
    since: float | None = None
    samples: int = 0
    mean: float = 0.0

    def grown(self, step: float, mfu: float, at: float) -> RunUp:
        """One more sample; back to nothing where the sum falls to zero."""
        total = self.total + step
        if total <= 0:
            return RunUp()
        count = self.samples + 1
        return RunUp(total, at if self.since is None else self.since, count, self.mean + (mfu - self.mean) / count)


@dataclass(frozen=True, slots=True)
class DriftState:
    """Everything the detector remembers; a handful of numbers, to be kept in status."""

    identity: Identity | None = None
    regime: SteadyStretch = field(default_factory=lambda: SteadyStretch(0.0))
    rise: RunUp = field(default_factory=RunUp)
    fall: RunUp = field(default_factory=RunUp)
    shortfall: float = 0.0
    """Cumulative sum of the deviation below expectation."""
    before: SteadyStretch | None = None
    """The regime that the present one is to be compared with once it has settled."""
    changed: DriftKind | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """One change point: MFU went from `before` to `after` at `at`."""

    kind: DriftKind
    before: float
    after: float
    at: float
    against: str
    """Past or Expectation."""

    @property
    def relative(self) -> float:
        return self.after / self.before - 1 if self.before > 0 else 0.0


def update(
    state: DriftState, mfu: float, *, at: float, identity: Identity, expected: float | None = None
) -> tuple[DriftState, Drift | None]:
    """One more observation. At most one drift comes back: by a new identity, against its past, or its expectation."""
    if state.identity is None:
        return _learn(DriftState(identity, SteadyStretch(at)), mfu), None
    if identity != state.identity:
        return _learn(_after_change(state, identity, at), mfu), None
    settled, drift = _settle(state)
    if drift is not None:
        return _learn(settled, mfu), drift
    shifted, drift = _against_past(settled, mfu, at)
    if drift is not None:
        return shifted, drift
    return _against_expectation(shifted, mfu, expected, at)


def _after_change(state: DriftState, identity: Identity, at: float) -> DriftState:
    old = state.identity
    kind = DriftKind.CONFIGURATION
    if old is not None and replace(old, product=identity.product, gpus=identity.gpus) == identity:
        kind = DriftKind.SCALING if old.gpus != identity.gpus else DriftKind.INFRASTRUCTURE
    before = state.regime if state.regime.samples >= WARM_UP else state.before
    return DriftState(identity, SteadyStretch(at), before=before, changed=kind)


def _settle(state: DriftState) -> tuple[DriftState, Drift | None]:
    """A new identity has been seen often enough: compare it with the one before, once."""
    if state.before is None or state.changed is None or state.regime.samples < WARM_UP:
        return state, None
    before, after = state.before, state.regime
    cleared = replace(state, before=None, changed=None)
    error = sqrt(before.sd**2 / before.samples + after.sd**2 / after.samples)
    if abs(after.mean - before.mean) < max(LEAST_SHIFT * before.mean, 3 * error):
        return cleared, None
    return cleared, Drift(state.changed, before.mean, after.mean, after.since, "Past")


def _against_past(state: DriftState, mfu: float, at: float) -> tuple[DriftState, Drift | None]:
    regime = state.regime
    if regime.samples < WARM_UP:
        return _learn(state, mfu), None
    deviation = max(-OUTLIER, min(OUTLIER, (mfu - regime.mean) / regime.sd))
    rise = state.rise.grown(deviation - SLACK, mfu, at)
    fall = state.fall.grown(-deviation - SLACK, mfu, at)
    loudest = max(rise, fall, key=lambda each: each.total)
    if loudest.total < ALARM:
        return _learn(replace(state, rise=rise, fall=fall), mfu), None
    if loudest.since is None or abs(loudest.mean - regime.mean) < LEAST_SHIFT * regime.mean:
        return _learn(replace(state, rise=RunUp(), fall=RunUp()), mfu), None
    drift = Drift(DriftKind.INFRASTRUCTURE, regime.mean, loudest.mean, loudest.since, "Past")
    return _learn(DriftState(state.identity, SteadyStretch(loudest.since)), mfu), drift


def _against_expectation(
    state: DriftState, mfu: float, expected: float | None, at: float
) -> tuple[DriftState, Drift | None]:
    """The detector that needs no past: steadily below what was expected."""
    if not expected or expected <= 0:
        return state, None
    noise = max(state.regime.sd, LEAST_RELATIVE_SD * expected)
    missing = (expected * (1 - 2 * LEAST_SHIFT) - mfu) / noise
    total = max(0.0, state.shortfall + max(-OUTLIER, min(OUTLIER, missing)) - SLACK)
    before = state.shortfall
    kept = replace(state, shortfall=min(total, 2 * ALARM))
    if before < ALARM <= total:
        return kept, Drift(DriftKind.INFRASTRUCTURE, expected, state.regime.mean, at, "Expectation")
    return kept, None


def _learn(state: DriftState, mfu: float) -> DriftState:
    """Welford's update with a bounded memory."""
    regime = state.regime
    count = min(regime.samples + 1, MEMORY)
    delta = mfu - regime.mean
    mean = regime.mean + delta / count
    variance = regime.variance + (delta * (mfu - mean) - regime.variance) / count
    return replace(state, regime=SteadyStretch(regime.since, mean, max(0.0, variance), regime.samples + 1))
