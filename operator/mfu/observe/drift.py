"""When did efficiency change, and what kind of change was it? Two-sided CUSUM, state in, state out, no clock.

Page's cumulative sum (Biometrika 41, 1954): S⁺ = max(0, S⁺ + z - k), alarm above h, with z the deviation from the
reference in standard deviations. k is half of the shift that is looked for, 8 % (Lorden, Ann. Math. Stat. 42, 1971), at
least 1 and at most 2, and h = 8 / k: a false alarm once in exp(2·k·(h + 1.166)) ≈ 9·10⁷ samples a side, whatever the
scatter (Siegmund's approximation). Noise that carries over from one sample to the next makes sums wander further: the
alarm is raised by the ratio of long-run to plain variance, (1 + r) / (1 - r) for a lag-one correlation r.

A sum rests on a level and a correlation that few samples told. So what raises an alarm is told only once the newest
samples differ from that level by more than 5 % and by 5 standard errors of the difference, by more while they are few;
till then it is watched. 500 workloads have 257,000 stretches of 28 minutes a side in five days, and noise takes one of
them so far once in 1.7 million (O'Brien and Fleming, Biometrics 35, 1979, for the looks taken before the last). A pause
is no noise: one sample among few that lies farther from their median than noise reaches counts as lying that far.

Samples of a run that grows are learned into the level only when it has come to nothing: what may be of another level
already is no part of the one that it is judged by, and what was of the same is not left out of its scatter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import sqrt
from statistics import fmean, median
from typing import Final

from mfu.observe.setting import apart_from_size, data_ranks
from mfu.observe.whereabouts import Whereabouts

SOUGHT: Final = 0.08
"""Relative change that is looked for: slack is half of it."""
LEAST_SLACK, MOST_SLACK = 1.0, 2.0
ALARM: Final = 8.0
"""Slack times alarm."""
SURE: Final = 5.0
"""Standard errors of a difference of two levels from which it is believed, once RECENT samples tell it."""
DOUBTED_SD, DOUBTED_CARRY, DOUBTED_SAMPLES = 0.03, 0.5, 20
"""The noisiest that recordings show, relative: assumed when a change is to be believed; weighs as so many samples."""
RECENT: Final = 28
"""Newest samples of a run that tell its level: of the half hour in which a change is to be known."""
SMALL, UNSURE = 30, 45
"""Samples after which a run is given up that stays below what is worth a word, or that nobody can be sure of."""
LEAST_RELATIVE_SD: Final = 0.02
"""Noise assumed at least, relative to the mean: recordings scatter by 0.3 to 3 % from minute to minute."""
LEAST_SD: Final = 0.001
"""A tenth of a point: what does nothing at all scatters by nothing."""
USUAL_RELATIVE_SD, USUAL_SAMPLES = 0.03, 10
"""What is assumed of a stretch before it has shown its own scatter, and how many samples that assumption weighs."""
MOST_CARRIED: Final = 0.6
LEAST_SHIFT: Final = 0.05
"""Relative change that is worth a word at all."""
CREPT: Final = 0.065
"""Relative change that is worth a word however slowly it came."""
WARM_UP: Final = 8
"""Samples before a stretch's own mean is a reference."""
DECIDED: Final = 15
"""Samples after which a new setting is compared with the one before, however close they are."""
BASE_SAMPLES: Final = 30
"""Samples after which a stretch's mean is the level that creeping change is judged against."""
MEMORY: Final = 200
"""Samples that the running mean and variance remember."""
OUTLIER: Final = 3.5
"""Standard deviations at which one sample's weight is cut, so that a single bad reading is no change."""
SETTLING_SECONDS: Final = 600.0
"""After a change: processes start, caches warm, and the declaration may come minutes before the pods or after them."""
RESTS, YOUNG_RESTS = 0.5, 0.8
"""Of the usual level, and of one that only few samples tell: below it the job saves, evaluates or starts anew."""
REST_SECONDS: Final = 900.0
"""A rest that lasts longer is the new level."""


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
    """A stretch of time with one level: running mean, variance and lag-one covariance of MFU."""

    since: float
    """Unix seconds; samples from before it are of the time of settling."""
    mean: float = 0.0
    variance: float = 0.0
    samples: int = 0
    carried: float = 0.0
    last: float | None = None

    @property
    def sd(self) -> float:
        """Standard deviation of one sample; what is usual weighs in while few were seen."""
        seen, usual = min(self.samples, MEMORY), USUAL_RELATIVE_SD * self.mean
        own = (seen * self.variance + USUAL_SAMPLES * usual * usual) / (seen + USUAL_SAMPLES)
        return max(sqrt(own), LEAST_RELATIVE_SD * abs(self.mean), LEAST_SD)

    @property
    def persistence(self) -> float:
        """Long-run variance over sd², at least 1: noise that carries over from sample to sample adds up."""
        if self.variance <= 0:
            return 1.0
        seen = min(self.samples, MEMORY)
        correlation = min(MOST_CARRIED, max(0.0, self.carried / self.variance)) * seen / (seen + USUAL_SAMPLES)
        return max(1.0, self.variance * (1 + correlation) / (1 - correlation) / self.sd**2)

    @property
    def slack(self) -> float:
        """Half of the sought change, in standard deviations."""
        return max(LEAST_SLACK, min(MOST_SLACK, SOUGHT / 2 * self.mean / self.sd))

    def errors_away(self, levels: tuple[float, ...]) -> float:
        """How many standard errors the mean of other samples lies from this level; noise, in doubt, is the worst.

        Eight samples 5 % below a level of 30 lie 5.1 errors away, with a pause at half beside them 6.2, not 10.7.
        """
        seen, doubt = min(self.samples, MEMORY), DOUBTED_SD * self.mean
        told = max(0.0, self.carried / self.variance) if self.variance > 0 else 0.0
        weights = seen + DOUBTED_SAMPLES
        carry = min(MOST_CARRIED, (told * seen + DOUBTED_CARRY * DOUBTED_SAMPLES) / weights)
        sd = sqrt((seen * self.variance + DOUBTED_SAMPLES * doubt * doubt) / weights)
        each = max(sd, LEAST_RELATIVE_SD * abs(self.mean), LEAST_SD) ** 2 * (1 + carry) / (1 - carry)
        level = fmean(_reined_in(levels, OUTLIER * self.sd))
        return abs(level - self.mean) / sqrt(each * (1 / len(levels) + 1 / max(1, seen)))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.sd * sqrt(self.persistence / max(1, min(self.samples, MEMORY)))

    def learned(self, mfu: float) -> SteadyStretch:
        """Welford's update with a bounded memory. What lies far out counts as lying less far out."""
        count, far = min(self.samples + 1, MEMORY), OUTLIER * self.sd
        if self.samples == 0 or (self.samples < WARM_UP and YOUNG_RESTS * mfu > self.mean):
            # The first sample, or one that shows that those before it were of a pause.
            return SteadyStretch(self.since, mfu, samples=1, last=mfu)
        mfu = max(self.mean - far, min(self.mean + far, mfu))
        delta = mfu - self.mean
        mean = self.mean + delta / count
        variance = self.variance + (delta * (mfu - mean) - self.variance) / count
        carry = 0.0 if self.last is None else (mfu - mean) * (self.last - mean)
        carried = self.carried + (carry - self.carried) / count
        return SteadyStretch(self.since, mean, max(0.0, variance), self.samples + 1, carried, mfu)


