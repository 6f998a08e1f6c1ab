import type { Scenario } from '../scenario.js';
import { fanout } from './fanout.js';
import { growth } from './growth.js';
import { idle } from './idle.js';
import { inbox } from './inbox.js';
import { latency } from './latency.js';
import { publish } from './publish.js';
import { replay } from './replay.js';
import { stalled } from './stalled.js';
import { storm } from './storm.js';
import { users } from './users.js';

/** In the order in which they are run. */
export const scenarios: readonly Scenario[] = [
  fanout,
  idle,
  latency,
  storm,
  growth,
  publish,
  replay,
  stalled,
  users,
  inbox,
];
