// The package is CommonJS, and Grafana's modules ask for its default export as browsers' bundlers give it.
import { Scrollbars } from '../node_modules/react-custom-scrollbars-2/lib/index.js';

export default Scrollbars;
