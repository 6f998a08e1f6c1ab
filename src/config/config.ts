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
  /** The owner of the schema, when the service itself runs as a role that may do less. */
  readonly migrateDatabaseUrl: string | undefined;
  /** HS256 key of at least 32 bytes; in demo mode one is made and kept when there is none. */
  readonly jwtSecret: string | undefined;
  /** Where the public keys of an issuer are, for tokens with asymmetric signatures. */
  readonly jwksUrl: string | undefined;
  /** How a token of that issuer may be signed: names of RFC 7518, section 3.1. */
  readonly jwksAlgorithms: readonly string[];
  /** The keys are fetched again so often, in milliseconds. */
  readonly jwksRefreshMs: number;
  /** And when a token names a key that is not among them, not more often than this, in milliseconds. */
  readonly jwksCooldownMs: number;
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
  /** Open streams of one user, on all instances together; 0: no limit. */
  readonly maxConnectionsPerUser: number;
  /** Topics in one request to read. */
  readonly maxTopics: number;
  /** Requests of one user in a minute, on each instance; 0: no limit. */
  readonly userRequestsPerMinute: number;
  /** The same for one backend: an API key, or a token with a scope. */
  readonly backendRequestsPerMinute: number;
  /** How long a ticket is good, in milliseconds. */
  readonly ticketMs: number;
  /** Age at which a stream is asked to reconnect, in milliseconds; 0: never. */
  readonly maxStreamAgeMs: number;
  /** A client that takes nothing for so long is cut off, in milliseconds. */
  readonly writeDeadlineMs: number;
  /** How long a shutdown lets streams and publishes finish, in milliseconds. */
  readonly drainMs: number;
  /** Largest JSON publish body, in bytes. */
  readonly maxBodyBytes: number;
  /** Largest data of one event, in bytes. */
  readonly maxDataBytes: number;
  /** How long a connection may take to send the headers of a request, in milliseconds. */
  readonly headersTimeoutMs: number;
  /** How long a request may take to send a JSON body, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** How long an NDJSON body may send nothing, in milliseconds; 0: for ever. */
  readonly uploadIdleMs: number;
  /** How long a connection without a request is kept, in milliseconds. */
  readonly keepAliveMs: number;
  /** How long a publish waits for the database before it is refused, in milliseconds. */
  readonly publishTimeoutMs: number;
  /** Publishes waiting for their turn, at most so many bytes of them; past it they are refused. */
  readonly publishQueueBytes: number;
  /** Rows that one replay query looks at. */
  readonly replayEvents: number;
  /** Seqs in one partition of the log. */
  readonly partitionEvents: number;
  /** Events are kept for so long, and then until their whole partition can be dropped; in hours. */
  readonly retentionHours: number;
  /** What was published under a key is remembered for so long, in hours. */
  readonly dedupeHours: number;
  /** Notifications are kept for so long, and what users did with them, in days. */
  readonly inboxRetentionDays: number;
  /** The outbox is looked at so often while events come through it, in milliseconds. */
  readonly outboxBusyPollMs: number;
  /** And when none has come for a while. */
  readonly outboxIdlePollMs: number;
  readonly logLevel: LogLevel;
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
/** Longest delay that a Node timer takes, in milliseconds; a longer one fires at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;
/** A hundred years. */
const MOST_HOURS = 876_000;
/** Not HMAC: a public key must never serve as a secret (RFC 8725, section 2.1). */
const ASYMMETRIC = 'RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA,Ed25519';
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
  MIGRATE_DATABASE_URL: databaseUrl(),
  BELFRY_DATA_DIR: z.string().default('.belfry'),
  JWT_SECRET: z
    .string()
    .refine(secret => Buffer.byteLength(secret) >= SECRET_BYTES, `at least ${SECRET_BYTES} bytes long`)
    .optional(),
  JWKS_URL: z
    .string()
    .refine(
      value => /^https?:\/\/[^@]+$/.test(value) && URL.canParse(value),
      'an https:// URL, without user and password',
    )
    .optional(),
  JWKS_ALGORITHMS: z
    .string()
    .default(ASYMMETRIC)
    .transform(list => list.split(',').map(name => name.trim()))
    .refine(
      names => names.every(name => ASYMMETRIC.split(',').includes(name)),
      `a comma-separated list out of ${ASYMMETRIC}`,
    ),
  JWKS_REFRESH_MS: integer(600_000, 1_000, LONGEST_TIMER),
  JWKS_COOLDOWN_MS: integer(5_000, 0, LONGEST_TIMER),
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
  MAX_CONNECTIONS_PER_USER: integer(100, 0),
  MAX_TOPICS: integer(100, 1, 10_000),
  USER_REQUESTS_PER_MINUTE: integer(6_000, 0),
  BACKEND_REQUESTS_PER_MINUTE: integer(0, 0),
  TICKET_MS: integer(30_000, 1_000, LONGEST_TIMER),
  MAX_STREAM_AGE_MS: integer(3_600_000, 0, LONGEST_TIMER),
  WRITE_DEADLINE_MS: integer(30_000, 100, LONGEST_TIMER),
  DRAIN_MS: integer(10_000, 0, LONGEST_TIMER),
  MAX_BODY_BYTES: integer(72 * MEBIBYTE, KIBIBYTE),
  MAX_DATA_BYTES: integer(64 * KIBIBYTE, 1, MEBIBYTE),
  HEADERS_TIMEOUT_MS: integer(15_000, 100, LONGEST_TIMER),
  BODY_TIMEOUT_MS: integer(30_000, 100, LONGEST_TIMER),
  UPLOAD_IDLE_MS: integer(600_000, 0, LONGEST_TIMER),
  KEEP_ALIVE_MS: integer(65_000, 100, LONGEST_TIMER),
  PUBLISH_TIMEOUT_MS: integer(5_000, 1, LONGEST_TIMER),
  PUBLISH_QUEUE_BYTES: integer(128 * MEBIBYTE, KIBIBYTE),
  REPLAY_EVENTS: integer(200, 1, 10_000),
  PARTITION_EVENTS: integer(1_000_000, 1),
  RETENTION_HOURS: integer(72, 1, MOST_HOURS),
  DEDUPE_HOURS: integer(24, 24, MOST_HOURS),
  INBOX_RETENTION_DAYS: integer(90, 1, MOST_HOURS / 24),
  OUTBOX_BUSY_POLL_MS: integer(20, 1, LONGEST_TIMER),
  OUTBOX_IDLE_POLL_MS: integer(250, 1, LONGEST_TIMER),
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
  checkKeys(variables, demo);

  return Object.freeze({
    port: variables.PORT,
    host: variables.HOST ?? (demo ? '127.0.0.1' : '0.0.0.0'),
    demo,
    dataDir: resolve(variables.BELFRY_DATA_DIR),
    databaseUrl: variables.DATABASE_URL,
    listenDatabaseUrl: variables.LISTEN_DATABASE_URL,
    migrateDatabaseUrl: variables.MIGRATE_DATABASE_URL,
    jwtSecret: variables.JWT_SECRET,
    jwksUrl: variables.JWKS_URL,
    jwksAlgorithms: Object.freeze(variables.JWKS_ALGORITHMS),
    jwksRefreshMs: variables.JWKS_REFRESH_MS,
    jwksCooldownMs: variables.JWKS_COOLDOWN_MS,
    jwtIssuer: variables.JWT_ISSUER,
    jwtAudience: variables.JWT_AUDIENCE,
    corsOrigins: Object.freeze(variables.CORS_ORIGINS),
    heartbeatMs: variables.HEARTBEAT_MS,
    tokenCacheTokens: variables.TOKEN_CACHE_TOKENS,
    ringEvents: variables.RING_EVENTS,
    ringBytes: variables.RING_BYTES,
    maxConnections: variables.MAX_CONNECTIONS,
    maxConnectionsPerUser: variables.MAX_CONNECTIONS_PER_USER,
    maxTopics: variables.MAX_TOPICS,
    userRequestsPerMinute: variables.USER_REQUESTS_PER_MINUTE,
    backendRequestsPerMinute: variables.BACKEND_REQUESTS_PER_MINUTE,
    ticketMs: variables.TICKET_MS,
    maxStreamAgeMs: variables.MAX_STREAM_AGE_MS,
    writeDeadlineMs: variables.WRITE_DEADLINE_MS,
    drainMs: variables.DRAIN_MS,
    maxBodyBytes: variables.MAX_BODY_BYTES,
    maxDataBytes: variables.MAX_DATA_BYTES,
    headersTimeoutMs: variables.HEADERS_TIMEOUT_MS,
    bodyTimeoutMs: variables.BODY_TIMEOUT_MS,
    uploadIdleMs: variables.UPLOAD_IDLE_MS,
    keepAliveMs: variables.KEEP_ALIVE_MS,
    publishTimeoutMs: variables.PUBLISH_TIMEOUT_MS,
    publishQueueBytes: variables.PUBLISH_QUEUE_BYTES,
    replayEvents: variables.REPLAY_EVENTS,
    partitionEvents: variables.PARTITION_EVENTS,
    retentionHours: variables.RETENTION_HOURS,
    dedupeHours: variables.DEDUPE_HOURS,
    inboxRetentionDays: variables.INBOX_RETENTION_DAYS,
    outboxBusyPollMs: variables.OUTBOX_BUSY_POLL_MS,
    outboxIdlePollMs: variables.OUTBOX_IDLE_POLL_MS,
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
  for (const other of ['LISTEN_DATABASE_URL', 'MIGRATE_DATABASE_URL'] as const) {
    if (variables[other] !== undefined) throw new BootError(`DATABASE_URL must be set when ${other} is.`);
  }
  if (variables.HOST !== undefined && !isLoopback(variables.HOST)) {
    throw new BootError(
      'HOST must be a loopback address such as 127.0.0.1 in demo mode: set DATABASE_URL and JWT_SECRET to listen on others.',
    );
  }
}

/** At least one way to tell a good token from a bad one, and none that somebody else could use. */
function checkKeys(variables: Variables, demo: boolean): void {
  const { NODE_ENV, JWT_SECRET, JWKS_URL } = variables;
  if (!demo && JWT_SECRET === undefined && JWKS_URL === undefined) {
    throw new BootError(
      `JWT_SECRET (at least ${SECRET_BYTES} random bytes) or JWKS_URL must be set when DATABASE_URL is.`,
    );
  }
  if (NODE_ENV !== 'production') return;
  if (JWT_SECRET !== undefined && isWeakSecret(JWT_SECRET)) {
    throw new BootError(
      'JWT_SECRET must be random in production, such as what "openssl rand -base64 48" prints: this one can be guessed.',
    );
  }
  if (JWKS_URL !== undefined && !isPrivate(new URL(JWKS_URL))) {
    throw new BootError(
      'JWKS_URL must be an https:// URL in production: whoever is on the way could put in keys.',
    );
  }
}

function isPrivate({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || isLoopback(hostname);
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
