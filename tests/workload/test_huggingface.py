"""config.json files of well-known models give the architecture of their preset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.workload.architecture import Architecture
from mfu.workload.errors import InvalidArchitecture, UnsupportedConfig, WorkloadError
from mfu.workload.huggingface import from_config, model_types
from mfu.workload.presets import preset
from mfu.workload.validation import problems

CONFIGS = sorted((Path(__file__).parent / "configs").glob("*.json"))


def load(name: str) -> dict[str, object]:
    path = Path(__file__).parent / "configs" / f"{name}.json"
    values: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return values


def nameless(arch: Architecture) -> Architecture:
    """The preset's shape: dense width of a model without dense layers and inert switches do not matter."""
    unused = 0 if arch.moe and not arch.dense_layer_count else arch.ffn
    return replace(arch, name="", ffn=unused)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_gives_the_preset(path: Path) -> None:
    assert nameless(from_config(load(path.stem))) == nameless(preset(path.stem))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("llama-3.1-8b", "num_hidden_layers"),
        ("llama-3.1-8b", "hidden_size"),
        ("gpt-2", "n_embd"),
        ("vit-l-16", "patch_size"),
        ("dit-xl-2", "num_embeds_ada_norm"),
        ("mpt-7b", "d_model"),
        ("opt-66b", "hidden_size"),
    ],
)
def test_missing_key_is_named(name: str, key: str) -> None:
    config = load(name)
    del config[key]
    with pytest.raises(UnsupportedConfig) as caught:
        from_config(config)
    assert caught.value.why.field == key
    assert key in caught.value.why.fix


@pytest.mark.parametrize("kind", ["rwkv", "t5", "", None])
def test_uncovered_model_type_lists_the_covered_ones(kind: str | None) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        from_config({"model_type": kind})
    assert caught.value.why.field == "model_type"
    assert "llama" in caught.value.why.fix


@pytest.mark.parametrize("value", ["4096", 4096.0, True])
def test_a_size_that_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        from_config(load("llama-3.1-8b") | {"hidden_size": value})
    assert caught.value.why.field == "hidden_size"


MANGLED: tuple[object, ...] = (None, 0, -1, 1, 7, "x", 1.5, True, [], ["full_attention"], [3, 1], {}, {"a": 1})


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([path.stem for path in CONFIGS]), st.data())
def test_a_mangled_config_is_understood_or_refused(name: str, data: st.DataObject) -> None:
    """One key dropped or set to nonsense: an architecture that checks out, or an error with field and fix."""
    config = load(name)
    key = data.draw(st.sampled_from(sorted(config)))
    config[key] = data.draw(st.sampled_from(MANGLED))
    try:
        arch = from_config(config)
    except WorkloadError as error:
        assert error.why.field and error.why.fix
    else:
        assert list(problems(arch)) == []


def test_json_that_is_no_object_is_refused() -> None:
    with pytest.raises(UnsupportedConfig):
        from_config(json.loads("[1, 2]"))


def test_contradicting_heads_are_refused() -> None:
    with pytest.raises(InvalidArchitecture) as caught:
        from_config(load("llama-3.1-8b") | {"num_key_value_heads": 5})
    assert caught.value.why.field == "kv_heads"


def test_irregular_sliding_layers_are_counted() -> None:
    kinds = ["full_attention"] * 17 + ["sliding_attention"] * 7
    arch = from_config(load("gpt-oss-20b") | {"layer_types": kinds})
    assert (arch.full_attention_layers, arch.sliding_layers, arch.window) == (17, 7, 128)


def test_a_projected_embedding_is_refused() -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        from_config(load("opt-66b") | {"word_embed_proj_dim": 512})
    assert caught.value.why.field == "word_embed_proj_dim"


def test_dense_layers_between_mixtures_are_counted() -> None:
    arch = from_config(load("qwen3-30b-a3b") | {"mlp_only_layers": [0, 7]})
    assert (arch.dense_layer_count, arch.moe_layer_count) == (2, 46)


def test_leading_dense_layers_are_read() -> None:
    arch = from_config(load("qwen3-30b-a3b") | {"mlp_only_layers": [0, 1]})
    assert arch.dense_layer_count == 2
    assert arch.ffn == 6144


def test_a_config_names_its_model() -> None:
    assert from_config(load("llama-3.1-8b") | {"_name_or_path": "acme/llm"}).name == "acme/llm"


def test_the_samples_cover_the_common_kinds() -> None:
    kinds = {"llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma2", "phi3", "gpt2", "falcon", "opt", "bert", "vit"}
    assert kinds < set(model_types())
