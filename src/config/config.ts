import { resolve } from 'node:path';

import { z } from 'zod';

import { BootError } from '../errors/boot-error.js';
import { isLoopback } from './loopback.js';
import { isWeakSecret } from './secret-strength.js';

/** Injection token of the one `Config` of an application. */
export const CONFIG = Symbol('Config');

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
  /** Tokens that were found good and are remembered, at most so many; 0: each is checked each time. */
  readonly tokenCacheTokens: number;
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
  /** Rows that one replay query looks at. */
  readonly replayEvents: number;
  /** Seqs in one partition of the log. */
  readonly partitionEvents: number;
  readonly logLevel: LogLevel;
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
/** Longest delay that a Node timer takes, in milliseconds; a longer one fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** RFC 7518, section 3.2: an HS256 key is at least as long as the hash. */
const SECRET_BYTES = 32;

/** What a variable accepts is the message of its schema: it completes the sentence "NAME must be …". */
const SCHEMA = z.object({
  NODE_ENV: z.string().optional(),
  PORT: integer(3000, 0, 65_535),
  HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]+$/, 'a host name or an IP address, without brackets or port')
    .optional(),
  DATABASE_URL: databaseUrl(),
  LISTEN_DATABASE_URL: databaseUrl(),
  BELFRY_DATA_DIR: z.string().default('.belfry'),
  JWT_SECRET: z
    .string()
    .refine(secret => Buffer.byteLength(secret) >= SECRET_BYTES, `at least ${SECRET_BYTES} bytes long`)
    .optional(),
  JWT_ISSUER: z.string().optional(),
  JWT_AUDIENCE: z.string().optional(),
  CORS_ORIGINS: z
    .string()
    .transform(list =>
      [...new Set(list.split(',').map(origin => origin.trim()))].filter(origin => origin !== ''),
    )
    .refine(
      origins => origins.every(isOrigin),
      'a comma-separated list of origins such as https://app.example.com, with no path and no "*", because credentials are allowed',
    )
    .default([]),
  HEARTBEAT_MS: integer(15_000, 100, LONGEST_TIMER),
  TOKEN_CACHE_TOKENS: integer(20_000, 0),
  RING_EVENTS: integer(100_000, 1),
  RING_BYTES: integer(64 * MEBIBYTE, KIBIBYTE),
  MAX_CONNECTIONS: integer(20_000, 1),
  MAX_STREAM_AGE_MS: integer(3_600_000, 0, LONGEST_TIMER),
  WRITE_DEADLINE_MS: integer(30_000, 100, LONGEST_TIMER),
  DRAIN_MS: integer(10_000, 0, LONGEST_TIMER),
  MAX_BODY_BYTES: integer(72 * MEBIBYTE, KIBIBYTE),
  PUBLISH_TIMEOUT_MS: integer(5_000, 1, LONGEST_TIMER),
  PUBLISH_QUEUE_BYTES: integer(128 * MEBIBYTE, KIBIBYTE),
  REPLAY_EVENTS: integer(200, 1, 10_000),
  PARTITION_EVENTS: integer(1_000_000, 1),
  LOG_LEVEL: z.enum(LOG_LEVELS, `one of ${LOG_LEVELS.join(', ')}`).default('info'),
});

type Variables = z.infer<typeof SCHEMA>;

/**
 * Reads and checks the whole configuration. An empty variable counts as unset, as `docker run -e NAME=` leaves it.
 *
 * @throws BootError naming the first variable that is wrong and what it accepts, never its value
 */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = SCHEMA.safeParse(given);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new BootError(
      `${issue?.path.join('.') ?? 'The environment'} must be ${issue?.message ?? 'valid'}.`,
    );
  }
  const variables = parsed.data;
  const demo = variables.DATABASE_URL === undefined;
  if (demo) checkDemo(variables);
  checkSecret(variables, demo);

  return Object.freeze({
    port: variables.PORT,
    host: variables.HOST ?? (demo ? '127.0.0.1' : '0.0.0.0'),
    demo,
    dataDir: resolve(variables.BELFRY_DATA_DIR),
    databaseUrl: variables.DATABASE_URL,
    listenDatabaseUrl: variables.LISTEN_DATABASE_URL,
    jwtSecret: variables.JWT_SECRET,
    jwtIssuer: variables.JWT_ISSUER,
    jwtAudience: variables.JWT_AUDIENCE,
    corsOrigins: Object.freeze(variables.CORS_ORIGINS),
    heartbeatMs: variables.HEARTBEAT_MS,
    tokenCacheTokens: variables.TOKEN_CACHE_TOKENS,
    ringEvents: variables.RING_EVENTS,
    ringBytes: variables.RING_BYTES,
    maxConnections: variables.MAX_CONNECTIONS,
    maxStreamAgeMs: variables.MAX_STREAM_AGE_MS,
    writeDeadlineMs: variables.WRITE_DEADLINE_MS,
    drainMs: variables.DRAIN_MS,
    maxBodyBytes: variables.MAX_BODY_BYTES,
    publishTimeoutMs: variables.PUBLISH_TIMEOUT_MS,
    publishQueueBytes: variables.PUBLISH_QUEUE_BYTES,
    replayEvents: variables.REPLAY_EVENTS,
    partitionEvents: variables.PARTITION_EVENTS,
    logLevel: variables.LOG_LEVEL,
  });
}

/** Demo mode hands a token to whoever asks, so it must neither pass for production nor leave this machine. */
function checkDemo(variables: Variables): void {
  if (variables.NODE_ENV === 'production') {
    throw new BootError(
      'DATABASE_URL must be set when NODE_ENV is production: demo mode is not for production.',
    );
  }
  if (variables.LISTEN_DATABASE_URL !== undefined) {
    throw new BootError('DATABASE_URL must be set when LISTEN_DATABASE_URL is.');
  }
  if (variables.HOST !== undefined && !isLoopback(variables.HOST)) {
    throw new BootError(
      'HOST must be a loopback address such as 127.0.0.1 in demo mode: set DATABASE_URL and JWT_SECRET to listen on others.',
    );
  }
}

function checkSecret(variables: Variables, demo: boolean): void {
  if (variables.JWT_SECRET === undefined) {
    if (demo) return;
    throw new BootError(
      `JWT_SECRET must be set when DATABASE_URL is: at least ${SECRET_BYTES} random bytes.`,
    );
  }
  if (variables.NODE_ENV === 'production' && isWeakSecret(variables.JWT_SECRET)) {
    throw new BootError(
      'JWT_SECRET must be random in production, such as what "openssl rand -base64 48" prints: this one can be guessed.',
    );
  }
}

function integer(fallback: number, min: number, max = Number.MAX_SAFE_INTEGER) {
  const accepts = `a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, accepts)
    .transform(Number)
    .refine(value => value >= min && value <= max, accepts)
    .default(fallback);
}

function databaseUrl() {
  return z
    .string()
    .refine(
      value => /^postgres(?:ql)?:\/\//.test(value) && URL.canParse(value),
      'a URL such as postgres://user:password@host:5432/database',
    )
    .optional();
}

/** RFC 6454, section 6.2: as a browser writes it, so that the comparison is one of strings. */
function isOrigin(value: string): boolean {
  return /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value;
}
