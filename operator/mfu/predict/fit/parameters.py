"""The fitted constants: the value that each one's documented source gives, and how far rows may move it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted constant: its prior value and how far (in log) it may stray."""

    name: str
    prior: float
    spread: float
    most: float = float("inf")


PARAMETERS: Final = (
    Parameter("sustained.ampere", 0.95, 0.05, 1.0),
    Parameter("sustained.hopper", 0.86, 0.07, 1.0),
    Parameter("sustained.blackwell", 0.85, 0.1, 1.0),
    Parameter("power_share", 0.33, 0.3, 1.0),
    Parameter("ceiling.FP4", 0.62, 0.2, 0.9),
    Parameter("attention.ampere", 0.55, 0.25),
    Parameter("attention.hopper", 0.58, 0.08),
    Parameter("attention.blackwell", 0.32, 0.3),
    Parameter("depth", 128.0, 0.7),
    Parameter("tail", 0.5, 0.5),
    Parameter("half_sequence", 300.0, 0.7),
    Parameter("half_head", 16.0, 0.7),
    Parameter("attention_backward", 3.05, 0.1),
    Parameter("flash2_backward", 2.6, 0.15),
    Parameter("score_bytes", 10.0, 0.4),
    Parameter("hidden_traffic", 10.0, 0.4),
    Parameter("narrow_traffic", 1.0, 0.4),
    Parameter("fused_traffic", 0.6, 0.3, 1.0),
    Parameter("adapter_traffic", 1.0, 0.4),
    Parameter("cast_traffic", 1.5, 0.6),
    Parameter("eager_traffic", 1.0, 0.15),
    Parameter("elementwise_backward", 1.8, 0.2),
    Parameter("logit_traffic", 6.0, 0.4),
    Parameter("selective_share", 0.8, 0.5, 1.5),
    Parameter("expert_imbalance", 1.1, 0.05, 1.2),
    Parameter("expert_hidden", 0.3, 0.4, 0.95),
    Parameter("permute_traffic", 4.0, 0.5),
    Parameter("loose_traffic", 20.0, 0.6),
    Parameter("launch_expert", 9.0, 0.4),
    Parameter("captured", 0.6, 0.4, 0.95),
    Parameter("link_share", 0.75, 0.15, 0.95),
    Parameter("network_share", 0.75, 0.25, 0.95),
    Parameter("link_latency", 12e-6, 0.5),
    Parameter("network_latency", 4e-5, 0.5),
    Parameter("rail_efa", 0.5, 0.1, 1.0),
    Parameter("gather_latency", 4e-4, 0.5),
    Parameter("tensor_hidden", 0.6, 0.3, 0.98),
    Parameter("pipeline_exposed", 0.4, 0.6, 1.0),
    Parameter("data_hidden", 0.7, 0.3, 1.0),
    Parameter("data_floor", 0.14, 0.05, 1.0),
    Parameter("contended", 0.16, 0.3, 0.5),
    Parameter("optimizer_passes", 1.2, 0.3),
    Parameter("jitter", 0.005, 0.5),
    Parameter("host_operation", 1.05e-5, 0.2),
    Parameter("launch_recompute", 0.35, 0.2),
    Parameter("launch_tensor", 0.03, 0.5),
    Parameter("kernel_gap", 0.15, 0.5),
)
SPREAD: Final = {"engine": 0.1, "product": 0.05, "arithmetic": 0.05, "habitat": 0.1, "source": 0.03}
"""First guesses of how far (in log) engines, products, arithmetics of an architecture (FP8 on Hopper), habitats
(programs that nobody tunes, on Blackwell) and sources lie apart; the rows correct all but the last, weighed as two
levels."""
PREDICTED: Final = ("engine", "product", "arithmetic", "habitat")
"""Factors whose effects go into a prediction; what a source has of its own is nobody else's. It may keep little to
itself, so that constants and stacks have to explain what differs between sources."""
