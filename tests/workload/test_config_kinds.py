"""Whole kinds of config keys: what changes shape, mask or head is read, or refused by its name."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.workload.architecture import Architecture, Family
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.flops import forward_flops_per_token, training_flops_per_token
from mfu.workload.huggingface import from_config, understand
from mfu.workload.parameters import count

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
QWEN2: dict[str, Any] = LLAMA | {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}

PUBLISHED: dict[str, tuple[dict[str, Any], float, float]] = {
    "state-spaces/mamba-2.8b": (
        {"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280, "state_size": 16},
        2.768,
        0.001,
    ),
    "mistralai/Mamba-Codestral-7B": (
        {"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "vocab_size": 32768},
        7.285,
        0.001,
    ),
    "ai21labs/Jamba-v0.1": ({"model_type": "jamba", "hidden_size": 4096, "num_hidden_layers": 32}, 51.57, 0.01),
    "ibm-ai-platform/Bamba-9B": (
        {
            "model_type": "bamba",
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "vocab_size": 128256,
            "attn_layer_indices": [9, 18, 27],
            "mamba_d_state": 128,
        },
        9.78,
        0.005,
    ),
    "Qwen/Qwen3-Next-80B-A3B (without prediction layer)": (
        {"model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48},
        79.67,
        0.01,
    ),
    "Zyphra/Zamba2-7B": (
        {
            "model_type": "zamba2",
            "hidden_size": 3584,
            "intermediate_size": 14336,
            "num_hidden_layers": 81,
            "mamba_ngroups": 2,
            "n_mamba_heads": 112,
            "num_mem_blocks": 2,
            "hybrid_layer_ids": [6, 11, 17, 23, 29, 35, 41, 47, 53, 59, 65, 71, 77],
        },
        7.36,
        0.01,
    ),
    "moonshotai/Kimi-Linear-48B-A3B": (
        {
            "model_type": "kimi_linear",
            "hidden_size": 2304,
            "num_hidden_layers": 27,
            "first_k_dense_replace": 1,
            "linear_attn_config": {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32},
        },
        49.1,
        0.05,
    ),
    "ibm-granite/granite-4.0-h-small": (
        {
            "model_type": "granitemoehybrid",
            "hidden_size": 4096,
            "intermediate_size": 768,
            "num_hidden_layers": 40,
            "num_key_value_heads": 8,
            "num_local_experts": 72,
            "num_experts_per_tok": 10,
            "shared_intermediate_size": 1536,
            "layer_types": ["attention" if layer in (5, 15, 25, 35) else "mamba" for layer in range(40)],
            "mamba_d_state": 128,
            "vocab_size": 100352,
            "tie_word_embeddings": True,
        },
        32.2,
        0.05,
    ),
    "LiquidAI/LFM2-1.2B": (
        {
            "model_type": "lfm2",
            "hidden_size": 2048,
            "block_ff_dim": 12288,
            "block_ffn_dim_multiplier": 1.0,
            "num_hidden_layers": 16,
            "full_attn_idxs": [2, 5, 8, 10, 12, 14],
        },
        1.17,
        0.005,
    ),
    "answerdotai/ModernBERT-base": (
        {"model_type": "modernbert", "hidden_size": 768, "num_hidden_layers": 22},
        0.149,
        5e-4,
    ),
    "BAAI/bge-m3": (
        {
            "model_type": "xlm-roberta",
            "architectures": ["XLMRobertaModel"],
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "vocab_size": 250002,
            "max_position_embeddings": 8194,
            "type_vocab_size": 1,
        },
        0.568,
        5e-4,
    ),
    "allenai/OLMo-2-13B": (
        LLAMA
        | {
            "model_type": "olmo2",
            "hidden_size": 5120,
            "intermediate_size": 13824,
            "num_hidden_layers": 40,
            "num_attention_heads": 40,
            "num_key_value_heads": 40,
            "vocab_size": 100352,
        },
        13.72,
        0.01,
    ),
    "microsoft/phi-2 (as its first code names it)": (
        {"model_type": "phi-msft", "n_embd": 2560, "n_head": 32, "n_layer": 32, "n_inner": None, "vocab_size": 51200},
        2.78,
        0.005,
    ),
    "OrionStarAI/Orion-14B": (
        LLAMA
        | {
            "model_type": "orion",
            "hidden_size": 5120,
            "intermediate_size": 15360,
            "num_hidden_layers": 40,
            "num_attention_heads": 40,
            "num_key_value_heads": 40,
            "vocab_size": 84608,
        },
        14.5,
        0.05,
    ),
    "MiniMaxAI/MiniMax-Text-01": (
        {
            "model_type": "minimax_text_01",
            "hidden_size": 6144,
            "intermediate_size": 9216,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "num_local_experts": 32,
            "num_experts_per_tok": 2,
            "vocab_size": 200064,
            "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10,
        },
        456,
        0.5,
    ),
    "meituan-longcat/LongCat-Flash-Chat": (
        {"model_type": "longcat_flash", "num_layers": 28, "hidden_size": 6144},
        560,
        1,
    ),
    "meta-llama/Llama-3.2-11B-Vision (text)": (
        {"model_type": "mllama", "text_config": {"model_type": "mllama_text_model"}, "vision_config": {"a": 1}},
        9.775,
        0.005,
    ),
    "llava-hf/llava-1.5-7b (text)": (
        {"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064}, "vision_config": {"a": 1}},
        6.74,
        0.005,
    ),
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameters_of_other_kinds(name: str) -> None:
    described, published, tolerance = PUBLISHED[name]
    assert count(from_config(described)).total / 1e9 == pytest.approx(published, abs=tolerance)


def sliding(arch: Architecture) -> tuple[int, int]:
    return arch.window, arch.sliding_layers


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 4}, (0, 0)),
        ({"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 16}, (0, 0)),
        ({"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 28}, (0, 0)),
        ({"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 4}, (4096, 12)),
        ({"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 0}, (4096, 16)),
        ({"use_sliding_window": True, "sliding_window": None, "max_window_layers": 0}, (0, 0)),
        ({"layer_types": ["sliding_attention"] * 3 + ["full_attention"] * 13, "sliding_window": 64}, (64, 3)),
    ],
)
def test_qwens_window_starts_at_max_window_layers(keys: dict[str, Any], expected: tuple[int, int]) -> None:
    assert sliding(from_config(QWEN2 | keys)) == expected


@pytest.mark.parametrize(
    ("keys", "family", "head"),
    [
        ({}, Family.DECODER, True),
        ({"architectures": ["LlamaModel"]}, Family.DECODER, False),
        ({"architectures": ["LlamaForSequenceClassification"]}, Family.DECODER, False),
        ({"architectures": ["LlamaBidirectionalModel"]}, Family.ENCODER, False),
        ({"architectures": ["LlamaBidirectionalModel"], "model_type": "llama_bidirec"}, Family.ENCODER, False),
        ({"use_bidirectional_attention": True}, Family.ENCODER, True),
        ({"use_bidirectional_attention": "all"}, Family.ENCODER, True),
        ({"is_causal": False}, Family.ENCODER, True),
        ({"is_causal": True}, Family.DECODER, True),
        ({"attn_type": "encoder_only"}, Family.ENCODER, True),
    ],
)
def test_mask_and_head(keys: dict[str, Any], family: Family, head: bool) -> None:
    arch = from_config(LLAMA | keys)
    assert (arch.family, arch.lm_head) == (family, head)


def test_without_a_head_nothing_of_it_is_counted() -> None:
    with_head, without = from_config(LLAMA), from_config(LLAMA | {"architectures": ["LlamaModel"]})
    assert forward_flops_per_token(without, 128).terms["head"] == 0.0
    assert count(with_head).total - count(without).total == 128256 * 2048


def test_an_encoder_sees_its_whole_window() -> None:
    """12·h·keys a layer: 2048 keys in full layers, 512 in sliding ones, twice what a causal model sees in full ones."""
    encoder = from_config(
        {
            "model_type": "gemma3_text",
            "architectures": ["Gemma3TextModel"],
            "hidden_size": 768,
            "intermediate_size": 1152,
            "num_hidden_layers": 24,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "sliding_window": 512,
            "use_bidirectional_attention": True,
        }
    )
    weights = 24 * (768 * 768 * 2 + 2 * 768 * 256 + 3 * 768 * 1152)
    attention = 12 * 768 * (4 * 2048 + 20 * 512)
    assert training_flops_per_token(encoder, 2048) == pytest.approx(6 * weights + attention)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"attn_type": "wavelet"}, "attn_type"),
        ({"kv_lora_rank": 512}, "kv_lora_rank"),
        ({"num_local_experts": 8}, "num_local_experts"),
        ({"sliding_window": 4096}, "sliding_window"),
        ({"layer_types": ["mamba"] * 16}, "layer_types"),
        ({"use_bidirectional_attention": "sometimes"}, "use_bidirectional_attention"),
        ({"index_topk": 2048}, "index_topk"),
        ({"num_kv_shared_layers": 4}, "num_kv_shared_layers"),
        ({"hybrid_override_pattern": "M*-"}, "hybrid_override_pattern"),
    ],
)
def test_a_key_that_changes_the_shape_is_refused_by_name(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        from_config(LLAMA | keys)
    assert caught.value.why.field == named
    assert caught.value.why.fix


@pytest.mark.parametrize("value", [None, 0, False, []])
def test_a_key_at_its_neutral_value_is_no_matter(value: Any) -> None:
    assert from_config(LLAMA | {"sliding_window": value, "num_local_experts": value}) == from_config(LLAMA)


def test_classes_find_a_kind_that_shares_a_shape() -> None:
    read = understand(LLAMA | {"model_type": "acme_llm"})
    assert read.kind == "llama"
    assert any("acme_llm" in note for note in read.notes)


def test_a_dropped_tower_and_assumed_defaults_are_said() -> None:
    read = understand(PUBLISHED["llava-hf/llava-1.5-7b (text)"][0])
    assert read.dropped == ("vision_config",)
    assert any("vision_config" in note for note in read.notes)
    assert any("hidden_size 4096" in note for note in read.notes)


def test_an_unknown_key_that_looks_like_shape_is_said() -> None:
    assert any("extra_experts_rank" in note for note in understand(LLAMA | {"extra_experts_rank": 7}).notes)


@pytest.mark.parametrize(("name", "expected"), [("org/model", "org/model"), ("", "llama"), ("/home/me/ckpt", "llama")])
def test_the_name_is_a_hub_name_or_the_kind(name: str, expected: str) -> None:
    assert from_config(LLAMA | {"_name_or_path": name}).name == expected


def test_sparse_attention_costs_its_keys_and_caches_all() -> None:
    """DeepSeek-V3.2: attention over 2,048 keys, the indexer over all of them; the cache keeps every token."""
    from mfu.hardware.types import Precision
    from mfu.workload.stored_bytes import kv_bytes

    mla = {"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    moe = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "first_k_dense_replace": 1}
    base = LLAMA | mla | moe | {"model_type": "deepseek_v3"}
    dense = from_config(base)
    sparse = from_config(base | {"model_type": "deepseek_v32"})
    assert training_flops_per_token(sparse, 65536) < training_flops_per_token(dense, 65536)
    extra = kv_bytes(sparse, Precision.BF16, 65536.0) - kv_bytes(dense, Precision.BF16, 65536.0)
    assert extra == 16 * 65536 * 128 * 2


def test_a_state_is_kept_once_a_sequence() -> None:
    from mfu.hardware.types import Precision
    from mfu.workload.stored_bytes import kv_bytes

    mamba = from_config(PUBLISHED["state-spaces/mamba-2.8b"][0])
    assert kv_bytes(mamba, Precision.BF16, 1000.0) == kv_bytes(mamba, Precision.BF16, 100_000.0) > 0


def test_deepseek_v4_reads_ratios_and_kinds_alike() -> None:
    described = {"model_type": "deepseek_v4", "hidden_size": 4096, "num_hidden_layers": 4}
    ratios = from_config(described | {"compress_ratios": [0, 4, 128, 4]})
    sparse, heavy = "compressed_sparse_attention", "heavily_compressed_attention"
    kinds = from_config(described | {"layer_types": ["sliding_attention", sparse, heavy, sparse]})
    assert ratios == kinds
    assert [block.layers for block in ratios.blocks if block.name == "indexer"] == [2]


def test_a_bert_that_decodes_is_causal() -> None:
    described = {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "is_decoder": True}
    assert from_config(described).family is Family.DECODER


def test_llama_4_says_nothing_of_keys_that_it_knows() -> None:
    chunked = {"attention_chunk_size": 8192, "no_rope_layers": [1, 1, 1, 0]}
    described = LLAMA | {"model_type": "llama4_text", "num_local_experts": 16, "num_experts_per_tok": 1} | chunked
    assert not [note for note in understand(described).notes if "was not read" in note]


@pytest.mark.parametrize(
    ("keys", "family"),
    [
        ({"model_type": "bidir_mistral", "architectures": ["MistralModel"]}, Family.ENCODER),
        ({"model_type": "llama_bidirec", "architectures": ["LlamaBidirectionalModel"]}, Family.ENCODER),
        ({"architectures": ["LlamaEncoderModel"]}, Family.ENCODER),
        ({"architectures": ["LlamaModel"]}, Family.DECODER),
    ],
)
def test_embedding_models_that_look_both_ways(keys: dict[str, Any], family: Family) -> None:
    """NV-Embed, NVIDIA's llama-embed and LLM2Vec say it in the names of their kinds and classes alone."""
    assert from_config(LLAMA | keys).family is family


