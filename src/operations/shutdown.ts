import type { NestExpressApplication } from '@nestjs/platform-express';
import { setTimeout as delay } from 'node:timers/promises';

import type { Config } from '../config/config.js';
import { Subscriptions } from '../stream/subscriptions.js';
import { KeepAlive } from './keep.alive.js';
import { Readiness } from './readiness.js';

/** After the drain window, what is still open is cut, in milliseconds. */
const CUT_AFTER_MS = 3000;
/** And what then still does not end is left behind, in milliseconds. */
const LEAVE_AFTER_MS = 5000;

/**
 * Ends the service in an order that its clients do not feel: not ready, and each answer the last on its connection;
 * streams are told to come back; then, once load balancers have had half the drain window to notice, no new
 * connection is taken, publishes finish and the modules end. Demo mode has no load balancer to wait for.
 *
 * @returns false when something did not end in time
 */
export async function shutDown(app: NestExpressApplication, config: Config): Promise<boolean> {
  const timers = new AbortController();
  const { signal } = timers;
  const server = app.getHttpServer();
  const late = delay(config.drainMs + CUT_AFTER_MS, undefined, { signal }).then(() => {
    server.closeAllConnections();
    return delay(LEAVE_AFTER_MS, false, { signal });
  });
  const closed = drain(app, config)
    .then(() => app.close())
    .then(() => true);
  try {
    return await Promise.race([closed, late]);
  } finally {
    // The other of the two may still fail, and has nobody left to tell.
    closed.catch(() => undefined);
    late.catch(() => undefined);
    timers.abort();
  }
}

async function drain(app: NestExpressApplication, config: Config): Promise<void> {
  app.get(Readiness).drain();
  app.get(KeepAlive).end();
  const grace = config.demo ? 0 : config.drainMs / 2;
  await Promise.all([app.get(Subscriptions).drain(), delay(grace)]);
}
