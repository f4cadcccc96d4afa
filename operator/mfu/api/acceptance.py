"""Whether a declaration can be meant: its own contradictions, then what needs the presets or the hardware catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from mfu.api.base import api_name
from mfu.api.checks import declared
from mfu.api.model import Model, architecture_of
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.training import Parallelism, TrainingParallelism
from mfu.hardware import catalog
from mfu.hardware.problem import Problem, ProblemReason
from mfu.hardware.products import product_named
from mfu.hardware.types import GPU
from mfu.workload import presets
from mfu.workload.architecture import Architecture
from mfu.workload.errors import InvalidArchitecture, WorkloadError
from mfu.workload.validation import check


def to_architecture(model: Model) -> Architecture:
    """The architecture that `spec.model` means.

    Raises UnknownPreset for a name that is not shipped and InvalidArchitecture for dimensions no model can have; both
    name the API field and what to change.
    """
    if model.preset is not None:
        return presets.preset(model.preset)
    if model.architecture is None:
        raise InvalidArchitecture("model", "has neither preset nor architecture", "name a preset or give dimensions")
    try:
        return check(architecture_of(model.architecture, model.display_name))
    except InvalidArchitecture as error:
        raise InvalidArchitecture(_api_path(error.why.field), error.why.problem, error.why.fix) from error


def problems(spec: WorkloadSpec) -> tuple[Problem, ...]:
    """Everything that keeps the declaration from being accepted, empty when it is fine.

    What was measured or scheduled plays no part: neither memory nor pods that another workload claims.
    """
    found = tuple(declared(spec))
    if any(one.field == "model.preset" for one in found):
        return (*found, *_hardware(spec))
    return (*found, *_model(spec), *_hardware(spec))


def _api_path(field: str) -> str:
    return ".".join(("model", "architecture", *(api_name(part) for part in field.split("."))))


def _model(spec: WorkloadSpec) -> Iterator[Problem]:
    try:
        arch = to_architecture(spec.model)
    except WorkloadError as error:
        yield error.why
        return
    for name, block in (("training", spec.training), ("inference", spec.inference)):
        if block is None:
            continue
        for each in _LAYOUT_CHECKS:
            for field, problem, fix in each(arch, block.parallelism):
                yield Problem(ProblemReason.IMPOSSIBLE_LAYOUT, f"{name}.parallelism.{field}", problem, fix)


LayoutProblem = tuple[str, str, str]
LayoutCheck = Callable[[Architecture, Parallelism], Iterator[LayoutProblem]]


def _tensor(arch: Architecture, layout: Parallelism) -> Iterator[LayoutProblem]:
    if arch.heads % layout.tensor:
        degrees = ", ".join(str(n) for n in range(1, min(arch.heads, 64) + 1) if arch.heads % n == 0)
        problem = f"is {layout.tensor} but {arch.name} has {arch.heads} heads"
        yield "tensor", problem, f"choose one of {degrees}"
    elif arch.kv_heads % layout.tensor and layout.tensor % arch.kv_heads:
        problem = f"is {layout.tensor} but {arch.name} has {arch.kv_heads} key-value heads"
        yield "tensor", problem, "choose a degree that divides them or that they divide"


def _expert(arch: Architecture, layout: Parallelism) -> Iterator[LayoutProblem]:
    if arch.moe is None and layout.expert > 1:
        yield "expert", f"is {layout.expert} but {arch.name} has no experts", "set it to 1"
    if arch.moe is not None and arch.moe.experts % layout.expert:
        problem = f"is {layout.expert} but {arch.name} has {arch.moe.experts} experts"
        yield "expert", problem, "choose a degree that divides the experts"


def _stages(arch: Architecture, layout: Parallelism) -> Iterator[LayoutProblem]:
    chunks = layout.pipeline
    if arch.layers < chunks:
        yield "pipeline", f"is {chunks} but {arch.name} has {arch.layers} layers", "lower it, each stage needs a layer"
        return
    if not isinstance(layout, TrainingParallelism) or layout.virtual_pipeline == 1:
        return
    chunks *= layout.virtual_pipeline
    if all((arch.layers + extra) % chunks for extra in _LAYERS_BESIDE):
        problem = f"times pipeline is {chunks} but {arch.name} has {arch.layers} layers"
        yield "virtualPipeline", problem, "choose degrees whose product divides the layers"


_LAYERS_BESIDE: Final = (0, 1, 2)
"""Embedding and head may count as a layer each: Llama 3 405B has 126 + 2 over 16 stages (arXiv:2407.21783, 3.3.2)."""

_LAYOUT_CHECKS: Final[tuple[LayoutCheck, ...]] = (_tensor, _expert, _stages)


def _hardware(spec: WorkloadSpec) -> Iterator[Problem]:
    for name in spec.accelerators.products:
        gpu = product_named(name, "accelerators.products")
        if isinstance(gpu, Problem):
            yield gpu
        else:
            yield from _product(spec, gpu)


def _product(spec: WorkloadSpec, gpu: GPU) -> Iterator[Problem]:
    compute = spec.precision.compute
    if gpu.peak_flops_per_s(compute) is None:
        known = ", ".join(sorted(gpu.peaks))
        problem = f"is {compute}, for which {gpu.api_name} has no known peak"
        yield Problem(ProblemReason.UNSUPPORTED_PRECISION, "precision.compute", problem, f"choose one of {known}")
    profile = spec.accelerators.mig_profile
    if profile and catalog.load().mig_profile(gpu.key, profile) is None:
        known = ", ".join(each.name for each in catalog.load().mig_profiles(gpu.key)) or "none"
        problem = f"is {profile}, which {gpu.api_name} does not have"
        fix = f"its profiles are: {known}"
        yield Problem(ProblemReason.UNKNOWN_MIG_PROFILE, "accelerators.migProfile", problem, fix)