def test_a_part_beside_the_text_is_said_to_be_left_out() -> None:
    nested = {"text_config": LLAMA, "latent_attention_config": {"model_type": "latent_attention", "latent_dim": 4096}}
    assert understand({"model_type": "nvembed"} | nested).dropped == ("latent_attention_config",)


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        ({"max_window_layers": 28, "sliding_window": None, "use_sliding_window": False}, False),
        ({"max_window_layers": 28, "sliding_window": 4096, "use_sliding_window": False}, False),
        ({"sliding_window": 4096, "layer_types": ["full_attention"] * 16}, False),
        ({"sliding_window": 4096}, True),
        ({"max_window_layers": 28, "sliding_window": 4096}, True),
    ],
)
def test_a_window_that_is_switched_off_has_no_effect(keys: dict[str, Any], refused: bool) -> None:
    """SmolLM3 carries Qwen's keys, all of them without effect."""
    if refused:
        with pytest.raises(UnsupportedConfig):
            from_config(LLAMA | keys)
    else:
        assert sliding(from_config(LLAMA | keys)) == (0, 0)


def test_chatglm_has_a_head_though_its_class_is_called_model() -> None:
    described = LLAMA | {"model_type": "chatglm", "architectures": ["ChatGLMModel"], "ffn_hidden_size": 13696}
    assert from_config(described | {"num_layers": 28, "padded_vocab_size": 65024}).lm_head


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.1-8B"}, "peft_type"),
        ({"dim": 4096, "n_layers": 32, "n_heads": 32}, "dim"),
        ({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}, "quantization"),
        ({"eos_token_id": 2, "transformers_version": "4.51.0"}, "eos_token_id"),
    ],
)
def test_files_that_lie_beside_a_config_are_told_apart(document: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedConfig) as refused:
        from_config(document)
    assert refused.value.why.field == field
    assert "config.json" in refused.value.why.fix


