"""Reads keys of a config.json: the file first, then the defaults of the kind; remembers what was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mfu.workload.errors import UnsupportedConfig

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One config.json (or the text part of a multimodal one) with the defaults that its kind's class would fill in."""

    values: Mapping[str, Any]
    model_type: str
    defaults: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    read: set[str] = field(default_factory=set, compare=False)
    """Keys that something has asked for, in the file or not."""
    assumed: dict[str, Any] = field(default_factory=dict, compare=False)
    """Keys whose class default was used because the file leaves them out."""

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
        """An integer of at least 1, with no default but the kind's own."""
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

    def sequence(self, *keys: str) -> list[Any]:
        """The first of `keys` that is a list, empty where none is."""
        self.read.update(keys)
        found = (self.values.get(key) for key in keys)
        return next((list(value) for value in found if isinstance(value, list | tuple)), [])

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A nested object, empty where the key is absent or null."""
        self.read.add(key)
        value = self.values.get(key)
        return value if isinstance(value, Mapping) else {}

    def value(self, *keys: str) -> Any:
        """The first of `keys` that is present, as it is; None where none is."""
        return self._first(keys)

    def given(self, *keys: str) -> bool:
        """Whether the file itself holds one of `keys`."""
        return any(self.values.get(key) is not None for key in keys)

    def nested(self, key: str) -> ModelConfig:
        """A nested object as a config of its own."""
        return ModelConfig(self.mapping(key), f"{self.model_type} {key}")

    def missing(self, key: str) -> UnsupportedConfig:
        """The error for a key that this model kind needs."""
        return UnsupportedConfig(key, f"is missing from the config of model_type {self.model_type!r}", f"add {key}")

    def _first(self, keys: tuple[str, ...]) -> Any:
        self.read.update(keys)
        written = next((self.values[key] for key in keys if self.values.get(key) is not None), None)
        if written is not None:
            return written
        key = next((key for key in keys if self.defaults.get(key) is not None), None)
        if key is None or any(each in self.values for each in keys):
            return None
        self.assumed[key] = self.defaults[key]
        return self.defaults[key]
