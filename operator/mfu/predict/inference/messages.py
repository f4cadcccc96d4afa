"""Messages between the GPUs of one replica: all-reduces, exchanges of experts, hand-overs of stages."""

from __future__ import annotations

import numpy as np

from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.shape import Number

_16BIT = 2.0
_DISPATCH_AND_COMBINE = 0.75
"""Mean of 8-bit and 16-bit tokens over 16-bit ones."""
_REFERENCE_LINK = 450e9
"""Hopper's NVLink, one direction."""


def _payload_and_latency(case: ServingCase, tokens: Number, constants: ServingConstants) -> tuple[Number, Number]:
    chip = case.chip
    fast = constants.link_share * (chip.link / _REFERENCE_LINK) ** (constants.link_growth - 1.0)
    share = np.where(chip.switched > 0, fast, constants.pcie_share)
    latency = np.where(chip.switched > 0, constants.reduce_seconds, constants.pcie_reduce_seconds)
    return tokens * case.shape.hidden * _16BIT / (chip.link * share), latency


def tensor_communication(case: ServingCase, tokens: Number, constants: ServingConstants) -> Number:
    """Two all-reduces a layer: 2 (t − 1)/t of the hidden state over the link, latency by the logarithm of t."""
    payload, latency = _payload_and_latency(case, tokens, constants)
    tensor = case.layout.tensor
    seconds = np.log2(tensor) * latency + 2 * (tensor - 1) / tensor * payload
    return 2 * case.shape.layers * seconds


def expert_communication(case: ServingCase, tokens: Number, constants: ServingConstants) -> Number:
    """Dispatch (8 bit) and combine (16 bit) of a token with each other group that holds one of its top-k experts."""
    payload, _ = _payload_and_latency(case, tokens, constants)
    groups = case.layout.groups
    copies = (groups - 1) * -np.expm1(case.shape.top_k * np.log1p(-1 / np.maximum(groups, 1.0001)))
    seconds = (groups > 1) * constants.exchange_seconds + copies * payload * _DISPATCH_AND_COMBINE
    return 2 * case.shape.moe_layers * seconds


def pipeline_communication(case: ServingCase, tokens: Number, constants: ServingConstants) -> Number:
    payload, latency = _payload_and_latency(case, tokens, constants)
    return (case.layout.pipeline - 1) * (latency + payload)
