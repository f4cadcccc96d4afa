"""From the declared setup and placement to the plain numbers of a `Case`, or a refusal that names the field."""

from __future__ import annotations

import math
from functools import lru_cache

from mfu.hardware.catalog import device_bandwidth, device_memory, device_peak
from mfu.hardware.catalog import load as load_catalog
from mfu.hardware.problem import ProblemReason
from mfu.hardware.types import GPU, Precision
from mfu.predict.inference.case import (
    UNBOUNDED,
    Chip,
    RequestLoad,
    ServingCase,
    ServingLayout,
    Speculation,
)
from mfu.predict.inference.constants import ServingConstants, engine_level
from mfu.predict.inference.formats import experts_only, format_of
from mfu.predict.inference.habits import (
    USUAL,
    compiled,
    groups_queries,
    habit_of,
    launched_from_python,
    prompts_by_hand,
    runs_modules,
    streams_by_hand,
    waits_for_requests,
)
from mfu.predict.inference.shape import shape_of
from mfu.predict.types import Inference, Placement, Problem
from mfu.workload.architecture import Architecture, Family

_MOST_DRAFTS = 32
_INVALID = ProblemReason.INVALID_SPEC
_LAYOUT = ProblemReason.IMPOSSIBLE_LAYOUT
_USUAL_CEILING = 0.8
_FULL_POWER = {
    "turing": "quadro-rtx-8000",
    "ampere": "a100-sxm4-80gb",
    "ada-lovelace": "l40s",
    "hopper": "h100-sxm5-80gb",
    "blackwell": "gb200",
}
_WARP_ARCHITECTURES = frozenset({"volta", "turing", "ampere", "ada-lovelace"})
"""Matrix units that one warp feeds from registers; from Hopper on, groups of four warps feed them from shared memory.
Kernels of grouped products are mostly written in Triton, which nearly keeps up with the vendor's only on the former."""
_CLOCK_BY_POWER = 1.0 / 3.0
"""Power of the board's watts by which its clock grows, as voltage follows the clock (watts ~ f · V²). The A100's PCIe
boards, 300 W instead of 400, reach 0.811 of their peak where the SXM one reaches 0.869: a power of 0.24."""
_DEFAULT_PCIE = 32e9
_SUPERCHIPS = 4
"""GH200s that one node holds: the usual server has one, those that have two or four join them all by NVLink."""
_REFERENCE_CLOCK = 1980.0
"""Highest clock of an H100, MHz."""

shape = lru_cache(maxsize=1024)(shape_of)


def case_of(
    setup: Inference,
    placement: Placement,
    constants: ServingConstants,
    speculation: Speculation | None = None,
    *,
    aligned: bool = False,
) -> ServingCase | Problem:
    """The case of one setup; every impossible field is refused with its nearest valid value."""
    refusal = refuse(setup, placement) or _refuse_speculation(speculation)
    if refusal is not None:
        return refusal
    chip = _chip(setup, placement)
    if isinstance(chip, Problem):
        return chip
    layout = setup.parallelism
    return ServingCase(
        shape=shape(setup.architecture),
        chip=chip,
        format=format_of(setup, placement),
        layout=ServingLayout(float(layout.tensor), float(layout.pipeline), float(layout.data), float(layout.expert)),
        load=load_of(setup, placement, speculation, aligned=aligned),
        speed=_speed(setup, placement, constants) / (1.0 + (speculation.draft_share if speculation else 0.0)),
        host=constants.stack(setup.engine, setup.engine_version).host,
        eager=launched_from_python(setup.engine, setup.engine_version, setup.compilation),
        waits=waits_for_requests(setup.engine, setup.engine_version, placement.device.gpu.vendor),
    )


def _speed(setup: Inference, placement: Placement, constants: ServingConstants) -> float:
    product = constants.product(placement.device.gpu.api_name)
    engine = constants.stack(setup.engine, setup.engine_version)
    setting = constants.setting(setting_of(setup, placement.device.gpu.api_name))
    return constants.usual_speed * engine.speed * product.speed * setting.speed


def setting_of(setup: Inference, product: str) -> str:
    """What kernels are tuned for: dimensions of the model, engine, product, precision of the weights.

    `setting_of(Llama-3.1-8B in vLLM, "H100-SXM5") == "32x4096x8 v128256 e0|vllm|H100-SXM5|BF16"`.
    """
    model = setup.architecture
    size = f"{model.layers}x{model.hidden}x{model.kv_heads} v{model.vocab} e{model.moe.experts if model.moe else 0}"
    return "|".join((size, engine_level(setup.engine, setup.engine_version), product, str(setup.precisions.weights)))


