import { isNativeError } from 'node:util/types';

import type { Config } from './config/config.js';
import { BootError } from './errors/boot-error.js';

/** Errors of a connection, by Node's code or Postgres' SQLSTATE, in words that follow "the database …". */
const DATABASE_FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections',
  ECONNRESET: 'cut the connection',
  ENOTFOUND: 'has a host name that does not resolve',
  EAI_AGAIN: 'has a host name that does not resolve now',
  ETIMEDOUT: 'does not answer',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  '28000': 'does not let this user in',
  '28P01': 'does not accept the password',
  '3D000': 'does not exist',
  '42501': 'does not let this user create what Belfry needs',
  '53300': 'has no connection to spare',
  '57P03': 'is starting up or shutting down',
};

/**
 * A boot that failed for a reason outside this process, as one sentence for its operator; undefined for the rest,
 * which only their stack explains.
 */
export function explainBootFailure(error: unknown, config: Config): string | undefined {
  if (error instanceof BootError) return error.message;
  const code = codeOf(error);
  const place = `${config.host}:${config.port}`;
  if (code === 'EADDRINUSE')
    return `Port ${config.port} is taken on ${config.host}: set PORT to another one.`;
  if (code === 'EADDRNOTAVAIL')
    return `HOST ${config.host} is not an address of this machine: set another one.`;
  if (isListening(error) && code === 'EACCES')
    return `Listening on ${place} is not permitted: set PORT to 1024 or more.`;
  const failure = DATABASE_FAILURES[code];
  if (failure === undefined || config.databaseUrl === undefined) return undefined;
  const { host, pathname } = new URL(config.databaseUrl);
  return `The database ${host}${pathname} ${failure} (${code}): check DATABASE_URL and whether it runs.`;
}

function isListening(error: unknown): boolean {
  return isNativeError(error) && 'syscall' in error && error.syscall === 'listen';
}

/** Node tries each address of a host and reports the failures together, and an ORM may wrap what its driver threw. */
function codeOf(error: unknown): string {
  if (!isNativeError(error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return codeOf('errors' in error && Array.isArray(error.errors) ? error.errors[0] : error.cause);
}
