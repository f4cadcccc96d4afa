// Draws one dashboard: ?dashboard=<url of its JSON>&prometheus=<url>&to=<epoch ms>&hours=<n>&theme=dark|light&var-<name>=<value>
import { createTheme, dateTime } from '@grafana/data';
import { GlobalStyles, PortalContainer, ThemeContext } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';

import { Board } from './board.jsx';
import { registerTransformations } from './frames.js';
import { chosen } from './variables.js';

const asked = new URLSearchParams(location.search);

async function main() {
  const theme = createTheme({ colors: { mode: asked.get('theme') ?? 'dark' } });
  registerTransformations();
  const dashboard = await (await fetch(asked.get('dashboard'))).json();
  const range = rangeOf(dashboard);
  const prometheus = asked.get('prometheus');
  const variables = await chosen(dashboard, { prometheus, range, asked });
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles isExtensionSidebarOpen={false} />
      <Board {...{ dashboard, prometheus, range, variables, theme }} width={document.body.clientWidth} />
      <PortalContainer />
    </ThemeContext.Provider>,
  );
}

/** So many hours up to the moment that is asked for. */
function rangeOf(dashboard) {
  const to = dateTime(Number(asked.get('to')));
  return { from: dateTime(to).subtract(Number(asked.get('hours')), 'hours'), to, raw: dashboard.time };
}

main().catch((error) => {
  console.error(String(error.stack ?? error));
  document.body.dataset.failed = String(error);
});
