"""A ModelWorkload's spec as the values that the model computes with."""

from __future__ import annotations

from mfu.api import modelworkload, training
from mfu.api.acceptance import problems, to_architecture
from mfu.api.checks import declared
from mfu.api.inference import Inference as InferenceBlock
from mfu.api.modelworkload import Mode, WorkloadSpec
from mfu.api.quantities import InvalidQuantity, tokens
from mfu.api.runtime import Compilation, FusedKernels, Runtime
from mfu.hardware import catalog
from mfu.hardware.problem import ProblemReason
from mfu.hardware.products import product_named, usual_node_gpus
from mfu.hardware.types import GPU, Device
from mfu.predict.types import (
    Inference,
    Method,
    Optimizer,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Problem,
    Recompute,
    Setup,
    Sharding,
    Training,
    Tunable,
)
from mfu.workload.architecture import Architecture
from mfu.workload.errors import WorkloadError


def from_spec(spec: WorkloadSpec) -> Setup | Problem:
    """The declared job or replica. Problem names the API field where the spec cannot be understood."""
    try:
        arch = to_architecture(spec.model)
        if spec.mode is Mode.TRAINING and spec.training is not None:
            return _training(spec, spec.training, arch)
        if spec.mode is Mode.INFERENCE and spec.inference is not None:
            return _inference(spec, spec.inference, arch)
    except WorkloadError as error:
        return error.why
    except InvalidQuantity as error:
        return Problem(ProblemReason.INVALID_SPEC, "training.totalTokens", str(error))
    block = spec.mode.value.lower()
    return Problem(ProblemReason.INVALID_SPEC, block, f"is missing but mode is {spec.mode.value}", f"add {block}")


def refused(spec: WorkloadSpec) -> Problem | None:
    """The first thing that keeps the spec from being accepted, apart from which pods it owns."""
    return next((each for each in (*declared(spec), *problems(spec)) if each.field not in _PODS), None)


_PODS = frozenset({"targetRef", "podSelector"})


def placement_for(
    spec: WorkloadSpec, product: str, *, gpus: int | None = None, gpus_per_node: int | None = None
) -> Placement | Problem:
    """Where the workload would run on that product: whole nodes of eight, or the rack's NVLink domain.

    `placement_for(spec, "H100-SXM5").gpus_per_node == 8` for a job of 64 GPUs.
    """
    gpu = product_named(product, "accelerators.products")
    if isinstance(gpu, Problem):
        return gpu
    device = device_for(spec, gpu)
    if isinstance(device, Problem):
        return device
    count = gpus or spec.accelerators.count
    return Placement(device, count, gpus_per_node or usual_node_gpus(gpu, count))


def device_for(spec: WorkloadSpec, gpu: GPU) -> Device | Problem:
    """The whole GPU, or the MIG slice that the spec asks for."""
    wanted = spec.accelerators.mig_profile
    if not wanted:
        return Device(gpu)
    table = catalog.load()
    profile = table.mig_profile(gpu.key, wanted)
    if profile is not None:
        return Device(gpu, profile)
    known = ", ".join(each.name for each in table.mig_profiles(gpu.key))
    problem = f"is {wanted}, which {gpu.api_name} does not have"
    fix = f"its profiles are {known}" if known else "remove it"
    return Problem(ProblemReason.UNKNOWN_MIG_PROFILE, "accelerators.migProfile", problem, fix)


def tunable_of(spec: WorkloadSpec) -> frozenset[Tunable]:
    """What advice may change."""
    return frozenset(Tunable(each.value) for each in spec.tunable)


def _precisions(spec: WorkloadSpec) -> Precisions:
    given = spec.precision
    return Precisions(
        given.compute,
        spec.weight_precision,
        spec.kv_precision,
        gradients=given.gradients,
        master_weights=given.master_weights,
        optimizer_state=given.optimizer_state,
        logits=given.logits,
    )


def _compiled(runtime: Runtime) -> bool | None:
    """What was declared of compiled or hand-fused operators, None where nothing was."""
    if runtime.compilation is None and runtime.fused_kernels is None:
        return None
    return runtime.compilation in (Compilation.REGIONAL, Compilation.FULL) or runtime.fused_kernels is FusedKernels.FULL


def _training(spec: modelworkload.WorkloadSpec, block: training.Training, arch: Architecture) -> Training:
    cut, runtime = block.parallelism, spec.runtime or Runtime()
    return Training(
        architecture=arch,
        precisions=_precisions(spec),
        sequence_length=block.sequence_length,
        global_batch_size=block.global_batch_size,
        micro_batch_size=block.micro_batch_size,
        parallelism=Parallelism(
            cut.tensor, cut.pipeline, cut.context, cut.data, cut.expert, virtual_pipeline=cut.virtual_pipeline
        ),
        sharding=Sharding(block.sharding.value),
        recompute=Recompute(block.recompute.value),
        optimizer=Optimizer(block.optimizer.value),
        method=Method(block.method.value),
        total_tokens=None if block.total_tokens is None else float(tokens(block.total_tokens)),
        engine=runtime.engine,
        compiled=_compiled(runtime),
        compilation=runtime.compilation,
        attention=runtime.attention,
        fused_kernels=runtime.fused_kernels,
        engine_version=runtime.version or None,
    )


def _inference(spec: WorkloadSpec, block: InferenceBlock, arch: Architecture) -> Inference:
    cut, slo, runtime = block.parallelism, block.slo, spec.runtime or Runtime()
    return Inference(
        architecture=arch,
        precisions=_precisions(spec),
        phase=Phase(block.phase.value),
        input_tokens=float(block.input_tokens.mean),
        output_tokens=float(block.output_tokens.mean),
        concurrency=float(block.concurrency),
        parallelism=Parallelism(cut.tensor, cut.pipeline, cut.context, cut.data, cut.expert),
        max_batch_tokens=block.max_batch_tokens,
        input_tokens_p95=_float(block.input_tokens.p95),
        output_tokens_p95=_float(block.output_tokens.p95),
        ttft_limit_seconds=_seconds(slo.ttft_milliseconds if slo else None),
        tpot_limit_seconds=_seconds(slo.tpot_milliseconds if slo else None),
        engine=runtime.engine,
        compilation=runtime.compilation,
        attention=runtime.attention,
        fused_kernels=runtime.fused_kernels,
        engine_version=runtime.version or None,
    )


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000.0
