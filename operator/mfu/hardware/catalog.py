"""Which product a name means, and what that product can do. Unknown names stay unknown: no MFU is computed for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache

from mfu.hardware.catalog_data import gpus
from mfu.hardware.ceilings import Ceilings, load_ceilings
from mfu.hardware.loading import load_exact_names, load_mig, load_name_patterns
from mfu.hardware.names import TelemetryName, canonical, canonical_profile, parse, rounded_down, without_vendor
from mfu.hardware.types import GPU, Ceiling, Device, MIGProfile, Precision, Unmatched

_NEAREST = 3
_OF_A_FAMILY = 6


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All products, their MIG profiles and measured ceilings."""

    gpus: Mapping[str, GPU]
    _exact: Mapping[str, str] = field(repr=False)
    _patterns: tuple[tuple[re.Pattern[str], str], ...] = field(repr=False)
    _api_names: Mapping[str, str] = field(repr=False)
    _mig: Mapping[str, tuple[MIGProfile, ...]] = field(repr=False)
    _ceilings: Ceilings = field(repr=False)

    def resolve(self, name: str) -> Device | Unmatched:
        """The device that NVML, DCGM or GFD means by `name`, a MIG slice where GFD says so.

        `resolve("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb").label == "H100-SXM5-MIG-1g.10gb"`. Exact names first, then the
        anchored patterns of the data; a MIG profile that the product does not have is Unmatched too.
        """
        return _resolve(self, name)

    def by_api_name(self, name: str) -> GPU | Unmatched:
        """The product of `spec.accelerators.products`: its API name, key or exact telemetry name, any case."""
        key = self._api_names.get(name.strip().lower()) or self._exact.get(canonical(name))
        if key is not None:
            return self.gpus[key]
        known = {gpu.api_name.lower(): gpu.api_name for gpu in self.gpus.values()}
        return Unmatched(name, _nearest(name.strip().lower(), known))

    def mig_profiles(self, gpu_key: str) -> tuple[MIGProfile, ...]:
        """Every MIG profile of the product, empty where it has none."""
        return self._mig.get(gpu_key, ())

    def mig_profile(self, gpu_key: str, profile: str) -> MIGProfile | None:
        """One profile by NVIDIA's name ("1g.10gb+me") or GFD's spelling of it; None where the product has none such.

        Some drivers round the memory down: `7g.79gb` of an A100 is its 7g.80gb.
        """
        profiles = self.mig_profiles(gpu_key)
        exact = next((each for each in profiles if each.name == profile), None)
        wanted = canonical_profile(profile)
        spelled = next((each for each in profiles if canonical_profile(each.name) == wanted), None)
        return exact or spelled or next((each for each in profiles if rounded_down(profile) == each.name), None)

    def ceiling(self, gpu_key: str, precision: Precision) -> Ceiling | None:
        """Best measured matrix-product rate of the product at that precision, None where nobody published one."""
        return self._ceilings.get((gpu_key, precision))

    def _resolve(self, name: str) -> Device | Unmatched:
        parsed = parse(name)
        key = self._exact.get(canonical(parsed.product)) or self._key_by_pattern(parsed.product)
        if key is None:
            return self._unmatched(name, parsed)
        gpu = self.gpus[key]
        if parsed.mig_profile is None:
            return Device(gpu, None, parsed.shared)
        profile = self.mig_profile(key, parsed.mig_profile)
        if profile is None:
            return Unmatched(name, tuple(f"{gpu.api_name}-MIG-{each.name}" for each in self.mig_profiles(key)))
        return Device(gpu, profile, parsed.shared)

    def _key_by_pattern(self, product: str) -> str | None:
        bare = without_vendor(product)
        found = {key for pattern, key in self._patterns if pattern.fullmatch(product) or pattern.fullmatch(bare)}
        return found.pop() if len(found) == 1 else None

    def _unmatched(self, name: str, parsed: TelemetryName) -> Unmatched:
        known = {exact: self.gpus[key].name for exact, key in self._exact.items()}
        return Unmatched(name, _nearest(canonical(parsed.product), known))


@lru_cache(maxsize=4096)
def _resolve(catalog: Catalog, name: str) -> Device | Unmatched:
    """A fleet of thousands of GPUs has a handful of names: each is taken apart once."""
    return catalog._resolve(name)


@lru_cache(maxsize=1)
def load() -> Catalog:
    """The catalog of the shipped data files, read once."""
    table = gpus()
    return Catalog(
        gpus=table,
        # What people type ("RTX 4090") beside what telemetry prints.
        _exact={canonical(gpu.api_name): gpu.key for gpu in table.values()}
        | {canonical(name): key for key, name in load_exact_names()},
        _patterns=tuple((re.compile(pattern), key) for key, pattern in load_name_patterns()),
        _api_names={alias: gpu.key for gpu in table.values() for alias in (gpu.key, gpu.api_name.lower())},
        _mig=load_mig(table),
        _ceilings=load_ceilings(table),
    )


def device_peak(device: Device, precision: Precision) -> float | None:
    """Dense peak in FLOP/s of the GPU or of its slice: the slice's share of SMs, not sevenths. None where unknown."""
    peak = device.gpu.peak_flops_per_s(precision)
    if peak is None or device.mig is None:
        return peak
    return peak * device.mig.sm_fraction


def device_bandwidth(device: Device) -> float:
    """Memory bandwidth in bytes/s; a slice owns its memory slices' share of the channels."""
    whole = device.gpu.memory_bandwidth_bytes_per_s
    if device.mig is None:
        return whole
    return whole * device.mig.memory_slices / device.mig.memory_slices_total


def device_memory(device: Device) -> float:
    """Memory in bytes that the workload can see."""
    return device.gpu.memory_bytes if device.mig is None else device.mig.memory_bytes


def _nearest(wanted: str, known: Mapping[str, str]) -> tuple[str, ...]:
    """Products of that very family first: "H100" means one of the H100s, not an H800."""
    sought = canonical(wanted)
    family = re.compile(rf"(?<![a-z0-9]){re.escape(sought)}(?![0-9])") if sought else None
    of_it = {known[name]: None for name in known if family is not None and family.match(canonical(name))}
    if of_it:
        return tuple(of_it)[:_OF_A_FAMILY]
    close = get_close_matches(wanted, known.keys(), n=_NEAREST, cutoff=0.4)
    return tuple(dict.fromkeys(known[name] for name in close))