def test_deepseek_without_latent_attention() -> None:
    """DeepSeek-MoE-16B (arXiv 2401.06066): 16.4 B of which 2.8 B are active; VL2-Tiny says `use_mla: false`."""
    shape = {
        "model_type": "deepseek",
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "vocab_size": 102400,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1,
    }
    found = count(from_config(shape))
    assert (found.total / 1e9, found.active / 1e9) == (pytest.approx(16.38, abs=0.01), pytest.approx(2.83, abs=0.01))
    plain = shape | {"model_type": "deepseek_v2", "use_mla": False, "kv_lora_rank": None, "v_head_dim": 0}
    assert count(from_config(plain)).total == found.total


@pytest.mark.parametrize(("version", "kind"), [(2.6, "qwen2"), ("4.5", "qwen3"), (2.5, "llama")])
def test_the_version_of_minicpm_v_says_which_text_model_it_has(version: object, kind: str) -> None:
    found = understand(LLAMA | {"model_type": "minicpmv", "architectures": ["MiniCPMV"], "version": version})
    assert found.kind == kind


def test_an_unknown_version_of_minicpm_v_is_refused() -> None:
    with pytest.raises(UnsupportedConfig, match="version"):
        understand(LLAMA | {"model_type": "minicpmv", "architectures": ["MiniCPMV"], "version": 9})


