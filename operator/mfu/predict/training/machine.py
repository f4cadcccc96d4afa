"""A placement as the numbers of one GPU and its links."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from statistics import median
from types import MappingProxyType

import numpy as np

from mfu.hardware import catalog
from mfu.hardware.types import BYTES_PER_VALUE, GPU, Device, Precision
from mfu.predict.training.arrays import Machine
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.power import held_clock
from mfu.predict.types import Placement, Precisions

_SMS_UNKNOWN = 132.0
_RACK = 8
"""NVLink domains wider than this span several hosts (NVL72)."""
_PAIR = 2
"""What an NVLink bridge joins."""


def machine_of(placement: Placement, precisions: Precisions, c: TrainingConstants) -> Machine | None:
    """0-d arrays; None where the device has no known peak at the compute precision."""
    device, compute = placement.device, precisions.compute
    peak = catalog.device_peak(device, compute)
    if peak is None:
        return None
    sixteen = catalog.device_peak(device, Precision.BF16) or catalog.device_peak(device, Precision.FP16) or peak
    vector = catalog.device_peak(device, Precision.FP32) or peak
    wide = compute in (Precision.FP32, Precision.TF32)
    held = held_clock(device, placement.power_limit_watts, c)
    sustained = held * (1.0 if compute is Precision.FP32 else sustained_clock(device, c))
    width = BYTES_PER_VALUE[compute]
    values = {
        "peak": peak,
        "peak16": min(sixteen, peak) if wide else sixteen,
        "peak16_reference": sixteen,
        "peak_vector": vector,
        "peak_wide": vector * ceiling(device, Precision.FP32, c),
        "ceiling": ceiling(device, compute, c) * sustained,
        "ceiling16": ceiling(device, compute if wide else Precision.BF16, c) * sustained,
        "held": held,
        "attention": held * c.of("attention", attention_units(device.gpu)),
        "flash2": held * c.of("flash2", attention_units(device.gpu)),
        "flash2_named": held * min(c.of("flash2", attention_units(device.gpu)), c["flash2_most"] / sixteen),
        "bandwidth": catalog.device_bandwidth(device),
        "memory": catalog.device_memory(device),
        "sms": _sms(device),
        "value_bytes": width,
        "low_precision": width < 2.0,
        "activation_bytes": max(width, 2.0),
        **links(placement, c),
    }
    return Machine(**{name: np.asarray(value, dtype=float) for name, value in values.items()})


def is_graphics_die(gpu: GPU) -> bool:
    """Dies of workstation and consumer cards, and of the servers' cards made of them (A10, L4, L40S, RTX PRO 6000):
    at most 1,024 FLOPs a clock in an SM, where an A100 has 2,048, an H100 4,096 and a B200 8,192."""
    narrow = (gpu.tensor_flops_per_clock_per_sm or np.inf) <= _GRAPHICS_FLOPS
    return narrow and gpu.architecture in ("ampere", "ada-lovelace", "blackwell")


_GRAPHICS_FLOPS = 1024.0


def halves_accumulation(gpu: GPU) -> bool:
    """Whether matrix units run at half of their rate where they accumulate in FP32, as GeForce's do: the 16-bit peak is
    then twice that of the vector units and not four times."""
    peak, vector = gpu.reference_peak_flops_per_s, gpu.peaks.get(Precision.FP32)
    return is_graphics_die(gpu) and peak is not None and vector is not None and vector / peak > _HALVED


_HALVED = 0.4


def attention_units(gpu: GPU) -> str:
    """Entry of the tables of attention rates. Softmax takes its time beside the matrix units: the wider these are in an
    SM, the less of their peak attention reaches."""
    if not is_graphics_die(gpu):
        return gpu.architecture
    return "geforce" if halves_accumulation(gpu) else "rtx"


def matrix_units(gpu: GPU) -> str:
    """`matrix_units(rtx_5090) == "blackwell-rtx"`: dies of one architecture that share little but the name. All of Ada
    Lovelace's are of one kind."""
    told_apart = is_graphics_die(gpu) and gpu.architecture != "ada-lovelace"
    return f"{gpu.architecture}-rtx" if told_apart else gpu.architecture


def sustained_clock(device: Device, c: TrainingConstants) -> float:
    """Clock that lasts under matrix products over the clock of a short benchmark, lower where a FLOP has less power.

    `sustained` of the reference board times (watts per FLOP/s over that board's) ** power_share. Tensor cores only:
    FP32 products keep the highest clock (h200/runs.jsonl: 1,980 MHz in FP32, 1,471 MHz in BF16).
    GB300 (1,400 W for 2,500 TFLOP/s) against GB200 (1,200 W): (1400 / 1200) ** 0.5 = 1.08.
    """
    share: float = c.of("sustained", device.gpu.architecture) * relative_power(device) ** c["power_share"]
    return min(share, 1.0)


def relative_power(device: Device) -> float:
    """Board power per 16-bit FLOP/s over that of the architecture's reference board, 1 where either is unknown."""
    reference = catalog.load().gpus.get(_REFERENCE_BOARD.get(device.gpu.architecture, ""))
    own, usual = _watts_per_flop(device.gpu), _watts_per_flop(reference) if reference else None
    return 1.0 if own is None or usual is None else own / usual


_REFERENCE_BOARD = {
    "ampere": "a100-sxm4-80gb",
    "ada-lovelace": "l40s",
    "hopper": "h100-sxm5-80gb",
    "blackwell": "gb200",
    "cdna3": "mi300x",
}


