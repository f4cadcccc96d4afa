"""Grafana dashboards from lists of panels, built with Grafana's own SDK: `python -m tools.generate.gen_dashboards
[--check]`.

Only what every Grafana since 9 has: time series, stat, bar gauge and table, one Prometheus data source chosen by a
variable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.generate.dashboards import DASHBOARDS
from tools.generate.drawn_as import DrawnAs, drawn_as
from tools.generate.generated import publish
from tools.generate.panels import Dashboard, Panel

TARGET: Final = Path(__file__).parents[2] / "charts" / "mfu-operator" / "files" / "dashboards"
ROW_NUMBERS: Final = 100
"""Above those of the panels: a panel keeps its number where a row is added."""
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON that Grafana imports."""
    board = (
        boards.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.about)
        .tags(["mfu"])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("1m")
        .time("now-6h", "now")
        .with_variable(boards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in _variables(dashboard.variables):
        board.with_variable(variable)
    for link in _links(dashboard):
        board.link(link)
    rows = 0
    for number, panel in enumerate(dashboard.panels, 1):
        if panel.row:
            rows += 1
            board.with_row(boards.Row(panel.row).id(ROW_NUMBERS + rows))
        board.with_panel(_panel(panel, number))
    found: dict[str, Any] = json.loads(JSONEncoder().encode(board.build()))
    return found


def _links(dashboard: Dashboard) -> Iterator[boards.DashboardLink]:
    """To the other dashboards, with the hours that are looked at."""
    for other in DASHBOARDS:
        if other.uid != dashboard.uid:
            url = f"/d/{other.uid}"
            yield boards.DashboardLink(other.title).type(DashboardLinkType.LINK).url(url).keep_time(True)


def _variables(labels: Sequence[str]) -> Iterator[boards.QueryVariable]:
    for at, label in enumerate(labels):
        outer = ",".join(f'{each}="${each}"' for each in labels[:at])
        yield (
            boards.QueryVariable(label)
            .label(label.capitalize())
            .datasource(_SOURCE)
            .query(f"label_values(mfu_workload_gpus{{{outer}}}, {label})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(False)
            .multi(False)
        )


def _panel(panel: Panel, number: int) -> DrawnAs:
    """The SDK places it: from left to right, a new line where the next does not fit."""
    built = (
        drawn_as(panel)
        .id(number)
        .title(panel.title)
        .description(panel.about)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(panel.width)
        .height(panel.height)
    )
    for at, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).datasource(_SOURCE).ref_id(chr(ord("A") + at))
        if panel.kind == "table":
            query.instant().format(PromQueryFormat.TABLE)
        elif panel.kind == "bargauge" or panel.named:
            query.instant().legend_format(legend)
        else:
            query.legend_format(legend)
        built.with_target(query)
    return built


def main(arguments: Sequence[str]) -> int:
    results = [
        publish(TARGET / f"{each.uid}.json", json.dumps(rendered(each), indent=1) + "\n", arguments)
        for each in DASHBOARDS
    ]
    return max(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
