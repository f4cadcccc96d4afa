// Variables as Grafana's Prometheus source resolves them: label_values, All, and their places in queries and titles.
import { asked as answer } from './prometheus.js';

const LABEL_VALUES = /^label_values\((.*),\s*([a-zA-Z_]\w*)\s*\)$/s;

/** Each variable's values and what is chosen of them, outermost first: {name: {label, text, regex, options}}. */
export async function chosen(dashboard, { prometheus, range, asked }) {
  const found = {};
  for (const each of dashboard.templating?.list ?? []) {
    if (each.type === 'datasource') {
      found[each.name] = { label: each.label, text: ['Prometheus'], regex: 'Prometheus', options: ['Prometheus'] };
    } else if (each.type === 'query') {
      found[each.name] = await queried(each, found, { prometheus, range, asked });
    } else {
      throw new Error(`variable ${each.name}: the type ${each.type} is not drawn`);
    }
  }
  return found;
}

async function queried(variable, outer, { prometheus, range, asked }) {
  const query = typeof variable.query === 'string' ? variable.query : variable.query.query;
  const match = LABEL_VALUES.exec(filled(query, outer));
  if (match === null) {
    throw new Error(`variable ${variable.name}: ${query} is not a label_values() query`);
  }
  const span = { 'match[]': match[1], start: range.from.unix(), end: range.to.unix() };
  const options = (await answer(prometheus, `label/${match[2]}/values`, span)).sort();
  const wanted = asked.getAll(`var-${variable.name}`);
  const all = wanted.length === 0 && variable.includeAll;
  const values = wanted.length > 0 ? wanted : options.slice(0, 1);
  return {
    label: variable.label || variable.name,
    text: all ? ['All'] : values,
    regex: all ? variable.allValue || alternatives(options) : alternatives(values),
    options,
  };
}

function alternatives(values) {
  const escaped = values.map((each) => each.replace(/[\\^$.*+?()[\]{}|]/g, '\\\\$&'));
  return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
}

/** A query with the variables in it; `more` are Grafana's own, such as __rate_interval. */
export function filled(query, variables, more = {}) {
  return query.replace(/\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g, (whole, braced, plain) => {
    const name = braced ?? plain;
    return more[name] ?? variables[name]?.regex ?? whole;
  });
}

/** A title or a link with the variables as people read them. */
export function worded(text, variables) {
  return (text ?? '').replace(/\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g, (whole, braced, plain) => {
    return variables[braced ?? plain]?.text.join(' + ') ?? whole;
  });
}
