"""A running workload as somebody who could share its GPU: its program from the shape, its sleep as measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mfu.decide.fleet.sharing import Sharer
from mfu.engine.judged import Judged, Running, trusted
from mfu.observe.assessment import Assessment
from mfu.predict.sharing.program import SharedProgram, expected_program
from mfu.predict.sharing.spec import Spec
from mfu.predict.types import Inference, Setup

STEP: Final = 0.05
"""Activity is told in steps: advice that wanders with every reading is none."""
_ACTIVE: Final = ("GPU active", "GPU utilisation")


def sharer_of(judged: Judged) -> Sharer | None:
    """None where it does not hold exactly one whole GPU by itself, or how busy it is was not read or is not trusted.

    A mixture of experts is none either: no recording backs its program.
    """
    if not isinstance(judged, Running) or judged.main is None or not trusted(judged):
        return None
    holding, (candidate, expected) = judged.holding, judged.main
    device = candidate.placement.device
    if (holding.gpus, holding.pods) != (1, 1) or holding.shared or device.shared or device.mig is not None:
        return None
    active = _active(judged.assessment)
    if active is None or judged.setup.architecture.moe is not None:
        return None
    return Sharer(
        key=judged.view.key,
        namespace=judged.view.namespace,
        gpu=device.gpu,
        program=_asleep(expected_program(_spec(judged.setup), device.gpu), active),
        memory_bytes=expected.memory.total_bytes,
        serves=isinstance(judged.setup, Inference),
        rules=judged.policy.sharing,
    )


def _active(assessment: Assessment) -> float | None:
    """Share of the time in which a kernel ran, in steps and never 0; None where no reading says."""
    read = {each.name: each.value for each in assessment.readings}
    found = next((read[name] for name in _ACTIVE if name in read), None)
    if not isinstance(found, float | int):
        return None
    return max(STEP, min(1.0, round(float(found) / STEP) * STEP))


def _asleep(program: SharedProgram, active: float) -> SharedProgram:
    """Asleep so long that kernels run for that share of the time; where the host sets the pace its gaps stay."""
    sleeps = program.busy_seconds / active - program.active_seconds
    return replace(program, asleep_seconds=max(0.0, sleeps))


def _spec(setup: Setup) -> Spec:
    architecture = setup.architecture
    if isinstance(setup, Inference):
        context = int(setup.input_tokens + setup.output_tokens / 2)
        batch = int(setup.concurrency or 1)
        return Spec("decode", architecture.layers, architecture.hidden, batch, context, 0.0)
    batch, length = int(setup.micro_batch_size), int(setup.sequence_length)
    return Spec("train", architecture.layers, architecture.hidden, batch, length, 0.0)
