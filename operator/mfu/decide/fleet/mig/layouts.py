"""Which MIG instances fit on one GPU together, by NVIDIA's placement table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, MIGProfile

Counts = tuple[int, ...]
"""Instances by profile, in the order of `profiles_of`."""


class SlicePlace(NamedTuple):
    """One instance: its profile and the first memory slice that it takes."""

    profile: str
    start: int


@lru_cache(maxsize=128)
def profiles_of(gpu_key: str) -> tuple[MIGProfile, ...]:
    """Of one product, the largest first."""
    found = load().mig_profiles(gpu_key)
    return tuple(sorted(found, key=lambda each: (-each.memory_slices, -each.compute_slices, each.name)))


@lru_cache(maxsize=128)
def layouts_of(gpu_key: str) -> Mapping[Counts, tuple[SlicePlace, ...]]:
    """Every set of instances that one GPU can hold, with places for them. Empty for a product without MIG.

    On an H100 `3g.40gb` twice, or `4g.40gb` and `3g.40gb`, but never `4g.40gb` twice: it starts at slice 0 only.
    """
    profiles = profiles_of(gpu_key)
    gpu = load().gpus.get(gpu_key)
    if not profiles or not isinstance(gpu, GPU):
        return {}
    found: dict[Counts, tuple[SlicePlace, ...]] = {}
    for instances in _grown((), profiles, gpu.mig_max_instances):
        found.setdefault(counts_of(gpu_key, instances), instances)
    return found


def counts_of(gpu_key: str, instances: tuple[SlicePlace, ...]) -> Counts:
    names = [each.profile for each in instances]
    return tuple(names.count(profile.name) for profile in profiles_of(gpu_key))


def _grown(
    instances: tuple[SlicePlace, ...], profiles: tuple[MIGProfile, ...], most: int
) -> Iterator[tuple[SlicePlace, ...]]:
    """`instances` and everything that can be added behind them: starts rise, so that each set comes once."""
    yield instances
    taken = {profile.name: profile for profile in profiles}
    after = 0
    if instances:
        last = instances[-1]
        after = last.start + taken[last.profile].placement_size
    compute = sum(taken[each.profile].compute_slices for each in instances)
    for profile in profiles:
        already = sum(each.profile == profile.name for each in instances)
        if already >= profile.max_instances or compute + profile.compute_slices > most:
            continue
        for start in profile.placement_starts:
            if start >= after:
                yield from _grown((*instances, SlicePlace(profile.name, start)), profiles, most)


@lru_cache(maxsize=128)
def full_layouts(gpu_key: str) -> tuple[Counts, ...]:
    """Those to which nothing can be added: all that a planner has to choose among."""
    known = layouts_of(gpu_key)
    return tuple(sorted(each for each in known if not any(_one_more(each, other) for other in known)))


def _one_more(fewer: Counts, more: Counts) -> bool:
    return fewer != more and all(a <= b for a, b in zip(fewer, more, strict=True))
