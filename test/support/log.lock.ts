import pg from 'pg';
import { until } from '../support/conditions.js';

/** The two numbers of the advisory lock that every append takes. */
const LOCK = [1650815078, 1] as const;

/** The log's lock, in the hands of a test: whatever appends meanwhile waits. */
export class LogLock {
  private constructor(private readonly client: pg.Client) {}

  static async hold(url: string): Promise<LogLock> {
    const client = new pg.Client({ connectionString: url, application_name: 'test-lock' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1, $2)', [...LOCK]);
    return new LogLock(client);
  }

  /** Resolves when exactly so many sessions, or the one with this process id, wait for the lock. */
  async isAwaited(by: { count: number } | { pid: number }): Promise<void> {
    await until(`a wait for the log's lock by ${JSON.stringify(by)}`, async () => {
      const waiting = await this.waiting();
      return 'pid' in by ? waiting.includes(by.pid) : waiting.length === by.count;
    });
  }

  /** The process ids of the sessions that wait for the lock. */
  async waiting(): Promise<number[]> {
    const { rows } = await this.client.query<{ pid: number }>(
      `select pid from pg_locks
      where locktype = 'advisory' and classid = $1 and objid = $2 and not granted
        and database = (select oid from pg_database where datname = current_database())`,
      [...LOCK],
    );
    return rows.map(({ pid }) => pid);
  }

  async release(): Promise<void> {
    await this.client.end();
  }
}
