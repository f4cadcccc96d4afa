"""A declared training job and its placement as one case of the arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.predict.training.arrays import TrainingCase, TrainingLayout
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.engines import engine
from mfu.predict.training.machine import machine_of, matrix_units
from mfu.predict.training.model import model_of
from mfu.predict.training.stack import optimizer_bytes, stack_of
from mfu.predict.types import Optimizer, Placement, Recompute, Sharding, Training

ZERO_STAGE = {
    Sharding.DDP: 0.0,
    Sharding.ZERO1: 1.0,
    Sharding.ZERO2: 2.0,
    Sharding.ZERO3: 3.0,
    Sharding.HSDP: 3.0,
}
RECOMPUTE_MODE = {Recompute.NONE: 0.0, Recompute.SELECTIVE: 1.0, Recompute.FULL: 2.0}
MOMENTS = {Optimizer.ADAMW: 2.0, Optimizer.LION: 1.0, Optimizer.SGD: 1.0, Optimizer.ADAFACTOR: 0.03}
"""Values kept per trained parameter (Adafactor keeps rows and columns of the second moment only)."""


def case_of(setup: Training, placement: Placement, c: TrainingConstants) -> TrainingCase | None:
    """0-d case; None where the device has no known peak at the declared precision."""
    machine = machine_of(placement, setup.precisions, c)
    if machine is None:
        return None
    if placement.host_pace is not None:
        machine = replace(machine, host=machine.host * placement.host_pace / engine(setup.engine).host_slowness)
    model = model_of(setup.architecture, setup.sequence_length, setup.method)
    stack = stack_of(setup, c)
    arithmetic = arithmetic_of(setup, placement)
    measured = c.of("product", placement.device.gpu.api_name) * c.of("arithmetic", arithmetic)
    measured *= c.of("habitat", habitat_of(setup.engine, arithmetic))
    stack = replace(stack, efficiency=stack.efficiency * measured)
    return TrainingCase(model, layout_of(setup, placement), machine, stack)


def layout_of(setup: Training, placement: Placement) -> TrainingLayout:
    """The declared cut; HSDP shards inside one NVLink domain and replicates across."""
    cut = setup.parallelism
    replicas = cut.data * cut.context
    node = max(placement.gpus_per_node // (cut.tensor * cut.pipeline), 1)
    shard = min(replicas, node) if setup.sharding is Sharding.HSDP else replicas
    values = {
        "tensor": cut.tensor,
        "pipeline": cut.pipeline,
        "context": cut.context,
        "data": cut.data,
        "expert": cut.expert,
        "virtual": cut.virtual_pipeline,
        "micro_batch": setup.micro_batch_size,
        "global_batch": setup.global_batch_size,
        "zero": ZERO_STAGE[setup.sharding],
        "shard": shard,
        "recompute": RECOMPUTE_MODE[setup.recompute],
        "optimizer_bytes": state_bytes(setup),
    }
    return TrainingLayout(**{name: np.asarray(value, dtype=float) for name, value in values.items()})


def state_bytes(setup: Training) -> float:
    """Optimizer state per trained parameter, master copy included."""
    return optimizer_bytes(setup, MOMENTS[setup.optimizer])


def habitat_of(engine_name: str | None, arithmetic: str) -> str:
    """Who wrote the program and for which matrix units: `habitat_of("torchtitan", "hopper FP8") == "plain hopper"`."""
    kind = "plain" if engine(engine_name).plain else "tuned"
    return f"{kind} {arithmetic.split()[0]}"


def arithmetic_of(setup: Training, placement: Placement) -> str:
    """Which matrix units work in which format: `"hopper FP8"`."""
    return f"{matrix_units(placement.device.gpu)} {setup.precisions.compute.value}"
