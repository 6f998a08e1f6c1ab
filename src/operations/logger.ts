import type { LoggerService } from '@nestjs/common';
import { isNativeError } from 'node:util/types';
import type { DestinationStream, Level, Logger } from 'pino';
import { pino } from 'pino';

import type { Config } from '../config/config.js';

/** What may wait for a reader that is slow or a disk that is full; what comes beyond it is lost. */
const WAITING_BYTES = 1024 * 1024;

/** One JSON line per entry, to standard output or where a test wants it. */
export function createLogger(
  config: Config,
  destination: DestinationStream = destinationOf(process.stdout.fd),
): Logger {
  return pino({ level: config.logLevel, serializers: { err: describeError } }, destination);
}

/**
 * Each line is written at once, so that the last one before a crash is there. Nobody waits for a line that cannot be
 * written: it is tried again with the next one, and the service neither stands still nor ends because of its log.
 */
export function destinationOf(fd: number): DestinationStream {
  const destination = pino.destination({
    fd,
    sync: true,
    maxLength: WAITING_BYTES,
    retryEAGAIN: () => false,
  });
  destination.on('error', () => undefined);
  // Asked for after a fatal line; it would try for ever.
  destination.flushSync = () => undefined;
  return destination;
}

/**
 * An error without the properties that libraries hang on it: a database driver adds the parameters of the query,
 * a parser the body, and either may be somebody's data.
 */
function describeError(error: unknown): unknown {
  if (!isNativeError(error)) return error;
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...('code' in error ? { code: error.code } : {}),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

/** Where Nest tells of every module and route at boot: nobody's business unless something is being looked for. */
const BOOT_CHATTER = new Set([
  'NestFactory',
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
  'NestApplication',
]);

/** Lets Nest, and whoever uses its `Logger`, write through pino. */
export class PinoLogger implements LoggerService {
  constructor(private readonly pino: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.write(BOOT_CHATTER.has(String(rest.at(-1))) ? 'debug' : 'info', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.write('trace', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  /** Nest passes the context last and, with an error, its stack before it. */
  private write(level: Level, message: unknown, rest: unknown[]): void {
    const context = rest.at(-1);
    const stack = rest.length > 1 ? rest[0] : undefined;
    const fields = {
      ...(typeof context === 'string' ? { context } : {}),
      ...(typeof stack === 'string' ? { stack } : {}),
    };
    if (message instanceof Error) this.pino[level]({ ...fields, err: message }, message.message);
    else if (typeof message === 'string') this.pino[level](fields, message);
    else this.pino[level]({ ...fields, ...(typeof message === 'object' ? message : { msg: message }) });
  }
}
