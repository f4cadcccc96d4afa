"""The network between nodes: what people say of it, and what a prediction rests on where they say nothing."""

from __future__ import annotations

import argparse
from dataclasses import replace

from mfu.cli.output import amount
from mfu.predict import predict
from mfu.predict.training.constants import shipped
from mfu.predict.training.machine import usual_network
from mfu.predict.training.network_doubt import SLOWER
from mfu.predict.types import Corrections, Inference, Placement, Prediction, Setup
from mfu.units import gigabits_to_bytes, percent

WORTH_SAYING = 0.03
"""Of the speed: less is nothing that a person would act on."""


def add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network",
        type=amount,
        metavar="GBPS",
        help="Gbit/s of each GPU between nodes: 400 with one such adapter a GPU, 50 with four of 100 for eight GPUs, "
        "12.5 with one; default: as usual with the product",
    )


def on_network(placement: Placement, gbit_per_s: float | None) -> Placement:
    """`on_network(p, 400).inter_node_bytes_per_s == 5e10`; None leaves it unsaid."""
    rate = None if gbit_per_s is None else gigabits_to_bytes(gbit_per_s)
    return placement if rate is None else replace(placement, inter_node_bytes_per_s=rate)


def network_note(setup: Setup, placement: Placement, found: Prediction, stack: Corrections | None = None) -> str | None:
    """What was assumed of the network of a training job on several nodes, where a slower one would be felt."""
    if isinstance(setup, Inference) or placement.inter_node_bytes_per_s or placement.gpus <= placement.gpus_per_node:
        return None
    usual = usual_network(placement.device.gpu, shipped())
    slow = predict(setup, replace(placement, inter_node_bytes_per_s=usual / SLOWER), stack)
    if not isinstance(slow, Prediction) or slow.mfu > found.mfu * (1.0 - WORTH_SAYING):
        return None
    return (
        f"nobody said how fast the network between nodes is: {_gbit_per_s(usual)} Gbit/s a GPU is assumed, as usual "
        f"with {placement.device.label}; {_gbit_per_s(usual / SLOWER)} would leave {percent(slow.mfu)} MFU (--network)"
    )


def _gbit_per_s(bytes_per_s: float) -> str:
    return f"{bytes_per_s / gigabits_to_bytes(1):,.0f}"
