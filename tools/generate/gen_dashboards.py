"""Grafana dashboards from a list of panels: `python -m tools.generate.gen_dashboards [--check]`.

Only what every Grafana since 9 has: time series, stat and table, one Prometheus data source chosen by a variable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tools.generate.dashboards import DASHBOARDS
from tools.generate.generated import publish
from tools.generate.panels import Dashboard, Panel

TARGET: Final = Path(__file__).parents[2] / "charts" / "mfu-operator" / "files" / "dashboards"
COLUMNS, HEIGHT = 24, 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON that Grafana imports."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["mfu"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_data_source(), *_variables(dashboard.variables)]},
        "panels": _placed(dashboard.panels),
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variables(labels: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for at, label in enumerate(labels):
        outer = ",".join(f'{each}=~"${each}"' for each in labels[:at])
        query = f"label_values(mfu_workload_gpus{{{outer}}}, {label})"
        found.append(
            {
                "name": label,
                "type": "query",
                "datasource": _SOURCE,
                "query": {"query": query, "refId": label},
                "refresh": 2,
                "includeAll": True,
                "multi": True,
                "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
            }
        )
    return found


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """From left to right, a new row where the next does not fit."""
    found, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        found.append(_panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": HEIGHT}))
        x += panel.width
    return found


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    table = panel.kind == "table"
    targets = [
        {
            "refId": chr(ord("A") + at),
            "datasource": _SOURCE,
            "expr": expression,
            "legendFormat": legend,
            "instant": table,
            "format": "table" if table else "time_series",
        }
        for at, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
    }


def main(arguments: Sequence[str]) -> int:
    results = [
        publish(TARGET / f"{each.uid}.json", json.dumps(rendered(each), indent=1) + "\n", arguments)
        for each in DASHBOARDS
    ]
    return max(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
