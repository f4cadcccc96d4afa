"""Training engines: what their code does (facts, with a source), and at most one efficiency factor each.

Habits are what a reader of the engine's code finds; the factor is the entry of the `engine` table in constants.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class TrainingEngine:
    """`name` as people write it. Fractions are shares of what can be hidden; bytes are of one reduced gradient."""

    name: str
    fused_attention: bool = True
    native_attention: float = 1.0
    """1 FlashAttention-3 or cuDNN on Hopper and Blackwell, 0.5 FlashAttention-2, 0 Triton's first one (arXiv
    2407.08608, figure 1). PyTorch's own `scaled_dot_product_attention` takes cuDNN's on Hopper since 2.10: with 2.11 an
    H200 ran 8,192 causal tokens of 32 heads of 128 at 612 TFLOP/s forward and 502 backward, FlashAttention-2 at 291
    and 280."""
    sequence_parallel: bool = True
    tensor_overlap: float = 0.0
    data_overlap: float = 1.0
    fused: float = 0.0
    """Share of norms, rotations and activations that run in fused kernels: 0 eager, 0.5 some, 1 compiled or by hand."""
    fused_loss: bool = False
    """Head and loss in chunks, logits in 16 bit and their gradient written over them."""
    compiles: bool = False
    """What is fused there is fused by torch.compile, which people switch off."""
    shards_master: bool = False
    """FSDP keeps the FP32 weights sharded and gathers them in 16 bit: master and weights are one."""
    framework: bool = False
    """A PyTorch program without an engine of its own: autograd keeps what each operation saves, gradients are
    allocated anew each step, logits are raised to FP32, and weights in FP32 mean autocast."""
    tuned: bool = True
    """Published by people who tune it for the publication; what others run is further from any constant."""
    selective_products: float = 0.0
    """Share of a layer's products that selective recomputation repeats."""
    folds_experts: bool = False
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
    host_slowness: float = 1.0
    """Time of an operation over that on the host where they were counted: hosts differ, and nothing declares them.
    Runs of the Trainer that wait for the host took 1.0, 1.0 and 2.2 times it on three (e2e/recordings, h100 and h200,
    fresh/hf_trainer.jsonl): 1.3 in the geometric mean."""
    raises_softmax: bool = False
    """Attention that is written out takes its softmax in FP32, as transformers' modules do."""
    foreach: bool = False
    """Updates weights operation by operation (`torch.optim.AdamW` as it comes)."""
    synchronises: bool = False
    """Reads the loss back in every micro-batch (`logging_nan_inf_filter` of transformers' Trainer)."""
    dtensor: bool = False
    """Cuts tensors by PyTorch's DTensor."""
    casts_by_fsdp: bool = False
    """Models that are cut compute in 16 bit only under FSDP or context parallelism."""
    rings_whole: bool = False
    """Context parallel by `torch.distributed.tensor.experimental.context_parallel`."""
    returns_logits: bool = True
    """The model gives logits beside the loss that it takes itself, so that whole compilation does not spare them."""
    joins_outputs: bool = False
    """Pipelines by `torch.distributed.pipelining` as it comes: `return_outputs=True`."""
    tensor_operations: float = 1.0
    """Times that many where tensor parallelism adds collectives and their synchronisation."""
    blocking_pipeline: bool = False
    """Stages exchange shapes before tensors, and the host waits for both."""
    captures: bool = False
    """Router and dispatch of experts run from CUDA graphs on GB200 and GB300 (`cuda_graph_scope` of the performance
    recipes of NVIDIA-NeMo/Megatron-Bridge)."""
    two_way_pipeline: bool = False
    """Micro-batches enter from both ends of the pipeline, and while one computes the other exchanges tokens with its
    experts (DualPipe, arXiv 2412.19437, section 3.2.1)."""
    step_seconds: float = 0.0
    """What the training loop does once a step beside its arithmetic: callbacks, logging, fetching the batch."""

    @property
    def plain(self) -> bool:
        """What many run in many ways."""
        return self.framework or not self.tuned


