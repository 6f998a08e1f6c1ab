import type pg from 'pg';
import { type Database, READ_COMMITTED } from '../database/database.js';
import type { AppendRequest, Batch } from './append.batch.js';
import { digestOf } from './digest.js';

const OPEN = `select belfry.log_head() as head, ${READ_COMMITTED},
  case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', false) end`;
const HEAD = 'select belfry.log_head() as head';
const APPEND = `select epoch, at_ms, head, seqs, known, mismatched, moved, rejected
  from belfry.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`;
const DRAIN = 'select epoch, head, moved, rejected, more from belfry.drain() where head is not null';
const CHECK = 'select belfry.check_epoch($1, $2)';
const SETTLE = 'select batch_index, seq, epoch from belfry.settle_batch($1, $2)';

/** What the append call answered; seqs and indexes are per event of the batch, in order. */
export interface Appended {
  readonly epoch: string;
  readonly at: number;
  /** The head before the batch. */
  readonly head: number;
  /** Undefined when nothing had a key: the events are `head + 1`, `head + 2`, …. */
  readonly keyed?: {
    /** Null: left out, because a key of its request was used with another body. */
    readonly seqs: readonly (number | null)[];
    readonly known: readonly boolean[];
    /** Indexes, from 0, of the events whose key was used with another body. */
    readonly mismatched: readonly number[];
  };
  /** Rows of the outbox that it moved first, those that were set aside among them. */
  readonly moved: number;
  readonly rejected: number;
}

/** A batch that was found: seq by index of the event in the batch, from 0. */
export interface Settled {
  readonly epoch: string;
  readonly seqs: ReadonlyMap<number, number>;
}

/** A chunk of the outbox that was moved to the log. */
export interface Drained {
  readonly epoch: string;
  /** The head after it. */
  readonly head: number;
  /** Rows, those that were set aside among them. */
  readonly moved: number;
  readonly rejected: number;
  /** Whether there is more at once. */
  readonly more: boolean;
}

interface AppendRow extends pg.QueryResultRow {
  epoch: string;
  at_ms: string;
  head: string;
  seqs: (string | null)[] | null;
  known: boolean[] | null;
  mismatched: number[] | null;
  moved: number;
  rejected: number;
}

/**
 * A Postgres session that only writes the log. It is used by one caller at a time and is thrown away at the first sign of
 * trouble, because everything that is known about a batch depends on knowing the session's state.
 */
export class AppendSession {
  private open = true;

  private constructor(
    private readonly database: Database,
    private readonly client: pg.Client,
  ) {
    client.once('end', () => {
      this.open = false;
    });
  }

  /** False once the connection is known to be gone. */
  get isOpen(): boolean {
    return this.open;
  }

  /** @param timeoutMs how long connecting may take, and the first answer after it */
  static async open(
    database: Database,
    applicationName: string,
    timeoutMs: number,
  ): Promise<{ session: AppendSession; head: number }> {
    const client = database.session(applicationName, timeoutMs);
    try {
      await client.connect();
      const { rows } = await client.query<{ head: string }>({
        text: OPEN,
        query_timeout: timeoutMs,
      } as pg.QueryConfig);
      return { session: new AppendSession(database, client), head: Number(rows[0]?.head) };
    } catch (error) {
      void database.close(client);
      throw error;
    }
  }

  /** The newest seq of the log. */
  async head(timeoutMs: number): Promise<number> {
    const query = { text: HEAD, query_timeout: timeoutMs };
    const { rows } = await this.client.query<{ head: string }>(query);
    return Number(rows[0]?.head);
  }

  async append(batch: Batch, timeoutMs: number): Promise<Appended> {
    const { columns, keyed } = columnsOf(batch.requests);
    const query = {
      name: 'append',
      text: APPEND,
      values: [batch.id, keyed, ...columns],
      query_timeout: timeoutMs,
    };
    const { rows } = await this.client.query<AppendRow>(query);
    const row = rows[0];
    if (!row) throw new Error('belfry.append returned no row');
    return {
      epoch: row.epoch,
      at: Number(row.at_ms),
      head: Number(row.head),
      moved: row.moved,
      rejected: row.rejected,
      ...(row.seqs &&
        row.known &&
        row.mismatched && {
          keyed: {
            seqs: row.seqs.map(seq => (seq === null ? null : Number(seq))),
            known: row.known,
            mismatched: row.mismatched.map(n => n - 1),
          },
        }),
    };
  }

  /**
   * Finds the rows of a batch, or makes sure that there will never be any.
   *
   * @param after a seq older than the batch
   * @returns undefined when the batch is void
   */
  async settle(batchId: string, after: number, timeoutMs: number): Promise<Settled | undefined> {
    const query = { text: SETTLE, values: [batchId, after], query_timeout: timeoutMs };
    const { rows } = await this.client.query<{ batch_index: number; seq: string; epoch: string }>(query);
    if (!rows[0]) return undefined;
    return { epoch: rows[0].epoch, seqs: new Map(rows.map(row => [row.batch_index - 1, Number(row.seq)])) };
  }

  /** Moves a chunk of the outbox to the log. @returns undefined when nothing was to be done, or another session does it */
  async drain(timeoutMs: number): Promise<Drained | undefined> {
    const query = { name: 'drain', text: DRAIN, query_timeout: timeoutMs };
    const { rows } = await this.client.query<Omit<Drained, 'head'> & { head: string }>(query);
    return rows[0] && { ...rows[0], head: Number(rows[0].head) };
  }

  /** Lets another epoch begin when the log is no more what is known of it: its epochs, and everything up to a seq. */
  async checkEpoch(epochs: readonly string[], seq: number, timeoutMs: number): Promise<void> {
    await this.client.query({
      text: CHECK,
      values: [epochs, seq],
      query_timeout: timeoutMs,
    } as pg.QueryConfig);
  }

  /** Leaves at once; a call that is under way ends with an unknown outcome. */
  async close(): Promise<void> {
    await this.database.close(this.client);
  }
}

/** The arguments of belfry.append after the first two: an array per column, an element per event. */
function columnsOf(requests: readonly AppendRequest[]): { columns: unknown[][]; keyed: boolean } {
  const columns: unknown[][] = Array.from({ length: 12 }, () => []);
  let keyed = false;
  requests.forEach(({ tenant, events, idempotency }, request) => {
    keyed ||= idempotency !== undefined;
    events.forEach((event, index) => {
      keyed ||= event.dedupeId !== null;
      const row = [
        request,
        idempotency?.places[index] ?? 0,
        tenant,
        event.topic,
        event.type,
        event.key,
        event.data,
        event.expiresAt === null ? null : new Date(event.expiresAt).toISOString(),
        idempotency?.key ?? null,
        idempotency?.digests[index] ?? null,
        event.dedupeId,
        event.dedupeId === null ? null : digestOf(event),
      ];
      row.forEach((value, column) => columns[column]?.push(value));
    });
  });
  return { columns, keyed };
}
