import type { NestExpressApplication } from '@nestjs/platform-express';
import { setTimeout as delay } from 'node:timers/promises';

import type { Config } from '../config/config.js';
import { Readiness } from './readiness.js';

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
  try {
    return await Promise.race([closed, late]);
  } finally {
    // The other of the two may still fail, and has nobody left to tell.
    closed.catch(() => undefined);
    late.catch(() => undefined);
    timers.abort();
  }
}
