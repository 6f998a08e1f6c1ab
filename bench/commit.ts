import pg from 'pg';
import { figure } from './figure.js';
import type { Database } from './postgres.js';

const COMMITS = 50;

/** How long one commit of one row takes when nothing else is going on, in milliseconds: what the disk costs. */
export async function commitMs(database: Database): Promise<number> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query('create table commits (n integer)');
    const times: number[] = [];
    for (let n = 0; n < COMMITS; n++) {
      const began = performance.now();
      await client.query('insert into commits values (1)');
      times.push(performance.now() - began);
    }
    await client.query('drop table commits');
    return figure(times, 'ms').median;
  } finally {
    await client.end();
  }
}
