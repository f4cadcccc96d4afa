"""What a Grafana panel is made of, and the pieces of queries that several panels share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Panel:
    """`queries` are (PromQL, legend); `about` is what the panel answers."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    unit: str = "percentunit"
    width: int = 12


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[str, ...] = ()
    """Labels of mfu_workload_gpus to choose by, outermost first."""


MINE: Final = 'namespace=~"$namespace"'
ONE: Final = f'{MINE},workload=~"$workload"'
BEST: Final = "max by (namespace, workload)"
NAMED: Final = "{{namespace}}/{{workload}}"
HARDWARE: Final = 'cause=~"DegradedHardware|PowerOrThermal|Straggler|Communication"'
"""Causes that are the provider's to mend; a slow link is one of communication's."""
DUE: Final = "(mfu_workload_cost_per_hour - mfu_workload_lost_per_hour)"
"""What would be paid for the same tokens at the expected MFU."""


def observed(scale: str, where: str) -> str:
    return f'{BEST} (mfu_workload_observed_{scale}_ratio{{window="10m",{where}}})'


def factors(group: str, where: str = "") -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"mfu_{group}_{name}_ratio{where}", f"{words} {{{{namespace}}}}".strip() if where else words)
        for name, words in (
            ("scheduling", "scheduling"),
            ("runtime", "runtime"),
            ("program", "program"),
            ("mfu", "MFU"),
        )
    )
