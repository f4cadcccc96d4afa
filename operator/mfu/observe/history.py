"""Efficiency across model versions, products and sizes: a few entries that survive restarts, and promises checked.

Re-measure closes the loop: while a setting runs, the advice given for it is remembered; once another setting runs, its
MFU is paired with the one before and with the gain that the advice had promised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mfu.observe.drift import Identity

LIMIT = 16
"""Entries kept, newest first."""
SETTLED = 5
"""Observations after which a figure stands."""
MEMORY = 100
KEPT = 0.5
"""Share of the promised gain that must have come for a promise to count as kept."""
LEAST_PART = 0.05
"""Relative gain from which a part of the way promises anything: less drowns in what runs differ by."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What was recommended while a setting ran: the setting that it leads to, and its relative gain."""

    setting: str
    gain: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One identity's mean reference MFU, with the one before it and what was promised for the change."""

    identity: Identity
    mfu: float
    samples: int
    changed_at: float
    updated_at: float
    before: float | None = None
    promised: float | None = None
    """Relative gain that advice promised for this change; None where it was nobody's advice."""
    advice: Advice | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise came true; None while it is too early, or nothing was promised or known before."""
        if self.promised is None or self.before is None or self.before <= 0 or self.samples < SETTLED:
            return None
        return self.mfu / self.before - 1 >= KEPT * self.promised


@dataclass(frozen=True, slots=True)
class Promises:
    kept: int
    broken: int


@dataclass(frozen=True, slots=True)
class ScalingPoint:
    """Efficiency of a GPU count relative to the smallest one seen with the same model, setting and product."""

    identity: Identity
    mfu: float
    efficiency: float


def record(
    history: tuple[Entry, ...],
    mfu: float,
    *,
    identity: Identity,
    at: float,
    advice: Advice | None = None,
    way: Advice | None = None,
    settled: bool = True,
) -> tuple[Entry, ...]:
    """One more observation of what runs now; the newest entry first, the oldest forgotten past LIMIT.

    `way` is what is still to be gained up to the best setting, however little: advice may be followed in part. Until it
    has settled, a figure is only the newest one: what starts is slower than what runs.
    """
    if history and history[0].identity == identity:
        return (_averaged(history[0], mfu, at, advice) if settled else _newest(history[0], mfu, at), *history[1:])
    previous = history[0] if history else None
    promised = _promised(previous, identity, way)
    entry = Entry(identity, mfu, 1, at, at, previous.mfu if previous else None, promised, advice)
    return (entry, *history)[:LIMIT]


def _promised(previous: Entry | None, identity: Identity, way: Advice | None) -> float | None:
    """The whole gain of the advised setting; of another one on the way to it, what was to be gained less what still is.

    +40 % were promised, and from the setting that runs now the same best one is 12 % away: 1.40 / 1.12 - 1 = 25 %.
    """
    advised = previous.advice if previous else None
    if advised is None:
        return None
    if advised.setting == identity.setting:
        return advised.gain
    if way is None or way.setting != advised.setting or way.gain <= -1:
        return None
    part = (1 + advised.gain) / (1 + way.gain) - 1
    return part if part >= LEAST_PART else None


def _newest(entry: Entry, mfu: float, at: float) -> Entry:
    return replace(entry, mfu=mfu, updated_at=at) if entry.samples == 1 else entry


def _averaged(entry: Entry, mfu: float, at: float, advice: Advice | None) -> Entry:
    weight = min(entry.samples + 1, MEMORY)
    mean = entry.mfu + (mfu - entry.mfu) / weight
    return replace(entry, mfu=mean, samples=entry.samples + 1, updated_at=at, advice=advice or entry.advice)


def promises(history: tuple[Entry, ...]) -> Promises:
    """How often advice that was followed kept its promise."""
    judged = [each.kept for each in history if each.kept is not None]
    return Promises(kept=sum(judged), broken=len(judged) - sum(judged))


def scaling(history: tuple[Entry, ...]) -> tuple[ScalingPoint, ...]:
    """Scaling efficiency per GPU count of the newest entry's model, version, setting and product; fewest GPUs first.

    0.50 at 8 GPUs and 0.45 at 64: efficiency 1.0 and 0.9.
    """
    if not history:
        return ()
    now = history[0].identity
    same = [each for each in history if replace(each.identity, gpus=now.gpus) == now and each.samples >= SETTLED]
    newest: dict[int, Entry] = {}
    for each in same:
        newest.setdefault(each.identity.gpus, each)
    sizes = sorted(newest)
    base = newest[sizes[0]].mfu if sizes else 0.0
    return tuple(
        ScalingPoint(newest[size].identity, newest[size].mfu, newest[size].mfu / base) for size in sizes if base > 0
    )
