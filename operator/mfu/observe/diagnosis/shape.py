"""What the declared shape says of a step before anything is measured: time on the GPU against time to launch it."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.hardware.catalog import device_bandwidth, device_peak
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.diagnosis.traffic import runs_eager, stack_bytes
from mfu.observe.executed import from_trainer
from mfu.predict.types import Compilation, Training
from mfu.workload.flops import training_flops_per_token
from mfu.workload.parameters import count

HOST_SECONDS_PER_LAYER = 1.0e-3
"""Host time of one eager layer, forward, backward and its share of the optimizer: both launch-bound H200 recordings
(24 layers in 25.1 and 27.5 ms whatever the batch)."""
TRAINER_HOST_SECONDS_PER_LAYER, TRAINER_HOST_SECONDS = 3.5e-3, 0.02
"""The same of eager transformers models, and what its training loop does once a step (clipping, logging, collating)."""
LAUNCHES_EXPLAIN = 1.5
"""Idle time a step over the host's own from which late launches do not account for it."""
RESTARTS = 0.25
"""Of the host's time for a step, what a loop that waits for its GPU may leave it idle before its next launches arrive:
3.6 of 24 ms recorded where nothing was late (24 layers, 53 ms a step, H200)."""
REACHED = 0.55
"""Share of the peak that a step's products reach on their own when well fed."""
OPTIMIZER_BYTES_PER_PARAMETER = 20.0
"""Read and written once a step: weights, gradients and two moments of AdamW."""
BANDWIDTH_REACHED = 0.8


_COMPILED = (Compilation.FULL, Compilation.REGIONAL)


@dataclass(frozen=True, slots=True)
class StepParts:
    """Seconds of one step's parts per GPU."""

    products: float
    memory: float
    """The optimizer; in eager transformers models also what operators that are not fused move."""
    host: float

    @property
    def gpu(self) -> float:
        return self.products + self.memory


def step_time(situation: Situation) -> StepParts | None:
    """Roofline of one optimizer step on one GPU, communication left out; None without a training intent."""
    training = situation.training
    peak = None if training is None else device_peak(situation.device, training.precisions.compute)
    if training is None or peak is None:
        return None
    parallel = training.parallelism
    sequences = training.global_batch_size / parallel.data
    sharded = parallel.tensor * parallel.pipeline * parallel.context
    flops = training_flops_per_token(training.architecture, training.sequence_length, method=training.method)
    products = flops * sequences * training.sequence_length / sharded / (REACHED * peak)
    memory = _moved(situation, training) / (BANDWIDTH_REACHED * device_bandwidth(situation.device))
    micro_steps = max(1.0, sequences / training.micro_batch_size)
    layers = training.architecture.layers / parallel.pipeline * micro_steps
    return StepParts(products, memory, _host(training, layers))


def _moved(situation: Situation, training: Training) -> float:
    moved = stack_bytes(situation) if runs_eager(training) else None
    if moved is not None:
        return moved
    parallel = training.parallelism
    return OPTIMIZER_BYTES_PER_PARAMETER * count(training.architecture).total / (parallel.tensor * parallel.pipeline)


def _host(training: Training, layers: float) -> float:
    if not from_trainer(training):
        return HOST_SECONDS_PER_LAYER * layers
    a_layer = TRAINER_HOST_SECONDS_PER_LAYER if runs_eager(training) else HOST_SECONDS_PER_LAYER
    return a_layer * layers + TRAINER_HOST_SECONDS


def outlasts_launches(situation: Situation) -> bool:
    """Idle for longer each step than a host needs to launch all of it: something else is late."""
    time, step, idle = step_time(situation), situation.step_seconds, situation.evidence.idle
    if time is None or step is None or not idle > 0:
        return False
    return bool(idle * step > LAUNCHES_EXPLAIN * time.host)


def only_restarts(situation: Situation) -> bool:
    """Idle each step for no longer than a host takes to bring the first launches after it has waited for the GPU."""
    time, step, idle = step_time(situation), situation.step_seconds, situation.evidence.idle
    return time is not None and step is not None and bool(idle * step < RESTARTS * time.host)


def launch_bound(situation: Situation) -> bool:
    """The declared step is shorter on the GPU than its launches take on a usual host, unless compiled."""
    time, training = step_time(situation), situation.training
    if time is None or training is None or training.compiled or training.compilation in _COMPILED:
        return False
    return time.gpu < time.host
