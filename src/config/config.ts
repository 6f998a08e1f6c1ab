import { z } from 'zod';

/** Everything the service was told at boot: read once, validated, frozen. */
export interface Config {
  /** TCP port; 0 lets the system choose one. */
  readonly port: number;
  /** Address to listen on. */
  readonly host: string;
  /** True without DATABASE_URL: embedded Postgres, a secret of its own, demo sign-in; loopback only. */
  readonly demo: boolean;
  /** Where the embedded Postgres and the demo secret live. */
  readonly dataDir: string;
  /** The Postgres to use; undefined in demo mode, where the embedded one is started. */
  readonly databaseUrl: string | undefined;
  /** A direct session for LISTEN, when `databaseUrl` goes through a pooler that cannot carry one. */
  readonly listenDatabaseUrl: string | undefined;
  /** HS256 key of at least 32 bytes; undefined only in demo mode, where one is made and kept. */
  readonly jwtSecret: string | undefined;
  /** Expected `iss`, when set. */
  readonly jwtIssuer: string | undefined;
  /** Expected `aud`, when set. */
  readonly jwtAudience: string | undefined;
  /** Origins that browsers may call from, with credentials. */
  readonly corsOrigins: readonly string[];
  /** Silence on a stream after which a heartbeat is written, in milliseconds. */
  readonly heartbeatMs: number;
  /** Newest events kept in memory, at most so many. */
  readonly ringEvents: number;
  /** Newest events kept in memory, at most so many bytes. */
  readonly ringBytes: number;
  /** Open streams per instance. */
  readonly maxConnections: number;
  /** Age at which a stream is asked to reconnect, in milliseconds; 0: never. */
  readonly maxStreamAgeMs: number;
  /** A client that takes nothing for so long is cut off, in milliseconds. */
  readonly writeDeadlineMs: number;
  /** How long a shutdown lets streams and publishes finish, in milliseconds. */
  readonly drainMs: number;
  /** Largest JSON publish body, in bytes. */
  readonly maxBodyBytes: number;
  /** How long a publish waits for the database before it is refused, in milliseconds. */
  readonly publishTimeoutMs: number;
  /** Publishes waiting for their turn, at most so many bytes of them; past it they are refused. */
  readonly publishQueueBytes: number;
  readonly logLevel: LogLevel;
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

const MEBIBYTE = 1024 * 1024;

function integer(fallback: number, min: number, max = Number.MAX_SAFE_INTEGER) {
  const accepts = `a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, accepts)
    .transform(Number)
    .refine(value => value >= min && value <= max, accepts)
    .default(fallback);
}
