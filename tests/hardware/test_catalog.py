"""Which product a telemetry name means: exact, anchored, never a substring; and what a device can do."""

from __future__ import annotations

import pytest

from mfu.hardware.catalog import device_bandwidth, device_memory, device_peak, load
from mfu.hardware.loading import load_exact_names
from mfu.hardware.types import GPU, Device, Precision, Unmatched
from mfu.units import GIB

CATALOG = load()


def resolved(name: str) -> Device:
    found = CATALOG.resolve(name)
    assert isinstance(found, Device), found
    return found


def unmatched(name: str) -> Unmatched:
    found = CATALOG.resolve(name)
    assert isinstance(found, Unmatched), found
    return found


def gpu(name: str) -> GPU:
    found = CATALOG.by_api_name(name)
    assert isinstance(found, GPU), found
    return found


NAMES = {
    "NVIDIA H100 80GB HBM3": "H100-SXM5",
    "NVIDIA-H100-80GB-HBM3": "H100-SXM5",
    "NVIDIA H100 PCIe": "H100-PCIe",
    "NVIDIA H100 NVL": "H100-NVL",
    "NVIDIA H200": "H200-SXM",
    "NVIDIA H200 NVL": "H200-NVL",
    "NVIDIA GH200 480GB": "GH200-96GB",
    "NVIDIA GH200 144G HBM3e": "GH200-144GB",
    "NVIDIA H20": "H20",
    "NVIDIA H20-3e": "H20-3e",
    "NVIDIA A100-SXM4-40GB": "A100-SXM4-40GB",
    "A100-SXM4-40GB": "A100-SXM4-40GB",
    "NVIDIA A100-SXM4-80GB": "A100-SXM4-80GB",
    "NVIDIA A100 80GB PCIe": "A100-PCIe-80GB",
    "NVIDIA A100-PCIE-40GB": "A100-PCIe-40GB",
    "NVIDIA A100-SXM-64GB": "A100-SXM-64GB",
    "NVIDIA A10": "A10",
    "NVIDIA A10G": "A10G",
    "NVIDIA L4": "L4",
    "NVIDIA L40": "L40",
    "NVIDIA L40S": "L40S",
    "Tesla T4": "T4",
    "NVIDIA T4": "T4",
    "Tesla V100-SXM2-16GB": "V100-SXM2-16GB",
    "Tesla-V100-SXM2-32GB": "V100-SXM2-32GB",
    "Tesla V100-SXM3-32GB": "V100-SXM2-32GB",
    "Tesla V100-PCIE-16GB": "V100-PCIe-16GB",
    "NVIDIA B200": "B200",
    "NVIDIA GB200": "GB200",
    "NVIDIA B300 SXM6 AC": "B300",
    "NVIDIA GB300": "GB300",
    "NVIDIA RTX 6000 Ada Generation": "RTX-6000-Ada",
    "NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition": "RTX-PRO-6000",
    "AMD Instinct MI300X": "MI300X",
    "AMD_Instinct_MI300X_OAM": "MI300X",
    "AMD_Instinct_MI355X_OAM": "MI355X",
    "nvidia h100 80gb hbm3": "H100-SXM5",
    "NVIDIA H800": "H800-SXM5",
    "NVIDIA H800 PCIe": "H800-PCIe",
    "NVIDIA-A800-SXM4-80GB": "A800-SXM4-80GB",
    "NVIDIA A800 80GB PCIe": "A800-PCIe-80GB",
    "NVIDIA GeForce RTX 3090": "RTX-3090",
    "NVIDIA-GeForce-RTX-4090": "RTX-4090",
    "NVIDIA GeForce RTX 4090 D": "RTX-4090-D",
    "NVIDIA GeForce RTX 5090": "RTX-5090",
    "NVIDIA RTX A6000": "RTX-A6000",
    "NVIDIA-RTX-A6000": "RTX-A6000",
    "NVIDIA L20": "L20",
    "NVIDIA A16": "A16",
    "NVIDIA A2": "A2",
    "Quadro RTX 8000": "Quadro-RTX-8000",
    "AMD Instinct MI308X": "MI308X",
    "AMD_Instinct_MI308X_OAM": "MI308X",
    "AMD Instinct MI210": "MI210",
    "NVIDIA-A100-80GB-PCIe-MIG-1g.10gb": "A100-PCIe-80GB-MIG-1g.10gb",
    "  NVIDIA H200  ": "H200-SXM",
}


