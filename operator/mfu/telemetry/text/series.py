"""The wanted samples of one body, added up the way counters and gauges of workloads need it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import isfinite

from mfu.telemetry.rounds.blanks import is_blank
from mfu.telemetry.text.exposition import Sample, scan

LabelSet = frozenset[tuple[str, str]]
_BROKEN: LabelSet = frozenset({("", "broken")})


@dataclass(frozen=True, slots=True)
class Series:
    """Samples by name. A name is unknown (None) when it is absent or any of its lines is malformed, NaN or negative:
    a sum over what is left would be a wrong number.
    """

    by_name: dict[str, dict[LabelSet, float]]

    def names(self) -> frozenset[str]:
        return frozenset(self.by_name)

    def total(self, *names: str, ignoring: Collection[str] = (), where: tuple[str, str] | None = None) -> float | None:
        """Sum over all label sets of the first of `names` that is there.

        Label sets that differ in `ignoring` only (tensor-parallel ranks repeat their group's count) are one: the
        largest counts. `where` keeps the samples with that label.
        """
        for name in names:
            found = self.by_name.get(name)
            if found is not None:
                return _sum(_selected(found, where), ignoring)
        return None

    def largest(self, *names: str, where: tuple[str, str] | None = None) -> float | None:
        """The largest sample of the first of `names` that is there."""
        for name in names:
            found = self.by_name.get(name)
            if found is not None:
                values = [value for _, value in _selected(found, where)]
                return max(values) if values and all(_good(value) for value in values) else None
        return None


def _selected(found: dict[LabelSet, float], where: tuple[str, str] | None) -> list[tuple[LabelSet, float]]:
    return [item for item in found.items() if where is None or where in item[0] or item[0] == _BROKEN]


def _sum(samples: list[tuple[LabelSet, float]], ignoring: Collection[str]) -> float | None:
    if not samples or not all(_good(value) for _, value in samples):
        return None
    groups: dict[LabelSet, float] = {}
    for labels, value in samples:
        group = frozenset(pair for pair in labels if pair[0] not in ignoring)
        groups[group] = max(value, groups.get(group, 0.0))
    return sum(groups.values())


def _good(value: float) -> bool:
    return value >= 0 and isfinite(value) and not is_blank(value)


def read(body: bytes, names: Iterable[str]) -> Series:
    """Scan a body for these names. The same series twice with two values makes it unknown, as does a cut body all."""
    scanned = scan(body, frozenset(name.encode() for name in names))
    by_name: dict[str, dict[LabelSet, float]] = {}
    for sample in scanned.samples:
        _add(by_name.setdefault(sample.name.decode(), {}), sample)
    broken = set(by_name) if scanned.truncated else {name.decode() for name in scanned.malformed}
    for name in broken:
        by_name.setdefault(name, {})[_BROKEN] = float("nan")
    return Series(by_name)


def _add(found: dict[LabelSet, float], sample: Sample) -> None:
    labels = frozenset(sample.labels.items())
    before = found.get(labels)
    found[labels] = sample.value if before is None or before == sample.value else float("nan")
