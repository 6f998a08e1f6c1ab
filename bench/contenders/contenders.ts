import type { Contender } from '../contender.js';
import { belfry } from './belfry.js';
import { betterSse } from './better-sse.js';
import { centrifugo } from './centrifugo.js';
import { mercure } from './mercure.js';
import { nchan } from './nchan.js';
import { nestSse } from './nest-sse.js';
import { plain } from './plain.js';

/** All who know how to fan out, in the order of the tables. */
export const contenders: readonly Contender[] = [
  belfry,
  plain,
  nestSse,
  betterSse,
  nchan,
  mercure,
  centrifugo,
];
