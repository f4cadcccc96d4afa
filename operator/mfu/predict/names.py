"""The names of losses in a waterfall, of memory terms and of bounds: one vocabulary for status, causes and pictures."""

from __future__ import annotations

from enum import StrEnum


class StepTerm(StrEnum):
    """One part of a training step that is not model FLOPs at the declared peak. Order is the order of the picture."""

    KERNEL_CEILING = "kernel ceiling"
    """Best measured matrix product and sustained clock under load, below the datasheet peak."""
    POWER_LIMIT = "power limit"
    """What matrix products and attention take longer where a limit below the product's own holds the clock down."""
    KERNEL_SHAPE = "kernel shape"
    """Small, narrow or badly tiled matrix products."""
    ATTENTION = "attention"
    MEMORY_BOUND = "memory-bound operators"
    RECOMPUTE = "recompute"
    EXPERT_IMBALANCE = "expert imbalance"
    TENSOR_COMMUNICATION = "tensor-parallel communication"
    CONTEXT_COMMUNICATION = "context-parallel communication"
    EXPERT_COMMUNICATION = "expert-parallel communication"
    PIPELINE_COMMUNICATION = "pipeline communication"
    VOCABULARY_IMBALANCE = "vocabulary imbalance"
    PIPELINE_BUBBLE = "pipeline bubble"
    DATA_COMMUNICATION = "data-parallel communication"
    OPTIMIZER = "optimizer"
    HOST = "host launch"
    SYNCHRONISATION = "synchronisation"
    """Waiting for the slowest of many GPUs, step after step."""
    SOFTWARE_STACK = "software stack"
    """The factors of engine and product below 1. A factor above 1 makes every other loss smaller by the same share, so
    that none is ever negative."""
    LEARNED = "learned correction"
    """What runs of the same stack taught beside the shipped factors; a gain where they are faster is negative."""


COMMUNICATION_TERMS = frozenset(
    {
        StepTerm.TENSOR_COMMUNICATION,
        StepTerm.CONTEXT_COMMUNICATION,
        StepTerm.EXPERT_COMMUNICATION,
        StepTerm.PIPELINE_COMMUNICATION,
        StepTerm.DATA_COMMUNICATION,
        StepTerm.SYNCHRONISATION,
    }
)


class MemoryTerm(StrEnum):
    """One part of the memory of a GPU."""

    WEIGHTS = "weights"
    GRADIENTS = "gradients"
    OPTIMIZER = "optimizer states"
    ACTIVATIONS = "activations"
    LOGITS = "logits"
    KV_CACHE = "KV cache"
    COMMUNICATION = "communication buffers"
    FRAGMENTATION = "fragmentation"
    FRAMEWORK = "framework"
    """CUDA context, kernels and library work spaces."""


class Bound(StrEnum):
    """What sets the pace."""

    COMPUTE = "Compute"
    MEMORY = "Memory"
    COMMUNICATION = "Communication"
    HOST = "Host"
