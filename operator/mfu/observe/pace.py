"""How fast a job trains by what it printed: readings of single steps → one steady pace. Pure; seconds, tokens, FLOP/s.

Steady means: without warm-up, evaluation and checkpoints. A step that is slow for no such reason stays in, so that a
starved job is not praised: only rare ones (a fifth at most) that take half as long again count as pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from statistics import median

from mfu.observe.steps import RunShape, StepReading

WARM_UP = 1.10
"""Time over the median up to which the first readings belong to the steady run."""
AFTER_PAUSE = 1.10
"""The same for a reading that an evaluation or a checkpoint came before."""
PAUSE = 1.5
RARE = 0.2
"""Share of readings up to which slow ones are pauses, and not the pace of the run itself."""
INSTANT = 0.5
"""Time over the median below which a step was only launched, not waited for."""
COARSE_SECONDS = 20.0
"""Between two times of whole seconds, so that their rounding is a twentieth at most."""
WRONG_UNIT = 20.0
"""Shortest printed time over what passed between lines from which its unit is wrong (DeepSpeed 0.6: ms called s)."""
COUNTED = 0.01
"""Rounding that a counted batch may show."""
DISAGREES = 0.10


@dataclass(frozen=True, slots=True)
class SteadyPace:
    """One pace over `steps` steady steps. `why` names what stayed unknown, by field."""

    steps: int = 0
    step_seconds: float | None = None
    tokens_per_s: float | None = None
    """Of all GPUs."""
    flops_per_s_per_gpu: float | None = None
    """As the log itself counts them."""
    warm_up: int = 0
    pauses: int = 0
    """Readings that were left out."""
    why: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Step:
    number: float | None
    seconds: float
    tokens_per_s: float
    flops: float | None
    sequences: float | None
    after_pause: bool
    micro: bool = False

    @property
    def seconds_per_token(self) -> float:
        return 1.0 / self.tokens_per_s


def steady(readings: Sequence[StepReading], shape: RunShape) -> SteadyPace:
    """The pace of the steady steps.

    Steps of 9, 1, 1, 1 and 6 s (the last after a checkpoint) of 64 sequences of 4096 tokens: 262,144 tokens a second.
    """
    if not readings:
        return SteadyPace(why=dict.fromkeys(("step_seconds", "tokens_per_second", "mfu"), "the log has no step lines"))
    shape = replace(shape, global_batch=_counted_batch(readings) or shape.global_batch)
    accumulation = _accumulation(readings, shape)
    steps = _known(readings, shape, accumulation)
    if not steps:
        flops = _median(each.flops_per_s_per_gpu for each in readings)
        return SteadyPace(flops_per_s_per_gpu=flops, why=_untimed(flops))
    kept, warm_up, pauses = _settled(_same_batch(steps))
    time = sum(each.seconds for each in kept)
    return SteadyPace(
        steps=_covered(kept),
        step_seconds=time / len(kept),
        tokens_per_s=sum(each.seconds * each.tokens_per_s for each in kept) / time,
        flops_per_s_per_gpu=_median(each.flops for each in kept),
        warm_up=warm_up,
        pauses=pauses,
        notes=_contradictions(readings, shape, accumulation),
    )


def _untimed(flops: float | None) -> dict[str, str]:
    reason = "no line gives a rate, a duration, or times that could be subtracted; write timestamps or log throughput"
    why = {"step_seconds": reason, "tokens_per_second": reason}
    return why if flops is not None else {**why, "mfu": reason}


def _known(readings: Sequence[StepReading], shape: RunShape, accumulation: float) -> list[_Step]:
    """Printed rates and durations where there are any and a clock bears them out, else differences of clocks."""
    printed = [each for each in (_printed(reading, shape, accumulation) for reading in readings) if each is not None]
    by_clock = _by_clock(readings, shape)
    fastest = min((each.seconds for each in printed), default=inf)
    if by_clock and fastest > WRONG_UNIT * median(each.seconds for each in by_clock):
        return by_clock
    return printed


def _printed(reading: StepReading, shape: RunShape, accumulation: float) -> _Step | None:
    seconds, tokens = _seconds(reading, accumulation), tokens_per_step(reading, shape)
    rate = _tokens_per_s(reading, shape)
    if rate is None and seconds is not None:
        rate = tokens / seconds
    if rate is None or rate <= 0:
        return None
    return _Step(
        number=reading.step if reading.step is not None else reading.micro_step,
        seconds=seconds if seconds is not None else tokens / rate,
        tokens_per_s=rate,
        flops=reading.flops_per_s_per_gpu,
        sequences=reading.sequences,
        after_pause=reading.after_pause,
        micro=reading.seconds is None and reading.micro_seconds is not None,
    )


def _seconds(reading: StepReading, accumulation: float) -> float | None:
    if reading.seconds is not None and reading.seconds > 0:
        return reading.seconds
    micro = reading.micro_seconds
    return micro * accumulation if micro is not None and micro > 0 else None


def tokens_per_step(reading: StepReading, shape: RunShape) -> float:
    """What the line says of the batch, else what is declared."""
    return (reading.sequences or shape.global_batch) * (reading.sequence_length or shape.sequence_length)


def _tokens_per_s(reading: StepReading, shape: RunShape) -> float | None:
    length = reading.sequence_length or shape.sequence_length
    told = (
        (reading.tokens_per_s, 1.0),
        (reading.tokens_per_s_per_gpu, shape.gpus),
        (reading.samples_per_s, length),
        (reading.samples_per_s_per_gpu, length * shape.gpus),
    )
    return next((value * factor for value, factor in told if value is not None and value > 0), None)


def _accumulation(readings: Sequence[StepReading], shape: RunShape) -> float:
    """Micro-steps an optimizer step, as the log counts both, else as declared."""
    both = [(each.micro_step, each.step) for each in readings if each.micro_step is not None and each.step is not None]
    if len(both) < 2:
        return shape.accumulation
    (first_micro, first), (last_micro, last) = both[0], both[-1]
    if last - first < 2 or last_micro <= first_micro:
        return shape.accumulation
    return max(1.0, float(round((last_micro - first_micro) / (last - first))))


def _counted_batch(readings: Sequence[StepReading]) -> float | None:
    """Sequences a step, as a log that counts both samples and steps has them; None where that is no whole number."""
    both = [(each.samples, each.step) for each in readings if each.samples is not None and each.step is not None]
    if len(both) < 2 or any(each.sequences is not None for each in readings):
        return None
    (first_samples, first), (last_samples, last) = both[0], both[-1]
    if last <= first or last_samples <= first_samples:
        return None
    batch = (last_samples - first_samples) / (last - first)
    return round(batch) if batch >= 1 and abs(batch - round(batch)) <= COUNTED * batch else None


def _by_clock(readings: Sequence[StepReading], shape: RunShape) -> list[_Step]:
    """Differences between lines in the order of time; a step that fell back is a restart, and its interval left out."""
    timed = sorted((each for each in readings if each.clock_seconds is not None), key=_clock)
    least = _shortest_interval(timed)
    found: list[_Step] = []
    before, paused = (timed[0] if timed else StepReading()), False
    for after in timed[1:]:
        paused = paused or after.after_pause
        step = _between(before, after, shape) if _clock(after) - _clock(before) >= least else None
        if step is not None:
            found.append(replace(step, after_pause=paused))
        if step is not None or _fell(before, after):
            before, paused = after, False
    return found


def _clock(reading: StepReading) -> float:
    return reading.clock_seconds or 0.0


def _shortest_interval(timed: Sequence[StepReading]) -> float:
    """Clocks of whole seconds tell a step's time only over many of them, where the log is long enough for that."""
    whole = all(_clock(each).is_integer() for each in timed)
    span = _clock(timed[-1]) - _clock(timed[0]) if timed else 0.0
    return COARSE_SECONDS if whole and span >= 3 * COARSE_SECONDS else 0.0


