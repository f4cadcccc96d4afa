"""Grafana dashboards from lists of panels, built with Grafana's own SDK: `python -m tools.generate.gen_dashboards
[--check]`.

Only what every Grafana since 9 has: time series, stat and table, one Prometheus data source chosen by a variable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.generate.dashboards import DASHBOARDS
from tools.generate.generated import publish
from tools.generate.panels import Dashboard, Panel

TARGET: Final = Path(__file__).parents[2] / "charts" / "mfu-operator" / "files" / "dashboards"
HEIGHT: Final = 8
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_Builder = timeseries.Panel | stat.Panel | table.Panel
_KINDS: Final[Mapping[str, type[_Builder]]] = MappingProxyType(
    {"timeseries": timeseries.Panel, "stat": stat.Panel, "table": table.Panel}
)


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON that Grafana imports."""
    board = (
        boards.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .tags(["mfu"])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("1m")
        .time("now-6h", "now")
        .with_variable(boards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in _variables(dashboard.variables):
        board.with_variable(variable)
    for number, panel in enumerate(dashboard.panels, 1):
        board.with_panel(_panel(panel, number))
    found: dict[str, Any] = json.loads(JSONEncoder().encode(board.build()))
    return found


def _variables(labels: Sequence[str]) -> Iterator[boards.QueryVariable]:
    for at, label in enumerate(labels):
        outer = ",".join(f'{each}=~"${each}"' for each in labels[:at])
        yield (
            boards.QueryVariable(label)
            .datasource(_SOURCE)
            .query(f"label_values(mfu_workload_gpus{{{outer}}}, {label})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .multi(True)
            .all_value(".*")
            .current(VariableOption(selected=True, text="All", value="$__all"))
        )


def _panel(panel: Panel, number: int) -> _Builder:
    """The SDK places it: from left to right, a new row where the next does not fit."""
    built = (
        _KINDS[panel.kind]()
        .id(number)
        .title(panel.title)
        .description(panel.about)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(panel.width)
        .height(HEIGHT)
    )
    for at, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).datasource(_SOURCE)
        query.ref_id(chr(ord("A") + at))
        built.with_target(query.instant().format(PromQueryFormat.TABLE) if panel.kind == "table" else query)
    return built


def main(arguments: Sequence[str]) -> int:
    results = [
        publish(TARGET / f"{each.uid}.json", json.dumps(rendered(each), indent=1) + "\n", arguments)
        for each in DASHBOARDS
    ]
    return max(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