def _reined_in(levels: tuple[float, ...], far: float) -> list[float]:
    """None farther from the median of all than that: one pause among few samples is no proof of a lower level."""
    middle = median(levels)
    return [max(middle - far, min(middle + far, each)) for each in levels]


@dataclass(frozen=True, slots=True)
class RunUp:
    """Cumulative sum on one side since it last stood at zero, and the newest samples that made it."""

    total: float = 0.0
    since: float | None = None
    samples: int = 0
    recent: tuple[float, ...] = ()

    @property
    def level(self) -> float:
        """The median of the newest: a sum may have begun to grow before the level moved, and one may be of a pause."""
        return median(self.recent) if self.recent else 0.0

    def grown(self, step: float, mfu: float, at: float) -> RunUp:
        """One more sample; back to nothing where the sum falls to zero."""
        total = self.total + step
        if total <= 0:
            return RunUp()
        since = at if self.since is None else self.since
        return RunUp(total, since, self.samples + 1, (*self.recent, mfu)[-RECENT:])


@dataclass(frozen=True, slots=True)
class DriftState:
    """Everything the detector remembers; a handful of numbers, to be kept in status."""

    identity: Identity | None = None
    regime: SteadyStretch = field(default_factory=lambda: SteadyStretch(0.0))
    rise: RunUp = field(default_factory=RunUp)
    fall: RunUp = field(default_factory=RunUp)
    base: float | None = None
    """Level that was told last, or the first that held: what creeps away from it is a change as well."""
    before: SteadyStretch | None = None
    """The regime that the present one is to be compared with once it has settled."""
    changed: DriftKind | None = None
    rests_since: float | None = None

    @property
    def calm(self) -> bool:
        """Nothing speaks for a change at the moment."""
        return self.rests_since is None and max(self.rise.total, self.fall.total) < 1.0


