"""Telemetry names: suffixes, vendor prefixes and the exact forms that are compared. Never a substring match."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SUFFIX = re.compile(r"^(?P<product>.+?)[- ]MIG[- ](?P<profile>\d+g\.\d+gb[a-z.+-]*)$", re.IGNORECASE)
_SHARED = "-SHARED"
_VENDOR = re.compile(r"^(?:NVIDIA|Tesla|AMD|Instinct)[ _-]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TelemetryName:
    """A name as NVML, DCGM or GFD printed it, taken apart."""

    product: str
    mig_profile: str | None
    shared: bool


def parse(name: str) -> TelemetryName:
    """Split GFD's `-MIG-<profile>` and `-SHARED` suffixes off.

    `parse("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED") == TelemetryName("NVIDIA-A100-SXM4-40GB", "1g.5gb", True)`
    """
    text = name.strip()
    shared = text.endswith(_SHARED)
    text = text.removesuffix(_SHARED)
    match = _SUFFIX.match(text)
    if match is None:
        return TelemetryName(text, None, shared)
    product = match["product"]
    return TelemetryName(product.removesuffix(_SHARED), match["profile"], shared or product.endswith(_SHARED))


def without_vendor(product: str) -> str:
    """Drop brand prefixes: `without_vendor("AMD Instinct MI300X") == "MI300X"`."""
    while (shorter := _VENDOR.sub("", product)) != product:
        product = shorter
    return product


def canonical(product: str) -> str:
    """The form that is looked up: no brand, lower case, letters and digits only.

    `canonical("NVIDIA-H100-PCIe") == "h100pcie"`
    """
    return re.sub(r"[^a-z0-9]", "", without_vendor(product.strip()).lower())


def canonical_profile(profile: str) -> str:
    """GFD drops or replaces the plus of `1g.10gb+me`; a minus keeps its meaning.

    `canonical_profile("1g.10gb.me") == "1g10gbme"`
    """
    return re.sub(r"[^a-z0-9-]", "", profile.lower())


def rounded_down(profile: str) -> str:
    """The name whose memory a driver may have rounded down by one: `rounded_down("3g.39gb") == "3g.40gb"`."""
    match = re.fullmatch(r"(\d+g\.)(\d+)(gb.*)", profile)
    return f"{match[1]}{int(match[2]) + 1}{match[3]}" if match else profile
