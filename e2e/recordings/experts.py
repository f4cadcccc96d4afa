"""A feed-forward of experts that are spread over GPUs, each whole on one of them, as pre-training programs write it.

Tokens are sorted by expert, counts are exchanged and waited for by the host, tokens go out, grouped products run over
those that came, and all come back.
"""

# mypy: disallow-subclassing-any=False
from __future__ import annotations

from typing import Any


def spread(config: dict[str, Any], group: Any, ranks: int) -> Any:
    """The class of such a feed-forward."""
    import torch
    from torch import nn

    width, ffn = config["hidden_size"], config["intermediate_size"]
    count, top = config["num_local_experts"], config["num_experts_per_tok"]
    local = count // ranks

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router = nn.Linear(width, count, bias=False)
            self.gate_up = nn.Parameter(torch.empty(local, width, 2 * ffn))
            self.down = nn.Parameter(torch.empty(local, ffn, width))

        def forward(self, h: Any) -> Any:
            rows = h.flatten(0, 1)
            weights, chosen = torch.topk(self.router(rows).float().softmax(-1), top)
            order = chosen.flatten().argsort(stable=True)
            counts = torch.bincount(chosen.flatten(), minlength=count)
            came = _exchanged(counts, None, None, group).view(ranks, local)
            sent, received = counts.view(ranks, local).sum(1).tolist(), came.sum(1).tolist()
            got = _exchanged(rows[order // top], received, sent, group)
            back = _exchanged(self.products(got, came, sum(received)), sent, received, group)
            weighed = back * weights.flatten()[order, None].to(back.dtype)
            return torch.zeros_like(rows).index_add(0, order // top, weighed).view_as(h)

        def products(self, got: Any, came: Any, rows: int) -> Any:
            """Of tokens that lie by rank and expert; they leave in the same order."""
            experts = torch.arange(local, device=got.device).repeat(ranks)
            by_expert = experts.repeat_interleave(came.flatten(), output_size=rows).argsort(stable=True)
            ends = came.sum(0).cumsum(0).to(torch.int32)
            product = torch.nn.functional.grouped_mm
            gate, up = product(got[by_expert], self.gate_up, offs=ends).chunk(2, -1)
            return product(nn.functional.silu(gate) * up, self.down, offs=ends)[by_expert.argsort()]

    return Experts


def of(model: Any) -> set[Any]:
    """Weights that no other rank has."""
    return {each for name, each in model.named_parameters() if name.endswith(("gate_up", "feed.down"))}


def _exchanged(x: Any, received: Any, sent: Any, group: Any) -> Any:
    from torch.distributed import _functional_collectives as collectives

    if not x.is_floating_point():
        return collectives.all_to_all_single(x, received, sent, group).clone()
    return collectives.all_to_all_single_autograd(x, received, sent, group)
