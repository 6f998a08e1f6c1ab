import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { Outage } from '../errors/outage.js';
import { isOutage } from './outage.js';
import { waitAtMost } from './patience.js';

/** A statement; with a name it is prepared once per session. */
export interface Query {
  /** Left out, the statement is planned each time, for its own values. */
  readonly name?: string;
  readonly text: string;
  readonly values?: unknown[];
}

/** How long to wait for a session, in milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How long the answer to a pooled statement is waited for, in milliseconds; then its session is thrown away. */
const QUERY_TIMEOUT_MS = 15_000;
/** How long a session may take to say goodbye, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
/** Sessions of each pool, at most so many. */
const POOL_SIZE = 3;
const ACCESS_POOL_SIZE = 2;
const INBOX_POOL_SIZE = 4;
const REPLAY_POOL_SIZE = 8;
/** How long a replay waits for its turn and a session, in milliseconds. */
const REPLAY_PATIENCE_MS = 30_000;

/** The sessions of one instance: a pool for short reads, and dedicated ones for whoever needs to own one. */
@Injectable()
export class Database implements OnApplicationShutdown {
  private readonly logger = new Logger(Database.name);
  /** For what is short and must not wait: the tail, its bell, the bounds, the revocations. */
  private readonly pool: pg.Pool;
  /** For what anybody may ask for by sending a credential: keys and tickets, one query of each at a time. */
  private readonly accessPool: pg.Pool;
  /** For the inboxes, so that however many users open theirs, the tail has its session. */
  private readonly inboxPool: pg.Pool;
  /** For replays, which may be many at once. They wait for their turn among themselves. */
  private readonly replayPool: pg.Pool;
  private readonly url: string;
  private closing: Promise<unknown> | undefined;

  constructor(@Inject(CONFIG) private readonly config: Config) {
    if (config.databaseUrl === undefined) throw new Error('the database was not started before its sessions');
    this.url = config.databaseUrl;
    this.pool = this.createPool('belfry', POOL_SIZE, CONNECT_TIMEOUT_MS);
    this.accessPool = this.createPool('belfry-access', ACCESS_POOL_SIZE, CONNECT_TIMEOUT_MS);
    this.inboxPool = this.createPool('belfry-inbox', INBOX_POOL_SIZE, CONNECT_TIMEOUT_MS);
    this.replayPool = this.createPool('belfry-replay', REPLAY_POOL_SIZE, REPLAY_PATIENCE_MS);
  }

  /** @throws Outage when the database cannot be reached; pg's DatabaseError when it refuses the statement */
  query<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    return rowsOf(this.pool, query);
  }

  /** The same for a credential that is not known yet, so that strangers take no session of the tail's. */
  access<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    return rowsOf(this.accessPool, query);
  }

  /** The same for an inbox. */
  inbox<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    return rowsOf(this.inboxPool, query);
  }

  /** The same for a replay. */
  replay<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    return rowsOf(this.replayPool, query);
  }

  /** A session of the caller's own, not connected yet, which the caller has to end. */
  session(applicationName: string, connectTimeoutMs = CONNECT_TIMEOUT_MS): pg.Client {
    return ownSession(this.url, applicationName, connectTimeoutMs);
  }

  /** The same for LISTEN, which a pooler in transaction mode accepts and never delivers. */
  listenSession(): pg.Client {
    return ownSession(this.config.listenDatabaseUrl ?? this.url, 'belfry-listen', CONNECT_TIMEOUT_MS);
  }

  /** Ends a session. A peer that does not answer is not waited for long; the process's end takes its socket. */
  async close(client: pg.Client): Promise<void> {
    await waitAtMost(CLOSE_TIMEOUT_MS, client.end());
  }

  private createPool(applicationName: string, max: number, connectTimeoutMs: number): pg.Pool {
    const pool = new pg.Pool({
      ...sessionOptions(this.url, applicationName, connectTimeoutMs),
      max,
      query_timeout: QUERY_TIMEOUT_MS,
      verify,
    });
    pool.on('error', error => {
      this.logger.warn(`an idle database session ended: ${error.message}`);
    });
    // The pool listens to a session that is idle, and its query to one at work; nobody to one that is being verified.
    pool.on('connect', endQuietly);
    return pool;
  }

  async onApplicationShutdown(): Promise<void> {
    const pools = [this.pool, this.accessPool, this.inboxPool, this.replayPool];
    this.closing ??= Promise.all(pools.map(pool => pool.end()));
    await this.closing;
  }
}

async function rowsOf<Row extends pg.QueryResultRow>(pool: pg.Pool, query: Query): Promise<Row[]> {
  try {
    return (await pool.query<Row>(query)).rows;
  } catch (error) {
    throw isOutage(error) ? new Outage(error) : error;
  }
}

/** A database may have another default; setting it only then keeps a pooler's sessions as they were. */
export const READ_COMMITTED = `case when current_setting('default_transaction_isolation') <> 'read committed'
  then set_config('default_transaction_isolation', 'read committed', false) end`;

/**
 * While a failover is under way, an address may lead to a standby, and a session would stay there. What is read of a standby
 * may end before the log does: a replay would pass over the rest.
 */
function verify(client: pg.PoolClient, done: (error?: Error) => void): void {
  client.query<{ standby: boolean }>(`select pg_is_in_recovery() as standby, ${READ_COMMITTED}`).then(
    ({ rows }) => {
      done(rows[0]?.standby ? new Error('the database is a standby') : undefined);
    },
    (error: unknown) => {
      done(error as Error);
    },
  );
}

function sessionOptions(url: string, applicationName: string, connectTimeoutMs: number): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

function ownSession(url: string, applicationName: string, connectTimeoutMs: number): pg.Client {
  const client = new pg.Client(sessionOptions(url, applicationName, connectTimeoutMs));
  endQuietly(client);
  return client;
}

/**
 * Hears the errors of a session for good: a socket may report its death after everybody has lost interest in it, and
 * an 'error' event that nobody hears ends the process.
 */
function endQuietly(client: pg.ClientBase): void {
  client.on('error', () => undefined);
}
