"""Lines that training frameworks print → ProgressReading. Only cumulative counts are taken, never their own rates.

A framework's tokens/s or MFU is per device here and per job there, over a peak that may be guessed: steps and samples
are what they all count alike. Unit traps: Megatron's time is milliseconds per iteration, NeMo's seconds; torchtitan's
`tps` is per device (left out); NeMo's global_step starts at 0; Lightning's samples and lengths are of one rank, its
batches are micro-batches (left out).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mfu.observe.readings import Counter, Gauge, ProgressReading
from mfu.telemetry.pods.progress import Pod

_LONGEST_LINE: Final = 16_384
_NUMBER: Final = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!,?\d)"
"""With a thousands separator behind it the number is only a part of one."""
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")


class Framework(StrEnum):
    """Whose lines to expect (`spec.runtime.engine`)."""

    MEGATRON = "Megatron"
    TORCHTITAN = "torchtitan"
    NEMO = "NeMo"
    LIGHTNING = "Lightning"
    HF_TRAINER = "HFTrainer"


@dataclass(frozen=True, slots=True)
class Line:
    """What one line told: cumulative counters, and gauges of the last step."""

    counters: Mapping[Counter, float] = field(default_factory=dict)
    gauges: Mapping[Gauge, float] = field(default_factory=dict)
    per_rank: bool = False
    """The counters are of one rank: multiply by the ranks, or let every rank report."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A number in a line: where, what it counts, and what turns it into that."""

    expression: re.Pattern[str]
    what: Counter | Gauge
    factor: float = 1.0
    offset: float = 0.0


def _pattern(text: str, what: Counter | Gauge, *, factor: float = 1.0, offset: float = 0.0) -> _Pattern:
    return _Pattern(re.compile(text.replace("#", _NUMBER)), what, factor, offset)


@dataclass(frozen=True, slots=True)
class _Format:
    """`marker` must be in the line; then every pattern that matches counts."""

    marker: re.Pattern[str]
    patterns: tuple[_Pattern, ...]
    per_rank: bool = False


_FORMATS: Final[Mapping[Framework, _Format]] = {
    # megatron/training/training.py, training_log()
    Framework.MEGATRON: _Format(
        re.compile(r"\biteration\s+\d+/\s*(?:\d+|infinity) \|"),
        (
            _pattern(r"\biteration\s+#/", Counter.STEPS),
            _pattern(r"\bconsumed samples:\s*#", Counter.TRAINED_SAMPLES),
            _pattern(r"\bconsumed tokens:\s*#", Counter.TRAINED_TOKENS),
            _pattern(r"\belapsed time per iteration \(ms\):\s*#", Gauge.STEP_SECONDS, factor=1e-3),
        ),
    ),
    # torchtitan/components/metrics.py, MetricsProcessor.log()
    Framework.TORCHTITAN: _Format(
        re.compile(r"\bstep:\s*\d+\s+loss:"),
        (
            _pattern(r"\bstep:\s*#", Counter.STEPS),
            _pattern(r"\bend_to_end(?:\(s\))?:\s*#", Gauge.STEP_SECONDS),
        ),
    ),
    # nemo/lightning/pytorch/callbacks/progress_printer.py
    Framework.NEMO: _Format(
        re.compile(r"\bTraining epoch \d+, iteration \d+/"),
        (
            _pattern(r"\bglobal_step:\s*#", Counter.STEPS, offset=1.0),
            _pattern(r"\bconsumed_samples:\s*#", Counter.TRAINED_SAMPLES),
            _pattern(r"\btrain_step_timing in s:\s*#", Gauge.STEP_SECONDS),
        ),
    ),
    # lightning/fabric/utilities/throughput.py: totals of this rank; the monitor prefixes "train|" or "train/"
    Framework.LIGHTNING: _Format(
        re.compile(r"device/(?:batches|samples|items)_per_sec"),
        (
            _pattern(r"""(?<![\w])(?:train[|/])?samples["']?\s*[:=]\s*#""", Counter.TRAINED_SAMPLES),
            _pattern(r"""(?<![\w])(?:train[|/])?lengths["']?\s*[:=]\s*#""", Counter.TRAINED_TOKENS),
        ),
        per_rank=True,
    ),
    # transformers Trainer.log(): a dict; tokens need include_num_input_tokens_seen and are gathered over all ranks
    Framework.HF_TRAINER: _Format(
        re.compile(r"""["'](?:loss|train_runtime|num_input_tokens_seen|step)["']\s*:"""),
        (
            _pattern(r"""["'](?:global_)?step["']\s*:\s*["']?#""", Counter.STEPS),
            _pattern(r"""["']num_input_tokens_seen["']\s*:\s*["']?#""", Counter.TRAINED_TOKENS),
        ),
    ),
}


def parse(framework: Framework, line: str) -> Line | None:
    """What the line tells, None when it is not one of the framework's progress lines.

    `parse(Framework.MEGATRON, " iteration 10/ 100 | consumed samples: 160 | elapsed time per iteration (ms): 500.0 |")`
    counts 10 steps, 160 samples, and a step of 0.5 s.
    """
    layout = _FORMATS[framework]
    text = _ANSI.sub("", line[:_LONGEST_LINE])
    if layout.marker.search(text) is None:
        return None
    counters: dict[Counter, float] = {}
    gauges: dict[Gauge, float] = {}
    for pattern in layout.patterns:
        value = _value(pattern, text)
        if value is None:
            continue
        if isinstance(pattern.what, Counter):
            counters[pattern.what] = value
        else:
            gauges[pattern.what] = value
    return Line(counters, gauges, layout.per_rank) if counters else None


def _value(pattern: _Pattern, text: str) -> float | None:
    match = pattern.expression.search(text)
    if match is None:
        return None
    value = float(match[1]) * pattern.factor + pattern.offset
    return value if 0 <= value < 1e18 else None


@dataclass(slots=True)
class LogReader:
    """Progress of one pod from its log. `ranks` scales counters of one rank to the job; None leaves them per rank."""

    framework: Framework
    pod: Pod
    ranks: int | None = None

    def read(self, lines: Iterable[str], at: float) -> ProgressReading | None:
        """The newest progress line among `lines`, read at `at`; None when there is none."""
        newest = None
        for line in lines:
            newest = parse(self.framework, line) or newest
        if newest is None:
            return None
        factor = float(self.ranks) if newest.per_rank and self.ranks else 1.0
        counters = {
            what: value * (factor if what is not Counter.STEPS else 1.0) for what, value in newest.counters.items()
        }
        total = not newest.per_rank or self.ranks is not None
        return ProgressReading(
            self.pod.namespace, self.pod.name, f"{self.framework} log", at, counters, newest.gauges, total
        )
