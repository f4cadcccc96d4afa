"""A product that somebody named, or the one sentence that says why it is none; and the server that it comes in."""

from __future__ import annotations

from typing import Final

from mfu.hardware.catalog import load
from mfu.hardware.problem import Problem, ProblemReason, did_you_mean
from mfu.hardware.types import GPU, Unmatched

USUAL_NODE_GPUS: Final = 8
"""GPUs of the usual server."""


def product_named(name: str, field: str) -> GPU | Problem:
    """`product_named("H100-SXM6", "prices[0].product").fix == "did you mean H100-SXM5, H100-NVL, H100-PCIe?"`."""
    gpu = load().by_api_name(name)
    return unknown_product(gpu, field) if isinstance(gpu, Unmatched) else gpu


def unknown_product(unmatched: Unmatched, field: str) -> Problem:
    """Why `field` names nothing that the catalog knows, and what it may have meant."""
    fix = did_you_mean(unmatched.nearest, "`mfu gpus` lists the known ones")
    return Problem(ProblemReason.UNKNOWN_PRODUCT, field, f"is {unmatched.name!r}, no known GPU product", fix)


def usual_node_gpus(gpu: GPU, gpus: int) -> int:
    """GPUs of one node where `gpus` of them run: whole servers of eight, or the rack's NVLink domain.

    64 of H100-SXM5 lie 8 to a node, 64 of GB200 on one domain of 72, 4 of either on one node.
    """
    return min(gpus, max(USUAL_NODE_GPUS, gpu.nvlink_domain_gpus))
