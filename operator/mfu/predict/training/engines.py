"""Training engines: what their code does (facts, with a source), and at most one efficiency factor each.

Habits are what a reader of the engine's code finds; the factor is the entry of the `engine` table in constants.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from mfu.predict.training.arrays import Stack
from mfu.predict.training.constants import Constants


@dataclass(frozen=True, slots=True)
class Engine:
    """`name` as people write it. Fractions are shares of what can be hidden; bytes are of one reduced gradient."""

    name: str
    fused_attention: bool = True
    native_attention: bool = True
    """FlashAttention-3 or cuDNN on Hopper and Blackwell, not FlashAttention-2 or Triton (arXiv 2407.08608)."""
    sequence_parallel: bool = True
    tensor_overlap: float = 0.0
    data_overlap: float = 1.0
    fused: bool = False
    gradient_bytes: float = 4.0
    gradient_copy_bytes: float = 0.0
    """Held beside the reduced gradient: engines that accumulate in fp32 but let autograd fill a bf16 gradient first."""
    weight_gathers: float = 0.0
    keeps_inputs: bool = False
    keeps_gathered: bool = False
    balances_head: bool = False
    master_weights: bool = True
    host_operations: float = 100.0
    """Operations that the host issues for one layer, forward and backward, without recomputation."""
    tensor_operations: float = 1.0
    """Times that many where tensor parallelism adds collectives and their synchronisation."""
    blocking_pipeline: bool = False
    """Stages exchange shapes before tensors, and the host waits for both."""


_ALL: Final = (
    # Megatron-Core with TransformerEngine user buffers, distributed optimizer overlap, fused kernels:
    # NVIDIA-NeMo/Megatron-Bridge docs/performance-guide.md; performance recipes set grad_reduce_in_fp32 = False
    Engine("Megatron-Bridge", tensor_overlap=1.0, fused=True, gradient_bytes=2.0),
    Engine("NeMo", tensor_overlap=1.0, fused=True, gradient_bytes=2.0),
    Engine("MLPerf", tensor_overlap=1.0, fused=True, gradient_bytes=2.0),
    Engine("Megatron-LM", tensor_overlap=0.0, fused=True),
    # Megatron-LM of 2021/22 and its DeepSpeed fork: fused softmax over written scores, arXiv 2104.04473 section 4.2
    Engine(
        "Megatron-LM-2021",
        fused_attention=False,
        sequence_parallel=False,
        data_overlap=0.0,
        fused=True,
        host_operations=250,
    ),
    Engine("Megatron-LM-2022", fused_attention=False, data_overlap=0.0, fused=True, host_operations=250),
    Engine(
        "Megatron-DeepSpeed",
        fused_attention=False,
        sequence_parallel=False,
        data_overlap=0.0,
        fused=True,
        gradient_bytes=2.0,
        host_operations=250,
    ),
    # huggingface/nanotron: asynchronous tensor-parallel linears, gradients reduced after the last backward
    # before a pipelined send it exchanges the shapes on the host (nanotron/parallel/pipeline_parallel/p2p.py)
    Engine(
        "nanotron",
        native_attention=False,
        data_overlap=0.0,
        gradient_copy_bytes=2.0,
        weight_gathers=9,
        keeps_inputs=True,
        keeps_gathered=True,
        balances_head=True,
        host_operations=120,
        tensor_operations=4,
        blocking_pipeline=True,
    ),
    # FSDP of PyTorch in mosaicml/llm-foundry: bf16 reduction, FlashAttention through triton
    Engine("llm-foundry", native_attention=False, sequence_parallel=False, gradient_bytes=2.0),
    Engine("torchtitan", gradient_bytes=4.0, fused=True),
    Engine("MaxText", fused=True, gradient_bytes=2.0),
    Engine("DeepSpeed", sequence_parallel=False, gradient_bytes=2.0),
    # a model cast to bf16 trains with states in bf16: torch.optim.AdamW keeps moments in the type of the parameters
    Engine("PyTorch", sequence_parallel=False, gradient_bytes=2.0, master_weights=False),
    Engine("Fast-LLM", fused=True),
    Engine("Primus", tensor_overlap=0.5, fused=True),
)

UNKNOWN: Final = Engine("Unknown", fused=True)
"""No engine named: today's usual habits, factor 1."""

ENGINES: Final[Mapping[str, Engine]] = MappingProxyType({engine.name.lower(): engine for engine in _ALL})

_ALIASES: Final = (
    # first match wins; patterns are matched against what data sets and people write
    (r"maxtext", "MaxText"),
    (r"megatron-?bridge|nemo-automodel", "Megatron-Bridge"),
    (r"mlcommons/training|mlperf", "MLPerf"),
    (r"bigscience|vtrain|megatron-?deepspeed", "Megatron-DeepSpeed"),
    (r"narayanan|megatron-lm.*2021", "Megatron-LM-2021"),
    (r"korthikanti|megatron-lm.*2022", "Megatron-LM-2022"),
    (r"dgxc-benchmarking|nemo", "NeMo"),
    (r"nanotron", "nanotron"),
    (r"llm-foundry|composer", "llm-foundry"),
    (r"torchtitan", "torchtitan"),
    (r"fast-llm", "Fast-LLM"),
    (r"primus", "Primus"),
    (r"deepspeed", "DeepSpeed"),
    (r"megatron", "Megatron-LM"),
    (r"pytorch|\btorch\b", "PyTorch"),
)


def engine(name: str | None) -> Engine:
    """The engine that a declared name means; UNKNOWN for None and for a name that no pattern matches."""
    text = (name or "").strip().lower()
    if text in ENGINES:
        return ENGINES[text]
    found = next((target for pattern, target in _ALIASES if re.search(pattern, text)), None) if text else None
    return ENGINES[found.lower()] if found else UNKNOWN


def _operations(habits: Engine, compiled: bool | None) -> float:
    """torch.compile leaves about a third of the launches of a transformer block: fused pointwise chains."""
    return habits.host_operations * (_COMPILED_SHARE if compiled else 1.0)


_COMPILED_SHARE: Final = 1.0 / 3.0


def stack_of(name: str | None, compiled: bool | None, c: Constants) -> Stack:
    """Habits and factor of one engine as arrays; `compiled` overrides the engine's fusing habit."""
    habits = engine(name)
    fused = habits.fused if compiled is None else compiled
    values = {
        "efficiency": c.of("engine", habits.name),
        "fused_attention": habits.fused_attention,
        "native_attention": habits.native_attention,
        "sequence_parallel": habits.sequence_parallel,
        "tensor_overlap": habits.tensor_overlap,
        "data_overlap": habits.data_overlap,
        "fused": fused,
        "gradient_bytes": habits.gradient_bytes,
        "kept_gradient_bytes": habits.gradient_bytes + habits.gradient_copy_bytes,
        "weight_gathers": habits.weight_gathers,
        "keeps_inputs": habits.keeps_inputs,
        "keeps_gathered": habits.keeps_gathered,
        "balances_head": habits.balances_head,
        "seconds_per_layer": _operations(habits, compiled) * c["host_operation"],
        "tensor_operations": habits.tensor_operations,
        "blocking_pipeline": habits.blocking_pipeline,
    }
    return Stack(**{key: np.asarray(value, dtype=float) for key, value in values.items()})
