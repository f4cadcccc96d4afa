"""Latent and sparse attention: DeepSeek-V2 to V4, Kimi K2, GLM-5, and what else compresses keys or picks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mfu.workload.architecture import MLA, Architecture, AttentionKind, Block
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import mixture
from mfu.workload.huggingface.decoder import Builder, llama, name_of
from mfu.workload.huggingface.layers import after_the_first, layer_kinds
from mfu.workload.huggingface.reader import ModelConfig


def deepseek(config: ModelConfig) -> Architecture:
    """DeepSeek-V2 and V3 and their heirs: latent attention, fine-grained experts behind leading dense layers."""
    base = replace(llama(config), qkv_bias=False)
    if not config.flag("use_mla", default=True):
        # DeepSeek-VL2-Tiny is a DeepSeek-V2 by name with the plain attention of the first DeepSeek-MoE.
        config.read.update(("kv_lora_rank", "q_lora_rank", "v_head_dim"))
        return mixture.grained(config, base)
    found = mixture.grained(config, latent(config, base))
    mtp = config.integer("num_nextn_predict_layers", "num_mtp_layers", default=0)
    return indexed(config, replace(found, mtp_layers=mtp))


def glm4_lite(config: ModelConfig) -> Architecture:
    """GLM-4.7-Flash: DeepSeek's shape, one leading dense layer."""
    return deepseek(after_the_first(config))


def deepseek_moe(config: ModelConfig) -> Architecture:
    """The first DeepSeek-MoE (arXiv 2401.06066): plain attention, fine-grained experts."""
    return mixture.grained(config, llama(config))


def dense_latent(config: ModelConfig) -> Architecture:
    """Latent attention over a dense feed-forward (Youtu)."""
    return latent(config, replace(llama(config), qkv_bias=False))


def minicpm3(config: ModelConfig) -> Architecture:
    """Values as wide as hidden over heads unless told otherwise, embeddings tied (its own modeling code)."""
    base = replace(llama(config), tied_embeddings=config.flag("tie_word_embeddings", default=True), qkv_bias=False)
    width = config.integer("v_head_dim", default=base.hidden // base.heads)
    values = dict(config.values) | {"v_head_dim": width}
    return latent(ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed), base)


def latent(config: ModelConfig, base: Architecture) -> Architecture:
    """The same model with multi-head latent attention. `q_lora_rank: null` is no compression of queries."""
    mla = MLA(
        query_rank=config.integer("q_lora_rank", default=0),
        kv_rank=config.integer("kv_lora_rank"),
        rope_head_dim=config.integer("qk_rope_head_dim"),
        nope_head_dim=config.integer("qk_nope_head_dim"),
        value_head_dim=config.integer("v_head_dim"),
    )
    width = mla.nope_head_dim + mla.rope_head_dim
    return replace(base, head_dim=width, kv_heads=base.heads, attention=AttentionKind.MLA, mla=mla)


def indexed(config: ModelConfig, base: Architecture) -> Architecture:
    """DeepSeek sparse attention (V3.2, GLM-5): an indexer scores all keys, attention sees the best `index_topk`.

    The indexer: queries from the compressed query, one key head, a weight per head (DeepSeek-V3.2-Exp report, eq. 1).
    Layers that `indexer_types` calls shared reuse the choice of an earlier one.
    """
    top_keys = config.integer("index_topk", default=0)
    if not top_keys or base.mla is None:
        return base
    heads, width = config.size("index_n_heads"), config.size("index_head_dim")
    layer_kinds(config, base.layers)
    kinds = config.sequence("indexer_types")[: base.layers]
    scored = kinds.count("full") if kinds else base.layers
    indexer = Block(
        name="indexer",
        layers=scored,
        weights=base.mla.query_rank * heads * width + base.hidden * (width + heads),
        vectors=2 * width,
        flops_per_key=2 * heads * width,
        cache_values=width,
    )
    return replace(base, window=top_keys, window_every=1, sparse_attention=True, blocks=(indexer,))


def minimax_m3(config: ModelConfig) -> Architecture:
    """Grouped queries that see the best blocks of keys on most layers (transformers modeling_minimax_m3_vl)."""
    for key in ("use_qk_norm", "qk_norm_type", "use_gemma_norm", "attention_output_gate", "num_mtp_modules"):
        config.value(key)
    sparse = config.nested("sparse_attention_config")
    base = replace(llama(config), qk_norm=True)
    config.read.add("dense_intermediate_size")
    found = mixture.grained(ModelConfig(_m3_widths(config), config.model_type, config.defaults, config.read), base)
    if found.dense_layer_count:
        found = replace(found, ffn=config.integer("dense_intermediate_size"))
    return _block_sparse(config, sparse, replace(found, mtp_layers=config.integer("num_mtp_modules", default=0)))


def _m3_widths(config: ModelConfig) -> dict[str, object]:
    width = config.values.get("moe_intermediate_size") or config.integer("intermediate_size")
    return dict(config.values) | {"moe_intermediate_size": width, "use_routing_bias": True}


