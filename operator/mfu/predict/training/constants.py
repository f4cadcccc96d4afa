"""The few constants of the model, read once from `data/constants.json`, where each has its unit, meaning and source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class TrainingConstants:
    """Numbers by name; the ones that differ by GPU architecture or engine are tables with a "default" entry."""

    numbers: Mapping[str, float]
    tables: Mapping[str, Mapping[str, float]]

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def of(self, table: str, key: str | None) -> float:
        """The entry of one GPU architecture or engine, that of the first word of its name, or the table's default."""
        entries = self.tables[table]
        named = key or DEFAULT
        return entries[next((each for each in (named, _first_word(named)) if each in entries), DEFAULT)]

    def measured(self, table: str, key: str) -> bool:
        """Whether `of` finds more than the table's default."""
        entries = self.tables[table]
        return key in entries or _first_word(key) in entries

    def replace(self, values: Mapping[str, float]) -> TrainingConstants:
        """The same constants with some changed; a table's entry is named "table.key"."""
        numbers = dict(self.numbers)
        tables = {name: dict(entries) for name, entries in self.tables.items()}
        for name, value in values.items():
            table, _, key = name.partition(".")
            if key:
                tables[table][key] = value
            else:
                numbers[name] = value
        return TrainingConstants(numbers, tables)


def _first_word(name: str) -> str:
    """`_first_word("Unknown InternEvo") == "Unknown"`: engines without a name, each with its source."""
    return name.partition(" ")[0]


def parse(document: Mapping[str, Mapping[str, object]]) -> TrainingConstants:
    """Constants from the JSON document: `value` is a number or a table of numbers."""
    numbers: dict[str, float] = {}
    tables: dict[str, Mapping[str, float]] = {}
    for name, entry in document.items():
        value = entry["value"]
        if isinstance(value, dict):
            tables[name] = {str(key): float(number) for key, number in value.items()}
        elif isinstance(value, int | float):
            numbers[name] = float(value)
    return TrainingConstants(numbers, tables)


def document() -> dict[str, dict[str, object]]:
    """The JSON document itself: value, unit, meaning and source of each constant."""
    text = resources.files("mfu.predict.training").joinpath("data/constants.json").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, object]] = json.loads(text)
    return loaded


@lru_cache(maxsize=1)
def shipped() -> TrainingConstants:
    """The constants that the product ships."""
    return parse(document())
