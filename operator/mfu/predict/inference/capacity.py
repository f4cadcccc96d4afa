"""Memory of a replica: weights, KV cache, and how many requests fit. Bytes per GPU, vectorised over rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.kernels import kv_shards
from mfu.predict.inference.shape import Number


def weight_bytes_per_gpu(case: ServingCase) -> Number:
    """Worst GPU: its share of every matrix; the embedding sits with the head."""
    shape, form, layout = case.shape, case.format, case.layout
    ffn = shape.dense_layers * shape.dense_weights + shape.moe_layers * shape.shared_weights
    linear = shape.layers * shape.attention_weights / layout.tensor + ffn / layout.tensor
    experts = shape.moe_layers * shape.experts * shape.expert_weights / layout.stage_gpus
    vocabulary = (shape.head_weights + shape.embedding_weights) * form.head / layout.tensor
    return (linear * form.linear + experts * form.expert) / layout.pipeline + vocabulary


def kv_bytes_per_token(case: ServingCase) -> Number:
    """Per GPU, full-attention layers only: sliding layers keep a bounded window."""
    shape = case.shape
    return (1 - shape.sliding_share) * _values_per_token(case)


def kv_bytes_per_request(case: ServingCase, tokens: Number) -> Number:
    """Bytes per GPU of one request that is `tokens` long."""
    slid = case.shape.sliding_share * _values_per_token(case)
    return kv_bytes_per_token(case) * tokens + slid * np.minimum(tokens, case.shape.window)


def _values_per_token(case: ServingCase) -> Number:
    return case.shape.layers * case.shape.kv_values * case.format.kv / kv_shards(case) / case.layout.pipeline


def workspace_bytes(case: ServingCase, constants: ServingConstants) -> Number:
    """Buffers of the largest step; attention groups gather each other's tokens, so they hold those of all."""
    return constants.workspace_copies * case.load.max_batch_tokens * case.coupled * case.shape.hidden * 2.0


def batch_that_fits(case: ServingCase, constants: ServingConstants) -> Number:
    """Requests whose cache fits beside the weights, all attention groups together; below 1 nothing runs."""
    taken = weight_bytes_per_gpu(case) + workspace_bytes(case, constants)
    left = case.chip.memory - taken - constants.reserve_bytes
    share = np.minimum(case.load.card_share * case.chip.memory - taken, left)
    free = np.where(case.load.card_share > 0, share, left * constants.memory_share)
    tokens = case.load.input_tokens + case.load.output_tokens
    return np.maximum(free, 0.0) / kv_bytes_per_request(case, tokens) * case.layout.groups


def one_request_fits(case: ServingCase, constants: ServingConstants) -> npt.NDArray[np.bool_]:
    """Whether weights, work space and the cache of one request fit: the one answer of predict, plan and admission."""
    tokens = case.load.input_tokens + case.load.output_tokens
    taken = weight_bytes_per_gpu(case) + workspace_bytes(case, constants) + constants.reserve_bytes
    return np.asarray(taken + kv_bytes_per_request(case, tokens) <= case.chip.memory)
