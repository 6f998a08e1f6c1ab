import { BelfryBell, type BellEvents } from './bell.element.js';

export { BelfryBell, type BellEvents } from './bell.element.js';
export { type BellWords, ENGLISH } from './words.js';

declare global {
  interface HTMLElementTagNameMap {
    'belfry-bell': BelfryBell;
  }
  interface HTMLElementEventMap {
    'belfry-open': BellEvents['belfry-open'];
    'belfry-select': BellEvents['belfry-select'];
    'belfry-count': BellEvents['belfry-count'];
  }
}

// None where there is no DOM; one already where two bundles of a page bring it.
const registry = (globalThis as { customElements?: CustomElementRegistry }).customElements;
if (registry !== undefined && registry.get('belfry-bell') === undefined)
  registry.define('belfry-bell', BelfryBell);
