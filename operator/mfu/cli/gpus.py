"""`mfu gpus`: products and MIG profiles that can be named in spec.accelerators."""

from __future__ import annotations

import argparse
from typing import Any

from mfu.cli.output import add_output, print_document, print_table
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Precision
from mfu.units import GIGA, TERA

_SHOWN = (Precision.BF16, Precision.FP8, Precision.FP4, Precision.TF32)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("gpus", help="known GPU products", description=__doc__)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    catalog = load()
    gpus = sorted(catalog.gpus.values(), key=lambda gpu: (gpu.vendor, gpu.architecture, gpu.api_name))
    if args.output != "table":
        print_document([_document(gpu) for gpu in gpus], args.output)
        return 0
    columns = ("PRODUCT", "VENDOR", "MEMORY", "GB/S", *(f"{each}-TFLOPS" for each in _SHOWN), "NVLINK-DOMAIN", "MIG")
    print_table(columns, [_row(gpu) for gpu in gpus], right=frozenset(columns[2:-1]))
    return 0


def _row(gpu: GPU) -> tuple[str, ...]:
    profiles = " ".join(each.name for each in load().mig_profiles(gpu.key) if "+" not in each.name)
    return (
        gpu.api_name,
        gpu.vendor,
        f"{gpu.memory_bytes / 1024**3:.0f}Gi",
        f"{gpu.memory_bandwidth_bytes_per_s / GIGA:.0f}",
        *(_peak(gpu, each) for each in _SHOWN),
        str(gpu.nvlink_domain_gpus),
        profiles,
    )


def _peak(gpu: GPU, precision: Precision) -> str:
    peak = gpu.peak_flops_per_s(precision)
    return "-" if peak is None else f"{peak / TERA:.0f}"


def _document(gpu: GPU) -> dict[str, Any]:
    return {
        "product": gpu.api_name,
        "vendor": gpu.vendor,
        "memoryBytes": gpu.memory_bytes,
        "memoryBandwidthBytesPerSecond": gpu.memory_bandwidth_bytes_per_s,
        "peakFLOPsPerSecond": {str(precision): peak for precision, peak in gpu.peaks.items()},
        "nvlinkDomainGPUs": gpu.nvlink_domain_gpus,
        "migProfiles": [each.name for each in load().mig_profiles(gpu.key)],
    }
