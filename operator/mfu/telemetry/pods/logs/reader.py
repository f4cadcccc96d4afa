"""A training log, line by line → who wrote it and what its steps told."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from mfu.observe.steps import StepReading
from mfu.telemetry.pods.logs.bars import Bar, bar, readings
from mfu.telemetry.pods.logs.facts import Facts
from mfu.telemetry.pods.logs.formats import FORMATS, LogProgram, elapsed, whole_run
from mfu.telemetry.pods.logs.lines import LogLine, lines

MOST: Final = 20_000
"""Readings kept of each program, the newest ones."""
_PAUSE: Final = re.compile(r"\bvalidat|\beval|val[_ ]loss|\bsav(?:e|ing|ed)\b|checkpoint", re.IGNORECASE)
_EPOCH: Final = re.compile(r"""["']epoch["']\s*:\s*["']?(\d+(?:\.\d+)?)""")
_NEMO_BAR: Final = re.compile(r"reduced_train_loss|train_step_timing|consumed_samples|global_step")
_ALIASES: Final[Mapping[str, LogProgram]] = {
    "deepspeed": LogProgram.DEEPSPEED,
    "nemo": LogProgram.NEMO,
    "megatron": LogProgram.MEGATRON,
    "titan": LogProgram.TORCHTITAN,
    "lightning": LogProgram.LIGHTNING,
    "litgpt": LogProgram.LITGPT,
    "lit-gpt": LogProgram.LITGPT,
    "maxtext": LogProgram.MAXTEXT,
    "nanogpt": LogProgram.NANOGPT,
    "hugging": LogProgram.HUGGING_FACE,
    "hf": LogProgram.HUGGING_FACE,
    "transformers": LogProgram.HUGGING_FACE,
    "trl": LogProgram.HUGGING_FACE,
    "axolotl": LogProgram.HUGGING_FACE,
}


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """`program` is None where no line is known; `readings` are its own."""

    program: LogProgram | None
    readings: tuple[StepReading, ...]
    facts: Facts
    whole_run: bool = False
    """Only the mean over the whole run is known, pauses included."""


@dataclass(slots=True)
class Reader:
    """Takes lines as they come; `log()` is what they amount to so far. `declared` (spec.runtime.engine) breaks ties."""

    declared: str = ""
    _found: dict[LogProgram, deque[StepReading]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=MOST))
    )
    _bars: dict[tuple[LogProgram, str], deque[Bar]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=MOST))
    )
    _facts: Facts = field(default_factory=Facts)
    _summary: StepReading | None = None
    _paused: bool = False

    def take(self, raw: Iterable[str]) -> bool:
        """Reads more of the log; whether any of it was about steps."""
        return sum(self._take(line) for line in lines(raw)) > 0

    def _take(self, line: LogLine) -> bool:
        for layout in FORMATS:
            reading = layout.read(line.text)
            if reading is not None:
                self._keep(layout.program, reading, line)
                return True
        return self._take_bar(line.text) or self._take_note(line.text)

    def _keep(self, program: LogProgram, reading: StepReading, line: LogLine) -> None:
        clock = reading.clock_seconds if reading.clock_seconds is not None else elapsed(line.text)
        samples = reading.samples
        if samples is None and self._facts.examples and (epoch := _EPOCH.search(line.text)) is not None:
            samples = float(epoch[1]) * self._facts.examples
        timed = replace(reading, clock_seconds=line.at if clock is None else clock, samples=samples)
        self._found[program].append(replace(timed, after_pause=self._paused))
        self._paused = False

    def _take_bar(self, text: str) -> bool:
        state = bar(text) if ("[" in text and "<" in text) or "it/s" in text else None
        if state is None:
            return False
        self._bars[_program_of(state), state.total].append(replace(state, after_pause=self._paused))
        self._paused = False
        return True

    def _take_note(self, text: str) -> bool:
        self._facts = self._facts.told(text)
        self._summary = whole_run(text) or self._summary
        self._paused = self._paused or _PAUSE.search(text) is not None
        return False

    def log(self) -> TrainingLog:
        """The program that tells most, with its readings; forks of Megatron time what DeepSpeed's timer leaves out."""
        told = {program: list(found) for program, found in self._found.items()}
        for program, found in self._bar_readings().items():
            if not any(_speaks(each) for each in told.get(program, ())):
                told[program] = found
        likeliest = self._likeliest(told)
        steps = told.get(likeliest, []) if likeliest is not None else []
        steps = _of_one_counter(steps) if likeliest is LogProgram.DEEPSPEED else steps
        if self._summary is not None and not any(_speaks(each) or each.clock_seconds for each in steps):
            return TrainingLog(LogProgram.HUGGING_FACE, (self._summary,), self._facts, whole_run=True)
        return TrainingLog(self._named(likeliest), tuple(steps), self._facts)

    def _likeliest(self, told: Mapping[LogProgram, Sequence[StepReading]]) -> LogProgram | None:
        if not told:
            return None
        wanted = next((each for name, each in _ALIASES.items() if name in self.declared.lower()), None)
        order = list(LogProgram)
        return max(
            told,
            key=lambda each: (
                any(_speaks(reading) for reading in told[each]),
                any(reading.clock_seconds is not None for reading in told[each]),
                each is wanted,
                each is LogProgram.MEGATRON and any(reading.seconds is not None for reading in told[each]),
                sum(map(_speaks, told[each])),
                len(told[each]),
                -order.index(each),
            ),
        )

    def _named(self, program: LogProgram | None) -> LogProgram | None:
        """Megatron's lines out of DeepSpeed's fork are DeepSpeed's."""
        return LogProgram.DEEPSPEED if program is LogProgram.MEGATRON and self._facts.deepspeed else program

    def _bar_readings(self) -> dict[LogProgram, list[StepReading]]:
        found: dict[LogProgram, list[StepReading]] = defaultdict(list)
        for (program, total), states in self._bars.items():
            if program is LogProgram.HUGGING_FACE and total != self._training_bar():
                continue
            found[program] += readings(list(states), micro=program is LogProgram.LIGHTNING)
        return found

    def _training_bar(self) -> str | None:
        """The Trainer's evaluation has a bar of the same looks: training's is as long as the run, or runs longest."""
        totals = {
            total: states for (program, total), states in self._bars.items() if program is LogProgram.HUGGING_FACE
        }
        steps = self._facts.total_steps
        if steps is not None and f"{steps:.0f}" in totals:
            return f"{steps:.0f}"
        return max(totals, key=lambda total: max(each.elapsed_seconds for each in totals[total]), default=None)


def _of_one_counter(steps: list[StepReading]) -> list[StepReading]:
    """DeepSpeed's optimizer counts on from the checkpoint (`step=136005`), its timer from this start (`global_step=5`):
    where no number is told by both, the timer's.
    """
    timed = [each for each in steps if _speaks(each)]
    numbers = [{each.step for each in steps if _speaks(each) is speaks} - {None} for speaks in (True, False)]
    return timed if all(numbers) and not numbers[0] & numbers[1] else steps


def _program_of(state: Bar) -> LogProgram:
    if _NEMO_BAR.search(state.rest) is not None:
        return LogProgram.NEMO
    lightning = "Epoch" in state.about or "v_num" in state.rest or "Training" in state.about
    return LogProgram.LIGHTNING if lightning else LogProgram.HUGGING_FACE


def _speaks(reading: StepReading) -> bool:
    """Gives a pace by itself."""
    given = (
        reading.seconds,
        reading.micro_seconds,
        reading.tokens_per_s,
        reading.tokens_per_s_per_gpu,
        reading.samples_per_s,
        reading.samples_per_s_per_gpu,
    )
    return any(each is not None for each in given)
