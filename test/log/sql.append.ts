import { randomUUID } from 'node:crypto';
import pg from 'pg';

interface SqlEvent {
  readonly topic?: string;
  readonly type?: string;
  readonly data?: unknown;
  readonly dedupeId?: string;
}

interface SqlBatch {
  readonly events: readonly SqlEvent[];
  readonly batch?: string;
  /** An Idempotency-Key; its digest is the same for the same events. */
  readonly key?: string;
}

interface SqlAppended {
  readonly epoch: string;
  readonly head: number;
  /** Null when nothing had a key. */
  readonly seqs: number[] | null;
  readonly known: boolean[] | null;
  readonly mismatched: number[] | null;
}

interface Row extends pg.QueryResultRow {
  epoch: string;
  head: string;
  seqs: string[] | null;
  known: boolean[] | null;
  mismatched: number[] | null;
}

/** Calls belfry.append in a session of the test's own, with the events as one request. */
export async function appendBySql(
  client: pg.Client | pg.Pool,
  { events, key, batch = randomUUID() }: SqlBatch,
): Promise<SqlAppended> {
  const digest = JSON.stringify(events).slice(0, 100);
  const column = <Value>(value: (event: SqlEvent, index: number) => Value) => events.map(value);
  const { rows } = await client.query<Row>(
    `select epoch, head, seqs, known, mismatched
    from belfry.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
    [
      batch,
      key !== undefined || events.some(({ dedupeId }) => dedupeId !== undefined),
      column(() => 0),
      column((_event, index) => index),
      column(() => 'default'),
      column(({ topic }) => topic ?? 'all'),
      column(({ type }) => type ?? 't'),
      column(() => null),
      column(({ data }) => JSON.stringify(data ?? null)),
      column(() => null),
      column(() => key ?? null),
      column(() => (key === undefined ? null : digest)),
      column(({ dedupeId }) => dedupeId ?? null),
      column(({ dedupeId, data }) => (dedupeId === undefined ? null : JSON.stringify(data ?? null))),
    ],
  );
  const [row] = rows;
  if (!row) throw new Error('belfry.append returned no row');
  return { ...row, head: Number(row.head), seqs: row.seqs && row.seqs.map(Number) };
}

/** A session of the test's own, outside any pool. */
export async function connect(url: string): Promise<pg.Client & { processID: number }> {
  const client = new pg.Client({ connectionString: url, application_name: 'test-session' });
  client.on('error', () => undefined);
  await client.connect();
  return client as pg.Client & { processID: number };
}
