"""Models written in jax only to be counted: shapes go in, a jaxpr comes out, nothing is computed.

Independent of `mfu.workload`: dimensions stand here on their own, each matrix product inside a named scope, attention
in full (masks do not change a product). Layers are scanned, so a big model traces as fast as a small one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

TIMESTEP_FEATURES = 256

Weights = dict[str, Any]
Block = Callable[["Dims", Weights, jax.Array], jax.Array]


@dataclass(frozen=True, slots=True)
class Dims:
    """Dimensions of a model to be counted; names as in the models' own code, zeros where a part is absent."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = True
    experts: int = 0
    top_k: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    shared_gate: bool = False
    dense_layers: int = 0
    query_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    nope_dim: int = 0
    value_dim: int = 0

    @property
    def latent(self) -> bool:
        return self.kv_rank > 0


def _shape(*dims: int) -> jax.ShapeDtypeStruct:
    shaped: Callable[..., jax.ShapeDtypeStruct] = jax.ShapeDtypeStruct
    return shaped(dims, jnp.float32)


def attention_weights(d: Dims) -> Weights:
    """Shapes of one layer's attention matrices."""
    if not d.latent:
        return {
            "q": _shape(d.hidden, d.heads, d.head_dim),
            "k": _shape(d.hidden, d.kv_heads, d.head_dim),
            "v": _shape(d.hidden, d.kv_heads, d.head_dim),
            "o": _shape(d.heads, d.head_dim, d.hidden),
        }
    weights = {
        "kv_down": _shape(d.hidden, d.kv_rank),
        "k_rope": _shape(d.hidden, d.rope_dim),
        "k_up": _shape(d.kv_rank, d.heads, d.nope_dim),
        "v_up": _shape(d.kv_rank, d.heads, d.value_dim),
        "o": _shape(d.heads, d.value_dim, d.hidden),
    }
    width = d.nope_dim + d.rope_dim
    if d.query_rank:
        return weights | {"q_down": _shape(d.hidden, d.query_rank), "q_up": _shape(d.query_rank, d.heads, width)}
    return weights | {"q": _shape(d.hidden, d.heads, width)}


def ffn_weights(d: Dims, width: int) -> Weights:
    """Shapes of one feed-forward block."""
    weights = {"up": _shape(d.hidden, width), "down": _shape(width, d.hidden)}
    return weights | {"gate": _shape(d.hidden, width)} if d.gated else weights


def moe_weights(d: Dims) -> Weights:
    """Shapes of one mixture: router, experts stacked on their first axis, shared experts as one wide block."""
    weights: Weights = {
        "router": _shape(d.hidden, d.experts),
        "up": _shape(d.experts, d.hidden, d.expert_ffn),
        "down": _shape(d.experts, d.expert_ffn, d.hidden),
    }
    if d.gated:
        weights["gate"] = _shape(d.experts, d.hidden, d.expert_ffn)
    if d.shared_ffn:
        weights["shared"] = ffn_weights(d, d.shared_ffn)
    if d.shared_gate:
        weights["shared_gate"] = _shape(d.hidden, 1)
    return weights


def _queries(d: Dims, w: Weights, x: jax.Array) -> jax.Array:
    if d.latent and d.query_rank:
        return jnp.einsum("sr,rhd->shd", x @ w["q_down"], w["q_up"])
    return jnp.einsum("se,ehd->shd", x, w["q"])


def _attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    with jax.named_scope("scores"):
        scores = jnp.einsum("shd,thd->hst", q, k)
    probabilities = jax.nn.softmax(scores, axis=-1)
    with jax.named_scope("values"):
        return jnp.einsum("hst,thd->shd", probabilities, v)


