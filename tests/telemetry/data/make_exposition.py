"""Writes the exposition texts beside it: label order, quoting and number formats of each dcgm-exporter release.

Formats are dcgm-exporter's (its render template, default CSV and collector); every value, UUID, bus id, node and pod
name is invented. Run it from this folder after changing it.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
UUIDS = [f"GPU-5b1c2a3d-0000-4000-8000-00000000000{index}" for index in range(4)]
BUSES = ["1B", "43", "52", "9D"]
PODS = {0: ("trainer", "team-a", "llama-0"), 1: ("trainer", "team-a", "llama-0"), 3: None}
MIG = {1: ("3g.40gb", ("vllm", "team-b", "svc-7c9d-xk2lp")), 9: ("1g.10gb", None)}
VALUES = {
    "SM_CLOCK": (1755, 1740, 345),
    "POWER": (652.318, 640.002, 68.114),
    "ENERGY_MJ": (91234567120, 90000000001, 1234567890),
    "GPU_UTIL": (99, 1, 0),
    "FB_FREE": (18000, 17000, 81000),
    "FB_USED": (62932, 63932, 17),
    "FB_RESERVED": (627, 627, 542),
    "TENSOR": (0.431207, 0.402001, 0.0),
    "DRAM": (0.302118, 0.288, 0.0001),
    "GRAPHICS": (0.998, 0.991, 0.0),
    "PCIE_RX": (184512331, 190000000, 20133),
    "PCIE_TX": (104512331, 110000000, 10133),
}
GPUS = (0, 1, 3)


def labels(gpu: int, version: str, *, attributes: str = "", pod: tuple[str, str, str] | str | None = "default") -> str:
    host = "Hostname" if version == "legacy" else "hostname"
    driver = "DCGM_FI_SYSTEM_DRIVER_VERSION" if version == "new" else "DCGM_FI_DRIVER_VERSION"
    text = (
        f'gpu="{gpu}",UUID="{UUIDS[gpu]}",pci_bus_id="00000000:{BUSES[gpu]}:00.0",device="nvidia{gpu}",'
        f'modelName="NVIDIA H100 80GB HBM3"{attributes},{host}="gpu-node-01",{driver}="580.105.08"'
    )
    runs = PODS.get(gpu) if isinstance(pod, str) else pod
    if runs:
        container, namespace, name = runs
        text += f',container="{container}",namespace="{namespace}",pod="{name}"'
    return text


def block(name: str, kind: str, text: str, rows: list[str]) -> str:
    return "\n".join([f"# HELP {name} {text}", f"# TYPE {name} {kind}", *rows]) + "\n"


def series(name: str, version: str, numbers: tuple[object, ...], kind: str = "gauge", text: str = "") -> str:
    rows = [f"{name}{{{labels(gpu, version)}}} {number}" for gpu, number in zip(GPUS, numbers, strict=True)]
    return block(name, kind, text, rows)


def fixed(values: tuple[float, ...], scale: float = 1.0) -> tuple[str, ...]:
    return tuple(f"{value * scale:.6f}" for value in values)


def mig(name: str, version: str) -> str:
    rows = []
    for (instance, (profile, pod)), number in zip(MIG.items(), ("0.118954", "0.000000"), strict=True):
        attributes = f',GPU_I_PROFILE="{profile}",GPU_I_ID="{instance}"'
        rows.append(f"{name}{{{labels(2, version, attributes=attributes, pod=pod)}}} {number}\n")
    return "".join(rows)


def old_names(version: str) -> str:
    body = series("DCGM_FI_DEV_SM_CLOCK", version, VALUES["SM_CLOCK"], text="SM clock frequency (in MHz).")
    body += series("DCGM_FI_DEV_POWER_USAGE", version, fixed(VALUES["POWER"]), text="Power draw (in W).")
    body += series("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", version, VALUES["ENERGY_MJ"], "counter", "(in mJ).")
    body += series("DCGM_FI_DEV_GPU_UTIL", version, VALUES["GPU_UTIL"], text="GPU utilization (in %).")
    body += series("DCGM_FI_DEV_FB_FREE", version, VALUES["FB_FREE"], text="Frame buffer memory free (in MB).")
    body += series("DCGM_FI_DEV_FB_USED", version, VALUES["FB_USED"], text="Frame buffer memory used (in MB).")
    body += series("DCGM_FI_DEV_FB_RESERVED", version, VALUES["FB_RESERVED"], text="Frame buffer reserved (in MB).")
    body += series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", version, fixed(VALUES["GRAPHICS"]))
    body += series("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", version, fixed(VALUES["TENSOR"]))
    body += mig("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", version)
    body += series("DCGM_FI_PROF_DRAM_ACTIVE", version, fixed(VALUES["DRAM"]))
    body += series("DCGM_FI_PROF_PCIE_TX_BYTES", version, VALUES["PCIE_TX"])
    body += series("DCGM_FI_PROF_PCIE_RX_BYTES", version, VALUES["PCIE_RX"])
    attributes = labels(1, version).replace(
        ',namespace="team-a"', ',err_code="31",err_msg="GPU memory page fault",namespace="team-a"'
    )
    body += block("DCGM_FI_DEV_XID_ERRORS", "gauge", "Last XID.", [f"DCGM_FI_DEV_XID_ERRORS{{{attributes}}} 31"])
    body += block(
        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
        "counter",
        "Typed counter, yet MB/s.",
        [f"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{{{labels(0, version)}}} 81234"],
    )
    return body


def transition() -> str:
    """4.8.4 with a custom CSV in the new spelling: the utilisation is still percent, the clock has its new id."""
    body = old_names("transition").replace("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO")
    body = body.replace("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_TENSOR_UTIL_RATIO")
    return body.replace("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS")


def new() -> str:
    mib, version = 1024 * 1024, "new"
    body = series("DCGM_FI_DEV_SM_CLOCK_HERTZ", version, tuple(int(v * 1e6) for v in VALUES["SM_CLOCK"]))
    body += series("DCGM_FI_DEV_BOARD_POWER_WATTS", version, fixed(VALUES["POWER"]))
    body += series("DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", version, fixed(VALUES["ENERGY_MJ"], 1e-3), "counter")
    body += series("DCGM_FI_DEV_GPU_UTIL_RATIO", version, fixed(VALUES["GPU_UTIL"], 1e-2))
    body += series("DCGM_FI_DEV_FB_USED", version, tuple(v * mib for v in VALUES["FB_USED"]))
    body += series("DCGM_FI_DEV_FB_FREE", version, tuple(v * mib for v in VALUES["FB_FREE"]))
    total = zip(VALUES["FB_FREE"], VALUES["FB_USED"], VALUES["FB_RESERVED"], strict=True)
    body += series("DCGM_FI_DEV_FB_CAPACITY_BYTES", version, tuple(sum(parts) * mib for parts in total))
    body += series("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", version, fixed(VALUES["GRAPHICS"]))
    body += series("DCGM_FI_PROF_TENSOR_UTIL_RATIO", version, fixed(VALUES["TENSOR"]))
    body += mig("DCGM_FI_PROF_TENSOR_UTIL_RATIO", version)
    body += series("DCGM_FI_PROF_DRAM_UTIL_RATIO", version, fixed(VALUES["DRAM"]))
    body += series("DCGM_FI_PROF_PCIE_TX_BYTES", version, VALUES["PCIE_TX"])
    body += series("DCGM_FI_PROF_PCIE_RX_BYTES", version, VALUES["PCIE_RX"])
    attributes = labels(1, version).replace(
        ',namespace="team-a"', ',err_code="31",err_msg="GPU memory page fault",namespace="team-a"'
    )
    return body + block("DCGM_FI_DEV_XID_ERROR", "gauge", "Last XID.", [f"DCGM_FI_DEV_XID_ERROR{{{attributes}}} 31"])


if __name__ == "__main__":
    for name, text in (("legacy", old_names("legacy")), ("transition", transition()), ("new", new())):
        (HERE / f"dcgm_{name}.txt").write_text(text)
