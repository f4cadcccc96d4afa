// The dashboard's grid: 24 columns, rows of 30 pixels and 8 between them, as Grafana lays it out.
import { LoadingState } from '@grafana/data';
import { PanelChrome } from '@grafana/ui';
import { useEffect, useState } from 'react';

import { drawn } from './frames.js';
import { KINDS, withDefaults } from './kinds.jsx';
import { worded } from './variables.js';

const COLUMNS = 24;
const ROW = 30;
const GAP = 8;
const MARGIN = 16;

export function Board({ dashboard, prometheus, range, variables, theme, width }) {
  const [ready, setReady] = useState(0);
  const panels = dashboard.panels.map(withDefaults);
  const column = (width - 2 * MARGIN + GAP) / COLUMNS;
  const bottom = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const placed = ({ gridPos }) => ({
    left: gridPos.x * column,
    top: gridPos.y * (ROW + GAP),
    width: gridPos.w * column - GAP,
    height: gridPos.h * (ROW + GAP) - GAP,
  });
  return (
    <div style={{ width, boxSizing: 'border-box', padding: MARGIN, background: theme.colors.background.canvas }} data-ready={ready === panels.length}>
      <Head {...{ dashboard, variables, theme }} />
      <div style={{ position: 'relative', height: bottom * (ROW + GAP) - GAP }}>
        {panels.map((panel) => (
          <div key={panel.id} style={{ position: 'absolute', ...placed(panel) }}>
            <Shown {...{ panel, prometheus, range, variables, theme }} place={placed(panel)} done={() => setReady((n) => n + 1)} />
          </div>
        ))}
      </div>
    </div>
  );
}

function Head({ dashboard, variables, theme }) {
  const { text, background, border } = theme.colors;
  return (
    <div style={{ display: 'flex', gap: 8, alignItems: 'center', marginBottom: MARGIN }}>
      <h1 style={{ fontSize: 18, margin: '0 16px 0 0' }}>{dashboard.title}</h1>
      {Object.entries(variables).map(([name, each]) => (
        <span key={name} style={{ border: `1px solid ${border.medium}`, borderRadius: 2, fontSize: 12 }}>
          <b style={{ padding: '6px 8px', background: background.secondary, fontWeight: 500 }}>{each.label}</b>
          <span style={{ padding: '6px 8px' }}>{each.text.join(' + ')}</span>
        </span>
      ))}
      <span style={{ marginLeft: 'auto', display: 'flex', gap: 16, fontSize: 12, color: text.link }}>
        {(dashboard.links ?? []).map((link) => (
          <span key={link.title}>{link.title}</span>
        ))}
      </span>
    </div>
  );
}

function Shown({ panel, place, done, ...given }) {
  const [data, setData] = useState(null);
  useEffect(() => {
    const answered = panel.type === 'row' ? Promise.resolve([]) : drawn(panel, { ...given, width: place.width });
    answered.then(setData).catch((error) => {
      console.error(`${panel.title}: ${error.stack ?? error}`);
    });
  }, []);
  useEffect(() => {
    if (data !== null) {
      done();
    }
  }, [data]);
  const title = worded(panel.title, given.variables);
  if (panel.type === 'row') {
    return <h2 style={{ fontSize: 16, margin: '4px 0' }}>⌄ {title}</h2>;
  }
  const Kind = KINDS[panel.type];
  return (
    <PanelChrome
      title={title}
      description={worded(panel.description, given.variables)}
      width={place.width}
      height={place.height}
      loadingState={data === null ? LoadingState.Loading : LoadingState.Done}
    >
      {(width, height) => data && <Inside {...{ panel, data, width, height, Kind, ...given }} />}
    </PanelChrome>
  );
}

function Inside({ panel, data, width, height, Kind, ...given }) {
  const empty = data.every((frame) => frame.length === 0);
  if (empty) {
    return <div style={{ display: 'grid', placeItems: 'center', height, textAlign: 'center' }}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  return <Kind {...{ panel, data, width, height, ...given }} />;
}
