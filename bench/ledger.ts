import type { Database } from './postgres.js';

interface Row {
  readonly seq: number;
  readonly counter: number;
}

/** What the log holds of one topic, to be compared with what others say about it. */
export class Ledger {
  /** @param rows in the order of the log */
  private constructor(private readonly rows: readonly Row[]) {}

  static async of(database: Database, topic: string): Promise<Ledger> {
    // As float8, because numeric and bigint arrive as text; the counter has ten digits after its mark.
    return new Ledger(
      await database.query<{ seq: number; counter: number }>(
        `select seq::float8 as seq, substr(data, strpos(data, '~') + 1, 10)::float8 as counter
         from belfry.events where topic = '${topic}' order by seq`,
      ),
    );
  }

  /** Events of all topics. */
  static async count(database: Database): Promise<number> {
    const [row] = await database.query<{ events: number }>(
      'select count(*)::float8 as events from belfry.events',
    );
    return row?.events ?? 0;
  }

  /**
   * Each event is in the log once, where its publisher was told.
   *
   * @param seqs answered for the counters from `first` on
   * @throws Error when it is not so
   */
  matchAnswers(seqs: readonly number[], first: number): void {
    this.isAsLongAs(seqs.length, 'events were acknowledged');
    for (const { seq, counter } of this.rows) {
      const answered = seqs[counter - first];
      if (answered !== seq) {
        throw new Error(
          `event ${counter} is in the log as ${seq}, and was answered as ${answered ?? 'nothing'}`,
        );
      }
    }
  }

  /** The counters from `first` on are in the log without a gap and in order. @throws Error when they are not */
  matchRange(first: number, count: number): void {
    this.isAsLongAs(count, 'events were uploaded');
    this.rows.forEach(({ counter }, index) => {
      if (counter !== first + index) throw new Error(`the log has ${counter} where ${first + index} belongs`);
    });
  }

  /** A subscriber heard exactly what is in the log, in its order. @throws Error when it did not */
  matchHeard(heard: readonly number[]): void {
    this.isAsLongAs(heard.length, 'events were heard');
    this.rows.forEach(({ counter, seq }, index) => {
      if (heard[index] !== counter) {
        throw new Error(`a subscriber heard ${heard[index]} where the log has ${counter} (seq ${seq})`);
      }
    });
  }

  private isAsLongAs(count: number, what: string): void {
    if (this.rows.length !== count) throw new Error(`${count} ${what}, and the log has ${this.rows.length}`);
  }
}