@pytest.mark.parametrize(("name", "api_name"), NAMES.items())
def test_names_resolve(name: str, api_name: str) -> None:
    assert resolved(name).label == api_name


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100",
        "NVIDIA A100",
        "NVIDIA H2000",
        "NVIDIA XH200",
        "NVIDIA GB200 NVL72 special",
        "NVIDIA A10M",
        "NVIDIA L40G",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA L400",
        "Intel Gaudi 3",
        "MIG-1g.10gb",
        "-SHARED",
        "",
    ],
)
def test_unknown_names_stay_unknown(name: str) -> None:
    assert unmatched(name).name == name


def test_unmatched_names_the_nearest() -> None:
    assert "NVIDIA H100 80GB HBM3" in unmatched("NVIDIA H100 80GB HBM2").nearest


@pytest.mark.parametrize("key", sorted(CATALOG.gpus))
def test_every_product_is_found_by_its_own_names(key: str) -> None:
    product = CATALOG.gpus[key]
    assert gpu(product.api_name).key == key
    assert gpu(product.api_name.lower()).key == key
    assert gpu(key.upper()).key == key
    if product.name != product.api_name:
        assert resolved(product.name).gpu.key == key


def test_unknown_product_names_the_nearest() -> None:
    found = CATALOG.by_api_name("H100-SXM")
    assert isinstance(found, Unmatched)
    assert "H100-SXM5" in found.nearest


@pytest.mark.parametrize(
    ("name", "label", "shared"),
    [
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "A100-SXM4-40GB-MIG-1g.5gb", False),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED", "A100-SXM4-40GB-MIG-1g.5gb", True),
        ("NVIDIA-A100-SXM4-40GB-SHARED", "A100-SXM4-40GB", True),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me", "H100-SXM5-MIG-1g.10gb+me", False),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gbme", "H100-SXM5-MIG-1g.10gb+me", False),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", "H100-SXM5-MIG-3g.40gb", False),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition-MIG-2g.48gb-me", "RTX-PRO-6000-MIG-2g.48gb-me", False),
    ],
)
def test_suffixes(name: str, label: str, shared: bool) -> None:
    device = resolved(name)
    assert (device.label, device.shared) == (label, shared)


@pytest.mark.parametrize(
    "name", ["NVIDIA-A100-SXM4-40GB-MIG-1g.10gb+gfx", "NVIDIA-L4-MIG-1g.5gb", "NVIDIA-X-MIG-1g.5gb"]
)
def test_a_slice_the_product_does_not_have_is_unmatched(name: str) -> None:
    unmatched(name)


def test_an_unknown_slice_lists_the_known_ones() -> None:
    assert "H100-SXM5-MIG-1g.10gb" in unmatched("NVIDIA-H100-80GB-HBM3-MIG-1g.99gb").nearest


def test_a_slice_has_its_share_of_everything() -> None:
    """1g.10gb of an H100: 16 of 132 SMs (not a seventh), one of eight memory slices, 9.75 GiB."""
    device = resolved("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb")
    assert device_peak(device, Precision.BF16) == pytest.approx(989.4e12 * 16 / 132)
    assert device_bandwidth(device) == pytest.approx(3350e9 / 8)
    assert device_memory(device) == 9.75 * GIB


def test_a_whole_gpu() -> None:
    device = resolved("NVIDIA H100 80GB HBM3")
    assert device_peak(device, Precision.BF16) == pytest.approx(989.4e12)
    assert device_peak(device, Precision.FP32) == pytest.approx(66.9e12)
    assert device_peak(device, Precision.INT4) is None
    assert device_bandwidth(device) == 3350e9
    assert device_memory(device) == 81559 * 1024**2


def test_unlisted_sm_counts_come_from_the_same_chip() -> None:
    """mig.csv lists no SMs for 3g of an H200; it is cut as the same chip's in an H100."""
    h100, h200 = (CATALOG.mig_profile(key, "3g.40gb") for key in ("h100-sxm5-80gb", "h200-sxm-141gb"))
    assert h100 is not None and h200 is None
    slice_of_h200 = CATALOG.mig_profile("h200-sxm-141gb", "3g.71gb")
    assert slice_of_h200 is not None
    assert slice_of_h200.sm_count is None
    assert slice_of_h200.sm_fraction == h100.sm_fraction


