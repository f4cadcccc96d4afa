"""The page that is rendered without the library's samples is the library's page, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mfu.controller.page import Row, Rows, rendered

ACCEPTED = ("", "application/openmetrics-text; version=1.0.0", "text/plain; version=1.0.0; escaping=allow-utf-8")


@dataclass(frozen=True, eq=False)
class Given(Collector):
    metrics: tuple[Metric, ...]

    def collect(self) -> tuple[Metric, ...]:
        return self.metrics


def registry(*metrics: Metric) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(Given(metrics))
    Counter("turns", 'With "quotes".', ["kind"], registry=made).labels("a").inc(3)
    Histogram("seconds", "A line\nand another.", registry=made).observe(0.3)
    return made


ROWS = st.lists(st.tuples(st.tuples(st.text(), st.text()), st.floats()), max_size=4)


@pytest.mark.parametrize("accepted", ACCEPTED)
@given(rows=ROWS, text=st.text())
def test_it_is_the_page_that_the_library_makes(accepted: str, rows: list[Row], text: str) -> None:
    encode, _ = choose_encoder(accepted)
    plain = Rows("mfu_plain", "No labels.", (), [((), value) for _, value in rows[:1]])
    made = registry(Rows("mfu_rows", text, ("zone", "name"), rows), plain)
    assert rendered(encode, made) == encode(made)


def test_each_family_is_made_when_its_turn_has_come() -> None:
    taken: list[str] = []

    class OneByOne(Collector):
        def collect(self) -> Iterator[Metric]:
            for name in ("mfu_a", "mfu_b"):
                taken.append(name)
                yield Rows(name, "", ("row",), (((taken[-1],), 1.0) for _ in range(2)))

    page = rendered(choose_encoder("")[0], OneByOne()).decode()
    assert taken == ["mfu_a", "mfu_b"]
    assert page.count('mfu_a{row="mfu_a"} 1.0') == page.count('mfu_b{row="mfu_b"} 1.0') == 2
