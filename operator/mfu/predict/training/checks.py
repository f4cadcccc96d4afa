"""What makes a training setup impossible: ordered checks, each naming the field and the nearest valid value."""

from __future__ import annotations

from collections.abc import Callable

from mfu.hardware import catalog
from mfu.hardware.types import Precision
from mfu.predict.types import Parallelism, Placement, Refusal, Training

Check = Callable[[Training, Placement], Refusal | None]


def refuse(setup: Training, placement: Placement) -> Refusal | None:
    """The first thing that is wrong, None where a number can be given."""
    return next((found for check in CHECKS if (found := check(setup, placement)) is not None), None)


def _positive(setup: Training, placement: Placement) -> Refusal | None:
    sizes = {
        "sequenceLength": setup.sequence_length,
        "globalBatchSize": setup.global_batch_size,
        "microBatchSize": setup.micro_batch_size,
        "accelerators.count": placement.gpus,
        "accelerators.gpusPerNode": placement.gpus_per_node,
        **{f"parallelism.{name}": size for name, size in _degrees(setup.parallelism).items()},
    }
    wrong = next((name for name, size in sizes.items() if size < 1), None)
    return None if wrong is None else Refusal(wrong, f"{sizes[wrong]} is not a positive number", "1")


def _degrees(cut: Parallelism) -> dict[str, int]:
    return {
        "tensor": cut.tensor,
        "pipeline": cut.pipeline,
        "context": cut.context,
        "data": cut.data,
        "expert": cut.expert,
        "virtualPipeline": cut.virtual_pipeline,
    }


def _precision(setup: Training, placement: Placement) -> Refusal | None:
    wanted = setup.precisions.compute
    if catalog.device_peak(placement.device, wanted) is not None:
        return None
    known = [each for each in Precision if catalog.device_peak(placement.device, each) is not None]
    nearest = next((each for each in _NEAREST_PRECISION.get(wanted, ()) if each in known), None)
    return Refusal("precision.compute", f"{placement.device.label} has no known {wanted.value} peak", nearest)


_NEAREST_PRECISION = {
    Precision.FP4: (Precision.FP8, Precision.BF16, Precision.FP16),
    Precision.INT4: (Precision.INT8, Precision.FP8, Precision.BF16, Precision.FP16),
    Precision.FP8: (Precision.BF16, Precision.FP16),
    Precision.INT8: (Precision.FP8, Precision.BF16, Precision.FP16),
    Precision.BF16: (Precision.FP16, Precision.FP32),
    Precision.TF32: (Precision.FP32,),
}


def _count(setup: Training, placement: Placement) -> Refusal | None:
    cut = setup.parallelism
    product = cut.tensor * cut.pipeline * cut.context * cut.data
    if product == placement.gpus:
        return None
    inner = cut.tensor * cut.pipeline * cut.context
    data = max(placement.gpus // inner, 1)
    problem = f"tensor·pipeline·context·data = {product}, but there are {placement.gpus} GPUs"
    nearest = f"data: {data}" if data * inner == placement.gpus else f"accelerators.count: {product}"
    return Refusal("parallelism", problem, nearest)


def _batch(setup: Training, _: Placement) -> Refusal | None:
    per_round = setup.parallelism.data * setup.micro_batch_size
    batch = setup.global_batch_size
    if batch % per_round == 0:
        return None
    nearest = max(round(batch / per_round), 1) * per_round
    return Refusal("globalBatchSize", f"{batch} is not a multiple of data·microBatchSize = {per_round}", str(nearest))


def _heads(setup: Training, _: Placement) -> Refusal | None:
    heads, tensor = setup.architecture.heads, setup.parallelism.tensor
    if heads % tensor == 0:
        return None
    problem = f"{heads} attention heads do not divide by {tensor}"
    return Refusal("parallelism.tensor", problem, str(_nearest_divisor(heads, tensor)))


def _layers(setup: Training, _: Placement) -> Refusal | None:
    layers, cut = setup.architecture.layers, setup.parallelism
    if cut.pipeline > layers:
        return Refusal("parallelism.pipeline", f"{cut.pipeline} stages for {layers} layers", str(layers))
    if cut.virtual_pipeline > 1 and cut.pipeline == 1:
        return Refusal("parallelism.virtualPipeline", "interleaving needs more than one pipeline stage", "1")
    chunks = cut.pipeline * cut.virtual_pipeline
    if chunks > layers + 2:
        return Refusal(
            "parallelism.virtualPipeline", f"{chunks} chunks for {layers} layers", str(max(layers // cut.pipeline, 1))
        )
    return None


def _context(setup: Training, _: Placement) -> Refusal | None:
    sequence, context = setup.sequence_length, setup.parallelism.context
    if sequence % context == 0:
        return None
    problem = f"{sequence} tokens do not divide over {context} ranks"
    return Refusal("parallelism.context", problem, str(_nearest_divisor(sequence, context)))


def _experts(setup: Training, _: Placement) -> Refusal | None:
    expert, moe = setup.parallelism.expert, setup.architecture.moe
    if expert == 1:
        return None
    if moe is None:
        return Refusal("parallelism.expert", "the model has no experts", "1")
    if moe.experts % expert:
        problem = f"{moe.experts} experts do not divide over {expert} GPUs"
        return Refusal("parallelism.expert", problem, str(_nearest_divisor(moe.experts, expert)))
    ranks = setup.parallelism.data * setup.parallelism.context * setup.parallelism.tensor
    if ranks % expert:
        problem = f"{expert} does not divide tensor·context·data = {ranks}"
        return Refusal("parallelism.expert", problem, str(_nearest_divisor(ranks, expert)))
    return None


def _nearest_divisor(number: int, wanted: int) -> int:
    divisors = [each for each in range(1, number + 1) if number % each == 0]
    return min(divisors, key=lambda each: (abs(each - wanted), each))


CHECKS: tuple[Check, ...] = (_positive, _precision, _count, _batch, _heads, _layers, _context, _experts)