def _watts_per_flop(gpu: GPU) -> float | None:
    peak = gpu.reference_peak_flops_per_s
    if peak is None or gpu.tdp_watts is None:
        return None
    shared = _is_superchip(gpu) and gpu.architecture == "hopper"
    return (gpu.tdp_watts - _GRACE_WATTS * shared) / peak


_GRACE_WATTS = 250.0
"""Of a GH200's 900 W: two Grace processors and their memory are a module of 500 W (NVIDIA Grace CPU Superchip
datasheet). The 1,200 W of a GB200 are one GPU's."""


def links(placement: Placement, c: TrainingConstants) -> dict[str, float]:
    """How the GPUs reach each other: NVLink where the product has it and nothing denies it; MIG slices have none.

    A bridge joins a pair: more of such cards in a node wait for each other over PCIe.
    """
    gpu, linked = placement.device.gpu, is_linked(placement)
    domain = gpu.nvlink_domain_gpus if gpu.nvlink_domain_gpus > _RACK else placement.gpus_per_node
    pcie = (gpu.pcie_bytes_per_s or c["pcie_unknown"]) * c["pcie_share"]
    network = placement.inter_node_bytes_per_s or usual_network(gpu, c)
    return {
        "gpus": placement.gpus,
        "node": domain if linked else placement.gpus_per_node,
        "link": (gpu.nvlink_bytes_per_s or 0.0) * c["link_share"] if linked else pcie,
        "link_latency": c["link_latency"],
        "network": network * c["network_share"],
        "network_latency": c["network_latency"],
        "host": _GRACE if _is_superchip(gpu) else 1.0,
        "efa": "EFA" in (placement.inter_node or "").upper(),
    }


_GRACE = 2.5
"""PyTorch takes 33.2 µs to launch a linear layer on GH200 and 37.1 on GB200, 13.5 beside H100 on a Xeon 8480C
(NVIDIA/TransformerEngine issue 2053): 2.5 and 2.8 times as long."""


def _is_superchip(gpu: GPU) -> bool:
    """Whether a Grace processor is on its board."""
    return gpu.form_factor.startswith("superchip")


def is_linked(placement: Placement) -> bool:
    """Whether NVLink joins the GPUs of a node. Nodes of several superchips exist with nothing else between them."""
    gpu = placement.device.gpu
    if gpu.nvlink_bytes_per_s is None or placement.nvlink is False or placement.device.mig is not None:
        return False
    if _is_superchip(gpu) and gpu.nvlink_domain_gpus == 1:
        return placement.gpus_per_node > 1
    together = min(placement.gpus, placement.gpus_per_node)
    return gpu.nvlink_domain_gpus > 1 and (gpu.nvlink_domain_gpus > _PAIR or together <= _PAIR)


def usual_network(gpu: GPU, c: TrainingConstants) -> float:
    """Bytes/s of each GPU between nodes, one direction: of the one machine that a custom card was made for, else of the
    product's generation.
    """
    own = c.tables["network_bytes_per_s"].get(gpu.api_name)
    return c.of("network_bytes_per_s", gpu.architecture) if own is None else own


def ceiling(device: Device, precision: Precision, c: TrainingConstants) -> float:
    """Best measured matrix product over the peak.

    FP16 runs through the units of BF16 at the same rate, and searches for the best shape were made in BF16: 0.87 on an
    A100 in either, 0.82 by the one table in FP16. Steps of 176B in both on the same 384 A100 are alike
    (bigscience-workshop/bigscience@9e64ede: 0.345 to 0.374 of the peak in FP16, 0.357 to 0.362 in BF16).
    """
    own = _ceiling(device, precision, c)
    if precision is Precision.FP16 and Precision.BF16 in device.gpu.peaks:
        return max(own, _ceiling(device, Precision.BF16, c))
    return own


def _ceiling(device: Device, precision: Precision, c: TrainingConstants) -> float:
    """Of the product, else the median of its architecture, else the shipped default."""
    found = catalog.load().ceiling(device.gpu.key, precision)
    if found is not None:
        return found.fraction
    if precision in (Precision.BF16, Precision.FP16, Precision.FP8) and halves_accumulation(device.gpu):
        return _HALVED_CEILING
    by_architecture = _architecture_ceilings().get((device.gpu.architecture, precision))
    usual = by_architecture if by_architecture is not None else c.of("ceiling", precision.value)
    return max(usual, _UNTHROTTLED) if relative_power(device) > _AMPLE_POWER else usual


_HALVED_CEILING = 1.0
"""Half-used matrix units wait for nothing, and the clock is above the rated one: an RTX 3090 ran 75.6 TFLOP/s of its 71
(hardware/data/gpus.csv)."""
_AMPLE_POWER = 2.0
"""An H20 has 3.8 times the power per FLOP/s of an H100: its matrix units never wait for power."""
_UNTHROTTLED = 0.87
"""Best product over peak at the full clock (an A100, which throttles little, reaches 0.87)."""


@lru_cache(maxsize=1)
def _architecture_ceilings() -> Mapping[tuple[str, Precision], float]:
    table = catalog.load()
    found: dict[tuple[str, Precision], list[float]] = {}
    for gpu in table.gpus.values():
        for precision in Precision:
            measured = table.ceiling(gpu.key, precision)
            if measured is not None:
                found.setdefault((gpu.architecture, precision), []).append(measured.fraction)
    return MappingProxyType({key: median(values) for key, values in found.items()})


def _sms(device: Device) -> float:
    if device.mig is not None:
        return float(device.mig.sm_count or _SMS_UNKNOWN * device.mig.sm_fraction)
    return float(device.gpu.sm_count or _SMS_UNKNOWN)
