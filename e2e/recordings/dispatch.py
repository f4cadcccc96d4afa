"""Host time of one layer of a Llama, whole, sharded by FSDP2, and cut by DTensor, in that of the whole layer.

No GPU and one process: the group is PyTorch's fake one, widths are tiny, so what is left is dispatching.

    PYTHONPATH=. OMP_NUM_THREADS=1 python3 -m e2e.recordings.dispatch
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

from e2e.recordings.layout_programs import cut_tensors
from e2e.recordings.llama import llama

TINY: Final = {
    "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 256,
}  # fmt: skip
RANKS: Final = 4
ROWS: Final = 32
FEW, MANY = 4, 12
"""Layers: what one takes is the difference by eight."""


def main() -> None:
    import torch
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.set_num_threads(1)
    dist.init_process_group("fake", rank=0, world_size=RANKS, store=FakeStore())
    seconds = {kind: _layer_seconds(kind) for kind in ("whole", "sharded", "cut", "cut, sharded")}
    for kind, taken in seconds.items():
        print(f"{kind:13} {1e3 * taken:6.2f} ms a layer, {taken / seconds['whole']:5.2f} of the whole one")


def _layer_seconds(kind: str) -> float:
    few, many = (_least(_step(kind, layers)) for layers in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _least(step: Callable[[], None], turns: int = 30) -> float:
    """Of the processor: others may run beside it."""
    found = []
    for _ in range(turns):
        begin = time.process_time()
        step()
        found.append(time.process_time() - begin)
    return min(found)


def _step(kind: str, layers: int) -> Callable[[], None]:
    import torch
    from torch.distributed.tensor.parallel import loss_parallel

    model, ids = _model(kind, layers), torch.randint(0, TINY["vocab_size"], (1, ROWS))

    def step() -> None:
        with loss_parallel() if "cut" in kind else nullcontext():
            torch.nn.functional.cross_entropy(model(ids).flatten(0, 1).float(), ids.flatten()).backward()
        model.zero_grad(set_to_none=True)

    return step


def _model(kind: str, layers: int) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = llama(TINY | {"num_hidden_layers": layers})
    tensor = RANKS if "cut" in kind else 1
    mesh = init_device_mesh("cpu", (RANKS // tensor, tensor), mesh_dim_names=("data", "tensor"))
    if tensor > 1:
        cut_tensors(model, mesh["tensor"])
    if "sharded" in kind:
        for part in (*model.layers.children(), model):
            fully_shard(part, mesh=mesh["data"])
    model.prepare(ROWS)
    return model


if __name__ == "__main__":
    main()