def _fell(before: StepReading, after: StepReading) -> bool:
    return (after.step or 0.0) < (before.step or 0.0)


def _between(before: StepReading, after: StepReading, shape: RunShape) -> _Step | None:
    time = _clock(after) - _clock(before)
    length = after.sequence_length or shape.sequence_length
    batch = (after.sequences or shape.global_batch) * length
    steps = _grown(before.step, after.step)
    counted = _grown(before.tokens, after.tokens)
    if counted is None and (samples := _grown(before.samples, after.samples)) is not None:
        counted = samples * length
    tokens = counted if counted is not None else None if steps is None else steps * batch
    if time <= 0 or tokens is None:
        return None
    seconds = time / (steps if steps is not None else tokens / batch)
    return _Step(after.step, seconds, tokens / time, None, after.sequences, after.after_pause)


def _grown(before: float | None, after: float | None) -> float | None:
    return after - before if before is not None and after is not None and after > before else None


def _same_batch(steps: list[_Step]) -> list[_Step]:
    """Where the batch ramps up: the steps of the last size, once there are enough of them."""
    last = [each for each in steps if each.sequences == steps[-1].sequences]
    return last if len(last) >= 3 else steps


def _settled(steps: list[_Step]) -> tuple[list[_Step], int, int]:
    """Steady steps, and how many readings of warm-up and of pauses were left out."""
    warm = _warm_up(steps)
    rest = steps[warm:]
    usual = median(each.seconds_per_token for each in rest)
    marked = {id(each) for each in rest if each.after_pause and each.seconds_per_token > AFTER_PAUSE * usual}
    odd = {
        id(each)
        for each in rest
        if id(each) not in marked and not INSTANT * usual <= each.seconds_per_token <= PAUSE * usual
    }
    left_out = marked | (odd if len(odd) <= RARE * len(rest) or len(rest) - len(odd) - len(marked) < 1 else set())
    kept = [each for each in rest if id(each) not in left_out]
    return (kept, warm, len(rest) - len(kept)) if kept else (rest, warm, 0)


