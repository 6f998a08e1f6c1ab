import { readFile, readdir } from 'node:fs/promises';
import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import type { Config } from '../config/config.js';
import { BootError } from '../errors/boot-error.js';
import { reasonOf } from '../errors/reason.js';
import { admitService } from './service.role.js';
import { unusable } from './unusable.js';

const FOLDER = new URL('../../migrations/', import.meta.url);
/** `<milliseconds since 1970>-<name>.sql`; the number orders them. */
const FILE_NAME = /^(\d{13})-([a-z0-9-]+)\.sql$/;
/** Advisory lock that lets one of several booting instances migrate while the others wait. */
const MIGRATION_LOCK = [1650815078, 3];

const SCHEMA = 'belfry';
const OLDEST_POSTGRES = 15;
/** SQLSTATE insufficient_privilege. */
const FORBIDDEN = '42501';
/** SQLSTATE undefined_object: what the owner is to grant something to is no role of its Postgres. */
const UNKNOWN_ROLE = '42704';

/** What a boot does first: brings the database of a configuration up to date, as its owner where one is given. */
export async function bringUpToDate(config: Config): Promise<void> {
  const { databaseUrl, listenDatabaseUrl, migrateDatabaseUrl } = config;
  // Directly when there is a way: a pooler would tear the lock and the migration apart.
  const direct = listenDatabaseUrl ?? databaseUrl;
  if (migrateDatabaseUrl !== undefined) await migrate(migrateDatabaseUrl, databaseUrl);
  else if (direct !== undefined) await migrate(direct);
}

/**
 * Brings the database up to the schema of this version: checks that it is one Belfry can live in, then runs what
 * is new in `migrations`, each file in a transaction of its own. TypeORM has no lock for that, so one is taken.
 *
 * @param url that of the owner of the schema: MIGRATE_DATABASE_URL with a `serviceUrl`, else DATABASE_URL or a direct
 *   way to the same
 * @param serviceUrl DATABASE_URL, when the service runs as another role, which is then let in
 * @throws BootError when the database cannot be reached or is not fit, or an owner named apart may not do this
 */
export async function migrate(url: string, serviceUrl?: string): Promise<void> {
  const variable = serviceUrl === undefined ? 'DATABASE_URL' : 'MIGRATE_DATABASE_URL';
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
    throw unusable(variable, error);
  }
  try {
    await assertFit(dataSource, variable);
    const lock = dataSource.createQueryRunner();
    try {
      await lock.query('select pg_advisory_lock($1, $2)', MIGRATION_LOCK);
      // Asked first: IF NOT EXISTS needs the privilege to create even when there is nothing to create.
      const [schema] = (await lock.query('select to_regnamespace($1) as oid', [SCHEMA])) as {
        oid: unknown;
      }[];
      if (!schema?.oid) await lock.query(`create schema ${SCHEMA}`);
      await dataSource.runMigrations({ transaction: 'each' });
      if (serviceUrl !== undefined) await admitService(lock, serviceUrl);
      await lock.query('select pg_advisory_unlock($1, $2)', MIGRATION_LOCK);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw serviceUrl === undefined ? error : inWordsOfOwner(error);
  } finally {
    await dataSource.destroy();
  }
}

/** What Postgres does not let the owner do, which DATABASE_URL has nothing to do with; anything else as it is. */
function inWordsOfOwner(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === FORBIDDEN) {
    return new BootError(
      `The role of MIGRATE_DATABASE_URL may not do what it is for (${reasonOf(error)}): it has to own the schema ${SCHEMA} and all in it, or be allowed to create it.`,
      { cause: error },
    );
  }
  if (code === UNKNOWN_ROLE) {
    return new BootError(
      `MIGRATE_DATABASE_URL leads to a Postgres that does not know the role of DATABASE_URL (${reasonOf(error)}): give both the same host and port.`,
      { cause: error },
    );
  }
  return error;
}

async function assertFit(dataSource: DataSource, variable: string): Promise<void> {
  const [row] = await dataSource.query<{ version: number; encoding: string; standby: boolean }[]>(
    `select current_setting('server_version_num')::integer as version,
       current_setting('server_encoding') as encoding, pg_is_in_recovery() as standby`,
  );
  if (!row) throw new Error('a SELECT without FROM returned no row');
  if (row.version < OLDEST_POSTGRES * 10_000) {
    throw new BootError(
      `${variable} is a Postgres ${Math.floor(row.version / 10_000)}: use Postgres ${OLDEST_POSTGRES} or newer.`,
    );
  }
  if (row.encoding !== 'UTF8') {
    throw new BootError(
      `The database of ${variable} has the encoding ${row.encoding}: create it with ENCODING 'UTF8', so that it can hold every event.`,
    );
  }
  if (row.standby) {
    throw new BootError(`${variable} is a standby, which cannot be written to: point it at the primary.`);
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
