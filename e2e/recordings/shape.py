"""The trained transformer and its counted FLOPs, for the loop, the recorder and the tests: standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder with a plain 2-matrix feed-forward and an untied vocabulary head, trained on one GPU."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    micro_batch: int
    seq_len: int

    @property
    def tokens_per_step(self) -> int:
        return self.micro_batch * self.seq_len

    @property
    def matmul_parameters(self) -> int:
        """Weights that multiply every token: query, key, value, output, feed-forward, head. The input embedding is
        looked up."""
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.ffn) + self.hidden * self.vocab

    @property
    def flops_per_step(self) -> float:
        """Forward and backward: 6 FLOPs a weight and token, and causal attention at half (6·layers·hidden·seq_len a
        token: scores and values are 4·hidden·seq_len forward over the full square, the backward twice that).

        24 layers, hidden 2048, ffn 8192, vocab 50304, micro-batch 12, 2048 tokens: 208155590000640, the figure of the
        `healthy` H200 trace. PaLM (arXiv:2204.02311, appendix B) counts attention full: 12·layers·hidden·seq_len.
        """
        per_token = 6 * self.matmul_parameters + 6 * self.layers * self.hidden * self.seq_len
        return float(per_token * self.tokens_per_step)

    def facts(self) -> dict[str, Any]:
        return asdict(self)
