"""Our FLOPs, term by term, against the matrix products in the jaxpr of small models written in jax."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from mfu.workload.architecture import MLA, Architecture, AttentionKind, Family, MoE
from mfu.workload.flop_terms import forward_terms
from mfu.workload.flops import (
    decode_flops_per_token,
    forward_flops_per_token,
    prefill_flops,
    training_flops_per_token,
)
from mfu.workload.presets import preset
from tools import jax_models
from tools.jax_flops import KINDS, MODELS, TABLE, count, halved_attention, rows
from tools.jax_models import Dims

SEQUENCE = 24

DECODERS: dict[str, Architecture] = {
    "mha": Architecture("mha", 3, 48, 4, 4, 12, 96, 101),
    "mqa": Architecture("mqa", 2, 48, 4, 1, 16, 80, 64, gated_ffn=False),
    "gqa": Architecture("gqa", 5, 64, 8, 2, 8, 112, 77, tied_embeddings=True),
    "wide-heads": Architecture("wide", 2, 40, 4, 2, 24, 96, 50, gated_ffn=False),
    "sliding-counted-in-full": Architecture("swa", 4, 48, 4, 2, 12, 96, 101, window=8, window_every=2),
    "moe": Architecture("moe", 3, 48, 4, 2, 12, 0, 90, moe=MoE(6, 2, 32)),
    "moe-plain": Architecture("moe-plain", 2, 48, 4, 4, 12, 0, 90, gated_ffn=False, moe=MoE(4, 1, 64)),
    "moe-shared-dense-first": Architecture(
        "ds", 4, 48, 4, 4, 12, 80, 90, moe=MoE(8, 3, 16, shared_experts=2, dense_layers=1)
    ),
    "moe-shared-gate": Architecture(
        "q", 2, 48, 4, 4, 12, 0, 90, moe=MoE(5, 2, 16, shared_ffn=40, shared_gate=True)
    ),
    "mla": Architecture("mla", 2, 64, 4, 4, 24, 96, 90, attention=AttentionKind.MLA, mla=MLA(20, 16, 8, 16, 12)),
    "mla-plain-query-moe": Architecture(
        "mlap", 3, 64, 4, 4, 24, 96, 90, attention=AttentionKind.MLA, mla=MLA(0, 16, 8, 16, 12),
        moe=MoE(8, 2, 16, shared_experts=1, dense_layers=1),
    ),
}  # fmt: skip

ENCODER = Architecture(
    "enc", 2, 48, 4, 4, 12, 192, 70, family=Family.ENCODER, gated_ffn=False, tied_embeddings=True, pooler=True
)
VISION = Architecture("vit", 3, 48, 4, 4, 12, 192, 10, family=Family.VISION, gated_ffn=False, input_features=27)
DIFFUSION = Architecture("dit", 3, 48, 4, 4, 12, 192, 10, family=Family.DIFFUSION, gated_ffn=False, input_features=16)


def dims(arch: Architecture) -> Dims:
    moe, mla = arch.moe, arch.mla
    experts: dict[str, Any] = {}
    if moe:
        experts = {
            "experts": moe.experts,
            "top_k": moe.top_k,
            "expert_ffn": moe.expert_ffn,
            "shared_ffn": moe.shared_width,
            "shared_gate": moe.shared_gate,
            "dense_layers": moe.dense_layers,
        }
    latent: dict[str, Any] = {}
    if mla:
        latent = {
            "query_rank": mla.query_rank,
            "kv_rank": mla.kv_rank,
            "rope_dim": mla.rope_head_dim,
            "nope_dim": mla.nope_head_dim,
            "value_dim": mla.value_head_dim,
        }
    sizes = (arch.layers, arch.hidden, arch.heads, arch.kv_heads, arch.head_dim, arch.ffn, arch.vocab)
    names = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
    named: dict[str, Any] = dict(zip(names, sizes, strict=True))
    return Dims(**named, gated=arch.gated_ffn, **experts, **latent)


def ids(tokens: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((tokens,), jnp.int32)


def values(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def per_sequence(arch: Architecture, tokens: int) -> dict[str, float]:
    terms = forward_flops_per_token(arch, tokens, attention="full").terms
    return {name: value * tokens for name, value in terms.items() if value}


def counted(flops: Counter[str]) -> dict[str, Any]:
    assert flops[""] == 0, "a matrix product outside every scope"
    return {name: pytest.approx(value, rel=1e-12) for name, value in flops.items() if value}


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_terms(name: str) -> None:
    arch = DECODERS[name]
    d = dims(arch)
    flops = count(partial(jax_models.decoder, d), jax_models.decoder_weights(d), ids(SEQUENCE))
    assert per_sequence(arch, SEQUENCE) == counted(flops)


@pytest.mark.parametrize("name", ["gqa", "moe-shared-dense-first", "mla"])
def test_backward_pass_costs_two_forwards(name: str) -> None:
    arch = DECODERS[name]
    d = dims(arch)

    def loss(weights: Any, tokens: jax.Array) -> jax.Array:
        return jax_models.decoder(d, weights, tokens).sum()

    flops = count(jax.grad(loss), jax_models.decoder_weights(d), ids(SEQUENCE))
    forward = forward_flops_per_token(arch, SEQUENCE, attention="full").total
    assert sum(flops.values()) == pytest.approx(3 * forward * SEQUENCE, rel=1e-12)


@pytest.mark.parametrize("name", ["gqa", "moe", "mla"])
def test_frozen_weights_cost_one_backward(name: str) -> None:
    """LoRA with adapters of rank 0: no weight gradients, but every activation gradient and the whole attention core."""
    arch = DECODERS[name]
    d = dims(arch)

    def loss(embedding: jax.Array, weights: Any, tokens: jax.Array) -> jax.Array:
        return jax_models.decoder(d, weights | {"embedding": embedding}, tokens).sum()

    weights = jax_models.decoder_weights(d)
    flops = count(jax.grad(loss), weights["embedding"], weights, ids(SEQUENCE))
    ours = training_flops_per_token(arch, SEQUENCE, method="LoRA", lora_rank=0) * SEQUENCE
    assert ours == pytest.approx(halved_attention(flops), rel=1e-12)


@pytest.mark.parametrize("name", ["mha", "gqa", "moe", "mla"])
def test_training_halves_the_attention(name: str) -> None:
    arch = DECODERS[name]
    d = dims(arch)
    flops = count(partial(jax_models.decoder, d), jax_models.decoder_weights(d), ids(SEQUENCE))
    assert training_flops_per_token(arch, SEQUENCE) * SEQUENCE == pytest.approx(3 * halved_attention(flops), rel=1e-12)


@pytest.mark.parametrize("name", ["mha", "mqa", "moe-shared-gate", "mla-plain-query-moe"])
def test_prefill(name: str) -> None:
    arch = DECODERS[name]
    d = dims(arch)
    serve = partial(jax_models.decoder, d, head_on_last_only=True)
    flops = count(serve, jax_models.decoder_weights(d), ids(SEQUENCE))
    assert prefill_flops(arch, SEQUENCE) == pytest.approx(halved_attention(flops), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in DECODERS if not name.startswith("sliding")])
def test_decode_terms_on_a_cache(name: str) -> None:
    arch = DECODERS[name]
    d = dims(arch)
    context = 40
    step = partial(jax_models.decoder_step, d)
    flops = count(step, jax_models.decoder_weights(d), ids(1), jax_models.cache_shapes(d, context))
    ours = {term.name: term.fixed + term.per_key * context for term in forward_terms(arch, absorbed=True)}
    assert {name: value for name, value in ours.items() if value} == counted(flops)
    assert decode_flops_per_token(arch, context) == pytest.approx(sum(flops.values()), rel=1e-12)


def test_encoder_terms() -> None:
    d = dims(ENCODER)
    flops = count(partial(jax_models.encoder, d), jax_models.encoder_weights(d), ids(SEQUENCE))
    assert per_sequence(ENCODER, SEQUENCE) == counted(flops)


def test_vision_terms() -> None:
    d = dims(VISION)
    patches = values(SEQUENCE - 1, VISION.input_features)
    flops = count(partial(jax_models.vision, d), jax_models.vision_weights(d, VISION.input_features), patches)
    assert per_sequence(VISION, SEQUENCE) == counted(flops)
    assert prefill_flops(VISION, SEQUENCE) == pytest.approx(sum(flops.values()), rel=1e-12)


def test_diffusion_terms() -> None:
    d = dims(DIFFUSION)
    weights = jax_models.diffusion_weights(d, DIFFUSION.input_features)
    inputs = values(SEQUENCE, DIFFUSION.input_features), values(jax_models.TIMESTEP_FEATURES), ids(1)
    flops = count(partial(jax_models.diffusion, d), weights, inputs[0], inputs[1], jax.ShapeDtypeStruct((), jnp.int32))
    assert per_sequence(DIFFUSION, SEQUENCE) == counted(flops)


def test_scans_multiply_and_unknown_loops_are_refused() -> None:
    def scanned(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, _: (carry @ x, None), x, length=7)[0]

    def looped(x: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda carry: carry.sum() < 1, lambda carry: carry @ x, x)

    assert count(scanned, values(4, 4)) == {"": 7 * 2 * 4**3}
    with pytest.raises(ValueError, match="while"):
        count(looped, values(4, 4))


def test_counter_sees_batches_and_nested_calls() -> None:
    def batched(x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.jit(lambda a, b: jnp.einsum("bij,bjk->bik", a, b))(x, y)

    assert count(batched, values(3, 4, 5), values(3, 5, 6)) == {"": 2 * 3 * 4 * 5 * 6}


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_table_is_what_jax_counts(kind: str) -> None:
    """Two lengths of one model a kind are recounted; the rest of the table is compared with our own formulas."""
    frozen = {(row["model"], row["kind"], row["tokens"]): row["flops_per_token"] for row in frozen_rows()}
    for tokens in (512, 4096):
        assert frozen["llama-3.2-1b", kind, tokens] == KINDS[kind](MODELS["llama-3.2-1b"], tokens)


@pytest.mark.slow
def test_frozen_table_is_current() -> None:
    assert frozen_rows() == list(rows(MODELS)), "run: python -m tools.jax_flops"


def test_frozen_table_agrees_with_the_presets() -> None:
    formulas = {
        "training": training_flops_per_token,
        "prefill": lambda arch, tokens: prefill_flops(arch, tokens) / tokens,
        "decode": decode_flops_per_token,
    }
    for row in frozen_rows():
        ours = formulas[row["kind"]](preset(row["model"]), row["tokens"])
        assert ours == pytest.approx(row["flops_per_token"], rel=1e-12), row


def frozen_rows() -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = json.loads(Path(TABLE).read_text(encoding="utf-8"))["rows"]
    return table
