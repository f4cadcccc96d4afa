"""Names and labels of the node agent's exposition: stable, one unit each. The agent writes, we read."""

from __future__ import annotations

from typing import Final

from mfu.observe.metric import Metric

LABELS: Final = ("uuid", "gpu_instance", "node", "product", "mig_profile", "namespace", "pod", "container")
"""Labels of every device series, in this order. `gpu_instance` and `mig_profile` are "" on a whole GPU, the pod's
labels "" on a free device; a device that several pods share is printed once a pod with `shared="true"` at the end."""
SHARED: Final = "shared"
INDEX: Final = "gpu"

GAUGES: Final[dict[Metric, tuple[str, str]]] = {
    Metric.TENSOR_ACTIVE: ("mfu_gpu_tensor_active_ratio", "Share of cycles with a tensor pipe active"),
    Metric.SM_ACTIVE: ("mfu_gpu_sm_active_ratio", "Share of cycles with a warp resident, mean over SMs"),
    Metric.SM_OCCUPANCY: ("mfu_gpu_sm_occupancy_ratio", "Resident warps over the most possible"),
    Metric.DRAM_ACTIVE: ("mfu_gpu_dram_active_ratio", "Share of cycles with the memory interface busy"),
    Metric.GR_ENGINE_ACTIVE: ("mfu_gpu_graphics_engine_active_ratio", "Share of time a compute context was busy"),
    Metric.FP64_ACTIVE: ("mfu_gpu_fp64_active_ratio", "Share of cycles with the FP64 pipe active"),
    Metric.FP32_ACTIVE: ("mfu_gpu_fp32_active_ratio", "Share of cycles with the FP32 pipe active"),
    Metric.FP16_ACTIVE: ("mfu_gpu_fp16_active_ratio", "Share of cycles with the FP16 pipe active, tensor excluded"),
    Metric.INTEGER_ACTIVE: ("mfu_gpu_integer_active_ratio", "Share of cycles with the integer pipe active"),
    Metric.HMMA_ACTIVE: ("mfu_gpu_hmma_active_ratio", "Share of cycles with half-precision matrix units active"),
    Metric.IMMA_ACTIVE: ("mfu_gpu_imma_active_ratio", "Share of cycles with integer matrix units active"),
    Metric.DFMA_ACTIVE: ("mfu_gpu_dfma_active_ratio", "Share of cycles with double-precision matrix units active"),
    Metric.SM_CLOCK: ("mfu_gpu_sm_clock_hertz", "SM clock"),
    Metric.POWER: ("mfu_gpu_power_watts", "Board power draw"),
    Metric.POWER_LIMIT: ("mfu_gpu_power_limit_watts", "Enforced power limit"),
    Metric.FB_USED: ("mfu_gpu_memory_used_bytes", "Device memory in use"),
    Metric.FB_TOTAL: ("mfu_gpu_memory_total_bytes", "Device memory"),
    Metric.PCIE_RX: ("mfu_gpu_pcie_receive_bytes_per_second", "PCIe traffic into the GPU"),
    Metric.PCIE_TX: ("mfu_gpu_pcie_transmit_bytes_per_second", "PCIe traffic out of the GPU"),
    Metric.NVLINK_RX: ("mfu_gpu_nvlink_receive_bytes_per_second", "NVLink traffic into the GPU, all links"),
    Metric.NVLINK_TX: ("mfu_gpu_nvlink_transmit_bytes_per_second", "NVLink traffic out of the GPU, all links"),
    Metric.GPU_UTIL: ("mfu_gpu_utilization_ratio", "NVML GPU utilisation: a kernel was resident"),
    Metric.MEM_UTIL: ("mfu_gpu_memory_utilization_ratio", "NVML memory utilisation: the controller was busy"),
    Metric.CLOCK_EVENTS: ("mfu_gpu_clock_events_mask", "NVML clock-event reasons, bit mask"),
    Metric.XID: ("mfu_gpu_last_xid", "Number of the last Xid error, 0 for none"),
    Metric.TEMPERATURE: ("mfu_gpu_temperature_celsius", "GPU temperature"),
    Metric.PCIE_LINK_GEN: ("mfu_gpu_pcie_link_generation", "PCIe generation in use"),
    Metric.PCIE_LINK_WIDTH: ("mfu_gpu_pcie_link_width", "PCIe lanes in use"),
    Metric.POWER_VIOLATION_RATIO: ("mfu_gpu_power_violation_ratio", "Share of time held back by the power cap"),
    Metric.THERMAL_VIOLATION_RATIO: ("mfu_gpu_thermal_violation_ratio", "Share of time held back by heat"),
}
"""Metric → (series name, help text). All gauges, in the units of `Metric`."""

COUNTERS: Final[dict[Metric, tuple[str, str]]] = {
    Metric.ENERGY: ("mfu_gpu_energy_joules_total", "Energy since the driver was loaded"),
    Metric.ECC_UNCORRECTED: ("mfu_gpu_ecc_uncorrected_errors_total", "Uncorrected memory errors"),
}
"""Metric → (series name, help text) of monotonic series."""

SERIES: Final[dict[Metric, str]] = {metric: name for metric, (name, _) in {**GAUGES, **COUNTERS}.items()}

OBSERVED_AT: Final = "mfu_gpu_sample_timestamp_seconds"
"""Unix time of the device's last good sample, with the same labels: a device that no longer answers stands still."""
PROFILING: Final = "mfu_agent_profiling_available"
"""1 where GPM (or DCGM) gives pipe activity, 0 where only NVML answers. No labels but `node`."""
INTERVAL: Final = "mfu_agent_sample_interval_seconds"
"""The agent's own sampling interval. No labels but `node`."""