def refuse(setup: Inference, placement: Placement) -> Problem | None:
    """The first field that makes the setup impossible, None where it can run."""
    return _refuse_load(setup) or _refuse_layout(setup, placement)


def _refuse_load(setup: Inference) -> Problem | None:
    if setup.architecture.family is not Family.DECODER:
        problem = f"is {setup.architecture.name}, which does not generate tokens"
        return Problem(_INVALID, "model", problem, "choose a decoder model")
    unlike = _unlike(setup.architecture)
    if unlike is not None:
        problem = f"is {setup.architecture.name}, which has {unlike}: serving speed is not modelled"
        return Problem(_INVALID, "model.architecture", problem, "choose a model of uniform layers; memory is counted")
    for field in ("input_tokens", "output_tokens"):
        value = getattr(setup, field)
        if not (math.isfinite(value) and value > 0):
            return Problem(_INVALID, field, f"is {value}, no number of tokens", "set 1 or more")
    if setup.concurrency is not None and not (math.isfinite(setup.concurrency) and setup.concurrency > 0):
        return Problem(_INVALID, "concurrency", f"is {setup.concurrency}, no number of requests", "set 1 or more")
    if setup.max_batch_tokens is not None and setup.max_batch_tokens < 1:
        problem = f"is {setup.max_batch_tokens} tokens a step"
        return Problem(_INVALID, "maxBatchTokens", problem, f"set {USUAL.batch_tokens}")
    return None


def _unlike(architecture: Architecture) -> str | None:
    """What the serving model knows no time for; training FLOPs, parameters and memory are counted all the same."""
    if not architecture.lm_head:
        return "no vocabulary head"
    if architecture.blocks:
        return f"layers of {architecture.blocks[0].name}"
    if architecture.sparse_attention:
        return "sparse attention"
    return None if architecture.uniform else "layers without attention or feed-forward"


def _refuse_speculation(speculation: Speculation | None) -> Problem | None:
    if speculation is None:
        return None
    if not 0 <= speculation.draft_tokens <= _MOST_DRAFTS:
        problem = f"is {speculation.draft_tokens} drafts a step"
        return Problem(_INVALID, "speculation.draftTokens", problem, f"set 0 to {_MOST_DRAFTS}")
    if not 0.0 <= speculation.acceptance <= 1.0:
        problem = f"is {speculation.acceptance}, no probability"
        return Problem(_INVALID, "speculation.acceptance", problem, "set 0 to 1, such as 0.7")
    return None


def _refuse_layout(setup: Inference, placement: Placement) -> Problem | None:
    layout, heads = setup.parallelism, setup.architecture.heads
    for field in ("tensor", "pipeline", "data", "expert"):
        if getattr(layout, field) < 1:
            problem = f"is {getattr(layout, field)}, no number of GPUs"
            return Problem(_LAYOUT, f"parallelism.{field}", problem, "set 1 or more")
    if heads % layout.tensor:
        nearest = max(each for each in range(1, layout.tensor) if heads % each == 0)
        problem = f"is {layout.tensor}, which does not divide {heads} attention heads"
        return Problem(_LAYOUT, "parallelism.tensor", problem, f"set {nearest}")
    experts = setup.architecture.moe.experts if setup.architecture.moe else 1
    if layout.expert > experts:
        problem = f"is {layout.expert} for {experts} experts"
        return Problem(_LAYOUT, "parallelism.expert", problem, f"set {experts} or fewer")
    if layout.pipeline > setup.architecture.layers:
        problem = f"is {layout.pipeline} for {setup.architecture.layers} layers"
        return Problem(_LAYOUT, "parallelism.pipeline", problem, f"set {setup.architecture.layers} or fewer")
    needed = layout.tensor * layout.pipeline * layout.data
    if needed > placement.gpus:
        problem = f"is {placement.gpus} but the layout needs {needed} GPUs"
        return Problem(_LAYOUT, "accelerators.count", problem, f"set {needed}")
    return None


