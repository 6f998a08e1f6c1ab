import pg from 'pg';

export type AppendFailure =
  /** Certainly not stored: no database was reached in time, or it refused for a reason of its own. */
  | 'database-unavailable'
  /** Possibly stored: the answer was lost, and what became of it could not be found out in time. */
  | 'outcome-unknown'
  /** Not stored: too much is waiting already. */
  | 'queue-full'
  /** Not stored: the instance is going down. */
  | 'shutting-down'
  /** Not stored: a key of the request was used before with another body. */
  | 'idempotency-mismatch'
  /** Not stored: Postgres refuses the data itself. */
  | 'data-refused';

/** Why a request was not acknowledged. `index` is its culprit event, from 0, where one is known. */
export class AppendError extends Error {
  constructor(
    readonly failure: AppendFailure,
    message: string,
    readonly index?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What an error of the append call says about the batch. */
export type AppendVerdict =
  /** The data is at fault; without the culprit it can be stored. */
  | 'poisoned'
  /** Not stored, and the partition for the next seqs is missing. */
  | 'no-partition'
  /** Not stored; the session is as good as before. */
  | 'refused'
  /** Not stored; the session is of no more use (it leads to a standby, or has lost its prepared statements). */
  | 'refused-session'
  /** Nobody knows. */
  | 'unknown';

/**
 * Judges by SQLSTATE (Postgres manual, appendix A), because severities are translated. An error that Postgres
 * reports has aborted the statement, except where the report says that the server or the session was going down:
 * then the commit may have come first.
 */
export function judge(error: unknown): AppendVerdict {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return 'unknown';
  const { code } = error;
  if (code === '23514' && error.table === 'events' && error.constraint === undefined) return 'no-partition';
  // The session was ended for being idle or slow. A transaction_timeout that runs out during the commit is reported
  // after it.
  if (code === '25P03' || code === '25P04') return 'unknown';
  // Recovery is in progress: the session leads to a standby.
  if (code === '55000') return 'refused-session';
  // Seqs are given under the lock: one that is taken means that the session reads another log than it writes.
  if (code === '23505' && error.table?.startsWith('events')) return 'refused-session';
  switch (code.slice(0, 2)) {
    case '22': // data exception
    case '23': // integrity constraint violation
    case '54': // program limit exceeded, such as an index row too large
      return 'poisoned';
    case '0A': // a cached plan that a migration made useless: every later call of the session would fail as well
    case '25': // invalid transaction state, such as a read-only one on a standby
    case '26': // a prepared statement that a pooler or DISCARD took away
    case '53': // insufficient resources
      return 'refused-session';
    case '08': // connection exception
    case '58': // system error
    case 'XX': // internal error
      return 'unknown';
    default:
      // 57P0x is the server or the session ending, 40003 says itself that the outcome is unknown.
      return code.startsWith('57P') || code === '40003' ? 'unknown' : 'refused';
  }
}
