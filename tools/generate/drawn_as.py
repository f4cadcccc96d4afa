"""How each kind of panel is drawn: colours that mean something, axes that start at nothing, tables that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BarGaugeNamePlacement,
    BarGaugeSizing,
    BarGaugeValueMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)

from tools.generate.panels import Column, Panel

BAR_PIXELS, TEXT_PIXELS = 26, 14
_AT_LEAST: Final = MappingProxyType({"percentunit": 0.5, "none": 5.0, "s": 1.0})
"""How far an axis reaches at least, by unit: where all is nothing, Grafana's own goes to 100 of anything."""
NARROW_PIXELS: Final = 70
"""Of a column that says nothing of its width: Grafana's own 150 cut the last ones of a table off."""
_LIST, _BELOW = LegendDisplayMode.LIST, LegendPlacement.BOTTOM
DrawnAs = timeseries.Panel | stat.Panel | table.Panel | bargauge.Panel


def drawn_as(panel: Panel) -> DrawnAs:
    built = _KINDS[panel.kind](panel)
    if panel.top is not None:
        built.max(panel.top)
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.empty:
        built.no_value(panel.empty)
    for legend, color in panel.colors.items():
        built.override_by_name(legend, [_set("color", {"mode": "fixed", "fixedColor": color})])
    return built


def _steps(panel: Panel) -> boards.ThresholdsConfig:
    steps = [Threshold(value, color) for value, color in panel.steps]
    return boards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _lines(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .line_width(0 if panel.stacked else 2)
        .fill_opacity(70 if panel.stacked else 0)
        .legend(common.VizLegendOptions().show_legend(True).display_mode(_LIST).placement(_BELOW).calcs([]))
        .color_scheme(boards.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.unit in _AT_LEAST:
        built.axis_soft_max(_AT_LEAST[panel.unit])
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if panel.marked:
        built.thresholds(_steps(panel))
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return built


def _number(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE if panel.named else BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().values(False).calcs(["lastNotNull"]))
        .color_scheme(boards.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(_steps(panel))
    )
    return built.text_mode(BigValueTextMode.NAME) if panel.named else built


def _bars(panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .value_mode(BarGaugeValueMode.TEXT)
        .name_placement(BarGaugeNamePlacement.LEFT)
        .sizing(BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(BAR_PIXELS)
        .text(common.VizTextDisplayOptions().value_size(TEXT_PIXELS))
        .reduce_options(common.ReduceDataOptions().values(False).calcs(["lastNotNull"]))
        .color_scheme(boards.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(_steps(panel))
    )


def _rows(panel: Panel) -> table.Panel:
    built = table.Panel().min_width(NARROW_PIXELS)
    sources = [_source(panel, each) for each in panel.columns]
    for id_val, options in (
        ("merge", {}),
        ("filterFieldsByName", {"include": {"names": sources}}),
        (
            "organize",
            {
                "excludeByName": {},
                "indexByName": {each: at for at, each in enumerate(sources)},
                "renameByName": {name: each.title for name, each in zip(sources, panel.columns, strict=True)},
            },
        ),
    ):
        built.with_transformation(DataTransformerConfig(id_val, options=options))
    for each in panel.columns:
        if properties := _properties(panel, each):
            built.override_by_name(each.title, properties)
    if panel.sort:
        built.sort_by([common.TableSortByFieldState().display_name(panel.sort).desc(True)])
    return built


def _source(panel: Panel, column: Column) -> str:
    """Grafana calls the value of the only query Value, and those of several after their letters."""
    if len(column.source) > 1:
        return column.source
    return "Value" if len(panel.queries) == 1 else f"Value #{column.source}"


def _properties(panel: Panel, column: Column) -> list[DynamicConfigValue]:
    found = [_set("unit", column.unit)] if column.unit else []
    if column.unit == "currencyUSD":
        found.append(_set("decimals", 2))
    if column.unit == "percentunit":
        found.append(_set("decimals", 1))
    if column.width:
        found.append(_set("custom.width", column.width))
    if column.opens:
        found.append(_set("links", [{"title": f"Open {column.title.lower()}", "url": _url(panel, column)}]))
    return found


def _url(panel: Panel, column: Column) -> str:
    """The dashboard of the row's namespace, or of its workload in the namespace that it shows or that is chosen."""
    chosen = "var-datasource=${datasource}&${__url_time_range}"
    if column.source == "namespace":
        return f"/d/{column.opens}?var-namespace=${{__value.raw}}&{chosen}"
    beside = any(each.source == "namespace" for each in panel.columns)
    namespace = "${__data.fields.Namespace}" if beside else "${namespace}"
    return f"/d/{column.opens}?var-namespace={namespace}&var-workload=${{__value.raw}}&{chosen}"


def _set(name: str, value: Any) -> DynamicConfigValue:
    return DynamicConfigValue(name, value)


_KINDS: Final[Mapping[str, Callable[[Panel], DrawnAs]]] = MappingProxyType(
    {"timeseries": _lines, "stat": _number, "bargauge": _bars, "table": _rows}
)
