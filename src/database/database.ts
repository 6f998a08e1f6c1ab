import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';

/** A statement that is prepared once per session under its name. */
export interface Query {
  readonly name: string;
  readonly text: string;
  readonly values?: unknown[];
}

/** How long to wait for a session, in milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How long the answer to a pooled statement is waited for, in milliseconds; then its session is thrown away. */
const QUERY_TIMEOUT_MS = 15_000;
/** How long a session may take to say goodbye, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
/** Sessions for replay, history and the tail, at most so many. */
const POOL_SIZE = 10;

/** The sessions of one instance: a pool for short reads, and dedicated ones for whoever needs to own one. */
@Injectable()
export class Database implements OnApplicationShutdown {
  private readonly logger = new Logger(Database.name);
  private readonly pool: pg.Pool;
  private readonly url: string;
  private closing: Promise<void> | undefined;

  constructor(@Inject(CONFIG) private readonly config: Config) {
    if (config.databaseUrl === undefined) throw new Error('the database was not started before its sessions');
    this.url = config.databaseUrl;
    this.pool = new pg.Pool({
      ...sessionOptions(this.url, 'belfry', CONNECT_TIMEOUT_MS),
      max: POOL_SIZE,
      query_timeout: QUERY_TIMEOUT_MS,
    });
    this.pool.on('error', error => {
      this.logger.warn(`an idle database session ended: ${error.message}`);
    });
  }

  /** @throws whatever pg throws: a DatabaseError for what Postgres refused, an Error for a lost connection */
  async query<Row extends pg.QueryResultRow>(query: Query): Promise<Row[]> {
    const { rows } = await this.pool.query<Row>(query);
    return rows;
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
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>(resolve => (timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)));
    await Promise.race([client.end(), patience]);
    clearTimeout(timer);
  }

  async onApplicationShutdown(): Promise<void> {
    this.closing ??= this.pool.end();
    await this.closing;
  }
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
  // Left in place for good: a socket may report its death after everybody has lost interest in it, and an
  // 'error' event that nobody hears ends the process.
  client.on('error', () => undefined);
  return client;
}
