import type { PublishSpec } from '../generator/protocol.js';

/** How the servers of this folder are published to: the data of each event in a line of its own. */
export function byLines(port: number): PublishSpec {
  const single = { path: '/publish', headers: { 'Content-Type': 'text/plain' } };
  return { port, single, burst: { ...single, separator: '\n' } };
}
