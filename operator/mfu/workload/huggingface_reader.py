"""Reads keys of a config.json with errors that name the missing key and the model kind that needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfu.workload.errors import UnsupportedConfig


@dataclass(frozen=True, slots=True)
class Config:
    """One config.json (or the text part of a multimodal one)."""

    values: Mapping[str, Any]
    model_type: str

    def integer(self, *keys: str, default: int | None = None) -> int:
        """The first of `keys` that is present and not null; without one and a default, UnsupportedConfig."""
        value = self._first(keys)
        if value is None:
            if default is None:
                raise self.missing(keys[0])
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnsupportedConfig(keys[0], f"is {value!r}, not a whole number", "correct the config.json")
        return value

    def size(self, *keys: str) -> int:
        """An integer of at least 1, with no default."""
        value = self.integer(*keys)
        if value < 1:
            raise UnsupportedConfig(keys[0], f"is {value}", "set it to at least 1")
        return value

    def flag(self, *keys: str, default: bool) -> bool:
        """The first of `keys` that is present, as a truth value."""
        value = self._first(keys)
        return default if value is None else bool(value)

    def text(self, *keys: str, default: str = "") -> str:
        """The first of `keys` that is present, as text."""
        value = self._first(keys)
        return default if value is None else str(value)

    def sequence(self, key: str) -> list[Any]:
        """A list, empty where the key is absent or null."""
        value = self.values.get(key)
        return list(value) if isinstance(value, list | tuple) else []

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A nested object, empty where the key is absent or null."""
        value = self.values.get(key)
        return value if isinstance(value, Mapping) else {}

    def missing(self, key: str) -> UnsupportedConfig:
        """The error for a key that this model kind needs."""
        return UnsupportedConfig(key, f"is missing from the config of model_type {self.model_type!r}", f"add {key}")

    def _first(self, keys: tuple[str, ...]) -> Any:
        return next((self.values[key] for key in keys if self.values.get(key) is not None), None)
