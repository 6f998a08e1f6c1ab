import { readFile, readdir } from 'node:fs/promises';
import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import { BootError } from '../errors/boot-error.js';
import { reasonOf } from '../errors/reason.js';

const FOLDER = new URL('../../migrations/', import.meta.url);
/** `<milliseconds since 1970>-<name>.sql`; the number orders them. */
const FILE_NAME = /^(\d{13})-([a-z0-9-]+)\.sql$/;
/** Advisory lock that lets one of several booting instances migrate while the others wait. */
const MIGRATION_LOCK = [1650815078, 3];

const SCHEMA = 'belfry';
const OLDEST_POSTGRES = 15;

/**
 * Brings the database up to the schema of this version: checks that it is one Belfry can live in, then runs what
 * is new in `migrations`, each file in a transaction of its own. TypeORM has no lock for that, so one is taken.
 *
 * @throws BootError when the database cannot be reached or is not fit
 */
export async function migrate(url: string): Promise<void> {
  const dataSource = new DataSource({
    type: 'postgres',
    url,
    applicationName: 'belfry-migrate',
    connectTimeoutMS: 5_000,
    poolSize: 2,
    synchronize: false,
    migrations: await readMigrations(),
    // Named, because the search path of a role called belfry changes as soon as there is a schema of that name.
    schema: SCHEMA,
    migrationsTableName: 'migrations',
  });
  try {
    await dataSource.initialize();
  } catch (error) {
    throw new BootError(
      `The database of DATABASE_URL cannot be used (${reasonOf(error)}): check that it runs, and the URL's host, port, database, user and password.`,
      { cause: error },
    );
  }
  try {
    await assertFit(dataSource);
    const lock = dataSource.createQueryRunner();
    try {
      await lock.query('select pg_advisory_lock($1, $2)', MIGRATION_LOCK);
      // Asked first: IF NOT EXISTS needs the privilege to create even when there is nothing to create.
      const [schema] = (await lock.query('select to_regnamespace($1) as oid', [SCHEMA])) as {
        oid: unknown;
      }[];
      if (!schema?.oid) await lock.query(`create schema ${SCHEMA}`);
      await dataSource.runMigrations({ transaction: 'each' });
      await lock.query('select pg_advisory_unlock($1, $2)', MIGRATION_LOCK);
    } finally {
      await lock.release();
    }
  } finally {
    await dataSource.destroy();
  }
}

async function assertFit(dataSource: DataSource): Promise<void> {
  const [row] = await dataSource.query<{ version: number; encoding: string; standby: boolean }[]>(
    `select current_setting('server_version_num')::integer as version,
       current_setting('server_encoding') as encoding, pg_is_in_recovery() as standby`,
  );
  if (!row) throw new Error('a SELECT without FROM returned no row');
  if (row.version < OLDEST_POSTGRES * 10_000) {
    throw new BootError(
      `DATABASE_URL is a Postgres ${Math.floor(row.version / 10_000)}: use Postgres ${OLDEST_POSTGRES} or newer.`,
    );
  }
  if (row.encoding !== 'UTF8') {
    throw new BootError(
      `The database of DATABASE_URL has the encoding ${row.encoding}: create it with ENCODING 'UTF8', so that it can hold every event.`,
    );
  }
  if (row.standby) {
    throw new BootError('DATABASE_URL is a standby, which cannot be written to: point it at the primary.');
  }
}

/** A TypeORM migration for each SQL file. */
async function readMigrations(): Promise<(new () => MigrationInterface)[]> {
  const files = (await readdir(FOLDER)).filter(file => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async file => {
      const [, timestamp, name] = FILE_NAME.exec(file) ?? [];
      if (!timestamp || !name) throw new Error(`migrations/${file} is not named <13 digits>-<name>.sql`);
      const sql = await readFile(new URL(file, FOLDER), 'utf8');
      return class implements MigrationInterface {
        readonly name = `${name}${timestamp}`;
        async up(runner: QueryRunner): Promise<void> {
          await runner.query(sql);
        }
        down(): Promise<void> {
          return Promise.reject(new Error('migrations only go forward'));
        }
      };
    }),
  );
}
