import { Injectable } from '@nestjs/common';
import type { TurnedAway } from '../access/caller.js';
import type { EndReason } from './control.frames.js';

/**
 * Why a stream was over: what its `end` said; or its client left, took nothing for the write deadline, or the log could not
 * be read.
 */
export type Ending = Exclude<EndReason, 'ticket-spent'> | 'client-left' | 'write-deadline' | 'failed';

/** Why there was no stream, although its client was answered with 200 and told to come back. */
export type Refusal =
  TurnedAway | 'shutdown' | 'kicked' | 'database-unavailable' | 'instance-full' | 'connections-too-many';

/**
 * What the streams of an instance did since it started. Plain numbers: between an event and thousands of sockets there is no
 * time for more.
 */
@Injectable()
export class StreamTally {
  /** Events that were written to sockets as they were taken from the log; for each of the sockets. */
  live = 0;
  /** And those that were written for a client that caught up. */
  caughtUp = 0;

  readonly ended: Record<Ending, number> = {
    'client-left': 0,
    failed: 0,
    kicked: 0,
    rotated: 0,
    shutdown: 0,
    'token-expired': 0,
    'write-deadline': 0,
  };

  readonly refused: Record<Refusal, number> = {
    'connections-too-many': 0,
    'database-unavailable': 0,
    'instance-full': 0,
    kicked: 0,
    overload: 0,
    shutdown: 0,
    'ticket-spent': 0,
  };
}