def test_a_size_under_a_name_that_nobody_reads_is_refused() -> None:
    """Else the default of the class would stand for what the file says."""
    described = {"model_type": "phi", "num_hidden_layers": 32, "n_embd": 2560, "n_head": 32, "vocab_size": 51200}
    with pytest.raises(UnsupportedConfig) as caught:
        understand(described)
    assert caught.value.why.field == "n_embd"
    assert "hidden_size" in caught.value.why.fix


def test_towers_of_flat_configs_are_said() -> None:
    """LLaVA's first code writes the text part's keys at the top."""
    found = understand(
        LLAMA | {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "mm_vision_tower": "clip"}
    )
    assert (found.kind, found.dropped) == ("llama", ("mm_vision_tower",))


def test_mamba2_without_heads_has_as_many_as_expand_asks_for() -> None:
    """As fla-org/flame writes them (configs/mamba2_1B.json), where the class's 128 heads would double the model."""
    flame = {"model_type": "mamba2", "hidden_size": 2048, "num_hidden_layers": 48, "vocab_size": 32000, "expand": 2}
    flame |= {"head_dim": 64, "n_groups": 1, "state_size": 128, "conv_kernel": 4, "tie_word_embeddings": False}
    inner, heads = 4096, 64
    one = 2048 * (2 * inner + 2 * 128 + heads) + inner * 2048 + (inner + 256) * 5 + 3 * heads + inner + 2048
    assert count(from_config(flame)).total == 48 * one + 2 * 32000 * 2048 + 2048
    assert count(from_config(flame | {"num_heads": 64})).total == count(from_config(flame)).total


@pytest.mark.parametrize(
    ("changed", "key"), [({"num_heads": 128}, "num_heads"), ({"expand": 1, "head_dim": 96}, "expand")]
)
def test_mamba2_whose_widths_contradict_is_refused(changed: dict[str, Any], key: str) -> None:
    config = {"model_type": "mamba2", "hidden_size": 2048, "num_hidden_layers": 48, "vocab_size": 32000, "expand": 2}
    with pytest.raises(UnsupportedConfig) as refused:
        from_config(config | {"head_dim": 64} | changed)
    assert refused.value.why.field == key


def test_layers_beside_the_text_part_are_said() -> None:
    """OpenFlamingo puts a gated cross attention before every fourth layer: the text part alone does not show it."""
    whole = {"model_type": "flamingo", "cross_attn_every_n_layers": 4, "text_config": LLAMA, "vision_config": {"a": 1}}
    notes = understand(whole).notes
    assert "cross_attn_every_n_layers: 4 was not read" in notes
    assert not any("cross_attn" in note for note in understand({**whole, "cross_attn_every_n_layers": None}).notes)
