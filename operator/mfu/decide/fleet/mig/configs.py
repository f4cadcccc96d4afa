"""The layouts that mig-manager knows by name: the same for every GPU of a node.

gpu-operator generates them from the hardware: `all-<profile>` with as many instances as fit, and `all-balanced`, which
on a GPU of seven slices is two of the smallest, one of two and one of three (mig-parted, deployments/…/config.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from mfu.decide.fleet.mig.layouts import Counts, layouts_of, profiles_of
from mfu.hardware.types import MIGProfile

BALANCED: Final[Mapping[int, int]] = {1: 2, 2: 1, 3: 1}
"""Instances by compute slices."""


@lru_cache(maxsize=128)
def named_layouts(gpu_key: str) -> Mapping[str, Counts]:
    """Instances of one GPU by name of the layout; those with media engines (`+me`) are left to people.

    On an H100 `all-3g.40gb` is two instances, `all-4g.40gb` one.
    """
    profiles = profiles_of(gpu_key)
    plain = [each for each in profiles if "+" not in each.name]
    found = {f"all-{each.name}": _counts(profiles, {each.name: each.max_instances}) for each in plain}
    balanced = _counts(profiles, {_smallest(plain, slices): count for slices, count in BALANCED.items()})
    if balanced in layouts_of(gpu_key):
        found["all-balanced"] = balanced
    return {name: counts for name, counts in found.items() if counts in layouts_of(gpu_key)}


def _smallest(profiles: list[MIGProfile], compute_slices: int) -> str:
    of_that_size = [each for each in profiles if each.compute_slices == compute_slices]
    return min(of_that_size, key=lambda each: each.memory_bytes).name if of_that_size else ""


def _counts(profiles: tuple[MIGProfile, ...], instances: Mapping[str, int]) -> Counts:
    return tuple(instances.get(each.name, 0) for each in profiles)