def attention(d: Dims, w: Weights, x: jax.Array) -> jax.Array:
    """Every token of x attends to every token of x."""
    with jax.named_scope("qkv"):
        q = _queries(d, w, x)
        if d.latent:
            latent, rope = x @ w["kv_down"], x @ w["k_rope"]
            rope = jnp.broadcast_to(rope[:, None, :], (x.shape[0], d.heads, d.rope_dim))
            k = jnp.concatenate([jnp.einsum("sr,rhd->shd", latent, w["k_up"]), rope], axis=-1)
            v = jnp.einsum("sr,rhd->shd", latent, w["v_up"])
        else:
            k, v = (jnp.einsum("se,ehd->shd", x, w[name]) for name in ("k", "v"))
            k, v = (jnp.repeat(each, d.heads // d.kv_heads, axis=1) for each in (k, v))
    mixed = _attend(q, k, v)
    with jax.named_scope("output"):
        return jnp.einsum("shd,hde->se", mixed, w["o"])


def cached_attention(d: Dims, w: Weights, x: jax.Array, cache: Weights) -> jax.Array:
    """One new token attends to a cache that already holds it; latent attention stays on the compressed cache."""
    if d.latent:
        return _absorbed_attention(d, w, x, cache)
    with jax.named_scope("qkv"):
        q = _queries(d, w, x)
        new = [jnp.einsum("se,ehd->shd", x, w[name]) for name in ("k", "v")]
    k, v = (jnp.concatenate([cache[name][1:], each]) for name, each in zip(("k", "v"), new, strict=True))
    mixed = _attend(q, *(jnp.repeat(each, d.heads // d.kv_heads, axis=1) for each in (k, v)))
    with jax.named_scope("output"):
        return jnp.einsum("shd,hde->se", mixed, w["o"])


def _absorbed_attention(d: Dims, w: Weights, x: jax.Array, cache: Weights) -> jax.Array:
    with jax.named_scope("qkv"):
        q = _queries(d, w, x)
        latent = jnp.concatenate([cache["latent"][1:], x @ w["kv_down"]])
        rope = jnp.concatenate([cache["rope"][1:], x @ w["k_rope"]])
        q_latent = jnp.einsum("shd,rhd->shr", q[..., : d.nope_dim], w["k_up"])
    with jax.named_scope("scores"):
        scores = jnp.einsum("shr,tr->hst", q_latent, latent)
        scores += jnp.einsum("shd,td->hst", q[..., d.nope_dim :], rope)
    probabilities = jax.nn.softmax(scores, axis=-1)
    with jax.named_scope("values"):
        mixed = jnp.einsum("hst,tr->shr", probabilities, latent)
    with jax.named_scope("qkv"):
        mixed = jnp.einsum("shr,rhd->shd", mixed, w["v_up"])
    with jax.named_scope("output"):
        return jnp.einsum("shd,hde->se", mixed, w["o"])


def ffn(w: Weights, x: jax.Array) -> jax.Array:
    """A plain or a gated feed-forward block."""
    up = x @ w["up"]
    inner = jax.nn.silu(x @ w["gate"]) * up if "gate" in w else jax.nn.gelu(up)
    return inner @ w["down"]


def dense_block(d: Dims, w: Weights, x: jax.Array) -> jax.Array:
    """The feed-forward half of a dense layer."""
    with jax.named_scope("ffn"):
        return ffn(w, x)


def moe_block(d: Dims, w: Weights, x: jax.Array) -> jax.Array:
    """Each token multiplies the matrices of its own top_k experts."""
    with jax.named_scope("router"):
        gates, chosen = jax.lax.top_k(x @ w["router"], d.top_k)
    with jax.named_scope("experts"):
        inner = jnp.einsum("se,skef->skf", x, w["up"][chosen])
        if d.gated:
            inner *= jax.nn.silu(jnp.einsum("se,skef->skf", x, w["gate"][chosen]))
        each = jnp.einsum("skf,skfe->ske", inner, w["down"][chosen])
    out = (each * jax.nn.softmax(gates)[..., None]).sum(axis=1)
    if not d.shared_ffn:
        return out
    with jax.named_scope("shared_experts"):
        shared = ffn(w["shared"], x)
        return out + (shared * jax.nn.sigmoid(x @ w["shared_gate"]) if d.shared_gate else shared)


def _stack(weights: Weights, layers: int) -> Weights:
    return jax.tree.map(lambda leaf: _shape(layers, *leaf.shape), weights)


def decoder_weights(d: Dims) -> Weights:
    """Shapes of a whole decoder: leading dense layers, then the mixtures (or all dense)."""
    moe_layers = d.layers - d.dense_layers if d.experts else 0
    weights: Weights = {"embedding": _shape(d.vocab, d.hidden), "head": _shape(d.hidden, d.vocab)}
    if d.layers - moe_layers:
        layer = {"attention": attention_weights(d), "block": ffn_weights(d, d.ffn)}
        weights["dense"] = _stack(layer, d.layers - moe_layers)
    if moe_layers:
        weights["moe"] = _stack({"attention": attention_weights(d), "block": moe_weights(d)}, moe_layers)
    return weights


def _layers(d: Dims, weights: Weights, x: jax.Array, mix: Callable[[Weights, jax.Array], jax.Array]) -> jax.Array:
    blocks: dict[str, Block] = {"dense": dense_block, "moe": moe_block}
    for name, block in blocks.items():
        if name not in weights:
            continue

        def layer(x: jax.Array, w: Weights, block: Block = block) -> tuple[jax.Array, None]:
            x = x + mix(w["attention"], x)
            return x + block(d, w["block"], x), None

        x, _ = jax.lax.scan(layer, x, weights[name])
    return x


def decoder(d: Dims, weights: Weights, tokens: jax.Array, *, head_on_last_only: bool = False) -> jax.Array:
    """Logits of a causal language model (the mask is left out: it changes no product)."""
    x = _layers(d, weights, weights["embedding"][tokens], lambda w, x: attention(d, w, x))
    with jax.named_scope("head"):
        return (x[-1:] if head_on_last_only else x) @ weights["head"]


def decoder_step(d: Dims, weights: Weights, token: jax.Array, cache: Weights) -> jax.Array:
    """Logits of the next token; every layer reads a cache of the same shape."""
    x = _layers(d, weights, weights["embedding"][token], lambda w, x: cached_attention(d, w, x, cache))
    with jax.named_scope("head"):
        return x @ weights["head"]


def cache_shapes(d: Dims, context: int) -> Weights:
    """Shapes of one layer's cache that holds `context` tokens."""
    if d.latent:
        return {"latent": _shape(context, d.kv_rank), "rope": _shape(context, d.rope_dim)}
    return {name: _shape(context, d.kv_heads, d.head_dim) for name in ("k", "v")}


def encoder(d: Dims, weights: Weights, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Masked-token logits on every token and the pooled first token."""
    x = _layers(d, weights, weights["embedding"][tokens], lambda w, x: attention(d, w, x))
    with jax.named_scope("pooler"):
        pooled = jnp.tanh(x[:1] @ weights["pooler"])
    with jax.named_scope("head"):
        return x @ weights["head"], pooled


def vision(d: Dims, weights: Weights, patches: jax.Array) -> jax.Array:
    """ViT: patches behind a class token, classes out of it."""
    with jax.named_scope("patch_embedding"):
        embedded = patches @ weights["patch"]
    x = jnp.concatenate([weights["class_token"], embedded])
    x = _layers(d, weights, x, lambda w, x: attention(d, w, x))
    with jax.named_scope("head"):
        return x[:1] @ weights["head"]


def diffusion(d: Dims, weights: Weights, patches: jax.Array, timestep: jax.Array, label: jax.Array) -> jax.Array:
    """DiT: adaLN-Zero on the timestep and the class, noise and variance out."""
    with jax.named_scope("patch_embedding"):
        x = patches @ weights["patch"]
    with jax.named_scope("timestep"):
        condition = jax.nn.silu(timestep @ weights["time_in"]) @ weights["time_out"] + weights["labels"][label]

    def layer(x: jax.Array, w: Weights) -> tuple[jax.Array, None]:
        with jax.named_scope("modulation"):
            shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = jnp.split(condition @ w["modulation"], 6, axis=-1)
        x = x + gate_a * attention(d, w["attention"], x * (1 + scale_a) + shift_a)
        return x + gate_f * dense_block(d, w["block"], x * (1 + scale_f) + shift_f), None

    x, _ = jax.lax.scan(layer, x, weights["dense"])
    with jax.named_scope("modulation"):
        shift, scale = jnp.split(condition @ weights["final_modulation"], 2, axis=-1)
    with jax.named_scope("head"):
        return (x * (1 + scale) + shift) @ weights["head"]


def encoder_weights(d: Dims) -> Weights:
    """Shapes for `encoder`."""
    return decoder_weights(d) | {"pooler": _shape(d.hidden, d.hidden)}


def vision_weights(d: Dims, patch_features: int) -> Weights:
    """Shapes for `vision`; vocab is the number of classes."""
    return decoder_weights(d) | {"patch": _shape(patch_features, d.hidden), "class_token": _shape(1, d.hidden)}


def diffusion_weights(d: Dims, patch_features: int) -> Weights:
    """Shapes for `diffusion`; vocab is the number of classes."""
    layer = {
        "attention": attention_weights(d),
        "block": ffn_weights(d, d.ffn),
        "modulation": _shape(d.hidden, 6 * d.hidden),
    }
    return {
        "dense": _stack(layer, d.layers),
        "patch": _shape(patch_features, d.hidden),
        "time_in": _shape(TIMESTEP_FEATURES, d.hidden),
        "time_out": _shape(d.hidden, d.hidden),
        "labels": _shape(d.vocab + 1, d.hidden),
        "final_modulation": _shape(d.hidden, 2 * d.hidden),
        "head": _shape(d.hidden, 2 * patch_features),
    }
