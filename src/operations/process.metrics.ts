import { collectDefaultMetrics, Registry } from 'prom-client';

/** They list each open socket at each scrape, and say no more than the number of open streams does. */
const LEFT_OUT = [
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_resources',
  'nodejs_active_resources_total',
];

let registry: Registry | undefined;

/**
 * Memory, CPU, garbage collection and event loop, under the names that prom-client gives them. There is one of it in a
 * process, which all its applications share, because what watches garbage collection and event loop cannot be stopped; it
 * begins when somebody first asks, and keeps no process alive.
 */
export function processMetrics(): Registry {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
    for (const name of LEFT_OUT) registry.removeSingleMetric(name);
  }
  return registry;
}
