import type { NestExpressApplication } from '@nestjs/platform-express';
import { setTimeout as delay } from 'node:timers/promises';

import type { Config } from '../config/config.js';
import { Readiness } from './readiness.js';

/** How often connections that have become idle are closed, in milliseconds. */
const SWEEP_MS = 50;
/** After the drain window, what is still open is cut, in milliseconds. */
const CUT_AFTER_MS = 3000;
/** And what then still does not end is left behind, in milliseconds. */
const LEAVE_AFTER_MS = 5000;

/**
 * Ends the service in an order that its clients do not feel: not ready first, then the hooks of the modules, which
 * end streams and finish publishes, then the sockets.
 *
 * @returns false when something did not end in time
 */
export async function shutDown(app: NestExpressApplication, config: Config): Promise<boolean> {
  app.get(Readiness).drain();
  const timers = new AbortController();
  const { signal } = timers;
  const late = delay(config.drainMs + CUT_AFTER_MS, undefined, { signal }).then(() => {
    app.getHttpServer().closeAllConnections();
    return delay(LEAVE_AFTER_MS, false, { signal });
  });
  const closed = app.close().then(() => true);
  // The server closes only connections that are idle as it begins; one that answers a last request is kept alive.
  const server = app.getHttpServer();
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, SWEEP_MS);
  try {
    return await Promise.race([closed, late]);
  } finally {
    // The other of the two may still fail, and has nobody left to tell.
    closed.catch(() => undefined);
    late.catch(() => undefined);
    timers.abort();
    clearInterval(sweep);
  }
}