@dataclass(frozen=True, slots=True)
class Drift:
    """One change point: MFU went from `before` to `after` at `at`."""

    kind: DriftKind
    before: float
    after: float
    at: float
    product: str = ""
    where: Whereabouts | None = None
    """The node or GPU that departed from its peers, where it is one."""

    @property
    def relative(self) -> float:
        return self.after / self.before - 1 if self.before > 0 else 0.0


def update(
    state: DriftState, mfu: float, *, at: float, identity: Identity, settling_seconds: float = SETTLING_SECONDS
) -> tuple[DriftState, Drift | None]:
    """One more observation of reference MFU, one a minute. At most one drift comes back."""
    if identity != state.identity:
        return _after_change(state, identity, at + settling_seconds), None
    if at < state.regime.since:
        return state, None
    state = _rested(state, mfu, at)
    if state.rests_since is not None:
        if at - state.rests_since < REST_SECONDS:
            return state, None
        if state.regime.samples < WARM_UP:
            state = replace(state, regime=SteadyStretch(state.rests_since), rests_since=None)
    if state.before is not None:
        return _settle(_learn(state, mfu))
    return _against_past(state, mfu, at)


def _after_change(state: DriftState, identity: Identity, settled: float) -> DriftState:
    before = state.regime if state.regime.samples >= WARM_UP else state.before
    kind = None if before is None or state.identity is None else _kind(state.identity, identity)
    # A version and, minutes later, its size: both belong to one change.
    if state.regime.samples < WARM_UP and state.changed is DriftKind.CONFIGURATION:
        kind = DriftKind.CONFIGURATION
    return DriftState(identity, SteadyStretch(settled), before=before, changed=kind)


def _kind(old: Identity, new: Identity) -> DriftKind:
    mine, theirs = ((each.model, each.version, apart_from_size(each.setting)) for each in (old, new))
    if mine != theirs:
        return DriftKind.CONFIGURATION
    # The declaration grows minutes before the pods do, or after them.
    if old.gpus != new.gpus or data_ranks(old.setting) != data_ranks(new.setting):
        return DriftKind.SCALING
    return DriftKind.CONFIGURATION if old.setting != new.setting else DriftKind.INFRASTRUCTURE


def _rested(state: DriftState, mfu: float, at: float) -> DriftState:
    usual = RESTS if state.regime.samples >= WARM_UP else YOUNG_RESTS
    if mfu >= usual * state.regime.mean:
        return state if state.rests_since is None else replace(state, rests_since=None)
    return state if state.rests_since is not None else replace(state, rests_since=at)


