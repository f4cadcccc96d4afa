"""The product table, read once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from mfu.hardware.loading import load_gpus
from mfu.hardware.types import GPU


@lru_cache(maxsize=1)
def gpus() -> Mapping[str, GPU]:
    """All products by key."""
    return MappingProxyType(load_gpus())