_ALL: Final = (
    # Megatron-Core with TransformerEngine user buffers, distributed optimizer overlap, fused kernels:
    # NVIDIA-NeMo/Megatron-Bridge docs/performance-guide.md; performance recipes set grad_reduce_in_fp32 = False
    # parallel folding spreads whole experts over tensor-parallel ranks (arXiv 2504.14960)
    TrainingEngine(
        "Megatron-Bridge", tensor_overlap=1.0, fused=1.0, gradient_bytes=2.0, folds_experts=True, captures=True
    ),
    TrainingEngine("NeMo", tensor_overlap=1.0, fused=1.0, gradient_bytes=2.0, folds_experts=True, captures=True),
    TrainingEngine("MLPerf", tensor_overlap=1.0, fused=1.0, gradient_bytes=2.0, folds_experts=True, captures=True),
    TrainingEngine("Megatron-LM", tensor_overlap=0.0, fused=1.0, folds_experts=True),
    # Megatron-LM of 2021/22 and its DeepSpeed fork: fused softmax over written scores, arXiv 2104.04473 section 4.2
    TrainingEngine(
        "Megatron-LM-2021",
        fused_attention=False,
        sequence_parallel=False,
        data_overlap=0.0,
        fused=1.0,
        host_operations=250,
    ),
    TrainingEngine("Megatron-LM-2022", fused_attention=False, data_overlap=0.0, fused=1.0, host_operations=250),
    TrainingEngine(
        "Megatron-DeepSpeed",
        fused_attention=False,
        sequence_parallel=False,
        data_overlap=0.0,
        fused=1.0,
        gradient_bytes=2.0,
        host_operations=250,
    ),
    # huggingface/nanotron: asynchronous tensor-parallel linears, gradients reduced after the last backward
    # before a pipelined send it exchanges the shapes on the host (nanotron/parallel/pipeline_parallel/p2p.py)
    TrainingEngine(
        "nanotron",
        native_attention=0.5,
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
    TrainingEngine(
        "llm-foundry",
        native_attention=0.0,
        sequence_parallel=False,
        gradient_bytes=2.0,
        framework=True,
        shards_master=True,
    ),
    # pytorch/torchtitan: torch.compile, attention of PyTorch's scaled_dot_product_attention, and per-operation
    # checkpointing that saves every second product (torchtitan/distributed/activation_checkpoint.py)
    TrainingEngine(
        "torchtitan",
        host_slowness=1.3,
        native_attention=0.5,
        gradient_bytes=4.0,
        fused=1.0,
        compiles=True,
        shards_master=True,
        selective_products=0.5,
        dtensor=True,
        casts_by_fsdp=True,
        rings_whole=True,
        returns_logits=False,
        tuned=False,
    ),
    TrainingEngine("MaxText", fused=1.0, gradient_bytes=2.0),
    # DeepSeek's own, of which only the technical report tells
    TrainingEngine("HAI-LLM", fused=1.0, gradient_bytes=4.0, two_way_pipeline=True),
    # plain programs of PyTorch: transformers' modules one kernel an operation, attention as PyTorch takes it now
    TrainingEngine(
        "Transformers",
        sequence_parallel=False,
        gradient_bytes=2.0,
        framework=True,
        raises_softmax=True,
        master_weights=False,
        host_operations=230,
        host_slowness=1.3,
        synchronises=True,
        step_seconds=0.01,
    ),
    TrainingEngine(
        "DeepSpeed",
        sequence_parallel=False,
        gradient_bytes=2.0,
        framework=True,
        raises_softmax=True,
        host_operations=230,
        host_slowness=1.3,
        step_seconds=0.01,
    ),
    TrainingEngine(
        "Lightning",
        host_slowness=1.3,
        sequence_parallel=False,
        gradient_bytes=2.0,
        framework=True,
        master_weights=False,
        step_seconds=0.005,
    ),
    # a model cast to bf16 trains with states in bf16: torch.optim.AdamW keeps moments in the type of the parameters
    TrainingEngine(
        "PyTorch",
        host_slowness=1.3,
        sequence_parallel=False,
        gradient_bytes=2.0,
        framework=True,
        foreach=True,
        master_weights=False,
        dtensor=True,
        rings_whole=True,
        returns_logits=False,
        joins_outputs=True,
    ),
    # FSDP of PyTorch over models of its own, attention, norms and products of TransformerEngine, DeepEP
    # (NVIDIA-NeMo/Automodel examples/benchmark/configs: `attn: te, linear: te, rms_norm: te, rope_fusion: true`)
    TrainingEngine(
        "NeMo-Automodel",
        host_slowness=1.3,
        sequence_parallel=False,
        fused=1.0,
        gradient_bytes=2.0,
        framework=True,
        master_weights=False,
        host_operations=150,
    ),
    # FSDP of PyTorch over a GPT of its own, attention of PyTorch or FlashAttention-2 (Modalities/modalities)
    TrainingEngine(
        "Modalities",
        host_slowness=1.3,
        native_attention=0.5,
        sequence_parallel=False,
        fused=0.5,
        gradient_bytes=2.0,
        framework=True,
        shards_master=True,
    ),
    # transformers' models with kernels of their own in Triton: norms, rotation, activation, loss
    TrainingEngine(
        "Unsloth",
        native_attention=0.5,
        sequence_parallel=False,
        fused=1.0,
        fused_loss=True,
        gradient_bytes=2.0,
        framework=True,
        master_weights=False,
        host_operations=150,
        host_slowness=1.3,
        step_seconds=0.01,
    ),
    # C++ and CUDA without a framework, steps in CUDA graphs, states in bf16 (IST-DASLab/llmq; invergent-ai/surogate)
    TrainingEngine(
        "LLM.Q",
        sequence_parallel=False,
        fused=1.0,
        fused_loss=True,
        gradient_bytes=2.0,
        master_weights=False,
        host_operations=20,
    ),
    TrainingEngine("Fast-LLM", fused=1.0, tuned=False),
    TrainingEngine("Primus", tensor_overlap=0.5, fused=1.0),
)

UNKNOWN: Final = TrainingEngine(
    "Unknown", native_attention=0.9, fused=0.7, data_overlap=0.8, host_operations=140, tuned=False
)
"""No engine named: the mean of the habits above. Its factor and doubt are what the engines above were seen to reach
beside these habits while their names were hidden (`mfu.predict.fit.unnamed`)."""

ENGINES: Final[Mapping[str, TrainingEngine]] = MappingProxyType({engine.name.lower(): engine for engine in _ALL})

_ALIASES: Final = (
    # first match wins; patterns are matched against what data sets and people write
    (r"maxtext", "MaxText"),
    (r"llm\.?q\b|surogate", "LLM.Q"),
    (r"unsloth", "Unsloth"),
    (r"hai-?llm|^deepseek\b", "HAI-LLM"),
    (r"megatron-?bridge", "Megatron-Bridge"),
    (r"automodel", "NeMo-Automodel"),
    (r"modalities", "Modalities"),
    (r"mlcommons/training|mlperf", "MLPerf"),
    (r"bigscience|vtrain|megatron-?deepspeed", "Megatron-DeepSpeed"),
    (r"narayanan|megatron-lm.*2021", "Megatron-LM-2021"),
    (r"korthikanti|megatron-lm.*2022", "Megatron-LM-2022"),
    (r"dgxc-benchmarking|(?<![a-z])nemo(?![a-z])", "NeMo"),
    (r"nanotron", "nanotron"),
    (r"llm-foundry|composer", "llm-foundry"),
    (r"torchtitan", "torchtitan"),
    (r"fast-llm", "Fast-LLM"),
    (r"primus", "Primus"),
    (
        r"transformers|hugging ?face|hf[ _-]?trainer|\btrl\b|axolotl|llama-?factory|\bsft\b|\baccelerate\b",
        "Transformers",
    ),
    # fine-tuning programs over transformers' models, and training programs whose own models are plain PyTorch
    (r"xtuner|ms-?swift|llama-?(?:recipes|cookbook)|h2o-?llm", "Transformers"),
    (r"lightning|lit-?gpt", "Lightning"),
    (r"torchtune|^nano(?:gpt|chat)|^olmo|^open_?lm|^lingua\b", "PyTorch"),
    # the fused softmax of Megatron over written scores, ZeRO of DeepSpeed
    (r"gpt-?neox", "Megatron-DeepSpeed"),
    (r"flagscale", "Megatron-LM"),
    (r"pytorch/ao|torchao", "torchtitan"),
    (r"deepspeed", "DeepSpeed"),
    (r"megatron", "Megatron-LM"),
    (r"pytorch|\btorch\b", "PyTorch"),
)


@lru_cache(maxsize=1024)
def engine(name: str | None) -> TrainingEngine:
    """The engine that a declared name means; UNKNOWN for None and for a name that no pattern matches."""
    text = (name or "").strip().lower()
    if text in ENGINES:
        return ENGINES[text]
    found = next((target for pattern, target in _ALIASES if re.search(pattern, text)), None) if text else None
    return ENGINES[found.lower()] if found else UNKNOWN