def load_of(
    setup: Inference, placement: Placement, speculation: Speculation | None = None, *, aligned: bool = False
) -> RequestLoad:
    concurrency = math.inf if setup.concurrency is None else float(setup.concurrency)
    habit = habit_of(setup.engine, placement.device)
    spoken = speculation or Speculation(0, 0.0)
    return RequestLoad(
        float(setup.input_tokens),
        float(setup.output_tokens),
        concurrency,
        float(setup.max_batch_tokens or habit.batch_tokens),
        float(habit.batch),
        drafted=1.0 + spoken.draft_tokens,
        accepted=spoken.accepted,
        ungrouped=float(not groups_queries(setup.engine, setup.engine_version, _queries(setup.architecture))),
        card_share=habit.card_share,
        modules=float(runs_modules(setup.engine)),
        eager=float(runs_modules(setup.engine) and not compiled(setup.compilation)),
        prompts_first=float(habit.prompts_first),
        aligned=float(aligned),
        in_turn=float(runs_modules(setup.engine)),
    )


def _queries(architecture: Architecture) -> float:
    """Query heads that share one head of the cache; 1 for a compressed cache, which has its own kernels."""
    return 1.0 if architecture.mla is not None else architecture.heads / architecture.kv_heads


def _chip(setup: Inference, placement: Placement) -> Chip | Problem:
    device, compute = placement.device, setup.precisions.compute
    peak = device_peak(device, compute)
    peak_16bit = device_peak(device, Precision.BF16) or device_peak(device, Precision.FP16)
    if peak is None or peak_16bit is None:
        known = ", ".join(sorted(device.gpu.peaks, key=str))
        problem = f"is {compute}, for which {device.label} has no known peak"
        fix = f"choose one of {known}" if known else "choose another product"
        return Problem(ProblemReason.UNSUPPORTED_PRECISION, "precision.compute", problem, fix)
    link, switched = _link(setup, placement)
    warps = device.gpu.architecture in _WARP_ARCHITECTURES
    return Chip(
        peak_linear=peak_16bit if experts_only(setup) else peak,
        peak_expert=peak,
        peak_16bit=peak_16bit,
        ceiling=_ceiling(device.gpu) * prompts_by_hand(setup.engine, device.gpu, warps=warps),
        bandwidth=device_bandwidth(device),
        memory=device_memory(device),
        link=link,
        switched=float(switched),
        amd=float(device.gpu.vendor == "AMD"),
        warps=float(warps),
        clock=(device.gpu.max_clock_mhz or device.gpu.reference_clock_mhz or _REFERENCE_CLOCK) / _REFERENCE_CLOCK,
        multiprocessors=float((streams_by_hand(setup.engine) and device.gpu.sm_count) or UNBOUNDED),
    )


def _ceiling(gpu: GPU) -> float:
    """Best measured 16-bit matrix rate of the product over its peak; the usual one, at the clock that its power leaves,
    where nobody measured it. L4: 0.8 · (0.595 / 0.967 watts a TFLOP/s)^⅓ = 0.68."""
    measured = load_catalog().ceiling(gpu.key, Precision.BF16)
    return (
        min(1.0, measured.fraction) if measured else _USUAL_CEILING * min(1.0, _relative_power(gpu)) ** _CLOCK_BY_POWER
    )


def _relative_power(gpu: GPU) -> float:
    """Board power per 16-bit FLOP/s over that of the architecture's full-power board; 1 where either is unknown."""
    reference = load_catalog().gpus.get(_FULL_POWER.get(gpu.architecture, ""))
    own, full = _watts_per_flop(gpu), _watts_per_flop(reference) if reference else None
    return 1.0 if own is None or full is None else own / full


def _watts_per_flop(gpu: GPU) -> float | None:
    peak = gpu.reference_peak_flops_per_s
    return None if peak is None or gpu.tdp_watts is None else gpu.tdp_watts / peak


def _link(setup: Inference, placement: Placement) -> tuple[float, bool]:
    gpu = placement.device.gpu
    group = setup.parallelism.tensor * setup.parallelism.data
    nvlink = gpu.nvlink_bytes_per_s if placement.nvlink is not False else None
    alone = gpu.nvlink_domain_gpus <= 1
    domain = min(placement.gpus_per_node, _SUPERCHIPS) if alone else gpu.nvlink_domain_gpus
    if nvlink and group <= domain:
        return nvlink, True
    pcie = gpu.pcie_bytes_per_s or _DEFAULT_PCIE
    if group > placement.gpus_per_node or nvlink:
        return placement.inter_node_bytes_per_s or pcie, False
    return pcie, False