def test_unknown_sm_counts_fall_back_to_slices() -> None:
    profile = CATALOG.mig_profile("b200-sxm", "2g.45gb")
    assert profile is not None
    assert profile.sm_fraction == pytest.approx(2 / 7)


@pytest.mark.parametrize("key", sorted(key for key in CATALOG.gpus if CATALOG.mig_profiles(key)))
def test_slices_are_never_more_than_the_gpu(key: str) -> None:
    whole = CATALOG.gpus[key]
    for profile in CATALOG.mig_profiles(key):
        assert 0 < profile.sm_fraction <= 1
        assert profile.memory_bytes <= whole.memory_bytes
        assert profile.max_instances * profile.compute_slices <= 7
        assert all(start + profile.placement_size <= profile.memory_slices_total for start in profile.placement_starts)
        assert len(profile.placement_starts) >= profile.max_instances


def test_products_without_mig_have_no_profiles() -> None:
    assert CATALOG.mig_profiles("l40s") == ()
    assert CATALOG.mig_profile("l40s", "1g.5gb") is None


@pytest.mark.parametrize("key", sorted(CATALOG.gpus))
def test_figures_are_sane(key: str) -> None:
    product = CATALOG.gpus[key]
    assert product.reference_peak_flops_per_s
    assert product.memory_bytes >= 8e9
    assert product.memory_bandwidth_bytes_per_s >= 2e11
    assert product.nvlink_domain_gpus >= 1
    assert product.nvlink_domain_gpus == 1 or product.nvlink_bytes_per_s
    assert product.pcie_bytes_per_s


def clocked(product: GPU) -> bool:
    return None not in (product.sm_count, product.tensor_flops_per_clock_per_sm, product.reference_clock_mhz)


@pytest.mark.parametrize("key", sorted(key for key, product in CATALOG.gpus.items() if clocked(product)))
def test_peak_is_sms_times_rate_times_clock(key: str) -> None:
    """The legend's check: within 0.3 % wherever SMs and clock are known."""
    product = CATALOG.gpus[key]
    sms, rate, clock = product.sm_count, product.tensor_flops_per_clock_per_sm, product.reference_clock_mhz
    assert sms and rate and clock
    assert sms * rate * clock * 1e6 == pytest.approx(product.peaks[Precision.FP16], rel=0.003)


def test_the_visible_mi250x_is_one_die() -> None:
    product = gpu("MI250X")
    assert product.peaks[Precision.BF16] == pytest.approx(191.5e12)
    assert product.memory_bytes == 64e9
    assert product.sm_count == 110


def test_amd_is_predicted_only() -> None:
    assert not gpu("MI300X").observable
    assert gpu("H100-SXM5").observable


def test_link_rates_are_one_direction() -> None:
    assert gpu("H100-SXM5").nvlink_bytes_per_s == 450e9
    assert gpu("H800-SXM5").nvlink_bytes_per_s == 200e9
    assert gpu("L40S").nvlink_bytes_per_s is None
    assert gpu("H100-SXM5").pcie_bytes_per_s == pytest.approx(63e9, rel=0.01)


@pytest.mark.parametrize(
    ("product", "gpus"), [("H100-SXM5", 8), ("GB200", 72), ("H100-NVL", 2), ("H200-NVL", 4), ("L40S", 1), ("MI300X", 8)]
)
def test_link_domains(product: str, gpus: int) -> None:
    assert gpu(product).nvlink_domain_gpus == gpus


@pytest.mark.parametrize(
    ("key", "precision", "fraction"),
    [
        ("h100-sxm5-80gb", Precision.BF16, 794.5 / 989.4),
        ("h100-sxm5-80gb", Precision.FP8, 1402.6 / 1978.9),
        ("h200-sxm-141gb", Precision.BF16, 794.5 / 989.4),
        ("a100-sxm4-80gb", Precision.BF16, 271.2 / 312),
        pytest.param("a100-pcie-80gb", Precision.BF16, 252.9 / 312, id="a superseded row had 256.4"),
        ("b200-sxm", Precision.FP16, 1745.0 / 2250),
        ("gb200", Precision.FP8, 3615.6 / 5000),
        ("h800-sxm5-80gb", Precision.FP8, 1550 / 1978.9),
    ],
)
def test_measured_ceilings(key: str, precision: Precision, fraction: float) -> None:
    found = CATALOG.ceiling(key, precision)
    assert found is not None
    assert found.fraction == pytest.approx(fraction)
    assert found.source


