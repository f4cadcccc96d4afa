"""What a Grafana panel is made of, and the pieces of queries that several panels share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

Steps = tuple[tuple[float | None, str], ...]
"""From which value on which colour; the first has no value."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the label or the query's letter that fills it, and how it is read."""

    source: str
    title: str
    unit: str = ""
    width: int | None = None
    opens: str = ""
    """uid of the dashboard that a cell opens, with the row's namespace and workload."""


@dataclass(frozen=True)
class Panel:
    """`queries` are (PromQL, legend); `about` is what the panel answers.

    `row` is the headline that stands above it; `top` the end of its axis; `colors` are by legend; `empty` is what it
    says where there is nothing to say. A line chart draws the values of `steps` as lines where it is `marked`.
    """

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    unit: str = "percentunit"
    width: int = 12
    height: int = 8
    row: str = ""
    top: float | None = None
    decimals: int | None = None
    steps: Steps = ((None, "blue"),)
    marked: bool = False
    colors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stacked: bool = False
    empty: str = ""
    named: bool = False
    """A number that is shown by its name: the cause, not the 1 beside it."""
    columns: tuple[Column, ...] = ()
    sort: str = ""
    """Title of the column that the table is sorted by, the largest first."""

    def __post_init__(self) -> None:
        assert not self.sort or self.sort in {each.title for each in self.columns}, self.title


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    about: str
    panels: tuple[Panel, ...]
    variables: tuple[str, ...] = ()
    """Labels of mfu_workload_gpus to choose one value by, outermost first."""


MINE: Final = 'namespace="$namespace"'
ONE: Final = f'{MINE},workload="$workload"'
BEST: Final = "max by (namespace, workload)"
"""Nothing is shown by the operator's process: a new one would stand beside the old one as long as one looks back."""
LOST: Final = f"{BEST} (mfu_workload_lost_per_hour)"
HARDWARE: Final = 'cause=~"DegradedHardware|PowerOrThermal|Straggler|Communication"'
"""Causes that are the provider's to mend; a slow link is one of communication's."""
BARS: Final = 8
"""As many as a panel shows without scrolling."""
FULL: Final = "Nothing here: needs metrics.perWorkload: Full in the policy, and a loss of this kind"
NEUTRAL: Final[Steps] = ((None, "blue"),)
LOSS: Final[Steps] = ((None, "orange"),)
STAT: Final = 4
"""Height of a number."""


def better(metric: str, where: str, mean_of: str = "") -> str:
    """By the meter that the operator itself believes more: progress where there is one, else counters.

    `mean_of` is the time over which it is averaged, such as 6h.
    """
    meters = (f'{metric}{{window="10m",{each}{where}}}' for each in ('meter="Progress",', ""))
    found = (f"avg_over_time({each}[{mean_of}])" if mean_of else each for each in meters)
    return f"({' or '.join(f'{BEST} ({each})' for each in found)})"


def observed(scale: str, where: str, mean_of: str = "") -> str:
    return better(f"mfu_workload_observed_{scale}_ratio", where, mean_of)


def due(where: str) -> str:
    """What would be paid for the same tokens at the expected MFU; nothing, and no divisor, where none are made."""
    cost, lost = (f"{BEST} (mfu_workload_{each}_per_hour{{{where}}})" for each in ("cost", "lost"))
    return f"({cost} - {lost} > 0)"


def number(
    title: str, about: str, query: str, *, unit: str = "percentunit", steps: Steps = NEUTRAL, width: int = 4
) -> Panel:
    """One figure with its past behind it."""
    return Panel(title, about, ((query, title),), "stat", unit, width, STAT, steps=steps)


def factors(group: str, where: str = "") -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"max(mfu_{group}_{name}_ratio{where})", words)
        for name, words in (
            ("scheduling", "scheduling"),
            ("runtime", "runtime"),
            ("program", "program"),
            ("mfu", "MFU"),
        )
    )
