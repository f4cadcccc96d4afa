"""Cells of published training tables as typed values: GPU, precision, links, architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from mfu.hardware import catalog
from mfu.hardware.aliases import dataset_gpu
from mfu.hardware.products import unknown_product
from mfu.hardware.types import GPU, Device, Precision, Unmatched
from mfu.predict.types import Placement, Problem, Recompute, Sharding
from mfu.predict.validate.common import Row, number, whole
from mfu.predict.validate.notes import power_limit
from mfu.units import gigabits_to_bytes
from mfu.workload import presets
from mfu.workload.architecture import Architecture, MoE

PRECISIONS = (
    (r"nvfp4|mxfp4|fp4", Precision.FP4),
    (r"fp8|float8|e4m3", Precision.FP8),
    (r"int8", Precision.INT8),
    (r"tf32", Precision.TF32),
    (r"bf16|bfloat16", Precision.BF16),
    (r"fp16|float16|half", Precision.FP16),
    (r"fp32|float32", Precision.FP32),
)
RECOMPUTE = {
    "none": Recompute.NONE,
    "": Recompute.NONE,
    "full": Recompute.FULL,
    "selective": Recompute.SELECTIVE,
}
_SHARDING = (
    (r"hsdp", Sharding.HSDP),
    (r"zero-?3|fsdp", Sharding.ZERO3),
    (r"zero-?2", Sharding.ZERO2),
    (r"zero-?1|distributed", Sharding.ZERO1),
    (r"none|ddp|^0?$", Sharding.DDP),
)


def precision_of(text: str) -> Precision | None:
    """`precision_of("mxfp8") is Precision.FP8`; None for a word that names no known format."""
    return next((found for pattern, found in PRECISIONS if re.search(pattern, text.lower())), None)


def sharding_of(text: str) -> Sharding:
    """Blank is plain data parallelism."""
    return next((found for pattern, found in _SHARDING if re.search(pattern, text.lower())), Sharding.DDP)


def placement_of(row: Row, gpus: int) -> Placement | Problem:
    """Product by the data sets' alias table, node size and network as far as the row says."""
    gpu = dataset_gpu(row["gpu"])
    if isinstance(gpu, Unmatched):
        return unknown_product(gpu, "gpu")
    gpu = _publishers_own(row, gpu)
    per_node = whole(row, "gpus_per_node", min(gpu.nvlink_domain_gpus, 8) if gpu.nvlink_domain_gpus > 1 else 8)
    network = network_bytes_per_s(row.get("interconnect") or "", per_node)
    fabric = "EFA" if re.search(r"\bEFA\b", row.get("interconnect") or "") else None
    limit = power_limit(row, gpu)
    return Placement(
        Device(gpu), gpus, per_node, inter_node_bytes_per_s=network, inter_node=fabric, power_limit_watts=limit
    )


def _publishers_own(row: Row, gpu: GPU) -> GPU:
    """The card that a publisher means by a product's name, where its other pages say that it is one of its own."""
    own = next((cards for name, cards in _OWN_CARDS.items() if (row.get("source") or "").startswith(name)), {})
    return catalog.load().gpus[own.get(gpu.key, gpu.key)]


_META: Final = {"h100-sxm5-80gb": "h100-sxm5-96gb"}
_OWN_CARDS: Final[Mapping[str, Mapping[str, str]]] = {"pytorch/torchtitan": _META, "pytorch/ao": _META}
"""torchtitan's authors: 96 GB of HBM2e at 2.4 TB/s and 500 W (pytorch/torchtitan benchmarks/llama3_h100_202412); the
same people at torchao: 47.79 GiB are 50.30 % of its memory (pytorch/ao, pull request 1802)."""


def network_bytes_per_s(text: str, gpus_per_node: int) -> float | None:
    """Bytes/s per GPU, one direction. `network_bytes_per_s("NVLink + 4x100Gb Omni-Path per node", 8) == 6.25e9`.

    Counts adapters of the node ("8x200Gb/s") or its total ("1600Gbps/node"); None where the text says neither. Ethernet
    is what manages nodes that have another network, and the network of those that have none.
    """
    parts = [part for part in re.split(r"[,;]|\s\+\s", text) if not re.search(r"storage|management", part, re.I)]
    for part in sorted(parts, key=lambda part: re.search(r"ethernet", part, re.IGNORECASE) is not None):
        found = re.search(r"(?:(\d+)\s*x[^,;]*?)?(\d+)\s*Gb(?:ps|/s|/Sec|it|\b)", part, re.IGNORECASE)
        if found is None or re.search(r"\dG?B/s", part):
            continue
        rate = gigabits_to_bytes(float(found[2]))
        if re.search(r"per gpu", part, re.IGNORECASE):
            return rate
        if found[1] or re.search(r"node", part, re.IGNORECASE):
            return rate * float(found[1] or 1.0) / gpus_per_node
    return None


def architecture_of(row: Row) -> Architecture:
    """Dimensions of the row, or the preset that has the same ones (which adds head width and latent attention)."""
    known = _preset_like(*(whole(row, name, 0) for name in ("hidden", "heads", "vocab", "moe_experts")))
    layers, hidden = whole(row, "layers"), whole(row, "hidden")
    heads = whole(row, "heads", usual_heads(hidden))
    if known is not None and known.layers == layers:
        return known
    plain = _is_plain_gpt(layers, hidden, number(row, "params_b"))
    ffn = whole(row, "ffn_hidden", 4 * hidden if plain else None)
    gated = (row.get("gated_ffn") or "0").strip() == "1"
    return Architecture(
        name=row.get("model") or "rows",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=whole(row, "kv_heads", heads),
        head_dim=known.head_dim if known is not None else max(hidden // heads, 1),
        ffn=ffn,
        vocab=whole(row, "vocab", _GPT_VOCAB if plain else None),
        gated_ffn=gated,
        tied_embeddings=(row.get("tied_embeddings") or "0").strip() == "1",
        moe=_moe(row, ffn),
    )


def _is_plain_gpt(layers: int, hidden: int, billions: float | None) -> bool:
    """Whether 12·L·h², a feed-forward four times as wide, explains the parameters (Brown et al. 2020, table 2.1).

    32 layers of 2,560: 2.52e9 of 2.7e9.
    """
    explained = 12.0 * layers * hidden**2
    return billions is not None and abs(explained / (billions * 1e9) - 1.0) <= _EXPLAINED


_EXPLAINED = 0.1
_GPT_VOCAB = 50_304
"""GPT-2's 50,257 words, padded to whole tiles."""


def usual_heads(hidden: int) -> int | None:
    """Heads of 128 values, of 64 up to a width of 1,024: `usual_heads(4096) == 32`; None where neither divides."""
    width = 64 if hidden <= _NARROW else 128
    return hidden // width if hidden and hidden % width == 0 else None


_NARROW = 1024


def _moe(row: Row, ffn: int) -> MoE | None:
    experts = number(row, "moe_experts")
    if not experts or experts < 2:
        return None
    return MoE(int(experts), whole(row, "moe_topk", 2), ffn)


@lru_cache(maxsize=4096)
def _preset_like(hidden: int, heads: int, vocab: int, experts: int) -> Architecture | None:
    """The preset of these dimensions where its head width is not hidden / heads or its attention is latent."""
    for name in presets.names():
        arch = presets.preset(name)
        same = (arch.hidden, arch.heads, arch.moe.experts if arch.moe else 0) == (hidden, heads, experts)
        close = abs(arch.vocab - vocab) <= 1024
        if same and close and (arch.mla is not None or arch.head_dim * arch.heads != arch.hidden):
            return arch
    return None
