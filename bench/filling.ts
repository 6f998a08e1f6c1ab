import type { Database } from './postgres.js';

/** One INSERT has so many rows. */
const CHUNK = 500_000;
/** As the service makes them by default. */
const PARTITION = 1_000_000;

/** A log as a busy service has it: a few topics with half of the events, and very many with some each. */
export class Filling {
  /** What was missed is spread evenly over the last part of the log, this share of it. */
  static readonly LAST_PART = 0.3;

  /** The seq of the first event that anybody missed. */
  readonly firstMissed: number;
  /** Every so many rows there is one that somebody missed. */
  private readonly step: number;

  constructor(
    private readonly database: Database,
    private readonly rows: number,
    /** Topics of clients that were away. */
    private readonly topics: number,
    /** Events of each of them. */
    private readonly missed: number,
  ) {
    this.firstMissed = Math.floor(rows * (1 - Filling.LAST_PART)) + 1;
    this.step = Math.floor((rows - this.firstMissed) / (topics * this.missed));
    if (this.step < 1)
      throw new Error(`${rows} rows have no room for ${topics} topics of ${this.missed} events`);
  }

  /** @returns the epoch */
  async fill(): Promise<string> {
    const { database, rows } = this;
    await database.query(`select belfry.extend_log(${PARTITION}, ${rows})`);
    for (let first = 1; first <= rows; first += CHUNK) {
      await database.query(this.chunk(first, Math.min(rows, first + CHUNK - 1)));
    }
    await database.query('vacuum (analyze) belfry.events');
    await this.check();
    const [epoch] = await database.query<{ name: string }>(
      'select name from belfry.epochs order by n desc limit 1',
    );
    if (!epoch) throw new Error('the log has no epoch');
    return epoch.name;
  }

  topicOf(topic: number): string {
    return `replay:${topic}`;
  }

  private chunk(first: number, last: number): string {
    const missed = `(seq >= ${this.firstMissed} and (seq - ${this.firstMissed}) % ${this.step} = 0
      and (seq - ${this.firstMissed}) / ${this.step} < ${this.topics * this.missed})`;
    const place = `((seq - ${this.firstMissed}) / ${this.step})`;
    // Multiplied by a large prime, the seq picks a topic as good as at random, and the same one in every run.
    return `set synchronous_commit = off;
      insert into belfry.events (seq, tenant, topic, type, key, data, at, expires_at, batch, batch_index)
      select seq, 'default',
        case when ${missed} then 'replay:' || ${place} % ${this.topics}
          when seq % 2 = 0 then 'room:' || (seq * 7919 % 1009) % 10
          else 'user:' || seq * 7919 % 100003 end,
        'tick', null,
        '{"n":"~' || lpad((case when ${missed} then ${place} / ${this.topics} + 1 else 0 end)::text, 10, '0')
          || '","text":"Invoice 2026-1187 of Harbour Supplies was paid in full. Nothing is left to do.","url":"/i/1187"}',
        now(), null, '00000000-0000-4000-8000-000000000000', 1
      from generate_series(${first}::bigint, ${last}) as seq`;
  }

  private async check(): Promise<void> {
    const [found] = await this.database.query<{
      rows: number;
      topics: number;
      shortest: number;
      longest: number;
    }>(
      `select (select count(*) from belfry.events)::float8 as rows, count(*)::float8 as topics,
         min(events)::float8 as shortest, max(events)::float8 as longest
       from (select count(*) as events from belfry.events where topic ^@ 'replay:' group by topic) as missed`,
    );
    const wanted = { rows: this.rows, topics: this.topics, shortest: this.missed, longest: this.missed };
    if (JSON.stringify(found) !== JSON.stringify(wanted)) {
      throw new Error(`the log was to have ${JSON.stringify(wanted)}, and has ${JSON.stringify(found)}`);
    }
  }
}