def test_nobody_measured_is_none() -> None:
    assert CATALOG.ceiling("l4", Precision.BF16) is None
    assert CATALOG.ceiling("b200-sxm", Precision.FP4) is None
    assert CATALOG.ceiling("no-such-gpu", Precision.BF16) is None


def test_ceilings_are_below_the_peak() -> None:
    found = [CATALOG.ceiling(key, precision) for key in CATALOG.gpus for precision in Precision]
    fractions = [each.fraction for each in found if each is not None]
    assert len(fractions) >= 20
    assert all(0.4 < fraction < 1 for fraction in fractions)


@pytest.mark.parametrize("key", sorted(CATALOG.gpus))
def test_instances_have_profiles(key: str) -> None:
    """A product that claims MIG instances says which: the smallest profile fits as often as it claims."""
    profiles = CATALOG.mig_profiles(key)
    claimed = CATALOG.gpus[key].mig_max_instances
    assert bool(profiles) == bool(claimed)
    assert max((each.max_instances for each in profiles), default=0) == claimed


def telemetry_names(key: str) -> list[str]:
    return [name for owner, name in load_exact_names() if owner == key]


@pytest.mark.parametrize("key", sorted(CATALOG.gpus))
def test_every_product_resolves_from_a_telemetry_name(key: str) -> None:
    names = telemetry_names(key)
    assert names
    assert {resolved(name).gpu.key for name in names} == {key}


GEFORCE = {"RTX-3090": 71.2, "RTX-4090": 165.2, "RTX-5090": 209.5, "RTX-4090-D": 147.1, "RTX-2080-Ti": 53.8}
FULL_RATE = {"RTX-A6000": 154.8, "A16": 17.97, "A2": 18.1, "RTX-6000-Ada": 364.2, "Quadro-RTX-8000": 130.5}


@pytest.mark.parametrize(("name", "tflops"), (GEFORCE | FULL_RATE | {"L20": 119.5, "MI308X": 232.7}).items())
def test_peaks_are_dense_at_fp32_accumulation(name: str, tflops: float) -> None:
    peak = gpu(name).peak_flops_per_s(Precision.FP16)
    assert peak == pytest.approx(tflops * 1e12)


@pytest.mark.parametrize("name", GEFORCE)
def test_geforce_runs_at_half_the_rate_of_its_workstation_sibling(name: str) -> None:
    """512 FLOPs per clock and SM with FP32 accumulation, where the same chip's workstation card does 1024."""
    assert gpu(name).tensor_flops_per_clock_per_sm == 512


@pytest.mark.parametrize(("spelling", "name"), [("7g.79gb", "7g.80gb"), ("3g.39gb", "3g.40gb"), ("7g.78gb", None)])
def test_a_profile_rounded_down_by_the_driver_is_found(spelling: str, name: str | None) -> None:
    found = CATALOG.mig_profile("a100-pcie-80gb", spelling)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("typed", "first"), [("H100", "H100-SXM5"), ("A100", "A100-PCIe-40GB"), ("MI300", "MI300X"), ("gb", "GB300")]
)
def test_a_family_suggests_its_own_products(typed: str, first: str) -> None:
    found = CATALOG.by_api_name(typed)
    assert isinstance(found, Unmatched)
    assert found.nearest[0] == first
    assert all(name.lower().startswith(typed.lower()) for name in found.nearest)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("RTX 4090", "RTX-4090"),
        ("Tesla V100-DGXS-32GB", "V100-SXM2-32GB"),
        ("AMD Instinct MI300X VF", "MI300X"),
        ("NVIDIA GeForce RTX 3070", "RTX-3070"),
        ("NVIDIA TITAN RTX", "TITAN-RTX"),
        ("Tesla P100-PCIE-16GB", "P100-PCIe-16GB"),
    ],
)
def test_names_of_public_reports(name: str, label: str) -> None:
    assert resolved(name).label == label
