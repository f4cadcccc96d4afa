"""What makes a training setup impossible: ordered checks, each naming the field and the nearest valid value."""

from __future__ import annotations

from collections.abc import Callable

from mfu.hardware import catalog
from mfu.hardware.problem import ProblemReason
from mfu.hardware.types import Precision
from mfu.predict.types import Parallelism, Placement, Problem, Training

_INVALID = ProblemReason.INVALID_SPEC
_LAYOUT = ProblemReason.IMPOSSIBLE_LAYOUT
_PRECISION = ProblemReason.UNSUPPORTED_PRECISION

Check = Callable[[Training, Placement], Problem | None]


def refuse(setup: Training, placement: Placement) -> Problem | None:
    """The first thing that is wrong, None where a number can be given."""
    return next((found for check in CHECKS if (found := check(setup, placement)) is not None), None)


def _positive(setup: Training, placement: Placement) -> Problem | None:
    sizes = {
        "sequenceLength": setup.sequence_length,
        "globalBatchSize": setup.global_batch_size,
        "microBatchSize": setup.micro_batch_size,
        "accelerators.count": placement.gpus,
        "accelerators.gpusPerNode": placement.gpus_per_node,
        **{f"parallelism.{name}": size for name, size in _degrees(setup.parallelism).items()},
    }
    wrong = next((name for name, size in sizes.items() if size < 1), None)
    return (
        None if wrong is None else Problem(_INVALID, wrong, f"is {sizes[wrong]}, no positive number", "set 1 or more")
    )


def _degrees(cut: Parallelism) -> dict[str, int]:
    return {
        "tensor": cut.tensor,
        "pipeline": cut.pipeline,
        "context": cut.context,
        "data": cut.data,
        "expert": cut.expert,
        "virtualPipeline": cut.virtual_pipeline,
    }


def _precision(setup: Training, placement: Placement) -> Problem | None:
    wanted = setup.precisions.compute
    if catalog.device_peak(placement.device, wanted) is not None:
        return None
    known = [each for each in Precision if catalog.device_peak(placement.device, each) is not None]
    nearest = next((each for each in _NEAREST_PRECISION.get(wanted, ()) if each in known), None)
    problem = f"is {wanted.value}, for which {placement.device.label} has no known peak"
    return Problem(
        _PRECISION, "precision.compute", problem, f"choose {nearest}" if nearest else "choose another product"
    )


_NEAREST_PRECISION = {
    Precision.FP4: (Precision.FP8, Precision.BF16, Precision.FP16),
    Precision.INT4: (Precision.INT8, Precision.FP8, Precision.BF16, Precision.FP16),
    Precision.FP8: (Precision.BF16, Precision.FP16),
    Precision.INT8: (Precision.FP8, Precision.BF16, Precision.FP16),
    Precision.BF16: (Precision.FP16, Precision.FP32),
    Precision.TF32: (Precision.FP32,),
}


def _count(setup: Training, placement: Placement) -> Problem | None:
    cut = setup.parallelism
    product = cut.tensor * cut.pipeline * cut.context * cut.data
    if product == placement.gpus:
        return None
    inner = cut.tensor * cut.pipeline * cut.context
    data = max(placement.gpus // inner, 1)
    problem = f"takes tensor·pipeline·context·data = {product} GPUs, but there are {placement.gpus}"
    fits = f"data to {data}" if data * inner == placement.gpus else f"accelerators.count to {product}"
    return Problem(_LAYOUT, "parallelism", problem, f"set {fits}")


def _batch(setup: Training, _: Placement) -> Problem | None:
    per_round = setup.parallelism.data * setup.micro_batch_size
    batch = setup.global_batch_size
    if batch % per_round == 0:
        return None
    nearest = max(round(batch / per_round), 1) * per_round
    problem = f"is {batch}, no multiple of data·microBatchSize = {per_round}"
    return Problem(_LAYOUT, "globalBatchSize", problem, f"set {nearest}")


def _heads(setup: Training, _: Placement) -> Problem | None:
    heads, tensor = setup.architecture.heads, setup.parallelism.tensor
    if heads % tensor == 0:
        return None
    problem = f"is {tensor}, which does not divide {heads} attention heads"
    return Problem(_LAYOUT, "parallelism.tensor", problem, f"set {_nearest_divisor(heads, tensor)}")


def _layers(setup: Training, _: Placement) -> Problem | None:
    layers, cut = setup.architecture.layers, setup.parallelism
    if cut.pipeline > layers:
        problem = f"is {cut.pipeline} for {layers} layers"
        return Problem(_LAYOUT, "parallelism.pipeline", problem, f"set {layers} or fewer")
    if cut.virtual_pipeline > 1 and cut.pipeline == 1:
        problem = f"is {cut.virtual_pipeline} but pipeline is 1"
        return Problem(_LAYOUT, "parallelism.virtualPipeline", problem, "set 1")
    chunks = cut.pipeline * cut.virtual_pipeline
    if chunks > layers + 2:
        problem = f"times pipeline is {chunks} for {layers} layers"
        return Problem(
            _LAYOUT, "parallelism.virtualPipeline", problem, f"set {max(layers // cut.pipeline, 1)} or fewer"
        )
    return None


def _context(setup: Training, _: Placement) -> Problem | None:
    sequence, context = setup.sequence_length, setup.parallelism.context
    if sequence % context == 0:
        return None
    problem = f"is {context}, which does not divide {sequence} tokens"
    return Problem(_LAYOUT, "parallelism.context", problem, f"set {_nearest_divisor(sequence, context)}")


def _experts(setup: Training, _: Placement) -> Problem | None:
    expert, moe = setup.parallelism.expert, setup.architecture.moe
    if expert == 1:
        return None
    if moe is None:
        return Problem(_LAYOUT, "parallelism.expert", f"is {expert} but the model has no experts", "set 1")
    if moe.experts % expert:
        problem = f"is {expert}, which does not divide {moe.experts} experts"
        return Problem(_LAYOUT, "parallelism.expert", problem, f"set {_nearest_divisor(moe.experts, expert)}")
    ranks = setup.parallelism.data * setup.parallelism.context * setup.parallelism.tensor
    if ranks % expert:
        problem = f"is {expert}, which does not divide tensor·context·data = {ranks}"
        return Problem(_LAYOUT, "parallelism.expert", problem, f"set {_nearest_divisor(ranks, expert)}")
    return None


def _nearest_divisor(number: int, wanted: int) -> int:
    divisors = [each for each in range(1, number + 1) if number % each == 0]
    return min(divisors, key=lambda each: (abs(each - wanted), each))


CHECKS: tuple[Check, ...] = (_positive, _precision, _count, _batch, _heads, _layers, _context, _experts)