def _block_sparse(config: ModelConfig, sparse: ModelConfig, base: Architecture) -> Architecture:
    freq = sparse.sequence("sparse_attention_freq")[: base.layers]
    count = sum(map(bool, freq)) if freq else base.layers
    heads = sparse.integer("sparse_num_index_heads", default=config.integer("index_n_heads", default=4))
    width = sparse.integer("sparse_index_dim", default=config.integer("index_head_dim", default=128))
    blocks = sparse.integer("sparse_topk_blocks", default=config.integer("index_topk_blocks", default=16))
    length = sparse.integer("sparse_block_size", default=config.integer("index_block_size", default=128))
    indexer = Block(
        name="indexer",
        layers=count,
        weights=base.hidden * width * (heads + 1),
        vectors=2 * width,
        flops_per_key=2 * heads * width,
        cache_values=width,
    )
    return replace(
        base,
        window=blocks * length,
        window_every=1,
        full_layers=base.layers - count or None,
        sparse_attention=True,
        blocks=(indexer,),
    )


def deepseek_v4(config: ModelConfig) -> Architecture:
    """DeepSeek-V4: one key-value head in a short window, and compressed keys beyond it (transformers deepseek_v4).

    `compress_ratios` per layer: 0 is the window alone, 4 compressed keys of which an indexer picks, above that all of
    the compressed keys. Streams of hyper-connections mix around every block.
    """
    layers, hidden = config.size("num_hidden_layers"), config.size("hidden_size")
    heads, width = config.size("num_attention_heads"), config.size("head_dim")
    config.integer("num_key_value_heads", default=1)
    base = Architecture(
        name=name_of(config),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=1,
        head_dim=width,
        ffn=0,
        vocab=config.integer("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        attention_layers=0,
        mtp_layers=0,
        blocks=tuple(_v4_blocks(config, layers, hidden, heads, width)),
    )
    config.integer("num_hash_layers", default=0)
    return mixture.grained(config, base)


_V4_KINDS = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}


def _v4_ratios(config: ModelConfig, layers: int) -> list[int]:
    """Tokens a key stands for, one a layer: as numbers, or as the kinds that newer configs name."""
    kinds, listed = config.sequence("layer_types"), config.sequence("compress_ratios")
    rates = {**_V4_KINDS, **config.mapping("compress_rates")}
    named = listed or [rates.get(kind, -1) for kind in kinds]
    return [each if isinstance(each, int) else -1 for each in named][:layers]


def _v4_blocks(config: ModelConfig, layers: int, hidden: int, heads: int, width: int) -> Iterator[Block]:
    ratios = _v4_ratios(config, layers)
    if len(ratios) != layers or any(ratio < 0 for ratio in ratios):
        raise UnsupportedConfig("compress_ratios", "does not name every layer", "give one ratio a layer")
    window, pair = config.size("sliding_window"), 4 * heads * width
    yield _v4_core(config, layers, hidden, heads, width, window)
    for ratio in sorted({each for each in ratios if each}):
        count = ratios.count(ratio)
        picked = ratio == 4
        parts = 2 if picked else 1
        yield Block(
            name=f"keys compressed by {ratio}",
            layers=count,
            weights=2 * parts * hidden * width,
            vectors=parts * ratio * width + width,
            flops_per_key=pair,
            window=config.size("index_topk") * ratio if picked else 0,
            stride=ratio,
            cache_values=0 if picked else width,
        )
        if picked:
            yield _v4_indexer(config, count, hidden, ratio, width)
    streams = config.integer("hc_mult", default=1)
    if streams > 1:
        mixing = (2 + streams) * streams * streams * hidden
        yield Block(
            name="hyper-connections", layers=layers, weights=2 * mixing, vectors=2 * (2 + streams) * streams + 6
        )


def _v4_core(config: ModelConfig, layers: int, hidden: int, heads: int, width: int, window: int) -> Block:
    query, groups = config.size("q_lora_rank"), config.size("o_groups")
    inner = groups * config.size("o_lora_rank")
    projections = query * (hidden + heads * width) + hidden * width
    output = heads * width * inner // groups + inner * hidden
    return Block(
        name="attention within the window",
        layers=layers,
        weights=projections + output,
        vectors=query + width + heads,
        flops_per_key=4 * heads * width,
        window=window,
        cache_values=width,
    )


def _v4_indexer(config: ModelConfig, layers: int, hidden: int, ratio: int, width: int) -> Block:
    """The indexer scores every compressed key; the compressed keys that it picks from stay cached."""
    heads, index = config.size("index_n_heads"), config.size("index_head_dim")
    return Block(
        name="indexer",
        layers=layers,
        weights=config.size("q_lora_rank") * heads * index + hidden * (4 * index + heads),
        vectors=2 * ratio * index + index,
        flops_per_key=2 * heads * index,
        stride=ratio,
        cache_values=index + width,
    )


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm_moe_dsa"), deepseek),
    "glm4_moe_lite": glm4_lite,
    "deepseek": deepseek_moe,
    "youtu": dense_latent,
    "minicpm3": minicpm3,
    **dict.fromkeys(("minimax_m3", "minimax_m3_vl", "minimax_m3_vl_text"), minimax_m3),
    **dict.fromkeys(("deepseek_v4", "deepseek_ref"), deepseek_v4),
}
