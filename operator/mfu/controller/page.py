"""The metrics page of a large fleet: gauges of tens of thousands of rows without an object of the library for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

Row = tuple[Sequence[str], float]
"""Values of the labels, and the value."""
Encode = Callable[[Any], bytes]
"""Of a collector; the library says of a registry, which it takes for its `collect` alone."""


class Rows(Metric):
    """A gauge that keeps labels and values alone; names of metric and labels need no escaping."""

    def __init__(self, name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> None:
        super().__init__(name, text, "gauge")
        self.labels, self.rows = tuple(labels), list(rows)

    @property
    def samples(self) -> list[Sample]:
        """For whoever reads it as the library has it."""
        return [Sample(self.name, dict(zip(self.labels, said, strict=True)), value) for said, value in self.rows]

    @samples.setter
    def samples(self, _: list[Sample]) -> None:
        """The library begins with none."""

    def lines(self) -> Iterator[str]:
        """As the library writes them: labels in the order of their names."""
        places = sorted(range(len(self.labels)), key=self.labels.__getitem__)
        told = [(place, f'{self.labels[place]}="') for place in places]
        for said, value in self.rows:
            labels = ",".join([f'{head}{_escaped(said[place])}"' for place, head in told])
            yield f"{self.name}{'{' if told else ''}{labels}{'}' if told else ''} {_number(value)}\n"


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@dataclass(frozen=True, slots=True, eq=False)
class _Only(Collector):
    metrics: tuple[Metric, ...] = ()

    def collect(self) -> tuple[Metric, ...]:
        return self.metrics


def rendered(encode: Encode, collector: Collector | CollectorRegistry) -> bytes:
    """The page as `encode` makes it, family by family, in a third of the time; no two families are unfolded at once."""
    end = encode(_Only())
    return b"".join([*(_family(encode, each, end) for each in collector.collect()), end])


def _family(encode: Encode, metric: Metric, end: bytes) -> bytes:
    """Without the `end` that the library puts under each page."""
    rows = metric if isinstance(metric, Rows) else None
    told = metric if rows is None else Metric(rows.name, rows.documentation, "gauge")
    lines = () if rows is None else rows.lines()
    return encode(_Only((told,))).removesuffix(end) + "".join(lines).encode()
