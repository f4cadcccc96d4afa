"""The programs that `layouts.py` records: one optimizer step of each kind, as PyTorch's own parts make it.

`fully_shard` over data and context, DTensor over tensor (with the sequence cut between layers), the ring of
`context_parallel`, stages of `torch.distributed.pipelining`, DDP and `ZeroRedundancyOptimizer`; the Llama of `llama.py`
or a model of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from e2e.recordings import experts, ranks
from e2e.recordings.layout_cases import Case
from e2e.recordings.llama import checkpointed, filled, llama, loss_of

Step = Callable[[], None]


@dataclass(frozen=True)
class Program:
    """Models (one, or the chunks of a pipeline's stage) and what a micro-batch's gradients come from."""

    case: Case
    parts: list[Any]
    backward: Callable[[], None]
    """Forward and backward of one micro-batch, or of all that a pipeline takes."""


def step_of(case: Case) -> Step:
    """One whole step: all micro-batches, clipping, the optimizer."""
    program = _piped(case) if case.pipeline > 1 else _plain(case)
    parameters = [each for part in program.parts for each in part.parameters()]
    alike = [[each for each in parameters if type(each) is kind] for kind in {type(each) for each in parameters}]
    optimizers = [_optimizer(case, some) for some in alike]
    turns = 1 if case.pipeline > 1 else case.accumulation

    def step() -> None:
        import torch

        for turn in range(turns):
            with _exchanged(program, turn == turns - 1):
                program.backward()
        for some, optimizer in zip(alike, optimizers, strict=True):
            torch.nn.utils.clip_grad_norm_(some, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return step


def _optimizer(case: Case, parameters: list[Any]) -> Any:
    import torch
    from torch.distributed.optim import ZeroRedundancyOptimizer

    if case.sharding == "zero1":
        return ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, lr=1e-5, fused=True)
    return torch.optim.AdamW(parameters, lr=1e-5, fused=True)


@contextmanager
def _exchanged(program: Program, last: bool) -> Iterator[None]:
    """Gradients are exchanged now, or with those of the last micro-batch only."""
    case, model = program.case, program.parts[0]
    if case.is_fsdp and case.pipeline == 1:
        model.set_requires_gradient_sync(last or case.synced)
    held = hasattr(model, "no_sync") and not last and not case.synced
    with model.no_sync() if held else nullcontext():
        yield


def _plain(case: Case) -> Program:
    model = _transformers(case) if case.program == "transformers" else _llama(case, _meshes(case))
    if not case.is_fsdp and case.gpus > 1:
        from torch.nn.parallel import DistributedDataParallel

        model = DistributedDataParallel(model)
    return Program(case, [model], _micro_batch(case, model))


def _micro_batch(case: Case, model: Any) -> Callable[[], None]:
    import torch

    rows = _rows(case, case.micro_batch)
    measure = torch.compile(loss_of) if case.compiled else loss_of
    mesh = _meshes(case)

    def backward() -> None:
        ids, labels = rows[:, :-1].clone(), rows[:, 1:].clone()
        with _context(case, mesh, model, ids, labels), _autocast(case), _cut_loss(case):
            if case.program == "transformers":
                model(input_ids=ids, labels=ids).loss.backward()
            else:
                measure(model(ids), labels).backward()

    return backward


def _context(case: Case, mesh: Any, model: Any, ids: Any, labels: Any) -> Any:
    """Every rank of a context group keeps its part of each row, and attention goes around."""
    if case.context == 1:
        return nullcontext()
    from torch.distributed.tensor.experimental import context_parallel

    buffers = [ids, labels, model.turns]
    return context_parallel(
        mesh["context"], buffers=buffers, buffer_seq_dims=[1, 1, 0], no_restore_buffers={ids, labels}
    )


def _autocast(case: Case) -> Any:
    import torch

    wanted = case.weights == "fp32" and not case.is_fsdp
    return torch.autocast(ranks.device().type, torch.bfloat16) if wanted else nullcontext()


def _cut_loss(case: Case) -> Any:
    """Logits stay cut over the vocabulary."""
    from torch.distributed.tensor.parallel import loss_parallel

    return loss_parallel() if case.tensor > 1 else nullcontext()


def _rows(case: Case, count: int) -> Any:
    import torch

    return torch.randint(0, case.config["vocab_size"], (count, case.seq_len + 1), device=ranks.device())


def _meshes(case: Case) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    sizes = (case.pipeline, case.data, case.context, case.tensor)
    return init_device_mesh(ranks.device().type, sizes, mesh_dim_names=("pipeline", "data", "context", "tensor"))


def _llama(case: Case, mesh: Any, stage: int = 0, stages: int = 1) -> Any:
    import torch

    feed = experts.spread(case.config, mesh["data"].get_group(), case.expert) if case.expert > 1 else None
    with torch.device("meta"):
        model = llama(case.config, feed)
    model.cut(stage, stages)
    if case.weights == "bf16":
        model.to(torch.bfloat16)
    if case.tensor > 1:
        cut_tensors(model, mesh["tensor"])
    for name, layer in model.layers.named_children():
        kept = checkpointed(layer, case.recompute)
        model.layers.register_module(name, torch.compile(kept, fullgraph=True) if case.compiled else kept)
    if case.is_fsdp:
        _shard(case, model, model.layers.children(), mesh)
    model.to_empty(device=ranks.device())
    filled(model)
    model.prepare(case.seq_len)
    return model


def cut_tensors(model: Any, mesh: Any) -> None:
    """Heads and feed-forward over the ranks, rows between layers too, as torchtitan's plan for Llama."""
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        RowwiseParallel,
        SequenceParallel,
        parallelize_module,
    )

    rows, whole = Shard(1), Replicate()
    layer = {
        "first": SequenceParallel(), "second": SequenceParallel(),
        "attention": PrepareModuleInput(input_layouts=(rows, None), desired_input_layouts=(whole, None)),
        "attention.o": RowwiseParallel(output_layouts=rows),
        "feed": PrepareModuleInput(input_layouts=(rows,), desired_input_layouts=(whole,)),
        "feed.down": RowwiseParallel(output_layouts=rows),
        **{name: ColwiseParallel() for name in ("attention.q", "attention.k", "attention.v", "feed.gate", "feed.up")},
    }  # fmt: skip
    for each in model.layers.children():
        parallelize_module(each, mesh, layer)
    ends = {
        "embedding": RowwiseParallel(input_layouts=whole, output_layouts=rows),
        "norm": SequenceParallel(),
        "head": ColwiseParallel(input_layouts=rows, output_layouts=Shard(-1), use_local_output=False),
    }
    parallelize_module(model, mesh, {name: plan for name, plan in ends.items() if getattr(model, name) is not None})


