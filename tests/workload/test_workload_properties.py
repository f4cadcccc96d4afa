"""Properties that hold for every architecture, found by hypothesis or refuted by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.workload.architecture import Architecture, MoE
from mfu.workload.flops import decode_flops_per_token, forward_flops_per_token, prefill_flops, training_flops_per_token
from mfu.workload.parameters import count

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)

GROWING = ("layers", "hidden", "head_dim", "ffn", "vocab")
GROWING_IN_PARAMETERS = (*GROWING, "learned_positions", "token_types")

moes = st.none() | st.builds(
    MoE,
    experts=st.integers(2, 16),
    top_k=st.integers(1, 2),
    expert_ffn=st.integers(1, 512),
    shared_experts=st.integers(0, 2),
    dense_layers=st.integers(0, 1),
    every=st.integers(1, 2),
    router_bias=st.booleans(),
)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    kv_heads = draw(st.integers(1, 8))
    return Architecture(
        name="any",
        layers=draw(st.integers(1, 24)),
        hidden=draw(st.integers(8, 1024)),
        heads=kv_heads * draw(st.integers(1, 8)),
        kv_heads=kv_heads,
        head_dim=draw(st.integers(4, 128)),
        ffn=draw(st.integers(1, 4096)),
        vocab=draw(st.integers(1, 50_000)),
        gated_ffn=draw(st.booleans()),
        tied_embeddings=draw(st.booleans()),
        moe=draw(moes),
        window=draw(st.sampled_from([0, 0, 16, 1000])),
        window_every=draw(st.integers(1, 4)),
        qkv_bias=draw(st.booleans()),
        ffn_bias=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        norm_bias=draw(st.booleans()),
    )


lengths = st.integers(1, 100_000)


@quick
@given(architectures(), st.sampled_from(GROWING_IN_PARAMETERS), st.integers(1, 64))
def test_parameters_grow_with_every_dimension(arch: Architecture, field: str, more: int) -> None:
    bigger = replace(arch, **{field: getattr(arch, field) + more})
    assert count(bigger).total >= count(arch).total
    assert count(bigger).active >= count(arch).active


@quick
@given(architectures(), st.sampled_from(GROWING), st.integers(1, 64), lengths)
def test_flops_grow_with_every_dimension(arch: Architecture, field: str, more: int, length: int) -> None:
    bigger = replace(arch, **{field: getattr(arch, field) + more})
    for flops in (training_flops_per_token, prefill_flops, decode_flops_per_token):
        assert flops(bigger, length) >= flops(arch, length) * (1 - 1e-12)


@quick
@given(architectures())
def test_tied_embeddings_never_cost_more(arch: Architecture) -> None:
    tied, untied = replace(arch, tied_embeddings=True), replace(arch, tied_embeddings=False)
    assert count(untied).total - count(tied).total == arch.vocab * arch.hidden
    assert training_flops_per_token(tied, 512) == training_flops_per_token(untied, 512)


@quick
@given(architectures(), lengths)
def test_grouped_queries_never_cost_more_than_all_heads(arch: Architecture, length: int) -> None:
    all_heads = replace(arch, kv_heads=arch.heads)
    assert count(arch).total <= count(all_heads).total
    assert training_flops_per_token(arch, length) <= training_flops_per_token(all_heads, length)


@quick
@given(architectures(), lengths)
def test_terms_sum_to_the_total(arch: Architecture, length: int) -> None:
    flops = forward_flops_per_token(arch, length)
    assert sum(flops.terms.values()) == flops.total
    assert all(value >= 0 for value in flops.terms.values())
    assert sum(count(arch).by_group.values()) == count(arch).total


@quick
@given(architectures(), lengths)
def test_the_causal_part_is_between_nothing_and_half(arch: Architecture, length: int) -> None:
    causal = forward_flops_per_token(arch, length, attention="causal").attention_core
    full = forward_flops_per_token(arch, length, attention="full").attention_core
    assert causal <= full / 2 * (1 + 1e-12)
    if not arch.window:
        assert causal == pytest.approx(full / 2)


@quick
@given(architectures(), lengths)
def test_lora_costs_between_two_thirds_and_all(arch: Architecture, length: int) -> None:
    full = training_flops_per_token(arch, length)
    lora = training_flops_per_token(arch, length, method="LoRA", lora_rank=0)
    assert 2 / 3 * full * (1 - 1e-9) <= lora <= full


@quick
@given(architectures(), lengths, st.integers(1, 50_000))
def test_longer_contexts_never_cost_less(arch: Architecture, length: int, more: int) -> None:
    for flops in (training_flops_per_token, prefill_flops, decode_flops_per_token):
        assert flops(arch, length + more) >= flops(arch, length) * (1 - 1e-12)


@quick
@given(architectures())
def test_active_is_at_most_total(arch: Architecture) -> None:
    parameters = count(arch)
    assert 0 < parameters.active <= parameters.total