def _settle(state: DriftState) -> tuple[DriftState, Drift | None]:
    """A new identity is compared with the one before, once: as soon as that is clear, or enough was seen."""
    before, after = state.before, state.regime
    if before is None or after.samples < WARM_UP:
        return state, None
    apart = abs(after.mean - before.mean)
    clear = apart >= max(LEAST_SHIFT * before.mean, 3 * sqrt(before.error**2 + after.error**2))
    if not clear and after.samples < DECIDED:
        return state, None
    settled = replace(state, before=None, changed=None)
    if not clear or state.changed is None or state.identity is None:
        return settled, None
    return settled, Drift(state.changed, before.mean, after.mean, after.since, state.identity.product)


def _against_past(state: DriftState, mfu: float, at: float) -> tuple[DriftState, Drift | None]:
    regime = state.regime
    if regime.samples < WARM_UP:
        return _learn(state, mfu), None
    deviation = max(-OUTLIER, min(OUTLIER, (mfu - regime.mean) / regime.sd))
    rise = state.rise.grown(deviation - regime.slack, mfu, at)
    fall = state.fall.grown(-deviation - regime.slack, mfu, at)
    loudest, alarm = max(rise, fall, key=lambda each: each.total), ALARM / regime.slack * regime.persistence
    grown = replace(state, rise=rise, fall=fall)
    if loudest.total >= alarm:
        return _alarmed(grown, loudest)
    return _crept(_learn_settled(grown, (*_longest(state), mfu)), at)


def _longest(state: DriftState) -> tuple[float, ...]:
    return max(state.rise.recent, state.fall.recent, key=len)


def _learn_settled(state: DriftState, newest: tuple[float, ...]) -> DriftState:
    """Learned are those of the newest samples that no run holds any more."""
    for mfu in newest[: len(newest) - len(_longest(state))]:
        state = _learn(state, mfu)
    return state


def errors_needed(samples: int) -> float:
    """Standard errors from which a difference is believed that so many samples tell.

    A run is looked at with each sample, and each look may err. With √(RECENT ÷ samples) times as many early on, all
    looks together err twice as often as the last alone: `errors_needed(7) == 10.0`, `errors_needed(28) == 5.0`.
    """
    return SURE * sqrt(max(1.0, RECENT / max(1, samples)))


def _alarmed(state: DriftState, run: RunUp) -> tuple[DriftState, Drift | None]:
    """Told where it is sure and far enough from the level that was told last, watched on until then, and given up."""
    regime, base = state.regime, state.regime.mean if state.base is None else state.base
    sure = regime.errors_away(run.recent) >= errors_needed(len(run.recent))
    far = abs(run.level - base) > LEAST_SHIFT * base
    if run.samples < (SMALL if sure else UNSURE) and not (sure and far):
        return state, None
    since = regime.since if run.since is None else run.since
    moved = replace(regime, since=since, mean=run.level, samples=max(run.samples, WARM_UP))
    if not (sure and far) or state.identity is None:
        return DriftState(state.identity, moved, base=base), None
    found = Drift(DriftKind.INFRASTRUCTURE, base, run.level, since, state.identity.product)
    return DriftState(state.identity, moved), found


def _crept(state: DriftState, at: float) -> tuple[DriftState, Drift | None]:
    regime = state.regime
    if regime.samples < BASE_SAMPLES:
        return state, None
    if state.base is None:
        return replace(state, base=regime.mean), None
    if abs(regime.mean - state.base) <= max(CREPT * state.base, LEAST_SD) or state.identity is None:
        return state, None
    found = Drift(DriftKind.INFRASTRUCTURE, state.base, regime.mean, at, state.identity.product)
    return replace(state, base=regime.mean), found


def _learn(state: DriftState, mfu: float) -> DriftState:
    return replace(state, regime=state.regime.learned(mfu))
