import type { TestDatabase } from '../support/databases.js';

export interface StoredEvent {
  readonly seq: number;
  readonly topic: string;
  readonly type: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into it freely
  readonly data: any;
  readonly batch: string;
}

/** The whole log, in order. */
export async function storedEvents(database: Pick<TestDatabase, 'rows'>): Promise<StoredEvent[]> {
  const rows = await database.rows<{ seq: string; topic: string; type: string; data: string; batch: string }>(
    'select seq, topic, type, data, batch from belfry.events order by seq',
  );
  return rows.map(row => ({ ...row, seq: Number(row.seq), data: JSON.parse(row.data) as unknown }));
}

/** True when the seqs are 1, 2, 3, … without a hole or a double. */
export function isDense(events: readonly { readonly seq: number }[]): boolean {
  return events.every(({ seq }, index) => seq === index + 1);
}

/** The number behind the dot of an id. */
export function seqOf(id: string | undefined): number {
  return Number(id?.split('.')[1]);
}
