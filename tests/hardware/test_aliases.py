"""GPU names as data sets write them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mfu.hardware.aliases import dataset_gpu
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Unmatched

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
COLUMNS = {
    "training_mfu.csv": "gpu",
    "inference_throughput.csv": "gpu",
    "measured_steps.csv": "gpu",
    "gpu_runs.csv": "gpu",
}

SPELLINGS = {
    "H100-SXM5-80GB": "h100-sxm5-80gb",
    "H100-SXM-80GB": "h100-sxm5-80gb",
    "H100-SXM5-80GB (DGX-H100)": "h100-sxm5-80gb",
    "H100-64GB (MareNostrum5)": "h100-sxm5-64gb",
    "h100": "h100-sxm5-80gb",
    "8xH100 SXM": "h100-sxm5-80gb",
    "8 x H100": "h100-sxm5-80gb",
    "H100 x8": "h100-sxm5-80gb",
    "NVIDIA H100 80GB HBM3": "h100-sxm5-80gb",
    "H100-PCIe-80GB": "h100-pcie-80gb",
    "H100 NVL": "h100-nvl-94gb",
    "H100-NVL-94GB": "h100-nvl-94gb",
    "H800": "h800-sxm5-80gb",
    "H800-SXM-80GB": "h800-sxm5-80gb",
    "A800-80GB": "a800-sxm4-80gb",
    "H20": "h20-96gb",
    "H20-141GB": "h20-3e-141gb",
    "H20-3e": "h20-3e-141gb",
    "H200-SXM-141GB (a3-ultra)": "h200-sxm-141gb",
    "NVIDIA H200": "h200-sxm-141gb",
    "H200-NVL": "h200-nvl-141gb",
    "GH200 (96GB HBM3)": "gh200-96gb",
    "GH200": "gh200-96gb",
    "GH200-144GB": "gh200-144gb",
    "A100 (80GB SXM assumed: not stated in repo; vTrain paper)": "a100-sxm4-80gb",
    "A100-SXM-40GB (inferred)": "a100-sxm4-40gb",
    "A100-40": "a100-sxm4-40gb",
    "A100 40GB": "a100-sxm4-40gb",
    "A100 40G": "a100-sxm4-40gb",
    "A100 (40 GPUs)": "a100-sxm4-80gb",
    "H100 (64 GPUs)": "h100-sxm5-80gb",
    "H100-SXM5-96GB (500 W)": "h100-sxm5-96gb",
    "A100-64GB (Leonardo custom)": "a100-sxm-64gb",
    "A100-80GB-PCIe": "a100-pcie-80gb",
    "A100-PCIE-40GB": "a100-pcie-40gb",
    "A10G": "a10g",
    "A10": "a10",
    "L4-24GB": "l4",
    "L40S-48GB": "l40s",
    "L40": "l40",
    "T4": "t4",
    "V100-32GB": "v100-sxm2-32gb",
    "V100-SXM2-16GB": "v100-sxm2-16gb",
    "B200-SXM-180GB": "b200-sxm",
    "B200 (DGX)": "b200-sxm",
    "GB200-NVL72-192GB": "gb200",
    "GB200 (NVL72)": "gb200",
    "B300-SXM (DGX-B300)": "b300-sxm",
    "GB300 (NVL72)": "gb300",
    "MI300X-192GB": "mi300x",
    "AMD MI325X": "mi325x",
    "MI355X": "mi355x",
    "MI250X (1 GCD)": "mi250x",
    "RTX-PRO-6000-Blackwell-SE": "rtx-pro-6000-bw-server",
    "RTX 6000 Ada": "rtx-6000-ada",
}


@pytest.mark.parametrize(("name", "key"), SPELLINGS.items())
def test_spellings(name: str, key: str) -> None:
    found = dataset_gpu(name)
    assert isinstance(found, GPU), found
    assert found.key == key


@pytest.mark.parametrize("name", ["Intel Gaudi 3", "TPU v5p", "RTX 7090", "H100 vs A100", "H1000", "", "80GB"])
def test_no_product_or_more_than_one_is_unmatched(name: str) -> None:
    assert isinstance(dataset_gpu(name), Unmatched)


def test_unmatched_names_near_families() -> None:
    found = dataset_gpu("H10O")
    assert isinstance(found, Unmatched)
    assert "h100" in found.nearest


@pytest.mark.parametrize("file", COLUMNS)
def test_every_row_of_the_data_sets_resolves(file: str) -> None:
    path = SHARED / file
    if not path.exists():
        pytest.skip("the shared data is not beside this checkout")
    with path.open(encoding="utf-8", newline="") as rows:
        names = {row[COLUMNS[file]] for row in csv.DictReader(rows)}
    assert [name for name in sorted(names) if isinstance(dataset_gpu(name), Unmatched)] == []


def test_training_rows_have_the_peak_of_the_data_set() -> None:
    """`dense_peak_tflops` of the rows is rounded and, for FP8 and FP4, of that precision."""
    path = SHARED / "training_mfu.csv"
    if not path.exists():
        pytest.skip("the shared data is not beside this checkout")
    with path.open(encoding="utf-8", newline="") as rows:
        table = [row for row in csv.DictReader(rows) if row["precision"] == "bf16" and row["dense_peak_tflops"]]
    assert len(table) > 100
    for row in table:
        found = dataset_gpu(row["gpu"])
        assert isinstance(found, GPU)
        peak = float(row["dense_peak_tflops"]) * 1e12
        assert found.reference_peak_flops_per_s == pytest.approx(peak, rel=0.01), row["id"]


def test_aliases_never_reach_telemetry() -> None:
    for name in ("H100", "A100-40", "8xH100 SXM", "GB200-NVL72-192GB"):
        assert isinstance(load().resolve(name), Unmatched)
