import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { loadConfig } from '../../src/config/config.js';
import { createLogger, destinationOf } from '../../src/operations/logger.js';
import { SECRET } from '../support/instance.js';

/** Linux' device that is always full. */
const FULL = '/dev/full';

describe('the log', () => {
  let folder: string;
  let fd: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'belfry-log-'));
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  function loggerTo(path: string, flags: number): Logger {
    fd = openSync(path, flags);
    const config = loadConfig({ DATABASE_URL: 'postgres://x@127.0.0.1/x', JWT_SECRET: SECRET });
    return createLogger(config, destinationOf(fd));
  }

  it('waits for nobody who reads it slowly, and gives him all lines that it kept', () => {
    const fifo = join(folder, 'pipe');
    execFileSync('mkfifo', [fifo]);
    const logger = loggerTo(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    // Four times what a pipe takes.
    for (let line = 0; line < 256; line++) logger.info({ line, fill: 'x'.repeat(1000) }, 'said');
    logger.fatal('the last');

    const buffer = Buffer.alloc(1024 * 1024);
    let text = '';
    for (let more = 0; !text.includes('"and on"'); more++) {
      if (more > 0) logger.info('and on');
      text += buffer.toString('utf8', 0, readSync(fd, buffer));
    }
    const lines = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { line?: number; msg: string });
    expect(lines.filter(({ msg }) => msg === 'said').map(({ line }) => line)).toEqual([...Array(256).keys()]);
    expect(lines.some(({ msg }) => msg === 'the last')).toBe(true);
  });

  (existsSync(FULL) ? it : it.skip)('that cannot be written harms nobody', () => {
    const logger = loggerTo(FULL, constants.O_WRONLY);
    for (let line = 0; line < 2048; line++) logger.info('x'.repeat(1000));
    expect(() => {
      logger.fatal('the last');
    }).not.toThrow();
  });
});
