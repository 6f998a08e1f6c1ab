import type { Epochs } from '../log/epochs.js';
import type { Tail } from '../tail/tail.js';
import type { CursorJudge } from './cursor.judge.js';
import type { ReplayPages } from './replay.pages.js';
import type { Router } from './router.js';
import type { StreamTally } from './stream.tally.js';

/** What all subscribers of an instance work with. */
export interface StreamContext {
  readonly tail: Tail;
  readonly pages: ReplayPages;
  readonly epochs: Epochs;
  readonly judge: CursorJudge;
  readonly router: Router;
  readonly tally: StreamTally;
  /** Rows that one page of a replay from Postgres looks at. */
  readonly replayEvents: number;
  /** Told when a stream had to be closed because the log could not be read. */
  reportFailure(cause: unknown): void;
}
