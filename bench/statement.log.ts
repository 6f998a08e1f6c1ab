import { setTimeout as delay } from 'node:timers/promises';
import type { Database, PostgresSettings } from './postgres.js';

/** Settings under which Postgres writes every statement down, and for which database and session it was. */
export const LOGGED: PostgresSettings = { log_statement: 'all', log_line_prefix: '%m [%p] %d/%a ' };

/** Backends write to the log themselves, before they carry out a statement: it is there at once. */
const FLUSH_MS = 50;
const STATEMENT = / LOG: {2}(?:statement|execute [^:]*): (.*)/;
const SHOWN = 90;

/**
 * The statements that reach a database. The log has them all, at once and by name; Postgres' own counters are brought up
 * to date only now and then, and not by sessions that do nothing.
 */
export class StatementLog {
  constructor(private readonly database: Database) {}

  /** @returns what the work gave, and the beginning of each statement that came while it was done */
  async during<T>(work: () => Promise<T>): Promise<{ value: T; texts: string[] }> {
    const { postgres, name } = this.database;
    const from = await postgres.logLength();
    const value = await work();
    await delay(FLUSH_MS);
    const lines = (await postgres.logFrom(from)).split('\n').filter(line => line.includes(` ${name}/`));
    const texts = lines.flatMap(line => STATEMENT.exec(line)?.[1]?.slice(0, SHOWN) ?? []);
    return { value, texts };
  }
}
