"""Models that the arguments describe by their dimensions (Megatron), rather than by a name."""

from __future__ import annotations

from mfu.adopt.commands import Command
from mfu.adopt.findings import Findings
from mfu.adopt.model import model_block
from mfu.workload.architecture import Architecture, MoE
from mfu.workload.errors import WorkloadError
from mfu.workload.validation import check

_GPT2_VOCABULARY = 50257


def described(command: Command, findings: Findings) -> bool:
    """spec.model from Megatron's own arguments; whether they give a whole model."""
    sizes = {name: command.number(name) for name in ("num_layers", "hidden_size", "num_attention_heads")}
    if any(size is None for size in sizes.values()):
        return False
    vocabulary = _vocabulary(command, findings)
    if vocabulary is None:
        return False
    layers, hidden, heads = (size[0] for size in sizes.values() if size is not None)
    try:
        arch = check(_architecture(command, layers, hidden, heads, vocabulary))
    except WorkloadError as error:
        findings.unknown("model", f"its arguments contradict each other: {error}")
        return False
    findings.read("model", model_block(arch), "arguments --num-layers, --hidden-size, --num-attention-heads and others")
    return True


def _vocabulary(command: Command, findings: Findings) -> int | None:
    stated = command.number("padded_vocab_size", "vocab_size")
    if stated is not None:
        return stated[0]
    tokenizer = command.find("tokenizer_type")
    if tokenizer is not None and "GPT2" in str(tokenizer.value):
        return _GPT2_VOCABULARY
    findings.unknown("model.architecture.vocab", "the tokenizer decides it: pass --config, or --vocab-size to the job")
    return None


def _architecture(command: Command, layers: int, hidden: int, heads: int, vocabulary: int) -> Architecture:
    groups = command.number("num_query_groups") if command.on("group_query_attention") else None
    gated = command.on("swiglu") is not None
    ffn = command.number("ffn_hidden_size")
    experts = command.number("num_experts")
    width = ffn[0] if ffn else 4 * hidden
    plain = command.on("disable_bias_linear") is None
    head_dim = command.number("kv_channels")
    position = command.find("position_embedding_type")
    learned = command.number("max_position_embeddings") if not (position and position.value == "rope") else None
    return Architecture(
        name=f"{layers} layers of {hidden}",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=groups[0] if groups else heads,
        head_dim=head_dim[0] if head_dim else hidden // heads,
        ffn=0 if experts else width,
        vocab=vocabulary,
        gated_ffn=gated,
        tied_embeddings=command.on("untie_embeddings_and_output_weights") is None,
        moe=_experts(command, experts[0], width) if experts else None,
        qkv_bias=plain or command.on("add_qkv_bias") is not None,
        output_bias=plain,
        ffn_bias=plain,
        norm_bias=str(command.settings["normalization"].value) != "RMSNorm"
        if "normalization" in command.settings
        else True,
        learned_positions=learned[0] if learned else 0,
    )


def _experts(command: Command, experts: int, width: int) -> MoE:
    top_k, inner = command.number("moe_router_topk"), command.number("moe_ffn_hidden_size")
    shared = command.number("moe_shared_expert_intermediate_size")
    return MoE(experts, top_k[0] if top_k else 2, inner[0] if inner else width, shared_ffn=shared[0] if shared else 0)
