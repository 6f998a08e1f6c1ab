import pg from 'pg';
import type { QueryRunner } from 'typeorm';

import { BootError } from '../errors/boot-error.js';
import { unusable } from './unusable.js';

const CONNECT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 15_000;

/** The name of an epoch is random: who reads the same one reads the same log. */
const NEWEST_EPOCH = 'select name from belfry.epochs order by n desc limit 1';

/**
 * Grants the role that the service runs as what it needs (see belfry.admit_service), and makes sure that it is a role
 * of this very database. Who the role is, a session of its own says: a URL may leave it out, or a pooler change it.
 *
 * @param owner a session of the owner of the schema, which is up to date
 * @param url that of the service, DATABASE_URL
 * @throws BootError when it cannot be reached, or is another database; pg's DatabaseError when the owner may not grant
 */
export async function admitService(owner: QueryRunner, url: string): Promise<void> {
  const service = new pg.Client({
    connectionString: url,
    application_name: 'belfry-migrate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  // The query under way reports it.
  service.on('error', () => undefined);
  try {
    const role = await connect(service);
    // Nobody can give themselves less than they own.
    await owner.query('select belfry.admit_service($1::name) where $1::name <> current_user', [role]);
    const [log] = (await owner.query(NEWEST_EPOCH)) as { name: string }[];
    if (log?.name !== (await epochOf(service))) {
      throw new BootError(
        'MIGRATE_DATABASE_URL leads to another database than DATABASE_URL: give both the same host, port and database.',
      );
    }
  } finally {
    await service.end();
  }
}

/** @returns the name of the role, as Postgres sees it */
async function connect(service: pg.Client): Promise<string> {
  try {
    await service.connect();
    const { rows } = await service.query<{ role: string }>('select current_user as role');
    return rows[0]?.role ?? '';
  } catch (error) {
    throw unusable('DATABASE_URL', error);
  }
}

/** @returns undefined where there is no log, or none that this role may read */
async function epochOf(service: pg.Client): Promise<string | undefined> {
  try {
    return (await service.query<{ name: string }>(NEWEST_EPOCH)).rows[0]?.name;
  } catch (error) {
    if (error instanceof pg.DatabaseError) return undefined;
    throw error;
  }
}
