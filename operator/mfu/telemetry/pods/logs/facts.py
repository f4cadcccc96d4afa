"""What a log says of its own run, once: batch, sequence length, GPUs. What is not said stays None."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from mfu.observe.steps import RunShape
from mfu.telemetry.pods.logs.numbers import expression, value

_DOTS: Final = r"\s*\.{2,}\s*"
_PATTERNS: Final = {
    "gpus": (rf"\bworld_size{_DOTS}#", r"\busing world size:\s*#"),
    "global_batch": (
        rf"\bglobal_batch_size{_DOTS}#",
        rf"\btrain_batch_size{_DOTS}#",
        r"Total train batch size \(w\. parallel, distributed & accumulation\) = #",
        r"\bglobal batch size:?\s+#(?=,)",
    ),
    "micro_batch": (
        rf"\bmicro_batch_size{_DOTS}#",
        rf"\btrain_micro_batch_size_per_gpu{_DOTS}#",
        r"Instantaneous batch size per device = #",
    ),
    "accumulation": (rf"\bgradient_accumulation_steps{_DOTS}#", r"Gradient Accumulation steps = #"),
    "sequence_length": (rf"\bseq_length{_DOTS}#", r"\bsequence length:?\s+#(?=,)"),
    "tokens_per_step": (r"tokens per iteration will be:\s*#", r"total desired batch size:\s*#"),
    "total_steps": (r"Total optimization steps = #",),
    "examples": (r"Num examples = #",),
}
_EXPRESSIONS: Final = {name: tuple(expression(each) for each in found) for name, found in _PATTERNS.items()}
_HINT: Final = re.compile(r"world|batch|seq|tokens per iteration|optimization steps|Num examples|[Aa]ccumulation")


@dataclass(frozen=True, slots=True)
class Facts:
    """Megatron's and DeepSpeed's lists of arguments, the Trainer's and torchtitan's greeting, nanoGPT's batch."""

    gpus: float | None = None
    global_batch: float | None = None
    micro_batch: float | None = None
    accumulation: float | None = None
    sequence_length: float | None = None
    tokens_per_step: float | None = None
    total_steps: float | None = None
    examples: float | None = None
    deepspeed: bool = False

    def told(self, text: str) -> Facts:
        """With what one more line says; a restart that says it again counts."""
        known = self if self.deepspeed or "deepspeed" not in text.lower() else replace(self, deepspeed=True)
        if _HINT.search(text) is None:
            return known
        found: dict[str, Any] = {name: number for name in _EXPRESSIONS if (number := _number(name, text))}
        return replace(known, **found) if found else known


def _number(name: str, text: str) -> float | None:
    for each in _EXPRESSIONS[name]:
        match = each.search(text)
        number = None if match is None else value(match)
        if number is not None and number > 0:
            return number
    return None


def corrected(declared: RunShape, facts: Facts) -> tuple[RunShape, tuple[str, ...]]:
    """The shape that ran: what the log says of itself outweighs the declaration, and every difference is said."""
    length = facts.sequence_length or declared.sequence_length
    batch = facts.global_batch or (facts.tokens_per_step or 0.0) / length or declared.global_batch
    found = replace(
        declared,
        gpus=int(facts.gpus or declared.gpus),
        sequence_length=length,
        global_batch=batch,
        micro_batch=facts.micro_batch or declared.micro_batch,
    )
    pairs = (
        ("accelerators.count", declared.gpus, found.gpus),
        ("training.sequenceLength", declared.sequence_length, found.sequence_length),
        ("training.globalBatchSize", declared.global_batch, found.global_batch),
        ("training.microBatchSize", declared.micro_batch, found.micro_batch),
    )
    return found, tuple(
        f"spec.{name} is {said:g}, the log says {ran:g}: the log counts" for name, said, ran in pairs if said != ran
    )
