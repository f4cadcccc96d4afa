// The HTTP API of Prometheus, and its answers as the data frames that Grafana's own source makes of them.
import { FieldType, createDataFrame } from '@grafana/data';

export async function asked(prometheus, path, parameters) {
  const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const body = await response.json();
  if (body.status !== 'success') {
    throw new Error(`${JSON.stringify(parameters)}: ${body.error}`);
  }
  return body.data;
}

/** One frame a series, named by the legend. */
export async function series(prometheus, target, query, { range, stepSeconds }) {
  const start = Math.floor(range.from.unix() / stepSeconds) * stepSeconds;
  const end = Math.floor(range.to.unix() / stepSeconds) * stepSeconds;
  const data = await asked(prometheus, 'query_range', { query, start, end, step: stepSeconds });
  return data.result.map(({ metric, values }) =>
    createDataFrame({
      refId: target.refId,
      name: legend(target.legendFormat, metric),
      meta: { type: 'timeseries-multi' },
      fields: [
        { name: 'Time', type: FieldType.time, config: { interval: stepSeconds * 1000 }, values: values.map(([at]) => at * 1000) },
        { ...value(target, metric), values: values.map(([, text]) => number(text)) },
      ],
    }),
  );
}

/** One frame a query: time, a column a label, and the value, named after the query where there are several. */
export async function table(prometheus, target, query, { range, several }) {
  const data = await asked(prometheus, 'query', { query, time: range.to.unix() });
  const labels = [...new Set(data.result.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return [
    createDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, config: {}, values: data.result.map(({ value: [at] }) => at * 1000) },
        ...labels.map((name) => ({
          name,
          type: FieldType.string,
          config: { filterable: true },
          values: data.result.map(({ metric }) => metric[name] ?? ''),
        })),
        {
          name: several ? `Value #${target.refId}` : 'Value',
          type: FieldType.number,
          config: {},
          values: data.result.map(({ value: [, text] }) => number(text)),
        },
      ],
    }),
  ];
}

/** The last value of each series, as an instant query that is no table gives it. */
export async function instant(prometheus, target, query, { range }) {
  const data = await asked(prometheus, 'query', { query, time: range.to.unix() });
  return data.result.map(({ metric, value: [at, text] }) =>
    createDataFrame({
      refId: target.refId,
      name: legend(target.legendFormat, metric),
      fields: [
        { name: 'Time', type: FieldType.time, config: {}, values: [at * 1000] },
        { ...value(target, metric), values: [number(text)] },
      ],
    }),
  );
}

function value(target, metric) {
  return {
    name: 'Value',
    type: FieldType.number,
    labels: metric,
    config: { displayNameFromDS: legend(target.legendFormat, metric) },
  };
}

function legend(format, metric) {
  if (format && format !== '__auto') {
    return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name) => metric[name] ?? '');
  }
  const { __name__: name = '', ...labels } = metric;
  const told = Object.entries(labels).map(([key, text]) => `${key}="${text}"`);
  return told.length > 0 ? `${name}{${told.join(', ')}}` : name;
}

function number(text) {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
}
