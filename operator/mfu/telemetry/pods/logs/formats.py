"""The lines in which each training program says how fast it goes: where the numbers stand and what they count.

Unit traps: Megatron's time is milliseconds, NeMo's seconds; `tps` of torchtitan and MaxText's tokens are of one device,
`tok/sec` of nanoGPT's family is of all; LitGPT's and Lightning's iterations are micro-steps; NeMo and MaxText count
from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mfu.observe.steps import StepReading
from mfu.telemetry.pods.logs.numbers import duration, expression, value

_TERA: Final = 1e12


class LogProgram(StrEnum):
    """Who wrote the log."""

    MEGATRON = "Megatron"
    TORCHTITAN = "torchtitan"
    NEMO = "NeMo"
    LIGHTNING = "Lightning"
    HUGGING_FACE = "HuggingFace"
    NANOGPT = "nanoGPT"
    LITGPT = "LitGPT"
    MAXTEXT = "MaxText"
    DEEPSPEED = "DeepSpeed"


@dataclass(frozen=True, slots=True)
class LogField:
    """A number in a line: `into` is a field of StepReading; the first pattern that gives a number counts."""

    into: str
    patterns: tuple[re.Pattern[str], ...]
    factor: float = 1.0
    offset: float = 0.0
    inverse: bool = False
    hint: str = ""
    """A word without which none of the patterns can match: looked for first, since a log may be long."""

    def read(self, text: str) -> float | None:
        if self.hint not in text:
            return None
        for pattern in self.patterns:
            match = pattern.search(text)
            number = None if match is None else value(match)
            if number is not None and number >= 0:
                return self._scaled(number)
        return None

    def _scaled(self, number: float) -> float | None:
        if self.inverse:
            return self.factor / number if number > 0 else None
        return number * self.factor + self.offset


@dataclass(frozen=True, slots=True)
class LogFormat:
    """`marker` must be in the line and `unless` not; `hints` are words of which a line of it has one."""

    program: LogProgram
    hints: tuple[str, ...]
    marker: re.Pattern[str]
    fields: tuple[LogField, ...]
    unless: re.Pattern[str] | None = None

    def read(self, text: str) -> StepReading | None:
        """What the line tells, which may be no more than that a step was made; None when it is another line."""
        if not any(hint in text for hint in self.hints) or self.marker.search(text) is None:
            return None
        if self.unless is not None and self.unless.search(text) is not None:
            return None
        found: dict[str, Any] = {}
        for each in self.fields:
            number = each.read(text)
            if number is not None:
                found.setdefault(each.into, number)
        return StepReading(**found)


def _field(
    into: str, *patterns: str, factor: float = 1.0, offset: float = 0.0, inverse: bool = False, hint: str = ""
) -> LogField:
    return LogField(into, tuple(expression(each) for each in patterns), factor, offset, inverse, hint)


def _key(name: str) -> str:
    """A name before its value, in prose, a dict or an assignment; a unit in brackets may stand between."""
    return rf"""(?<![\w/|]){name}["']?\s*(?:\([^)]*\))?\s*[:=]\s*["']?"""


_GPU_TOKENS: Final = _field(
    "tokens_per_s_per_gpu",
    r"\btokens[ _]per[ _]gpu[ _]per[ _]second[\s_]*\(?tgs\)?\s*[:=]\s*#",
    _key(r"tokens[_ /]?(?:per[_ ])?s(?:ec(?:ond)?)?(?:_per_|/| per )(?:gpu|GPU|device)") + "#",
    _key(r"(?:tokens/)?train_per_sec_per_gpu") + "#",
    r"throughput/device/tokens_per_sec[\"']?\s*[:=]\s*#",
    r"\btokens/s/(?:GPU|gpu|device)\)?\s*[:=]?\s*#",
    hint="tok",
)
_ALL_TOKENS: Final = _field(
    "tokens_per_s",
    _key(r"(?:throughput/)?tokens?_per_sec(?:ond)?") + "#",
    _key(r"tok(?:en)?s?/s(?:ec)?") + "#",
    r"(?P<value>\d[\d,]*(?:\.\d+)?)\s*tok(?:en)?s?/s(?:ec)?\b",
    hint="tok",
)
_FLOPS: Final = _field(
    "flops_per_s_per_gpu",
    r"throughput per GPU \(TFLOP/s/GPU\):\s*#",
    r"compute per GPU \(TFLOP/s/GPU\):\s*#",
    r"GPU utilization:\s*(?P<value>\d+(?:\.\d+)?)\s*MODEL_TFLOP/s/GPU",
    r"approx flops per GPU:\s*(?P<value>\d+(?:\.\d+)?)\s*TFLOPS",
    r"model_tflops_per_gpu:\s*#",
    r"TFLOPS_per_GPU[\"']?\s*[:=]\s*#",
    r"tflops_per_sec_per_gpu[\"']?\s*[:=]\s*#",
    r"TFLOP/s(?:/device)?:\s*#",
    r"tflops:\s*#",
    r"TFLOPs[:=]\s*#",
    factor=_TERA,
)
_BATCH: Final = _field("sequences", _key(r"global[ _]batch[ _]size") + "#", hint="batch")

MEGATRON: Final = LogFormat(
    # megatron/training/training.py, training_log(); Megatron-DeepSpeed, GPT-NeoX and nanotron print kin of it, and
    # argonne-lcf/Megatron-DeepSpeed all of it as key=value
    LogProgram.MEGATRON,
    ("iteration",),
    re.compile(r"\biteration[:=]?\s*\d+\s*/\s*(?:\d+|infinity)\s*\|"),
    (
        _field("step", r"\biteration[:=]?\s*#\s*/"),
        _field("seconds", r"elapsed[ _]time[ _]per[ _]iteration[ _]\(?ms\)?\s*[:=]\s*#", factor=1e-3),
        _field("seconds", r"elapsed[ _]time[ _]per[ _]iteration(?:[ _]\(?s\)?)?\s*[:=]\s*@"),
        _field("samples", r"consumed[ _](?:train[ _])?samples[:=]\s*#"),
        _field("tokens", r"consumed[ _]tokens[:=]\s*#"),
        _BATCH,
        _field("sequence_length", r"actual[ _]seqlen[:=]\s*#"),
        _FLOPS,
        _GPU_TOKENS,
        _ALL_TOKENS,
        _field("samples_per_s", r"samples[ _]per[ _]second[:=]\s*#", r"samples/sec:\s*#", hint="samples"),
    ),
)
TORCHTITAN: Final = LogFormat(
    # torchtitan/components/metrics.py, MetricsProcessor.log(); `wps` until the end of 2024
    LogProgram.TORCHTITAN,
    ("step:", "throughput(tps)"),
    re.compile(r"\bstep:\s*[\d,]+\s.*\bloss:|\bthroughput\(tps\)"),
    (
        _field("step", r"""\bstep["']?:\s*#"""),
        _field("seconds", r"""\bend_to_end(?:\(s\))?["']?:\s*@""", r"\biter:\s*@"),
        _field("tokens_per_s_per_gpu", r"\b(?:tps|wps):\s*#", r"""\bthroughput\(tps\)["']?:\s*#"""),
        _FLOPS,
    ),
    unless=re.compile(r"\bvalidat|\beval|train_time:|tok/s|completed step"),
)
NEMO: Final = LogFormat(
    # nemo/lightning/pytorch/callbacks/progress_printer.py, and the metrics of NeMo 1 behind its progress bar
    LogProgram.NEMO,
    ("train_step_timing", "Training epoch", "Step Time", "MODEL_TFLOP"),
    re.compile(r"\bTraining epoch \d+, iteration \d+/|train_step_timing in s|\bStep Time\s*:\s*\d|MODEL_TFLOP/s/GPU"),
    (
        _field("step", r"""\bglobal_step["']?\s*[:=]\s*#""", offset=1.0),
        _field("seconds", r"""\btrain_step_timing in s["']?\s*[:=]\s*#""", r"\bStep Time\s*:\s*@"),
        _BATCH,
        _field("samples", r"""\bconsumed_samples["']?\s*[:=]\s*#"""),
        _FLOPS,
        _GPU_TOKENS,
    ),
)
LIGHTNING: Final = LogFormat(
    # lightning/fabric/utilities/throughput.py; the monitor prefixes "train|" or "train/"
    LogProgram.LIGHTNING,
    ("_per_sec",),
    re.compile(r"device/(?:batches|samples|items)_per_sec|\bdevice\|(?:batches|samples|items)_per_sec"),
    (
        _field("micro_step", r"""(?<!\w)(?:train[|/])?batches["']?\s*[:=]\s*#"""),
        _field("tokens_per_s", r"""(?<!device/)(?<!device\|)\bitems_per_sec["']?\s*[:=]\s*#"""),
        _field("tokens_per_s_per_gpu", r"""device[/|]items_per_sec["']?\s*[:=]\s*#"""),
        _field("samples_per_s", r"""(?<!device/)(?<!device\|)\bsamples_per_sec["']?\s*[:=]\s*#"""),
        _field("samples_per_s_per_gpu", r"""device[/|]samples_per_sec["']?\s*[:=]\s*#"""),
        _field("micro_seconds", r"""device[/|]batches_per_sec["']?\s*[:=]\s*#""", inverse=True),
        _field("flops_per_s_per_gpu", r"""device[/|]flops_per_sec["']?\s*[:=]\s*#"""),
    ),
    unless=re.compile(r"""["'](?:validate|val|test|predict)[|/]"""),
)
NANOGPT: Final = LogFormat(
    # karpathy/nanoGPT train.py; build-nanogpt, nanochat, llm.c and modded-nanogpt print kin of it
    LogProgram.NANOGPT,
    ("iter ", "step"),
    re.compile(r"\biter\s+\d+:\s*loss|\bstep:?\s*\d+.*\b(?:dt:?\s*[\d.]+\s*ms|tok/s|train_time:)"),
    (
        _field("step", r"\biter\s+#\s*:", r"\bstep:?\s*#"),
        _field("seconds", r"\btime\s+@", r"\bdt:?\s*@", r"\|\s*(?P<value>[\d.]+)\s*(?P<unit>ms)\s*\|"),
        _field("clock_seconds", r"\btrain_time:\s*@"),
        _ALL_TOKENS,
    ),
    unless=re.compile(r"\bval[_ ]loss|iter time"),
)
LITGPT: Final = LogFormat(
    # litgpt/pretrain.py and finetune/*.py; lit-gpt and TinyLlama before it
    LogProgram.LITGPT,
    ("iter time",),
    re.compile(r"\biter\s+\d+\s*(?:\|\s*)?step\s+\d+.*\biter time", re.IGNORECASE),
    (
        _field("micro_step", r"\biter\s+#"),
        _field("step", r"(?i:\bstep)\s+(?P<value>\d+)"),
        _field("micro_seconds", r"\biter time:\s*@"),
    ),
)
MAXTEXT: Final = LogFormat(
    # MaxText/metric_logger.py
    LogProgram.MAXTEXT,
    ("completed step", "perf/step_time_seconds"),
    re.compile(r"\bcompleted step:\s*\d+|perf/step_time_seconds"),
    (
        _field("step", r"\bcompleted step:\s*#", r"""["']step["']:\s*#""", offset=1.0),
        _field("seconds", r"\bseconds:\s*#", r"""perf/step_time_seconds["']?:\s*#"""),
        _field("tokens_per_s_per_gpu", r"\bTokens/s/device:\s*#", r"""perf/per_device_tokens_per_sec["']?:\s*#"""),
        _FLOPS,
    ),
)
DEEPSPEED: Final = LogFormat(
    # deepspeed/utils/timer.py, ThroughputTimer; runtime/pipe/engine.py; runtime/engine.py, _report_progress()
    LogProgram.DEEPSPEED,
    ("SamplesPerSec", "iter time (s)", "skipped="),
    re.compile(r"SamplesPerSec=|\bsteps: \d+ loss: .*iter time|\[Rank 0\] step=\d+, skipped="),
    (
        _field("step", r"\bglobal_step=#", r"\bsteps:\s*#", r"\]\s*\d+/(?P<value>\d+),", r"\bstep=#,"),
        _field("step", r"\b\d+/(?P<value>\d+), (?:RunningAvg)?SamplesPerSec"),
        _field("samples_per_s", r"CurrSamplesPerSec=#", r"SamplesPerSec=#", r"samples/sec:\s*#"),
        _field("seconds", r"\biter time \(s\):\s*#"),
    ),
)
HUGGING_FACE: Final = LogFormat(
    # transformers/trainer.py, Trainer.log(), with what TRL, Axolotl, LLaMA-Factory and ms-swift add to its dict
    LogProgram.HUGGING_FACE,
    ("loss", "learning_rate", "num_input_tokens_seen", "step"),
    re.compile(r"""["'](?:loss|learning_rate|num_input_tokens_seen|current_steps|step|train_loss)["']\s*:"""),
    (
        _field("step", r"""["'](?:global_step(?:/max_steps)?|current_steps|step)["']\s*:\s*["']?(?P<value>\d+)"""),
        _field("tokens", r"""["'](?:num_input_tokens_seen|num_tokens|total_tokens|tokens/total)["']\s*:\s*["']?#"""),
        _field(
            "seconds",
            r"""["'](?:train_speed\(s/it\)|(?:step|iter|iteration)_time(?:_s|_sec|_seconds)?)["']\s*:\s*["']?@""",
        ),
        _field("seconds", r"""["'](?:step|iter|iteration)_time_ms["']\s*:\s*["']?#""", factor=1e-3),
        _field("seconds", r"""["']train_speed\(iter/s\)["']\s*:\s*["']?#""", inverse=True),
        _GPU_TOKENS,
        _field("tokens_per_s", r"""["'](?:throughput|tokens_per_sec(?:ond)?)["']\s*:\s*["']?#"""),
    ),
    unless=re.compile(r"""["'](?:eval_\w+|train_runtime)["']\s*:|per_sec["']?\s*[:=].*device/"""),
)
FORMATS: Final = (NEMO, MEGATRON, LIGHTNING, LITGPT, MAXTEXT, NANOGPT, TORCHTITAN, DEEPSPEED, HUGGING_FACE)
"""In the order in which a line is tried."""

_SUMMARY: Final = re.compile(r"""["']train_runtime["']\s*:""")
_WHOLE: Final = (
    _field("tokens_per_s", r"""["']train_tokens_per_second["']\s*:\s*["']?#"""),
    _field("samples_per_s", r"""["']train_samples_per_second["']\s*:\s*["']?#"""),
    _field("seconds", r"""["']train_steps_per_second["']\s*:\s*["']?#""", inverse=True),
)


def whole_run(text: str) -> StepReading | None:
    """The Trainer's last line: means over the whole run, pauses included."""
    if _SUMMARY.search(text) is None:
        return None
    found: Mapping[str, Any] = {each.into: number for each in _WHOLE if (number := each.read(text))}
    return StepReading(**found) if found else None


_ELAPSED: Final = re.compile(r"""["']elapsed_time["']\s*:\s*["']([^"']+)["']""")


def elapsed(text: str) -> float | None:
    """The clock that LLaMA-Factory and ms-swift write into their lines."""
    match = _ELAPSED.search(text)
    return None if match is None else duration(match[1])
