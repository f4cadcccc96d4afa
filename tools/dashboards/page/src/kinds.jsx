// The visualizations that the dashboards use, by Grafana's own components, with the settings that Grafana fills in.
import { VizOrientation, getDisplayValueAlignmentFactors, getFieldDisplayValues } from '@grafana/data';
import { BarGauge, BigValue, Table, TimeSeries, VizRepeater } from '@grafana/ui';

const THRESHOLDS = {
  mode: 'absolute',
  steps: [
    { value: null, color: 'green' },
    { value: 80, color: 'red' },
  ],
};

const LINES = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  spanNulls: false,
  insertNulls: false,
  showPoints: 'auto',
  pointSize: 5,
  stacking: { mode: 'none', group: 'A' },
  axisPlacement: 'auto',
  axisLabel: '',
  axisColorMode: 'text',
  axisBorderShow: false,
  axisCenteredZero: false,
  scaleDistribution: { type: 'linear' },
  barAlignment: 0,
  hideFrom: { tooltip: false, viz: false, legend: false },
  thresholdsStyle: { mode: 'off' },
};

/** What each kind has where its panel says nothing: [options, custom field settings, colour]. */
const DEFAULTS = {
  timeseries: [{ legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] } }, LINES, 'palette-classic'],
  stat: [
    { graphMode: 'area', colorMode: 'value', justifyMode: 'auto', textMode: 'auto', orientation: 'auto', wideLayout: true, showPercentChange: false, reduceOptions: { values: false, calcs: ['lastNotNull'], fields: '' } },
    {},
    'thresholds',
  ],
  bargauge: [
    { displayMode: 'gradient', valueMode: 'color', namePlacement: 'auto', showUnfilled: true, sizing: 'auto', minVizWidth: 8, minVizHeight: 16, maxVizHeight: 300, orientation: 'auto', reduceOptions: { values: false, calcs: ['lastNotNull'], fields: '' } },
    {},
    'thresholds',
  ],
  table: [{ showHeader: true, cellHeight: 'sm', footer: { show: false } }, { align: 'auto', cellOptions: { type: 'auto' }, inspect: false }, 'thresholds'],
  row: [{}, {}, 'thresholds'],
};

export const KINDS = { timeseries: Lines, stat: Stat, bargauge: Bars, table: Rows };

/** The panel as Grafana has it after loading. */
export function withDefaults(panel) {
  if (!(panel.type in DEFAULTS)) {
    throw new Error(`${panel.title}: panels of type ${panel.type} are not drawn`);
  }
  const [options, custom, color] = DEFAULTS[panel.type];
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const given = panel.options ?? {};
  return {
    ...panel,
    options: { ...options, ...given, legend: { ...options.legend, ...given.legend }, reduceOptions: { ...options.reduceOptions, ...given.reduceOptions } },
    fieldConfig: {
      defaults: { mappings: [], thresholds: THRESHOLDS, color: { mode: color }, ...defaults, custom: { ...custom, ...defaults.custom } },
      overrides,
    },
  };
}

function Lines({ panel, data, range, width, height, theme }) {
  return <TimeSeries frames={data} structureRev={1} timeRange={range} timeZone="utc" {...{ width, height, theme }} legend={panel.options.legend} options={panel.options} />;
}

function displayed({ panel, data, variables, theme }, sparkline) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    data,
    sparkline,
    timeZone: 'utc',
  });
}

function oriented(options, width, height) {
  if (options.orientation !== VizOrientation.Auto) {
    return options.orientation;
  }
  return width > height ? VizOrientation.Vertical : VizOrientation.Horizontal;
}

function Stat({ panel, width, height, theme, range, ...given }) {
  const { options } = panel;
  const values = () => displayed({ panel, theme, ...given }, options.graphMode !== 'none');
  const one = ({ value, count, width, height }) => {
    const { display, sparkline } = value;
    if (sparkline) {
      sparkline.timeRange = range;
    }
    return (
      <BigValue
        {...{ value: display, count, sparkline, width, height, theme }}
        colorMode={options.colorMode}
        graphMode={options.graphMode}
        justifyMode={options.justifyMode}
        textMode={textMode(options.textMode, count)}
        text={options.text}
        wideLayout={options.wideLayout}
      />
    );
  };
  return <VizRepeater getValues={values} renderValue={one} source={given.data} {...{ width, height, theme }} itemSpacing={3} renderCounter={0} autoGrid orientation={options.orientation} getAlignmentFactors={getDisplayValueAlignmentFactors} />;
}

/** Grafana shows the name beside the value only where there are several. */
function textMode(asked, count) {
  return asked === 'auto' && count === 1 ? 'value' : asked;
}

function Bars({ panel, width, height, theme, ...given }) {
  const { options } = panel;
  const orientation = oriented(options, width, height);
  const values = () => displayed({ panel, theme, ...given }, false);
  const one = ({ value, alignmentFactors, orientation, width, height, count }) => (
    <BarGauge
      value={processed(value)}
      {...{ width, height, orientation, theme, alignmentFactors }}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      text={options.text}
      itemSpacing={10}
      displayMode={options.displayMode}
      showUnfilled={options.showUnfilled}
      valueDisplayMode={options.valueMode}
      namePlacement={options.namePlacement}
    />
  );
  return <VizRepeater getValues={values} renderValue={one} source={given.data} {...{ width, height, orientation }} minVizWidth={options.minVizWidth} minVizHeight={options.minVizHeight} maxVizHeight={options.maxVizHeight} itemSpacing={10} renderCounter={0} getAlignmentFactors={getDisplayValueAlignmentFactors} />;
}

function processed({ display, view, colIndex }) {
  return display;
}

function Rows({ panel, data, range, width, height, theme }) {
  return (
    <Table
      data={data[0]}
      {...{ width, height }}
      noHeader={!panel.options.showHeader}
      showTypeIcons={false}
      resizable={false}
      initialSortBy={panel.options.sortBy}
      cellHeight={panel.options.cellHeight}
      timeRange={range}
      fieldConfig={panel.fieldConfig}
    />
  );
}
