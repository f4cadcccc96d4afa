"""Well-known models by name. Dimensions, published counts and their sources are in `data/presets.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from mfu.shipped import table
from mfu.workload.architecture import MLA, Architecture, AttentionKind, Family, MoE
from mfu.workload.errors import UnknownPreset
from mfu.workload.validation import check


@dataclass(frozen=True, slots=True)
class Preset:
    """One shipped model with the parameter count that its authors published and where."""

    architecture: Architecture
    published_parameters: float
    source: str


def names() -> tuple[str, ...]:
    """All preset names, sorted."""
    return tuple(sorted(_load()))


def preset(name: str) -> Architecture:
    """The architecture of a preset, in any case. Raises UnknownPreset with the nearest names."""
    return entry(name).architecture


def entry(name: str) -> Preset:
    """A preset with its published count and source. Raises UnknownPreset with the nearest names."""
    found = _load().get(name.strip().lower())
    if found is None:
        raise UnknownPreset("model.preset", f'"{name}" is not a known preset', _suggestion(name))
    return found


def _suggestion(name: str) -> str:
    nearest = get_close_matches(name.strip().lower(), names(), n=3, cutoff=0.4)
    if nearest:
        return f"did you mean {', '.join(nearest)}? Otherwise give model.architecture"
    return "give model.architecture, or expand a config.json with the command line"


@lru_cache(maxsize=1)
def _load() -> Mapping[str, Preset]:
    presets: dict[str, dict[str, Any]] = table("mfu.workload", "presets.yaml")
    return MappingProxyType({name: _preset(name, fields) for name, fields in presets.items()})


def _preset(name: str, fields: dict[str, Any]) -> Preset:
    dimensions = dict(fields)
    published, source = float(dimensions.pop("published")), str(dimensions.pop("source"))
    if "family" in dimensions:
        dimensions["family"] = Family(dimensions["family"])
    if "moe" in dimensions:
        dimensions["moe"] = MoE(**dimensions["moe"])
    if "mla" in dimensions:
        dimensions["mla"] = MLA(**dimensions["mla"])
        dimensions["attention"] = AttentionKind.MLA
    return Preset(check(Architecture(name=name, **dimensions)), published, source)
