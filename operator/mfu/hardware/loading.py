"""Reads the data files into frozen types. Blank cells stay unknown; nothing is filled in from another product."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Mapping
from importlib import resources
from types import MappingProxyType

from mfu.hardware.types import GPU, MIGProfile, Precision
from mfu.units import GIB, MIB, gigabytes_to_bytes, tflops_to_flops

Row = Mapping[str, str]

_PEAK_COLUMNS = {
    Precision.FP32: "fp32",
    Precision.TF32: "tf32",
    Precision.FP16: "fp16",
    Precision.BF16: "bf16",
    Precision.FP8: "fp8",
    Precision.INT8: "int8",
    Precision.FP4: "fp4",
}

_PCIE_BYTES_PER_S_PER_LANE = {"3": 0.985e9, "4": 1.969e9, "5": 3.938e9, "6": 7.563e9}
"""One direction, after line coding: 8, 16, 32 GT/s at 128b/130b, 64 GT/s at 242/256 (PCI-SIG)."""


def rows(name: str) -> list[Row]:
    """All rows of one shipped data file as dicts of strings."""
    text = (resources.files("mfu.hardware") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def load_gpus() -> dict[str, GPU]:
    """Products by key: one per memory size where a row names two, plus the variants of `variants.csv`."""
    products = {row["gpu_key"]: row for row in rows("products.csv")}
    gpus = {gpu.key: gpu for row in rows("gpus.csv") for gpu in _products_of(row, products[row["gpu_key"]])}
    for row in rows("variants.csv"):
        gpus[row["gpu_key"]] = _variant(row, gpus[row["base_key"]])
    return gpus


def load_exact_names() -> Iterator[tuple[str, str]]:
    """(gpu_key, exact telemetry name) for every NVML name and GFD label in the data."""
    for row in rows("gpus.csv"):
        names = f"{row['nvml_name_exact']};{row['gfd_product_label']}".split(";")
        yield from ((_key_for_name(row, name), _without_label_key(name)) for name in names if name)
    for row in rows("variants.csv"):
        yield from ((row["gpu_key"], name) for name in row["nvml_name_exact"].split(";") if name)


def load_name_patterns() -> Iterator[tuple[str, str]]:
    """(gpu_key, pattern of the raw NVML name), for products of one memory size: a pattern cannot tell two apart."""
    for row in rows("gpus.csv"):
        if "|" not in row["memory_gb_marketing"]:
            yield row["gpu_key"], row["nvml_name_regex"]


def load_mig(gpus: Mapping[str, GPU]) -> dict[str, tuple[MIGProfile, ...]]:
    """MIG profiles by product key, in the data's order."""
    table = rows("mig.csv")
    sm_counts = _sm_counts_by_shape(table, gpus)
    profiles: dict[str, list[MIGProfile]] = {}
    for row in table:
        profiles.setdefault(row["gpu_key"], []).append(_profile(row, gpus[row["gpu_key"]], sm_counts))
    return {key: tuple(found) for key, found in profiles.items()}


def _number(text: str) -> float | None:
    return float(text) if text else None


def _integer(text: str) -> int | None:
    return int(text) if text else None


def _without_label_key(name: str) -> str:
    return name.removeprefix("(amd.com/gpu.product-name)").strip()


def _memory_sizes(row: Row) -> list[str]:
    return row["memory_gb_marketing"].split("|")


def _key_for_name(row: Row, name: str) -> str:
    sizes = _memory_sizes(row)
    if len(sizes) == 1:
        return row["gpu_key"]
    size = next(size for size in sizes if f"-{size}GB" in name)
    return f"{row['gpu_key']}-{size}gb"


def _products_of(row: Row, product: Row) -> Iterator[GPU]:
    whole = _gpu(row, product)
    sizes = _memory_sizes(row)
    if len(sizes) == 1:
        yield whole
        return
    for size in sizes:
        yield dataclasses.replace(
            whole,
            key=f"{whole.key}-{size}gb",
            api_name=f"{whole.api_name}-{size}GB",
            name=next(name for name in row["nvml_name_exact"].split(";") if f"-{size}GB" in name),
            memory_bytes=gigabytes_to_bytes(float(size)),
        )


