import { describe, expect, it } from '@jest/globals';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import pg from 'pg';

import { explainBootFailure } from '../../src/boot-failure.js';
import { BootError } from '../../src/errors/boot-error.js';
import { testConfig } from '../support/shell-app.js';

describe('a boot that failed', () => {
  it('because of a taken port says so', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    const second = createServer().listen(port, '127.0.0.1');
    const error = await new Promise(resolve => second.once('error', resolve));
    taken.close();
    expect(explainBootFailure(error, testConfig({ PORT: String(port), HOST: '127.0.0.1' }))).toBe(
      `Port ${port} is taken on 127.0.0.1: set PORT to another one.`,
    );
  });

  it('because nobody answers for the database names it, without the password', async () => {
    const config = testConfig({ DATABASE_URL: 'postgres://belfry:hunter2@localhost:1/orders' });
    const error: unknown = await new pg.Client(config.databaseUrl)
      .connect()
      .catch((reason: unknown) => reason);
    const wrapped = new Error('migrations failed', { cause: error });
    for (const failure of [error, wrapped]) {
      const sentence = explainBootFailure(failure, config);
      expect(sentence).toContain('The database localhost:1/orders refuses connections (ECONNREFUSED)');
      expect(sentence).not.toContain('hunter2');
    }
  });

  it('for a reason that has a sentence gives that sentence, and for a defect none', () => {
    expect(explainBootFailure(new BootError('Do this.'), testConfig())).toBe('Do this.');
    expect(explainBootFailure(new TypeError('x is not a function'), testConfig())).toBeUndefined();
  });
});
