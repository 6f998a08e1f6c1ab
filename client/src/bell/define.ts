import { BelfryBell, type BellEvents } from './bell.element.js';

export { BelfryBell, type BellEvents } from './bell.element.js';
export { type BellWords, ENGLISH } from './words.js';

declare global {
  interface HTMLElementTagNameMap {
    'belfry-bell': BelfryBell;
  }
  interface HTMLElementEventMap extends BellEvents {}
}

// Two bundles on one page may both bring it.
if (globalThis.customElements?.get('belfry-bell') === undefined)
  globalThis.customElements?.define('belfry-bell', BelfryBell);