def _gpu(row: Row, product: Row) -> GPU:
    share = 1 / int(product["devices_per_package"])
    peaks = {p: tflops_to_flops(float(row[c])) * share for p, c in _PEAK_COLUMNS.items() if row[c]}
    sm_count, tdp, nvlink = _integer(row["sm_count"]), _number(row["tdp_w"]), _number(row["nvlink_total_gbs_bidir"])
    return GPU(
        key=row["gpu_key"],
        vendor=row["vendor"],
        architecture=row["arch"],
        name=row["nvml_name_exact"].split(";")[0],
        api_name=product["api_name"],
        form_factor=row["form_factor"],
        memory_bytes=_memory_bytes(row) * share,
        memory_bandwidth_bytes_per_s=gigabytes_to_bytes(float(row["memory_bw_gbs"])) * share,
        peaks=MappingProxyType(peaks),
        sm_count=None if sm_count is None else int(sm_count * share),
        tensor_flops_per_clock_per_sm=_number(row["tensor_fp16_flops_per_clk_per_sm"]),
        reference_clock_mhz=_number(row["tensor_ref_clock_mhz"]),
        max_clock_mhz=_number(row["nvml_max_sm_clock_mhz"]),
        nvlink_bytes_per_s=None if nvlink is None else gigabytes_to_bytes(nvlink) / 2 * share,
        pcie_bytes_per_s=_pcie_bytes_per_s(row),
        nvlink_domain_gpus=int(product["nvlink_domain_gpus"]),
        tdp_watts=None if tdp is None else tdp * share,
        mig_max_instances=int(row["mig_max_instances"] or 0),
        gpm=row["gpm"] == "yes",
        unverified=frozenset(filter(None, (field.strip() for field in row["unverified_fields"].split(";")))),
    )


def _memory_bytes(row: Row) -> float:
    """What NVML reports where it is known; else the marketing size in decimal gigabytes, the smaller reading of it."""
    if row["nvml_total_mib"]:
        return float(row["nvml_total_mib"]) * MIB
    return gigabytes_to_bytes(float(_memory_sizes(row)[0]))


def _pcie_bytes_per_s(row: Row) -> float | None:
    per_lane = _PCIE_BYTES_PER_S_PER_LANE.get(row["pcie_gen"])
    return per_lane * int(row["pcie_lanes"]) if per_lane and row["pcie_lanes"] else None


def _variant(row: Row, base: GPU) -> GPU:
    own = frozenset(filter(None, row["unverified_fields"].split(";")))
    return dataclasses.replace(
        base,
        key=row["gpu_key"],
        api_name=row["api_name"],
        name=row["nvml_name_exact"].split(";")[0] or row["api_name"],
        memory_bytes=gigabytes_to_bytes(float(row["memory_gb"])),
        memory_bandwidth_bytes_per_s=gigabytes_to_bytes(float(row["memory_bw_gbs"])),
        nvlink_bytes_per_s=gigabytes_to_bytes(float(row["nvlink_total_gbs_bidir"])) / 2,
        nvlink_domain_gpus=int(row["nvlink_domain_gpus"]),
        tdp_watts=_number(row["tdp_w"]),
        unverified=base.unverified | own,
    )


_Shape = tuple[str, int | None, str, str]


def _shape(row: Row, gpu: GPU) -> _Shape:
    return gpu.architecture, _integer(row["sm_full_gpu"]), row["compute_slices"], row["memory_slices"]


def _sm_counts_by_shape(table: list[Row], gpus: Mapping[str, GPU]) -> dict[_Shape, int]:
    """SMs of a slice where some product of the same chip lists them: an H200 slice is cut as an H100's."""
    listed = (row for row in table if row["sm_count"] and row["sm_full_gpu"])
    return {_shape(row, gpus[row["gpu_key"]]): int(row["sm_count"]) for row in listed}


def _profile(row: Row, gpu: GPU, sm_counts: Mapping[_Shape, int]) -> MIGProfile:
    full = _integer(row["sm_full_gpu"])
    count = _integer(row["sm_count"]) or sm_counts.get(_shape(row, gpu))
    nominal = int(row["compute_slices"]) / int(row["compute_slices_total"])
    return MIGProfile(
        gpu_key=gpu.key,
        name=row["profile"],
        compute_slices=int(row["compute_slices"]),
        memory_slices=int(row["memory_slices"]),
        memory_slices_total=int(row["memory_slices_total"]),
        memory_bytes=_slice_memory_bytes(row, gpu),
        sm_count=_integer(row["sm_count"]),
        sm_fraction=count / full if count and full else nominal,
        max_instances=int(row["max_instances"]),
        placement_starts=tuple(int(start) for start in row["placement_starts"].split()),
        placement_size=int(row["placement_size"]),
    )


def _slice_memory_bytes(row: Row, gpu: GPU) -> float:
    if row["mem_gib_actual"]:
        return min(float(row["mem_gib_actual"]) * GIB, gpu.memory_bytes)
    share = int(row["memory_slices"]) / int(row["memory_slices_total"])
    return min(gigabytes_to_bytes(float(row["mem_gb_nominal"])), gpu.memory_bytes * share)
