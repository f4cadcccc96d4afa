// Queries of a panel → data frames as its visualization takes them, by Grafana's own transformations and field settings.
import {
  Registry,
  applyFieldOverrides,
  identityOverrideProcessor,
  rangeUtil,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

import { instant, series, table } from './prometheus.js';
import { filled, worded } from './variables.js';

const SCRAPE = '15s';
const MOST_POINTS = 1500;

export function registerTransformations() {
  // Some stand there under an older name as well.
  const byId = new Map(Object.values(standardTransformers).map((each) => [each.id, each]));
  const items = [...byId].map(([id, transformation]) => ({ id, name: id, transformation, editor: () => null }));
  standardTransformersRegistry.setInit(() => items);
}

/** What a panel draws: frames with every field's settings, names and colours resolved. */
export async function drawn(panel, { prometheus, range, variables, theme, width }) {
  const { intervalMs } = rangeUtil.calculateInterval(range, Math.min(width, MOST_POINTS), SCRAPE);
  const own = {
    __interval: `${intervalMs / 1000}s`,
    __rate_interval: `${Math.max(intervalMs / 1000 + 15, 60)}s`,
    __range: `${range.to.diff(range.from, 'seconds')}s`,
  };
  const answers = await Promise.all(
    panel.targets.map((target) => {
      const query = filled(target.expr, variables, own);
      const given = { range, stepSeconds: intervalMs / 1000, several: panel.targets.length > 1 };
      const how = !target.instant ? series : target.format === 'table' ? table : instant;
      return how(prometheus, target, query, given);
    }),
  );
  const interpolate = (text) => worded(text, variables);
  const frames = await lastValueFrom(transformDataFrame(panel.transformations ?? [], answers.flat(), { interpolate }));
  return applyFieldOverrides({
    data: frames,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: settings(panel.fieldConfig),
    replaceVariables: interpolate,
    theme,
    timeZone: 'utc',
  });
}

/** Every setting that the panel names, taken as it stands. */
function settings(fieldConfig) {
  const named = new Set(fieldConfig.overrides.flatMap((each) => each.properties.map(({ id }) => id)));
  for (const [key, value] of Object.entries(fieldConfig.defaults)) {
    const ids = key === 'custom' ? Object.keys(value).map((each) => `custom.${each}`) : [key];
    ids.forEach((each) => named.add(each));
  }
  return new Registry(() => [...named].map(setting));
}

function setting(id) {
  const isCustom = id.startsWith('custom.');
  return {
    id,
    path: isCustom ? id.slice('custom.'.length) : id,
    isCustom,
    name: id,
    process: identityOverrideProcessor,
    shouldApply: () => true,
    override: () => null,
    editor: () => null,
  };
}