def _shard(case: Case, model: Any, layers: Any, mesh: Any) -> None:
    """A group a layer; states are FP32 and what is gathered is 16 bit, unless all weights are 16 bit."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mixed = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    settings = {
        "mesh": mesh["data", "context"]._flatten("shard") if case.context > 1 else mesh["data"],
        "mp_policy": mixed if case.weights == "fp32" else MixedPrecisionPolicy(),
        "reshard_after_forward": case.sharding == "fsdp" and case.pipeline == 1,
        "ignored_params": experts.of(model) if case.expert > 1 else None,
    }
    groups = list(layers)
    for each in groups:
        fully_shard(each, **settings)
    fully_shard(model, **settings)
    for i, each in enumerate(groups):
        if case.prefetch == "none":  # its own, gathered by then: no other is fetched ahead
            each.set_modules_to_backward_prefetch([each])
        if case.prefetch == "two":
            each.set_modules_to_forward_prefetch(groups[i + 1 : i + 3])
            each.set_modules_to_backward_prefetch(groups[max(i - 2, 0) : i][::-1] or [each])


def _transformers(case: Case) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**case.config)
    config.use_cache = False
    settings: dict[str, Any] = {"attn_implementation": case.attn}
    if case.experts:
        settings["experts_implementation"] = case.experts
    dtype = torch.float32 if case.weights == "fp32" else torch.bfloat16
    with ranks.device():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, **settings)
    model.train()
    if case.recompute == "full":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if case.is_fsdp:
        _shard(case, model, model.model.layers, _meshes(case))
    return torch.compile(model) if case.compiled else model


def _piped(case: Case) -> Program:
    """Stages of equal layers under 1F1B, interleaved where a rank has several."""
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B

    mesh = _meshes(case)
    group, count = mesh["pipeline"].get_group(), case.pipeline * case.virtual_pipeline
    mine = [mesh["pipeline"].get_local_rank() + case.pipeline * chunk for chunk in range(case.virtual_pipeline)]
    parts = [_llama(case, mesh, stage, count) for stage in mine]
    stages = [
        PipelineStage(part, stage, count, ranks.device(), group=group)
        for part, stage in zip(parts, mine, strict=True)
    ]  # fmt: skip
    several = case.virtual_pipeline > 1
    kind: Any = ScheduleInterleaved1F1B if several else Schedule1F1B
    schedule = kind(stages if several else stages[0], case.accumulation, loss_fn=loss_of)
    rows = _rows(case, case.micro_batch * case.accumulation)
    given = (rows[:, :-1].contiguous(),) if mine[0] == 0 else ()
    wanted = {"target": rows[:, 1:].contiguous()} if mine[-1] == count - 1 else {}

    def backward() -> None:
        with _cut_loss(case):
            schedule.step(*given, **wanted)

    return Program(case, parts, backward)