def _warm_up(steps: list[_Step]) -> int:
    """Readings at the start that are slower than what follows, or only launched; the very first goes anyway once five
    are there, unless micro-steps differ by turns."""
    if len(steps) < 2:
        return 0
    usual = median(each.seconds_per_token for each in steps[len(steps) // 2 :])
    odd = 0
    while odd < len(steps) // 2 and not INSTANT * usual <= steps[odd].seconds_per_token <= WARM_UP * usual:
        odd += 1
    return max(odd, 1) if len(steps) >= 5 and not steps[0].micro else odd


def _covered(kept: list[_Step]) -> int:
    """Optimizer steps that the readings stand for: a line printed every ten steps stands for ten."""
    numbers = sorted({each.number for each in kept if each.number is not None})
    if len(numbers) < 2:
        return max(1, len(kept) if not numbers else len(numbers))
    every = median(after - before for before, after in pairwise(numbers))
    return max(1, round(every * len(numbers)))


def _contradictions(readings: Sequence[StepReading], shape: RunShape, accumulation: float) -> tuple[str, ...]:
    """The log's own rate beside what the declared batch makes of its step time."""
    ratios = []
    for each in readings:
        seconds, rate = _seconds(each, accumulation), _tokens_per_s(each, shape)
        if seconds is not None and rate is not None:
            ratios.append(rate * seconds / tokens_per_step(each, shape))
    if not ratios or abs(median(ratios) - 1) <= DISAGREES:
        return ()
    return (
        f"the log's tokens per second are {median(ratios):.2g} x the batch over its step time: check globalBatchSize, "
        "sequenceLength and the GPU count",
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return median(known) if known else None
